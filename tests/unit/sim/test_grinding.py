"""Ids ground next to a place: real keys, as many and as near as asked for."""

from kontinuum.dht.keys import key_of_peer
from kontinuum.identity import KeyPair
from kontinuum.sim.chance import stream
from kontinuum.sim.hostile.grinding import grind

RNG = stream(1, "grinding")
TARGETS = [RNG.below(1 << 256) for _ in range(3)]
MATERIAL = bytes(32)


def key_of_seed(seed):
    """Where the identity of a private key lies."""
    return key_of_peer(KeyPair.from_seed(seed).peer_id)


def test_ground_ids_are_nearer_than_the_radius():
    """
    Every id found lies within the radius of its target, and is the key of a real key pair.
    """
    radius = [1 << 250] * 3
    ground = grind(MATERIAL, TARGETS, 2, radius=radius)

    for target in TARGETS:
        distances = [target ^ key_of_seed(seed) for seed in ground.seeds[target]]
        assert len(distances) == 2
        assert distances == sorted(distances)
        assert distances[-1] < 1 << 250


def test_the_effort_is_told():
    """
    The number of keys tried is what chance demands: 64 tries for six bits, for each of the ids.
    """
    ground = grind(MATERIAL, TARGETS[:1], 10, radius=[1 << 250])

    assert 200 < ground.tried < 2000


def test_a_given_effort_keeps_the_nearest():
    """
    With a number of candidates the nearest of them are taken.
    """
    ground = grind(MATERIAL, TARGETS[:1], 3, candidates=200)
    more = grind(MATERIAL, TARGETS[:1], 200, candidates=200)

    assert ground.tried == 200
    assert ground.seeds[TARGETS[0]] == more.seeds[TARGETS[0]][:3]


def test_the_same_material_gives_the_same_ids():
    """
    Ids follow from the seed.
    """
    radius = [1 << 252]

    assert grind(MATERIAL, TARGETS[:1], 3, radius=radius) == grind(MATERIAL, TARGETS[:1], 3, radius=radius)
    assert grind(MATERIAL, TARGETS[:1], 3, radius=radius) != grind(b"x" * 32, TARGETS[:1], 3, radius=radius)


def test_no_targets_need_no_effort():
    """
    Nothing to be near to: nothing is tried.
    """
    assert grind(MATERIAL, [], 3, radius=[]).tried == 0
