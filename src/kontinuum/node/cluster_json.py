"""Members and trusted clusters as JSON, for the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kontinuum.clusters.members import Member, Trusted


def member_json(member: Member) -> dict[str, Any]:
    """A member, for JSON."""
    return {
        "name": member.text,
        "place": str(member.place),
        "label": member.label,
        "key": str(member.key),
        "cluster": member.cluster.hex(),
    }


def trusted_json(trusted: Trusted) -> dict[str, Any]:
    """A trusted cluster, for JSON."""
    return {
        "name": trusted.name,
        "cluster": trusted.cluster.hex(),
        "since": trusted.since.isoformat().replace("+00:00", "Z"),
        "how": str(trusted.how),
        "by": str(trusted.by),
        "successor": None if trusted.successor is None else trusted.successor.hex(),
        "disputed": trusted.disputed,
    }
