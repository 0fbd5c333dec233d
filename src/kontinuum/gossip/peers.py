"""What the router knows of a connected peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kontinuum.gossip.events import Protocol
    from kontinuum.gossip.outbox import Outbox
    from kontinuum.gossip.topics import Topic
    from kontinuum.identity import PeerId


class Peer:
    """A connected peer. Two of them are never equal, so a peer that comes again is another one."""

    __slots__ = (
        "address",
        "idontwant_ids",
        "ids_asked",
        "ihave_messages",
        "is_direct",
        "is_graylisted",
        "iwant_useless",
        "outbound",
        "outbox",
        "peer_id",
        "protocol",
        "toggles",
        "topics",
        "topics_left",
        "unsolicited",
    )

    def __init__(
        self, peer_id: PeerId, protocol: Protocol, outbox: Outbox, *, outbound: bool, address: str | None
    ) -> None:
        self.peer_id = peer_id
        self.protocol = protocol
        self.outbox = outbox
        self.outbound = outbound
        self.address = address
        self.is_direct = False
        self.topics: dict[str, Topic] = {}
        """The topics that it is in."""
        self.is_graylisted = False
        self.ihave_messages = 0
        self.ids_asked = 0
        self.iwant_useless = 0
        self.idontwant_ids = 0
        self.unsolicited = 0
        self.toggles = 0
        self.topics_left: set[str] = set()
        self.begin_heartbeat()

    def begin_heartbeat(self) -> None:
        """Begin to count anew."""
        self.ihave_messages = 0
        """RPCs with an IHAVE."""
        self.ids_asked = 0
        """Ids that we asked it for."""
        self.iwant_useless = 0
        """Ids that it asked for and did not get."""
        self.idontwant_ids = 0
        """Ids that it does not want."""
        self.unsolicited = 0
        """Messages of topics that nobody here is in."""
        self.toggles = 0
        """How often it came back into a topic of ours that it had left."""
        self.topics_left.clear()
        """The topics of ours that it left."""
