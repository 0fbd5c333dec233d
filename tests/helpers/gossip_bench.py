"""One gossip router on the bench: a test plays all of its peers, and reads what it says to them."""

from helpers.dht_peers import ip_of
from helpers.gossip_net import START_NS, message_body, peer_id, router
from kontinuum.gossip import events as ev
from kontinuum.messages.pubsub import decode
from kontinuum.messages.pubsub_fields import control_field, graft_part, message_field, subscription_field

TOPIC = "room"
LOCAL = 0


class Bench:
    """A router, number 0, in ``topics``; its heartbeats are at 1.0, 2.0, ... seconds.

    What it sends is kept until :meth:`heard` takes it, all else in ``effects``.
    """

    def __init__(self, *, topics=(TOPIC,), validate=False, **kwargs):
        self.now = 0.9
        self.effects = []
        self._sent = {}
        self._seqno = START_NS
        self.router = router(LOCAL, **kwargs)
        self.perform(self.router.handle_timeout(self.now))
        for topic in topics:
            self.give(ev.Subscribe(topic, validate))

    def perform(self, effects):
        """Take effects in."""
        for effect in effects:
            if isinstance(effect, ev.Send):
                self._sent.setdefault(effect.peer, []).append(decode(effect.data))
            else:
                self.effects.append(effect)

    def give(self, *events):
        """Give the router events."""
        self.perform(self.router.handle_batch(events, self.now))

    def run(self, seconds):
        """Let time go on, from deadline to deadline."""
        end = self.now + seconds
        while self.router.next_deadline() <= end:
            self.now = max(self.now, self.router.next_deadline())
            self.perform(self.router.handle_timeout(self.now))
            assert self.router.next_deadline() > self.now
        self.now = end

    def connect(
        self,
        number,
        *,
        topics=(TOPIC,),
        protocol=ev.Protocol.MESHSUB_1_2,
        outbound=False,
        mesh=None,
        room_bytes=ev.SEND_ROOM_BYTES,
        address=None,
    ):
        """A peer connects and says its topics. With ``mesh`` it grafts, and is in the mesh then, or not."""
        address = address or ip_of(number)
        self.give(ev.PeerConnected(peer_id(number), protocol, outbound, address, room_bytes))
        self.say(number, *(subscription_field(topic, subscribe=True) for topic in topics))
        if mesh and number not in self.mesh():
            self.say(number, control_field([graft_part(TOPIC)]))
        if mesh is not None:
            assert (number in self.mesh()) is mesh
        return peer_id(number)

    def say(self, number, *fields):
        """A peer sends one RPC of these fields."""
        if fields:
            self.give(ev.RpcReceived(peer_id(number), b"".join(fields)))

    def tell(self, number, *parts):
        """A peer sends one RPC with these control parts."""
        self.say(number, control_field(parts))

    def message(self, author=99, data=b"data", *, topic=TOPIC, seqno=None, sign=None):
        """A signed message as a field of an RPC; the next one of whoever writes it."""
        self._seqno += 1
        return message_field(message_body(author, topic, data, seqno or self._seqno, sign=sign))

    def heard(self, number):
        """What a peer was told since the last call: RPCs, put together into one."""
        rpcs = self._sent.pop(peer_id(number), [])
        together = [sum((getattr(rpc, name) for rpc in rpcs), ()) for name in decode(b"")._fields[:-1]]
        return decode(b"")._replace(**dict(zip(decode(b"")._fields[:-1], together, strict=True)))

    def hush(self):
        """Forget what everybody was told, and all effects."""
        self._sent.clear()
        self.effects.clear()

    def mesh(self, topic=TOPIC):
        """The numbers of the peers in the mesh."""
        known = {peer_id(number): number for number in range(120)}
        return [known[peer] for peer in self.router.mesh_peers(topic)]

    def delivered(self):
        """The data of what was delivered."""
        return [effect.message.data for effect in self.all(ev.Deliver)]

    def all(self, kind):
        """All effects of a kind."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def score(self, number):
        """The score of a peer."""
        return self.router.score(peer_id(number))

    def count(self, name):
        """A counter."""
        return self.router.counters()[name]
