"""Partial files of peers that never come back: what is removed, and what is never touched."""

import asyncio
import fcntl
import os
from datetime import UTC, datetime, timedelta

import pytest

from helpers.byte_pipe import new_hasher
from helpers.transfers import ALICE, MALLORY
from kontinuum.transfer.incoming import leftovers, service
from kontinuum.transfer.incoming.journal import JOURNAL_FILE_BYTES_MAX, Journal, journal_name, part_name
from kontinuum.transfer.incoming.leftovers import PART_AGE_MAX_S, remove_leftovers
from kontinuum.transfer.incoming.service import sweeping
from kontinuum.transfer.incoming.target import Target
from kontinuum.transfer.messages import Code, FileOffer

NOON = datetime(2026, 1, 8, 12, tzinfo=UTC)
LIMIT_S = NOON.timestamp() - PART_AGE_MAX_S
FILE = FileOffer("letter", 5)


@pytest.fixture
def target(tmp_path):
    """A directory."""
    with Target(tmp_path, new_hasher) as target:
        yield target


def names(target):
    """What is in the directory."""
    return sorted(path.name for path in target.path.iterdir())


def aged(target, at_s=LIMIT_S):
    """Everything in the directory was written last at that time."""
    for path in target.path.iterdir():
        os.utime(path, (at_s, at_s), follow_symlinks=False)


def sweep(target, at=NOON):
    """Look for leftovers."""
    return remove_leftovers(target.descriptor, at)


def begin(target, peer=ALICE, file=FILE):
    """A session of a peer stored a little; its part is open."""
    part = target.open_part(peer, file, 0, None)
    part.append([b"hel"])
    return part


def leave(target, peer=ALICE, file=FILE):
    """And then the peer went away."""
    begin(target, peer, file).close()
    return target.path / part_name(peer, file.name), target.path / journal_name(peer, file.name)


def test_what_nobody_continued_for_too_long_is_removed(target):
    """
    Part, journal and what was left of writing the journal go; of every peer, and nothing else.
    """
    for peer in (ALICE, MALLORY):
        _, journal = leave(target, peer)
        journal.with_name(journal.name + ".new").write_bytes(b"")
    (target.path / "letter").write_bytes(b"hello")
    aged(target)

    assert sweep(target) == 2
    assert names(target) == ["letter"]


@pytest.mark.parametrize("young", ["part", "journal"])
def test_just_below_the_limit_everything_stays(target, young):
    """
    The last change of the content or of the journal counts, whichever was later.
    """
    part, journal = leave(target)
    aged(target)
    path = part if young == "part" else journal
    os.utime(path, (LIMIT_S + 1, LIMIT_S + 1))

    assert sweep(target) == 0
    assert names(target) == sorted([part.name, journal.name])
    assert sweep(target, NOON + timedelta(seconds=1)) == 1
    assert names(target) == []


def test_a_file_of_tomorrow_stays(target):
    """
    When the clock was wrong nothing is lost.
    """
    leave(target)
    aged(target, NOON.timestamp() + 10**6)

    assert sweep(target) == 0
    assert sweep(target, datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert len(names(target)) == 2


def test_a_transfer_in_progress_is_never_touched(target):
    """
    However old its files look: who writes it holds its lock. Once it ended, they may go.
    """
    part = begin(target)
    aged(target)

    assert sweep(target) == 0
    part.append([b"lo"])
    hasher = new_hasher()
    hasher.update(b"hello")
    assert part.finalise(hasher.digest(), overwrite=False) is Code.STORED
    assert (target.path / "letter").read_bytes() == b"hello"

    leave(target)
    aged(target)
    assert sweep(target) == 1


def test_a_part_that_is_offered_again_is_not_removed_before_it_is_continued(target):
    """
    The answer to the offer promises what is held: from then on it is young again.
    """
    leave(target)
    aged(target)
    _, held = target.inspect(ALICE, FILE, overwrite=False)

    now = datetime.now(UTC)
    assert sweep(target, now) == 0
    part = target.open_part(ALICE, FILE, 3, held)
    assert sweep(target, now + timedelta(days=100)) == 0
    part.close()


def test_a_part_that_is_being_removed_is_not_held(target):
    """
    An offer that comes meanwhile is answered as if nothing were there.
    """
    path, _ = leave(target)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert target.inspect(ALICE, FILE, overwrite=False)[1] is None
    assert target.inspect(ALICE, FILE, overwrite=False)[1].offset == 3


@pytest.mark.parametrize("what", ["finished and begun again", "gone on with", "offered again"])
def test_what_happened_before_we_had_the_lock_counts(target, monkeypatch, what):
    """
    Another process may have been at work between our look and our lock.
    """
    part, journal = leave(target)
    aged(target)

    def late(descriptor, how):
        monkeypatch.undo()
        match what:
            case "finished and begun again":
                part.rename(target.path / "letter")
                part.write_bytes(b"new")
                os.utime(part, (LIMIT_S, LIMIT_S))
            case "gone on with":
                part.write_bytes(b"hell")
            case _:
                os.utime(journal)
        fcntl.flock(descriptor, how)

    monkeypatch.setattr(leftovers.fcntl, "flock", late)
    assert sweep(target) == 0
    assert {part.name, journal.name} <= set(names(target))


def test_a_file_that_was_finished_loses_only_its_second_name(target):
    """
    The machine stopped after the move into place and before the old name was removed.
    """
    part, _ = leave(target)
    os.link(part, target.path / "letter")
    aged(target)

    sweep(target)
    assert names(target) == ["letter"]
    assert (target.path / "letter").read_bytes() == b"hel"


@pytest.mark.parametrize("content", [None, b"", bytes(100)], ids=["whole", "empty", "zeros"])
@pytest.mark.parametrize("suffix", ["", ".new"])
@pytest.mark.parametrize("with_part", [True, False])
def test_what_a_power_cut_leaves_is_removed_too(target, content, suffix, with_part):
    """
    A journal without its part, or of a length without bytes, or not yet under its name.
    """
    part, journal = leave(target)
    if content is not None:
        journal.write_bytes(content)
    journal.rename(journal.with_name(journal.name + suffix))
    if not with_part:
        part.unlink()
    aged(target)

    assert sweep(target) == with_part
    assert names(target) == []


def journal_of(sender=ALICE):
    """The bytes of a journal."""
    return Journal(sender, 5, 0, "").encode()


@pytest.mark.parametrize(
    "files",
    [
        {part_name(ALICE, "a"): b"no journal"},
        {"a.41414141.part": b"", "a.41414141.part.journal": journal_of()},
        {".a.4141414.part": b"", ".a.4141414.part.journal": journal_of()},
        {".a.4141414A.part": b"", ".a.4141414A.part.journal": journal_of()},
        {".41414141.part": b"", ".41414141.part.journal": journal_of()},
        {part_name(ALICE, "a"): b"", journal_name(ALICE, "a"): journal_of(MALLORY)},
        {part_name(ALICE, "a"): b"", journal_name(ALICE, "a"): b"Dear diary"},
        {
            part_name(ALICE, "a"): b"",
            journal_name(ALICE, "a"): b"Dear diary",
            journal_name(ALICE, "a") + ".new": b"",
        },
        {part_name(ALICE, "a"): b"", journal_name(ALICE, "a"): bytes(JOURNAL_FILE_BYTES_MAX + 1)},
        {part_name(ALICE, "a"): b"", journal_name(ALICE, "a"): journal_of() + b"\0"},
        {part_name(ALICE, "a:b"): b"", journal_name(ALICE, "a:b"): journal_of()},
        {part_name(ALICE, ".a"): b"", journal_name(ALICE, ".a"): journal_of()},
        {part_name(ALICE, "a"): b"", journal_name(ALICE, "a") + ".old": journal_of()},
        {".bashrc": b"", "a.part": b"", ".part.journal": b"", "thesis": b""},
    ],
)
def test_what_is_not_surely_ours_stays(target, files):
    """
    A name that we do not give, a journal that does not belong to it: somebody else's, however old.
    """
    for name, content in files.items():
        (target.path / name).write_bytes(content)
    aged(target)

    assert sweep(target) == 0
    assert names(target) == sorted(files)


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize("kind", ["link", "broken link", "directory", "pipe"])
def test_what_is_no_regular_file_stays(target, tmp_path_factory, piece, kind):
    """
    Links are not followed, nor is anything removed beside them.
    """
    outside = tmp_path_factory.mktemp("outside") / "precious"
    outside.write_bytes(journal_of())
    path = leave(target)[piece]
    path.unlink()
    match kind:
        case "link":
            path.symlink_to(outside)
        case "broken link":
            path.symlink_to("nowhere")
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    before = names(target)
    aged(target)

    assert sweep(target) == 0
    assert names(target) == before
    assert outside.read_bytes() == journal_of()


def test_a_file_of_another_user_stays(target, monkeypatch):
    """
    In a directory that several users share each removes his own.
    """
    leave(target)
    aged(target)
    monkeypatch.setattr(leftovers.os, "geteuid", lambda: os.getuid() + 1)

    assert sweep(target) == 0
    assert len(names(target)) == 2


def test_what_cannot_be_removed_does_not_protect_the_rest(target, monkeypatch):
    """
    An error costs one file; a directory that cannot be read costs the whole look, and nothing else.
    """
    for number in range(3):
        leave(target, file=FileOffer(f"f{number}", 5))
    aged(target)
    unlink = os.unlink

    def refuse(path, **place):
        if "f1" in path:
            raise PermissionError(13, "denied")
        unlink(path, **place)

    monkeypatch.setattr(leftovers.os, "unlink", refuse)
    assert sweep(target) == 2
    assert len(names(target)) == 2
    assert remove_leftovers(-1, NOON) == 0


class Clock:
    """A time of day that tells when somebody looked at it, which is before each sweep."""

    def __init__(self):
        self.looks = asyncio.Semaphore(0)

    def utc(self):
        self.looks.release()
        return NOON


async def test_the_directory_is_swept_at_the_beginning(target):
    """
    What is too old goes at once; the block does not wait for it, but it does not end before.
    """
    leave(target)
    aged(target)
    clock = Clock()
    async with sweeping(target, clock), asyncio.timeout(5):
        await clock.looks.acquire()

    assert names(target) == []


async def test_the_directory_is_swept_again_and_again(target, monkeypatch):
    """
    A receiver that runs for weeks notices what becomes too old meanwhile.
    """
    monkeypatch.setattr(service, "SWEEP_INTERVAL_S", 0)
    clock = Clock()
    async with sweeping(target, clock), asyncio.timeout(5):
        await clock.looks.acquire()
        leave(target)
        aged(target)
        for _ in range(3):  # The second look may have begun before, the one before the third is over.
            await clock.looks.acquire()
        assert names(target) == []


async def test_when_receiving_ends_a_look_that_has_begun_is_finished(target, monkeypatch):
    """
    No thread uses the directory after the block, for it is closed then.
    """
    loop, begun, at_rest = asyncio.get_running_loop(), asyncio.Event(), []

    def slow(directory, _at):
        loop.call_soon_threadsafe(begun.set)
        for _ in range(1000):
            os.fstat(directory)
        at_rest.append(True)
        return 0

    monkeypatch.setattr(service, "remove_leftovers", slow)
    async with sweeping(target):
        await begun.wait()
    assert at_rest == [True]
