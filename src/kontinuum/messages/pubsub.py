"""The RPC of libp2p's pubsub as plain tuples, and its strict protobuf codec.

Source:   libp2p specs, pubsub/README.md and gossipsub v1.0 to v1.2; our page: docs/protocols/pubsub.md. What
          other implementations take was measured (the page has the table).
Differs:  what we do not know is passed over everywhere but in ``Message``, where implementations differ.
Bounds:   the PUBSUB_* and PROTOBUF_* limits of ``kontinuum.wire.limits``.
Trust:    input is hostile: any bytes give an RPC or a MalformedError. Nothing is verified here; a message
          that cannot be says why (``Flaw``). Peer ids and records of PRUNE are bytes that others check.
Pure:     no I/O, clock or randomness.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from kontinuum.messages import pubsub_fields as tags
from kontinuum.messages.pubsub_fields import (
    AUTHOR_PREFIX,
    SIGNING_PREFIX,
    control_field,
    graft_part,
    idontwant_part,
    ihave_part,
    iwant_part,
    message_field,
    prune_part,
    signed_body,
    subscription_field,
    unsigned_body,
)
from kontinuum.wire import protobuf
from kontinuum.wire.errors import MalformedError
from kontinuum.wire.limits import (
    PUBSUB_AUTHOR_BYTES,
    PUBSUB_MESSAGE_ID_BYTES,
    PUBSUB_PX_PEERS_MAX,
    PUBSUB_PX_RECORD_BYTES_MAX,
    PUBSUB_RPC_BYTES_MAX,
    PUBSUB_RPC_FIELDS_MAX,
    PUBSUB_SEQNO_BYTES,
    PUBSUB_TOPIC_BYTES_MAX,
    SIGNATURE_BYTES,
)
from kontinuum.wire.protobuf import OCTETS


class Flaw(Enum):
    """Why a message cannot be taken. The value says whether its bearer is to blame for it.

    It is if every implementation refuses such a message before it forwards it; where they differ, an honest
    peer may have brought it.
    """

    NO_AUTHOR = "no author", True
    NO_SIGNATURE = "no signature, or none of 64 bytes", True
    OTHER_KEY = "a key that is not the author's", True
    OTHER_KEY_TYPE = "an author whose key is not Ed25519", False
    SEQNO = "no sequence number of eight bytes", False
    TOPIC = "no topic, one that is too long, or no UTF-8", False
    FIELDS = "a field that we do not know, or one twice", False

    @property
    def is_blamed(self) -> bool:
        """Whether the bearer is to blame."""
        return self.value[1]


class WireMessage(NamedTuple):
    """One message of an RPC. With a ``flaw`` the rest of it means nothing."""

    author: bytes
    """The author's multihash, 38 bytes."""
    seqno: bytes
    """Eight bytes, big-endian."""
    topic: str
    data: bytes
    body: bytes
    """The message in canonical form: fields 1 to 5 in this order, and nothing else. What is forwarded."""
    flaw: Flaw | None = None

    @property
    def message_id(self) -> bytes:
        """Author and sequence number. libp2p specs, pubsub, "Message Identification"."""
        return self.author + self.seqno

    @property
    def signed_bytes(self) -> bytes:
        """What the signature covers: the canonical fields 1 to 4."""
        return SIGNING_PREFIX + self.body[: -tags.SIGNATURE_FIELD_BYTES]

    @property
    def signature(self) -> bytes:
        """64 bytes."""
        return self.body[-SIGNATURE_BYTES:]


class IHave(NamedTuple):
    """Messages of a topic that the sender has."""

    topic: str
    message_ids: tuple[bytes, ...]


class Prune(NamedTuple):
    """The sender has taken us out of its mesh."""

    topic: str
    peers: tuple[tuple[bytes, bytes], ...] = ()
    """Multihash and signed record of others that we could graft with; the record may be empty."""
    backoff_s: int | None = None
    """Seconds before we may graft again, 0 to 2^64-1."""


class Rpc(NamedTuple):
    """What one peer says at once. Ids and topics that nobody of ours would use are not in it."""

    subscriptions: tuple[tuple[bool, str], ...] = ()
    """Whether the sender is in the topic from now on."""
    messages: tuple[WireMessage, ...] = ()
    ihave: tuple[IHave, ...] = ()
    iwant: tuple[bytes, ...] = ()
    graft: tuple[str, ...] = ()
    prune: tuple[Prune, ...] = ()
    idontwant: tuple[bytes, ...] = ()
    skipped: int = 0
    """Known things with a topic or an id that is none of ours, such as one that is too long."""


# --- writing ------------------------------------------------------------------------------------------------


def encode(rpc: Rpc) -> bytes:
    """An RPC with everything that is in ``rpc``, in canonical form; messages with a flaw are left out."""
    parts = [subscription_field(topic, subscribe=subscribe) for subscribe, topic in rpc.subscriptions]
    parts += [message_field(message.body) for message in rpc.messages if message.flaw is None]
    control = [ihave_part(topic, ids) for topic, ids in rpc.ihave]
    if rpc.iwant:
        control.append(iwant_part(rpc.iwant))
    control += [graft_part(topic) for topic in rpc.graft]
    control += [prune_part(*prune) for prune in rpc.prune]
    if rpc.idontwant:
        control.append(idontwant_part(rpc.idontwant))
    if control:
        parts.append(control_field(control))
    return b"".join(parts)


# --- reading ------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Rpc:  # noqa: C901, PLR0912  one branch for each field of the schema
    """Read one RPC, the whole of ``data``.

    Raises:
        MalformedError: It is none, or beyond a limit.
    """
    if len(data) > PUBSUB_RPC_BYTES_MAX:
        raise MalformedError(f"an RPC of more than {PUBSUB_RPC_BYTES_MAX} bytes")
    left = PUBSUB_RPC_FIELDS_MAX
    subscriptions: list[tuple[bool, str]] = []
    messages: list[WireMessage] = []
    control: _Control | None = None
    skipped = 0
    for field, octets, _ in protobuf.fields(data, left):
        if field == tags.MESSAGE:
            message = _canonical_message(octets)
            if message is not None:
                left -= tags.MESSAGE_FIELDS
            else:
                message, left = _any_message(octets, left)
            messages.append(message)
        elif field == tags.SUBSCRIPTION:
            subscribe, topic, left = _subscription(octets, left)
            if topic is None:
                skipped += 1
            else:
                subscriptions.append((subscribe, topic))
        elif field == tags.CONTROL:
            if control is None:
                control = _Control()
            left = control.read(octets, left)
        else:
            left -= 1
        if left < 0:
            raise _too_many()
    if control is None:
        return Rpc(tuple(subscriptions), tuple(messages), skipped=skipped)
    return Rpc(
        tuple(subscriptions),
        tuple(messages),
        tuple(control.ihave),
        tuple(control.iwant),
        tuple(control.graft),
        tuple(control.prune),
        tuple(control.idontwant),
        skipped + control.skipped,
    )


def _too_many() -> MalformedError:
    return MalformedError(f"an RPC of more than {PUBSUB_RPC_FIELDS_MAX} fields")


def _canonical_message(body: bytes) -> WireMessage | None:
    """Read a message that is in canonical form; ``None`` if it is not.

    Nearly all are; going by places takes a third of the time of :func:`_any_message`.
    """
    if not body.startswith(tags.AUTHOR_START):
        return None
    try:
        end = len(body) - tags.SIGNATURE_FIELD_BYTES
        at, data = tags.DATA_AT, b""
        if body[at] == tags.DATA:
            size, at = _size(body, at + 1)
            data = body[at : at + size]
            at += size
        topic_at = at + len(tags.SEQNO_START) + PUBSUB_SEQNO_BYTES
        if body[topic_at] != tags.TOPIC:
            return None
        size, start = _size(body, topic_at + 1)
        if (
            start + size != end
            or not 0 < size <= PUBSUB_TOPIC_BYTES_MAX
            or not body.startswith(tags.SIGNATURE_START, end)
            or not body.startswith(tags.SEQNO_START, at)
        ):
            return None
        topic = body[start:end].decode()
    except (IndexError, ValueError, MalformedError):
        return None
    seqno = body[at + len(tags.SEQNO_START) : topic_at]
    return WireMessage(body[2 : tags.DATA_AT], seqno, topic, data, body)


def _size(data: bytes, at: int) -> tuple[int, int]:
    """The length that stands at ``at``, of one to three bytes, and where the thing itself begins.

    Raises:
        IndexError: ``data`` ends within it.
        MalformedError: It is not in its shortest form, or longer.
    """
    size = data[at]
    if size < 0x80:
        return size, at + 1
    second = data[at + 1]
    if 0 < second < 0x80:
        return size & 0x7F | second << 7, at + 2
    third = data[at + 2]
    if second and 0 < third < 0x80:
        return size & 0x7F | (second & 0x7F) << 7 | third << 14, at + 3
    raise MalformedError("a length")


def _any_message(octets: bytes, left: int) -> tuple[WireMessage, int]:
    """Read a message in whichever form it is, and bring it into the canonical one."""
    found: dict[int, bytes] = {}
    is_strange = False
    for field, content, _ in protobuf.fields(octets, left):
        left -= 1
        if field in found or not tags.FROM <= field <= tags.KEY or field & 7 != OCTETS:
            is_strange = True
        found[field] = content
    topic = _topic(found.get(tags.TOPIC, b""))
    flaw = Flaw.FIELDS if is_strange else _flaw(found, topic)
    if flaw is not None or topic is None:
        return WireMessage(b"", b"", "", b"", b"", flaw), left - 1
    author, seqno, data = found[tags.FROM], found[tags.SEQNO], found.get(tags.DATA)
    body = signed_body(unsigned_body(author, seqno, topic, data), found[tags.SIGNATURE])
    return WireMessage(author, seqno, topic, data or b"", body), left - 1


def _flaw(found: Mapping[int, bytes], topic: str | None) -> Flaw | None:  # noqa: PLR0911  one for each flaw
    """What is wrong with a message of these fields, reasons without blame first."""
    author, key = found.get(tags.FROM, b""), found.get(tags.KEY)
    if key == b"":
        return Flaw.FIELDS
    if topic is None:
        return Flaw.TOPIC
    if len(found.get(tags.SEQNO, b"")) != PUBSUB_SEQNO_BYTES:
        return Flaw.SEQNO
    if not author:
        return Flaw.NO_AUTHOR
    if len(author) != PUBSUB_AUTHOR_BYTES or not author.startswith(AUTHOR_PREFIX):
        return Flaw.OTHER_KEY_TYPE
    if len(found.get(tags.SIGNATURE, b"")) != SIGNATURE_BYTES:
        return Flaw.NO_SIGNATURE
    if key not in (None, author[2:]):  # Behind the head of the multihash stands the key itself.
        return Flaw.OTHER_KEY
    return None


def _topic(octets: bytes) -> str | None:
    if not 0 < len(octets) <= PUBSUB_TOPIC_BYTES_MAX:
        return None
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None


def _subscription(octets: bytes, left: int) -> tuple[bool, str | None, int]:
    subscribe, topic = False, b""
    for field, content, number in protobuf.fields(octets, left):
        left -= 1
        if field == tags.SUBSCRIBE:
            subscribe = number != 0
        elif field == tags.SUBSCRIBED_TOPIC:
            topic = content
    return subscribe, _topic(topic), left - 1


class _Control:
    """The control messages of an RPC while they are read."""

    def __init__(self) -> None:
        self.ihave: list[IHave] = []
        self.iwant: list[bytes] = []
        self.graft: list[str] = []
        self.prune: list[Prune] = []
        self.idontwant: list[bytes] = []
        self.skipped = 0

    def read(self, octets: bytes, left: int) -> int:
        """Add the contents of one control field; return how many more fields there may be."""
        for field, content, _ in protobuf.fields(octets, left):
            if field == tags.IHAVE:
                left = self._read_ihave(content, left)
            elif field == tags.IWANT:
                left = self._read_ids(self.iwant, content, left)
            elif field == tags.GRAFT:
                left = self._read_graft(content, left)
            elif field == tags.PRUNE:
                left = self._read_prune(content, left)
            elif field == tags.IDONTWANT:
                left = self._read_ids(self.idontwant, content, left)
            left -= 1
            if left < 0:
                raise _too_many()
        return left - 1

    def _read_ihave(self, octets: bytes, left: int) -> int:
        topic: str | None = None
        ids: list[bytes] = []
        for field, content, _ in protobuf.fields(octets, left):
            left -= 1
            if field == tags.IHAVE_ID:
                self._keep_id(ids, content)
            elif field == tags.IHAVE_TOPIC:
                topic = _topic(content)
        if topic is None:
            self.skipped += 1
        else:
            self.ihave.append(IHave(topic, tuple(ids)))
        return left

    def _read_ids(self, ids: list[bytes], octets: bytes, left: int) -> int:
        for field, content, _ in protobuf.fields(octets, left):
            left -= 1
            if field == tags.ID:
                self._keep_id(ids, content)
        return left

    def _keep_id(self, ids: list[bytes], message_id: bytes) -> None:
        if len(message_id) == PUBSUB_MESSAGE_ID_BYTES:
            ids.append(message_id)
        else:
            self.skipped += 1

    def _read_graft(self, octets: bytes, left: int) -> int:
        topic: str | None = None
        for field, content, _ in protobuf.fields(octets, left):
            left -= 1
            if field == tags.CONTROL_TOPIC:
                topic = _topic(content)
        if topic is None:
            self.skipped += 1
        else:
            self.graft.append(topic)
        return left

    def _read_prune(self, octets: bytes, left: int) -> int:
        topic: str | None = None
        peers: list[tuple[bytes, bytes]] = []
        backoff_s: int | None = None
        for field, content, number in protobuf.fields(octets, left):
            left -= 1
            if field == tags.CONTROL_TOPIC:
                topic = _topic(content)
            elif field == tags.PRUNE_PEER:
                left = self._read_px_peer(peers, content, left)
            elif field == tags.PRUNE_BACKOFF:
                backoff_s = number
        if topic is None:
            self.skipped += 1
        else:
            self.prune.append(Prune(topic, tuple(peers), backoff_s))
        return left

    def _read_px_peer(self, peers: list[tuple[bytes, bytes]], octets: bytes, left: int) -> int:
        multihash = record = b""
        for field, content, _ in protobuf.fields(octets, left):
            left -= 1
            if field == tags.PX_ID:
                multihash = content
            elif field == tags.PX_RECORD:
                record = content
        if (
            len(multihash) == PUBSUB_AUTHOR_BYTES
            and multihash.startswith(AUTHOR_PREFIX)
            and len(record) <= PUBSUB_PX_RECORD_BYTES_MAX
            and len(peers) < PUBSUB_PX_PEERS_MAX
        ):
            peers.append((multihash, record))
        else:
            self.skipped += 1
        return left
