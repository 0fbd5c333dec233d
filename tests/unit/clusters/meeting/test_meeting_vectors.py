"""Golden meetings of version 1, against the library and against a second implementation."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers import meeting_reference as reference
from kontinuum.clusters.meeting.code import MeetCode
from kontinuum.clusters.meeting.introductions import Met
from kontinuum.clusters.meeting.messages import Introduction, Sealed, decode_answer, decode_request
from kontinuum.clusters.meeting.words import Meeting, commit
from kontinuum.identity import Multiaddr, PeerId
from kontinuum.keys.genesis import Genesis

VECTORS = Path(__file__).parents[3] / "vectors"
ROWS = json.loads((VECTORS / "meeting.json").read_text(encoding="utf-8"))
rows = pytest.mark.parametrize("row", ROWS, ids=[row["what"] for row in ROWS])


def octets(row, name):
    """A field in bytes."""
    return bytes.fromhex(row[name])


def code_of(row):
    """The code, made from its parts."""
    return MeetCode.issue(
        Genesis.decode(octets(row, "host_genesis")).cluster,
        PeerId(octets(row, "host_key")),
        secret=octets(row, "secret"),
        commitment=octets(row, "commitment"),
        expires_at=datetime.fromtimestamp(row["expires_at"], UTC),
        addresses=[Multiaddr.from_ip(host, port) for host, port in row["addresses"]],
    )


@rows
def test_the_second_implementation_makes_every_value(row):
    """
    From keys, nonces, secret and exporter to texts, messages and words.
    """
    made = {
        "commitment": reference.commitment(
            octets(row, "host_nonce"), octets(row, "host_cluster"), octets(row, "host_key")
        ).hex(),
        "code": reference.code(row),
        "request": reference.request(row).hex(),
        "answer": reference.answer(row).hex(),
        "word_numbers": reference.word_numbers(row),
    }

    assert made == {name: row[name] for name in made}


@rows
def test_the_library_makes_and_reads_the_same(row):
    """
    Every intermediate value, in both directions.
    """
    code = code_of(row)
    cluster, key = code.cluster, code.key
    guest = Genesis.decode(octets(row, "guest_genesis")).cluster
    meeting = Meeting(code, octets(row, "exporter"), PeerId(octets(row, "guest_key")))
    bodies = [
        Introduction(
            octets(row, f"{side}_genesis"),
            octets(row, f"{side}_bundle"),
            octets(row, f"{side}_nonce"),
            row[f"{side}_name"],
        )
        for side in ("guest", "host")
    ]
    request = Sealed(bodies[0].encode(), meeting.guest_mac(bodies[0].encode()))
    answer = Sealed(bodies[1].encode(), meeting.host_mac(request.encode(), bodies[1].encode()))
    numbers = meeting.word_numbers(bodies[1].nonce, bodies[0].nonce, guest)

    assert (cluster.hex(), guest.hex()) == (row["host_cluster"], row["guest_cluster"])
    assert commit(octets(row, "host_nonce"), cluster, key).hex() == row["commitment"]
    assert code.text() == row["code"]
    assert MeetCode.parse(row["code"]) == code
    assert request.encode().hex() == row["request"]
    assert answer.encode().hex() == row["answer"]
    assert decode_request(octets(row, "request")) == request
    assert decode_answer(octets(row, "answer")) == answer
    assert [Introduction.decode(each.encode()) for each in bodies] == bodies
    assert list(numbers) == row["word_numbers"]
    assert Met.verify(bodies[0], meeting.guest, None, numbers).genesis.cluster == guest
    assert Met.verify(bodies[1], key, None, numbers).genesis.cluster == cluster


def test_the_vectors_have_a_source():
    """
    SOURCES.md says where they come from.
    """
    assert "`meeting.json`" in (VECTORS / "SOURCES.md").read_text(encoding="utf-8")
