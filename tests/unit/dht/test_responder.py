"""What a node answers when it is asked."""

from collections import Counter

import pytest

from helpers.dht_net import Net
from helpers.dht_peers import key_pair, peer, peers
from kontinuum.dht import events as ev
from kontinuum.dht.keys import key_of, key_of_peer
from kontinuum.dht.records import blake3_key
from kontinuum.dht.responder import PLACE_BYTES, PROVIDERS_PER_REPLY_MAX, target_of
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

ASKER = peer(1)
VALUE = b"a value"


@pytest.fixture
def net():
    """One node that knows three hundred peers."""
    net = Net([0])
    net.give(0, ev.Start())
    for one in peers(300, 2):
        net.machines[0].table.offer(one, one.ip, 0.0)
    return net


def answer(net, kind, key=b"", sender=ASKER, **fields):
    """The reply to one request."""
    request = ev.Request(7, sender.peer_id, sender.ip, KadMessage(kind, key=key, **fields))
    (machine,) = net.machines.values()
    effects = machine.handle(request, net.now)
    return next(effect for effect in effects if isinstance(effect, ev.Answer) and effect.ticket == 7).message


def test_the_closest_peers_are_named_without_the_asker(net):
    """k of them, nearest first."""
    machine = net.machines[0]
    asker = machine.table.closest(ASKER.key, 1)[0]
    reply = answer(net, MessageType.FIND_NODE, asker.peer_id.multihash, sender=asker)
    closest = machine.table.closest(asker.key, 21)
    assert closest[0] is asker
    assert reply.closer_peers == tuple(one.wire for one in closest[1:])


def test_a_key_of_32_bytes_is_a_place_and_any_other_is_hashed():
    """So that buckets can be refreshed; a peer id is never that short."""
    place = key_of(b"somewhere")
    assert target_of(KadMessage(MessageType.FIND_NODE, key=place.to_bytes(PLACE_BYTES))) == place
    assert target_of(KadMessage(MessageType.GET_VALUE, key=place.to_bytes(PLACE_BYTES))) != place
    multihash = ASKER.peer_id.multihash
    assert target_of(KadMessage(MessageType.FIND_NODE, key=multihash)) == key_of_peer(ASKER.peer_id)


def test_a_record_is_kept_and_given_away(net):
    """With closer peers beside it."""
    key = blake3_key(VALUE)
    record = KadRecord(key, VALUE)
    assert answer(net, MessageType.PUT_VALUE, key, record=record).refusal == ev.Refusal.NONE
    reply = answer(net, MessageType.GET_VALUE, key, sender=peer(5))
    assert reply.record == record
    assert len(reply.closer_peers) == 20


@pytest.mark.parametrize("record", [None, KadRecord(blake3_key(VALUE), VALUE)], ids=["none", "another key's"])
def test_a_put_names_one_key_and_brings_its_record(net, record):
    """A valid record under another key than the message's is refused, and nothing is kept under either."""
    key = blake3_key(b"another value")
    assert answer(net, MessageType.PUT_VALUE, key, record=record).refusal == ev.Refusal.INVALID
    assert len(net.machines[0].records) == 0


def test_only_a_peer_itself_says_that_it_provides(net):
    """Neither naming somebody else nor lending somebody else's contact works."""
    key, other = blake3_key(VALUE), peer(9)
    borrowed = type(other.wire)(ASKER.peer_id.multihash, other.wire.addresses, contact=other.wire.contact)
    for named in ((), (other.wire,), (borrowed,)):
        reply = answer(net, MessageType.ADD_PROVIDER, key, provider_peers=named)
        assert reply.refusal == ev.Refusal.INVALID
    assert answer(net, MessageType.GET_PROVIDERS, key).provider_peers == ()
    assert answer(net, MessageType.ADD_PROVIDER, key, provider_peers=(ASKER.wire,)).refusal == 0
    assert answer(net, MessageType.GET_PROVIDERS, key).provider_peers == (ASKER.wire,)


def test_a_reply_names_so_many_providers(net):
    """However many there are."""
    key = blake3_key(VALUE)
    for one in peers(PROVIDERS_PER_REPLY_MAX + 5, 400):
        answer(net, MessageType.ADD_PROVIDER, key, sender=one, provider_peers=(one.wire,))
    reply = answer(net, MessageType.GET_PROVIDERS, key)
    assert len(reply.provider_peers) == PROVIDERS_PER_REPLY_MAX


def test_each_provider_is_named_as_often_as_any_other(net):
    """Whoever came first, or comes again, is no better off; nobody is named twice in a reply."""
    key, count = blake3_key(VALUE), 100
    providers = peers(count, 400)
    for one in providers:
        answer(net, MessageType.ADD_PROVIDER, key, sender=one, provider_peers=(one.wire,))
    named = Counter()
    for asker in peers(50, 600):
        for _ in range(4):
            reply = answer(net, MessageType.GET_PROVIDERS, key, sender=asker).provider_peers
            assert len(set(reply)) == PROVIDERS_PER_REPLY_MAX
            named.update(reply)
    assert set(named) == {one.wire for one in providers}
    assert 20 <= min(named.values()) <= max(named.values()) <= 65, "40 on average, deviation 6"


def test_holders_and_replies_name_different_providers():
    """An asker that asks again, or another holder, learns of more; the same run chooses the same."""
    key = blake3_key(VALUE)

    def replies(number):
        holder = Net([number])
        for one in peers(60, 400):
            answer(holder, MessageType.ADD_PROVIDER, key, sender=one, provider_peers=(one.wire,))
        return [answer(holder, MessageType.GET_PROVIDERS, key).provider_peers for _ in range(2)]

    assert replies(0) == replies(0)
    assert len({frozenset(reply) for number in (0, 2) for reply in replies(number)}) == 4


def test_a_ping_brings_our_contact_of_today(net):
    """Who has an old one learns the new one."""
    reply = answer(net, MessageType.PING)
    assert reply.sender == peer(0).wire.contact


def test_an_answer_to_a_ping_counts_for_nobody_else():
    """Somebody else's contact in the answer to a ping changes nothing."""
    net = Net([0, 1])
    net.intercept = lambda _number, ask: (
        KadMessage(MessageType.PING, sender=peer(66).wire.contact)
        if ask.message.type is MessageType.PING
        else None
    )
    net.start()
    assert key_pair(66).peer_id not in net.machines[1].table
    assert key_pair(0).peer_id in net.machines[1].table
