"""What happens in the story, in order, and what must be true after each act.

Alice has three machines, Bob two. They meet. One of Alice's machines is stolen, another changes its key, then
all of hers burn, and what is left is a sheet of words and one sealed copy. In the end even her root goes.

Each act is a method of :class:`Story`; each ends with what it shows, or with a StoryError.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kontinuum.cli.story.stage import Stage, StoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

LETTER = "Dear Alice, this letter has outlived every machine that it was on.\n"
"""What must not be lost."""

ALICE = ("alice/desk", "alice/laptop", "alice/phone")
BOB = ("bob/shop", "bob/van")
OPEN = "--unprotected"
"""Keys without a passphrase. In the story, and nowhere else: nobody is there to type."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act that was played."""

    number: int
    title: str
    shown: str
    """What came of it, a sentence."""
    facts: dict[str, Any]
    """The same for programs."""


class Story:
    """The story on a stage.

    Args:
        directory: An empty directory.
        show: Told of each command line before it runs.
        begin: Told of each act before it is played.
    """

    def __init__(
        self, directory: Path, *, show: Callable[[str], None], begin: Callable[[int, str], None]
    ) -> None:
        self.stage = Stage(directory, show)
        self._begin = begin
        self._directory = directory
        self._contacts: dict[str, str] = {}
        self._words = b""

    def play(self) -> Generator[Act, None, None]:
        """Play the acts, one after the other; ends all processes at the end.

        Raises:
            StoryError: Something did not come about.
        """
        acts = (
            ("A root, on paper", self.root),
            ("Three machines, one cluster", self.cluster),
            ("Alice and Bob meet", self.meet),
            ("Everybody calls everybody", self.call),
            ("A letter, sealed, and a copy of it", self.letter),
            ("The phone is stolen", self.theft),
            ("The laptop changes its key", self.rekey),
            ("Everything burns", self.fire),
            ("Back from words and one copy", self.recovery),
            ("Another root", self.new_root),
        )
        try:
            for number, (title, play) in enumerate(acts, start=1):
                self._begin(number, title)
                shown, facts = play()
                yield Act(number, title, shown, facts)
        finally:
            self.stage.close()

    # --- the acts ---

    def root(self) -> tuple[str, dict[str, Any]]:
        """Alice makes a root, writes its words down, and rehearses what she would do with them."""
        for who in ("alice", "bob"):
            (self._directory / who).mkdir()
            made = self.stage.run("keys", "new-root", f"{who}/root.key", OPEN)
        made = self.stage.run("keys", "show", "alice/root.key", show=False)
        self.stage.run("keys", "backup", "alice/root.key", "--as", "words", "--to", "alice/words.txt")
        words = self._directory / "alice/words.txt"
        self._words = words.read_bytes()
        words.unlink()  # From here on they are on paper.
        checked = self.stage.run("keys", "verify-backup", "alice/root.key", "--from", "-", feed=self._words)
        if not checked["ok"]:
            raise StoryError("the words do not make the root")
        count = len(self._words.split())
        return f"The root is {count} words on paper. They were checked.", {
            "root": made["public"],
            "words": count,
        }

    def cluster(self) -> tuple[str, dict[str, Any]]:
        """Alice's first machine, then two more, each by a handover; and Bob's two."""
        facts: dict[str, Any] = {}
        for who, (first, *others) in (("alice", ALICE), ("bob", BOB)):
            root = f"{who}/root.key"
            label = first.partition("/")[2]
            made = self.stage.run("cluster", "init", "--root", root, "--label", label, "--dir", first, OPEN)
            facts[who] = made["cluster"]
            self._start(first)
            for other in others:
                label, file = other.partition("/")[2], f"{other}.handover"
                self.stage.run(
                    "cluster", "add-node", label, "--parent", root, "--to", file, "--unsealed", "--dir", first
                )
                self.stage.run("cluster", "join", file, "--dir", other, OPEN)
                (self._directory / file).unlink()
                self._start(other, first)
            for name in (first, *others):
                self._connected(name, len(others))
        return "Alice's three machines know each other, and so do Bob's two.", facts

    def meet(self) -> tuple[str, dict[str, Any]]:
        """Two people, face to face: one shows a code, the other takes it, both see the same words."""
        here, there = ALICE[0], BOB[0]
        with self.stage.begun(
            "meet", "show", "--name", "bob", "--as", "alice", "--no-qr", "--yes", "--dir", here
        ) as showing:
            events = _events(showing.stdout)
            code = next(events)["code"]
            joined = self._last(
                self.stage.run_events(
                    "meet", "join", "-", "--name", "alice", "--as", "bob", "--yes", "--dir", there,
                    feed=code.encode(),
                ),
                "words",
            )  # fmt: skip
            shown = self._last(list(events), "words")
        if shown["words"] != joined["words"]:
            raise StoryError("the two sides saw different words")
        said = " ".join(joined["words"])
        for name in ALICE:
            self.stage.until(f"{name} trusts Bob", partial(self._trusts, name, "bob"))
        for name in BOB:
            self.stage.until(f"{name} trusts Alice", partial(self._trusts, name, "alice"))
        facts = {"code_chars": len(code), "words": said}
        return f"Both read aloud: {said}. All of both clusters' machines know it.", facts

    def call(self) -> tuple[str, dict[str, Any]]:
        """Every machine of one calls every machine of the other, by name; two of them never met."""
        calls = 0
        for names, others, friend in ((ALICE, BOB, "bob"), (BOB, ALICE, "alice")):
            for name in names:
                for other in others:
                    label = other.partition("/")[2]
                    self._reaches(name, f"{friend}:{label}", show=calls == 0)
                    calls += 1
        return f"{calls} calls, each by name, each answered by a key that the chain names.", {"calls": calls}

    def letter(self) -> tuple[str, dict[str, Any]]:
        """A letter is sealed on the laptop; the desk keeps a copy that it cannot read."""
        (self._directory / "letter.txt").write_text(LETTER, encoding="utf-8")
        self.stage.run("vault", "put", "letter.txt", "--dir", ALICE[1])
        synced = self.stage.run("vault", "sync", "/1", "--dir", ALICE[0])["synced"]
        (self._directory / "letter.txt").unlink()
        copy = self._directory / "attic"
        copy.mkdir()
        shutil.copytree(self._directory / ALICE[0] / "vault", copy / "vault")
        without_keys = shutil.ignore_patterns("keys*")
        shutil.copytree(self._directory / ALICE[0] / "cluster", copy / "cluster", ignore=without_keys)
        return "A copy of the desk, without its keys, is in the attic.", {"pulled": synced[0]["pulled"]}

    def theft(self) -> tuple[str, dict[str, Any]]:
        """The phone is gone, running. It is cut off, and what it says later counts for nobody."""
        phone, desk = ALICE[2], ALICE[0]
        before = self._show(phone)["key"]
        self.stage.run(
            "cluster", "revoke", "phone", "--parent", "alice/root.key", "--reason", "compromised",
            "--dir", desk,
        )  # fmt: skip
        for name in (desk, ALICE[1], *BOB):
            self.stage.until(f"{name} has cut the phone off", partial(self._has_cut, name, before))
        # The thief holds all that the phone held, and moves it to a new key; nobody takes that for its word.
        self.stage.run("cluster", "rekey", "--dir", phone)
        after = self._show(phone)["key"]
        for name in (desk, BOB[0]):
            if self._pings(phone, self._contacts[name]) or self._pings(name, after):
                raise StoryError(f"the stolen phone and {name} still reach each other")
        if any(each["label"] == "phone" and each["living"] for each in self._show(desk)["members"]):
            raise StoryError("the phone counts as a node again")
        facts = {"key": before, "tried": after}
        return "Its sessions were cut. It made a new key, and nobody takes it.", facts

    def rekey(self) -> tuple[str, dict[str, Any]]:
        """The laptop moves to a new key, alone. Whoever calls it by name, or by the old key, reaches it."""
        laptop = ALICE[1]
        before = self._show(laptop)["key"]
        self.stage.run("cluster", "rekey", "--dir", laptop)
        after = self._show(laptop)["key"]
        if after == before:
            raise StoryError("the laptop has the same key still")
        for name, called in ((ALICE[0], "home:laptop"), (BOB[1], "alice:laptop"), (BOB[0], before)):
            self._reaches(name, called)
        self.stage.until(
            "the desk calls it by the new key", lambda: after in self._connected_keys(ALICE[0]), 10
        )
        return "A new key, the same name; the old key leads there too.", {"before": before, "after": after}

    def fire(self) -> tuple[str, dict[str, Any]]:
        """All of Alice's machines, and the root's file. Left: the words, and the copy in the attic."""
        for name in ALICE:
            self.stage.burn(name)
        (self._directory / "alice/root.key").unlink()
        left = sorted(path.name for path in (self._directory / "alice").iterdir())
        return "Nothing of Alice is left but words and a sealed copy.", {"left": left}

    def recovery(self) -> tuple[str, dict[str, Any]]:
        """From the words the root, from the root the cluster, from the copy the letter; and Bob knows her."""
        again = "alice/again"
        self.stage.run("keys", "restore", "alice/root.key", "--from", "-", OPEN, feed=self._words)
        self.stage.run(
            "cluster", "recover", "--all", "--root", "alice/root.key", "--copy", "attic", "--dir", again,
            OPEN,
        )  # fmt: skip
        self._start(again, BOB[0])
        place = self._show(again)["place"]
        (name,) = [each["name"] for each in self.stage.run("vault", "list", "--dir", again)["objects"]]
        self.stage.run("vault", "get", name, "--to", "found.txt", "--dir", again)
        if (self._directory / "found.txt").read_text(encoding="utf-8") != LETTER:
            raise StoryError("the letter is not what it was")
        self._reaches(BOB[0], f"alice:{place}")
        self._reaches(again, "bob:shop")
        return "The letter is whole, and Bob calls Alice by her old name.", {"place": place, "letter": name}

    def new_root(self) -> tuple[str, dict[str, Any]]:
        """Alice replaces the root itself. Bob is told, and decides."""
        again = "alice/again"
        before = self._show(again)["cluster"]
        self.stage.run("keys", "new-root", "alice/next.key", OPEN)
        self.stage.stop(again)
        self.stage.run(
            "cluster", "rekey", "--root", "alice/root.key", "--new-root", "alice/next.key",
            "--handovers", "alice/handovers", "--unsealed", "--forget-old-keys", "--dir", again,
        )  # fmt: skip
        self.stage.run("cluster", "show", "--export", "next.chain", "--dir", again)
        self._start(again, BOB[0])
        self.stage.until("Bob hears that Alice's root left", partial(self._left, BOB[0], "alice"))
        self.stage.run("cluster", "follow", "alice", "next.chain", "--dir", BOB[0])
        now = self._show(again)
        if now["cluster"] == before:
            raise StoryError("the cluster has the same root still")
        self._reaches(BOB[0], f"alice:{now['place']}")
        (name,) = [each["name"] for each in self.stage.run("vault", "list", "--dir", again)["objects"]]
        self.stage.run("vault", "get", name, "--to", "still.txt", "--dir", again)
        if (self._directory / "still.txt").read_text(encoding="utf-8") != LETTER:
            raise StoryError("the letter is not what it was")
        facts = {"before": before, "after": now["cluster"]}
        return "Another root, the same place, the same letter. Bob looked at it, and followed.", facts

    # --- what the acts look at ---

    def _start(self, name: str, *first: str) -> None:
        options = [each for known in first for each in ("--bootstrap", self._contacts[known])]
        self.stage.start(name, *options)
        self._contacts[name] = self.stage.run("contact", "show", "--dir", name, show=False)["contact"]

    def _show(self, name: str) -> dict[str, Any]:
        return self.stage.run("cluster", "show", "--dir", name, show=False)

    def _connected(self, name: str, count: int) -> None:
        def enough() -> bool:
            connected = [each for each in self._show(name)["members"] if each["connected"]]
            return len(connected) >= count

        self.stage.until(f"{name} is connected with {count} others", enough, 30)

    def _connected_keys(self, name: str) -> list[str]:
        peers = self.stage.run("peers", "--dir", name, show=False)["peers"]
        return [each["peer_id"] for each in peers if each["connected"]] or ["nobody"]

    def _has_cut(self, name: str, key: str) -> bool:
        return key not in self._connected_keys(name)

    def _trusts(self, name: str, whom: str) -> bool:
        return any(each["name"] == whom for each in self._show(name)["trusted"])

    def _left(self, name: str, whom: str) -> bool:
        return any(each["name"] == whom and each["successor"] for each in self._show(name)["trusted"])

    def _pings(self, name: str, whom: str) -> bool:
        try:
            self.stage.run("ping", whom, "--count", "1", "--dir", name, show=False)
        except StoryError:
            return False
        return True

    def _reaches(self, name: str, whom: str, *, show: bool = True) -> None:
        if show:
            self.stage.tell(["ping", whom, "--dir", name])
        self.stage.until(f"{name} reaches {whom}", lambda: self._pings(name, whom), 30)

    @staticmethod
    def _last(events: list[dict[str, Any]], key: str) -> dict[str, Any]:
        for event in reversed(events):
            if key in event:
                return dict(event)
        raise StoryError(f"a command did not tell its {key}")


def _events(stream: Any) -> Iterator[dict[str, Any]]:
    for line in stream:
        yield json.loads(line)
