"""One attempt on the workers of a slice that are reached by ssh: started, watched, and asked.

A connection that is lost is not the end of a job: what the workers say of it counts.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from launch.babysitter import Outcome, describe_exit
from launch.commands import Command, execute_all
from launch.exit_codes import SAVED

ASK_SECONDS = 30
MAX_ASKS = 20
"""How often workers that do not answer, or disagree, are asked again before they are given up."""

_GONE = {"SUSPENDING", "SUSPENDED", "FAILED", "DELETING"}
_SSH_FAILED = 255

Steps = Mapping[str, Sequence[Command]]


def ask(commands: Sequence[Command]) -> tuple[int, str]:
    """Exit code and output of commands that say how the job is; the first failure ends them."""
    said = ""
    for command in commands:
        answer = subprocess.run(
            command.argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
        )
        said += answer.stdout
        if answer.returncode != 0:
            return answer.returncode, said
    return 0, said


def attempt(
    steps: Steps,
    hosts: int,
    *,
    execute: Callable[[Sequence[Command]], int] = execute_all,
    ask: Callable[[Sequence[Command]], tuple[int, str]] = ask,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Makes what is missing, starts, and watches; in the end no worker is left running.

    A job that runs there already is watched, and not started again.

    Args:
      steps: name -> commands, as `tpu_vm.steps` gives them.
      hosts: how many workers there are.
      execute: runs commands on this terminal.
      ask: runs commands for what they print.
      sleep: waits for as many seconds.
    """

    def do(name: str) -> Outcome | None:
        code = execute(steps[name])
        return Outcome(code, describe_exit(code, f"the step {name!r}")) if code else None

    outcome = do("create")
    if outcome is not None:
        return outcome
    answered, said = ask(steps["status"])
    if answered == 0 and _running(said) == hosts:
        _say("a job runs there already: watching it (--do=stop ends it)")
    else:
        outcome = do("install") or do("start")
    outcome = outcome or _watch(steps, hosts, execute, ask, sleep)
    if outcome.exit_code != 0:
        execute(steps["stop"])  # fails where the slice is gone, which is as well
    return outcome


def _watch(
    steps: Steps,
    hosts: int,
    execute: Callable[[Sequence[Command]], int],
    ask: Callable[[Sequence[Command]], tuple[int, str]],
    sleep: Callable[[float], None],
) -> Outcome:
    """Prints the log to the job's end; asks the workers wherever that ends before it."""
    asks = 0
    while True:
        code = execute(steps["logs"])
        if code in (0, SAVED):
            return Outcome(code, describe_exit(code) if code else "the job ended well")
        while True:
            answered, said = ask(steps["status"])
            if gone := _GONE & set(said.split()):
                return Outcome(code, f"the slice is {gone.pop()}")
            running = _running(said)
            if answered == 0 and running == hosts:
                _say(f"the log was lost (exit code {code}), and the job runs on: watching it again")
                asks = 0
                sleep(ASK_SECONDS)
                break
            if answered == 0 and running == 0:
                return _ended(code, said)
            asks += 1
            if asks == MAX_ASKS:
                why = "workers cannot be reached" if answered else "some workers have stopped"
                return Outcome(code, f"{why}: {running} of {hosts} say that they run")
            sleep(ASK_SECONDS)


def _running(said: str) -> int:
    return len(re.findall(r"^\S+: running, ", said, re.MULTILINE))


def _ended(code: int, said: str) -> Outcome:
    """The job's own exit code where ssh gave another: that of the first worker that failed."""
    if code == _SSH_FAILED:
        codes = [int(found) for found in re.findall(r"last exit code (\d+)", said)]
        if codes:
            code = next((found for found in codes if found), 0)
    return Outcome(code, describe_exit(code) if code else "the job ended well")


def _say(text: str) -> None:
    print(f"launch: {text}", file=sys.stderr, flush=True)
