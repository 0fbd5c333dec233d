"""What an operation asks beside its search, and that it ends whatever peers answer to what."""

import pytest

from helpers.dht_net import Net
from helpers.dht_peers import key_pair, peer, placed
from helpers.records import content
from kontinuum.dht.keys import key_of
from kontinuum.dht.operation import Arrived, Surroundings
from kontinuum.dht.operations import FindProvidersOperation, GetOperation
from kontinuum.dht.search import Search, SearchSettings
from kontinuum.messages.kad import KadMessage, KadRecord, MessageType

KEY, VALUE = content(1)
TARGET = key_of(KEY)
RADIUS = 0xFF
CROWD = [placed(number, TARGET ^ number) for number in range(1, 5)]
"""Ids ground next to the key: they have nothing."""
BESIDE = placed(100, TARGET ^ 0x90)
"""An honest peer in the region."""
FAR = placed(101, TARGET ^ 0x900)


def crowded(kind=GetOperation, **fields):
    """An operation that has found a crowd next to its key, and looks beside it: FAR is asked."""
    around = Surroundings(
        k=4,
        validators=Net([0]).machines[0].parts.validators,
        density=lambda _target, _closest: RADIUS,
        near=lambda _count: RADIUS,
        validate=True,
        newest=True,
        sender=b"",
    )
    search = Search(
        TARGET,
        [*CROWD, FAR],
        local=key_pair(0).peer_id,
        settings=SearchSettings(k=4, alpha=4, prefix_caps=False),
    )
    operation = kind(search, around, 60.0, key=KEY, **fields)
    asked = operation.start(0.0)
    assert [one for one, _ in asked] == CROWD
    for one in CROWD:
        wants = answer(operation, one, asked[0][1].type)
    assert [(one, message.type) for one, message in wants] == [(FAR, MessageType.FIND_NODE)]
    return operation


def get():
    """A get of that kind."""
    return crowded(quorum=1, paths=1, local=None)


def answer(operation, one, kind, closer=(), value=None, now=0.1):
    """``one`` answers."""
    record = None if value is None else KadRecord(KEY, value)
    message = KadMessage(kind, key=KEY, record=record)
    return operation.answered(Arrived(one, one.ip, message, closer), now, Net([0]).calendar(now))


def types(wants, one):
    """What that peer is to be asked."""
    return [message.type for wanted, message in wants if wanted is one]


def test_who_is_found_beside_a_crowd_is_asked_for_the_record_at_once():
    """
    The record is there as soon as the first honest holder is found, not when the whole region is.
    """
    operation = get()
    wants = answer(operation, FAR, MessageType.FIND_NODE, [BESIDE])
    assert types(wants, BESIDE) == [MessageType.FIND_NODE]

    wants = answer(operation, BESIDE, MessageType.FIND_NODE)
    assert types(wants, BESIDE)[0] is MessageType.GET_VALUE
    assert operation.outcome is None
    answer(operation, BESIDE, MessageType.GET_VALUE, value=VALUE)

    assert operation.outcome.value == VALUE
    assert operation.outcome.answers == 1


def test_an_answer_to_the_search_is_not_taken_for_one_to_what_it_was_told():
    """
    A peer that is asked for a place and for the record at once answers both, and whom it names is asked.
    """
    operation = get()
    answer(operation, FAR, MessageType.FIND_NODE, [BESIDE])
    wants = answer(operation, BESIDE, MessageType.FIND_NODE)
    wants += answer(operation, FAR, MessageType.FIND_NODE)
    assert types(wants, BESIDE) == [MessageType.GET_VALUE, MessageType.FIND_NODE]

    place = operation.search.place
    another = placed(102, place ^ 1)
    assert types(answer(operation, BESIDE, MessageType.FIND_NODE, [another]), another) == [
        MessageType.FIND_NODE
    ]
    assert operation.outcome is None
    answer(operation, BESIDE, MessageType.GET_VALUE, value=VALUE)
    assert operation.outcome.value == VALUE


def test_who_is_outside_the_region_is_not_asked_beside_the_search():
    """
    Only those who should hold the record.
    """
    wants = answer(get(), FAR, MessageType.FIND_NODE, [BESIDE])

    assert MessageType.GET_VALUE not in types(wants, FAR)


def finish(operation):
    """Let everybody who is asked from now on answer the search with nobody, and all else with nothing."""
    wants = answer(operation, BESIDE, MessageType.FIND_NODE)
    for _ in range(50):
        if operation.outcome is not None:
            return
        one, message = wants.pop(0)
        wants += answer(operation, one, message.type)


@pytest.mark.parametrize("kind", [MessageType.FIND_NODE, MessageType.GET_VALUE, MessageType.PING])
def test_an_answer_of_another_kind_does_not_hold_it_up(kind):
    """
    A liar that answers one thing with another is counted once for each request, and waited for no more.
    """
    operation = get()
    wants = answer(operation, FAR, MessageType.FIND_NODE, [BESIDE])
    wants += answer(operation, BESIDE, MessageType.FIND_NODE)
    for _ in range(50):
        if operation.outcome is not None:
            break
        one, _ = wants.pop(0)
        wants += answer(operation, one, kind)

    assert operation.outcome is not None
    assert operation.outcome.value is None


def test_a_peer_that_fails_what_it_was_told_beside_the_search_does_not_hold_it_up():
    """
    Both of its requests may fail; neither is waited for afterwards.
    """
    operation = get()
    wants = answer(operation, FAR, MessageType.FIND_NODE, [BESIDE])
    wants += answer(operation, BESIDE, MessageType.FIND_NODE)
    for _ in range(50):
        if operation.outcome is not None:
            break
        one, _ = wants.pop(0)
        wants += operation.failed(one, 5.0)

    assert operation.outcome is not None
    assert operation.search.done


def test_providers_are_asked_for_beside_a_crowd_too():
    """
    As records are.
    """
    operation = crowded(
        FindProvidersOperation, count=5, quorum=3, local=(), check=lambda _message, _at: [peer(50)]
    )
    answer(operation, FAR, MessageType.FIND_NODE, [BESIDE])
    wants = answer(operation, BESIDE, MessageType.FIND_NODE)

    assert types(wants, BESIDE)[0] is MessageType.GET_PROVIDERS
