"""A key store whose passphrase the real Secret Service keeps: gnome-keyring on a bus of its own."""

import os
import shutil
import subprocess
import sys

import pytest

from kontinuum.base.entropy import SystemEntropy
from kontinuum.keys.derivation import RootSeed
from kontinuum.keys.keystore import ByPassphrase, create_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("dbus-run-session") and shutil.which("gnome-keyring-daemon")),
        reason="dbus-run-session or gnome-keyring-daemon is not installed",
    ),
]

PROGRAM = f"{sys.executable} -m kontinuum.cli.main"
UNLOCK = "printf login | gnome-keyring-daemon --unlock --components=secrets >/dev/null && "


def in_session(home, script):
    """Run a shell script in a fresh session bus, with a home of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBUS_")}
    environment |= {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_RUNTIME_DIR": str(home),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring",
    }
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    return subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", script],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_secret_service_opens_a_key_store(tmp_path):
    """
    The entry that ``keyring set`` made opens it; an entry that is missing, and a keyring that is locked,
    are errors that say so and end.
    """
    store = tmp_path / "root.keys"
    create_store(store, RootSeed(bytes(32)), ByPassphrase("correct horse"), entropy=SystemEntropy())
    source = "--as words --to - --passphrase-source keyring:kontinuum"
    (tmp_path / "data" / "keyrings").mkdir(parents=True)

    run = in_session(
        tmp_path,
        UNLOCK + f"printf 'correct horse' | {sys.executable} -m keyring set kontinuum root && "
        f"{PROGRAM} keys backup {store} {source}/root; echo $?; "
        f"{PROGRAM} keys backup {store} {source}/none; echo $?",
    )
    lines = run.stdout.splitlines()
    assert (lines[0].split()[:2], lines[1:]) == (["abandon", "abandon"], ["0", "2"]), run
    assert "keyring set kontinuum none" in run.stderr

    locked = in_session(tmp_path, f"{PROGRAM} keys backup {store} {source}/root; echo $?")
    assert locked.stdout == "2\n", locked
    assert "locked" in locked.stderr or "cannot be asked" in locked.stderr
    assert "correct horse" not in run.stderr + locked.stderr
