"""A vault in a process that dies at every system call in turn: ``python vault_program.py DIRECTORY``.

For each number n a child puts one object and deletes another, and kills itself (SIGKILL) at its n-th system
call that changes the disk; the parent then looks at what is left. Prints one JSON line per death; ends when a
child lived on.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.vaults import AT, files, get, put
from kontinuum.vault import VaultStore

CHANGES = ("open", "pwritev", "pwrite", "fsync", "fchmod", "link", "unlink", "replace", "mkdir", "ftruncate")
"""Calls at which a child may die."""

CONTENT = b"content " * 30_000


def die_at(count):
    """Let this process die at its ``count``-th change."""
    left = [count]

    def dying(real):
        def call(*arguments, **options):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in CHANGES:
        setattr(os, name, dying(getattr(os, name)))


def child(directory, old, count):
    """Put and delete, and report each on a pipe when it returned."""
    store = VaultStore(directory)
    die_at(count)
    new = put(store, CONTENT, "new")
    os.write(1, f"put {new}\n".encode())
    store.delete(old, at=AT)
    os.write(1, b"deleted\n")


def trial(base, count):
    """One death: what the child said, and what its vault is like."""
    directory = base / str(count)
    store = VaultStore(directory)
    kept, old = put(store, b"kept", "kept"), put(store, b"old", "old")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        os.close(reading)
        child(directory, old, count)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split("\n")
    _, status = os.waitpid(pid, 0)

    again = VaultStore(directory)
    objects = again.objects()
    leftovers = again.tidy()
    report = {
        "count": count,
        "died": os.WIFSIGNALED(status),
        "said": said[:-1],
        "contents": sorted(get(again, stored.object_id).decode()[:8] for stored in objects if stored.present),
        "ids": [str(stored.object_id) for stored in objects],
        "lost": sum(not stored.present for stored in objects),
        "damaged": [str(lost) for lost in again.check()],
        "leftovers": leftovers,
        "files": len(files(directory / "objects")),
        "strange": [name for name in files(directory) if ".tmp" in name],
        "kept": str(kept),
        "old": str(old),
    }
    # The vault works on.
    put(again, b"after", "after")
    report["after"] = len(VaultStore(directory).objects()) == len(objects) + 1
    shutil.rmtree(directory)
    return report


def main():
    """Until a child lives."""
    base, count = Path(sys.argv[1]), 0
    while True:
        count += 1
        report = trial(base, count)
        print(json.dumps(report), flush=True)  # noqa: T201 -- the program's result
        if not report["died"]:
            return


if __name__ == "__main__":
    main()
