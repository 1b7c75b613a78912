"""Starts a job again after a preemption or a dead worker, and knows when to stop.

python -m launch.babysitter --model_dir=runs/a -- babeldraw train ...
"""

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from babeldraw.errors import UserError
from babeldraw.training.keeping.steps import t5x_steps, whole_steps
from launch.exit_codes import INTERRUPTED, SAVED

MAX_RESTARTS = 50
SAME_FAILURES = 3
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one attempt ended; a final one because the babysitter itself was told to stop."""

    exit_code: int
    reason: str
    final: bool = False


def babysit(
    attempt: Callable[[], Outcome],
    *,
    progress: Callable[[], int | None],
    max_restarts: int = MAX_RESTARTS,
    first_pause: float = FIRST_PAUSE,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Attempts until one succeeds, and returns the last one's exit code.

    A failure is the same as the one before it where exit code and reason are, and no checkpoint
    was written in between. The pause before a restart doubles with each such failure; after a
    preemption, which is none, there is no pause.

    Args:
      attempt: runs the job to its end.
      progress: the step of its latest checkpoint, None where there is none; UserError where it
        cannot be known.
      max_restarts: how often it is started again at most.
      first_pause: in seconds.
      sleep: waits for as many seconds.
    """
    before: tuple[int, str, int | None] | None = None
    same = 0
    for restart in range(max_restarts + 1):
        outcome = attempt()
        if outcome.final or outcome.exit_code in (0, INTERRUPTED):
            return outcome.exit_code
        try:
            step = progress()
            where = "from the start" if step is None else f"from the checkpoint of step {step}"
        except UserError as error:
            step, where = None, f"from its latest checkpoint, whichever that is ({error})"
        pause = 0.0
        if outcome.exit_code == SAVED:
            before, same = None, 0
        else:
            failure = (outcome.exit_code, outcome.reason, step)
            same = same + 1 if failure == before else 1
            before = failure
            if same == SAME_FAILURES:
                _say(f"stopped: the job failed {same} times in the same way ({outcome.reason})")
                return outcome.exit_code
            pause = min(LONGEST_PAUSE, first_pause * 2 ** (same - 1))
        if restart == max_restarts:
            _say(f"stopped after {max_restarts} restarts, the last because {outcome.reason}")
            return outcome.exit_code
        _say(
            f"{outcome.reason}; restart {restart + 1} of at most {max_restarts} {where}"
            + (f" in {pause:.0f} s" if pause else "")
        )
        sleep(pause)
    raise AssertionError("unreachable")


def _say(text: str) -> None:
    print(f"babysitter: {text}", file=sys.stderr, flush=True)


def describe_exit(code: int, who: str = "the job") -> str:
    """In words; negative codes are signals, as `subprocess` has them."""
    if code < 0:
        return f"{who} was killed by {signal.Signals(-code).name}"
    if code == SAVED:
        return f"{who} was asked to stop and has saved a checkpoint"
    return f"{who} ended with exit code {code}"


def latest_checkpoint(model_dir: str) -> int | None:
    """The step of the latest whole checkpoint, ours or T5X's, in a folder; None: there is none.

    Raises:
      UserError: the directory cannot be listed, such as a bucket that this machine may not read.
    """
    return max([*whole_steps(model_dir), *t5x_steps(model_dir)], default=None)


def run_command(command: Sequence[str]) -> Outcome:
    """Runs a command line. SIGTERM is handed on to it, and then it is not started again."""
    process = subprocess.Popen(command)
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        process.terminate()

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal has sent it to both
        return Outcome(INTERRUPTED, "it was interrupted")
    finally:
        signal.signal(signal.SIGTERM, previous)
    return Outcome(code, describe_exit(code), final=bool(stopped))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run a command until it succeeds.")
    parser.add_argument("--max_restarts", type=int, default=MAX_RESTARTS)
    parser.add_argument("--model_dir", required=True, help="run directory, to see progress")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    args = parser.parse_args()
    code = babysit(
        lambda: run_command(args.command),
        progress=lambda: latest_checkpoint(args.model_dir),
        max_restarts=args.max_restarts,
    )
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
