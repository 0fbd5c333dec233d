"""How fast is a file sealed and opened, beside pyrage (the Rust library of age) with the same file?

    python benchmarks/seal.py [--json] [--quick] [--dir /dev/shm]

A file of 1 GiB of random bytes in memory (tmpfs) is sealed to two readers and signed, then opened with
everything verified: the content's hash, its sender, its purpose. Both programs run in processes of their own,
in turns; a first round, in which the machine gives its memory out, does not count. MB are 10^6 bytes of
content; the figures are medians. The peak of resident memory is that of our process, both ways. Processor
seconds are of all threads together; on a machine that is busy otherwise they say more than the clock.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyrage

from kontinuum.base.entropy import SystemEntropy
from kontinuum.identity import KeyPair, Secret
from kontinuum.keys.envelope import (
    Context,
    Reader,
    Role,
    X25519Key,
    open_bytes,
    open_file,
    seal_bytes,
    seal_file,
)

SIZE_BYTES = 1 << 30
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a directory with a random name is made there
ROUNDS, QUICK_ROUNDS = 7, 3
SMALL_BYTES, SMALL_CALLS = 1024, 300
PIECE_BYTES = 1 << 20
SECRETS = (b"r" * 32, b"p" * 32)
"""The readers' keys, the same for both programs."""

TARGETS = {"seal_mb_per_s": 800.0, "open_mb_per_s": 800.0, "peak_rss_bytes": 150_000_000}
"""The issue of the keys: at least, at least, below."""


def envelope():
    """Keys, readers, and what our side needs to seal and to open."""
    keys = [X25519Key(Secret(secret)) for secret in SECRETS]
    sealing = {
        "signer": KeyPair.from_seed(b"s" * 32),
        "context": Context("benchmark"),
        "entropy": SystemEntropy(),
    }
    opening = {"context": sealing["context"], "senders": [sealing["signer"].peer_id]}
    return keys, [Reader(keys[0].recipient), Reader(keys[1].recipient, Role.ANCESTOR)], sealing, opening


def timed(work):
    """Seconds of the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return {"s": time.perf_counter() - clock, "cpu_s": time.process_time() - cpu}


def run_kontinuum(source, sealed, opened):
    """Seal and open the file."""
    keys, readers, sealing, opening = envelope()
    times = {"seal": timed(lambda: seal_file(readers, source, sealed, **sealing))}
    times["open"] = timed(lambda: open_file(keys[:1], sealed, opened, **opening))
    return times


def run_pyrage(source, sealed, opened):
    """Seal and open the file."""
    keys = [pyrage.x25519.Identity.from_str(key.to_text().decode("ascii")) for key in envelope()[0]]
    recipients = [key.to_public() for key in keys]
    times = {"seal": timed(lambda: pyrage.encrypt_file(str(source), str(sealed), recipients))}
    times["open"] = timed(lambda: pyrage.decrypt_file(str(sealed), str(opened), keys[:1]))
    return times


def run_small(*_):
    """Seal and open a small object in memory, many times."""
    keys, readers, sealing, opening = envelope()
    content = bytes(SMALL_BYTES)
    sealed = seal_bytes(readers, content, **sealing)

    def repeat(work):
        return lambda: [work() for _ in range(SMALL_CALLS)]

    return {
        "seal": timed(repeat(lambda: seal_bytes(readers, content, **sealing))),
        "open": timed(repeat(lambda: open_bytes(keys[:1], sealed, **opening))),
    }


RUNS = {"kontinuum": run_kontinuum, "pyrage": run_pyrage, "small": run_small}


def measure(name, directory):
    """One run in a process of its own; the copy that it opened is compared with the file."""
    command = [sys.executable, __file__, "--run", name, "--dir", directory]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for path in (directory / "sealed", directory / "opened"):
        path.unlink(missing_ok=True)
    return result


def child(name, directory):
    """What :func:`measure` starts."""
    source, sealed, opened = (directory / file for file in ("source", "sealed", "opened"))
    times = RUNS[name](source, sealed, opened)
    times["rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if opened.exists() and not same(source, opened):
        raise SystemExit(f"{name} opened something else than it sealed")
    print(json.dumps(times))


def same(first, second):
    """Whether two files are equal."""
    with first.open("rb") as one, second.open("rb") as other:
        while piece := one.read(PIECE_BYTES):
            if other.read(PIECE_BYTES) != piece:
                return False
        return not other.read(1)


def rate(runs, verb):
    """Median of MB per second."""
    return statistics.median(SIZE_BYTES / run[verb]["s"] / 1e6 for run in runs)


def cpu(runs, verb):
    """Median of processor seconds, all threads together."""
    return statistics.median(run[verb]["cpu_s"] for run in runs)


def compare(directory, rounds):
    """All figures."""
    piece = os.urandom(PIECE_BYTES)
    with (directory / "source").open("wb") as source:
        for number in range(SIZE_BYTES // PIECE_BYTES):
            source.write(number.to_bytes(8) + piece[8:])
    ours, theirs = [], []
    for number in range(rounds + 1):
        pair = measure("kontinuum", directory), measure("pyrage", directory)
        if number:
            ours.append(pair[0])
            theirs.append(pair[1])
    small = measure("small", directory)
    return {
        "seal_mb_per_s": rate(ours, "seal"),
        "open_mb_per_s": rate(ours, "open"),
        "peak_rss_bytes": max(run["rss_bytes"] for run in ours),
        "seal_cpu_s": cpu(ours, "seal"),
        "open_cpu_s": cpu(ours, "open"),
        "pyrage_seal_mb_per_s": rate(theirs, "seal"),
        "pyrage_open_mb_per_s": rate(theirs, "open"),
        "pyrage_seal_cpu_s": cpu(theirs, "seal"),
        "pyrage_open_cpu_s": cpu(theirs, "open"),
        "seal_ratio": rate(ours, "seal") / rate(theirs, "seal"),
        "open_ratio": rate(ours, "open") / rate(theirs, "open"),
        "seal_small_us": small["seal"]["s"] / SMALL_CALLS * 1e6,
        "open_small_us": small["open"]["s"] / SMALL_CALLS * 1e6,
        "small_bytes": SMALL_BYTES,
        "size_bytes": SIZE_BYTES,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


def missed(report):
    """The targets that were not reached."""
    return [
        name
        for name, target in TARGETS.items()
        if (report[name] >= target if name == "peak_rss_bytes" else report[name] < target)
    ]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    parser.add_argument("--dir", type=Path, default=SHARED_MEMORY, help="where there is room for 3 GiB")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        child(options.run, options.dir)
        return
    directory = Path(tempfile.mkdtemp(prefix="kontinuum-seal-", dir=options.dir))
    try:
        report = compare(directory, QUICK_ROUNDS if options.quick else ROUNDS)
    finally:
        shutil.rmtree(directory)
    report |= {f"{name}_target": target for name, target in TARGETS.items()} | {"missed": missed(report)}
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for name, value in report.items():
            print(f"{name:24}{value:18,.2f}" if isinstance(value, int | float) else f"{name:24}{value!s:>18}")
    if report["missed"]:
        raise SystemExit(f"not reached: {', '.join(report['missed'])}")


if __name__ == "__main__":
    main()
