"""Who an envelope is sealed to: each key once, in order, and ancestors as policy says."""

import pytest

from helpers.envelopes import BOB, CAROL, CONTEXT, ENTROPY, HYBRID, PARENT
from helpers.keys import Family, later, place
from kontinuum.keys.bodies import Scope
from kontinuum.keys.envelope import (
    MixedRecipientsError,
    NoRecipientsError,
    Reader,
    Role,
    TooManyRecipientsError,
    X25519Key,
    open_bytes,
    seal_bytes,
)
from kontinuum.keys.errors import UnknownKeyError
from kontinuum.keys.recipients import Ancestors, Party, party_of, readers_of
from kontinuum.node.vault import epoch_keyring
from kontinuum.wire.limits import ENVELOPE_RECIPIENTS_MAX

ROOT = X25519Key.generate(ENTROPY)


def parties(policy):
    """Bob below a parent below the root."""
    return Party(BOB.recipient, (PARENT.recipient, ROOT.recipient), policy)


@pytest.mark.parametrize(
    ("policy", "ancestors"),
    [
        (Ancestors.NONE, []),
        (Ancestors.PARENT, [PARENT]),
        (Ancestors.ALL, [PARENT, ROOT]),
    ],
)
def test_ancestors_read_as_the_party_wants_it(policy, ancestors):
    """
    Nobody, the nearest, or all of them; each with its role.
    """
    assert readers_of(None, [parties(policy)]) == (
        Reader(BOB.recipient, Role.PEER),
        *(Reader(key.recipient, Role.ANCESTOR) for key in ancestors),
    )


def test_each_key_is_a_recipient_once():
    """
    Sender and recipient have the same parent: it reads once. Ourselves first, then peers, then ancestors.
    """
    own = Party(CAROL.recipient, (PARENT.recipient,))
    readers = readers_of(own, [parties(Ancestors.ALL), own, Party(PARENT.recipient)])

    assert readers == (
        Reader(CAROL.recipient, Role.SELF),
        Reader(BOB.recipient, Role.PEER),
        Reader(PARENT.recipient, Role.PEER),
        Reader(ROOT.recipient, Role.ANCESTOR),
    )


def test_what_cannot_be_an_envelope_is_refused():
    """
    Nobody, too many, or keys of two strengths.
    """
    with pytest.raises(NoRecipientsError):
        readers_of(None)
    with pytest.raises(MixedRecipientsError):
        readers_of(Party(HYBRID.recipient), [Party(BOB.recipient)])
    many = [Party(X25519Key.generate(ENTROPY).recipient) for _ in range(ENVELOPE_RECIPIENTS_MAX + 1)]
    assert len(readers_of(None, many[1:])) == ENVELOPE_RECIPIENTS_MAX
    with pytest.raises(TooManyRecipientsError):
        readers_of(None, many)


def test_a_place_is_sealed_to_by_its_chain():
    """
    Its current key and its steward's; both open it with what they hold, and the list says so.
    """
    family = Family()
    readers = readers_of(None, [party_of(family.standing, family.laptop.branch.path.place)])
    sealed = seal_bytes(
        readers, b"content", signer=family.phone.epoch.signing(), context=CONTEXT, entropy=ENTROPY
    )

    for handover in (family.laptop, family.steward):
        opened = open_bytes([X25519Key(handover.epoch.encryption().expose())], sealed, context=CONTEXT)
        assert opened.plaintext == b"content"
        assert [reader.role for reader in opened.claim.readers] == [Role.PEER, Role.ANCESTOR]


def test_the_root_opens_what_was_sealed_to_a_node_without_being_listed():
    """
    It derives the node's key, even where policy lists no ancestor.
    """
    family = Family()
    path = family.laptop.branch.path
    readers = readers_of(None, [party_of(family.standing, path.place, Ancestors.NONE)])
    sealed = seal_bytes(
        readers, b"content", signer=family.phone.epoch.signing(), context=CONTEXT, entropy=ENTROPY
    )
    derived = family.seed.cluster().descendant(path).epoch(0).encryption().expose()

    assert open_bytes([X25519Key(derived)], sealed, context=CONTEXT).plaintext == b"content"
    assert len(readers) == 1


def test_nothing_is_sealed_to_a_place_where_nobody_speaks():
    """
    Never there, or revoked.
    """
    family = Family()
    with pytest.raises(UnknownKeyError, match="/7"):
        party_of(family.standing, place("/7"))
    laptop = family.laptop.branch.path
    family.author(family.steward.branch).revoke(laptop, Scope.BRANCH, later(5))
    with pytest.raises(UnknownKeyError):
        party_of(family.standing, laptop.place)


def test_after_a_rekeying_the_new_key_is_sealed_to_and_both_open():
    """
    The vault's keys: the current epoch seals and signs, the earlier one still opens what is old.
    """
    family = Family()
    old = family.laptop.epoch
    new = family.author(family.laptop.branch).rekey(later(10)).secret
    readers = readers_of(party_of(family.standing, family.laptop.branch.path.place))
    keyring = epoch_keyring([new, old], readers)

    assert keyring.readers[0].recipient == keyring.keys[0].recipient
    assert keyring.readers[0].role is Role.SELF
    assert keyring.signer.peer_id == new.signing().peer_id
    assert keyring.accepted() == [new.signing().peer_id, old.signing().peer_id]
    assert keyring.keys[2].recipient.public_key == old.encryption().public
    hybrid = epoch_keyring([new, old], readers, post_quantum=True)
    assert hybrid.readers == keyring.hybrid_readers
    assert [each.recipient for each in hybrid.keys[:2]] == [
        keyring.keys[1].recipient,
        keyring.keys[0].recipient,
    ]
