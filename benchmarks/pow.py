"""How long does one proof of work take to check, and how fast is it found?

    python benchmarks/pow.py [--json] [--bits N]

Verification is called from Python, through the native door and through ``ProofOfWork.verify``; the figure is
the best of five runs, divided by the calls in it. Mining runs on all cores; hashes per second are what the
machine does, and the expected time for 24 bits follows from them.
"""

import argparse
import json
import os
import time
import timeit

from kontinuum._native import pow_verify
from kontinuum.identity import KeyPair, Mining, ProofOfWork, network_id

CALLS = 100_000
VERIFY_US_MAX = 2.0
"""Microseconds that one check may take. The issue of the first network."""

MINING_S = 3.0


def microseconds(call):
    """The best of five runs."""
    return min(timeit.repeat(call, number=CALLS, repeat=5)) / CALLS * 1e6


def hashes_per_second(network, peer_id, threads):
    """What a hopeless search does in MINING_S seconds."""
    mining = Mining(network, peer_id, 64, threads=threads)
    start = time.perf_counter()
    hashes = mining.wait(MINING_S).hashes
    seconds = time.perf_counter() - start
    mining.cancel()
    return hashes / seconds


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--bits", type=int, default=20, help="bits of the proof that is mined once")
    options = parser.parse_args()

    network, peer_id = network_id("bench"), KeyPair.from_seed(b"b" * 32).peer_id
    proof = ProofOfWork(network, peer_id, 0)
    start = time.perf_counter()
    Mining(network, peer_id, options.bits).wait(3600)
    mined_s = time.perf_counter() - start
    one_core = hashes_per_second(network, peer_id, 1)
    all_cores = hashes_per_second(network, peer_id, 0)
    report = {
        "verify_native_us": microseconds(lambda: pow_verify(network, peer_id, 1, 24)),
        "verify_us": microseconds(lambda: proof.verify(network, 0)),
        "verify_us_max": VERIFY_US_MAX,
        "mined_bits": options.bits,
        "mined_s": mined_s,
        "hashes_per_s_one_core": one_core,
        "hashes_per_s": all_cores,
        "expected_s_24_bits": 2**24 / all_cores,
        "cores": os.cpu_count(),
    }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for name, value in report.items():
            print(f"{name:24}{value:14,.3f}")
    if report["verify_us"] > VERIFY_US_MAX:
        raise SystemExit(f"one check takes more than {VERIFY_US_MAX} us")


if __name__ == "__main__":
    main()
