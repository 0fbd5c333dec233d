"""Whole sessions over a stream in memory, with real files."""

import asyncio
import os

import pytest

from helpers.byte_pipe import new_hasher, pipe
from helpers.transfers import ALICE, MALLORY, Session, accept_into, codes, transfer
from kontinuum.transfer.errors import SourceFileError, TransferInterruptedError, TransferProtocolError
from kontinuum.transfer.incoming.journal import journal_name, part_name
from kontinuum.transfer.incoming.policy import Refuse
from kontinuum.transfer.incoming.service import SESSIONS_PER_PEER_MAX, FileReceiver
from kontinuum.transfer.messages import Begin, Chunk, Code, FileOffer, Offer, encode
from kontinuum.transfer.outgoing.service import send_files
from kontinuum.transfer.outgoing.source import Source

MIB = 1 << 20


@pytest.fixture
def folders(tmp_path):
    """A directory to send from and one to receive into."""
    source, target = tmp_path / "from", tmp_path / "to"
    source.mkdir()
    target.mkdir()
    return source, target


def names(folder):
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def make(folder, name, size):
    """Write a file of random bytes."""
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


async def test_several_files_arrive_verified_and_nothing_else_is_left(folders):
    """
    Empty, small and large files arrive byte for byte; no partial file or journal stays behind.
    """
    source, target = folders
    paths = [make(source, f"f{size}", size) for size in (0, 1, 65536, 3 * MIB + 17)]
    session = await transfer(paths, target)
    assert codes(session.sent) == codes(session.received) == [Code.STORED] * 4
    assert session.error is None
    assert names(target) == sorted(path.name for path in paths)
    for path, report in zip(paths, session.received, strict=True):
        assert (target / path.name).read_bytes() == path.read_bytes()
        hasher = new_hasher()
        hasher.update(path.read_bytes())
        assert report.outcome.digest == hasher.digest()


async def test_progress_ends_at_the_size(folders):
    """
    The callback is told how far each file is, up to its full size.
    """
    source, target = folders
    session = await transfer([make(source, "f", 2 * MIB)], target)
    done = [progress.done for progress in session.progress]
    assert done == sorted(done)
    assert done[-1] == session.progress[-1].size == 2 * MIB


async def test_nothing_is_received_unless_somebody_waits_for_files(folders):
    """
    Without an active receive every offer is refused, with that reason.
    """
    source, _ = folders
    ours, theirs = pipe()
    serving = asyncio.create_task(FileReceiver(new_hasher).handle(ALICE, theirs))
    reports = await send_files(ours, [Source(make(source, "f", 10))], new_hasher=new_hasher)
    await serving
    assert codes(reports) == [Code.NOT_RECEIVING]


async def test_the_policy_decides(folders):
    """
    A policy that refuses is final for the offer, and the newest policy that accepts wins.
    """
    source, target = folders
    receiver = FileReceiver(new_hasher)

    async def refuse(_peer, _offer):
        return Refuse()

    async with receiver.receiving(refuse):
        session = await transfer([make(source, "f", 10)], target, receiver=receiver)
        assert codes(session.sent) == [Code.STORED]
    ours, theirs = pipe()
    async with receiver.receiving(refuse):
        serving = asyncio.create_task(receiver.handle(ALICE, theirs))
        assert codes(await send_files(ours, [Source(source / "f")], new_hasher=new_hasher)) == [Code.REFUSED]
        await serving


async def test_an_existing_file_is_not_overwritten_unless_asked(folders):
    """
    What is there stays there; with ``overwrite`` it is replaced as a whole.
    """
    source, target = folders
    path = make(source, "f", 100)
    (target / "f").write_bytes(b"old")
    assert codes((await transfer([path], target)).sent) == [Code.EXISTS]
    assert (target / "f").read_bytes() == b"old"
    assert codes((await transfer([path], target, overwrite=True)).sent) == [Code.STORED]
    assert (target / "f").read_bytes() == path.read_bytes()


async def test_links_in_the_target_are_never_followed(folders, tmp_path):
    """
    A link with the file's name is refused, or replaced itself; a link with the partial file's name is
    removed.
    """
    source, target = folders
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    path = make(source, "f", 100)
    (target / "f").symlink_to(outside)
    assert codes((await transfer([path], target)).sent) == [Code.EXISTS]
    (target / part_name(ALICE, "f")).symlink_to(outside)
    (target / journal_name(ALICE, "f")).symlink_to(outside)
    assert codes((await transfer([path], target, overwrite=True)).sent) == [Code.STORED]
    assert not (target / "f").is_symlink()
    assert outside.read_bytes() == b"precious"
    os.link(outside, target / part_name(ALICE, "g"))
    assert codes((await transfer([make(source, "g", 9)], target)).sent) == [Code.STORED]
    assert outside.read_bytes() == b"precious"


async def test_a_broken_link_and_a_directory_are_in_the_way_too(folders):
    """
    A name that is taken by anything is not given to a file; a directory not even with ``overwrite``.
    """
    source, target = folders
    path = make(source, "f", 10)
    (target / "f").symlink_to("nowhere")
    assert codes((await transfer([path], target)).sent) == [Code.EXISTS]
    (target / "f").unlink()
    (target / "f").mkdir()
    assert codes((await transfer([path], target, overwrite=True)).sent) == [Code.EXISTS]


async def test_files_above_the_limit_or_the_disk_are_refused_before_they_travel(folders, monkeypatch):
    """
    Too large for the receiver's limit or for the free space: refused in the answer, per file.
    """
    source, target = folders
    paths = [make(source, "small", 10), make(source, "large", 5000)]
    session = await transfer(paths, target, bytes_max=10)
    assert codes(session.sent) == [Code.STORED, Code.TOO_LARGE]
    monkeypatch.setattr("kontinuum.transfer.incoming.target.Target.bytes_free", lambda _: 4999)
    session = await transfer(paths, target)
    assert codes(session.sent) == [Code.EXISTS, Code.NO_SPACE]
    assert session.bytes_on_wire < 1000


async def test_a_disk_that_fills_up_costs_that_file_only(folders, monkeypatch):
    """
    ENOSPC in the middle: the sender is told and stops, what came stays for later, the next file arrives.
    """
    source, target = folders
    real = os.pwrite

    def full(descriptor, view, offset):
        if offset >= 2 * MIB:
            raise OSError(28, "No space left on device")
        return real(descriptor, view, offset)

    monkeypatch.setattr("os.pwrite", full)
    session = await transfer([make(source, "big", 40 * MIB), make(source, "tiny", 5)], target)
    assert codes(session.sent) == codes(session.received) == [Code.NO_SPACE, Code.STORED]
    assert session.bytes_on_wire < 20 * MIB
    monkeypatch.undo()
    session = await transfer([source / "big"], target)
    assert session.sent[0].outcome.resumed_from == 2 * MIB
    assert (target / "big").read_bytes() == (source / "big").read_bytes()


def lose_after(bytes_max):
    """Return what loses the connection when that much has travelled."""

    async def spoil(ours, _theirs, _session):
        while ours.outgoing.bytes_total < bytes_max:
            async with ours.outgoing.changed:
                await ours.outgoing.changed.wait()
        ours.lose()

    return spoil


async def test_an_interrupted_file_is_continued_where_it_stopped(folders):
    """
    After a lost connection the next session sends only what is missing, and the file is the same.
    """
    source, target = folders
    path = make(source, "f", 20 * MIB)
    session = await transfer([path], target, spoil=lose_after(9 * MIB))
    assert isinstance(session.sent, TransferInterruptedError)
    assert isinstance(session.error, TransferInterruptedError)
    assert names(target) == sorted([part_name(ALICE, "f"), journal_name(ALICE, "f")])
    held = (target / part_name(ALICE, "f")).stat().st_size
    session = await transfer([path], target)
    assert session.sent[0].outcome.resumed_from == held > 7 * MIB
    assert session.bytes_on_wire < 20 * MIB - held + 10_000
    assert (target / "f").read_bytes() == path.read_bytes()
    assert names(target) == ["f"]


async def test_a_source_that_changed_meanwhile_is_sent_from_the_start(folders):
    """
    The beginning that we hold is compared by hash: of a changed source nothing old is used.
    """
    source, target = folders
    path = make(source, "f", 8 * MIB)
    await transfer([path], target, spoil=lose_after(4 * MIB))
    path.write_bytes(os.urandom(8 * MIB))
    session = await transfer([path], target)
    assert session.sent[0].outcome == session.received[0].outcome
    assert session.sent[0].outcome.resumed_from == 0
    assert (target / "f").read_bytes() == path.read_bytes()


async def test_another_peer_neither_continues_nor_spoils_what_one_peer_began(folders):
    """
    Partial files belong to the identity that sent them.
    """
    source, target = folders
    path = make(source, "f", 8 * MIB)
    await transfer([path], target, spoil=lose_after(4 * MIB))
    before = (target / part_name(ALICE, "f")).read_bytes()
    session = await transfer([path], target, peer=MALLORY, spoil=lose_after(2 * MIB))
    assert session.received[0].outcome.resumed_from == 0
    assert (target / part_name(ALICE, "f")).read_bytes() == before


async def test_a_file_that_grows_shrinks_or_changes_while_it_is_read_is_reported(folders):
    """
    The sender notices that its file changed; the receiver does not get a mixture under the final name.
    """
    source, target = folders

    for change in (lambda path: path.write_bytes(b"x"), lambda path: os.utime(path, ns=(1, 1)), os.unlink):
        path = make(source, "f", 16 * MIB)

        async def spoil(ours, _theirs, _session, path=path, change=change):
            while ours.outgoing.bytes_total < MIB:
                async with ours.outgoing.changed:
                    await ours.outgoing.changed.wait()
            change(path)

        session = await transfer([path], target, spoil=spoil)
        if change is os.unlink:
            assert codes(session.sent) == [Code.STORED]  # The open file is still the one that was offered.
        else:
            assert codes(session.sent) == codes(session.received) == [Code.SOURCE_CHANGED]
            assert not (target / "f").exists()


async def test_content_that_does_not_match_its_digest_is_deleted(folders):
    """
    What arrived damaged never gets the file's name and is not continued either.
    """
    source, target = folders

    def lie(stored):
        async def write(data):
            await stored(b"\0" * len(data) if len(data) > 1000 else data)

        return write

    async def spoil(ours, _theirs, _session):
        ours.write = lie(ours.write)

    session = await transfer([make(source, "f", 2 * MIB)], target, spoil=spoil)
    assert codes(session.sent) == codes(session.received) == [Code.DIGEST_MISMATCH]
    assert names(target) == []


async def test_a_returning_sender_takes_its_old_session_over(folders):
    """
    A sender that was killed and comes back on a new connection need not wait for the old one to time out.
    """
    source, target = folders
    path = make(source, "f", 4 * MIB)
    receiver = FileReceiver(new_hasher)
    session = Session()
    ours, theirs = pipe()
    async with receiver.receiving(accept_into(target, session)):
        old = asyncio.create_task(receiver.handle(ALICE, theirs))
        await ours.write(encode(Offer((FileOffer("f", 4 * MIB),))))
        await ours.read(100)
        data = path.read_bytes()[:MIB]
        await ours.write(encode(Begin(0, 0)) + encode(Chunk(MIB)))
        await ours.write(data)
        await session.moved(1)
        again = await transfer([path], target, receiver=receiver)
        await asyncio.wait_for(old, 5)
    assert again.sent[0].outcome.resumed_from == MIB
    assert isinstance(session.error, TransferInterruptedError)
    assert (target / "f").read_bytes() == path.read_bytes()


async def test_one_peer_has_a_bounded_number_of_sessions(folders):
    """
    The limit is reached with open sessions of other files; the next one is told that we are busy.
    """
    source, target = folders
    receiver = FileReceiver(new_hasher)
    ends, tasks = [], []
    async with receiver.receiving(accept_into(target, Session())):
        for index in range(SESSIONS_PER_PEER_MAX):
            ours, theirs = pipe()
            tasks.append(asyncio.create_task(receiver.handle(ALICE, theirs)))
            await ours.write(encode(Offer((FileOffer(f"f{index}", 5),))))
            await ours.read(100)
            ends.append(ours)
        path = make(source, "more", 5)
        assert codes((await transfer([path], target, receiver=receiver)).sent) == [Code.BUSY]
        assert codes((await transfer([path], target, receiver=receiver, peer=MALLORY)).sent) == [Code.STORED]
        for end in ends:
            end.lose()
        await asyncio.wait(tasks)
        path.rename(path.with_name("again"))
        assert codes((await transfer([source / "again"], target, receiver=receiver)).sent) == [Code.STORED]


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 100, b"\0\0\0\0", b"\0\0\0\x05hello", encode(Chunk(5)) + b"12345"]
)
async def test_garbage_ends_one_session_and_nothing_else(folders, garbage):
    """
    Any bytes: the session ends, its stream is reset, the receiver goes on.
    """
    source, target = folders
    receiver = FileReceiver(new_hasher)
    ours, theirs = pipe()
    await ours.write(garbage)
    await ours.finish()
    await asyncio.wait_for(receiver.handle(MALLORY, theirs), 5)
    assert codes((await transfer([make(source, "f", 5)], target, receiver=receiver)).sent) == [Code.STORED]


async def test_a_receiver_that_speaks_nonsense_ends_the_sending(folders):
    """
    The sender reports the peer's fault and closes its file.
    """
    source, _ = folders
    ours, theirs = pipe()
    await theirs.write(b"\0\0\0\x02\xff\xff")
    with pytest.raises(TransferProtocolError):
        await send_files(ours, [Source(make(source, "f", 5))], new_hasher=new_hasher)


async def test_cancelling_keeps_what_came(folders):
    """
    A receive that is cancelled closes its part, in order after the last write, and can be resumed.
    """
    source, target = folders
    path = make(source, "f", 30 * MIB)
    receiver = FileReceiver(new_hasher)
    session = Session()
    ours, theirs = pipe()
    async with receiver.receiving(accept_into(target, session)):
        serving = asyncio.create_task(receiver.handle(ALICE, theirs))
        sending = asyncio.create_task(send_files(ours, [Source(path)], new_hasher=new_hasher))
        await session.moved(5 * MIB)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(TransferInterruptedError):
            await sending
    again = await transfer([path], target)
    assert again.sent[0].outcome.resumed_from >= 5 * MIB
    assert (target / "f").read_bytes() == path.read_bytes()


async def test_split_reads_change_nothing(folders):
    """
    However the stream cuts the bytes, the same file arrives.
    """
    source, target = folders
    path = make(source, "f", 20_000)
    assert codes((await transfer([path], target, block_max=7)).sent) == [Code.STORED]
    assert (target / "f").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "hidden"])
def test_what_cannot_be_sent_is_refused_before_anything_travels(tmp_path, kind):
    """
    A missing file, a directory, a pipe and a name that no receiver takes are our caller's mistake.
    """
    path = tmp_path / (".hidden" if kind == "hidden" else "x")
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "hidden":
            path.write_bytes(b"")
    with pytest.raises(SourceFileError):
        Source(path)


async def test_when_a_receive_ends_its_sessions_end_and_can_be_continued(folders):
    """
    Leaving the block closes the parts of running sessions; nothing is written to a closed directory.
    """
    source, target = folders
    path = make(source, "f", 30 * MIB)
    receiver = FileReceiver(new_hasher)
    session = Session()
    ours, theirs = pipe()
    async with receiver.receiving(accept_into(target, session)):
        serving = asyncio.create_task(receiver.handle(ALICE, theirs))
        sending = asyncio.create_task(send_files(ours, [Source(path)], new_hasher=new_hasher))
        await session.moved(5 * MIB)
    assert isinstance(session.error, TransferInterruptedError)
    await asyncio.wait_for(serving, 5)
    with pytest.raises(TransferInterruptedError):
        await sending
    again = await transfer([path], target)
    assert again.sent[0].outcome.resumed_from >= 5 * MIB
    assert (target / "f").read_bytes() == path.read_bytes()
