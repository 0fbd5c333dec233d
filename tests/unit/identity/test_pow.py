import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from helpers.identities import ALICE, BOB, NETWORK, proof_of, vectors
from kontinuum._native import PowMiner, blake3_256, pow_verify
from kontinuum.base import MisuseError
from kontinuum.identity import (
    Mining,
    PeerId,
    ProofOfWork,
    WeakProofError,
    WrongNetworkError,
    network_id,
)
from kontinuum.wire import MalformedError
from kontinuum.wire.limits import NETWORK_NAME_BYTES_MAX, POW_DIFFICULTY_MAX, POW_NONCE_MAX


def leading_zero_bits(digest: bytes) -> int:
    """As the definition says, of the digest as one number."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def test_blake3_is_blake3():
    """
    The empty input's hash, from the official test vectors of BLAKE3.
    """
    assert blake3_256(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize("row", vectors("pow.json"), ids=lambda row: row["network"])
def test_golden_proofs(row):
    """
    Proofs of version 1: the hash of the published layout has exactly the bits that the row says.
    """
    network = network_id(row["network"])
    peer_id = PeerId.parse(row["peer_id"])
    nonce = row["nonce"]
    digest = blake3_256(b"kontinuum/pow/v1\0" + network + peer_id + nonce.to_bytes(8, "little"))

    assert network.hex() == row["network_id"]
    assert digest.hex() == row["hash"]
    assert leading_zero_bits(digest) == row["bits"]
    assert pow_verify(network, peer_id, nonce, row["bits"])
    assert not pow_verify(network, peer_id, nonce, row["bits"] + 1)


def test_a_proof_holds_for_its_identity_and_network_only():
    """
    Bound to both: neither another identity nor another network can use it.
    """
    proof = proof_of(ALICE.peer_id, 12)

    assert proof.verify(NETWORK, 12) is proof
    with pytest.raises(WrongNetworkError):
        proof.verify(network_id("other"), 12)
    with pytest.raises(WeakProofError):
        ProofOfWork(NETWORK, BOB.peer_id, proof.nonce).verify(NETWORK, 12)
    with pytest.raises(WeakProofError) as caught:
        proof.verify(NETWORK, POW_DIFFICULTY_MAX)
    assert caught.value.difficulty == POW_DIFFICULTY_MAX


def test_no_difficulty_needs_no_work():
    """
    A network with 0 bits takes any nonce.
    """
    ProofOfWork(NETWORK, ALICE.peer_id, 0).verify(NETWORK, 0)
    assert proof_of(ALICE.peer_id, 0).nonce == 0


@pytest.mark.parametrize("difficulty", [-1, POW_DIFFICULTY_MAX + 1])
def test_a_difficulty_out_of_range_is_our_callers_mistake(difficulty):
    """
    For verifying and for mining.
    """
    with pytest.raises(MisuseError, match="bits"):
        ProofOfWork(NETWORK, ALICE.peer_id, 0).verify(NETWORK, difficulty)
    with pytest.raises(MisuseError, match="bits"):
        Mining(NETWORK, ALICE.peer_id, difficulty)


def test_nonces_and_network_ids_have_their_length():
    """
    At the limit and beyond; also behind Python, at the native door.
    """
    ProofOfWork(NETWORK, ALICE.peer_id, POW_NONCE_MAX)
    for nonce in (-1, POW_NONCE_MAX + 1):
        with pytest.raises(MalformedError, match="64 bits"):
            ProofOfWork(NETWORK, ALICE.peer_id, nonce)
        with pytest.raises(OverflowError):
            pow_verify(NETWORK, ALICE.peer_id, nonce, 0)
    for network in (b"", NETWORK[:31], NETWORK + b"\0"):
        with pytest.raises(MalformedError, match="32 bytes"):
            ProofOfWork(network, ALICE.peer_id, 0)
        with pytest.raises(MisuseError, match="32 bytes"):
            Mining(network, ALICE.peer_id, 0)
        for door in (pow_verify, PowMiner):
            with pytest.raises(ValueError, match="not 32"):
                door(network, ALICE.peer_id, 0, 0)
    with pytest.raises(ValueError, match="identity has 31"):
        pow_verify(NETWORK, ALICE.peer_id[:31], 0, 0)


def test_a_networks_name_has_bounds():
    """
    1 to NETWORK_NAME_BYTES_MAX bytes of UTF-8; names are case-sensitive and not normalised.
    """
    assert network_id("main") == blake3_256(b"main")
    assert len(network_id("x" * NETWORK_NAME_BYTES_MAX)) == 32
    for name in ("", "x" * (NETWORK_NAME_BYTES_MAX + 1), "é" * (NETWORK_NAME_BYTES_MAX // 2 + 1)):
        with pytest.raises(MisuseError, match="bytes"):
            network_id(name)
    with pytest.raises(MisuseError, match="Unicode"):
        network_id("\ud800")


def test_progress_is_visible_and_ends_with_a_proof():
    """
    The counter grows to what was needed; after the end, polling says the same for ever.
    """
    mining = Mining(NETWORK, ALICE.peer_id, 18)
    progress = mining.wait(60)

    assert progress.done
    assert progress.proof is not None
    assert progress.proof.verify(NETWORK, 18)
    assert progress.hashes > 0
    assert mining.poll().proof == progress.proof


def test_a_search_can_be_cancelled_at_once_and_twice():
    """
    A hopeless search ends within moments and without a proof.
    """
    mining = Mining(NETWORK, ALICE.peer_id, POW_DIFFICULTY_MAX)
    assert not mining.wait(0.05).done

    start = time.perf_counter()
    mining.cancel()
    mining.cancel()
    progress = mining.poll()

    assert time.perf_counter() - start < 1
    assert progress.done
    assert progress.proof is None
    assert progress.hashes > 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_forgotten_search_stops():
    """
    When nobody holds the search any more, its threads end; nothing goes on burning.
    """
    assert mining_threads() == 0
    mining = Mining(NETWORK, ALICE.peer_id, POW_DIFFICULTY_MAX, threads=2)
    mining.wait(0.05)
    assert mining_threads() == 2

    del mining

    assert mining_threads() == 0


def mining_threads() -> int:
    """Threads of this process that the kernel knows by the miner's name."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # Another test's thread may end between the listing and the reading.
            names.append((task / "comm").read_text())
    return sum(name.startswith("kontinuum-pow") for name in names)


def test_waiting_leaves_python_running():
    """
    The interpreter lock is free while a thread waits for a proof.
    """
    mining = Mining(NETWORK, ALICE.peer_id, POW_DIFFICULTY_MAX, threads=1)
    waiter = threading.Thread(target=mining.wait, args=(30,))
    waiter.start()
    start = time.perf_counter()

    mining.cancel()
    waiter.join()

    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf"), 86_401])
def test_a_wait_has_bounds(timeout_s):
    """
    Odd timeouts are an error, never a panic in the native code.
    """
    mining = Mining(NETWORK, ALICE.peer_id, 0)
    with pytest.raises(ValueError, match="86400"):
        mining.wait(timeout_s)


def test_a_process_can_end_in_the_middle_of_a_search():
    """
    Leaving Python while threads mine neither hangs nor crashes.
    """
    program = (
        "from kontinuum._native import PowMiner;"
        "keep = PowMiner(bytes(32), bytes(32), 64); print(keep.poll()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True)

    assert done.stdout.strip() == b"False"
