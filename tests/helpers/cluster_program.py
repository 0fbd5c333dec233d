"""Commands about clusters in processes that die at every change: ``python cluster_program.py DIRECTORY``.

For each command and each number n, a child runs the command on a fresh copy of a data directory and kills
itself (SIGKILL) at its n-th call that changes the disk; then the parent looks at what is left, and runs the
command again. Prints one JSON line per death.
"""

import io
import json
import os
import shutil
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from kontinuum.cli.main import run
from kontinuum.clusters.store import ClusterStore
from kontinuum.node.vault_recovery import cluster_keyring
from kontinuum.vault import VaultStore

CHANGES = ("pwrite", "write", "fsync", "fchmod", "link", "unlink", "replace", "mkdir", "ftruncate", "pwritev")
"""Calls at which a child may die."""

COMMANDS = {
    "rekey": ["cluster", "rekey", "--dir", "node"],
    "join": ["cluster", "join", "new.handover", "--unprotected", "--dir", "node"],
    "root": [
        *("cluster", "rekey", "--root", "root.key", "--new-root", "next.key", "--handovers", "others"),
        *("--unsealed", "--dir", "node"),
    ],
    "revoke": ["cluster", "revoke", "/0", "--parent", "root.key", "--dir", "node"],
    "recover": [
        *("cluster", "recover", "--all", "--root", "root.key", "--copy", "node", "--dir", "again"),
        "--unprotected",
    ],
}


def command(*words):
    """Run a command; its exit code and what it answered."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        code = run([*words, "--json"])
    return int(code), json.loads(out.getvalue() or "{}")


def prepare(base):
    """A cluster of two; the second one's directory, with something in its vault, and new keys for it."""
    os.chdir(base)
    Path("secret").write_text("something to keep", encoding="ascii")
    for words in (
        ["keys", "new-root", "root.key", "--unprotected"],
        ["keys", "new-root", "next.key", "--unprotected"],
        ["cluster", "init", "--root", "root.key", "--unprotected", "--dir", "first"],
        [
            *("cluster", "add-node", "laptop", "--parent", "root.key", "--unsealed", "--to", "own.handover"),
            *("--dir", "first"),
        ],
        ["node", "init", "--dir", "node"],
        ["vault", "put", "secret", "--dir", "node"],
        ["cluster", "join", "own.handover", "--unprotected", "--dir", "node"],
        [
            *("cluster", "recover", "laptop", "--parent", "root.key", "--unsealed", "--to", "new.handover"),
            *("--dir", "first"),
        ],
    ):
        code, said = command(*words)
        if code:
            raise AssertionError((words, said))


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


def look(directory):
    """What a directory says now: its key, whether its chain is whole, whether its vault opens."""
    code, shown = command("cluster", "show", "--dir", directory)
    if code:
        return {"code": code, "error": shown["error"]["code"]}
    store = ClusterStore(Path(directory) / "cluster", read_only=True)
    book = store.load_book()
    return {
        "code": 0,
        "cluster": shown["cluster"],
        "path": shown["path"],
        "epoch": shown["epoch"],
        "statements": len(book.own),
        "key": str(store.current_epoch(book).signing().peer_id),
    }


def opens(directory):
    """Whether the vault's object is there, under the keys of its directory."""
    store = ClusterStore(Path(directory) / "cluster", read_only=True)
    book = store.load_book()
    keys, vault = cluster_keyring(book.own, store.epochs(book)), VaultStore(Path(directory) / "vault")
    contents = []
    for stored in vault.objects():
        with vault.open(stored.object_id, keys) as reader:
            contents.append(reader.read().decode())
    return contents


def trial(base, name, count):
    """One death, and what came of it."""
    work = base.with_name(f"{name}-{count}")
    shutil.copytree(base, work)
    os.chdir(work)
    before = look("node")
    pid = os.fork()
    if pid == 0:
        die_at(count)
        command(*COMMANDS[name])
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    directory = "again" if name == "recover" else "node"
    after = look(directory)
    code, answer = command(*COMMANDS[name])
    report = {
        "command": name,
        "count": count,
        "died": os.WIFSIGNALED(status),
        "before": before,
        "after": after,
        "code": code,
        "error": answer.get("error"),
        "finally": look(directory),
        "contents": opens(directory),
    }
    os.chdir(base)
    shutil.rmtree(work)
    return report


def main():
    """Each command until its child lives."""
    base = Path(sys.argv[1]) / "base"
    base.mkdir()
    prepare(base)
    for name in COMMANDS:
        count, died = 0, True
        while died:
            count += 1
            report = trial(base, name, count)
            died = report["died"]
            print(json.dumps(report), flush=True)  # noqa: T201 -- the program's result


if __name__ == "__main__":
    main()
