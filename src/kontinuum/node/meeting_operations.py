"""What can be asked of a node about meetings: its methods of the control socket that begin with ``meet.``.

Bounds:   NODES_SHOWN_MAX nodes of the other cluster are told; those of ``kontinuum.node.meeting``.
Trust:    requests come from the node's owner. What a peer calls itself and its nodes is data; whoever shows
          it escapes it.
Secrets:  the event ``code`` carries one until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kontinuum.clusters.meeting.code import MeetCode
from kontinuum.node import control_params as given
from kontinuum.node.cluster_json import trusted_json
from kontinuum.node.meeting import NodeMeeting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kontinuum.keys.standing import PlaceStanding
    from kontinuum.node.control import Emit, Handler
    from kontinuum.node.meeting import Pending
    from kontinuum.node.node import Node

NODES_SHOWN_MAX = 64
"""Nodes of a cluster that are told before it is trusted. Our choice: what a person looks at; the number of
all is told as well."""


class MeetingOperations:
    """The control methods of one node that begin with ``meet.``."""

    def __init__(self, node: Node) -> None:
        self._meeting = NodeMeeting(node)

    def methods(self) -> dict[str, Handler]:
        """Return every method by its name."""
        return {
            "meet.invite": self.invite,
            "meet.accept": self.accept,
            "meet.confirm": self.confirm,
            "meet.cancel": self.cancel,
        }

    async def invite(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Show a code and wait for whoever comes with it. ``{"name": what we call ourselves}``.

        Events ``code``, then ``peer``. The code is worth nothing when the request ends, however it does.
        """
        given.only(params, "name")
        code = self._meeting.invite(_name(params))
        try:
            await emit(_code_json(code))
            pending = await self._meeting.wait()
        finally:
            self._meeting.withdraw()
        return await self._told(pending, emit)

    async def accept(self, params: dict[str, Any], emit: Emit) -> Mapping[str, Any]:
        """Meet whoever shows a code. ``{"code": text, "name": what we call ourselves}``. Event ``peer``."""
        given.only(params, "code", "name")
        code = MeetCode.parse(given.text(params, "code"))
        return await self._told(await self._meeting.join(code, _name(params)), emit)

    async def confirm(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Trust whom we met. ``{"meeting", "name": what we call that cluster}``."""
        given.only(params, "meeting", "name")
        return trusted_json(self._meeting.confirm(given.text(params, "meeting"), given.text(params, "name")))

    async def cancel(self, params: dict[str, Any], _emit: Emit) -> Mapping[str, Any]:
        """Do not trust whom we met. ``{"meeting"}``. The other side is not told."""
        given.only(params, "meeting")
        return {"cancelled": self._meeting.cancel(given.text(params, "meeting"))}

    async def _told(self, pending: Pending, emit: Emit) -> Mapping[str, Any]:
        met = pending.met
        await emit(
            {
                "type": "peer",
                "meeting": pending.meeting,
                "cluster": met.genesis.cluster.hex(),
                "root": bytes(met.genesis.root).hex(),
                "key": str(met.key),
                "place": str(met.place.place),
                "label": met.place.label,
                "calls_itself": met.name,
                "suggested_name": met.suggested_name,
                "known_as": self._meeting.known_as(met.genesis.cluster),
                "nodes": [_node_json(each) for each in met.nodes[:NODES_SHOWN_MAX]],
                "nodes_total": len(met.nodes),
                "word_numbers": list(met.numbers),
            }
        )
        return {"meeting": pending.meeting}


def _code_json(code: MeetCode) -> dict[str, Any]:
    return {
        "type": "code",
        "code": code.text(),
        "expires_at": code.expires_at.isoformat().replace("+00:00", "Z"),
        "cluster": code.cluster.hex(),
        "key": str(code.key),
        "addresses": [str(address) for address in code.addresses],
    }


def _node_json(standing: PlaceStanding) -> dict[str, Any]:
    return {"place": str(standing.place), "label": standing.label, "key": str(standing.signing)}


def _name(params: dict[str, Any]) -> str:
    return given.text(params, "name") if "name" in params else ""
