"""Copies between vaults: everything that is lacking, once, whole, and nothing that a liar could want."""

import asyncio
import os

import pytest

from helpers.vaults import AT, OWNER, files, get, new_store, put
from kontinuum.base.clock import SystemClock
from kontinuum.base.errors import FileUnavailableError, UnavailableError
from kontinuum.vault import Index, ObjectId, VaultStore, service
from kontinuum.vault.errors import SyncInterruptedError, SyncProtocolError, SyncRefusedError
from kontinuum.vault.index import VAULT_OBJECTS_MAX
from kontinuum.vault.journal import Delete, Put
from kontinuum.vault.messages import (
    COPY_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PAGE_OBJECTS,
    PIECE_BYTES,
    Fetch,
    Gone,
    List,
    Object,
    Page,
    Refused,
    decode_answer,
    decode_request,
    encode,
)
from kontinuum.vault.pulling import Ask, Begin, Complete, Done, Pull, Write, page_of
from kontinuum.vault.service import Pulled, pull, refuse, serve
from kontinuum.wire import cbor


def number(count):
    """An id."""
    return ObjectId(count.to_bytes(32))


# --- messages ---


@pytest.mark.parametrize(
    ("message", "decode"),
    [
        (List(None), decode_request),
        (List(number(1)), decode_request),
        (Fetch(number(2)), decode_request),
        (Page((), more=False), decode_answer),
        (Page(tuple((number(count), 1 << 60) for count in range(PAGE_OBJECTS)), more=True), decode_answer),
        (Object(COPY_BYTES_MAX), decode_answer),
        (Gone(), decode_answer),
        (Refused(), decode_answer),
    ],
)
def test_messages_come_back(message, decode):
    """
    The fullest page fits into a message.
    """
    assert decode(encode(message)) == message
    assert len(encode(message)) <= MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    "value",
    [
        *(0, [], [0], [0, 1], [0, b"short"], [1], [1, b"x" * 31], [1, b"x" * 32, 1], [6], [2, [], False]),
        *([3, 0], [3, -1], [3, COPY_BYTES_MAX + 1], [3, True], [2, [[b"x" * 32]], False]),
        *([2, [[b"x" * 32, -1]], False], [2, [[b"x" * 31, 1]], False], [2, [], 1]),
        [2, [[b"x" * 32, 1]] * (PAGE_OBJECTS + 1), False],
    ],
)
def test_anything_else_is_refused(value):
    """
    As a request and as an answer, but for what is one of them.
    """
    data = cbor.encode(value)
    with pytest.raises(SyncProtocolError):
        decode_request(data)
    if value != [2, [], False]:
        with pytest.raises(SyncProtocolError):
            decode_answer(data)


# --- the machine ---


def pulling(*changes):
    """A pull that has asked for the first page."""
    machine = Pull(Index(changes))
    assert machine.start() == [Ask(List(None))]
    return machine


def page(*counts, more=False):
    """A page of objects of one byte."""
    return encode(Page(tuple((number(count), 1) for count in counts), more=more))


def test_what_is_lacking_is_fetched_one_by_one():
    """
    Over several pages; what is here, or was deleted here, is not.
    """
    machine = pulling(Put(number(2), 1, 1), Delete(number(4), 1))

    assert machine.handle(page(1, 2, more=True)) == [Ask(List(number(2)))]
    assert machine.handle(page(3, 4)) == [Ask(Fetch(number(1)))]
    assert machine.total_bytes == 2
    assert machine.handle(encode(Object(1))) == [Begin(number(1), 1)]
    assert machine.handle(b"x") == [Write(b"x"), Complete(number(1)), Ask(Fetch(number(3)))]
    assert machine.handle(encode(Gone())) == [Done((number(3),))]


def test_an_object_comes_in_pieces():
    """
    All full but the last one.
    """
    machine = pulling()
    size = PIECE_BYTES + 1
    machine.handle(encode(Page(((number(1), size),), more=False)))

    assert machine.handle(encode(Object(size))) == [Begin(number(1), size)]
    assert machine.handle(bytes(PIECE_BYTES)) == [Write(bytes(PIECE_BYTES))]
    assert machine.handle(b"x") == [Write(b"x"), Complete(number(1)), Done(())]


def test_two_equal_vaults_have_nothing_to_say():
    """
    An empty list, or only what is known.
    """
    assert pulling().handle(page()) == [Done(())]
    assert pulling(Put(number(1), 1, 1)).handle(page(1)) == [Done(())]


@pytest.mark.parametrize("size", [0, COPY_BYTES_MAX + 1])
def test_absurd_objects_are_passed_over(size):
    """
    Empty files, and such as nobody has room for.
    """
    assert pulling().handle(encode(Page(((number(1), size),), more=False))) == [Done(())]


@pytest.mark.parametrize(
    "messages",
    [
        [page(2, 1)],
        [page(1, 1)],
        [page(1, more=True), page(1)],
        [page(5, more=True), page(4)],
        [page(more=True)],
        [encode(Object(1))],
        [encode(Gone())],
        [b"nonsense"],
        [page(1), page(2)],
        [page(1), encode(Object(2))],
        [page(1), b"x"],
        [page(1), encode(Object(1)), b"xx"],
        [page(1), encode(Object(1)), b""],
    ],
)
def test_a_liar_is_noticed(messages):
    """
    Lists that do not rise or end, objects of another length, answers to what nobody asked.
    """
    machine = pulling()
    for message in messages[:-1]:
        machine.handle(message)
    with pytest.raises(SyncProtocolError):
        machine.handle(messages[-1])


def test_a_list_is_bounded():
    """
    As many objects as a vault may have, and not one more.
    """
    machine = pulling()
    for begin in range(0, VAULT_OBJECTS_MAX, PAGE_OBJECTS):
        machine.handle(page(*range(begin, begin + PAGE_OBJECTS), more=True))
    with pytest.raises(SyncProtocolError, match="more than"):
        machine.handle(page(VAULT_OBJECTS_MAX, more=True))


def test_a_refusal_is_told():
    """
    It is an answer to whatever was asked.
    """
    with pytest.raises(SyncRefusedError):
        pulling().handle(encode(Refused()))


def test_pages_are_cut_in_the_order_of_ids():
    """
    Whatever the order of putting.
    """
    index = Index([Put(number(count), count, 1) for count in (3, 1, 2)])

    assert page_of(index, None, 2) == Page(((number(1), 1), (number(2), 2)), more=True)
    assert page_of(index, number(2), 2) == Page(((number(3), 3),), more=False)
    assert page_of(index, number(3), 2) == Page((), more=False)


# --- vaults over streams ---


class Pipe:
    """One end of a stream of messages."""

    def __init__(self, incoming, outgoing):
        self.incoming, self.outgoing = incoming, outgoing
        self.sent = []
        self.ended = False

    async def send(self, message):
        """Queue a message; waits while much is queued."""
        self.sent.append(bytes(message))
        await self.outgoing.put(bytes(message))

    async def receive(self):
        """The next one."""
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def finish(self):
        """End our half."""
        await self.outgoing.put(None)

    def reset(self, _code=0):
        """Break our half."""
        self.ended = True
        if not self.outgoing.full():
            self.outgoing.put_nowait(UnavailableError("reset"))

    def stop(self, _code=0):
        """Refuse the other half."""
        self.ended = True


def pipes():
    """Both ends."""
    one, two = asyncio.Queue(8), asyncio.Queue(8)
    return Pipe(one, two), Pipe(two, one)


async def copy(source, target, **options):
    """Pull from one vault into another."""
    ours, theirs = pipes()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(theirs, source))
        pulled = await pull(ours, target, clock=SystemClock(), **options)
    return pulled, serving.result(), ours


@pytest.fixture
def stores(tmp_path):
    """Two vaults; the first has three objects, one of them of several pieces."""
    one, two = VaultStore(tmp_path / "one"), VaultStore(tmp_path / "two")
    for size in (10, 3 * PIECE_BYTES, 0):
        put(one, os.urandom(size), f"{size}")
    return one, two


async def test_a_vault_is_copied(stores):
    """
    Every object, openable by the owner; the second time there is nothing to do.
    """
    one, two = stores
    told = []
    pulled, sent, _ = await copy(one, two, on_progress=lambda done, total: told.append((done, total)))

    ids = {stored.object_id for stored in one.objects()}
    assert set(pulled.objects) == ids == {stored.object_id for stored in two.objects()}
    assert pulled.size_bytes == sent == told[-1][0] == told[-1][1]
    assert all(get(one, object_id) == get(two, object_id) for object_id in ids)
    assert (await copy(one, two))[:2] == (Pulled((), 0), 0)
    assert two.check() == []


async def test_what_was_deleted_stays_deleted_on_both_sides(stores):
    """
    It is not copied back, and the other side's copy is not deleted.
    """
    one, two = stores
    await copy(one, two)
    gone = two.objects()[0].object_id
    two.delete(gone, at=AT)

    assert (await copy(one, two))[0].objects == ()
    assert (await copy(two, one))[0].objects == ()
    assert gone in {stored.object_id for stored in one.objects()}


async def test_an_interrupted_copying_goes_on_where_it_was(stores):
    """
    Whole objects are kept, the broken one begins again; nothing unfinished is left.
    """
    one, two = stores
    ours, theirs = pipes()
    serving = asyncio.create_task(serve(theirs, one))
    pulling = asyncio.create_task(
        pull(ours, two, clock=SystemClock(), on_progress=lambda *_: ours.incoming.put_nowait(lost))
    )
    lost = UnavailableError("the connection is lost")
    with pytest.raises(SyncInterruptedError, match="connection is lost"):
        await pulling
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    before = {stored.object_id for stored in two.objects()}
    assert len(before) < 3
    assert [name for name in files(two.directory) if ".tmp" in name] == []
    pulled, _, _ = await copy(one, two)
    assert len(before) + len(pulled.objects) == 3


async def test_a_damaged_object_is_passed_over_and_named(stores):
    """
    Whether its file is cut off, which the sender sees, or changed, which the taker sees.
    """
    one, two = stores
    ids = [stored.object_id for stored in one.objects()]
    for object_id, damage in zip(ids, ("cut", "change", "gone"), strict=True):
        path = one.directory / "objects" / object_id.hex()[:2] / f"{object_id.hex()}.age"
        if damage == "cut":
            os.truncate(path, 5)
        elif damage == "gone":
            path.unlink()
        else:
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    pulled, _, _ = await copy(one, two)
    assert pulled.objects == ()
    assert set(pulled.missed) == set(ids)
    assert two.objects() == []
    assert files(two.directory) == []


async def test_a_full_disk_keeps_what_came(stores, monkeypatch):
    """
    And ends the copying on both sides.
    """
    one, two = stores
    write = os.pwritev

    def full(descriptor, buffers, offset):
        if offset >= PIECE_BYTES:
            raise OSError(28, "No space left on device")
        return write(descriptor, buffers, offset)

    monkeypatch.setattr(os, "pwritev", full)
    ours, theirs = pipes()
    serving = asyncio.create_task(serve(theirs, one))
    with pytest.raises(FileUnavailableError, match="No space left"):
        await pull(ours, two, clock=SystemClock())
    assert ours.ended
    with pytest.raises(SyncInterruptedError):
        await serving
    monkeypatch.undo()
    assert two.check() == []
    await copy(one, two)
    assert len(new_store(two.directory).objects()) == 3


async def test_a_silent_vault_is_given_up(stores, monkeypatch):
    """
    On either side.
    """
    monkeypatch.setattr(service, "QUIET_S", 0.01)
    one, two = stores
    for work in (pull(pipes()[0], two, clock=SystemClock()), serve(pipes()[0], one)):
        with pytest.raises(SyncInterruptedError, match="said nothing"):
            await work


async def test_a_vault_that_takes_nothing_is_given_up(stores, monkeypatch):
    """
    A reader that does not read does not hold a file open for ever.
    """
    monkeypatch.setattr(service, "QUIET_S", 0.05)
    one, _ = stores
    ours, theirs = pipes()
    largest = max(one.objects(), key=lambda stored: stored.size_bytes)
    theirs.outgoing = asyncio.Queue(1)
    await ours.send(encode(Fetch(largest.object_id)))
    with pytest.raises(SyncInterruptedError, match="took nothing"):
        await serve(theirs, one)


async def test_nonsense_ends_a_serving(stores):
    """
    With the stream reset; the vault is as it was.
    """
    one, _ = stores
    ours, theirs = pipes()
    await ours.send(b"nonsense")
    with pytest.raises(SyncProtocolError):
        await serve(theirs, one)
    assert theirs.ended


async def test_a_vault_that_ends_before_it_answers_breaks_the_protocol(stores):
    """
    And so does one whose list changes while it gives it.
    """
    _, two = stores
    ours, theirs = pipes()
    await theirs.finish()
    with pytest.raises(SyncProtocolError, match="before it had answered"):
        await pull(ours, two, clock=SystemClock())


async def test_a_refusal_reaches_the_asker_and_the_giver(stores):
    """
    Who gives nothing says so, and who takes nothing as well.
    """
    one, two = stores
    ours, theirs = pipes()
    refusing = asyncio.create_task(refuse(theirs, asked=True))
    with pytest.raises(SyncRefusedError, match="shares no vault"):
        await pull(ours, two, clock=SystemClock())
    await refusing
    ours, theirs = pipes()
    await refuse(theirs, asked=False)
    with pytest.raises(SyncRefusedError, match="takes no copies"):
        await serve(ours, one)


async def test_an_object_that_is_put_while_it_is_copied_is_there_once(stores):
    """
    Another program was faster.
    """
    one, two = stores
    object_id = one.objects()[0].object_id
    with one.opened(object_id) as (descriptor, size):
        sealed = os.pread(descriptor, size, 0)
    raced = []

    def race(*_):
        if not raced:
            raced.append(new_store(two.directory).add_sealed(object_id, iter([sealed]), at=AT))

    pulled, _, _ = await copy(one, two, on_progress=race)
    assert raced == [True]
    assert len(two.objects()) == 3
    assert len(pulled.objects) in (2, 3)
    assert get(two, object_id, OWNER) == get(one, object_id, OWNER)
