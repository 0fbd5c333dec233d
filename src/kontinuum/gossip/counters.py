"""What a router counts, for metrics and people."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """How often something happened since the router's start."""

    # --- messages that came in, each counted once here ---

    rpcs_received: int = 0
    rpcs_malformed: int = 0
    """No RPC at all; costs P7."""
    rpcs_graylisted: int = 0
    """Not looked at, for the sender's score."""
    rpcs_stray: int = 0
    """Of a peer that is not connected."""
    messages_received: int = 0
    """With all of the following."""
    duplicates: int = 0
    own_returned: int = 0
    """Messages of our own that came back."""
    unsolicited: int = 0
    """Of topics that we are not in; costs P7, but not shortly after we left."""
    flawed: int = 0
    """Such as nobody forwards; costs P4."""
    flawed_forgivably: int = 0
    """Such as some implementations forward: passed over."""
    too_large: int = 0
    replayed: int = 0
    """Known once and forgotten since, by their sequence number."""
    throttled: int = 0
    """The application has too many to validate already."""
    graylisted_unverified: int = 0
    """Of a peer that was graylisted while its messages were verified."""
    bad_signatures: int = 0
    """Costs P4."""
    accepted: int = 0
    ignored: int = 0
    rejected: int = 0
    """What the application said; rejected costs P4."""
    validations_expired: int = 0
    """The application said nothing in time: as ignored."""

    # --- messages that went out ---

    published: int = 0
    delivered: int = 0
    """To our own subscribers."""
    rpcs_sent: int = 0
    bytes_sent: int = 0
    messages_queued: int = 0
    """One for each peer that a message goes to."""
    forwards_saved: int = 0
    """Messages not forwarded, since the peer turned out to have them."""
    dropped_queue_full: int = 0
    dropped_too_old: int = 0
    dropped_control: int = 0

    # --- control messages ---

    ihave_sent: int = 0
    ihave_received: int = 0
    """Ids, in the messages as well as in the next two pairs."""
    iwant_sent: int = 0
    iwant_received: int = 0
    iwant_answered: int = 0
    idontwant_sent: int = 0
    idontwant_received: int = 0
    idontwant_honoured: int = 0
    """Messages not sent, since the peer has them."""
    graft_sent: int = 0
    graft_received: int = 0
    prune_sent: int = 0
    prune_received: int = 0
    grafts_refused: int = 0
    promises_broken: int = 0
    px_accepted: int = 0
    px_refused: int = 0
    """Peers named in a PRUNE."""
    subscriptions_refused: int = 0
    skipped: int = 0
    """Topics and ids in control messages that are none of ours."""
    flooded: int = 0
    """Ids beyond what we look at in a heartbeat."""
    heartbeats: int = 0

    def as_dict(self) -> dict[str, int]:
        """All of them by name."""
        return asdict(self)
