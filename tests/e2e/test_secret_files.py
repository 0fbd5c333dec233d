"""Attack 36 for whole programs: what commands that touch secrets leave on the disk, say, and show."""

import base64
import os
import re
import resource
import signal
import stat
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from helpers.programs import PROGRAM, Program, environment, run_json, wait_until
from kontinuum.identity.key_file import load_key_file
from kontinuum.keys.backup.words import phrase_of
from kontinuum.keys.keystore import load_store

pytestmark = pytest.mark.slow

PASSPHRASES = (
    "node-passphrase-7f1c",
    "store-passphrase-a203",
    "backup-passphrase-9e5d",
    "other-passphrase-66b0",
)
NODE_PASSPHRASE, STORE_PASSPHRASE, BACKUP_PASSPHRASE, OTHER_PASSPHRASE = PASSPHRASES


def open_for_all():
    """In the child: the most careless umask there is."""
    os.umask(0)


def full_disk():
    """In the child: not a byte can be written to any file."""
    open_for_all()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]


def cores():
    """In the child: core files as long as they may be."""
    resource.setrlimit(resource.RLIMIT_CORE, (HARD, HARD))


VARIABLES = {"S": STORE_PASSPHRASE, "B": BACKUP_PASSPHRASE, "O": OTHER_PASSPHRASE}


class Home:
    """A directory in which real commands run, and everything that they said."""

    def __init__(self, path):
        self.path = path
        self.said = b""

    def run(self, *arguments, code=0, prepare=open_for_all, secret=False, node=NODE_PASSPHRASE):
        """Run a command with ``--debug``; ``secret`` if its output is meant to be secret."""
        done = subprocess.run(
            [*PROGRAM, *map(str, arguments), "--debug"],
            env=environment(self.path) | {"KONTINUUM_PASSPHRASE": node} | VARIABLES,
            cwd=self.path, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
            preexec_fn=prepare,
        )  # fmt: skip
        assert (done.returncode == 0) == (code == 0), (arguments, done.stdout, done.stderr)
        self.said += done.stderr if secret else done.stdout + done.stderr
        return done

    def secrets(self):
        """All that must not be shown, as the texts in which it could be."""
        root = load_store(self.path / "root.keys").open(STORE_PASSPHRASE)
        seeds = [
            root.expose(),
            load_key_file(self.path / "node" / "identity.key", passphrase=NODE_PASSPHRASE).seed,
        ]
        words = phrase_of(root).split()
        texts = [*PASSPHRASES, *(" ".join(words[at : at + 3]) for at in range(len(words) - 2))]
        shares = [path.read_text().splitlines()[1].split() for path in (self.path / "shares").iterdir()]
        texts += [" ".join(share[4:8]) for share in shares]
        texts += re.findall(r"AGE-SECRET-KEY-\S+", (self.path / "vault.key").read_text())
        for seed in map(bytes, seeds):
            texts += [seed.hex(), seed.hex().upper(), base64.b64encode(seed).decode(), repr(seed)[2:-1]]
            texts += [
                base64.urlsafe_b64encode(seed).decode().rstrip("="),
                base64.b32encode(seed).decode().rstrip("="),
            ]
        return texts


STORE = ("--passphrase-source", "env:S")
BACKUP = ("--backup-passphrase-source", "env:B")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Every command that writes a secret has run once, under umask 0."""
    home = Home(tmp_path_factory.mktemp("home"))
    (home.path / "letter").write_text("for your eyes only")
    (home.path / "letter").chmod(0o600)
    home.run("node", "init", "--dir", "node", "--passphrase")
    home.run("keys", "new-root", "root.keys", *STORE)
    for target, form in {
        "words.txt": "words",
        "sheet.svg": "sheet",
        "sheet.pdf": "sheet",
        "root.age": "age",
        "copy.keys": "store",
    }.items():
        home.run("keys", "backup", "root.keys", "--as", form, "--to", target, *STORE, *BACKUP)
    for form, target in {"shares": "shares", "share-sheets": "sheets"}.items():
        home.run("keys", "backup", "root.keys", "--as", form, "--group", "2of3", "--to", target, *STORE)
    home.run("keys", "verify-backup", "root.keys", "--from", "words.txt")
    home.run("keys", "restore", "again.keys", "--from", "root.age", "--passphrase-source", "env:O", *BACKUP)
    home.run(
        "keys", "passphrase", "again.keys", "--passphrase-source", "env:O", "--new-passphrase-source", "env:S"
    )
    home.run("keys", "new-root", "bare.keys", "--unprotected")
    home.run("vault", "put", "letter", "--dir", "node")
    home.run("vault", "get", "letter", "--to", "got", "--dir", "node")
    home.run("vault", "key", "--export", "vault.key", "--dir", "node")
    home.run("vault", "key", "--post-quantum", "--export", "vault-pq.key", "--dir", "node")
    recipient = run_json(home.path, "vault", "key", "--dir", "other")
    assert recipient[0] != 0  # There is no such node, and none is made by asking.
    home.run("seal", "letter", "--for", _recipient(home), "--dir", "node")
    home.run("open", "letter.age", "--to", "opened", "--dir", "node")
    return home


def _recipient(home):
    """What others seal to for our node."""
    lines = home.run("vault", "key", "--dir", "node").stdout.decode().split()
    return next(word for word in lines if word.startswith("age1"))


def modes(path):
    """Each file and directory below a path, and its permission bits."""
    return {
        str(entry.relative_to(path)): stat.S_IMODE(entry.lstat().st_mode) | (entry.is_dir() << 16)
        for entry in sorted(path.rglob("*"))
    }


def too_open(path):
    """The entries that are not 0600, or 0700 for directories."""
    return {
        name: oct(mode & 0o7777)
        for name, mode in modes(path).items()
        if mode & 0o7777 != (0o700 if mode >> 16 else 0o600)
    }


def test_under_umask_0_every_file_is_private(home):
    """
    Files are 0600 and directories 0700, those of a running node as well, its socket among them.
    """
    assert too_open(home.path) == {}
    program = Program(
        home.path, "node", "run", "--dir", home.path / "run", "--listen", "127.0.0.1:0", "--json",
        "--log-level", "debug", preexec_fn=open_for_all,
    )  # fmt: skip
    program.json_line()
    try:
        assert (home.path / "run" / "control.sock").is_socket()
        assert too_open(home.path / "run") == {}
    finally:
        program.end()
    assert too_open(home.path) == {}


def code_of(home, *arguments, **variables):
    """The code of the error with which a command ends."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments), "--json"],
        env=environment(home.path) | variables, cwd=home.path, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    found = re.search(r'"code": ?"(\w+)"', done.stdout)
    assert found is not None, done
    assert done.returncode != 0
    return found[1]


@pytest.fixture
def cut(home, tmp_path):
    """Copies that lack their last third."""

    def cut(name):
        data = (home.path / name).read_bytes()
        target = tmp_path / Path(name).name
        target.write_bytes(data[: len(data) * 2 // 3])
        target.chmod(0o600)
        return target

    return cut


def test_a_wrong_passphrase_is_not_a_damaged_file(home, cut, tmp_path):
    """
    Of node key, key store, both kinds of backup file: two errors, and neither is that of the right file.
    """
    words = ("--as", "words", "--to", "-", "--passphrase-source", "env:P")
    assert code_of(home, "keys", "backup", "root.keys", *words, P="wrong") == "wrong_passphrase"
    assert (
        code_of(home, "keys", "backup", cut("root.keys"), *words, P=STORE_PASSPHRASE) == "truncated_key_file"
    )
    check = ("keys", "verify-backup", "root.keys", "--backup-passphrase-source", "env:P", "--from")
    for name in ("copy.keys", "root.age"):
        wrong = code_of(home, *check, name, P="wrong")
        damaged = code_of(home, *check, cut(name), P=BACKUP_PASSPHRASE)
        assert wrong != damaged, name
        assert "passphrase" in wrong, wrong
        assert "passphrase" not in damaged, damaged
    node = tmp_path / "node"
    node.mkdir(mode=0o700)
    cut("node/identity.key").rename(node / "identity.key")
    listing = ("vault", "key", "--dir")
    assert code_of(home, *listing, home.path / "node", KONTINUUM_PASSPHRASE="wrong") == "wrong_passphrase"
    assert code_of(home, *listing, node, KONTINUUM_PASSPHRASE=NODE_PASSPHRASE) == "truncated_key_file"


def test_nothing_said_holds_a_secret(home, cut):
    """
    Not in the output of any command above, and not in the tracebacks of those that fail with the secret in
    their hands: a full disk, a place that does not exist, a wrong passphrase, a damaged file, wrong words.
    """
    away = home.path / "none" / "x"
    for form in ("words", "sheet", "age", "store"):
        for target, prepare in ((away, open_for_all), (home.path / "unwritten.pdf", full_disk)):
            home.run(
                "keys",
                "backup",
                "root.keys",
                "--as",
                form,
                "--to",
                target,
                *STORE,
                *BACKUP,
                code=1,
                prepare=prepare,
            )
    home.run("keys", "backup", "root.keys", "--as", "shares", "--group", "2of3", "--to", away, *STORE, code=1)
    home.run("keys", "backup", cut("root.keys"), "--as", "words", "--to", "-", *STORE, code=1)
    home.run(
        "keys", "backup", "root.keys", "--as", "words", "--to", "-", "--passphrase-source", "env:O", code=1
    )
    home.run(
        "keys",
        "passphrase",
        "root.keys",
        *STORE,
        "--new-passphrase-source",
        "env:O",
        code=1,
        prepare=full_disk,
    )
    home.run("keys", "restore", "full.keys", "--from", "root.age", *STORE, *BACKUP, code=1, prepare=full_disk)
    words = (home.path / "words.txt").read_text().split()
    wrong = home.path / "wrong.txt"
    wrong.write_text(" ".join(["zoo", *words[1:]]))
    wrong.chmod(0o600)
    home.run("keys", "verify-backup", "root.keys", "--from", wrong, code=1)
    home.run("keys", "restore", "wrong.keys", "--from", wrong, *STORE, code=1)
    home.run("vault", "key", "--export", away, "--dir", "node", code=1)
    home.run("vault", "key", "--export", "full.key", "--dir", "node", code=1, prepare=full_disk)
    home.run("vault", "put", "letter", "--dir", "node", code=1, prepare=full_disk)
    home.run("seal", "letter", "--for", _recipient(home), "--to", away, "--dir", "node", code=1)
    home.run("vault", "list", "--dir", "node", node="wrong-passphrase-11d8", code=1)
    home.run("node", "init", "--dir", "full", "--passphrase", code=1, prepare=full_disk)

    said = home.said.decode()
    assert said.count("Traceback") >= 15
    assert [text for text in home.secrets() if text in said] == []
    assert "wrong-passphrase-11d8" not in said
    assert too_open(home.path) == {}
    assert not list(home.path.glob("*unwritten*"))


def test_a_secret_that_is_said_is_found(home):
    """
    The search above can find: the words on standard output, where they were asked for.
    """
    done = home.run("keys", "backup", "root.keys", "--as", "words", "--to", "-", *STORE, secret=True)
    assert [text for text in home.secrets() if text in done.stdout.decode()]


def read_proc(pid, name):
    """A file of a process, as text."""
    return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")


@pytest.fixture
def node(home):
    """A running node whose key has a passphrase, whose limit for core files was none when it started."""

    def start(**settings):
        variables = environment(home.path) | {"KONTINUUM_PASSPHRASE": NODE_PASSPHRASE} | settings
        process = subprocess.Popen(
            [*PROGRAM, "node", "run", "--dir", home.path / "node", "--listen", "127.0.0.1:0", "--json"],
            env=variables, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=cores,  # noqa: PLW1509 -- no threads here
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline()
        return process

    directory, started = home.path, []
    yield start
    for process in started:
        process.kill()
        process.stdout.close()
        process.wait()


def dumped(process):
    """Crash a process; whether the kernel wrote its memory."""
    process.send_signal(signal.SIGQUIT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status)
    return os.WCOREDUMP(status)


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
def test_a_node_leaves_no_core_and_shows_no_secret(node):
    """
    Its limit for core files is 0 and its command line has no secret. Even with the limit lifted from outside
    it leaves no core, because it is not dumpable: that stops a program which takes dumps through a pipe.
    """
    process = node()
    assert re.search(r"Max core file size +0 ", read_proc(process.pid, "limits"))
    assert not [text for text in PASSPHRASES if text in read_proc(process.pid, "cmdline")]
    resource.prlimit(process.pid, resource.RLIMIT_CORE, (HARD, HARD))
    assert not dumped(process)


def can_dump(directory):
    """Whether this machine writes core files at all, into the directory of the process."""
    process = subprocess.Popen(
        ["sh", "-c", "kill -QUIT $$"], cwd=directory,
        preexec_fn=cores,  # noqa: PLW1509 -- no threads here
    )  # fmt: skip
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status)
    return os.WCOREDUMP(status)


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
def test_core_dumps_are_there_for_whoever_asks(node, home, tmp_path):
    """
    The setting allows them; it is what makes the test before this one able to fail.
    """
    process = node(KONTINUUM_CORE_DUMPS="true")
    assert not re.search(r"Max core file size +0 ", read_proc(process.pid, "limits"))
    if not can_dump(tmp_path):
        pytest.skip("this machine writes no core files")
    assert dumped(process)
    for core in home.path.glob("core*"):
        core.unlink()


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
def test_a_command_with_a_key_has_no_core_either(home):
    """
    While it waits for its backup, after the words of it came: limit 0, and no word where others look.
    """
    words = (home.path / "words.txt").read_bytes()
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [*PROGRAM, "keys", "verify-backup", "root.keys", "--from", f"fd:{ours}"],
        env=environment(home.path), cwd=home.path, pass_fds=[ours], stdout=subprocess.DEVNULL,
        preexec_fn=cores,  # noqa: PLW1509 -- no threads here
    ) as program:  # fmt: skip
        os.close(ours)
        os.write(theirs, words[:40])
        wait_until(
            lambda: re.search(r"Max core file size +0 ", read_proc(program.pid, "limits")), "the limit"
        )
        shown = read_proc(program.pid, "cmdline") + read_proc(program.pid, "environ")
        os.write(theirs, words[40:])
        os.close(theirs)
        assert program.wait(60) == 0
    phrase = words.decode().split()
    assert not [pair for pair in pairwise(phrase) if " ".join(pair) in shown]


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
def test_children_inherit_no_passphrase(tmp_path):
    """
    The only processes that we start are the nodes of ``kontinuum up``: neither their command lines nor their
    environments hold the passphrase that ours did, they have no core, and what they keep is private.
    """
    (tmp_path / "letter").write_text("for your eyes only")
    program = subprocess.Popen(
        [*PROGRAM, "up", "--nodes", "2", "--file", "letter", "--dir", "kept", "--check", "--json"],
        env=environment(tmp_path) | {"KONTINUUM_PASSPHRASE": NODE_PASSPHRASE},
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        children = wait_until(
            lambda: read_proc(program.pid, f"task/{program.pid}/children").split(), "a node"
        )
        for child in children:
            wait_until(lambda child=child: "\0node\0run\0" in read_proc(child, "cmdline"), "the program")
            shown = read_proc(child, "cmdline") + read_proc(child, "environ")
            assert "HOME=" in shown
            assert NODE_PASSPHRASE not in shown
            wait_until(
                lambda child=child: re.search(r"Max core file size +0 ", read_proc(child, "limits")),
                "the limit",
            )
        assert program.wait(60) == 0
    finally:
        program.kill()
        program.wait()
    keys = list(tmp_path.rglob("identity.key"))
    assert len(keys) == 2
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600] * 2
    assert [too_open(key.parent) for key in keys] == [{}] * 2
