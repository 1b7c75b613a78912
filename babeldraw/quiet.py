"""What native libraries write to the terminal while they start, kept off it."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TextIO

from babeldraw.errors import UserError


@contextlib.contextmanager
def hidden_stderr() -> Iterator[TextIO]:
    """Keeps what native libraries write to the terminal off it, and gives the terminal.

    TensorFlow, JAX and libtpu report at length that there is no accelerator here. Where the
    process dies of an error that is not one of ours, what they wrote is shown after all.
    """
    with tempfile.TemporaryFile() as hidden:
        terminal = os.dup(2)
        sys.stderr.flush()
        os.dup2(hidden.fileno(), 2)
        try:
            with os.fdopen(os.dup(terminal), "w") as stream:
                yield stream
        except (Exception, KeyboardInterrupt) as error:
            if not isinstance(error, UserError | KeyboardInterrupt):
                hidden.seek(0)
                os.write(terminal, hidden.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
