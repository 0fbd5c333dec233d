"""Names of places, branches and keys: one spelling each, and nothing out of range."""

import pytest

from kontinuum.base import PeerError
from kontinuum.keys.errors import BadPathError
from kontinuum.keys.paths import HARDENED, KeyName, Path, Place, Purpose, Step
from kontinuum.wire.limits import KEY_BRANCHES_MAX, KEY_CHILDREN_MAX, KEY_DEPTH_MAX, KEY_EPOCHS_MAX

DEEPEST = "/" + "/".join(f"{KEY_CHILDREN_MAX - 1}.{KEY_BRANCHES_MAX - 1}" for _ in range(KEY_DEPTH_MAX))


@pytest.mark.parametrize("text", ["/", "/0", "/3/1", "/255/255/255/255"])
def test_a_place_reads_as_it_is_written(text):
    """
    Round trip of the text form.
    """
    assert str(Place.parse(text)) == text


@pytest.mark.parametrize("text", ["/", "/0.0", "/3.0/1.2", DEEPEST])
def test_a_path_reads_as_it_is_written(text):
    """
    Round trip of the text form and of the list of numbers.
    """
    path = Path.parse(text)

    assert str(path) == text
    assert Path.decode(path.encode()) == path


@pytest.mark.parametrize(
    "text", ["/@0:signing", "/3.0/1.2@7:storage", f"{DEEPEST}@{KEY_EPOCHS_MAX - 1}:encryption"]
)
def test_a_key_name_reads_as_it_is_written(text):
    """
    Round trip of the text form.
    """
    assert str(KeyName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "3", "/3/", "//3", "/03", "/-1", "/ 3", "/3\n", "/256", "/1/1/1/1/1", "/3.0", "/٣", "/" + "9" * 200],
)
def test_other_spellings_of_a_place_are_refused(text):
    """
    Leading zeros, blanks, other digits, numbers and depths out of range.
    """
    with pytest.raises(BadPathError):
        Place.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "/3", "/3.", "/.3", "/3.0/", "/3.00", "/3.64", "/256.0", "/3.0.0", "/1.0/1.0/1.0/1.0/1.0", "/3.0\n"],
)
def test_other_spellings_of_a_path_are_refused(text):
    """
    Each branch has one name.
    """
    with pytest.raises(BadPathError):
        Path.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "/3.0",
        "/3.0@",
        "/3.0@7",
        "/3.0@7:",
        "/3.0@7:sing",
        "/3.0@1024:signing",
        "/3.0@07:signing",
        "@7:signing",
    ],
)
def test_other_spellings_of_a_key_name_are_refused(text):
    """
    Path, epoch and purpose, and nothing else.
    """
    with pytest.raises(BadPathError):
        KeyName.parse(text)


@pytest.mark.parametrize(
    "numbers",
    [None, b"", 3, [0], [0, 0, 0], ["0", 0], [True, 0], [-1, 0], [0, 64], [256, 0], [0] * 10, [[0, 0]]],
)
def test_other_lists_of_numbers_are_refused(numbers):
    """
    Any value of a decoder gives a path or a PeerError.
    """
    with pytest.raises(PeerError):
        Path.decode(numbers)


def test_the_line_from_the_root():
    """
    A path knows what is above it; nothing is above itself.
    """
    path = Path.parse("/3.0/1.2")

    assert [str(each) for each in path.lineage()] == ["/", "/3.0", "/3.0/1.2"]
    assert path.parent == Path.parse("/3.0")
    assert Path().parent == Path()
    assert path.branch == 2
    assert path.place == Place((3, 1))
    assert path == Path((Step(3, 0), Step(1, 2)))
    assert Path().is_above(path)
    assert path.parent.is_above(path)
    assert not path.is_above(path)
    assert not path.is_above(path.parent)
    assert not Path.parse("/3.1").is_above(path)
    assert Place((3,)).is_above(Place((3, 1)))
    assert not Place((3, 1)).is_above(Place((3, 1)))
    assert not Place((2,)).is_above(Place((3, 1)))
    assert Place((3, 1)).parent == Place((3,))


def test_every_step_of_the_derivation_is_hardened():
    """
    Cluster, child and branch: nothing can be derived from public keys.
    """
    numbers = Path.parse("/3.0/1.2").derivation(0)

    assert len(numbers) == 6
    assert all(number >= HARDENED for number in numbers)


def test_purposes_have_names_of_their_own():
    """
    A key's purpose is part of its name.
    """
    names = {str(KeyName(Path(), 0, purpose)) for purpose in Purpose}

    assert len(names) == len(Purpose)
