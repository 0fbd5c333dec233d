"""Golden keys and statements: our code and a second implementation both make them, byte for byte."""

import json
import re
from pathlib import Path

import pytest

from helpers import key_reference as reference
from helpers.identities import vectors
from kontinuum.keys import paths, slip10
from kontinuum.keys.bundles import decode_bundle, decode_heads, encode_bundle, encode_heads
from kontinuum.keys.chain import Chain
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.orders import Order
from kontinuum.keys.public_keys import commit
from kontinuum.keys.secret_forms import (
    decode_branch_secret,
    decode_epoch_secret,
    encode_branch_secret,
    encode_epoch_secret,
)
from kontinuum.keys.statements import Statement

SLIP10 = vectors("slip10_ed25519.json")
DERIVATION = vectors("key_derivation.json")
STATEMENTS = vectors("key_statements.json")


def of_format(name):
    """The rows of one format."""
    return [row for row in STATEMENTS if row["format"] == name]


def fields_of(row):
    """The fields of a row with numbers as keys, and bytes where the vectors have hexadecimal text."""

    def value(content, key):
        match content:
            case str() if key != (7, 4) and not content.startswith("later"):
                return bytes.fromhex(content)
            case list():
                return [value(item, key) for item in content]
            case dict():
                return {int(inner): value(item, (key, int(inner))) for inner, item in content.items()}
        return content

    return {int(key): value(content, int(key)) for key, content in row["fields"].items()}


@pytest.mark.parametrize("row", SLIP10, ids=lambda row: f"{row['seed'][:4]} {row['path']}")
def test_the_official_vectors_of_slip_0010(row):
    """
    Private key, chain code and public key of every ed25519 vector of the standard.
    """
    key = slip10.master(bytes.fromhex(row["seed"]))
    for number in row["path"]:
        key = slip10.child(key, paths.HARDENED + number)

    assert key.key.hex() == row["private_key"]
    assert key.chain_code.hex() == row["chain_code"]
    assert reference.ed25519_public(key.key).hex() == row["public_key"]
    assert reference.slip10(bytes.fromhex(row["seed"]), row["path"]) == (key.key, key.chain_code)


@pytest.mark.parametrize(
    "row", DERIVATION, ids=lambda row: f"{row['seed'][:4]} {row['cluster']} {row['path']}"
)
def test_every_key_of_a_branch_and_its_epochs(row):
    """
    From the seed to each key, and every value on the way, as the specification says.
    """
    path = paths.Path.parse(row["path"])
    branch = RootSeed(bytes.fromhex(row["seed"])).cluster(row["cluster"]).descendant(path)

    assert (
        "m/" + "/".join(f"{n - paths.HARDENED}'" for n in path.derivation(row["cluster"]))
        == row["derivation"]
    )
    assert branch.expose().hex() == row["branch"]["private_key"] + row["branch"]["chain_code"]
    assert branch.public.hex() == row["branch"]["public_key"]
    assert commit(branch.public).hex() == row["commitment"]
    for expected in row["epochs"]:
        epoch = branch.epoch(expected["epoch"])
        assert epoch.expose().hex() == expected["secret"]
        assert epoch.signing().seed.hex() == expected["signing_seed"]
        assert epoch.signing().peer_id.hex() == expected["signing_public"]
        assert epoch.encryption().expose().hex() == expected["encryption_private"]
        assert epoch.encryption().public.hex() == expected["encryption_public"]
        assert epoch.storage().expose().hex() == expected["storage"]


@pytest.mark.parametrize(
    "row", DERIVATION, ids=lambda row: f"{row['seed'][:4]} {row['cluster']} {row['path']}"
)
def test_a_second_implementation_derives_the_same(row):
    """
    HMAC of the standard library alone makes the same keys from the published specification.
    """
    path = paths.Path.parse(row["path"]).encode()
    branch = reference.branch_of(bytes.fromhex(row["seed"]), row["cluster"], path)

    assert {name: value.hex() for name, value in branch.items()} == row["branch"]
    for expected in row["epochs"]:
        epoch = reference.epoch_of(branch, expected["epoch"])
        assert {name: value.hex() for name, value in epoch.items()} == {
            name: value for name, value in expected.items() if name != "epoch"
        }


def test_the_words_of_a_seed_are_its_bip39_phrase():
    """
    A root seed is the entropy of 24 words: the words of the vectors give the seeds back.
    """
    mnemonic = pytest.importorskip("mnemonic").Mnemonic("english")

    for row in DERIVATION:
        assert bytes(mnemonic.to_entropy(row["words"])).hex() == row["seed"]
        assert mnemonic.to_mnemonic(bytes.fromhex(row["seed"])) == row["words"]


@pytest.mark.parametrize("row", of_format("genesis"), ids=lambda row: row["name"])
def test_golden_genesis(row):
    """
    Read, named and written back by us; made anew by the second implementation.
    """
    data = bytes.fromhex(row["encoded"])
    genesis = Genesis.decode(data)

    assert genesis.encode() == data
    assert genesis.cluster.hex() == row["id"]
    assert reference.genesis(fields_of(row), bytes.fromhex(row["signer"])) == (data, bytes.fromhex(row["id"]))


@pytest.mark.parametrize("row", of_format("statement"), ids=lambda row: row["name"])
def test_golden_statements(row):
    """
    Each kind, read, named and written back by us; made anew by the second implementation.
    """
    data = bytes.fromhex(row["encoded"])
    statement = Statement.decode(data)
    prover = None if row["prover"] is None else bytes.fromhex(row["prover"])

    assert statement.encode() == data
    assert statement.id.hex() == row["id"]
    assert reference.statement(fields_of(row), bytes.fromhex(row["signer"]), prover) == (
        data,
        bytes.fromhex(row["id"]),
    )


def test_the_golden_statements_are_one_chain():
    """
    A chain takes all of them: their links, signatures, proofs and commitments fit.
    """
    chain = Chain(Genesis.decode(bytes.fromhex(of_format("genesis")[0]["encoded"])))

    merged = chain.merge(Statement.decode(bytes.fromhex(row["encoded"])) for row in of_format("statement"))

    assert len(merged.added) == len(of_format("statement"))
    assert not merged.missing
    assert not merged.refused


def test_golden_order():
    """
    Read and written back by us; made anew by the second implementation.
    """
    (row,) = of_format("order")
    data = bytes.fromhex(row["encoded"])

    assert Order.decode(data).encode() == data
    assert reference.order(fields_of(row), bytes.fromhex(row["signer"])) == data


def test_golden_bundle_and_heads():
    """
    Statements and ids on their way between nodes.
    """
    (bundle,) = of_format("bundle")
    statements = decode_bundle(bytes.fromhex(bundle["encoded"]))
    assert [statement.id.hex() for statement in statements] == [row["id"] for row in of_format("statement")]
    assert encode_bundle(statements).hex() == bundle["encoded"]

    (heads,) = of_format("heads")
    assert [head.hex() for head in decode_heads(bytes.fromhex(heads["encoded"]))] == heads["ids"]
    assert encode_heads(decode_heads(bytes.fromhex(heads["encoded"]))).hex() == heads["encoded"]


def test_golden_secrets():
    """
    The bytes in which a parent hands a branch or an epoch over.
    """
    (branch,) = of_format("branch secret")
    secret = decode_branch_secret(bytes.fromhex(branch["encoded"]))
    assert str(secret.path) == branch["path"]
    assert encode_branch_secret(secret).hex() == branch["encoded"]

    (row,) = of_format("epoch secret")
    epoch = decode_epoch_secret(bytes.fromhex(row["encoded"]))
    assert (str(epoch.path), epoch.epoch) == (row["path"], row["epoch"])
    assert encode_epoch_secret(epoch).hex() == row["encoded"]
    assert secret.epoch(0) == epoch


def test_the_example_of_the_specification_is_golden(repository):
    """
    Each value that the page shows is that of the vectors.
    """
    page = (repository / "docs" / "protocols" / "key-derivation.md").read_text(encoding="utf-8")
    shown = re.findall(r"`([0-9a-f]{64})`", page)
    row = next(row for row in DERIVATION if (row["path"], row["cluster"]) == ("/0.0", 0))
    epoch = row["epochs"][0]

    assert shown == [
        row["branch"]["private_key"],
        row["branch"]["chain_code"],
        row["branch"]["public_key"],
        row["commitment"],
        epoch["secret"],
        epoch["signing_public"],
        epoch["encryption_public"],
        epoch["storage"],
    ]
    assert row["words"] in " ".join(page.split())


def test_every_file_of_vectors_has_a_source():
    """
    SOURCES.md says where each of our files comes from.
    """
    folder = Path(__file__).parents[2] / "vectors"
    sources = (folder / "SOURCES.md").read_text(encoding="utf-8")

    for name in ("slip10_ed25519.json", "key_derivation.json", "key_statements.json"):
        assert json.loads((folder / name).read_text(encoding="utf-8"))
        assert f"`{name}`" in sources
