"""``kontinuum keys`` as a person meets it: a terminal, words typed by hand, mistakes among them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.terminal import Terminal
from kontinuum.base.entropy import SystemEntropy
from kontinuum.keys.backup.shares import Group, split_root
from kontinuum.keys.backup.words import phrase_of
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.keystore import Unprotected, create_store, load_store

pytestmark = pytest.mark.slow

PROGRAM = (sys.executable, "-m", "kontinuum.cli.main")
ROOT = RootSeed(bytes(range(32)))
PHRASE = phrase_of(ROOT)


@pytest.fixture
def store(tmp_path):
    """A key store without a passphrase."""
    path = tmp_path / "root.keys"
    create_store(path, ROOT, Unprotected(), entropy=SystemEntropy())
    return path


async def test_a_rehearsal_from_paper_shows_nothing_of_the_key(store, tmp_path):
    """
    24 words are typed unseen, one of them mistyped and one cut to four letters; the root is confirmed, the
    screen never shows a word that was not mistyped, and no file was made.
    """
    words = PHRASE.split()
    before = sorted(tmp_path.iterdir())
    async with Terminal(*PROGRAM, "keys", "verify-backup", str(store), lines=60) as terminal:
        await terminal.see("How many words?")
        terminal.type("24\r")
        await terminal.see("word 1:")
        terminal.type("abondon\r")
        await terminal.see("did you mean abandon?")
        terminal.type("\r")
        await terminal.see("word 2:")
        terminal.type(words[1][:4] + "\r")
        await terminal.see("word 3:")
        terminal.type(" ".join(words[2:]) + "\r")
        await terminal.see("this backup gives the root")
        assert await terminal.process.wait() == 0
        assert not {word for word in words[1:] if len(word) > 5} & set(terminal.text.split())
    assert sorted(tmp_path.iterdir()) == before


async def test_a_wrong_word_is_asked_for_again(store):
    """
    All words are in the list and one is not the paper's: its place is told, and only it is typed again.
    """
    words = PHRASE.split()
    async with Terminal(*PROGRAM, "keys", "verify-backup", str(store), lines=60) as terminal:
        await terminal.see("How many words?")
        terminal.type("24\r")
        await terminal.see("word 1:")
        terminal.type(" ".join([*words[:6], "zoo", *words[7:]]) + "\r")
        await terminal.see("word 7 is not the right one")
        await terminal.see("word 7:")
        terminal.type(words[6] + "\r")
        await terminal.see("this backup gives the root")
        assert await terminal.process.wait() == 0


async def test_shares_are_brought_one_after_the_other(store, tmp_path):
    """
    One is not enough, the same again and one of another backup are refused, the second makes it whole.
    """
    shares = split_root(ROOT, [Group(2, 3)], entropy=SystemEntropy())[0]
    other = split_root(ROOT, [Group(2, 3)], entropy=SystemEntropy())[0]
    target = tmp_path / "again.keys"
    public = load_store(store).public.hex()
    command = ("keys", "restore", str(target), "--root", public, "--unprotected", "--echo")
    async with Terminal(*PROGRAM, *command, lines=80) as terminal:
        await terminal.see("How many words?")
        terminal.type("33\r")
        for share, answer in (
            (shares[0], "group 1 has 1 of 2"),
            (shares[0], "share 2 is share 1 again"),
            (other[1], "share 2 is of another backup"),
            (shares[2], f"root key {public}"),
        ):
            await terminal.see("word 1:")
            terminal.type(share + "\r")
            await terminal.see(answer)
        assert await terminal.process.wait() == 0
    assert load_store(target).open() == ROOT


def test_no_secret_is_on_a_command_line(store, tmp_path):
    """
    While a command waits for its backup, nothing that others can read of the process holds a word.
    """
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [*PROGRAM, "keys", "verify-backup", str(store), "--from", f"fd:{ours}"], pass_fds=[ours], cwd=tmp_path
    ) as program:
        os.close(ours)
        half = len(PHRASE) // 2
        os.write(theirs, PHRASE[:half].encode())
        line = Path(f"/proc/{program.pid}/cmdline").read_bytes().decode()
        os.write(theirs, PHRASE[half:].encode())
        os.close(theirs)
        assert program.wait(30) == 0
    assert not set(PHRASE.split()) & set(line.replace("\0", " ").split())
