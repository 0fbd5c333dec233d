import pytest

from kontinuum.base import KontinuumError, MisuseError, PeerError, UnavailableError, errors


def test_every_error_belongs_to_exactly_one_family():
    """
    A caller who catches the three families has caught everything, and never one error as two.
    """
    families = (MisuseError, PeerError, UnavailableError)
    leaves = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, KontinuumError) and value is not KontinuumError
    ]

    assert len(leaves) > len(families)
    assert all(sum(issubclass(leaf, family) for family in families) == 1 for leaf in leaves)
    assert all(leaf.__name__.endswith("Error") for leaf in leaves)


def test_a_peer_error_names_nobody_unless_told():
    """
    Without proof there is no culprit and no penalty.
    """
    error = PeerError("odd")

    assert (error.culprits, error.penalty, str(error)) == ((), 0.0, "odd")


def test_a_peer_error_can_name_who_is_at_fault():
    """
    Culprits and penalty travel with the error to the score keeper.
    """
    with pytest.raises(PeerError) as caught:
        raise PeerError("worse", culprits=(b"x" * 32,), penalty=0.5)

    assert caught.value.culprits == (b"x" * 32,)
    assert caught.value.penalty == 0.5
