"""The score of the specification in the slowest and most obvious way: from all that ever happened, each time.

Nothing is remembered but the list of events, and when records end. Each term is one loop over that list,
written from the pseudo-code of gossipsub v1.1, "Topic Parameter Calculation and Decay" and "The Score
Function". What Kontinuum does otherwise is marked "Differs".
"""

import math
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from kontinuum.gossip.peer_score import PeerScore


@dataclass(frozen=True)
class Event:
    """Something that happened: ``kind`` is the name of a method of ``PeerScore``, or ``tick``."""

    at: float
    kind: str
    peer: str = ""
    topic: str = ""
    value: object = None


def decays(counter, factor, to_zero):
    """One decay of one counter."""
    counter *= factor
    if counter < to_zero:
        counter = 0.0
    return counter


class ScoreModel:
    """Scores worked out from a list of events."""

    def __init__(self, params):
        self.params = params
        self.events = []
        self.ends = {}
        """What :meth:`forgotten_at` found, since it would ask itself again and again."""

    # --- who is connected, and when it is forgotten ---

    def sessions(self, peer):
        """The events that count for a peer, each with whether it is connected after it.

        Also yields ``forgotten`` where a peer comes back after its record has expired.
        """
        connected = False
        left = None
        for place, event in enumerate(self.events):
            if event.peer == peer and event.kind == "add_peer":
                if not connected and left is not None and event.at >= self.forgotten_at(peer, left):
                    yield Event(event.at, "forgotten")
                connected, left = True, None
                yield event
            elif event.peer == peer and event.kind == "remove_peer" and connected:
                connected, left = False, place
                yield event
            elif connected and (event.peer == peer or event.kind == "tick"):
                yield event

    def left(self, peer):
        """The number of the event with which a peer left that is not connected; None if it never was."""
        connected, left = False, None
        for place, event in enumerate(self.events):
            if event.peer == peer and event.kind == "add_peer":
                connected, left = True, None
            elif event.peer == peer and event.kind == "remove_peer" and connected:
                connected, left = False, place
        return left

    def forgotten_at(self, peer, left):
        """When the record of a peer that left with event number ``left`` expires.

        Differs: not before its counters would have decayed had it stayed.
        """
        if (peer, left) in self.ends:
            return self.ends[peer, left]
        before = ScoreModel(self.params)
        before.events, before.ends = self.events[: left + 1], self.ends
        intervals = 0
        for held, factor in before.held_against(peer):
            counter, ticks = held, 0
            while counter > 0.0:
                counter = decays(counter, factor, self.params.decay_to_zero)
                ticks += 1
            intervals = max(intervals, ticks)
        kept_s = max(self.params.retain_score_s, (intervals + 1) * self.params.decay_interval_s)
        self.ends[peer, left] = self.events[left].at + kept_s
        return self.ends[peer, left]

    def held_against(self, peer):
        """The counters of a peer that are kept when it leaves, with their decays."""
        yield self.behaviour_penalty(peer), self.params.behaviour_penalty_decay
        yield self.slow_peer_penalty(peer), self.params.slow_peer_decay
        for topic in self.topics(peer):
            params = self.topic_params(topic)
            yield self.mesh_failure_penalty(peer, topic), params.mesh_failure_penalty_decay
            yield self.invalid_message_deliveries(peer, topic), params.invalid_message_deliveries_decay

    def connected_peers(self):
        """Addresses by peer."""
        addresses = {}
        for event in self.events:
            if event.kind == "add_peer":
                addresses[event.peer] = event.value
            elif event.kind == "remove_peer":
                addresses.pop(event.peer, None)
        return addresses

    # --- the counters of a topic ---

    def topics(self, peer):
        seen = {event.topic for event in self.events if event.peer == peer and event.topic}
        return sorted(topic for topic in seen if self.topic_params(topic) is not None)

    def topic_params(self, topic):
        return self.params.topics.get(topic, self.params.default_topic)

    def mesh_time(self, peer, topic):
        """Seconds in the mesh as of the last decay; None outside of it. A second GRAFT changes nothing."""
        grafted, mesh_time = None, None
        for event in self.sessions(peer):
            if event.kind == "graft" and event.topic == topic and grafted is None:
                grafted, mesh_time = event.at, 0.0
            elif (event.kind == "prune" and event.topic == topic) or event.kind == "remove_peer":
                grafted, mesh_time = None, None
            elif event.kind == "tick" and grafted is not None:
                mesh_time = event.at - grafted
        return mesh_time

    def p1(self, peer, topic):
        params = self.topic_params(topic)
        mesh_time = self.mesh_time(peer, topic)
        if mesh_time is None:
            return 0.0
        p1 = float(math.floor(mesh_time / params.time_in_mesh_quantum_s))
        return min(p1, params.time_in_mesh_cap)

    def p2(self, peer, topic):
        params = self.topic_params(topic)
        first_message_deliveries = 0.0
        for event in self.sessions(peer):
            if event.kind == "first_delivery" and event.topic == topic:
                first_message_deliveries += 1
                first_message_deliveries = min(first_message_deliveries, params.first_message_deliveries_cap)
            elif event.kind == "tick":
                first_message_deliveries = decays(
                    first_message_deliveries, params.first_message_deliveries_decay, self.params.decay_to_zero
                )
            elif event.kind == "remove_peer":
                first_message_deliveries = 0.0
        return first_message_deliveries

    def mesh_history(self, peer, topic):
        """After each event: it, the mesh time, and the counter of deliveries in the mesh."""
        params = self.topic_params(topic)
        grafted, mesh_time, deliveries = None, 0.0, 0.0
        for event in self.sessions(peer):
            ended = grafted is not None and (
                (event.kind == "prune" and event.topic == topic) or event.kind == "remove_peer"
            )
            yield event, mesh_time if grafted is not None else 0.0, deliveries, ended
            if ended:
                grafted = None
            if event.kind == "graft" and event.topic == topic and grafted is None:
                grafted, mesh_time = event.at, 0.0
            near_first = event.kind == "duplicate" and event.value <= params.mesh_message_deliveries_window_s
            if (
                (event.kind == "first_delivery" or near_first)
                and event.topic == topic
                and grafted is not None
            ):
                deliveries += 1
                deliveries = min(deliveries, params.mesh_message_deliveries_cap)
            if event.kind == "tick":
                deliveries = decays(
                    deliveries, params.mesh_message_deliveries_decay, self.params.decay_to_zero
                )
                if grafted is not None:
                    mesh_time = event.at - grafted
            if event.kind == "remove_peer":
                deliveries = 0.0  # Differs: go keeps them.
        yield None, mesh_time if grafted is not None else 0.0, deliveries, False

    def deficit(self, params, mesh_time, deliveries):
        if (
            mesh_time > params.mesh_message_deliveries_activation_s
            and deliveries < params.mesh_message_deliveries_threshold
        ):
            return params.mesh_message_deliveries_threshold - deliveries
        return 0.0

    def p3(self, peer, topic):
        _, mesh_time, deliveries, _ = list(self.mesh_history(peer, topic))[-1]
        deficit = self.deficit(self.topic_params(topic), mesh_time, deliveries)
        return deficit * deficit

    def mesh_failure_penalty(self, peer, topic):
        params = self.topic_params(topic)
        mesh_failure_penalty = 0.0
        for event, mesh_time, deliveries, ended in self.mesh_history(peer, topic):
            if event is None:
                break
            if ended:
                deficit = self.deficit(params, mesh_time, deliveries)
                mesh_failure_penalty += deficit * deficit
            if event.kind == "tick":
                mesh_failure_penalty = decays(
                    mesh_failure_penalty, params.mesh_failure_penalty_decay, self.params.decay_to_zero
                )
            if event.kind == "forgotten":
                mesh_failure_penalty = 0.0
        return mesh_failure_penalty

    p3b = mesh_failure_penalty

    def invalid_message_deliveries(self, peer, topic):
        params = self.topic_params(topic)
        invalid_message_deliveries = 0.0
        for event in self.sessions(peer):
            if event.kind == "invalid" and event.topic == topic:
                invalid_message_deliveries += 1
            elif event.kind == "tick":
                invalid_message_deliveries = decays(
                    invalid_message_deliveries,
                    params.invalid_message_deliveries_decay,
                    self.params.decay_to_zero,
                )
            elif event.kind == "forgotten":
                invalid_message_deliveries = 0.0
        return invalid_message_deliveries

    def p4(self, peer, topic):
        counter = self.invalid_message_deliveries(peer, topic)
        return counter * counter

    # --- the counters of a peer ---

    def p5(self, peer):
        p5 = 0.0
        for event in self.events:
            if event.kind == "set_application_score" and event.peer == peer:
                p5 = event.value
        return p5

    def p6(self, peer):
        addresses = self.connected_peers()
        if peer not in addresses:
            return 0.0  # Differs: go counts peers that left while it keeps their scores.
        site = self.site(addresses[peer])
        if site is None:
            return 0.0
        peers_in_ip = sum(1 for address in addresses.values() if self.site(address) == site)
        if peers_in_ip > self.params.ip_colocation_factor_threshold:
            surplus = peers_in_ip - self.params.ip_colocation_factor_threshold
            return float(surplus * surplus)
        return 0.0

    def site(self, address):
        """What peers of one address have in common; None if they are not counted."""
        if address is None:
            return None
        ip = ip_address(address)
        if any(ip in network for network in self.params.ip_colocation_factor_allow_list):
            return None
        if ip.version == 6:
            return ip_network((ip, 64), strict=False)
        return ip

    def counter(self, peer, kind, factor, cap):
        counter = 0.0
        for event in self.sessions(peer):
            if event.kind == kind:
                counter = min(cap, counter + event.value)
            elif event.kind == "tick":
                counter = decays(counter, factor, self.params.decay_to_zero)
            elif event.kind == "forgotten":
                counter = 0.0
        return counter

    def behaviour_penalty(self, peer):
        return self.counter(peer, "behaviour_penalty", self.params.behaviour_penalty_decay, math.inf)

    def slow_peer_penalty(self, peer):
        return self.counter(peer, "slow_peer", self.params.slow_peer_decay, self.params.slow_peer_cap)

    def p7(self, peer):
        excess = max(0.0, self.behaviour_penalty(peer) - self.params.behaviour_penalty_threshold)
        return excess * excess

    def slow(self, peer):
        return max(0.0, self.slow_peer_penalty(peer) - self.params.slow_peer_threshold)

    # --- the score ---

    def rewards(self, peer, topic):
        """P1 and P2 of a topic, weighted."""
        params = self.topic_params(topic)
        return params.topic_weight * (
            params.time_in_mesh_weight * self.p1(peer, topic)
            + params.first_message_deliveries_weight * self.p2(peer, topic)
        )

    def penalties(self, peer, topic):
        """P3, P3b and P4 of a topic, weighted."""
        params = self.topic_params(topic)
        return params.topic_weight * (
            params.mesh_message_deliveries_weight * self.p3(peer, topic)
            + params.mesh_failure_penalty_weight * self.p3b(peer, topic)
            + params.invalid_message_deliveries_weight * self.p4(peer, topic)
        )

    def score(self, peer):
        """The whole formula."""
        rewards = sum(self.rewards(peer, topic) for topic in self.topics(peer))
        if self.params.topic_reward_cap > 0:  # Differs: the specification has no such cap.
            rewards = min(rewards, self.params.topic_reward_cap)
        topics = rewards + sum(self.penalties(peer, topic) for topic in self.topics(peer))
        if self.params.topic_score_cap > 0:
            topics = min(topics, self.params.topic_score_cap)
        return (
            topics
            + self.params.app_specific_weight * self.p5(peer)
            + self.params.ip_colocation_factor_weight * self.p6(peer)
            + self.params.behaviour_penalty_weight * self.p7(peer)
            + self.params.slow_peer_weight * self.slow(peer)
        )


class Both:
    """``PeerScore`` and the model, told the same."""

    def __init__(self, params):
        self.scores = PeerScore(params)
        self.model = ScoreModel(params)
        self.now = 0.0

    def tell(self, kind, peer, topic="", value=None):
        """Call the method ``kind`` of ``PeerScore``, and let the model know."""
        told = {
            "add_peer": (peer, value, self.now),
            "remove_peer": (peer, self.now),
            "graft": (peer, topic, self.now),
            "prune": (peer, topic, self.now),
            "first_delivery": (peer, topic, self.now),
            "duplicate": (peer, topic, value, self.now),
            "invalid": (peer, topic),
        }.get(kind, (peer, value))
        getattr(self.scores, kind)(*told)
        self.model.events.append(Event(self.now, kind, peer, topic, value))

    def tick(self):
        """Let time pass until the next decay, if there is one."""
        due = self.scores.next_refresh
        if due is None:
            self.now += 1.0
        else:
            self.now = due
            self.scores.refresh(self.now)
            self.model.events.append(Event(self.now, "tick"))

    def wait(self, seconds):
        """Let less time pass; the refresh that comes too early does nothing."""
        due = self.scores.next_refresh
        later = self.now + seconds
        if due is None or later < due:
            self.now = later
            self.scores.refresh(later)


def without(params, *kept):
    """The same parameters with all weights 0 but those that are named."""

    def silenced(part):
        names = [name for name in part.__slots__ if name.endswith("_weight") and name != "topic_weight"]
        return {name: 0.0 for name in names if name not in kept}

    return replace(
        params,
        **silenced(params),
        topics={name: replace(topic, **silenced(topic)) for name, topic in params.topics.items()},
        default_topic=params.default_topic
        and replace(params.default_topic, **silenced(params.default_topic)),
    )
