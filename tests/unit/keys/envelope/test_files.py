"""Files: sealed and opened whole, nothing left behind when that fails, and errors that say which and why."""

import errno
import os
import stat
import threading
import tracemalloc

import pytest

from helpers.envelopes import ALICE, BOB, CAROL, CONTEXT, ENTROPY, READERS, SEALING, with_payload
from kontinuum.base.errors import AlreadyExistsError, FileUnavailableError, NotAFileError
from kontinuum.keys.envelope import (
    Context,
    DamagedPayloadError,
    EnvelopeError,
    ForgedError,
    NoMatchingKeyError,
    NotAnEnvelopeError,
    TruncatedHeaderError,
    TruncatedPayloadError,
    WrongContextError,
    open_age,
    open_bytes,
    open_file,
    seal_bytes,
    seal_file,
    seal_stream,
)
from kontinuum.keys.envelope.files import RUN_BYTES, SealedFile, even_runs, file_runs, opened
from kontinuum.keys.envelope.header import parse_header
from kontinuum.keys.envelope.stream import CHUNK_BYTES, Stream
from kontinuum.keys.envelope.writer import RUNS_WAITING_MAX, OverlappedWriter, write_all

OPENING = {"context": CONTEXT, "senders": [ALICE.peer_id]}


def names(directory):
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


def content(size):
    """Bytes that differ from run to run."""
    return (b"%d " % size + bytes(range(251))) * (size // 251 + 1)


@pytest.fixture
def letter(tmp_path):
    """A file of four runs and a bit."""
    path = tmp_path / "letter"
    path.write_bytes(content(4 * RUN_BYTES + 5)[: 4 * RUN_BYTES + 5])
    return path


@pytest.fixture
def sealed(tmp_path, letter):
    """The same, sealed."""
    path = tmp_path / "sealed"
    seal_file(READERS, letter, path, **SEALING)
    return path


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, RUN_BYTES - 1, RUN_BYTES, RUN_BYTES + 1, 7 * RUN_BYTES]
)
def test_a_file_comes_back(tmp_path, size):
    """
    At every border of a chunk and a run, equal to what is sealed in memory, and private.
    """
    data = content(size)[:size]
    (tmp_path / "a").write_bytes(data)

    assert seal_file(READERS, tmp_path / "a", tmp_path / "b", metadata=b"name", **SEALING) == size
    claim = open_file([BOB], tmp_path / "b", tmp_path / "c", **OPENING)

    assert (tmp_path / "c").read_bytes() == data
    assert claim.metadata == b"name"
    assert claim.size_bytes == size
    assert open_bytes([BOB], (tmp_path / "b").read_bytes(), **OPENING).plaintext == data
    assert b"".join(open_age([BOB], [(tmp_path / "b").read_bytes()])) == data
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "bc"] == [0o600, 0o600]
    assert names(tmp_path) == ["a", "b", "c"]


def test_what_is_sealed_in_memory_opens_as_a_file(tmp_path):
    """
    Both ways make the same format.
    """
    (tmp_path / "b").write_bytes(seal_bytes(READERS, content(RUN_BYTES), **SEALING))
    open_file([BOB], tmp_path / "b", tmp_path / "c", **OPENING)

    assert (tmp_path / "c").read_bytes() == content(RUN_BYTES)


def test_progress_is_told_and_can_end_the_work(tmp_path, letter):
    """
    Bytes of content after each run; what the caller raises leaves nothing behind.
    """
    told = []
    seal_file(READERS, letter, tmp_path / "sealed", on_progress=told.append, **SEALING)
    assert told == [RUN_BYTES, 2 * RUN_BYTES, 3 * RUN_BYTES, 4 * RUN_BYTES, 4 * RUN_BYTES + 5]
    told.clear()
    open_file([BOB], tmp_path / "sealed", tmp_path / "opened", on_progress=told.append, **OPENING)
    assert told == [RUN_BYTES, 2 * RUN_BYTES, 3 * RUN_BYTES, 4 * RUN_BYTES, 4 * RUN_BYTES + 5]

    def stop(done):
        if done > RUN_BYTES:
            raise KeyboardInterrupt

    before = names(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        seal_file(READERS, letter, tmp_path / "other", on_progress=stop, **SEALING)
    with pytest.raises(KeyboardInterrupt):
        open_file([BOB], tmp_path / "sealed", tmp_path / "other", on_progress=stop, **OPENING)
    assert names(tmp_path) == before
    assert threading.active_count() == 1


def test_nothing_is_overwritten(tmp_path, letter, sealed):
    """
    Neither by sealing nor by opening, whatever has the name; and that is told before the work.
    """
    told = []
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (letter, tmp_path / "link"):
        with pytest.raises(AlreadyExistsError):
            seal_file(READERS, letter, taken, on_progress=told.append, **SEALING)
        with pytest.raises(AlreadyExistsError):
            open_file([BOB], sealed, taken, on_progress=told.append, **OPENING)

    assert told == []
    assert letter.read_bytes() == content(4 * RUN_BYTES + 5)[: 4 * RUN_BYTES + 5]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda data: data[:0], TruncatedHeaderError, "empty or cut off"),
        (lambda data: data[:100], TruncatedHeaderError, "cut off within its header"),
        (lambda data: data[: len(parse_header(data)[0].raw) + 3], TruncatedHeaderError, "right behind"),
        (lambda data: data[:-1], TruncatedPayloadError, r"\d+ of \d+ bytes"),
        (lambda data: data[: 2 * RUN_BYTES], TruncatedPayloadError, r"\d+ of \d+ bytes"),
        (lambda data: data + b"x", DamagedPayloadError, "appended"),
        (lambda data: data[:-10] + b"xx" + data[-8:], DamagedPayloadError, "last part is damaged"),
        (lambda data: data[:2000000] + b"xx" + data[2000002:], DamagedPayloadError, "a part of it"),
        (lambda data: b"PK" + data, NotAnEnvelopeError, "no sealed file"),
    ],
    ids=["empty", "in-header", "no-nonce", "a-byte", "half", "longer", "end", "middle", "other"],
)
def test_damaged_and_cut_files_have_their_own_errors(tmp_path, sealed, change, error, words):
    """
    What is wrong is said, and no target appears.
    """
    sealed.write_bytes(change(sealed.read_bytes()))

    before = names(tmp_path)
    with pytest.raises(error, match=words):
        open_file([BOB], sealed, tmp_path / "opened", **OPENING)
    assert names(tmp_path) == before


def test_a_wrong_key_and_a_wrong_purpose_are_neither_damage_nor_each_other(tmp_path, sealed):
    """
    Three mistakes, three errors.
    """
    with pytest.raises(NoMatchingKeyError, match="other keys than ours"):
        open_file([CAROL], sealed, tmp_path / "opened", **OPENING)
    with pytest.raises(WrongContextError):
        open_file([BOB], sealed, tmp_path / "opened", context=Context("other"))


def test_content_that_another_reader_replaced_never_gets_a_name(tmp_path, letter, sealed):
    """
    Every chunk of it decrypts; only at the end it is known that Alice did not seal it.
    """
    from helpers.envelopes import opened_header  # noqa: PLC0415

    _, payload, file_key, _ = opened_header(sealed.read_bytes())
    other = b"x" * letter.stat().st_size
    chunks = Stream(file_key.payload_key(payload[:16])).seal_run(memoryview(other), final=True)
    sealed.write_bytes(with_payload(sealed.read_bytes(), payload[:16] + b"".join(chunks)))

    before = names(tmp_path)
    with pytest.raises(ForgedError):
        open_file([BOB], sealed, tmp_path / "opened", **OPENING)
    assert names(tmp_path) == before


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, sealed, monkeypatch):
    """
    Its length was right at the beginning.
    """
    read = os.pread

    def shrinking(descriptor, size, offset):
        return (
            read(descriptor, size, offset)[:-100]
            if offset > 3 * RUN_BYTES
            else read(descriptor, size, offset)
        )

    monkeypatch.setattr(os, "pread", shrinking)
    with pytest.raises(EnvelopeError):
        open_file([BOB], sealed, tmp_path / "opened", **OPENING)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["directory", "pipe"])
def test_only_regular_files_are_opened(tmp_path, make):
    """
    And nobody waits for a pipe.
    """
    make(tmp_path / "x")

    with pytest.raises(NotAFileError):
        open_file([BOB], tmp_path / "x", tmp_path / "opened", **OPENING)


def test_a_pipe_can_be_sealed(tmp_path):
    """
    Its pieces are of any size.
    """
    data = content(3 * RUN_BYTES)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[data])
    writer.start()
    assert seal_file(READERS, tmp_path / "pipe", tmp_path / "sealed", **SEALING) == len(data)
    writer.join()

    open_file([BOB], tmp_path / "sealed", tmp_path / "opened", **OPENING)
    assert (tmp_path / "opened").read_bytes() == data


def test_a_missing_source_and_a_missing_directory_are_named(tmp_path, letter):
    """
    The operating system's words, with the path.
    """
    with pytest.raises(FileUnavailableError, match=r"cannot read .*none"):
        seal_file(READERS, tmp_path / "none", tmp_path / "sealed", **SEALING)
    with pytest.raises(FileUnavailableError, match=r"cannot write in .*none"):
        seal_file(READERS, letter, tmp_path / "none" / "sealed", **SEALING)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, letter, sealed, monkeypatch, after):
    """
    Whether the first write fails or a later one, sealing or opening.
    """
    calls = []

    def fail(descriptor, buffers, offset):
        calls.append(offset)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, buffers, offset)

    write, before = os.pwritev, names(tmp_path)
    monkeypatch.setattr(os, "pwritev", fail)
    with pytest.raises(FileUnavailableError, match="No space left"):
        seal_file(READERS, letter, tmp_path / "other", **SEALING)
    calls.clear()
    with pytest.raises(FileUnavailableError, match="No space left"):
        open_file([BOB], sealed, tmp_path / "other", **OPENING)
    monkeypatch.undo()

    assert names(tmp_path) == before
    assert threading.active_count() == 1


def test_short_writes_are_continued(tmp_path, letter, monkeypatch):
    """
    The operating system may take less than it was given.
    """
    write = os.pwritev
    monkeypatch.setattr(
        os, "pwritev", lambda descriptor, buffers, offset: write(descriptor, [buffers[0][:70_001]], offset)
    )
    seal_file(READERS, letter, tmp_path / "sealed", **SEALING)
    open_file([BOB], tmp_path / "sealed", tmp_path / "opened", **OPENING)

    assert (tmp_path / "opened").read_bytes() == letter.read_bytes()


def test_memory_does_not_grow_with_the_file(tmp_path):
    """
    Sealing and opening 48 MiB hold a few runs.
    """
    (tmp_path / "a").write_bytes(bytes(48 * RUN_BYTES))
    tracemalloc.start()
    seal_file(READERS, tmp_path / "a", tmp_path / "b", **SEALING)
    open_file([BOB], tmp_path / "b", tmp_path / "c", **OPENING)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < (2 * RUNS_WAITING_MAX + 8) * RUN_BYTES


def test_runs_stay_as_they_are_while_they_may_be_written(sealed):
    """
    A buffer is used again only after the runs that may wait, and the one in work.
    """
    with opened(sealed, regular=True) as descriptor:
        file = SealedFile(descriptor, sealed)
        runs = [(run, bytes(run)) for run in file.runs(file.opener([BOB], **OPENING))]

    for run, was in runs[-(RUNS_WAITING_MAX + 2) :]:
        assert run == was


def test_a_writer_in_error_says_so_to_everybody():
    """
    The next run, and the end, fail with the error of the run that could not be written.
    """
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = OverlappedWriter(descriptor, 0)
    with pytest.raises(OSError, match="No space"), writer:
        writer.put([b"x"])
    with pytest.raises(OSError, match="No space"):
        writer.put([b"y"])
    os.close(descriptor)


def test_buffers_of_any_number_are_written(tmp_path):
    """
    More than one system call takes, empty ones among them.
    """
    with (tmp_path / "f").open("wb") as file:
        assert write_all(file.fileno(), [b"x", b""] * 1500, 2) == 1502

    assert (tmp_path / "f").read_bytes() == b"\0\0" + b"x" * 1500


@pytest.mark.parametrize("sizes", [[], [0], [1], [RUN_BYTES], [5, RUN_BYTES, 0, 3 * RUN_BYTES, 7]])
def test_pieces_of_any_size_become_runs(sizes):
    """
    Full ones and a shorter last one, none empty.
    """
    runs = list(even_runs(bytes(size) for size in sizes))

    assert sum(map(len, runs)) == sum(sizes)
    assert all(len(run) == RUN_BYTES for run in runs[:-1])
    assert all(runs)


def test_files_are_read_in_runs(letter):
    """
    Full ones and a shorter last one.
    """
    with opened(letter, regular=True) as descriptor:
        assert [len(run) for run in file_runs(descriptor, letter)] == [RUN_BYTES] * 4 + [5]


def test_a_signed_stream_is_no_sealed_file(tmp_path):
    """
    Its beginning says so.
    """
    (tmp_path / "s").write_bytes(
        b"".join(seal_stream(READERS, [b"x"], signer=ALICE, context=CONTEXT, entropy=ENTROPY))
    )
    with pytest.raises(NotAnEnvelopeError):
        open_file([BOB], tmp_path / "s", tmp_path / "t", **OPENING)
