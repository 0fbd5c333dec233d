"""What a parent hands over: one file, sealed, that makes a machine a node."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.identities import contact_of
from helpers.keys import NOON, OTHER_SEED, Family, later, path
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import MisuseError
from kontinuum.clusters.book import Book
from kontinuum.clusters.errors import ExportedError, HandoverError, TruncatedHandoverError
from kontinuum.clusters.exported import decode_cluster, encode_cluster
from kontinuum.clusters.handover import MAGIC, Handover, needs_key, open_handover, seal_handover
from kontinuum.identity.errors import PassphraseNeededError, WrongPassphraseError
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN, Argon2Cost
from kontinuum.keys.envelope import X25519Key
from kontinuum.keys.keystore import ByPassphrase, Unprotected
from kontinuum.wire import cbor

ENTROPY = SystemEntropy()
SEALED = ByPassphrase("open sesame", Argon2Cost(ARGON2_MEMORY_KIB_MIN, 1, 1))
OURS = Family()


def handover(**more):
    """What our server gets."""
    return Handover(OURS.copy(), OURS.server.branch, OURS.server.epoch, **more)


def same(first, second):
    """Whether two handovers give the same."""
    return all(
        getattr(first, name) == getattr(second, name)
        for name in ("chain", "branch", "epoch", "trust", "contacts", "succession", "network")
    )


def full():
    """One with all that there can be."""
    book = Book(OURS.copy(), path("/1.0"))
    entry = book.trust_entry(
        Family(OTHER_SEED).chain.genesis, "bob", "meet", OURS.server.epoch.signing(), NOON
    )
    said = tuple(OURS.chain)[:1]
    return handover(trust=(entry,), contacts=(contact_of().to_text(),), succession=said, network=("ours", 8))


def test_a_passphrase_opens_it():
    """
    What was sealed by a passphrase comes back whole; another one does not open it.
    """
    data = seal_handover(full(), SEALED, entropy=ENTROPY)

    assert needs_key(data)
    assert same(open_handover(data, passphrase="open sesame"), full())
    with pytest.raises(WrongPassphraseError):
        open_handover(data, passphrase="wrong")
    with pytest.raises(PassphraseNeededError):
        open_handover(data)


def test_a_key_opens_it():
    """
    Sealed to a machine's key, only that key opens it.
    """
    key, other = X25519Key.generate(ENTROPY), X25519Key.generate(ENTROPY)
    data = seal_handover(full(), key.recipient, entropy=ENTROPY)

    assert same(open_handover(data, keys=[other, key]), full())
    with pytest.raises(PassphraseNeededError):
        open_handover(data, keys=[other])


def test_nothing_secret_is_readable_unless_it_was_asked_for():
    """
    A sealed file shows neither the secrets nor the labels; an open one is read without a key.
    """
    sealed, plain = (seal_handover(full(), how, entropy=ENTROPY) for how in (SEALED, Unprotected()))

    for secret in (OURS.server.branch.expose(), OURS.server.epoch.expose(), b"server"):
        assert secret not in sealed
        assert secret in plain
    assert not needs_key(plain)
    assert same(open_handover(plain), full())
    assert OURS.server.branch.expose().hex() not in repr(full())


@pytest.mark.parametrize("how", [SEALED, Unprotected()])
def test_a_file_that_was_cut_off_or_changed_is_told(how):
    """
    Whatever is missing or different, the answer is an error of ours that says what to do.
    """
    data = seal_handover(full(), how, entropy=ENTROPY)
    for cut in (*range(0, 60, 7), len(data) // 2, len(data) - 1):
        with pytest.raises(HandoverError):
            open_handover(data[:cut], passphrase="open sesame")
    with pytest.raises(HandoverError, match="newer"):
        open_handover(data[: len(MAGIC)] + b"\x02" + data[len(MAGIC) + 1 :])
    with pytest.raises(HandoverError, match="add-node"):
        open_handover(b"something else")
    with pytest.raises(TruncatedHandoverError):
        open_handover(data[:10])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing_that_counts(at, change):
    """
    An open handover whose bytes were changed is refused, or is one whose secrets its chain names.
    """
    data = bytearray(seal_handover(handover(), Unprotected(), entropy=ENTROPY))
    data[at % len(data)] ^= change
    try:
        opened = open_handover(bytes(data))
    except (HandoverError, PassphraseNeededError):
        return
    assert opened.branch == OURS.server.branch


def test_secrets_that_the_chain_does_not_name_are_refused():
    """
    Secrets of two nodes, or of another cluster, make no handover.
    """
    with pytest.raises(HandoverError):
        Handover(OURS.copy(), OURS.server.branch, OURS.laptop.epoch)
    with pytest.raises(HandoverError):
        Handover(Family(OTHER_SEED).chain, OURS.server.branch, OURS.server.epoch)
    undeclared = OURS.server.branch.epoch(5)
    with pytest.raises(HandoverError):
        Handover(OURS.copy(), OURS.server.branch, undeclared)


def test_contacts_are_few_and_readable():
    """
    Contacts are looked at before anybody is dialled.
    """
    text = contact_of().to_text()
    data = seal_handover(handover(contacts=(text,) * 20), Unprotected(), entropy=ENTROPY)
    head = len(MAGIC) + 2
    fields = cbor.decode(data[head:], bytes_max=1 << 20)

    assert len(open_handover(data).contacts) == 16
    for wrong in ([text] * 17, ["nonsense"], [1]):
        with pytest.raises(HandoverError):
            open_handover(data[:head] + cbor.encode({**fields, 5: wrong}))


@pytest.mark.parametrize("network", [("", 8), ("a\nb", 8), ("A", 8), ("n" * 65, 8), ("n", 99), ("n", -1)])
def test_a_network_is_a_name_and_some_work(network):
    """
    It goes into a file of settings: what could not stand there is refused.
    """
    with pytest.raises(HandoverError):
        Handover.decode(handover(network=network).encode())


def test_an_empty_passphrase_is_refused():
    """
    Nothing is sealed by nothing.
    """
    with pytest.raises(MisuseError):
        seal_handover(handover(), ByPassphrase("", SEALED.cost), entropy=ENTROPY)


def test_an_exported_cluster_is_read_back_and_damage_is_told():
    """
    A cluster's file gives its chain; nothing in it is secret.
    """
    data = encode_cluster(OURS.chain)

    assert decode_cluster(data).chain == OURS.chain
    assert decode_cluster(data).succession == ()
    before = OURS.laptop.statements
    assert decode_cluster(encode_cluster(OURS.chain, before)).succession == before
    assert OURS.server.epoch.expose() not in data
    for at in range(0, len(data), 11):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(ExportedError):
            decode_cluster(changed)
        with pytest.raises(ExportedError):
            decode_cluster(data[:at])
    with pytest.raises(ExportedError, match="newer"):
        decode_cluster(data.replace(b"cluster\n\x01", b"cluster\n\x02"))


def test_later_statements_come_along():
    """
    A handover carries the chain as it is when it is made.
    """
    family = Family()
    family.author(family.steward.branch).rekey(later(1))
    data = seal_handover(
        Handover(family.chain, family.server.branch, family.server.epoch), Unprotected(), entropy=ENTROPY
    )

    assert open_handover(data).chain == family.chain
