import copy
import pickle
import traceback

import pytest

from helpers.identities import ALICE, BOB
from kontinuum.base import MisuseError, SystemEntropy
from kontinuum.identity import BadSignatureError, KeyPair, Secret, verify
from kontinuum.identity.keys import signed_bytes

SEED = bytes(range(200, 232))
SHOWN = [repr(SEED)[2:-1], SEED.hex(), "\\xc8", str(list(SEED))[1:20]]
"""Ways in which the seed could show up in a text."""


def assert_hidden(text: str) -> None:
    """No form of SEED is in ``text``."""
    assert not any(shown in text for shown in SHOWN), text


def test_a_signature_holds_for_its_purpose_data_and_signer_only():
    """
    Domain separation: the same bytes signed for one purpose are not signed for another.
    """
    signature = ALICE.sign("contact", b"data")

    verify(ALICE.peer_id, "contact", b"data", signature)
    for peer_id, purpose, data, changed in [
        (BOB.peer_id, "contact", b"data", signature),
        (ALICE.peer_id, "certificate", b"data", signature),
        (ALICE.peer_id, "contact", b"data!", signature),
        (ALICE.peer_id, "contact", b"data", bytes(64)),
        (ALICE.peer_id, "contact", b"data", signature[:63]),
        (ALICE.peer_id, "contact", b"data", signature + b"\0"),
        (ALICE.peer_id, "contact", b"data", b""),
    ]:
        with pytest.raises(BadSignatureError, match="did not sign"):
            verify(peer_id, purpose, data, changed)


def test_the_signed_bytes_are_laid_out_as_published():
    """
    docs/protocols/contact.md: "kontinuum/" purpose "/v1" 0 data.
    """
    assert signed_bytes("contact", b"\x01") == b"kontinuum/contact/v1\x00\x01"


@pytest.mark.parametrize("purpose", ["", "Contact", "a/b", "a\0", "1a", "a" * 33, "é", "a\n", "-a"])
def test_a_purpose_cannot_be_mistaken_for_another(purpose):
    """
    No purpose contains a separator, so two purposes never give the same signed bytes.
    """
    with pytest.raises(MisuseError, match="purpose"):
        ALICE.sign(purpose, b"")


def test_fresh_keys_differ_and_a_seed_gives_its_key_again():
    """
    The seed is the whole key.
    """
    key_pair = KeyPair.generate(SystemEntropy())

    assert key_pair.peer_id != KeyPair.generate(SystemEntropy()).peer_id
    assert KeyPair.from_seed(key_pair.seed).peer_id == key_pair.peer_id


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length):
    """
    The message names the length, not the content.
    """
    with pytest.raises(MisuseError, match="32 bytes") as caught:
        KeyPair.from_seed((SEED * 3)[:length])
    assert_hidden(str(caught.value))


def test_no_text_form_shows_the_secret():
    """
    Attack 36: repr, str, format, containers, attributes.
    """
    key_pair = KeyPair.from_seed(SEED)

    for value in (key_pair, key_pair.seed, Secret(SEED)):
        for text in (
            repr(value),
            str(value),
            f"{value}",
            f"{value!r:>50}",
            "{} {!r}".format(value, value),  # noqa: UP032  another way into a text
            repr([value]),
        ):
            assert_hidden(text)
    assert not hasattr(key_pair, "__dict__")


def test_no_traceback_shows_the_secret():
    """
    Attack 36: even a traceback with local variables, through causes and contexts, hides the seed.
    """
    key_pair = KeyPair.from_seed(SEED)
    try:
        try:
            key_pair.sign("Bad purpose", b"")
        except MisuseError as error:
            seed = key_pair.seed
            raise RuntimeError(f"wrapped {seed} {key_pair}") from error
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())

    assert "Bad purpose" in shown
    assert "seed" in shown
    assert_hidden(
        "\n".join(line for line in shown.splitlines() if "SHOWN" not in line and "SEED" not in line)
    )


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_are_not_pickled_or_copied(act):
    """
    Attack 36: pickles end up in caches and queues; secrets stay out.
    """
    for value in (KeyPair.from_seed(SEED), Secret(SEED), [Secret(SEED)]):
        if act is copy.copy and isinstance(value, list):
            continue
        with pytest.raises(MisuseError, match="not pickled"):
            act(value)


def test_a_secret_is_still_its_bytes():
    """
    Whoever needs the content gets it.
    """
    assert Secret(SEED) == SEED
    assert bytes(Secret(SEED)) == SEED
    assert Secret(SEED).hex() == SEED.hex()
