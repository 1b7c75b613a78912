"""Contract: `babeldraw ... | head` ends quietly when `head` has seen enough."""

import os
import subprocess
import sys

from babeldraw.cli import main


def test_a_reader_that_has_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    code = (
        "import sys; from babeldraw.cli import main; sys.exit(main.main(['data', 'inspect', 'x']))"
    )
    patched = f"""
import sys
from babeldraw.cli import data, main
def run(args):
    print("line", flush=True)
    return 0
data.run = run
{code}
"""
    with os.fdopen(write, "w") as unread:
        done = subprocess.run(
            [sys.executable, "-c", patched], stdout=unread, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == main.EXIT_UNREAD and "Traceback" not in done.stderr
