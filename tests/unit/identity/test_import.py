import subprocess
import sys


def test_importing_the_pure_rooms_loads_nothing_that_reaches_the_world():
    """
    No network, no event loop, no slow library comes along with identities.
    """
    program = (
        "import sys, kontinuum.identity, kontinuum.wire;"
        "print(sorted({'asyncio', 'socket', 'ssl', 'cryptography', 'cbor2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout.strip() == b"[]"
