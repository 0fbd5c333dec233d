"""Run the real program ``kontinuum`` and whole nodes as processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = [sys.executable, "-m", "kontinuum.cli.main"]

WAIT_S = 30.0
"""Seconds after which a process that should have done something is called stuck."""


def environment(home):
    """Return an environment without anything of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KONTINUUM_", "XDG_"))}
    return {
        **kept,
        "HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "KONTINUUM_POW_BITS": "4",
        "KONTINUUM_NETWORK": "t",
    }


def run_program(home, *arguments, timeout=WAIT_S, **options):
    """Run one command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        env=environment(home),
        cwd=home,
        capture_output=True,
        timeout=timeout,
        check=False,
        **options,
    )


def run_json(home, *arguments, **options):
    """Run one command with ``--json``; return the exit code and its last object."""
    done = run_program(home, *arguments, "--json", **options)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, json.loads(done.stdout.decode().splitlines()[-1])


def wait_until(condition, what, seconds=WAIT_S):
    """Wait until something outside of this process is so."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return value


RUNNING = []
"""Commands that a test has started; those still running at its end are killed."""


def end_programs():
    """Kill what a test has left running."""
    while RUNNING:
        RUNNING.pop().kill()


class Program:
    """A command that runs on beside the test; its output is read line by line."""

    def __init__(self, home, *arguments, **options):
        RUNNING.append(self)
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            env=environment(home),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def json_line(self):
        """Return the next object that it writes."""
        line = self.process.stdout.readline()
        if not line:
            _, _, errors = self.kill()
            raise AssertionError(errors.decode())
        return json.loads(line)

    def end(self, number=signal.SIGTERM):
        """Send a signal and wait for the end; return exit code, output and errors."""
        if self in RUNNING:
            RUNNING.remove(self)
        if self.process.stdout.closed:
            return self.process.returncode, b"", b""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, output, errors

    def kill(self):
        """End it as a power cut would."""
        return self.end(signal.SIGKILL)


class NodeProcess:
    """A node of its own in ``home/name``."""

    def __init__(self, home, name):
        self.home, self.directory = home, Path(home) / name
        self.start()

    def start(self):
        """Start it, again if need be, with the same identity."""
        self.program = Program(
            self.home, "node", "run", "--dir", self.directory, "--listen", "127.0.0.1:0", "--json"
        )
        RUNNING.remove(self.program)  # A node may outlive one test; its fixture ends it.
        ready = self.program.json_line()
        self.peer_id, self.contact, self.ready = ready["peer_id"], ready["contact"], ready

    def kill(self):
        """End it as a power cut would."""
        self.program.kill()

    def stop(self):
        """End it in order."""
        return self.program.end()
