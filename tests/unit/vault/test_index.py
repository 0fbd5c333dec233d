"""The index: the sum of changes, and what two vaults lack of each other."""

from kontinuum.vault import Index, ObjectId
from kontinuum.vault import index as index_module
from kontinuum.vault.journal import Delete, Put


def number(count):
    """An id."""
    return ObjectId(count.to_bytes(32))


def test_changes_add_up():
    """
    The order of putting stays; a repeated change, or a deletion of what is not there, does no harm.
    """
    index = Index(
        [
            Put(number(1), 10, 1),
            Put(number(2), 20, 2),
            Put(number(1), 99, 9),
            Delete(number(2), 3),
            Delete(number(2), 4),
            Delete(number(7), 5),
            Put(number(3), 30, 6),
        ]
    )

    assert list(index.objects.values()) == [Put(number(1), 10, 1), Put(number(3), 30, 6)]
    assert list(index.deleted.values()) == [Delete(number(2), 3), Delete(number(7), 5)]
    again = Index(index.changes())
    assert (again.objects, again.deleted) == (index.objects, index.deleted)


def test_what_is_put_again_is_there_again():
    """
    Somebody who puts back what was deleted means it.
    """
    index = Index([Put(number(1), 10, 1), Delete(number(1), 2), Put(number(1), 10, 3)])

    assert number(1) in index.objects
    assert number(1) not in index.deleted


def test_deleted_objects_are_remembered_within_bounds(monkeypatch):
    """
    The oldest are forgotten.
    """
    monkeypatch.setattr(index_module, "TOMBSTONES_MAX", 3)
    index = Index(Delete(number(count), count) for count in range(5))

    assert list(index.deleted) == [number(2), number(3), number(4)]


def test_two_vaults_find_what_they_lack():
    """
    Copies go both ways, deletions as well, and what was deleted is not copied back.
    """
    ours = Index([Put(number(1), 1, 1), Put(number(2), 1, 1), Put(number(5), 1, 1), Delete(number(3), 1)])
    theirs = Index([Put(number(1), 1, 1), Put(number(3), 1, 1), Put(number(4), 1, 1), Delete(number(5), 1)])

    lack = ours.missing(theirs.objects, theirs.deleted)
    assert (lack.objects, lack.deleted) == ((number(4),), (number(5),))
    lack = theirs.missing(ours.objects, ours.deleted)
    assert (lack.objects, lack.deleted) == ((number(2),), (number(3),))


def test_a_strange_list_of_another_node_does_no_harm():
    """
    Repeated ids are copied once, and what it has and deleted at once is not copied.
    """
    lack = Index().missing([number(1), number(1), number(2)], [number(2)])

    assert (lack.objects, lack.deleted) == ((number(1),), ())


def test_ids_are_found_by_their_beginning():
    """
    In hexadecimal.
    """
    first, second = ObjectId(bytes.fromhex("ab" * 32)), ObjectId(bytes.fromhex("abab" + "00" * 30))
    index = Index([Put(first, 1, 1), Put(second, 1, 1)])

    assert index.beginning_with("abab") == [first, second]
    assert index.beginning_with("ababab") == [first]
