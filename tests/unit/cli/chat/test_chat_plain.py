"""The chat as plain lines: where its lines come from."""

import asyncio
from pathlib import Path

from kontinuum.cli.chat.plain import run_plain


class Listener:
    """Takes down what was entered."""

    def __init__(self):
        self.lines = []

    async def enter(self, line):
        """Go on."""
        self.lines.append(line)
        return True


def test_lines_of_a_file(tmp_path, monkeypatch):
    """
    A file as standard input, or /dev/null, is read to its end like a pipe.
    """
    script = tmp_path / "script"
    script.write_text("hello\n/me waves\n")
    for path, lines in ((script, ["hello", "/me waves"]), ("/dev/null", [])):
        listener = Listener()
        with Path(path).open(encoding="utf-8") as given:
            monkeypatch.setattr("sys.stdin", given)
            asyncio.run(asyncio.wait_for(run_plain(listener), 10))
        assert listener.lines == lines
