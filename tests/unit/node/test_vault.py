"""``node.vault``: what programs use; the store itself has its own tests."""

import asyncio
import threading

import pytest

from helpers.envelopes import ALICE, ENTROPY, MALLORY
from helpers.vaults import AT, files
from kontinuum.base.clock import SystemClock
from kontinuum.base.errors import AlreadyExistsError
from kontinuum.keys.envelope import NoMatchingKeyError, Role
from kontinuum.keys.envelope.files import RUN_BYTES
from kontinuum.node.errors import VaultOffError
from kontinuum.node.vault import NodeVault, open_vault, vault_keyring
from kontinuum.vault import NoSuchObjectError, ObjectTooLargeError


class Noon(SystemClock):
    """Always the same moment."""

    def utc(self):
        """Noon."""
        return AT


@pytest.fixture
def vault(tmp_path):
    """Alice's vault."""
    return NodeVault(tmp_path / "vault", vault_keyring(ALICE), Noon(), ENTROPY)


async def test_what_was_put_is_got_by_id_or_name(vault, tmp_path):
    """
    Bytes and files, in and out.
    """
    (tmp_path / "letter").write_bytes(b"content")
    first = await vault.put(b"x" * 100, name="bytes")
    second = await vault.put(tmp_path / "letter")

    assert await vault.get(first.object_id) == b"x" * 100
    assert await vault.get("letter") == b"content"
    assert await vault.get(str(second.object_id)[:8]) == b"content"
    described = await vault.save("letter", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
    assert described.metadata.name == "letter"
    assert described.metadata.created_at == AT
    assert [stored.object_id for stored in await vault.list()] == [first.object_id, second.object_id]
    assert (await vault.describe("bytes")).sender == ALICE.peer_id
    with pytest.raises(AlreadyExistsError):
        await vault.save("letter", tmp_path / "copy")
    assert await vault.delete("letter") == second.object_id
    with pytest.raises(NoSuchObjectError):
        await vault.get("letter")


async def test_streams_go_in_and_out(vault):
    """
    In pieces of any size; neither side holds the whole.
    """

    async def pieces():
        for number in range(30):
            await asyncio.sleep(0)
            yield bytes([number]) * 100_000

    stored = await vault.put_stream(pieces(), name="stream")
    got = [piece async for piece in vault.stream("stream")]

    assert b"".join(got) == b"".join(bytes([number]) * 100_000 for number in range(30))
    assert max(map(len, got)) == RUN_BYTES
    with pytest.raises(ObjectTooLargeError):
        await vault.get(stored.object_id, bytes_max=1000)


async def test_a_reader_that_leaves_early_closes_the_file(vault):
    """
    Nothing stays open.
    """
    await vault.put(bytes(3 * RUN_BYTES), name="x")
    stream = vault.stream("x")
    assert len(await anext(stream)) == RUN_BYTES
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_cancelled_put_leaves_nothing(vault):
    """
    Neither an object nor an unfinished file, nor a thread at work.
    """
    begun = threading.Event()
    task = asyncio.create_task(vault.put(bytes(50 * RUN_BYTES), on_progress=lambda _: begun.set()))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await vault.list() == []
    assert [name for name in files(vault.store.directory) if name != "journal"] == []


async def test_a_cancelled_stream_does_not_wait_for_its_source(vault):
    """
    The source may never give another piece.
    """
    waiting = asyncio.Event()

    async def pieces():
        yield b"first"
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(vault.put_stream(pieces()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await vault.list() == []


async def test_an_error_of_the_source_is_the_callers(vault):
    """
    And leaves nothing.
    """

    async def pieces():
        yield b"first"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await vault.put_stream(pieces())
    assert await vault.list() == []


async def test_progress_is_told(vault, tmp_path):
    """
    Both ways.
    """
    told = []
    await vault.put(bytes(2 * RUN_BYTES), name="x", on_progress=told.append)
    await vault.save("x", tmp_path / "x", on_progress=told.append)

    assert told == [RUN_BYTES, 2 * RUN_BYTES] * 2


async def test_another_identity_opens_nothing(vault):
    """
    The key belongs to the node's identity.
    """
    stored = await vault.put(b"content")
    other = NodeVault(vault.store.directory, vault_keyring(MALLORY), Noon(), ENTROPY)
    with pytest.raises(NoMatchingKeyError):
        await other.get(stored.object_id)


def test_keys_are_derived_apart_from_signing():
    """
    The same identity gives the same keys; neither is the signing key or its seed, nor one the other.
    """
    keyring, again = vault_keyring(ALICE), vault_keyring(ALICE, post_quantum=True)
    secrets = [key.to_text() for key in keyring.keys]

    assert [key.recipient for key in keyring.keys] == [key.recipient for key in reversed(again.keys)]
    assert keyring.readers[0].recipient == keyring.keys[0].recipient
    assert again.readers[0].recipient.post_quantum
    assert keyring.readers[0].role is Role.SELF
    assert len({*secrets, *(key.to_text() for key in vault_keyring(MALLORY).keys)}) == 4
    from kontinuum.keys.envelope.bech32 import decode_bech32  # noqa: PLC0415

    assert ALICE.seed not in {decode_bech32(secret.decode("ascii"))[1] for secret in secrets}
    assert ALICE.seed.hex() not in repr(keyring)


def test_a_node_that_keeps_nothing_has_no_vault():
    """
    It says so.
    """
    with pytest.raises(VaultOffError, match="no data directory"):
        open_vault(None, Noon())
