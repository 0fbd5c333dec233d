"""The sender and the receiver as pure machines."""

import pytest

from kontinuum.transfer.errors import TransferProtocolError
from kontinuum.transfer.events import (
    IDLE_TIMEOUT_S,
    UNKNOWN_MESSAGES_MAX,
    ClosePart,
    ContentEnded,
    ContentFailed,
    Decide,
    Decided,
    Finalise,
    Finalised,
    Finished,
    HashPrefix,
    Interrupted,
    Moved,
    OpenPart,
    Outcome,
    PartFailed,
    PrefixHashed,
    Received,
    Send,
    SendContent,
    StopContent,
    StreamEnded,
    TakeContent,
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
)
from kontinuum.transfer.outgoing.machine import Sender

A, B = FileOffer("a", 10), FileOffer("b", 20)
DIGEST = b"d" * 32
YES = Answer(Code.STORED)


def offered_sender(*answers):
    """Return a sender whose offer was answered, and what it does then."""
    sender = Sender([A, B][: len(answers)])
    sender.start(0.0)
    return sender, sender.handle(Received(Answers(answers)), 1.0)


def ready_receiver(*answers):
    """Return a receiver that gave these answers, and what it does then."""
    receiver = Receiver(0.0)
    receiver.handle(Received(Offer((A, B)[: len(answers)])), 0.0)
    return receiver, receiver.handle(Decided(answers), 0.0)


def test_the_sender_offers_first():
    """
    The first thing on the wire is the offer.
    """
    assert [Send(Offer((A, B)))] == Sender([A, B]).start(0.0)


def test_files_go_one_after_another_and_refused_ones_are_skipped():
    """
    Each accepted file is begun when the one before is sent; the session ends when every verdict is in.
    """
    sender, effects = offered_sender(Answer(Code.EXISTS), YES)
    assert effects == [Send(Begin(1, 0)), SendContent(1, 0)]
    assert sender.handle(Moved(20), 2.0) == []
    assert sender.handle(ContentEnded(1, DIGEST), 3.0) == [Send(End(DIGEST))]
    assert sender.handle(Received(Verdict(1, Code.STORED)), 4.0) == [Finished()]
    assert sender.outcomes == (Outcome(Code.EXISTS), Outcome(Code.STORED, 0, DIGEST))


def test_the_next_file_does_not_wait_for_the_verdict():
    """
    Verdicts are collected while the next file is on the way.
    """
    sender, _ = offered_sender(YES, YES)
    assert sender.handle(ContentEnded(0, DIGEST), 2.0) == [
        Send(End(DIGEST)),
        Send(Begin(1, 0)),
        SendContent(1, 0),
    ]
    assert sender.handle(Received(Verdict(0, Code.DIGEST_MISMATCH)), 2.0) == []
    sender.handle(ContentEnded(1, DIGEST), 2.0)
    assert sender.handle(Received(Verdict(1, Code.STORED)), 2.0) == [Finished()]
    assert [outcome.code for outcome in sender.outcomes] == [Code.DIGEST_MISMATCH, Code.STORED]


@pytest.mark.parametrize(("known", "offset"), [(b"p" * 32, 4), (b"q" * 32, 0)])
def test_a_file_is_continued_only_behind_the_same_beginning(known, offset):
    """
    The receiver's bytes count only if their hash is that of our own beginning; else all is sent again.
    """
    sender, effects = offered_sender(Answer(Code.STORED, 4, known))
    assert effects == [HashPrefix(0, 4)]
    assert sender.handle(PrefixHashed(0, b"p" * 32), 2.0) == [Send(Begin(0, offset)), SendContent(0, offset)]


def test_a_source_that_changed_is_reported_and_the_rest_goes_on():
    """
    A file that changes under the sender is aborted by name; the others still travel.
    """
    sender, _ = offered_sender(YES, YES)
    effects = sender.handle(ContentFailed(0, Code.SOURCE_CHANGED), 2.0)
    assert effects == [Send(Abort(0, Code.SOURCE_CHANGED)), Send(Begin(1, 0)), SendContent(1, 0)]
    assert sender.handle(Received(Verdict(0, Code.NO_SPACE)), 2.0) == []  # It crossed the abort.
    assert sender.outcomes[0].code == Code.SOURCE_CHANGED


def test_an_early_verdict_stops_the_content():
    """
    A receiver that gives a file up is not sent the rest of it.
    """
    sender, _ = offered_sender(YES)
    assert sender.handle(Received(Verdict(0, Code.NO_SPACE)), 2.0) == [StopContent(0)]
    assert sender.handle(ContentFailed(0, Code.CANCELLED), 3.0) == [
        Send(Abort(0, Code.CANCELLED)),
        Finished(),
    ]
    assert sender.outcomes == (Outcome(Code.NO_SPACE),)


@pytest.mark.parametrize(
    "message",
    [
        Offer((A,)),
        Begin(0, 0),
        Chunk(1),
        End(DIGEST),
        Abort(0, 1),
        Answers((YES,)),
        Verdict(0, Code.STORED),
        Verdict(1, Code.STORED),
        Verdict(255, 1),
    ],
)
def test_a_lying_receiver_ends_its_session(message):
    """
    Messages out of place, a second answer, a verdict on what was not sent: an error of the peer.
    """
    sender, _ = offered_sender(YES)
    with pytest.raises(TransferProtocolError):
        sender.handle(Received(message), 2.0)


@pytest.mark.parametrize("answers", [(YES,), (YES, YES, YES), (Answer(0, 11, DIGEST), YES)])
def test_answers_that_do_not_fit_the_offer_are_refused(answers):
    """
    One answer per file, and no more bytes than the file has.
    """
    sender = Sender([A, B])
    sender.start(0.0)
    with pytest.raises(TransferProtocolError):
        sender.handle(Received(Answers(answers)), 1.0)


def test_a_receiver_that_stands_still_is_given_up():
    """
    Without progress the sender ends; any progress moves the deadline; an early timeout does nothing.
    """
    sender, _ = offered_sender(YES)
    assert sender.next_deadline() == 1.0 + IDLE_TIMEOUT_S
    assert sender.handle_timeout(50.0) == []
    sender.handle(Moved(1), 60.0)
    assert sender.handle_timeout(61.5) == []
    [effect] = sender.handle_timeout(60.0 + IDLE_TIMEOUT_S)
    assert isinstance(effect, Interrupted)
    assert sender.next_deadline() is None
    assert sender.handle_timeout(1e9) == sender.handle(Moved(1), 1e9) == []


def test_unknown_messages_are_skipped_up_to_a_limit():
    """
    A newer peer may say things we do not know, but not without end.
    """
    sender, _ = offered_sender(YES)
    receiver, _ = ready_receiver(YES)
    for machine in (sender, receiver):
        for _ in range(UNKNOWN_MESSAGES_MAX):
            assert machine.handle(Received(Unknown(99)), 2.0) == []
        with pytest.raises(TransferProtocolError):
            machine.handle(Received(Unknown(99)), 2.0)


def test_a_file_is_taken_verified_and_judged():
    """
    The receiver asks about the offer, answers, opens, takes, verifies, and says what became of it.
    """
    receiver = Receiver(0.0)
    assert receiver.handle(Received(Offer((A,))), 0.0) == [Decide(Offer((A,)), (0,))]
    assert receiver.handle(Decided((YES,)), 0.0) == [Send(Answers((YES,)))]
    assert receiver.handle(Received(Begin(0, 0)), 0.0) == [OpenPart(0, A, 0)]
    assert receiver.handle(Received(Chunk(4)), 0.0) == [TakeContent(4, keep=True)]
    assert receiver.handle(Received(Chunk(6)), 0.0) == [TakeContent(6, keep=True)]
    assert receiver.handle(Received(End(DIGEST)), 0.0) == [Finalise(0, DIGEST)]
    assert receiver.handle(Finalised(0, Code.STORED), 0.0) == [Send(Verdict(0, Code.STORED))]
    assert receiver.handle(StreamEnded(), 0.0) == [Finished()]
    assert receiver.outcomes == (Outcome(Code.STORED, 0, DIGEST),)


def test_bad_and_colliding_names_are_marked_before_anybody_is_asked():
    """
    The policy and the disk never see a name as usable that is not, nor the same file twice.
    """
    offer = Offer(tuple(FileOffer(name, 1) for name in ("ok", "../x", "OK", "..", "fine")))
    [decide] = Receiver(0.0).handle(Received(offer), 0.0)
    assert decide.problems == (0, Code.BAD_NAME, Code.BAD_NAME, Code.BAD_NAME, 0)


def test_an_offer_of_nothing_wanted_ends_the_session():
    """
    When every file is refused nothing more is waited for.
    """
    _, effects = ready_receiver(Answer(Code.EXISTS), Answer(Code.TOO_LARGE))
    assert effects[-1] == Finished()


def test_a_resumed_file_counts_only_the_missing_bytes():
    """
    Content continues at our offset, or at 0 when the sender's file is another one; nowhere else.
    """
    answer = Answer(Code.STORED, 4, DIGEST)
    receiver, _ = ready_receiver(answer)
    assert receiver.handle(Received(Begin(0, 4)), 0.0) == [OpenPart(0, A, 4)]
    with pytest.raises(TransferProtocolError):
        receiver.handle(Received(Chunk(7)), 0.0)
    receiver, _ = ready_receiver(answer)
    with pytest.raises(TransferProtocolError):
        receiver.handle(Received(Begin(0, 5)), 0.0)


def test_a_file_we_cannot_write_is_given_up_and_the_next_one_taken():
    """
    A full disk costs that file; what is still on its way is thrown away, and the session goes on.
    """
    receiver, _ = ready_receiver(YES, YES)
    receiver.handle(Received(Begin(0, 0)), 0.0)
    receiver.handle(Received(Chunk(4)), 0.0)
    effects = receiver.handle(PartFailed(0, Code.NO_SPACE), 0.0)
    assert effects == [ClosePart(0), Send(Verdict(0, Code.NO_SPACE))]
    assert receiver.handle(PartFailed(0, Code.NO_SPACE), 0.0) == []
    assert receiver.handle(Received(Chunk(4)), 0.0) == [TakeContent(4, keep=False)]
    assert receiver.handle(Received(Abort(0, Code.CANCELLED)), 0.0) == []
    assert receiver.handle(Received(Begin(1, 0)), 0.0) == [OpenPart(1, B, 0)]
    assert receiver.outcomes[0].code == Code.NO_SPACE


def test_an_aborted_file_keeps_its_part():
    """
    What a sender gives up can be continued in a later session.
    """
    receiver, _ = ready_receiver(YES, YES)
    receiver.handle(Received(Begin(0, 0)), 0.0)
    assert receiver.handle(Received(Abort(0, Code.SOURCE_CHANGED)), 0.0) == [ClosePart(0)]
    assert receiver.handle(Received(Abort(1, Code.SOURCE_UNREADABLE)), 0.0) == []
    assert receiver.handle(StreamEnded(), 0.0) == [Finished()]
    assert [outcome.code for outcome in receiver.outcomes] == [Code.SOURCE_CHANGED, Code.SOURCE_UNREADABLE]


@pytest.mark.parametrize(
    "messages",
    [
        [Begin(2, 0)],
        [Begin(1, 0)],
        [Chunk(1)],
        [End(DIGEST)],
        [Offer((A,))],
        [Answers((YES,))],
        [Verdict(0, 0)],
        [Begin(0, 0), Begin(0, 0)],
        [Begin(0, 0), Chunk(11)],
        [Begin(0, 0), Chunk(9), End(DIGEST)],
        [Begin(0, 0), Abort(1, 1)],
        [Begin(0, 0), Abort(0, 1), Begin(0, 0)],
        [Abort(0, 1), Begin(0, 0)],
    ],
)
def test_a_lying_sender_ends_its_session(messages):
    """
    A refused file, a file twice, more content than offered, less than offered: an error of the peer.
    """
    receiver, _ = ready_receiver(YES, Answer(Code.EXISTS))
    for message in messages[:-1]:
        receiver.handle(Received(message), 0.0)
    with pytest.raises(TransferProtocolError):
        receiver.handle(Received(messages[-1]), 0.0)
    assert receiver.handle(Received(Chunk(1)), 0.0) == []


@pytest.mark.parametrize("reason", ["", "lost"])
def test_a_sender_may_leave_at_once_when_it_has_its_verdicts(reason):
    """
    A connection that ends after the last verdict does not make a complete session an interrupted one.
    """
    receiver, _ = ready_receiver(YES, Answer(Code.EXISTS))
    receiver.handle(Received(Begin(0, 0)), 0.0)
    receiver.handle(Received(Chunk(10)), 0.0)
    receiver.handle(Received(End(DIGEST)), 0.0)
    receiver.handle(Finalised(0, Code.STORED), 0.0)
    assert receiver.handle(StreamEnded(reason), 0.0) == [Finished()]


@pytest.mark.parametrize("reason", ["", "lost"])
def test_an_early_end_keeps_what_came(reason):
    """
    The stream may end anywhere; an open part is closed and kept, and the session is interrupted.
    """
    receiver, _ = ready_receiver(YES)
    receiver.handle(Received(Begin(0, 0)), 0.0)
    receiver.handle(Received(Chunk(4)), 0.0)
    effects = receiver.handle(StreamEnded(reason), 0.0)
    assert effects[0] == ClosePart(0)
    assert isinstance(effects[1], Interrupted)


def test_a_sender_that_stands_still_is_given_up_but_not_while_we_work():
    """
    Deciding and verifying take as long as they take; waiting for the sender does not.
    """
    receiver = Receiver(0.0)
    assert receiver.next_deadline() == IDLE_TIMEOUT_S
    receiver.handle(Received(Offer((A,))), 1.0)
    assert receiver.next_deadline() is None
    receiver.handle(Decided((YES,)), 500.0)
    receiver.handle(Received(Begin(0, 0)), 500.0)
    assert receiver.handle_timeout(500.0 + IDLE_TIMEOUT_S)[0] == ClosePart(0)
    assert receiver.next_deadline() is None
