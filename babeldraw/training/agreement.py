"""One decision for all processes of a run."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Bool

from babeldraw.errors import UserError

_BYTES = 1024


def first_fault(fault: str | None) -> str | None:
    """The sentence of the first process that has one; None where none has.

    All processes have to call it. Where one of them could not go on, the others would otherwise
    wait for it in the next collective.
    """
    if jax.process_count() == 1:
        return fault
    from jax.experimental import multihost_utils

    text = (fault or "").encode()[:_BYTES]
    padded = np.frombuffer(text.ljust(_BYTES, b"\0"), np.uint8)
    for row in np.asarray(multihost_utils.process_allgather(padded)):
        sentence: str = row.tobytes().rstrip(b"\0").decode(errors="ignore")
        if sentence:
            return sentence
    return None


def by_first(action: Callable[[], None]) -> None:
    """Process 0 acts, and all hear of it where it cannot; all processes have to call it.

    Raises:
      UserError: of the action, in all processes.
    """
    fault = None
    if jax.process_index() == 0:
        try:
            action()
        except UserError as error:
            fault = str(error)
    fault = first_fault(fault)
    if fault is not None:
        raise UserError(fault)


def of_first(number: int) -> int:
    """What process 0 has called it with; all processes have to call it."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def mask_of_first(mask: Bool[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    """As `of_first`, of an array that has the same shape in all of them."""
    if jax.process_count() == 1:
        return mask
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(mask)).astype(bool)


def wait_for_all(name: str) -> None:
    """Returns when every process has called it; `name` is for error messages."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)
