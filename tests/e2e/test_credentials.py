"""A node as a service: its passphrase is a credential in the directory that systemd names."""

import subprocess

import pytest

from helpers.programs import PROGRAM, Program, environment, run_json

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path):
    """A node with a passphrase, its ``node.toml``, and the credentials of its unit, as in the runbook."""
    made = subprocess.run(
        [*PROGRAM, "node", "init", "--dir", "node", "--passphrase"],
        env=environment(tmp_path) | {"KONTINUUM_PASSPHRASE": "correct horse"},
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made
    settings = tmp_path / "node" / "node.toml"
    settings.write_text('passphrase_source = "credential:node-key"\n')
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "node-key").write_text("correct horse\n")
    (credentials / "node-key").chmod(0o400)
    credentials.chmod(0o500)
    yield tmp_path
    credentials.chmod(0o700)


def test_a_service_starts_without_a_terminal(service, monkeypatch):
    """
    The node reads its credential; a command outside of the unit says what is missing, and takes the
    passphrase another way.
    """
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(service / "credentials"))
    program = Program(
        service, "node", "run", "--dir", service / "node", "--listen", "127.0.0.1:0", "--json",
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert program.json_line()["peer_id"]
    assert program.end()[0] == 0

    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    code, answer = run_json(service, "vault", "key", "--dir", service / "node", stdin=subprocess.DEVNULL)
    assert (code, answer["error"]["code"]) == (2, "passphrase_store")
    assert "LoadCredentialEncrypted=node-key:" in answer["error"]["message"]
    again = subprocess.run(
        [*PROGRAM, "vault", "key", "--dir", service / "node"],
        env=environment(service)
        | {"KONTINUUM_PASSPHRASE_SOURCE": "auto", "KONTINUUM_PASSPHRASE": "correct horse"},
        cwd=service, stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    assert b"age1" in again.stdout, again
