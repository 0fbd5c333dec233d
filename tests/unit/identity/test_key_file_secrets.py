"""What nobody sees when a key file does not open: the key and the passphrase."""

import base64
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from helpers.identities import ALICE
from helpers.key_files import CHEAP, ENTROPY, PLAIN, PROTECTED, body_of, pem
from kontinuum.identity import KeyFileError, KeyPair, WrongPassphraseError, load_key_file
from kontinuum.identity.key_file import decode_key, encode_plain, encode_protected


@pytest.mark.parametrize(
    "content",
    [
        PLAIN[:-10],
        pem("PRIVATE KEY", body_of(PLAIN)[:-1]),
        pem("PRIVATE KEY", body_of(PLAIN) + b"\0"),
        PROTECTED,
        PLAIN + PLAIN,
        x25519.X25519PrivateKey.from_private_bytes(ALICE.seed).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    ],
)
def test_no_error_shows_key_or_passphrase(content):
    """
    Attack 36: messages, causes, contexts and notes of every error are free of secrets.
    """
    with pytest.raises(KeyFileError) as caught:
        decode_key(content, "open sesame")
    error = caught.value
    assert error.__cause__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
    base64_of_seed = base64.b64encode(ALICE.seed)[4:30].decode()
    assert "sesame" not in shown.replace('decode_key(content, "open sesame")', "")
    for secret in ("a" * 8, ALICE.seed.hex(), base64_of_seed):
        assert secret not in shown


def test_no_local_variable_shows_the_seed():
    """
    A traceback with local variables, as some tools print it, hides the seed in every frame of ours.
    """
    odd = KeyPair.from_seed(bytes(range(200, 232)))
    content = encode_protected(odd, "right", ENTROPY, CHEAP)
    try:
        decode_key(content, "wrong")
    except WrongPassphraseError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert odd.seed.hex() not in shown
    assert "\\xc8\\xc9\\xca" not in shown


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: content * 2,
        lambda content: content.replace(b"M", b"!", 1),
    ],
)
def test_no_local_variable_shows_a_damaged_plain_key(tmp_path, damage):
    """
    A key file that is only a little damaged still holds the key: no frame of ours shows it.
    """
    odd = KeyPair.from_seed(bytes(range(200, 232)))
    path = tmp_path / "identity.key"
    path.write_bytes(damage(encode_plain(odd)))
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        load_key_file(path)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(frames.format())
    assert "content = <secret" in shown
    assert base64.b64encode(odd.seed)[4:30].decode() not in shown
    assert encode_plain(odd).split(b"\n")[1][30:60].decode() not in shown
