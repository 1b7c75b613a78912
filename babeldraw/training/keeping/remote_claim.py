"""The claim of a run directory in an object store, which has no locks: an object with an owner.

Every write says which generation of the object it replaces, so that of two that begin at once the
store refuses one. The owner writes it anew all the time: one that has gone silent is dead, and its
claim is taken over.
"""

import contextlib
import json
import os
import pathlib
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import tensorstore as ts

from babeldraw.errors import UserError
from babeldraw.parallel import failing

OBJECT = "lock"
BEAT_SECONDS = 15.0
DEAD_SECONDS = 50.0
"""Silence of the owner after which it is dead."""

_OLD_SECONDS = 900.0
"""By the clocks of two machines, which may differ: so old a claim is not watched any more."""

_ANSWER_SECONDS = 60.0


@contextlib.contextmanager
def holding(model_dir: str) -> Iterator[None]:
    """Holds the directory until the context is left.

    Stores that TensorStore does not know (it knows gs://, s3:// and file://) cannot be claimed:
    there nothing keeps two runs apart. A run whose claim another has taken over, because it was
    silent for too long, ends at once with exit code 2.

    Raises:
      UserError: another run holds it, or the store cannot be reached or written to.
    """
    try:
        store = ts.KvStore.open(model_dir.rstrip("/") + "/").result(timeout=_ANSWER_SECONDS)
    except ValueError:  # no such kind of store
        yield
        return
    owner = _me()
    try:
        _take(store, owner, model_dir)
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        reason = (str(error) or repr(error)).splitlines()[0][:200]
        raise UserError(
            f"{model_dir} cannot be claimed ({reason}): check the name of the bucket, and that "
            "this machine may read and write it."
        ) from error
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=[store, owner, model_dir, ended], daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
        with contextlib.suppress(Exception):  # it grows old, which is as well
            found = store.read(OBJECT).result(timeout=5)
            if _owner(found).get("run") == owner["run"]:
                store.write(OBJECT, None, if_equal=found.stamp.generation).result(timeout=5)


def _me() -> dict[str, Any]:
    return {
        "run": uuid.uuid4().hex,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "place": _place(),
    }


def _place() -> str:
    """Where a process number means what it means here: one boot of one machine or container."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return uuid.uuid4().hex


def _take(store: ts.KvStore, owner: dict[str, Any], model_dir: str) -> None:
    found = store.read(OBJECT).result(timeout=_ANSWER_SECONDS)
    if found.state == "value" and not _is_dead(_owner(found)):
        found = _watch(store, found, model_dir)
    written = _write(store, owner, found)
    # A store that does not compare generations shows who was last.
    after = store.read(OBJECT).result(timeout=_ANSWER_SECONDS)
    if not written or _owner(after).get("run") != owner["run"]:
        raise _taken(model_dir, _owner(after))


def _watch(
    store: ts.KvStore, found: ts.KvStore.ReadResult, model_dir: str
) -> ts.KvStore.ReadResult:
    """What stands there once the owner has left or is dead.

    Raises:
      UserError: it is alive.
    """
    print(f"waiting {DEAD_SECONDS:.0f} s: is {_name(_owner(found))} alive?", flush=True)
    end = time.monotonic() + DEAD_SECONDS
    while time.monotonic() < end:
        time.sleep(min(2.0, DEAD_SECONDS / 10))
        now = store.read(OBJECT).result(timeout=_ANSWER_SECONDS)
        if now.state != "value":
            return now
        if now.stamp.generation != found.stamp.generation:
            raise _taken(model_dir, _owner(now))
    return found


def _write(store: ts.KvStore, owner: dict[str, Any], instead: ts.KvStore.ReadResult) -> bool:
    """Whether it was written: nobody else has written since `instead` was read."""
    text = json.dumps(owner | {"at": time.time()})
    stamp = store.write(OBJECT, text, if_equal=instead.stamp.generation)
    return bool(stamp.result(timeout=_ANSWER_SECONDS).generation)


def _beat(store: ts.KvStore, owner: dict[str, Any], model_dir: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with contextlib.suppress(Exception):  # the network; the next time
            found = store.read(OBJECT).result(timeout=_ANSWER_SECONDS)
            is_other = found.state == "value" and _owner(found).get("run") != owner["run"]
            if is_other and not ended.is_set():
                print(
                    f"babeldraw: error: {model_dir} has been taken over by {_name(_owner(found))}, "
                    "because this run was silent for too long: this one ends, so that they do not "
                    "write together",
                    file=sys.stderr,
                )
                failing.leave(failing.EXIT_USER_ERROR)
            _write(store, owner, found)


def _owner(found: ts.KvStore.ReadResult) -> dict[str, Any]:
    try:
        owner = json.loads(found.value)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_dead(owner: dict[str, Any]) -> bool:
    """Whether that is known at once; False: it may live."""
    if time.time() - owner.get("at", 0) > _OLD_SECONDS:
        return True
    if owner.get("place") != _place():
        return False
    try:
        os.kill(int(owner["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, KeyError, ValueError):
        return False
    return False


def _name(owner: dict[str, Any]) -> str:
    return f"process {owner.get('process', '?')} on {owner.get('host', 'another machine')}"


def _taken(model_dir: str, owner: dict[str, Any]) -> UserError:
    return UserError(
        f"{model_dir} is being written to by {_name(owner)}: wait for it, stop it, or give another "
        "model_dir."
    )
