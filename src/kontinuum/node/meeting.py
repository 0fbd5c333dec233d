"""A node meets another cluster in person: shows a code and waits, or takes a code and goes there.

Both end with a :class:`Pending` meeting: whom we met, to be shown to our user. Only when he agrees
(:meth:`NodeMeeting.confirm`) the cluster is trusted; the other side is not told what he says.

Source:   docs/protocols/meet.md.
Bounds:   one invitation and one pending meeting at a time; JOIN_S, REQUEST_S, CONFIRM_S.
Trust:    whoever comes and whoever answers is judged by ``kontinuum.clusters.meeting``.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kontinuum.base.entropy import SystemEntropy
from kontinuum.base.errors import KontinuumError, MisuseError, UnavailableError
from kontinuum.base.log import RoomLogger
from kontinuum.clusters.meeting.errors import InvitationOpenError, NoInvitationError
from kontinuum.clusters.meeting.introductions import Ourselves
from kontinuum.clusters.meeting.machine import INVITATION_S, Guest, Host
from kontinuum.clusters.meeting.messages import PROTOCOL
from kontinuum.clusters.meeting.words import EXPORTER_BYTES, EXPORTER_LABEL
from kontinuum.keys.standing import Standing
from kontinuum.node.errors import ClusterOffError
from kontinuum.node.introductions import PING

if TYPE_CHECKING:
    from kontinuum.clusters.meeting.code import MeetCode
    from kontinuum.clusters.meeting.introductions import Met
    from kontinuum.clusters.members import Trusted
    from kontinuum.identity import PeerId
    from kontinuum.keys.chain import Chain
    from kontinuum.keys.genesis import ClusterId
    from kontinuum.node.node import Node
    from kontinuum.transport import Connection, MessageStream

JOIN_S = 30.0
"""Seconds for finding the other node, dialling it and its answer. Our choice: half of the minute that a
meeting may take. Then: MeetingTimeoutError."""

ELSEWHERE_AFTER_S = 1.0
"""Seconds for which the addresses of a code are tried alone; then also what else is known of where its node
is. Our choice: a living address answers sooner."""

SILENCE_S = 3.0
"""Seconds without an answer after which an older connection is made anew. Our choice: above round trips."""

REQUEST_S = 10.0
"""Seconds that a guest's message may take once its stream is open. Our choice. Then the stream is reset."""

CONFIRM_S = 600.0
"""Seconds for which a meeting waits for our user's word. Our choice, as long as a code is good. Then it is
forgotten; a newer meeting takes its place before."""

_MEETING_ID_BYTES = 8

_log = RoomLogger("node")


class MeetingTimeoutError(UnavailableError):
    """The other node was not found, or did not answer in time."""


class InvitationOverError(UnavailableError):
    """Nobody was met with a code: it is too old, was burnt, or its guest went away."""


class NoMeetingError(MisuseError):
    """No meeting of this name waits for a word of our user."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A meeting that our user has not decided about."""

    meeting: str
    """Its name, 16 hexadecimal digits."""

    met: Met
    """Whom we met."""

    deadline: float
    """Until when it waits, monotonic seconds."""


class NodeMeeting:
    """The meetings of one node.

    Args:
        node: Its handler for meetings is registered here, once.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._entropy = SystemEntropy()
        self._host = Host(self._entropy, self._known)
        self._guest_came: asyncio.Future[Met] | None = None
        self._pending: Pending | None = None
        node.message_handler(PROTOCOL)(self._serve)

    # --- the side that shows a code ---

    def invite(self, name: str = "") -> MeetCode:
        """Begin to wait for a guest; the code is to be shown. :meth:`wait` for whoever comes.

        Args:
            name: What we call ourselves; by default the label of this node.

        Raises:
            ClusterOffError: This node belongs to no cluster.
            PeerError: Its key is out of use.
            InvitationOpenError: A code is being shown already.
        """
        node, now = self._node, self._node.clock.monotonic()
        if self._guest_came is not None:
            raise InvitationOpenError("a code is being shown already; one at a time")
        own = self._ourselves(node.peer_id, name)
        code = self._host.invite(own, node.addresses, at=node.clock.utc(), now=now)
        self._pending = None
        self._guest_came = asyncio.get_running_loop().create_future()
        return code

    async def wait(self) -> Pending:
        """Whom we met. When it ends, or is cancelled, the code is worth nothing.

        Raises:
            InvitationOverError: Nobody, and nobody will come.
        """
        guest_came = self._guest_came
        if guest_came is None:
            raise NoMeetingError("no code is being shown")
        try:
            async with asyncio.timeout(INVITATION_S):
                return self._begin(await guest_came)
        except TimeoutError:
            raise InvitationOverError("nobody came while the code was good; show a new one") from None
        finally:
            self.withdraw()

    def withdraw(self) -> None:
        """Wait for nobody: the code is worth nothing from now on. A second call does nothing."""
        self._host.cancel()
        self._guest_came = None

    # --- the side that got a code ---

    async def join(self, code: MeetCode, name: str = "") -> Pending:
        """Go to the node that shows ``code``, and meet its cluster.

        Args:
            code: What was scanned or typed.
            name: What we call ourselves; by default the label of this node.

        Raises:
            ClusterOffError: This node belongs to no cluster.
            CodeExpiredError, NoInvitationError: The code is not good any more.
            OwnClusterError: It is of our own cluster.
            MeetingTimeoutError: The other node was not found, or did not answer.
            UnavailableError, HandshakeError: It cannot be reached; the leaf says why.
            PeerError: What answered is not to be believed; the leaf says why.
        """
        code.verify_fresh(self._node.clock.utc())
        guest = Guest(self._ourselves(self._node.peer_id, name), code, self._entropy, self._known)
        try:
            async with asyncio.timeout(JOIN_S):
                connection = await self._reach(code)
                answer = await _exchange(connection, guest)
        except TimeoutError:
            raise MeetingTimeoutError(f"the other node did not answer within {JOIN_S:g} s") from None
        return self._begin(guest.handle_answer(answer))

    # --- our user's word ---

    def confirm(self, meeting: str, name: str) -> Trusted:
        """Our user compared the words and trusts whom we met.

        Args:
            meeting: Which meeting, of :class:`Pending`.
            name: What we call that cluster.

        Raises:
            NoMeetingError: It waits no longer.
            MisuseError: The name cannot be one.
        """
        pending = self._pending
        if pending is None or pending.meeting != meeting or self._node.clock.monotonic() >= pending.deadline:
            raise NoMeetingError("this meeting is over; meet again")
        met = pending.met
        trusted = self._node.clusters.trust(met.genesis, met.statements, name, "meet")
        self._pending = None
        _log.info("another cluster is trusted", name=trusted.name, cluster=trusted.cluster.hex()[:16])
        return trusted

    def cancel(self, meeting: str) -> bool:
        """Our user does not trust whom we met. Says whether that meeting waited for his word."""
        if self._pending is None or self._pending.meeting != meeting:
            return False
        self._pending = None
        return True

    def known_as(self, cluster: ClusterId) -> str | None:
        """By which name a cluster is trusted already."""
        trusted = self._node.clusters.book.trusted()
        return next((each.name for each in trusted if each.cluster == cluster), None)

    # --- inside ---

    def _ourselves(self, key: PeerId, name: str) -> Ourselves:
        chain = self._node.clusters.book.own
        if chain is None:
            raise ClusterOffError
        standing = Standing(chain)
        return Ourselves.of(chain, key, name or standing.of_place(standing.verify_speaker(key)).label)

    def _known(self, cluster: ClusterId) -> Chain | None:
        return self._node.clusters.book.chain(cluster)

    def _begin(self, met: Met) -> Pending:
        deadline = self._node.clock.monotonic() + CONFIRM_S
        self._pending = Pending(self._entropy.token(_MEETING_ID_BYTES).hex(), met, deadline)
        return self._pending

    async def _reach(self, code: MeetCode) -> Connection:
        """A connection to the node that showed the code: at its addresses, or wherever we find its key."""
        node = self._node
        if (connection := node.connection(code.key)) is not None:
            with contextlib.suppress(KontinuumError):
                await node.call(code.key, PING, timeout=SILENCE_S)
                return connection
            await node.disconnect(code.key)  # It is that of a process which is gone.
        ways = [node.connect(code.key, address=(each.host, each.port)) for each in code.addresses]
        dials = [asyncio.create_task(way) for way in (*ways, self._elsewhere(code))]
        try:
            pending = set(dials)
            while pending and node.connection(code.key) is None:
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in dials:
                each.cancel()
            outcomes = await asyncio.gather(*dials, return_exceptions=True)
        if (connection := node.connection(code.key)) is None:
            failures = (each for each in outcomes if isinstance(each, KontinuumError))
            raise next(failures, MeetingTimeoutError("the connection to the other node ended at once"))
        return connection

    async def _elsewhere(self, code: MeetCode) -> None:
        """Dial the node where its contact, the local network or the DHT says that it is."""
        await asyncio.sleep(ELSEWHERE_AFTER_S if code.addresses else 0)
        await self._node.connect(code.key)

    async def _serve(self, stream: MessageStream) -> None:
        """Somebody wants to meet us."""
        connection = stream.connection
        try:
            async with asyncio.timeout(REQUEST_S):
                data = await stream.receive()
            answer = self._host.handle_request(
                data or b"",
                guest=connection.peer_id,
                own=connection.local_id,
                exporter=_exporter(connection),
                now=self._node.clock.monotonic(),
            )
        except (TimeoutError, KontinuumError) as error:
            _log.debug("a guest did not say what it wants", peer=connection.peer_id.short, reason=str(error))
            stream.close()
            return
        if answer.burnt:
            self._over("somebody tries codes at this node; this one was withdrawn, show a new one")
        try:
            await stream.send(answer.data)
            await stream.finish()
        except KontinuumError as error:
            _log.debug("a guest is gone", peer=connection.peer_id.short, reason=str(error))
            if answer.met is not None:
                self._over("the other side went away in the middle of the meeting; show a new code")
            return
        if answer.met is not None and self._guest_came is not None and not self._guest_came.done():
            self._guest_came.set_result(answer.met)

    def _over(self, why: str) -> None:
        if self._guest_came is not None and not self._guest_came.done():
            self._guest_came.set_exception(InvitationOverError(why))


async def _exchange(connection: Connection, guest: Guest) -> bytes:
    async with await connection.open_messages(PROTOCOL) as stream:
        await stream.send(guest.request(_exporter(connection)))
        answer = await stream.receive()
    if answer is None:
        raise NoInvitationError("the other side ended the meeting without a word")
    return answer


def _exporter(connection: Connection) -> bytes:
    return connection.export_keying_material(EXPORTER_LABEL, b"", EXPORTER_BYTES)
