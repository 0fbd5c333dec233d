"""The doctor: every check tells what is the case, and every trouble has a repair."""

import errno
import os
import resource
import socket
import sys
from types import SimpleNamespace

import pytest

from kontinuum.node import doctor
from kontinuum.node.config import NodeConfig
from kontinuum.node.data_dir import DataDir
from kontinuum.node.doctor import DISK_FREE_BYTES, FILES_MIN, UDP_BUFFER_BYTES, Check, examine


@pytest.fixture
def path(tmp_path):
    """A data directory with a key."""
    with DataDir.open(tmp_path / "node", create=True) as directory:
        directory.create_key()
    return tmp_path / "node"


def bound(config_listen="127.0.0.1"):
    """A UDP socket on a free port, and its port."""
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind((config_listen, 0))
    return taken, taken.getsockname()[1]


def test_a_sound_node_has_nothing_to_repair(path):
    """On a machine that can run the tests no check fails, and none that is ok asks for anything."""
    checks = examine(NodeConfig(data_dir=path, listen="127.0.0.1:0"))

    assert [check for check in checks if check.status == "fail"] == []
    assert all(check.fix == "" for check in checks if check.status == "ok")
    assert len({check.name for check in checks}) == len(checks) == 12


def test_without_a_data_directory_its_checks_are_left_out():
    """An in-memory node has no files to look at."""
    names = {check.name for check in examine(NodeConfig(listen="127.0.0.1:0"))}

    assert not names & {"data directory", "key", "disk space"}


def test_a_port_in_use_fails_with_a_way_out():
    """Another program's port: stop it or take another one."""
    taken, port = bound()
    with taken:
        check = doctor.check_udp_port(NodeConfig(listen=f"127.0.0.1:{port}"))

    assert check.status == "fail"
    assert "Address already in use" in check.found
    assert "another listen address" in check.fix


def test_the_port_of_our_own_running_node_is_in_order(path):
    """A doctor who is asked while the node runs does not call it a trouble."""
    taken, port = bound()
    with taken, DataDir.open(path):
        check = doctor.check_udp_port(NodeConfig(listen=f"127.0.0.1:{port}", data_dir=path))

    assert check == Check(
        "UDP port", "ok", f"127.0.0.1:{port} is in use; the node runs (process {os.getpid()})"
    )


def test_an_address_of_another_machine_fails():
    """The message says whose addresses are possible."""
    check = doctor.check_udp_port(NodeConfig(listen="203.0.113.7:4433"))

    assert (check.status, "address of this machine" in check.fix) == ("fail", True)


def test_a_port_that_needs_root_fails_with_the_reason(monkeypatch):
    """EACCES has its own repair."""
    monkeypatch.setattr(doctor, "_bind_problem", lambda *_, **__: (errno.EACCES, "Permission denied"))

    assert "1024" in doctor.check_udp_port(NodeConfig(listen="127.0.0.1:1")).fix


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (str(UDP_BUFFER_BYTES), "ok"),
        (str(UDP_BUFFER_BYTES - 1), "warn"),
        ("212992\n", "warn"),
        ("nonsense", "warn"),
        (None, "warn"),
    ],
)
def test_buffers_below_the_wanted_size_come_with_the_command(tmp_path, content, status):
    """At the size it is fine; below it the sysctl is given; where it cannot be read nothing is claimed."""
    limit = tmp_path / "rmem_max"
    if content is not None:
        limit.write_text(content)
    check = doctor.check_udp_buffer("receive", limit)

    assert check.status == status
    if status == "warn" and content and content[0].isdigit():
        assert check.fix == f"sudo sysctl -w net.core.rmem_max={UDP_BUFFER_BYTES}"


def test_a_kernel_without_offload_is_a_warning(monkeypatch):
    """The node runs, only slower; what is missing is named."""
    monkeypatch.setattr(doctor, "_has_option", doctor.UDP_SEGMENT.__eq__)

    check = doctor.check_segmentation()
    assert (check.status, "without GRO" in check.found) == ("warn", True)


def test_an_unknown_socket_option_is_seen_as_missing():
    """The probe tells a kernel's options apart from none."""
    assert not doctor._has_option(0x7FFF)


@pytest.mark.parametrize(
    ("year", "synchronised", "status"),
    [(1970, True, "fail"), (2026, False, "warn"), (2026, True, "ok"), (2026, None, "ok")],
)
def test_the_clock_is_judged(monkeypatch, year, synchronised, status):
    """A clock of 1970 fails, one that nothing keeps right is a warning, an unknown one is not."""
    monkeypatch.setattr(doctor.time, "gmtime", lambda: SimpleNamespace(tm_year=year))
    monkeypatch.setattr(doctor.time, "strftime", lambda *_: f"{year}-01-01")
    monkeypatch.setattr(doctor, "_clock_synchronised", lambda: synchronised)

    assert doctor.check_clock().status == status


def test_the_kernel_answers_about_its_clock():
    """On Linux the question is answered (whatever the answer), elsewhere it is not known."""
    assert doctor._clock_synchronised() in ((True, False) if sys.platform == "linux" else (None,))


@pytest.mark.parametrize(
    ("soft", "status"), [(FILES_MIN, "ok"), (FILES_MIN - 1, "warn"), (resource.RLIM_INFINITY, "ok")]
)
def test_file_descriptors(monkeypatch, soft, status):
    """The limit holds exactly."""
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))

    assert doctor.check_files().status == status


def test_a_directory_open_to_others_is_found_with_the_command(path):
    """The same words as when the node starts."""
    path.chmod(0o755)
    check = doctor.check_data_dir(path)

    assert (check.status, check.fix) == ("fail", f"run: chmod 700 {path}")


def test_a_file_that_others_may_change_is_found(path):
    """A configuration that others may write is theirs."""
    (path / "node.toml").write_text("")
    (path / "node.toml").chmod(0o666)

    assert doctor.check_data_dir(path).fix == f"chmod 600 {path / 'node.toml'}"


def test_a_missing_directory_and_a_missing_key_say_how_to_begin(tmp_path, path):
    """Both point to ``kontinuum node init``."""
    assert "node init" in doctor.check_data_dir(tmp_path / "none").fix
    (path / "identity.key").unlink()
    assert "node init" in doctor.check_key(path).fix


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda key: key.chmod(0o640), "chmod 600"),
        (lambda key: key.write_bytes(b""), "empty"),
        (lambda key: key.write_bytes(key.read_bytes()[:40]), ""),
    ],
)
def test_a_key_that_cannot_be_used_is_found(path, change, words):
    """The leaf's own words arrive, and no secret among them."""
    key = path / "identity.key"
    secret = key.read_text().splitlines()[1]
    change(key)
    check = doctor.check_key(path)

    assert check.status == "fail"
    assert words in f"{check.found} {check.fix}"
    assert secret not in f"{check}"


def test_a_protected_key_is_in_order_and_nobody_is_asked(tmp_path):
    """A doctor needs no passphrase."""
    with DataDir.open(tmp_path / "node", create=True) as directory:
        directory.create_key(passphrase="horse")

    assert doctor.check_key(tmp_path / "node").status == "ok"


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (DISK_FREE_BYTES, "ok"),
        (DISK_FREE_BYTES - 1, "warn"),
        (1024 * 1024, "warn"),
        (1024 * 1024 - 1, "fail"),
    ],
)
def test_disk_space(monkeypatch, tmp_path, free, status):
    """Little room is a warning, none a failure; a directory that is not there yet is judged by its parent."""
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)

    assert doctor.check_disk(tmp_path / "not" / "yet").status == status


def test_a_native_engine_that_does_not_load_fails_with_the_command(monkeypatch):
    """The doctor works where the node does not."""
    monkeypatch.setitem(sys.modules, "kontinuum._native", None)

    assert doctor.check_native().fix == "run: make setup"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (4 * 2**20, "4 MiB"), (2**50, "1024 TiB")],
)
def test_sizes_are_for_people(size, text):
    """Binary units."""
    assert doctor._size(size) == text
