"""Wrapping a data key: each kind of recipient, hostile stanzas, and who may share an envelope."""

import copy
import pickle
import traceback

import pytest

from helpers.envelopes import BOB, CAROL, ENTROPY, HYBRID, PARENT, CountedEntropy
from kontinuum.base.errors import MisuseError
from kontinuum.identity import Secret
from kontinuum.keys.envelope import (
    BadKeyTextError,
    HeaderError,
    HybridRecipient,
    MixedRecipientsError,
    NoMatchingKeyError,
    NoRecipientsError,
    Passphrase,
    TooManyRecipientsError,
    X25519Key,
    X25519Recipient,
    encode_key_file,
    open_age,
    seal_age,
)
from kontinuum.keys.envelope.file_key import FileKey
from kontinuum.keys.envelope.readers import unwrap_file_key, verify_recipients
from kontinuum.keys.envelope.stanza import Stanza, encode_base64
from kontinuum.wire.limits import ENVELOPE_RECIPIENTS_MAX, ENVELOPE_SCRYPT_WORK_MAX

FILE_KEY = FileKey(b"k" * 16)
SESAME = Passphrase("sesame", work=4)
SMALL_ORDER = [bytes(32), b"\1" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f")]
"""Three u-coordinates of small order. RFC 7748, section 7."""


@pytest.mark.parametrize("key", [BOB, HYBRID, SESAME])
def test_a_wrapped_key_comes_back_to_its_recipient_only(key):
    """
    The stanza opens with its key, and with no other one of any kind.
    """
    stanza = key.recipient.wrap(FILE_KEY, ENTROPY)

    found, opened_by, _ = unwrap_file_key([stanza], [CAROL, key])
    assert opened_by is key
    assert found.commitment() == FILE_KEY.commitment()
    with pytest.raises(NoMatchingKeyError):
        unwrap_file_key([stanza], [CAROL, X25519Key.generate(ENTROPY), Passphrase("other", work=4)])


def test_each_wrapping_is_new():
    """
    The same key for the same recipient never gives the same stanza twice.
    """
    for key in (BOB, HYBRID, SESAME):
        assert key.recipient.wrap(FILE_KEY, ENTROPY) != key.recipient.wrap(FILE_KEY, ENTROPY)


@pytest.mark.parametrize("share", SMALL_ORDER)
def test_points_of_small_order_are_refused_on_both_sides(share):
    """
    A recipient that everybody can open for is not sealed to, and such a share is not opened.
    """
    with pytest.raises(BadKeyTextError, match="small order"):
        X25519Recipient(share).wrap(FILE_KEY, ENTROPY)
    with pytest.raises(HeaderError, match="small order"):
        BOB.unwrap(Stanza("X25519", (encode_base64(share).decode(),), bytes(32)))
    with pytest.raises(BadKeyTextError, match="small order"):
        HybridRecipient(HYBRID.recipient.public_key[:-32] + share).wrap(FILE_KEY, ENTROPY)


@pytest.mark.parametrize("key", [BOB, HYBRID])
@pytest.mark.parametrize("change", ["no argument", "two arguments", "short share", "long body", "short body"])
def test_malformed_stanzas_of_a_known_kind_are_refused(key, change):
    """
    Before any decryption: a wrong number of arguments, a wrong length anywhere.
    """
    good = key.recipient.wrap(FILE_KEY, ENTROPY)
    share = good.arguments[0]
    bad = {
        "no argument": Stanza(good.kind, (), good.body),
        "two arguments": Stanza(good.kind, (share, share), good.body),
        "short share": Stanza(good.kind, (share[:-4],), good.body),
        "long body": Stanza(good.kind, (share,), good.body + bytes(16)),
        "short body": Stanza(good.kind, (share,), good.body[:-1]),
    }[change]

    with pytest.raises(HeaderError):
        key.unwrap(bad)


@pytest.mark.parametrize(
    "work", ["0", "00", "01", "+1", "-1", "1e1", "0x4", " 4", "4 ", "", "\u0664", "1000"]
)
def test_the_work_of_a_passphrase_is_a_plain_number(work):
    """
    No sign, no leading zero, no other digits.
    """
    good = SESAME.wrap(FILE_KEY, ENTROPY)

    with pytest.raises(HeaderError):
        SESAME.unwrap(Stanza(good.kind, (good.arguments[0], work), good.body))


def test_the_work_of_a_passphrase_is_bounded():
    """
    A file that asks for more is refused before any work, and we do not make such a file.
    """
    good = SESAME.wrap(FILE_KEY, ENTROPY)
    more = str(ENVELOPE_SCRYPT_WORK_MAX + 1)

    with pytest.raises(HeaderError, match="we allow"):
        SESAME.unwrap(Stanza(good.kind, (good.arguments[0], more), good.body))
    with pytest.raises(MisuseError):
        Passphrase("x", work=ENVELOPE_SCRYPT_WORK_MAX + 1)


@pytest.mark.parametrize("text", ["", "x" * 1025, "\ud800"])
def test_a_passphrase_is_text_of_a_reasonable_length(text):
    """
    Empty, too long, or no Unicode: a mistake of the caller.
    """
    with pytest.raises(MisuseError):
        Passphrase(text)


def test_who_may_share_an_envelope():
    """
    At least one, at most so many; a passphrase alone; post-quantum keys among themselves.
    """
    many = [BOB.recipient] * ENVELOPE_RECIPIENTS_MAX
    verify_recipients(many)
    verify_recipients([SESAME])
    verify_recipients([HYBRID.recipient, HYBRID.recipient])
    with pytest.raises(NoRecipientsError):
        verify_recipients([])
    with pytest.raises(TooManyRecipientsError):
        verify_recipients([*many, BOB.recipient])
    with pytest.raises(MixedRecipientsError, match="passphrase"):
        verify_recipients([SESAME, SESAME])
    with pytest.raises(MixedRecipientsError, match="post-quantum"):
        verify_recipients([BOB.recipient, HYBRID.recipient])


@pytest.mark.parametrize("other", [BOB.recipient, SESAME])
def test_a_passphrase_beside_other_recipients_is_refused_when_opening(other):
    """
    Whoever knows the passphrase could have sealed it, and that must hold for every opener.
    """
    stanzas = [SESAME.wrap(FILE_KEY, ENTROPY), other.wrap(FILE_KEY, ENTROPY)]

    for keys in ([BOB], [SESAME]):
        with pytest.raises(HeaderError, match="beside"):
            unwrap_file_key(stanzas, keys)


def test_plain_age_files_open_for_each_recipient():
    """
    Every recipient opens it, nobody else, and unequal pieces of content make no difference.
    """
    content = [b"a" * 70_000, b"", b"b", b"c" * 200_000]
    sealed = list(seal_age([BOB.recipient, PARENT.recipient], content, entropy=ENTROPY))

    for key in (BOB, PARENT):
        assert b"".join(open_age([CAROL, key], sealed)) == b"".join(content)
    with pytest.raises(NoMatchingKeyError):
        list(open_age([CAROL], sealed))


def test_deterministic_chance_gives_the_same_file():
    """
    All chance but that of the post-quantum library is the caller's.
    """
    files = [b"".join(seal_age([BOB.recipient], [b"x"], entropy=CountedEntropy())) for _ in range(2)]

    assert files[0] == files[1]


@pytest.mark.parametrize("key", [BOB, HYBRID, SESAME, FILE_KEY])
def test_no_text_form_shows_a_secret(key):
    """
    Neither ``repr``, ``str`` nor a traceback with local variables, and nothing is pickled or copied unasked.
    """

    def fail(key, content):  # noqa: ARG001 -- a local variable that a traceback could show
        raise ZeroDivisionError

    shown = f"{key!r} {key} {key.__reduce_ex__}"
    try:
        fail(key, encode_key_file(key) if key in (BOB, HYBRID) else key)
    except ZeroDivisionError as error:
        shown += "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    for secret in (b"b" * 32, b"h" * 32, b"k" * 16, b"sesame"):
        assert secret.decode() not in shown
        assert secret.hex() not in shown
    assert "AGE-SECRET-KEY" not in shown
    if key is not FILE_KEY:
        for leak in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(MisuseError):
                leak(key)


def test_exported_text_is_a_secret():
    """
    Its text form hides it until somebody writes it to a file on purpose.
    """
    assert isinstance(BOB.to_text(), Secret)
    assert "AGE" not in f"{BOB.to_text()}"
