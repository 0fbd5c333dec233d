"""The published description of contacts says what the code does."""

import re

import pytest

from helpers.identities import vectors
from kontinuum.identity import contact, multiaddr
from kontinuum.wire import limits


@pytest.fixture(scope="module")
def cddl(repository) -> str:
    """The published CDDL file."""
    return (repository / "docs/protocols/contact.cddl").read_text()


def test_the_cddl_file_has_the_keys_and_bounds_of_the_code(cddl):
    """
    Key numbers, sizes and counts are those of the constants.
    """
    fields = dict(re.findall(r"^  (\d+) => (.*?)[,;]", cddl, re.MULTILINE))

    assert list(map(int, fields)) == [8, 0, 1, 2, 3, 4, 5, 6, 7]
    assert fields["0"].strip() == str(contact.CONTACT_VERSION)
    assert f"bytes .size {limits.PEER_ID_BYTES}" in fields["1"]
    assert f"bytes .size {limits.NETWORK_ID_BYTES}" in fields["2"]
    assert fields["3"].strip() == f"0..{limits.CONTACT_SEQUENCE_MAX}"
    assert fields["4"].strip() == f"0..{limits.CONTACT_ISSUED_AT_MAX}"
    assert f"0*{limits.CONTACT_ADDRESSES_MAX} address" in fields["5"]
    assert f"0*{limits.CONTACT_CAPABILITIES_MAX} capability" in fields["6"]
    assert fields["7"].strip() == f"0..{limits.POW_NONCE_MAX}"
    assert f"bytes .size {limits.SIGNATURE_BYTES}" in fields["8"]
    assert f"0*{limits.CONTACT_EXTENSIONS_MAX} extension-key" in cddl
    assert f"extension-key = {limits.CONTACT_EXTENSION_KEY_MIN}..{limits.CONTACT_EXTENSION_KEY_MAX}" in cddl
    assert f"extension = bytes .size (0..{limits.CONTACT_EXTENSION_BYTES_MAX})" in cddl
    assert f"address = bytes .size (1..{limits.MULTIADDR_BYTES_MAX})" in cddl
    assert contact._CAPABILITY.pattern in cddl


def test_the_page_shows_a_golden_contact_and_the_right_limits(repository):
    """
    The example is the second golden vector; the numbers in the text are the constants.
    """
    page = (repository / "docs/protocols/contact.md").read_text()

    assert vectors("contacts.json")[1]["text"] in page
    assert f"{limits.CONTACT_BYTES_MAX:,} bytes" in " ".join(page.split())
    assert f"At most {limits.CONTACT_TEXT_CHARS_MAX:,} characters" in page
    assert f"at most {contact.CONTACT_AHEAD_MAX_S:.0f} s ahead" in page
    assert f"at most {contact.CONTACT_AGE_MAX_S / 3600:.0f} h old" in page
    for kind, code in multiaddr._CODES.items():
        assert re.search(rf"`/{kind}/.*`{code:02x}`", page)
