"""Who is who: names, keys, and the answers that other rooms act on."""

import pytest

from helpers.keys import NOON, OTHER_SEED, Family, later, path, place
from kontinuum.keys.bodies import Scope
from kontinuum.keys.errors import DeadKeyError, RevokedKeyError, SupersededKeyError, UnknownKeyError
from kontinuum.keys.genesis import Genesis
from kontinuum.keys.paths import Place
from kontinuum.keys.recovery import CheckedRecovery
from kontinuum.keys.verdicts import Status


@pytest.fixture
def family():
    """Root, steward, server, laptop, phone."""
    return Family()


def key_of(handover):
    """The identity with which a handed-over node speaks."""
    return handover.epoch.signing().peer_id


def test_a_name_leads_to_the_current_key(family):
    """
    The name stays through every rekeying and every new branch.
    """
    name = place("/0/0")
    assert family.standing.of_place(name).signing == key_of(family.laptop)
    assert family.standing.of_place(name).encryption == family.laptop.epoch.encryption().public
    assert family.standing.of_place(name).label == "laptop"

    moved = family.author(family.laptop.branch).rekey(later(1))
    assert family.standing.of_place(name).signing == moved.secret.signing().peer_id

    answer = family.author(family.steward.branch).recover(0, later(2))
    standing = family.standing.of_place(name)
    assert standing.signing == key_of(answer)
    assert standing.path == path("/0.0/0.1")
    assert standing.label == "laptop"


def test_an_old_key_leads_to_the_current_one(family):
    """
    Whoever knew the node by any key that it ever had finds it under the one that it has.
    """
    moved = family.author(family.laptop.branch).rekey(later(1))
    answer = family.author(family.steward.branch).recover(0, later(2))

    for old in (key_of(family.laptop), moved.secret.signing().peer_id):
        assert family.standing.of_key(old).current == key_of(answer)
        assert family.standing.of_key(old).path.place == place("/0/0")


def test_a_speaker_is_verified(family):
    """
    A key that counts gives its place; every other one an error that says how to treat its session.
    """
    assert family.standing.verify_speaker(key_of(family.laptop)) == place("/0/0")

    moved = family.author(family.laptop.branch).rekey(later(1))
    with pytest.raises(SupersededKeyError) as superseded:
        family.standing.verify_speaker(key_of(family.laptop))
    assert superseded.value.current == moved.secret.signing().peer_id

    family.author(family.steward.branch).revoke(path("/0.0/0.0"), Scope.BRANCH, later(2))
    for key in (key_of(family.laptop), moved.secret.signing().peer_id):
        with pytest.raises(RevokedKeyError) as revoked:
            family.standing.verify_speaker(key)
        assert revoked.value.path == path("/0.0/0.0")
        assert isinstance(revoked.value, DeadKeyError)
    with pytest.raises(UnknownKeyError):
        family.standing.verify_speaker(OTHER_SEED.cluster().epoch(0).signing().peer_id)


def test_the_old_key_of_a_stolen_node_is_cut_and_not_redirected(family):
    """
    A new branch answers a theft: sessions of the old key end at once, unlike after a rekeying.
    """
    family.author(family.steward.branch).recover(0, later(1))

    with pytest.raises(RevokedKeyError):
        family.standing.verify_speaker(key_of(family.laptop))


def test_an_old_key_whose_successor_is_dead_too_is_revoked(family):
    """
    Nobody is sent to a key that does not speak.
    """
    family.author(family.laptop.branch).rekey(later(1))
    family.author(family.laptop.branch).revoke(path("/0.0/0.0"), Scope.EPOCHS, later(2), epoch=1)

    with pytest.raises(RevokedKeyError):
        family.standing.verify_speaker(key_of(family.laptop))
    assert family.standing.of_key(key_of(family.laptop)).current is None


def test_places_and_speakers(family):
    """
    All that ever were, in order; those that speak.
    """
    family.author(family.steward.branch).revoke(path("/0.0/1.0"), Scope.PLACE, later(1))

    assert [str(each.place) for each in family.standing.places()] == ["/0", "/0/0", "/0/1", "/1"]
    assert [each.label for each in family.standing.speakers()] == ["steward", "laptop", "server"]


def test_a_place_where_nobody_is(family):
    """
    Not yet, or not any more because an ancestor moved: the answer says which.
    """
    assert family.standing.of_place(place("/7")).verdict.status == Status.UNBORN
    assert family.standing.of_place(place("/7")).path is None
    family.author(family.root).recover(0, later(1))
    gone = family.standing.of_place(place("/0/0"))
    assert (gone.verdict.status, gone.verdict.path) == (Status.UNBORN, path("/0.1"))
    family.author(family.root).revoke(path("/0.1"), Scope.BRANCH, later(2))
    assert family.standing.of_place(place("/0/0")).verdict.status == Status.REVOKED


def test_a_place_without_an_epoch(family):
    """
    A branch that its owner did not use yet has no key to show; the root is such a place.
    """
    root = family.standing.of_place(Place())

    assert root.verdict.status == Status.UNBORN
    assert (root.signing, root.encryption, root.epoch) == (None, None, None)


def test_who_can_do_what(family):
    """
    The ancestors and the branch itself, and nobody else; out of use, they decrypt and do not revoke.
    """
    powers = family.standing.who_can(path("/0.0/0.0"))
    assert [(str(power.path), power.label, power.itself) for power in powers] == [
        ("/", "", False),
        ("/0.0", "steward", False),
        ("/0.0/0.0", "laptop", True),
    ]
    assert all(power.revokes and power.derives and power.living for power in powers)

    family.author(family.root).revoke(path("/0.0"), Scope.BRANCH, later(1))
    root, steward, laptop = family.standing.who_can(path("/0.0/0.0"))
    assert root.revokes
    assert not steward.revokes
    assert steward.derives
    assert not laptop.living


def test_the_root_revokes_itself_no_more_than_others_do(family):
    """
    Nobody can take the root out of use; it leaves.
    """
    (root,) = family.standing.who_can(path("/"))

    assert not root.revokes
    assert root.derives


def test_after_a_transition_nobody_speaks(family):
    """
    The old chain is closed for whoever learns of it.
    """
    new = OTHER_SEED.cluster()
    genesis = Genesis.issue(new)
    family.author(family.root).leave(genesis, new, NOON, recovery=CheckedRecovery(genesis, OTHER_SEED))

    for key in (key_of(family.laptop), key_of(family.server)):
        with pytest.raises(RevokedKeyError, match="left by its root"):
            family.standing.verify_speaker(key)
    assert family.standing.speakers() == ()
