"""Stores of records for tests: the usual validators, and puts that read as sentences."""

from datetime import datetime, timedelta

from helpers.dht_peers import ip_of, key_pair, peer
from helpers.identities import NETWORK, NOON
from kontinuum.dht.admission import Admission
from kontinuum.dht.events import Refusal
from kontinuum.dht.records import (
    Records,
    SignedRecord,
    blake3_key,
    contact_key,
    default_validators,
    signed_key,
)

MIB = 2**20
ADMISSION = Admission(NETWORK, 0, memo_max=65_536)
VALIDATORS = default_validators(NETWORK, ADMISSION.check)


def store(bytes_max: int = 64 * MIB, **defences: bool) -> Records:
    """An empty store."""
    return Records(VALIDATORS, bytes_max=bytes_max, **defences)


def signed(
    number: int,
    sequence: int = 1,
    *,
    name: bytes = b"n",
    value: bytes = b"",
    expires_at: datetime = NOON + timedelta(days=2),
) -> tuple[bytes, bytes]:
    """Key and value of what peer ``number`` says under ``name``."""
    pair = key_pair(number)
    record = SignedRecord.issue(
        pair, name, value, network_id=NETWORK, sequence=sequence, expires_at=expires_at
    )
    return signed_key(pair.peer_id, name), record.encode()


def content(number: int, size: int = 100) -> tuple[bytes, bytes]:
    """Key and value of some content."""
    value = number.to_bytes(8).ljust(size, b"\0")
    return blake3_key(value), value


def contact_record(number: int, sequence: int = 1) -> tuple[bytes, bytes]:
    """Key and value of the contact of peer ``number``."""
    who = peer(number, sequence=sequence)
    return contact_key(who.peer_id), who.wire.contact


def put(
    records: Records,
    record: tuple[bytes, bytes],
    sender: int,
    *,
    ip: str | None = None,
    at: datetime = NOON,
    now: float = 0.0,
) -> Refusal:
    """Peer ``sender`` sends a record, from its own address or from ``ip``."""
    key, value = record
    return records.put(
        key, value, sender=peer(sender).peer_id, ip=ip_of(sender) if ip is None else ip, at=at, now=now
    )


def provide(
    records: Records, key: bytes, sender: int, *, ip: str | None = None, at: datetime = NOON, now: float = 0.0
) -> Refusal:
    """Peer ``sender`` says that it provides ``key``."""
    return records.add_provider(key, peer(sender), ip=ip_of(sender) if ip is None else ip, at=at, now=now)
