"""The key store: what it keeps, who can read it, and what each kind of damage is called."""

import stat

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from helpers import envelope_reader, key_reference
from helpers.identities import vectors
from kontinuum._native import blake3_256
from kontinuum.base import MisuseError
from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import (
    AlreadyExistsError,
    FileTooLargeError,
    FileUnavailableError,
    NotPrivateError,
)
from kontinuum.identity import KeyFileError
from kontinuum.identity.errors import (
    DamagedKeyFileError,
    EmptyKeyFileError,
    NotAKeyFileError,
    PassphraseNeededError,
    TooCostlyKeyFileError,
    TruncatedKeyFileError,
    WrongPassphraseError,
)
from kontinuum.identity.key_file import ARGON2_MEMORY_KIB_MIN, Argon2Cost
from kontinuum.keys import keystore
from kontinuum.keys.argon2_passphrase import STANZA_KIND, Argon2Passphrase
from kontinuum.keys.backup.roots import ShortSeed
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.envelope import HeaderError, open_age, seal_age
from kontinuum.keys.envelope.stanza import Stanza
from kontinuum.keys.keystore import (
    KEY_STORE_BYTES_MAX,
    MAGIC,
    ByPassphrase,
    StoredKind,
    Unprotected,
    create_store,
    decode_store,
    encode_store,
    forget_previous,
    load_store,
    previous_of,
    public_key,
    replace_store,
)
from kontinuum.wire import cbor

CHEAP = Argon2Cost(memory_kib=ARGON2_MEMORY_KIB_MIN, iterations=1, lanes=1)
SESAME = ByPassphrase("sesame", CHEAP)
ROOT = RootSeed(bytes(range(32)))
BRANCH = ROOT.cluster().child(3)
SECRETS = [ROOT, ShortSeed(bytes(range(16))), BRANCH, BRANCH.epoch(7)]
GOLDEN = vectors("key_stores.json")


def encoded(secret=ROOT, protection=SESAME):
    """The content of a file."""
    return encode_store(secret, protection, entropy=SystemEntropy())


SEALED = encoded()


@pytest.mark.parametrize("protection", [SESAME, Unprotected()], ids=["passphrase", "plain"])
@pytest.mark.parametrize("secret", SECRETS, ids=["root", "short root", "branch", "epoch"])
def test_a_store_gives_back_what_was_kept(secret, protection):
    """
    Each kind, protected and not; kind and public key are known before it is opened.
    """
    store = decode_store(encoded(secret, protection))

    assert store.open("sesame") == secret
    assert store.public == public_key(secret)
    assert store.kind is (StoredKind.ROOT if secret in SECRETS[:2] else store.kind)
    assert store.protected is (protection is SESAME)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["what"])
def test_golden_stores(row):
    """
    Files of version 1 are read for ever.
    """
    store = decode_store(bytes.fromhex(row["content"]))

    assert store.public.hex() == row["public"]
    assert bytes(keystore._bytes_of(store.open(row["passphrase"]))).hex() == row["secret"]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["what"])
def test_golden_stores_by_a_second_reader(row):
    """
    Written from docs/protocols/backup.md, without the room's code: head, body, Argon2id, age, and the public
    key that the secret makes.
    """
    content = bytes.fromhex(row["content"])
    head, body = content[:34], content[34:]
    assert head[:22] == b"kontinuum key store\n\0\1"
    assert int.from_bytes(head[22:26], "big") == len(body)
    assert head[26:] == blake3_256(b"kontinuum/key-store\0\0\1" + body)[:8]
    kind, public, protection, secret = (cbor2.loads(body)[key] for key in range(4))
    if protection:
        end = secret.index(b"\n", secret.index(b"\n--- ") + 1) + 1
        [((name, salt, *cost), wrapped, _)] = envelope_reader.stanzas_of(secret[:end])
        assert name == b"kontinuum/argon2id"
        memory, iterations, lanes = map(int, cost)
        argon2 = Argon2id(
            salt=envelope_reader.unbase64(salt),
            length=32,
            iterations=iterations,
            lanes=lanes,
            memory_cost=memory,
        )
        once = bytes(12)
        file_key = ChaCha20Poly1305(argon2.derive(row["passphrase"].encode())).decrypt(once, wrapped, None)
        payload = envelope_reader.hkdf(file_key, secret[end : end + 16], b"payload")
        secret = ChaCha20Poly1305(payload).decrypt(bytes(11) + b"\1", secret[end + 16 :], None)
    assert secret.hex() == row["secret"]
    if kind == 0:
        seed = secret if len(secret) == 32 else key_reference.hkdf(secret, b"kontinuum/short-seed/v1\0")
        assert public == key_reference.branch_of(seed, 0, [])["public_key"]
    assert public.hex() == row["public"]


def test_a_protected_store_does_not_hold_the_secret():
    """
    Neither the seed nor any part of it is in the file, nor in what is shown of it.
    """
    store = decode_store(SEALED)
    plain = encoded(protection=Unprotected())

    assert ROOT.expose() in plain
    assert ROOT.expose()[:8] not in SEALED
    assert ROOT.expose()[:8].hex() not in repr(decode_store(plain))
    assert "sesame" not in repr(SESAME)
    assert "sesame" not in repr(Argon2Passphrase("sesame"))
    with pytest.raises(PassphraseNeededError):
        store.open()


def test_a_wrong_passphrase_is_told_from_a_damaged_file():
    """
    Every single flipped byte is damage or no key store, and never a wrong passphrase.
    """
    with pytest.raises(WrongPassphraseError):
        decode_store(SEALED).open("sesam")
    for at in range(len(SEALED)):
        content = SEALED[:at] + bytes([SEALED[at] ^ 0x40]) + SEALED[at + 1 :]
        with pytest.raises((DamagedKeyFileError, TruncatedKeyFileError, NotAKeyFileError)) as caught:
            decode_store(content)
        # A changed length looks like a file that is cut off, a changed beginning like no key store.
        if at >= len(MAGIC) + 6:
            assert caught.type is DamagedKeyFileError


def test_a_file_that_is_cut_off_is_told_as_such():
    """
    At any length; an empty file is its own error, and so is something behind the end.
    """
    with pytest.raises(EmptyKeyFileError):
        decode_store(b"")
    for length in range(1, len(SEALED)):
        with pytest.raises(TruncatedKeyFileError, match="cut off"):
            decode_store(SEALED[:length])
    with pytest.raises(DamagedKeyFileError):
        decode_store(SEALED + b"\0")


@pytest.mark.parametrize("content", [b"hello", b"-----BEGIN PRIVATE KEY-----\n", b"age-encryption.org/v1\n"])
def test_another_file_is_no_key_store(content):
    """
    The error says how to make one.
    """
    with pytest.raises(NotAKeyFileError, match="keys new-root"):
        decode_store(content)


def body_of(content):
    """The map in a file."""
    return cbor.decode(content[keystore._HEAD_BYTES :], bytes_max=KEY_STORE_BYTES_MAX)


@pytest.mark.parametrize(
    "change",
    [
        {0: 3}, {0: b"root"}, {1: b"short"}, {2: 2}, {3: "text"}, {4: 0},
        {3: b"x" * 31}, {0: 1}, {0: 2}, {1: bytes(32)},
    ],
    ids=str,
)  # fmt: skip
def test_a_right_checksum_of_wrong_content_is_damage(change):
    """
    The checksum is no protection: what is behind it is read as warily, and the public key is compared.
    """
    body = cbor.encode({**body_of(encoded(protection=Unprotected())), **change})
    with pytest.raises(DamagedKeyFileError):
        decode_store(keystore._framed(1, body)).open()


def test_a_store_cannot_be_opened_as_another_key():
    """
    Somebody who swaps the protected content of two files of one passphrase is found out on opening.
    """
    other = body_of(encoded(RootSeed(b"o" * 32)))
    body = cbor.encode({**body_of(SEALED), 3: other[3]})
    with pytest.raises(DamagedKeyFileError, match="another key"):
        decode_store(keystore._framed(1, body)).open("sesame")


def test_a_newer_version_is_refused_by_name_and_an_older_one_is_read(monkeypatch):
    """
    The seam: each version has a reader; a file of an old one is written in the newest by the next change.
    """
    with pytest.raises(NotAKeyFileError, match="version 2"):
        decode_store(keystore._framed(2, b"whatever"))
    monkeypatch.setitem(
        keystore._READERS,
        0,
        lambda body: keystore.KeyStore(0, StoredKind.ROOT, public_key(ROOT), protected=False, content=body),
    )
    assert decode_store(keystore._framed(0, ROOT.expose())).open() == ROOT


def test_an_old_version_becomes_the_newest_with_the_next_change(tmp_path, monkeypatch):
    """
    And the old file is kept beside it.
    """
    monkeypatch.setitem(
        keystore._READERS,
        0,
        lambda body: keystore.KeyStore(0, StoredKind.ROOT, public_key(ROOT), protected=False, content=body),
    )
    path = tmp_path / "root"
    old = keystore._framed(0, ROOT.expose())
    path.write_bytes(old)
    path.chmod(0o600)

    store = replace_store(path, load_store(path).open(), SESAME, entropy=SystemEntropy())

    assert (store.version, store.protected) == (keystore.KEY_STORE_VERSION, True)
    assert previous_of(path).read_bytes() == old


@pytest.fixture
def path(tmp_path):
    """A store on the disk."""
    path = tmp_path / "root.keys"
    create_store(path, ROOT, SESAME, entropy=SystemEntropy())
    return path


def test_a_file_is_private_and_never_replaced_by_a_new_one(path):
    """
    Mode 0600 whatever the umask is; a second creation leaves the first alone.
    """
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(AlreadyExistsError):
        create_store(path, ROOT, SESAME, entropy=SystemEntropy())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_others_can_read_is_refused(path):
    """
    With the command that repairs it.
    """
    path.chmod(0o640)
    with pytest.raises(NotPrivateError, match="chmod 600"):
        load_store(path)


def test_what_is_no_file_and_what_is_too_long(path, tmp_path):
    """
    Missing, and longer than a key store can be.
    """
    with pytest.raises(FileUnavailableError):
        load_store(tmp_path / "missing")
    path.write_bytes(bytes(KEY_STORE_BYTES_MAX + 1))
    with pytest.raises(FileTooLargeError):
        load_store(path)


def test_an_error_names_the_file(path):
    """
    As a note, because several files may be at hand.
    """
    path.write_bytes(SEALED[:50])
    with pytest.raises(TruncatedKeyFileError) as caught:
        load_store(path)
    assert str(path) in str(caught.value)


def test_a_change_keeps_the_file_before_it(path):
    """
    Another passphrase: the new file opens with the new one, the kept one with the old one, until forgotten.
    """
    before = path.read_bytes()
    replace_store(path, ROOT, ByPassphrase("open", CHEAP), entropy=SystemEntropy())

    assert load_store(path).open("open") == ROOT
    assert previous_of(path).read_bytes() == before
    assert stat.S_IMODE(previous_of(path).stat().st_mode) == 0o600
    assert forget_previous(path)
    assert not forget_previous(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_change_that_fails_leaves_the_old_file(path, monkeypatch):
    """
    A disk that fails at any of the two writes: the store opens as before.
    """
    before = path.read_bytes()
    real = keystore.write_atomically
    for failing in (previous_of(path), path):

        def write(target, data, failing=failing):
            if target == failing:
                raise FileUnavailableError(target, "write", "No space left on device")
            real(target, data)

        monkeypatch.setattr(keystore, "write_atomically", write)
        with pytest.raises(FileUnavailableError):
            replace_store(path, ROOT, SESAME, entropy=SystemEntropy())
        assert path.read_bytes() == before


def test_another_key_does_not_take_the_place_of_a_root(path):
    """
    Another root or another kind is a new file; the next epoch is a change.
    """
    for other in (RootSeed(b"o" * 32), BRANCH):
        with pytest.raises(MisuseError, match="another key"):
            replace_store(path, other, SESAME, entropy=SystemEntropy())
    assert not previous_of(path).exists()
    epoch = path.with_name("epoch.keys")
    create_store(epoch, BRANCH.epoch(0), Unprotected(), entropy=SystemEntropy())
    replace_store(epoch, BRANCH.epoch(1), Unprotected(), entropy=SystemEntropy())
    assert load_store(epoch).open() == BRANCH.epoch(1)


def test_a_passphrase_is_not_empty():
    """
    Nor of other than Unicode text.
    """
    for passphrase in ("", "\ud800", "x" * 1025):
        with pytest.raises(MisuseError):
            encoded(protection=ByPassphrase(passphrase, CHEAP))


def test_composed_and_decomposed_letters_are_one_passphrase():
    """
    A passphrase with an umlaut opens the file on every keyboard.
    """
    store = decode_store(encoded(protection=ByPassphrase("Schl\u00fcssel", CHEAP)))
    assert store.open("Schlu\u0308ssel") == ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("AAAAAAAAAAAAAAAAAAAAAA", "8192", "1"),
        ("AAAA", "8192", "1", "1"),
        ("AAAAAAAAAAAAAAAAAAAAAA", "08192", "1", "1"),
        ("AAAAAAAAAAAAAAAAAAAAAA", "1048577", "1", "1"),
        ("AAAAAAAAAAAAAAAAAAAAAA", "1048576", "100", "1"),
        ("AAAAAAAAAAAAAAAAAAAAAA", "1", "1", "1"),
        ("AAAAAAAAAAAAAAAAAAAAAA", "8192", "1", "17"),
    ],
)
def test_a_hostile_stanza_is_refused_before_any_work(arguments):
    """
    Nobody's file makes us spend more memory or time than we allow; for our own parameters the caller is told.
    """
    with pytest.raises(HeaderError):
        Argon2Passphrase("sesame").unwrap(Stanza(STANZA_KIND, arguments, bytes(32)))
    with pytest.raises(TooCostlyKeyFileError):
        Argon2Cost(memory_kib=2**21)


def test_a_passphrase_leaves_other_stanzas_alone():
    """
    As age wants it: what is not ours is for others.
    """
    assert Argon2Passphrase("sesame").unwrap(Stanza("X25519", ("abc",), bytes(32))) is None
    data = b"".join(seal_age([Argon2Passphrase("sesame", CHEAP)], [b"hello"], entropy=SystemEntropy()))
    assert b"".join(open_age([Argon2Passphrase("sesame").recipient], [data])) == b"hello"


def test_any_bytes_give_a_store_or_an_error_of_ours():
    """
    A short look; tests/fuzz looks longer.
    """
    for content in (MAGIC, MAGIC + bytes(14), keystore._framed(1, b""), keystore._framed(1, b"\xa0")):
        with pytest.raises(KeyFileError):
            decode_store(content)
