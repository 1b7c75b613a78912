"""This computer: real processes that find each other by `jax.distributed`, on CPU devices.

For rehearsals: what a run on many hosts does, it does here too.
"""

import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from babeldraw.errors import UserError
from launch.babysitter import Outcome, describe_exit
from launch.exit_codes import INTERRUPTED, SAVED
from launch.job import Job, repository_root

SUMMARY = "processes on this computer"

GRACE_SECONDS = 30
"""From the end of one process to that of all: they tell each other, and may save."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--num_processes", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--devices_per_process", type=int, default=1, metavar="N", help="CPU devices; default: 1"
    )


def commands(
    job: Job, args: argparse.Namespace, port: int
) -> list[tuple[dict[str, str], list[str]]]:
    """Environment variables to add, and the command line, of each process."""
    if min(args.num_processes, args.devices_per_process) < 1:
        raise UserError("--num_processes and --devices_per_process must be at least 1")
    flags = [
        os.environ.get("XLA_FLAGS", ""),
        f"--xla_force_host_platform_device_count={args.devices_per_process}",
    ]
    environment = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": " ".join(flags).strip(),
        "PYTHONUNBUFFERED": "1",
        **job.environment,
    }
    if args.num_processes > 1:
        environment["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"
    command = [sys.executable, "-m", "babeldraw.cli.main", *job.arguments]
    cluster = [f"--coordinator_address=localhost:{port}", f"--num_processes={args.num_processes}"]
    return [
        (environment, command)
        if args.num_processes == 1
        else (environment, [*command, *cluster, f"--process_id={index}"])
        for index in range(args.num_processes)
    ]


def show(job: Job, args: argparse.Namespace) -> str:
    """All command lines, with a port in place of the free one that a run takes."""
    lines = []
    for environment, argv in commands(job, args, port=8476):
        words = ["env", *(f"{name}={value}" for name, value in environment.items()), *argv]
        lines.append(shlex.join(["python" if word == sys.executable else word for word in words]))
    return " &\n".join(lines) + "\n"


def run(job: Job, args: argparse.Namespace) -> Outcome:
    """Starts all processes, prints what process 0 says, and waits for their end.

    Where one fails, the others get `GRACE_SECONDS` to notice and are then killed. What each of them
    says stays in runs/launch/NAME/process-I.log until the next start.
    """
    logs = repository_root() / "runs" / "launch" / job.name
    logs.mkdir(parents=True, exist_ok=True)
    started = [
        _start(environment, argv, logs / f"process-{index}.log", echo=index == 0)
        for index, (environment, argv) in enumerate(commands(job, args, _free_port()))
    ]
    processes = [process for process, _ in started]

    stopped: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        stopped.append(number)
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {
            number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)
        }
    try:
        first = _first_to_fail(processes)
        codes = _wait_for_all(processes)
    finally:
        for process in processes:
            process.kill()
        for number, handler in previous.items():
            signal.signal(number, handler)
        for _, thread in started:
            if thread is not None:
                thread.join()
    if first is None:
        return Outcome(0, "all processes ended well")
    code = codes[first]
    if code in (SAVED, -signal.SIGINT, INTERRUPTED):
        code = SAVED if code == SAVED else INTERRUPTED
        return Outcome(code, describe_exit(code), final=bool(stopped))
    who = f"process {first} of {len(processes)}"
    reason = _last_error(logs / f"process-{first}.log") if code > 0 else ""
    reason = describe_exit(code, who) + reason
    return Outcome(code if code > 0 else 128 - code, reason, final=bool(stopped))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    return port


def _start(
    environment: Mapping[str, str], argv: Sequence[str], log: Path, echo: bool
) -> tuple[subprocess.Popen[bytes], threading.Thread | None]:
    file = log.open("wb")
    process = subprocess.Popen(
        argv,
        cwd=repository_root(),
        env=os.environ | environment,
        stdout=subprocess.PIPE if echo else file,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches it through us alone
    )
    if not echo:
        file.close()
        return process, None
    assert process.stdout is not None
    thread = threading.Thread(target=_copy, args=[process.stdout, file])
    thread.start()
    return process, thread


def _copy(source: IO[bytes], file: IO[bytes]) -> None:
    with file, source:
        for line in source:
            file.write(line)
            file.flush()
            sys.stdout.buffer.write(line)
            sys.stdout.flush()


def _first_to_fail(processes: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Waits until one fails or all have ended well; the index of the failed one."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [index for index, code in enumerate(codes) if code]
        if failed:
            # Killed ones first: what the others say is a consequence.
            return min(failed, key=lambda index: ((codes[index] or 0) > 0, index))
        if None not in codes:
            return None
        time.sleep(0.1)


def _wait_for_all(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    deadline = time.monotonic() + GRACE_SECONDS
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(max(0.0, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.kill()
            codes.append(process.wait())
    return codes


def _last_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("babeldraw: error: ")]
    return f" ({errors[-1].removeprefix('babeldraw: error: ')})" if errors else ""
