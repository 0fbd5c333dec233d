"""Validators of the application, and what they may do wrong."""

import asyncio

import pytest

from helpers.identities import ALICE, BOB
from helpers.nodes import eventually
from kontinuum.base.errors import MisuseError
from kontinuum.gossip import validation
from kontinuum.gossip.events import Message, Verdict
from kontinuum.gossip.validation import Validators

ACCEPT, IGNORE, REJECT = Verdict.ACCEPT, Verdict.IGNORE, Verdict.REJECT


def message(number=0, peer=ALICE, topic="news"):
    """Message ``number``, which ``peer`` has brought."""
    return Message(topic, b"data", ALICE.peer_id, number, b"%d" % number, peer.peer_id)


@pytest.fixture
def reports():
    """The verdicts that were reported, by sequence number."""
    return []


@pytest.fixture
async def validators(reports):
    """No validators yet."""
    made = Validators(lambda asked, verdict: reports.append((asked.seqno, verdict)))
    yield made
    await made.close()


async def settle(validators):
    """Wait until nobody is at work."""
    await eventually(lambda: not validators.at_work)


class TestVerdicts:
    @pytest.mark.parametrize("verdict", list(Verdict))
    async def test_a_plain_function_answers_at_once(self, validators, reports, verdict):
        """
        Its verdict is there before ``begin`` returns, and counted.
        """
        validators.add("news", lambda _message: verdict)
        assert validators.of("news")
        assert not validators.of("other")
        validators.begin(message(5))
        assert reports == [(5, verdict)]
        assert validators.counts == {verdict.value: 1}

    @pytest.mark.parametrize("verdict", list(Verdict))
    async def test_a_coroutine_answers_later(self, validators, reports, verdict):
        """
        Messages that come meanwhile need not wait for it.
        """
        go = asyncio.Event()

        async def slow(asked):
            if asked.seqno == 1:
                await go.wait()
            return verdict

        validators.add("news", slow)
        validators.begin(message(1))
        validators.begin(message(2))
        await eventually(lambda: reports)
        assert reports == [(2, verdict)]
        go.set()
        await settle(validators)
        assert reports == [(2, verdict), (1, verdict)]

    async def test_of_several_the_first_that_does_not_accept_decides(self, validators, reports):
        """
        In the order in which they were added, plain or not; the others are not asked any more.
        """
        asked = []

        def plain(verdict):
            def validator(_message):
                asked.append(verdict)
                return verdict

            return validator

        async def waiting(_message):
            await asyncio.sleep(0)
            asked.append("waiting")
            return ACCEPT

        for validator in (plain(ACCEPT), waiting, plain(IGNORE), plain(REJECT)):
            validators.add("news", validator)
        validators.begin(message())
        await settle(validators)
        assert reports == [(0, IGNORE)]
        assert asked == [ACCEPT, "waiting", IGNORE]

    async def test_a_topic_whose_last_validator_was_removed_accepts(self, validators, reports):
        """
        The verdict on a message that was under way is not lost.
        """

        def reject(_message):
            return REJECT

        validators.add("news", reject)
        validators.remove("news", reject)
        assert not validators.of("news")
        validators.begin(message())
        assert reports == [(0, ACCEPT)]

    def test_adding_twice_and_removing_what_is_not_there_are_refused(self):
        """
        Both are faults of the program that it should hear of.
        """
        validators = Validators(lambda *_: None)

        def validator(_message):
            return ACCEPT

        with pytest.raises(MisuseError):
            validators.remove("news", validator)
        validators.add("news", validator)
        with pytest.raises(MisuseError):
            validators.add("news", validator)
        validators.add("other", validator)


class TestFaults:
    @pytest.mark.parametrize("awaits", [False, True])
    @pytest.mark.parametrize("wrong", [ZeroDivisionError("fault"), None, True, "accept"])
    async def test_what_raises_or_returns_nonsense_costs_the_message_only(
        self, validators, reports, caplog, wrong, awaits
    ):
        """
        The message is ignored, nobody is to blame, the fault is counted and logged.
        """

        def answer():
            if isinstance(wrong, Exception):
                raise wrong
            return wrong

        async def coroutine(_message):
            await asyncio.sleep(0)
            return answer()

        validators.add("news", coroutine if awaits else lambda _message: answer())
        validators.begin(message())
        await settle(validators)
        assert reports == [(0, IGNORE)]
        assert validators.counts == {"failed": 1}
        assert "validator failed" in caplog.text

    async def test_one_that_never_answers_is_given_up(self, validators, reports, monkeypatch):
        """
        After its time the message is ignored, and its place is free.
        """
        monkeypatch.setattr(validation, "VALIDATION_TIMEOUT_S", 0.01)

        async def never(_message):
            await asyncio.Event().wait()

        validators.add("news", never)
        validators.begin(message())
        await settle(validators)
        assert reports == [(0, IGNORE)]
        assert validators.counts == {"timed_out": 1}

    async def test_one_peer_has_its_share_and_no_more(self, validators, reports, monkeypatch):
        """
        Beyond its share a peer's messages are ignored; those of another peer are still validated, up to the
        bound of all.
        """
        monkeypatch.setattr(validation, "VALIDATIONS_PER_PEER_MAX", 3)
        monkeypatch.setattr(validation, "VALIDATIONS_MAX", 5)
        go = asyncio.Event()

        async def slow(_message):
            await go.wait()
            return ACCEPT

        validators.add("news", slow)
        for number in range(4):
            validators.begin(message(number))
        assert reports == [(3, IGNORE)]
        for number in range(4, 7):
            validators.begin(message(number, BOB))
        assert reports == [(3, IGNORE), (6, IGNORE)]
        assert validators.at_work == 5
        go.set()
        await settle(validators)
        assert validators.counts == {"throttled": 2, "accept": 5}
        validators.begin(message(7))
        await settle(validators)
        assert reports[-1] == (7, ACCEPT)

    async def test_closing_ends_those_at_work(self):
        """
        A validator that would never end does not keep the node.
        """
        ended = []

        async def never(_message):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        validators = Validators(lambda *_: None)
        validators.add("news", never)
        validators.begin(message())
        await asyncio.sleep(0)
        await validators.close()
        assert ended == [True]
        assert validators.at_work == 0
