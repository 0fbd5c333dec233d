"""Passphrases that systemd or a keyring keeps: found, or refused with what to do."""

import os
import sys
import threading

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import InitError, KeyringLocked

from kontinuum.cli.errors import hint_of
from kontinuum.node import passphrase_stores
from kontinuum.node.config import NodeConfig
from kontinuum.node.control import error_code
from kontinuum.node.errors import ConfigError, PassphraseError
from kontinuum.node.passphrase import PASSPHRASE_BYTES_MAX, is_source, read_passphrase
from kontinuum.node.passphrase_stores import (
    CREDENTIAL_BYTES_MAX,
    CREDENTIALS_VARIABLE,
    passphrase_from_credential,
)


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    """A directory as systemd gives it: 0500, files 0400; beside it a secret that is none of ours."""
    (tmp_path / "outside").write_text("other people's secret")
    directory = tmp_path / "node.service"
    directory.mkdir()
    for name, content in {
        "key": b"correct horse\n",
        "windows": b"correct horse\r\n",
        "bare": b"correct horse",
        "lines": b"correct\nhorse\n",
        "empty": b"\n",
        "binary": b"\xff\xfe",
        "longest": b"x" * PASSPHRASE_BYTES_MAX + b"\r\n",
        "longer": b"x" * (CREDENTIAL_BYTES_MAX + 1),
        "almost": b"x" * (PASSPHRASE_BYTES_MAX + 1),
    }.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o400)
    (directory / "link").symlink_to(tmp_path / "outside")
    (directory / "directory").mkdir()
    os.mkfifo(directory / "pipe")
    directory.chmod(0o500)
    monkeypatch.setenv(CREDENTIALS_VARIABLE, str(directory))
    yield directory
    directory.chmod(0o700)


@pytest.mark.parametrize("name", ["key", "windows", "bare"])
def test_a_credential_is_one_line(credentials, name):
    """
    With or without a line end; the file stays, because systemd owns it.
    """
    assert read_passphrase(f"credential:{name}") == "correct horse"
    assert (credentials / name).exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "LoadCredentialEncrypted=missing:"),
        ("lines", "several lines"),
        ("empty", "is empty"),
        ("binary", "not UTF-8"),
        ("longer", "longer than a passphrase"),
        ("almost", f"longer than {PASSPHRASE_BYTES_MAX}"),
        ("link", "it is a link"),
        ("directory", "Is a directory"),
        ("pipe", "no file"),
    ],
)
@pytest.mark.usefixtures("credentials")
def test_what_is_no_passphrase_is_refused(name, words):
    """
    Each for its own reason, without waiting for a pipe, and without the content in the error.
    """
    with pytest.raises(PassphraseError, match=words) as refused:
        read_passphrase(f"credential:{name}")
    assert "secret" not in str(refused.value)
    assert "horse" not in str(refused.value)


@pytest.mark.usefixtures("credentials")
def test_the_longest_credential():
    """
    A passphrase of the greatest length fits, with its line end.
    """
    assert read_passphrase("credential:longest") == "x" * PASSPHRASE_BYTES_MAX


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", ".", "..", "a/b", "", ".hidden", "a\nb", "a\0b", "k" * 129]
)
@pytest.mark.usefixtures("credentials")
def test_a_name_never_leaves_the_directory(name):
    """
    Not as a source, not as a setting, and not where a caller forgot to check.
    """
    assert not is_source(f"credential:{name}")
    with pytest.raises(PassphraseError, match="none of auto"):
        read_passphrase(f"credential:{name}")
    with pytest.raises(ConfigError):
        NodeConfig(passphrase_source=f"credential:{name}")
    if "/" in name or name in ("", ".", ".."):
        with pytest.raises(PassphraseError, match="no name of a credential"):
            passphrase_from_credential(name)


@pytest.mark.parametrize("place", [None, "", "relative/path"])
def test_without_systemd_the_error_names_the_unit_setting(monkeypatch, place):
    """
    Outside of a service there are no credentials, and a relative directory is not systemd's.
    """
    monkeypatch.delenv(CREDENTIALS_VARIABLE, raising=False)
    if place is not None:
        monkeypatch.setenv(CREDENTIALS_VARIABLE, place)
    with pytest.raises(PassphraseError, match="LoadCredentialEncrypted=key:"):
        read_passphrase("credential:key")


class Kept(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.entries = {}

    def get_password(self, service, username):
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.entries[service, username] = password


@pytest.fixture
def kept():
    """The package ``keyring`` with a keyring in memory."""
    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def answering(monkeypatch, kept):  # noqa: ARG001 -- it is the keyring that answers
    """Let the keyring answer with what a function does."""

    def answering(function):
        monkeypatch.setattr(Kept, "get_password", lambda *_: function())

    return answering


def raising(error):
    """A function that raises."""

    def ask():
        raise error

    return ask


@pytest.mark.usefixtures("kept")
def test_a_keyring_gives_its_entry():
    """
    What ``keyring set`` stored, under both names; another user's entry is another one.
    """
    keyring.set_password("kontinuum", "node@home", "correct hörse")
    assert read_passphrase("keyring:kontinuum/node@home") == "correct hörse"
    with pytest.raises(PassphraseError, match="keyring set kontinuum other") as refused:
        read_passphrase("keyring:kontinuum/other")
    assert "correct" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyringLocked("Failed to unlock the collection!"), "is locked: unlock it"),
        (InitError("Failed to open keyring: no bus"), "cannot be asked .* no bus"),
    ],
)
def test_a_keyring_that_does_not_answer_says_what_to_do(answering, error, words):
    """
    Locked and broken are two errors.
    """
    answering(raising(error))
    with pytest.raises(PassphraseError, match=words):
        read_passphrase("keyring:kontinuum/node")


def test_without_a_keyring_the_error_names_the_other_way():
    """
    A server has none: the real package says so, and we name what a service uses.
    """
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())
    try:
        with pytest.raises(PassphraseError, match="credential:NAME"):
            read_passphrase("keyring:kontinuum/node")
    finally:
        keyring.set_keyring(before)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    """
    The package is optional, and imported only when it is asked for.
    """
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(PassphraseError, match=r"pip install 'kontinuum\[keyring\]'"):
        read_passphrase("keyring:kontinuum/node")


def test_a_keyring_is_not_waited_for_without_end(answering, monkeypatch):
    """
    One that asks its owner, who is not there, costs the time that is stated.
    """
    forever = threading.Event()
    answering(forever.wait)
    monkeypatch.setattr(passphrase_stores, "KEYRING_TIMEOUT_S", 0.01)
    with pytest.raises(PassphraseError, match=r"within 0\.01 s"):
        read_passphrase("keyring:kontinuum/node")
    forever.set()


@pytest.mark.parametrize("source", ["keyring:", "keyring:a", "keyring:a/", "keyring:/b", "keyring:a/b/c"])
def test_an_entry_has_two_names(source):
    """
    A service and a user; everything else is no source.
    """
    assert not is_source(source)
    with pytest.raises(ConfigError):
        NodeConfig(passphrase_source=source)


@pytest.mark.parametrize("source", ["auto", "prompt", "env:A_1", "fd:3", "credential:key", "keyring:a.b/c@d"])
def test_the_sources_as_a_setting(source):
    """
    Command line and settings know the same ones.
    """
    assert is_source(source)
    assert NodeConfig(passphrase_source=source).passphrase_source == source


@pytest.mark.usefixtures("kept")
def test_the_error_has_a_code_of_its_own():
    """
    So that nobody is told to set a variable that a named source does not look at.
    """
    with pytest.raises(PassphraseError) as refused:
        read_passphrase("keyring:kontinuum/other")
    assert error_code(refused.value) == "passphrase_store"
    assert hint_of(refused.value) == ""
