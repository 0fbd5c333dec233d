"""The bytes of a branch's and an epoch's secret: how a parent hands them over, and key stores keep them.

Source:   our own format, docs/protocols/key-derivation.md.
Bounds:   KEY_SECRET_BYTES_MAX.
Trust:    the bytes come out of a sealed file or envelope, and are checked as if they did not.
Secrets:  what is returned is a Secret, or of a type that does not show it; error messages never hold content.
Pure:     no I/O, clock or randomness.
"""

from kontinuum.identity import Secret
from kontinuum.keys.derivation import BranchSecret, EpochSecret
from kontinuum.keys.fields import Fields
from kontinuum.keys.paths import Path
from kontinuum.wire import cbor
from kontinuum.wire.errors import WrongVersionError
from kontinuum.wire.limits import KEY_EPOCHS_MAX, KEY_SECRET_BYTES_MAX

SECRET_VERSION = 1
"""Version of both formats. Another one is refused by name."""

_VERSION, _PATH, _VALUE, _EPOCH = range(4)
"""Keys of the map: version, path, secret bytes; for an epoch also its number."""


def encode_branch_secret(secret: BranchSecret) -> Secret:
    """The bytes that :func:`decode_branch_secret` reads."""
    fields: dict[cbor.CborKey, cbor.CborValue] = {
        _VERSION: SECRET_VERSION,
        _PATH: secret.path.encode(),
        _VALUE: secret.expose(),
    }
    return Secret(cbor.encode(fields))


def decode_branch_secret(data: bytes) -> BranchSecret:
    """Read a branch's secret.

    Raises:
        MalformedError: It is none.
    """
    fields = _open(data)
    fields.only(_VERSION, _PATH, _VALUE)
    return BranchSecret(
        Path.decode(fields.value(_PATH)), Secret(fields.octets(_VALUE, BranchSecret.SECRET_BYTES))
    )


def encode_epoch_secret(secret: EpochSecret) -> Secret:
    """The bytes that :func:`decode_epoch_secret` reads."""
    fields: dict[cbor.CborKey, cbor.CborValue] = {
        _VERSION: SECRET_VERSION,
        _PATH: secret.path.encode(),
        _VALUE: secret.expose(),
        _EPOCH: secret.epoch,
    }
    return Secret(cbor.encode(fields))


def decode_epoch_secret(data: bytes) -> EpochSecret:
    """Read an epoch's secret.

    Raises:
        MalformedError: It is none.
    """
    fields = _open(data)
    fields.only(_VERSION, _PATH, _VALUE, _EPOCH)
    return EpochSecret(
        Path.decode(fields.value(_PATH)),
        fields.integer(_EPOCH, KEY_EPOCHS_MAX - 1),
        Secret(fields.octets(_VALUE, EpochSecret.SECRET_BYTES)),
    )


def _open(data: bytes) -> Fields:
    fields = Fields(cbor.decode(data, bytes_max=KEY_SECRET_BYTES_MAX), "a secret")
    version = fields.integer(_VERSION, 2**32)
    if version != SECRET_VERSION:
        raise WrongVersionError(f"a secret of version {version}; we know version {SECRET_VERSION}")
    return fields
