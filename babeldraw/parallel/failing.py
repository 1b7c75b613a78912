"""Processes that stop together: one that fails tells the others why, and none is left hanging.

A process that waits in a collective operation for one that has failed would wait for ever. So the
first failure is written into the key-value store of the coordination service, where a thread of
every other process waits for it.
"""

import atexit
import contextlib
import faulthandler
import json
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from babeldraw.errors import UserError
from babeldraw.parallel import processes

EXIT_USER_ERROR = 2
EXIT_CRASHED = 1
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: told to stop, saved; the same command goes on
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_FAILURE = "babeldraw/failure"
_LEAVE_SECONDS = 20
_END_SECONDS = 30
_END_TOGETHER_SECONDS = 330  # JAX gives the last process 300 s to come.
_C_SECONDS = 5
_STDERR = 2
_SERVE_SECONDS = 2  # Process 0 serves the store: the others have to hear of it first.
_POLL_MILLISECONDS = 1000


def require_agreement(facts: Mapping[str, str], seconds: int = 30) -> None:
    """Compares what must be the same in all processes, such as versions of packages.

    Does nothing in a run of one process.

    Args:
      facts: name -> value of this process.
      seconds: how long to wait for the others' facts.

    Raises:
      UserError: process 0 has others; names the first difference.
    """
    client = processes.client()
    if client is None:
        return
    index, count = processes.index_and_count()
    mine = {**facts, "num_processes": str(count), "host": socket.gethostname()}
    if index == 0:
        client.key_value_set("babeldraw/facts", json.dumps(mine))
    theirs = json.loads(client.blocking_key_value_get("babeldraw/facts", 1000 * seconds))
    for name in mine.keys() - {"host"}:
        if mine[name] != theirs.get(name):
            raise UserError(
                f"process {index} of {count} on {mine['host']} has {name} {mine[name]} and process "
                f"0 on {theirs['host']} has {theirs.get(name)}: make it the same on every host"
            )
    # Nobody goes on before everybody has agreed.
    client.wait_at_barrier("babeldraw/agreed", 1000 * seconds)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Within it, a failure of any process ends all of them within seconds.

    The process that fails leaves with its own exception; all others leave at once with the exit
    code of the first failure, and process 0 prints what it was. Contexts may be nested: the inner
    one reports before anything that the outer one holds is closed, which may take long.
    """
    client = processes.client()
    if client is None:
        yield
        return
    with _watched(client):
        try:
            yield
        except Exception as error:
            _report(client, error)
            raise


def _describe(error: Exception) -> str:
    if isinstance(error, UserError):
        return " ".join(str(error).split("\n  In call to configurable")[0].split())
    return traceback.format_exception_only(error)[-1].strip()


def _report(client: Any, error: Exception) -> None:
    """Tells the others, and makes sure that this process leaves soon."""
    if getattr(error, "_babeldraw_reported", False):
        return
    error._babeldraw_reported = True  # type: ignore[attr-defined]
    code = EXIT_USER_ERROR if isinstance(error, UserError) else EXIT_CRASHED
    index, _ = processes.index_and_count()
    failure = {"process": index, "host": socket.gethostname(), "exit": code}
    with contextlib.suppress(Exception):  # another was first, or the service is gone
        client.key_value_set(_FAILURE, json.dumps(failure | {"reason": _describe(error)}))
        if index == 0:
            time.sleep(_SERVE_SECONDS)
    # Closing checkpoints and JAX's own leave-taking wait for processes that are gone.
    leave_within(_LEAVE_SECONDS, code)
    atexit.register(leave, code)


_is_watching = False


@contextlib.contextmanager
def _watched(client: Any) -> Iterator[None]:
    """Has a thread wait for others' failures; in a nested context the outer one's goes on."""
    global _is_watching
    if _is_watching:
        yield
        return
    _is_watching, end = True, threading.Event()
    thread = threading.Thread(target=_wait_for_failure, args=[client, end], daemon=True)
    thread.start()
    try:
        yield
    finally:
        # It must not be inside the client when the interpreter ends, which would abort.
        end.set()
        thread.join()
        _is_watching = False


def _wait_for_failure(client: Any, end: threading.Event) -> None:
    index, count = processes.index_and_count()
    while True:
        if end.is_set():
            return
        try:
            failure = json.loads(client.blocking_key_value_get(_FAILURE, _POLL_MILLISECONDS))
            break
        except Exception as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                return  # the service has ended, and JAX says so itself
    if failure["process"] == index:
        return
    if index == 0:
        print(
            f"babeldraw: error: process {failure['process']} of {count} on {failure['host']} "
            f"stopped: {failure['reason']}",
            file=sys.stderr,
        )
        time.sleep(_SERVE_SECONDS)
    leave(failure["exit"])


def leave(code: int) -> NoReturn:
    """Ends the process now. What was printed is printed; nothing else is closed or freed.

    Python's own end waits for threads, and frees what TensorFlow and JAX hold in whatever order:
    an iterator of tf.data with Python functions in it then waits for ever for the interpreter lock,
    and threads that still compute end in a segmentation fault.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, or a pipe that nobody reads
            stream.flush()
    os._exit(code)


def leave_within(seconds: float, code: int, saying: str = "") -> Callable[[], None]:
    """Has the process end after so many seconds, if it is still there.

    First by a thread of Python. Where that cannot run, because something in C waits with the
    interpreter lock held, faulthandler prints where and ends the process with status 1.

    Args:
      seconds: from now.
      code: its exit code.
      saying: printed then, if anything.

    Returns:
      What calls it off.
    """

    def act() -> None:
        if saying:
            print(saying, file=sys.stderr)
        leave(code)

    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + _C_SECONDS, exit=True, file=_STDERR)

    def cancel() -> None:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()

    return cancel


def end(code: int) -> NoReturn:
    """Ends a process in which nothing failed: takes leave of the others and of what runs at exit.

    Such as JAX's leave-taking from the coordination service, and the last values of a tracker.
    """
    leave_within(_END_TOGETHER_SECONDS if processes.is_joined() else _END_SECONDS, code)
    atexit._run_exitfuncs()
    leave(code)
