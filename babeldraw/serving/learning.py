"""The process of a training that a server has begun: `babeldraw`, behind it and never without it.

    python -m babeldraw.serving.learning finetune --from RUN ...

It has the lowest priority, and ends as on SIGTERM when its input does: with the server, however
that ends.
"""

import os
import signal
import sys
import threading

from babeldraw.cli.main import run_process

POLITE = 19
"""The lowest priority of Unix."""


def main() -> None:
    """Runs what stands on the command line."""
    os.nice(POLITE)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    run_process()


def _end_with_the_server() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
