"""What holds for every name, every split, every interruption and every order of events."""

import asyncio
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.transfers import codes, transfer
from kontinuum.transfer.errors import BadFileNameError, TransferInterruptedError, TransferProtocolError
from kontinuum.transfer.events import (
    Decided,
    Finalised,
    Moved,
    PartFailed,
    Received,
    StreamEnded,
)
from kontinuum.transfer.incoming.machine import Receiver
from kontinuum.transfer.messages import (
    Abort,
    Answer,
    Answers,
    Begin,
    Chunk,
    Code,
    End,
    FileOffer,
    Offer,
    Unknown,
    Verdict,
    decode,
    encode,
)
from kontinuum.transfer.names import verify_file_name
from kontinuum.transfer.outgoing.machine import Sender

sizes = st.integers(0, 40)
indexes = st.integers(0, 3)
code_numbers = st.integers(0, 14)
digests = st.just(b"d" * 32)
messages = st.one_of(
    st.builds(
        Offer,
        st.lists(st.builds(FileOffer, st.sampled_from("abc"), sizes), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Answers, st.lists(st.builds(Answer, code_numbers), min_size=1, max_size=3).map(tuple)),
    st.builds(Begin, indexes, st.sampled_from([0, 0, 5])),
    st.builds(Chunk, st.integers(1, 50)),
    st.builds(End, digests),
    st.builds(Abort, indexes, code_numbers),
    st.builds(Verdict, indexes, code_numbers),
    st.builds(Unknown, st.integers(8, 99)),
)


@given(st.text())
def test_an_accepted_name_stays_in_its_directory(name):
    """
    Whatever the text: it is refused, or it names a direct, visible child of the directory.
    """
    try:
        verify_file_name(name)
    except BadFileNameError:
        return
    directory = Path("/srv/in")
    assert (directory / name).parent == directory
    assert (directory / name).name == name
    assert not name.startswith(".")
    assert "\0" not in name
    assert len(name.encode()) < 221


@given(messages.filter(lambda message: not isinstance(message, Unknown)))
def test_messages_survive_their_bytes(message):
    """
    Decoding is the inverse of encoding.
    """
    assert decode(encode(message)[4:]) == message


@given(st.lists(messages, max_size=30), st.randoms(use_true_random=False))
def test_no_order_of_messages_makes_the_receiver_store_what_it_did_not_accept(script, rng):
    """
    Any messages in any order: an error of the peer, or content that stays within what was accepted.
    """
    receiver = Receiver(0.0)
    taken, accepted = {}, {}
    events = [Received(message) for message in script] + [StreamEnded()]
    try:
        for event in events:
            pending = [event]
            while pending:
                for effect in receiver.handle(pending.pop(0), 0.0):
                    match type(effect).__name__:
                        case "Decide":
                            answers = tuple(
                                Answer(problem or rng.choice([0, 0, Code.EXISTS]))
                                for problem in effect.problems
                            )
                            accepted = {
                                index: file.size
                                for index, (file, answer) in enumerate(
                                    zip(effect.offer.files, answers, strict=True)
                                )
                                if answer.code == 0
                            }
                            pending.append(Decided(answers))
                        case "TakeContent" if effect.keep:
                            taken[receiver.current] = taken.get(receiver.current, 0) + effect.length
                            pending.append(Moved(effect.length))
                            if rng.random() < 0.1:
                                pending.append(PartFailed(receiver.current, Code.NO_SPACE))
                        case "Finalise":
                            pending.append(Finalised(effect.index, Code.STORED))
    except TransferProtocolError:
        pass
    assert set(taken) <= set(accepted)
    assert all(length <= accepted[index] for index, length in taken.items())
    for index, outcome in enumerate(receiver.outcomes):
        if outcome.code == Code.STORED:
            assert taken.get(index, 0) == accepted[index]


@given(st.lists(messages, max_size=30))
def test_no_order_of_messages_confuses_the_sender(script):
    """
    Any messages in any order: an error of the peer or progress; a file counts as stored only by a verdict.
    """
    sender = Sender([FileOffer("a", 5), FileOffer("b", 9)])
    sender.start(0.0)
    try:
        for message in script:
            sender.handle(Received(message), 0.0)
    except TransferProtocolError:
        return
    # No content event was given, so nothing can have been sent, let alone stored.
    assert all(outcome.code != Code.STORED for outcome in sender.outcomes)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lengths=st.lists(st.integers(0, 3 << 20), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 7 << 20), max_size=3),
    block_max=st.sampled_from([None, 1000, 70_000]),
    change=st.booleans(),
)
def test_however_often_it_is_interrupted_the_files_arrive_unchanged(seed, lengths, cuts, block_max, change):
    """
    Any sizes, any number of lost connections, sources that change in between: at last every file is there.
    """
    asyncio.run(interrupted_again_and_again(seed, lengths, cuts, block_max, change))


async def interrupted_again_and_again(seed, lengths, cuts, block_max, change):
    """Run sessions that lose the connection after ``cuts`` bytes, and one that does not."""
    rng = random.Random(seed)  # noqa: S311 -- test data
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "from", Path(place) / "to"
        source.mkdir()
        target.mkdir()
        paths = [source / f"f{index}" for index in range(len(lengths))]
        for path, length in zip(paths, lengths, strict=True):
            path.write_bytes(rng.randbytes(length))
        for cut in cuts:
            session = await transfer(
                paths, target, block_max=block_max, spoil=lambda *ends, cut=cut: lost_after(cut, *ends)
            )
            assert isinstance(session.sent, TransferInterruptedError | list)
            if change and not (target / "f0").exists():
                paths[0].write_bytes(rng.randbytes(lengths[0]))
        session = await transfer(paths, target, block_max=block_max)
        assert set(codes(session.sent)) <= {Code.STORED, Code.EXISTS}
        for path in paths:
            assert (target / path.name).read_bytes() == path.read_bytes()
        assert sorted(path.name for path in target.iterdir()) == [path.name for path in paths]


async def lost_after(cut, ours, _theirs, session):
    """Lose the connection after so many bytes, or let the session end before."""
    while ours.outgoing.bytes_total < cut and not ours.outgoing.ended:
        async with ours.outgoing.changed:
            await ours.outgoing.changed.wait()
    assert session is not None
    if not ours.outgoing.ended:
        ours.lose()
