"""Names that people give: of clusters, and of nodes in them.

``/1`` is a place of our own cluster; ``bob:/1`` and ``bob:laptop`` are nodes of the cluster that we call bob,
by place or label; ``bob:`` is the first of its nodes in use, ``home:laptop`` a node of our own.

Bounds:   CLUSTER_NAME_CHARS_MAX, KEY_LABEL_BYTES_MAX.
Trust:    texts and labels are hostile.
Pure:     no I/O, clock or randomness.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from kontinuum.base.errors import PeerError
from kontinuum.clusters.errors import AmbiguousNameError, BadNameError, UnknownNameError
from kontinuum.identity import PeerId
from kontinuum.keys.errors import BadPathError
from kontinuum.keys.paths import Place
from kontinuum.keys.standing import Standing
from kontinuum.wire.limits import KEY_LABEL_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from kontinuum.keys.chain import Chain
    from kontinuum.keys.standing import PlaceStanding

CLUSTER_NAME_CHARS_MAX = 32
"""Characters of a cluster's name. Our choice. Longer: BadNameError; MalformedError in an entry of trust."""

HOME = "home"
"""What our own cluster is called; no other one is."""

_RESERVED = (HOME, "kontinuum")
"""Names with another meaning: a contact's text begins with ``kontinuum:``."""

_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{CLUSTER_NAME_CHARS_MAX - 1}}}", re.ASCII)
_PLACE = re.compile(r"/[0-9/]*", re.ASCII)


def is_cluster_name(text: str) -> bool:
    """Whether another cluster than ours can be called so."""
    return _NAME.fullmatch(text) is not None and text not in _RESERVED


def checked_name(text: str) -> str:
    """The name of a cluster, as it is.

    Raises:
        BadNameError: It cannot be one.
    """
    if not is_cluster_name(text):
        raise BadNameError(
            f"{text[:40]!r} is no name for a cluster: 1 to {CLUSTER_NAME_CHARS_MAX} of a-z, 0-9 and -, "
            f"a letter first, and not {' or '.join(_RESERVED)}"
        )
    return text


def unused_name(name: str, taken: Container[str]) -> str:
    """A name, or the first of ``bob-2``, ``bob-3`` and so on that is not taken.

    Raises:
        BadNameError: It cannot be one.
    """
    free = checked_name(name)
    number = 1
    while free in taken:
        number += 1
        ending = f"-{number}"
        free = name[: CLUSTER_NAME_CHARS_MAX - len(ending)] + ending
    return free


def checked_label(chain: Chain, label: str) -> str:
    """A label for a new node, as it is: people find the node by it, so it is nothing else and nobody else's.

    Args:
        chain: The cluster's.
        label: It; none at all is one, too.

    Raises:
        BadNameError: It cannot be one, or a living node has it.
    """
    if len(label.encode("utf-8", "replace")) > KEY_LABEL_BYTES_MAX:
        raise BadNameError(f"a label has at most {KEY_LABEL_BYTES_MAX} bytes")
    if label != label.strip() or not label.isprintable() or label.startswith("/") or ":" in label:
        raise BadNameError(
            f"{label!r} is no label: without : and control characters, no / or blank first, no blank last"
        )
    with contextlib.suppress(PeerError):
        PeerId.parse(label)
        raise BadNameError("a label that looks like a key names nobody")
    taken = [each for each in Standing(chain).places() if label and each.label == label]
    if living := [each for each in taken if each.verdict.living]:
        raise BadNameError(
            f"{label!r} is {living[0].place} already; take another label, or, if it is the same node with "
            "new keys: kontinuum cluster recover"
        )
    return label


def is_name(text: str) -> bool:
    """Whether a text has the form of a node's name: no key, contact or address has it."""
    if _PLACE.fullmatch(text):
        return True
    name, colon, rest = text.partition(":")
    if (
        not colon
        or _NAME.fullmatch(name) is None
        or len(rest.encode("utf-8", "replace")) > KEY_LABEL_BYTES_MAX
    ):
        return False
    return name == HOME or name not in _RESERVED


def split_name(text: str) -> tuple[str, str]:
    """The cluster's name, and the place or label in it.

    Raises:
        UnknownNameError: It has not the form of a name.
    """
    if not is_name(text):
        raise UnknownNameError(text[:80], "a name looks like /1, bob:/1, bob:laptop or bob:")
    if text.startswith("/"):
        return HOME, text
    name, _, rest = text.partition(":")
    return name, rest


def named_place(chain: Chain, text: str, name: str, wanted: str) -> PlaceStanding:
    """What stands at the place that ``wanted`` names, by number or by label.

    Args:
        chain: The cluster's.
        text: The whole name, for errors.
        name: The cluster's name.
        wanted: ``/1``, or a label.

    Raises:
        UnknownNameError: There is no such place.
        AmbiguousNameError: Several places have that label, in use or, if none is, ever.
    """
    standing = Standing(chain)
    if wanted.startswith("/"):
        try:
            place = Place.parse(wanted)
        except BadPathError as error:
            raise UnknownNameError(text, str(error)) from None
        if not place.indexes:
            raise UnknownNameError(text, "the root is no node")
        return standing.of_place(place)
    labelled = [each for each in standing.places() if each.label == wanted]
    living = [each for each in labelled if each.verdict.living]
    found = living or labelled
    if len(found) > 1:
        prefix = "" if name == HOME else f"{name}:"
        raise AmbiguousNameError(text, [f"{prefix}{each.place}" for each in found])
    if not found:
        raise UnknownNameError(text, f"no node of this cluster is called {wanted[:64]!r}")
    return found[0]


def first_living(speakers: Sequence[PlaceStanding], text: str) -> PlaceStanding:
    """The first place whose key speaks.

    Raises:
        UnknownNameError: There is none.
    """
    if not speakers:
        raise UnknownNameError(text, "no node of this cluster speaks now, as far as we know")
    return speakers[0]
