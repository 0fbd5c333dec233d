"""The proof of work beside the key: reused when it holds, mined anew when it does not."""

import asyncio

import pytest

from helpers.identities import ALICE, BOB, NETWORK
from kontinuum.base.errors import FileUnavailableError
from kontinuum.identity.pow import network_id
from kontinuum.node.proof import proof_of
from kontinuum.wire import cbor

BITS = 8
OTHER = network_id("other")


@pytest.fixture
async def saved(tmp_path):
    """The file of a proof, and the proof."""
    path = tmp_path / "proof.cbor"
    return path, await proof_of(ALICE.peer_id, NETWORK, BITS, path=path)


async def again(path, *, peer_id=ALICE.peer_id, network=NETWORK, bits=BITS):
    """Ask once more; also whether anything was mined."""
    before = path.read_bytes()
    proof = await proof_of(peer_id, network, bits, path=path)
    return proof, path.read_bytes() != before


async def test_a_saved_proof_is_reused(saved):
    """
    The file stays as it is, private.
    """
    path, proof = saved
    assert path.stat().st_mode & 0o777 == 0o600
    assert await again(path) == (proof, False)
    assert (await again(path, bits=1))[1] is False


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        bytes(2000),
        cbor.encode({}),
        cbor.encode({1: NETWORK}),
        cbor.encode({1: NETWORK, 2: -1}),
        cbor.encode({1: NETWORK, 2: 2**64 - 1}),
        cbor.encode({1: NETWORK, 2: True}),
        cbor.encode({1: NETWORK, 2: "1"}),
        cbor.encode({1: b"short", 2: 1}),
        cbor.encode({1: OTHER, 2: 1}),
        cbor.encode([NETWORK, 1]),
    ],
)
async def test_a_file_that_is_of_no_use_is_replaced(saved, content):
    """
    Damaged, of another form, of another network, with a nonce that is none.
    """
    path, proof = saved
    path.write_bytes(content)
    found, mined = await again(path)
    assert mined
    assert found.verify(NETWORK, BITS)
    assert await again(path) == (found, False)
    assert proof.peer_id == found.peer_id


@pytest.mark.parametrize("change", [{"peer_id": BOB.peer_id}, {"network": OTHER}, {"bits": 14}])
async def test_a_proof_for_something_else_is_not_used(saved, change):
    """
    Another identity, another network, or more work.
    """
    path, _ = saved
    found, mined = await again(path, **change)
    assert mined
    assert found.verify(change.get("network", NETWORK), change.get("bits", BITS))


async def test_a_proof_that_others_can_read_is_mined_anew_for_the_owner_alone(saved):
    """
    It is no secret, but a file that others can write to is not to be trusted.
    """
    path, _ = saved
    path.chmod(0o666)
    await proof_of(ALICE.peer_id, NETWORK, BITS, path=path)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_disk_that_refuses_is_told(tmp_path):
    """
    With the path; nothing is left behind.
    """
    with pytest.raises(FileUnavailableError, match="missing"):
        await proof_of(ALICE.peer_id, NETWORK, BITS, path=tmp_path / "missing" / "proof.cbor")
    assert list(tmp_path.iterdir()) == []


async def test_progress_is_told_and_cancelling_ends_the_search():
    """
    A search that would take years ends at once.
    """
    told = asyncio.Queue()
    search = asyncio.create_task(
        proof_of(
            ALICE.peer_id, NETWORK, 60, path=None, on_progress=lambda *progress: told.put_nowait(progress)
        )
    )
    async with asyncio.timeout(5):
        _, expected = await told.get()
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search
    assert expected == 2**60


async def test_no_work_is_asked_for_and_none_is_saved(tmp_path):
    """
    With 0 bits nothing is written.
    """
    path = tmp_path / "proof.cbor"
    assert (await proof_of(ALICE.peer_id, NETWORK, 0, path=path)).verify(NETWORK, 0)
    assert not path.exists()
