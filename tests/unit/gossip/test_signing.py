"""StrictSign with real keys: what we sign others verify, and what others sign we do."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from helpers.dht_peers import key_pair
from helpers.gossip_bench import LOCAL, TOPIC, Bench
from helpers.gossip_net import START_NS, message_body, peer_id
from helpers.identities import vectors
from kontinuum.gossip import events as ev
from kontinuum.gossip.signing import VERIFY_MAX, Author, signer, verify
from kontinuum.messages.pubsub import decode
from kontinuum.messages.pubsub_fields import AUTHOR_PREFIX, message_field, signed_body, unsigned_body


def real(**kwargs):
    """A bench whose router signs and verifies, with two peers in its mesh."""
    bench = Bench(sign=signer(key_pair(LOCAL)), verify=verify, **kwargs)
    for number in (1, 2):
        bench.connect(number, mesh=True)
    bench.hush()
    return bench


def test_what_we_publish_can_be_verified_by_anybody():
    """
    A second library checks it against the author that stands in it.
    """
    bench = real()
    bench.give(ev.Publish(TOPIC, b"hello", 1))
    (message,) = bench.heard(1).messages

    assert message.author == peer_id(LOCAL).multihash
    key = Ed25519PublicKey.from_public_bytes(message.author[6:])
    key.verify(message.signature, message.signed_bytes)
    with pytest.raises(InvalidSignature):
        key.verify(message.signature, message.signed_bytes + b"x")


def test_what_others_sign_is_taken():
    """
    Signed by a second library, and each bit of it counts.
    """
    bench = real()
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw()
    unsigned = unsigned_body(AUTHOR_PREFIX + public, (START_NS).to_bytes(8), TOPIC, b"hello")
    body = signed_body(unsigned, key.sign(b"libp2p-pubsub:" + unsigned))
    for at in (45, len(body) - 1, len(body) - 64):
        changed = bytearray(body)
        changed[at] ^= 1
        bench.say(2, message_field(bytes(changed)))
    assert bench.delivered() == []
    bench.say(1, message_field(body))

    assert bench.delivered() == [b"hello"]
    assert bench.all(ev.Deliver)[0].message.author == public
    assert bench.score(2) < 0 < bench.score(1)


@pytest.mark.parametrize("row", vectors("ed25519_points.json")[:8], ids=lambda row: row["comment"])
def test_keys_of_nobody_sign_nothing(row):
    """
    Points of small order, under which anybody's bytes verify somewhere.
    """
    key = bytes.fromhex(row["bytes"])
    bench = real()
    unsigned = unsigned_body(AUTHOR_PREFIX + key, (START_NS).to_bytes(8), TOPIC, b"hello")
    bench.say(1, message_field(signed_body(unsigned, key + bytes(32))))

    assert bench.delivered() == []
    assert bench.count("bad_signatures") == 1


def test_a_long_list_is_verified_in_several_calls():
    """
    The native one takes VERIFY_MAX at once.
    """
    (good,) = decode(message_field(message_body(1, TOPIC, b"x", START_NS, sign=signer(key_pair(1))))).messages
    item = (good.author[6:], good.signed_bytes, good.signature)
    bad = (good.author[6:], good.signed_bytes + b"x", good.signature)

    assert verify([item, bad]) == [True, False]
    assert verify([item] * VERIFY_MAX + [bad, item]) == [True] * VERIFY_MAX + [False, True]
    assert verify([]) == []


def test_our_numbers_only_go_up():
    """
    Whatever the clock does.
    """
    times = iter((5, 5, 3, 9))
    author = Author(peer_id(LOCAL), signer(key_pair(LOCAL)), lambda _: next(times))

    assert [author.write(TOPIC, b"", 0.0)[0] for _ in range(4)] == [5, 6, 7, 9]
