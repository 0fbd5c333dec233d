"""What the root seed alone gives back, if every chain was lost."""

import pytest

from helpers.keys import OTHER_SEED, SEED, Family, later
from kontinuum.base import MisuseError
from kontinuum.keys.errors import WrongRootError
from kontinuum.keys.recovery import EVERYTHING, CheckedRecovery, Reach, find_keys


def test_the_right_seed_is_recognised():
    """
    A rehearsal derives the root and compares; the number of the cluster is found.
    """
    assert CheckedRecovery(Family().chain.genesis, SEED).cluster == Family().chain.cluster
    assert CheckedRecovery(Family().chain.genesis, SEED).number == 0


def test_the_wrong_seed_is_refused():
    """
    No proof exists of a root that the seed does not make.
    """
    with pytest.raises(WrongRootError):
        CheckedRecovery(Family().chain.genesis, OTHER_SEED)


def test_data_of_any_node_is_opened_from_the_root_alone():
    """
    Every chain is lost; the public keys that stand beside the data are found again by trying small numbers.
    """
    family = Family()
    rekeyed = family.author(family.laptop.branch).rekey(later(1)).secret
    recovered = family.author(family.steward.branch).recover(1, later(2)).epoch
    lost = [family.server.epoch, rekeyed, recovered]
    wanted = [bytes(secret.encryption().public) for secret in lost]

    found = dict(find_keys(SEED.cluster(), wanted, Reach(depth=2, children=3, branches=2, epochs=3)))

    assert [found[key] for key in wanted] == lost
    for key, secret in found.items():
        assert secret.encryption().public == key


def test_signing_keys_are_found_as_well():
    """
    A peer's identity is enough to find the epoch.
    """
    secret = SEED.cluster().child(2).epoch(5)
    key = bytes(secret.signing().peer_id)

    assert dict(find_keys(SEED.cluster(), [key], Reach(1, 3, 1, 6))) == {key: secret}


def test_a_search_ends():
    """
    What is not there is not found, after no more tries than were allowed.
    """
    reach = Reach(depth=1, children=2, branches=2, epochs=3)
    assert reach.epochs_tried == 15
    assert list(find_keys(SEED.cluster(), [b"?" * 32], reach)) == []
    assert list(find_keys(SEED.cluster(), [])) == []


def test_how_much_there_is_to_try():
    """
    The numbers that the specification gives.
    """
    assert Reach(0, 0, 0, 1024).epochs_tried == 1024
    assert Reach().epochs_tried == 65 * 64
    assert EVERYTHING.epochs_tried == (256 * 64 + 1) * 1024
    for wrong in ((5, 1, 1, 1), (1, 257, 1, 1), (1, 1, 65, 1), (1, 1, 1, 1025), (-1, 1, 1, 1)):
        with pytest.raises(MisuseError):
            Reach(*wrong)
