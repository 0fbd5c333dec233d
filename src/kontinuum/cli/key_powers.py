"""``kontinuum keys explain``: who can do what to a key, in words and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kontinuum.base.errors import PeerError
from kontinuum.cli.errors import CliError, Exit
from kontinuum.cli.output import code_of, columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kontinuum.keys.keystore import KeyStore
    from kontinuum.keys.paths import Path as KeyPath
    from kontinuum.keys.standing import Power

CHAIN_FILE_BYTES_MAX = 1_000_000
"""Bytes of a genesis or a bundle that is read: as a bundle's own limit. Longer: refused."""

THIEVES = {
    "ROOT": (
        "makes every key of every cluster under it, now and ever, and opens all that was encrypted to them",
        "takes any of them out of use, and puts others in their place",
        "nothing is above it: the answer is a new root, and meeting everybody again",
    ),
    "BRANCH": (
        "acts as this place and every place below it, and opens what was encrypted to them",
        "gives itself new epochs, so that a rekey of the place does not shut it out",
        "the answer is an ancestor's: it takes the branch out of use and gives the place a new one",
    ),
    "EPOCH": (
        "acts as this place on the network until the place moves to its next epoch or is revoked",
        "opens what was encrypted to this epoch; no other epoch and no other place",
        "makes no statement about keys; the answer is a rekey by the place itself, or an ancestor's order",
    ),
}
"""What a thief of each kind of secret can do, and what answers it. Argued in docs/adr/0050-self-rekey.md."""


@dataclass(frozen=True, slots=True)
class Explained:
    """The answer, twice."""

    data: dict[str, Any]
    """For programs."""

    text: str
    """For people."""


def explained_store(store: KeyStore) -> Explained:
    """What a thief of a key store's secret could do."""
    thief = THIEVES[store.kind.name]
    data = {
        "key": store.public.hex(),
        "kind": store.kind.name.lower(),
        "powers": [],
        "thief": list(thief),
        "chain": False,
    }
    guard = "its passphrase" if store.protected else "nothing: the file has no passphrase"
    text = (
        f"a thief of this secret ({store.kind.name.lower()}):\n{_lines(thief)}\nwhat guards the file: {guard}"
    )
    return Explained(data, text)


def explained_name(name: str, genesis: Path | None, bundles: Sequence[Path]) -> Explained:
    """Who can do what to a key by its name: by the rules alone, or as its chain has it now.

    Raises:
        CliError: It is no name, or the chain is wrong.
        UnavailableError: The chain is incomplete, or cannot be read.
    """
    try:
        path, is_epoch = _path(name)
        powers = _powers(path, genesis, bundles)
    except PeerError as error:  # What was typed, or a file: no peer is at fault.
        raise CliError(str(error), family=Exit.MISUSE, code=code_of(error)) from error
    kind = "EPOCH" if is_epoch else "BRANCH" if path.steps else "ROOT"
    known = genesis is not None
    data = {
        "key": name,
        "kind": kind.lower(),
        "powers": [
            {
                "path": str(power.path),
                "label": power.label,
                "itself": power.itself,
                "living": power.living if known else None,
                "derives": power.derives,
                "revokes": power.revokes,
            }
            for power in powers
        ],
        "thief": list(THIEVES[kind]),
        "chain": known,
    }
    return Explained(data, _text(powers, kind, known=known))


def _text(powers: Sequence[Power], kind: str, *, known: bool) -> str:
    rows = [
        [
            str(power.path) + (f" ({power.label})" if power.label else ""),
            "itself" if power.itself else "ancestor" if power.path.steps else "root",
            "yes",
            "yes" if power.derives else "no",
            "yes" if power.revokes else "no",
            ("yes" if power.living else "no") if known else "?",
        ]
        for power in powers
    ]
    table = columns(rows, ["who", "is", "decrypts", "makes its keys", "takes it out of use", "in use"])
    said = "" if known else "\nby the rules alone; --genesis and --bundle tell what is in use"
    thief = f"a thief of this secret ({kind.lower()}):\n{_lines(THIEVES[kind])}"
    return f"{table}\nnobody else can do any of this{said}\n\n{thief}"


def _path(name: str) -> tuple[KeyPath, bool]:
    """The branch that a name is about, and whether it names a key of an epoch."""
    from kontinuum.keys.paths import KeyName
    from kontinuum.keys.paths import Path as KeyPath

    return (KeyName.parse(name).path, True) if "@" in name else (KeyPath.parse(name), False)


def _powers(path: KeyPath, genesis: Path | None, bundles: Sequence[Path]) -> tuple[Power, ...]:
    from kontinuum.keys.bundles import load_chain
    from kontinuum.keys.standing import Power, Standing

    if genesis is None:
        if bundles:
            raise CliError("--bundle needs --genesis", family=Exit.MISUSE, code="usage")
        return tuple(
            Power(each, "", itself=each == path, living=True, revokes=bool(path.steps), derives=True)
            for each in path.lineage()
        )
    chain = load_chain(_content(genesis), [_content(bundle) for bundle in bundles])
    return Standing(chain).who_can(path)


def _content(path: Path) -> bytes:
    from kontinuum.base.errors import FileTooLargeError, FileUnavailableError

    try:
        with path.open("rb") as file:
            content = file.read(CHAIN_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise FileUnavailableError(path, "read", error.strerror or str(error)) from error
    if len(content) > CHAIN_FILE_BYTES_MAX:
        raise FileTooLargeError(path, CHAIN_FILE_BYTES_MAX)
    return content


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"  - {line}" for line in lines)
