"""The command on a disk of 3 MiB: ``unshare -rm python full_disk_program.py DIRECTORY LARGE_FILE``.

Prints the exit codes as one JSON line, or ``null`` where no file system can be mounted.
"""

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from kontinuum.cli.main import run


def main(directory, large):
    """Fill the disk, look at what is there, make room, go on."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", directory], check=False)
    if mounted.returncode:
        return None
    os.chdir(directory)
    said, put = StringIO(), ["vault", "put", large, "--dir", "node"]
    with redirect_stdout(StringIO()), redirect_stderr(said):
        codes = {
            "init": run(["node", "init", "--dir", "node"]),
            "first": run(put),
            "second": run(put),
            "check": run(["vault", "check", "--dir", "node"]),
            "get": run(["vault", "get", "large", "--to", "copy", "--dir", "node"]),
            "delete": run(["vault", "delete", "large", "--dir", "node"]),
            "third": run(put),
        }
    return codes | {
        "said": said.getvalue(),
        "left": [path.name for path in Path("node/vault/incoming").iterdir()],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201 -- the program's result
