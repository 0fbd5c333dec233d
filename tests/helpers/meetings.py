"""Two clusters that meet, for tests: their nodes, the chance they draw, the messages between them."""

from dataclasses import dataclass

from helpers.keys import NOON, OTHER_SEED, Family
from kontinuum.clusters.meeting.introductions import Met, Ourselves
from kontinuum.clusters.meeting.machine import Answer, Guest, Host
from kontinuum.identity import Multiaddr

EXPORTER = bytes(range(100, 132))
HERE = (Multiaddr("ip4", "192.168.1.20", 4433), Multiaddr("ip6", "2001:db8::20", 4433))


class Counted:
    """Chance that can be foretold: each token is the next number, repeated."""

    def __init__(self, start=1):
        self.next = start

    def token(self, length):
        token = bytes([self.next]) * length
        self.next += 1
        return token


@dataclass
class Side:
    """A node of a cluster, and what it knows of others."""

    family: Family
    secret: object  # its EpochSecret
    name: str = ""
    chance: object = None

    def __post_init__(self):
        self.chance = self.chance or Counted(1)
        self.chains: dict = {}
        self.host = Host(self.chance, self.chains.get)

    @property
    def key(self):
        return self.secret.signing().peer_id

    @property
    def own(self):
        return Ourselves.of(self.family.chain, self.key, self.name)

    def invite(self, addresses=HERE, now=0.0):
        return self.host.invite(self.own, addresses, at=NOON, now=now)

    def guest(self, code):
        return Guest(self.own, code, self.chance, self.chains.get)

    def hear(self, data, guest, exporter=EXPORTER, now=1.0, own=None) -> Answer:
        return self.host.handle_request(data, guest=guest, own=own or self.key, exporter=exporter, now=now)


def alice(**fields):
    """The server of the first cluster, who shows codes."""
    family = Family()
    return Side(family, family.server.epoch, name="Alice", **fields)


def bob(**fields):
    """The laptop of the second cluster, three levels down, who scans them."""
    family = Family(OTHER_SEED)
    return Side(family, family.laptop.epoch, name="Bob", chance=Counted(101), **fields)


def meet(host: Side, guest: Side, code=None, exporter=EXPORTER) -> tuple[Met | None, Met]:
    """A whole meeting: whom the host met, whom the guest met."""
    joining = guest.guest(code or host.invite())
    answer = host.hear(joining.request(exporter), guest.key, exporter)
    return answer.met, joining.handle_answer(answer.data)
