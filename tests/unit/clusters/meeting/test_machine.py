"""Two clusters meet by a code, and everybody who should not meet does not."""

import dataclasses

import pytest

from helpers.keys import NOON, OTHER_SEED, Family
from helpers.meetings import EXPORTER, Counted, Side, alice, bob, meet
from kontinuum.base import KontinuumError, MisuseError, PeerError
from kontinuum.clusters.meeting.code import MeetCode
from kontinuum.clusters.meeting.errors import (
    FalseAnswerError,
    InvitationOpenError,
    MeetingRefusedError,
    NoInvitationError,
    OwnClusterError,
)
from kontinuum.clusters.meeting.introductions import Ourselves
from kontinuum.clusters.meeting.machine import FAILURES_MAX, FAILURES_OF_PEER_MAX, INVITATION_S
from kontinuum.clusters.meeting.messages import Introduction, Sealed, decode_answer, decode_request
from kontinuum.clusters.meeting.words import MEET_WORDS, Meeting
from kontinuum.identity import KeyPair
from kontinuum.keys.bodies import Scope
from kontinuum.keys.bundles import encode_bundle
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.errors import RevokedKeyError, SupersededKeyError, UnknownKeyError
from kontinuum.wire import encode_cbor
from kontinuum.wire.limits import MEET_NAME_BYTES_MAX

MALLORY = RootSeed(bytes(range(64, 96)))


def mallory():
    """Somebody between them, with a cluster of his own."""
    family = Family(MALLORY)
    return Side(family, family.server.epoch, name="Alice", chance=Counted(201))


def test_after_one_message_each_both_know_whom_they_met():
    """
    Cluster, root, node and nodes of the other one, what it calls itself, and the same four words.
    """
    a, b = alice(), bob()

    host_met, guest_met = meet(a, b)

    assert host_met.genesis == b.family.chain.genesis
    assert (host_met.key, str(host_met.place.place), host_met.place.label) == (b.key, "/0/0", "laptop")
    assert host_met.name == "Bob"
    assert (guest_met.key, str(guest_met.place.place), guest_met.place.label) == (a.key, "/1", "server")
    assert guest_met.genesis.root == a.family.root.public
    assert [each.label for each in guest_met.nodes] == ["steward", "laptop", "phone", "server"]
    assert set(guest_met.statements) == set(a.family.chain)
    assert host_met.numbers == guest_met.numbers
    assert len(host_met.numbers) == MEET_WORDS
    assert all(0 <= number < 2048 for number in host_met.numbers)


def test_the_words_differ_with_everything_that_makes_a_meeting():
    """
    Another nonce of either side, another session, another key, another cluster: other words.
    """
    code = alice().invite()
    host, guest, cluster = b"h" * 32, b"g" * 32, bob().family.chain.cluster
    meeting = Meeting(code, EXPORTER, bob().key)
    words = {
        meeting.word_numbers(host, guest, cluster),
        meeting.word_numbers(b"x" * 32, guest, cluster),
        meeting.word_numbers(host, b"x" * 32, cluster),
        meeting.word_numbers(guest, host, cluster),
        meeting.word_numbers(host, guest, mallory().family.chain.cluster),
        Meeting(code, bytes(32), bob().key).word_numbers(host, guest, cluster),
        Meeting(code, EXPORTER, mallory().key).word_numbers(host, guest, cluster),
        Meeting(mallory().invite(), EXPORTER, bob().key).word_numbers(host, guest, cluster),
    }

    assert len(words) == 8


def test_who_replaces_the_code_is_met_by_both_and_betrayed_by_the_words():
    """
    Mallory shows Bob a code of his own and uses Alice's himself. Both meetings succeed, with different words.
    """
    a, b, m = alice(), bob(), mallory()
    theirs = m.guest(a.invite())
    joining = b.guest(m.invite())
    answer_to_bob = m.hear(joining.request(b"1" * 32), b.key, b"1" * 32)
    answer_to_mallory = a.hear(theirs.request(b"2" * 32), m.key, b"2" * 32)

    seen_by_alice = answer_to_mallory.met
    seen_by_bob = joining.handle_answer(answer_to_bob.data)

    assert seen_by_alice.genesis == seen_by_bob.genesis == m.family.chain.genesis
    assert seen_by_alice.numbers != seen_by_bob.numbers


def test_who_replaces_the_code_cannot_choose_his_nonce_when_he_knows_ours():
    """
    Each nonce that he tries gives other words; but only the one that his code commits to is taken.
    """
    b, m = bob(), mallory()
    code = m.invite()
    joining = b.guest(code)
    request = joining.request(EXPORTER)
    meeting = Meeting(code, EXPORTER, b.key)

    for tried in range(3):
        body = m.own.introduction(bytes([tried]) * 32).encode()
        forged = Sealed(body, meeting.host_mac(request, body)).encode()
        with pytest.raises(FalseAnswerError, match="another nonce"):
            joining.handle_answer(forged)


def test_a_code_works_once():
    """
    The second who comes with it, and the first who comes again, are told that nobody waits.
    """
    a, b = alice(), bob()
    code = a.invite()
    request = b.guest(code).request(EXPORTER)

    assert a.hear(request, b.key).met is not None
    assert a.host.code is None
    for data, guest in ((request, b.key), (mallory().guest(code).request(EXPORTER), mallory().key)):
        assert a.hear(data, guest).met is None


def test_of_two_who_come_at_once_one_is_met():
    """
    Two phones scanned the same screen; the second hears why it is too late.
    """
    a, b, m = alice(), bob(), mallory()
    code = a.invite()
    first, second = b.guest(code), m.guest(code)
    requests = first.request(b"1" * 32), second.request(b"2" * 32)

    assert a.hear(requests[0], b.key, b"1" * 32).met is not None
    late = a.hear(requests[1], m.key, b"2" * 32)
    assert late.met is None
    with pytest.raises(NoInvitationError, match="used, cancelled or replaced"):
        second.handle_answer(late.data)


def test_a_code_ends_after_ten_minutes():
    """
    By the clock of its maker, to the moment.
    """
    a, b = alice(), bob()
    joining = b.guest(a.invite(now=5.0))
    request = joining.request(EXPORTER)

    assert a.host.next_deadline() == 5.0 + INVITATION_S
    assert not a.host.handle_timeout(4.9 + INVITATION_S)
    assert a.hear(request, b.key, now=5.0 + INVITATION_S).met is None
    assert a.host.next_deadline() is None
    a.invite(now=700.0)
    assert a.host.handle_timeout(700.0 + INVITATION_S)
    assert not a.host.handle_timeout(701.0 + INVITATION_S)


def test_a_code_that_was_cancelled_is_worth_nothing():
    """
    Also not when another one is shown afterwards.
    """
    a, b = alice(), bob()
    old = a.invite()
    a.host.cancel()
    a.invite()
    joining = b.guest(old)

    answer = a.hear(joining.request(EXPORTER), b.key)

    assert answer.met is None
    with pytest.raises(NoInvitationError):
        joining.handle_answer(answer.data)


def test_one_code_at_a_time():
    """
    A second is refused while the first is good, and made when that one is too old.
    """
    a = alice()
    first = a.invite(now=0.0)

    with pytest.raises(InvitationOpenError):
        a.invite(now=INVITATION_S - 1)
    assert a.invite(now=INVITATION_S).secret != first.secret


def test_a_stranger_who_does_not_know_the_secret_hears_nothing_and_hinders_nobody():
    """
    After three attempts his further ones are not looked at, even a right one; others still meet.
    """
    a, b, m = alice(), bob(), mallory()
    code = a.invite()
    wrong = dataclasses.replace(code, secret=b"w" * 16)
    answers = {a.hear(m.guest(wrong).request(EXPORTER), m.key).data for _ in range(FAILURES_OF_PEER_MAX)}
    answers.add(a.hear(m.guest(code).request(EXPORTER), m.key).data)
    answers.add(alice().hear(b"whatever", m.key).data)

    assert len(answers) == 1
    assert meet(a, b, code)[0] is not None


def test_a_flood_of_wrong_secrets_ends_the_invitation_and_is_told():
    """
    So many identities are an attack on this meeting: the user makes another code.
    """
    a = alice()
    a.invite()
    strangers = [KeyPair.from_seed(bytes([number]) * 32).peer_id for number in range(FAILURES_MAX)]

    answers = [a.hear(b"\x00", stranger) for stranger in strangers]

    assert [answer.burnt for answer in answers] == [False] * (FAILURES_MAX - 1) + [True]
    assert a.host.code is None


@pytest.mark.parametrize("changed", ["exporter", "guest", "own", "body"])
def test_a_request_is_good_for_one_session_of_one_pair(changed):
    """
    Carried over to another session, another guest or another key of the host, or changed on the way, it is
    worth nothing.
    """
    a, b = alice(), bob()
    request = b.guest(a.invite()).request(EXPORTER)
    sealed = decode_request(request)
    variants = {
        "exporter": lambda: a.hear(request, b.key, bytes(32)),
        "guest": lambda: a.hear(request, mallory().key),
        "own": lambda: a.hear(request, b.key, own=mallory().key),
        "body": lambda: a.hear(Sealed(sealed.body + b"\0", sealed.mac).encode(), b.key),
    }

    assert variants[changed]().met is None
    assert a.hear(request, b.key).met is not None


def test_who_answers_must_know_the_secret():
    """
    The key alone, which the session proves, is not enough; nor is the guest's own message sent back.
    """
    a, b = alice(), bob()
    code = a.invite()
    joining = b.guest(code)
    request = joining.request(EXPORTER)
    body = decode_answer(a.hear(request, b.key).data).body

    for mac in (bytes(32), decode_request(request).mac, Meeting(code, EXPORTER, b.key).guest_mac(body)):
        with pytest.raises(FalseAnswerError, match="secret"):
            joining.handle_answer(Sealed(body, mac).encode())


def test_the_answer_must_be_of_the_cluster_that_the_code_names():
    """
    A node that is in two clusters shows the one of its code.
    """
    a, b, m = alice(), bob(), mallory()
    code = a.invite()
    joining = b.guest(code)
    request = joining.request(EXPORTER)
    body = m.own.introduction(bytes(32)).encode()

    with pytest.raises(FalseAnswerError, match="another cluster"):
        joining.handle_answer(Sealed(body, Meeting(code, EXPORTER, b.key).host_mac(request, body)).encode())


def test_nodes_of_one_cluster_are_told_kindly_that_they_need_not_meet():
    """
    The guest notices before it dials; a host whose guest does not tells it.
    """
    a, b = alice(), bob()
    phone = Side(a.family, a.family.phone.epoch, chance=Counted(50))
    code = a.invite()

    for side in (a, phone):
        with pytest.raises(OwnClusterError, match="without meeting"):
            side.guest(code)
    body = phone.own.introduction(bytes(32)).encode()
    sealed = Sealed(body, Meeting(code, EXPORTER, phone.key).guest_mac(body))
    answer = a.hear(sealed.encode(), phone.key)
    assert answer.met is None
    joining = b.guest(code)
    joining.request(EXPORTER)
    with pytest.raises(OwnClusterError):
        joining.handle_answer(answer.data)


def shown(side, key, chain=None, known=None):
    """What the host makes of a guest that shows this chain with this key, and knows the secret."""
    a = alice()
    if known is not None:
        a.chains[known.cluster] = known
    code = a.invite()
    chain = chain or side.family.chain
    own = Ourselves(chain.genesis, b"", key, "Bob")
    bundle = Ourselves.of(side.family.chain, side.key, "").bundle if chain is side.family.chain else b"\x80"
    body = dataclasses.replace(own, bundle=bundle).introduction(bytes(32)).encode()
    sealed = Sealed(body, Meeting(code, EXPORTER, key).guest_mac(body))
    return a, code, a.hear(sealed.encode(), key)


def test_a_chain_must_name_the_key_of_the_session():
    """
    Another cluster's chain, or an empty one, is no proof; the guest is told, and the code stays good.
    """
    b, m = bob(), mallory()
    for answer in (shown(b, m.key), shown(b, b.key, chain=Family(MALLORY).chain)):
        a, code, heard = answer
        assert heard.met is None
        assert a.host.code == code
        joining = b.guest(code)
        joining.request(EXPORTER)
        with pytest.raises(MeetingRefusedError, match="does not accept"):
            joining.handle_answer(heard.data)


def test_statements_that_do_not_belong_into_the_chain_spoil_it():
    """
    A proof with something else among it, or with a gap, is none: honest sides show what they have verified.
    """
    b, m = bob(), mallory()
    uses = b.family.chain.registers.uses(b.key)
    lineage = b.family.chain.foundation([use.statement.id for use in uses])
    phone = b.family.phone.statements[-1]
    for bundle, met in (
        (lineage, True),
        ([*lineage, next(iter(m.family.chain))], False),
        ([*lineage, phone], False),
    ):
        a = alice()
        meeting = Meeting(a.invite(), EXPORTER, b.key)
        body = Introduction(b.family.chain.genesis.encode(), encode_bundle(bundle), bytes(32), "").encode()
        answer = a.hear(Sealed(body, meeting.guest_mac(body)).encode(), b.key)
        assert (answer.met is not None) == met


def test_a_key_out_of_use_meets_nobody():
    """
    Neither side begins with one; a guest that does is refused, also if only the host knows of it.
    """
    b = bob()
    before = b.family.copy()
    b.family.author(b.family.steward.branch).revoke(b.family.laptop.branch.path, Scope.PLACE, NOON)

    with pytest.raises(RevokedKeyError):
        _ = b.own
    with pytest.raises(UnknownKeyError):
        Ourselves.of(b.family.chain, mallory().key, "")
    forgetful = bob()
    assert forgetful.family.chain == before
    assert shown(forgetful, forgetful.key)[2].met is not None
    assert shown(forgetful, forgetful.key, known=b.family.chain)[2].met is None


def test_a_host_that_was_revoked_is_refused_by_a_guest_who_knows():
    """
    Its code was made before.
    """
    a, b = alice(), bob()
    joining = b.guest(a.invite())
    answer = a.hear(joining.request(EXPORTER), b.key)
    a.family.author(a.family.root).revoke(a.family.server.branch.path, Scope.PLACE, NOON)
    b.chains[a.family.chain.cluster] = a.family.chain

    with pytest.raises(RevokedKeyError):
        joining.handle_answer(answer.data)


def test_an_earlier_key_of_a_node_does_not_meet():
    """
    After a rekeying only the new key speaks.
    """
    a = alice()
    a.family.author(a.family.server.branch).rekey(NOON)

    with pytest.raises(SupersededKeyError):
        a.invite()


def test_a_long_chain_is_cut_but_never_the_line_to_our_own_key(monkeypatch):
    """
    What does not fit comes with the clusters' sync; what is shown is a proof of its own.
    """
    monkeypatch.setattr("kontinuum.keys.bundles.CHAIN_BUNDLE_STATEMENTS_MAX", 5)
    a, b = alice(), bob()
    late = b.family.author(b.family.root).delegate(NOON, label="late")
    b.secret = late.epoch

    met, _ = meet(a, b)

    assert met.place.label == "late"
    assert len(met.statements) == 5 < len(b.family.chain)
    assert set(late.statements) <= set(met.statements)


def test_names_are_words_for_people():
    """
    A name that is too long is refused; a name for the other cluster is suggested from what it says.
    """
    a, b = alice(), bob()
    with pytest.raises(MisuseError):
        Ourselves.of(a.family.chain, a.key, "x" * (MEET_NAME_BYTES_MAX + 1))
    for said, suggested in [
        ("Bob's Laptop", "bob-s-laptop"),
        ("Zoë", "zoe"),
        ("../../etc", "etc"),
        ("x" * 64, "x" * 24),
        ("\x1b[31m", "m"),
        ("home", f"cluster-{b.family.chain.cluster[:4].hex()}"),
        ("日本", f"cluster-{b.family.chain.cluster[:4].hex()}"),
    ]:
        a.host.cancel()
        b.name = said
        met, _ = meet(a, b)
        assert (met.name, met.suggested_name) == (said, suggested)


@pytest.mark.parametrize("cut", [0, 1, 10, 200, -1])
def test_whatever_comes_is_an_error_of_the_peer(cut):
    """
    A cut message, or one with something behind it, ends nothing but this meeting.
    """
    a, b = alice(), bob()
    code = a.invite()
    joining = b.guest(code)
    request = joining.request(EXPORTER)

    assert a.hear(request[:cut], b.key).met is None
    answer = a.hear(request, b.key)
    with pytest.raises(PeerError):
        joining.handle_answer(answer.data[:cut])
    with pytest.raises(PeerError):
        joining.handle_answer(answer.data + b"\0")


def test_a_body_that_is_none_is_refused_although_its_mac_fits():
    """
    Knowing the secret allows nobody to send anything.
    """
    a, b = alice(), bob()
    code = a.invite()
    meeting = Meeting(code, EXPORTER, b.key)
    for body in (b"", b"\xa0", Introduction(b"", b"", bytes(32), "").encode()):
        sealed = Sealed(body, meeting.guest_mac(body)).encode()
        joining = b.guest(code)
        joining.request(EXPORTER)
        answer = a.hear(sealed, b.key)
        with pytest.raises(MeetingRefusedError):
            joining.handle_answer(answer.data)


@pytest.mark.parametrize(
    "message",
    [
        [1, b"", bytes(31)],
        [1, b"", b""],
        [1, "", bytes(32)],
        [2, b"", bytes(32)],
        [1, b""],
        {},
        [True, b"", b""],
    ],
    ids=str,
)
def test_requests_have_one_form(message):
    """
    Everything else is malformed, or of another version.
    """
    with pytest.raises(PeerError):
        decode_request(encode_cbor(message))


def test_refusals_of_newer_programs_are_understood_as_such():
    """
    An unknown number is a refusal, not a fault.
    """
    b = bob()
    joining = b.guest(alice().invite())
    joining.request(EXPORTER)

    with pytest.raises(MeetingRefusedError, match="newer"):
        joining.handle_answer(bytes([0x82, 1, 0x18, 77]))
    for data in (bytes([0x82, 1, 0]), bytes([0x82, 2, 1]), bytes([0x81, 1]), b"\x80"):
        with pytest.raises(PeerError):
            joining.handle_answer(data)


def test_the_code_survives_its_text_and_then_meets():
    """
    As text, typed in lower case and in lines.
    """
    a, b = alice(), bob()
    text = a.invite().text().lower()
    typed = "\n".join(text[at : at + 30] for at in range(0, len(text), 30))

    assert meet(a, b, MeetCode.parse(typed))[0] is not None


def test_every_refusal_is_an_error_of_ours():
    """
    A command shows it without a traceback.
    """
    for error in (NoInvitationError, MeetingRefusedError, FalseAnswerError, OwnClusterError):
        assert issubclass(error, KontinuumError)


def test_two_clusters_with_equal_trees_are_told_apart():
    """
    Same labels, same places, other roots.
    """
    twin = Side(Family(OTHER_SEED), Family(OTHER_SEED).server.epoch, name="Alice", chance=Counted(9))

    met, other = meet(alice(), twin)

    assert met.genesis != other.genesis
