"""The process of a training that a server has begun: `babeldraw`, behind it and never without it.

    python -m babeldraw.serving.learning finetune --from RUN ...

It has the lowest priority, and ends as on SIGTERM when its input does: with the server, however
that ends.
"""

import os
import runpy
import signal
import sys
import threading

POLITE = 19
"""The lowest priority of Unix."""


def main() -> None:
    """Runs what stands on the command line."""
    os.nice(POLITE)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    runpy.run_module("babeldraw.cli.main", run_name="__main__", alter_sys=True)


def _end_with_the_server() -> None:
    while os.read(sys.stdin.fileno(), 2**12):  # unbuffered: a lock on stdin would outlast the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
