"""What holds for every RPC of pubsub, however it is written."""

from hypothesis import given
from hypothesis import strategies as st

from helpers.dht_peers import key_pair
from helpers.kad_messages import number, octets
from kontinuum.messages.pubsub import IHave, Prune, Rpc, decode, encode
from kontinuum.messages.pubsub_fields import message_field, signed_body, unsigned_body
from kontinuum.wire import MalformedError

authors = st.integers(0, 7).map(lambda each: key_pair(each).peer_id.multihash)
topics = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
seqnos = st.binary(min_size=8, max_size=8)
signatures = st.binary(min_size=64, max_size=64)
data = st.none() | st.binary(max_size=300)
ids = st.lists(st.builds(lambda author, seqno: author + seqno, authors, seqnos), max_size=4).map(tuple)
bodies = st.builds(
    lambda author, seqno, topic, content, signature: signed_body(
        unsigned_body(author, seqno, topic, content), signature
    ),
    authors,
    seqnos,
    topics,
    data,
    signatures,
)
messages = bodies.map(lambda body: decode(message_field(body)).messages[0])
peers = st.lists(st.tuples(authors, st.binary(max_size=100)), max_size=3).map(tuple)
rpcs = st.builds(
    Rpc,
    st.lists(st.tuples(st.booleans(), topics), max_size=4).map(tuple),
    st.lists(messages, max_size=4).map(tuple),
    st.lists(st.builds(IHave, topics, ids), max_size=3).map(tuple),
    ids,
    st.lists(topics, max_size=3).map(tuple),
    st.lists(st.builds(Prune, topics, peers, st.none() | st.integers(0, 2**64 - 1)), max_size=3).map(tuple),
    ids,
    st.just(0),
)
unknown = st.builds(octets, st.integers(7, 2**29 - 1), st.binary(max_size=20)) | st.builds(
    number, st.integers(7, 2**29 - 1), st.integers(0, 2**64 - 1)
)


@given(rpcs)
def test_every_rpc_survives_its_bytes(rpc):
    """
    And there is one way to write it.
    """
    assert decode(encode(rpc)) == rpc


@given(rpcs, st.lists(unknown, max_size=4))
def test_unknown_fields_change_nothing(rpc, extra):
    """
    In front and behind: newer versions have more.
    """
    assert decode(b"".join(extra) + encode(rpc) + b"".join(extra)) == rpc


@given(bodies, st.permutations(range(5)))
def test_a_message_has_one_form(body, order):
    """
    In whichever order its fields come, what is signed and forwarded is the same.
    """
    (canonical,) = decode(message_field(body)).messages
    with_data = body[40:41] == b"\x12"
    fields = [octets(1, canonical.author), octets(3, canonical.seqno), octets(4, canonical.topic.encode())]
    fields += [octets(5, canonical.signature), octets(2, canonical.data) if with_data else b""]

    (shuffled,) = decode(message_field(b"".join(fields[at] for at in order))).messages

    assert canonical.flaw is None
    assert canonical.body == body
    assert shuffled == canonical


@given(st.binary(max_size=400), rpcs, st.integers(0, 400), st.integers(0, 400))
def test_damaged_bytes_are_an_rpc_or_refused(noise, rpc, start, length):
    """
    Nothing else happens, and what is read can be written and read again.
    """
    whole = encode(rpc)
    damaged = whole[:start] + noise + whole[start + length :]
    try:
        found = decode(damaged)
    except MalformedError:
        return

    again = found._replace(messages=tuple(each for each in found.messages if each.flaw is None), skipped=0)
    assert decode(encode(found)) == again
