"""Two vaults beside a simple model: whatever is done, each holds what it should; they become alike."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from helpers.envelopes import ENTROPY
from helpers.vaults import AT, LATER, OWNER, files, get, put
from kontinuum.keys.envelope import NoMatchingKeyError
from kontinuum.vault import DamagedObjectError, NoSuchObjectError, VaultStore, reseal_all


class TwoVaults(RuleBasedStateMachine):
    """Vaults of one owner on two nodes; beside each, what it should hold and what was deleted."""

    ids = Bundle("ids")

    def __init__(self):
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="kontinuum-vaults-"))
        self.stores = [VaultStore(self.base / name) for name in ("one", "two")]
        self.contents = [{}, {}]
        self.deleted = [set(), set()]
        self.later = set()
        """Ids that are sealed to the later keys."""

    def keyring(self, object_id):
        """What opens it."""
        return LATER if object_id in self.later else OWNER

    @rule(target=ids, where=st.integers(0, 1), size=st.sampled_from([0, 1, 1000, 70_000]))
    def put(self, where, size):
        """An object is put."""
        content = os.urandom(4) + bytes(size)
        object_id = put(self.stores[where], content)
        self.contents[where][object_id] = content
        return object_id

    @rule(where=st.integers(0, 1), object_id=ids)
    def delete(self, where, object_id):
        """An object is deleted, if it is there."""
        if object_id in self.contents[where]:
            self.stores[where].delete(object_id, at=AT)
            del self.contents[where][object_id]
            self.deleted[where].add(object_id)
            return
        with pytest.raises(NoSuchObjectError) as caught:
            self.stores[where].delete(object_id, at=AT)
        assert caught.value.was_deleted == (object_id in self.deleted[where])

    @rule(where=st.integers(0, 1))
    def open_again(self, where):
        """Another program takes over."""
        self.stores[where] = VaultStore(self.stores[where].directory)

    @rule(where=st.integers(0, 1))
    def lose_the_journal(self, where):
        """Objects are found again; what was deleted is forgotten."""
        (self.stores[where].directory / "journal").unlink(missing_ok=True)
        self.deleted[where].clear()
        self.stores[where].objects()

    @rule(where=st.integers(0, 1))
    def copy(self, where):
        """One vault takes from the other what it lacks, by the ids alone."""
        ours, theirs = self.stores[where], self.stores[1 - where]
        index = theirs.index()
        lack = ours.index().missing(index.objects, index.deleted)
        for object_id in lack.deleted:
            ours.delete(object_id, at=AT)
            del self.contents[where][object_id]
            self.deleted[where].add(object_id)
        for object_id in lack.objects:
            with theirs.opened(object_id) as (descriptor, size):
                pieces = iter([os.pread(descriptor, 1000, at) for at in range(0, size, 1000)])
                assert ours.add_sealed(object_id, pieces, at=AT)
            self.contents[where][object_id] = self.contents[1 - where][object_id]
        assert ours.index().missing(index.objects, index.deleted) == type(lack)((), ())

    @rule(where=st.integers(0, 1))
    def reseal(self, where):
        """Everything is sealed to the later keys."""
        before = self.contents[where]
        done = reseal_all(self.stores[where], OWNER, LATER, at=AT, entropy=ENTROPY)
        assert done.left == ()
        deleted = self.stores[where].index().deleted
        self.contents[where] = {}
        for object_id, content in before.items():
            new = deleted[object_id].replaced_by if object_id in deleted else object_id
            self.contents[where][new] = content
            self.later.add(new)
            if new != object_id:
                self.deleted[where].add(object_id)

    @rule(where=st.integers(0, 1), object_id=consumes(ids))
    def damage(self, where, object_id):
        """A file is cut off; it is noticed, and given up."""
        if object_id in self.contents[where]:
            store = self.stores[where]
            path = store.directory / "objects" / object_id.hex()[:2] / f"{object_id.hex()}.age"
            os.truncate(path, 20)
            assert [lost.object_id for lost in store.check()] == [object_id]
            with pytest.raises(DamagedObjectError):
                get(store, object_id, self.keyring(object_id))
            self.delete(where, object_id)

    @invariant()
    def each_holds_what_it_should(self):
        """The list, the contents, the files and the memory of deletions."""
        for store, contents, deleted in zip(self.stores, self.contents, self.deleted, strict=True):
            assert {stored.object_id for stored in store.objects()} == set(contents)
            assert all(stored.present for stored in store.objects())
            for object_id, content in contents.items():
                assert get(store, object_id, self.keyring(object_id)) == content
                with pytest.raises(NoMatchingKeyError):
                    get(store, object_id, OWNER if object_id in self.later else LATER)
            assert len(files(store.directory / "objects")) == len(contents)
            assert set(store.index().deleted) == deleted

    def teardown(self):
        """Nothing is left of it."""
        shutil.rmtree(self.base)


TestTwoVaults = TwoVaults.TestCase
TestTwoVaults.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
