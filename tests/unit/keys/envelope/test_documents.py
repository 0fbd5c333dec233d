"""The published description of envelopes says what the code does."""

import re

import pytest

from kontinuum.keys.envelope import Kind, Role
from kontinuum.keys.envelope.claim import CLAIM_BLOCK_BYTES, CLAIM_PURPOSE, CLAIM_STANZA, Form
from kontinuum.keys.envelope.context import _PURPOSE, EPOCH_MAX
from kontinuum.keys.envelope.segments import MAGIC, SEGMENT_CHUNKS, SEGMENT_PURPOSE
from kontinuum.vault import journal, messages
from kontinuum.vault.index import TOMBSTONES_MAX
from kontinuum.vault.metadata import CREATED_AT_MAX, NAME_BYTES_MAX
from kontinuum.wire import limits


@pytest.fixture(scope="module")
def page(repository):
    """The page, each run of white space as one space."""
    return " ".join((repository / "docs/protocols/envelope.md").read_text().split())


@pytest.fixture(scope="module")
def cddl(repository):
    """The published CDDL file."""
    return (repository / "docs/protocols/envelope.cddl").read_text()


def test_the_cddl_file_has_the_keys_and_bounds_of_the_code(cddl):
    """
    Key numbers, sizes and counts are those of the constants.
    """
    fields = dict(re.findall(r"^  (\d+) => (.*?)[,;]", cddl.partition("the vault")[0], re.MULTILINE))

    assert sorted(map(int, fields)) == [0, 1, 2, 3, 4, 5, 6]
    assert f"at most {limits.ENVELOPE_CLAIM_BYTES_MAX:,} bytes" in cddl
    assert fields["0"] == str(Form.STREAM.value)
    assert f"bytes .size {limits.PEER_ID_BYTES}" in fields["1"]
    assert f"[1*{limits.ENVELOPE_RECIPIENTS_MAX} reader]" in fields["2"]
    assert f"bytes .size (0..{limits.ENVELOPE_METADATA_BYTES_MAX})" in fields["4"]
    assert f'"{_PURPOSE.pattern}"' in cddl
    assert cddl.count(f"text .size (0..{limits.ENVELOPE_CONTEXT_BYTES_MAX})") == 2
    assert f"epoch: 0..{EPOCH_MAX}" in cddl
    assert f"kind: {Kind.X25519.value} / {Kind.HYBRID.value}," in cddl
    assert f"role: {Role.SELF.value} / {Role.PEER.value} / {Role.ANCESTOR.value}," in cddl
    assert f"text .size (0..{NAME_BYTES_MAX})" in cddl
    assert f"1 => 0..{CREATED_AT_MAX}," in cddl
    assert f"at most {journal.JOURNAL_RECORD_BYTES_MAX:,} bytes" in cddl
    assert f"size: 0..{journal.SIZE_MAX}, at: 0..{journal.TIME_MAX}" in cddl


def test_the_page_has_the_words_and_bounds_of_the_code(page):
    """
    Labels, purposes, first lines and numbers.
    """
    for words in (
        f"-> {CLAIM_STANZA}",
        f"the one argument `{CLAIM_STANZA}`",
        f"`kontinuum/{CLAIM_PURPOSE}/v1`",
        f"`kontinuum/{SEGMENT_PURPOSE}/v1`",
        f"{MAGIC.decode().strip()} LF",
        f"a multiple of {CLAIM_BLOCK_BYTES} bytes",
        f"{limits.ENVELOPE_HEADER_BYTES_MAX // 1024} KiB of header",
        f"{limits.ENVELOPE_LINE_BYTES_MAX:,} bytes of a line",
        f"{limits.ENVELOPE_STANZAS_MAX} stanzas",
        f"`{journal.MAGIC.decode().strip()}`",
        f"up to {TOMBSTONES_MAX:,}",
        f"`{messages.PROTOCOL}`",
        f"`{messages.PUSH_PROTOCOL}`",
        f"at most {messages.PAGE_OBJECTS:,}",
        f"messages of {messages.PIECE_BYTES:,} bytes",
        'info = "kontinuum/envelope/1 claim"',
        'info = "kontinuum/envelope/1 commitment"',
        'info = "kontinuum/envelope/1 segments"',
    ):
        assert words in page, words
    assert SEGMENT_CHUNKS == 4
    assert "after every four chunks" in page


def test_the_page_names_tests_that_exist(page, repository):
    """
    Every test that the page names as proof is there.
    """
    sources = "".join(path.read_text() for path in (repository / "tests/unit/keys/envelope").glob("*.py"))
    named = re.findall(r"`(test_\w+)`", page)

    assert len(named) > 5
    assert [name for name in named if f"def {name}(" not in sources] == []
