"""`babeldraw serve` under load: `python -m benchmarks.serving_load RUN [--minutes 5]`.

Clients ask on loopback for pictures of a few hundred prompts and seeds, one after another each, and
compare every answer, pixel by pixel, with what `Sampler` draws of it, which is what `babeldraw
sample` writes. Prints pictures a second beside those of `Sampler` in batches, latencies, memory
over time, and what was lost or mixed up; the same of one picture at a time; and what clients see
when the server is told to end, and when it is killed and started again.
"""

import argparse
import base64
import http.client
import io
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
from PIL import Image

SEEDS = 4
"""Pictures of each prompt."""
TURNS = 8
"""So often all of them are drawn, for a median rate."""


class Load:
    """Clients of a server."""

    def __init__(self, port: int, pairs: list[tuple[str, int]], pictures: list[np.ndarray]) -> None:
        self.port = port
        self.seen: Counter[str] = Counter()
        self.seconds: list[float] = []
        self._of = dict(zip(pairs, pictures, strict=True))
        self._next = itertools.cycle(pairs)
        self._lock = threading.Lock()
        self._until = 0.0

    def run(self, clients: int, seconds: float) -> "Load":
        """All of them, as long as that."""
        self._until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self

    def _client(self) -> None:
        # Kept between requests, as OpenAI's clients do.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=130)
        while time.monotonic() < self._until:
            with self._lock:
                pair = next(self._next)
            start = time.monotonic()
            try:
                what = self._ask(connection, pair)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                what = type(error).__name__
                time.sleep(0.2)
            with self._lock:
                self.seen[what] += 1
                if what == "right":
                    self.seconds.append(time.monotonic() - start)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, pair: tuple[str, int]) -> str:
        body = json.dumps({"prompt": pair[0], "seed": pair[1], "cutoff": 0.1})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/images/generations", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            if answer.status == 429:
                time.sleep(float(answer.headers["Retry-After"]))
            return str(answer.status)
        data = base64.b64decode(json.loads(text)["data"][0]["b64_json"])
        same = np.array_equal(np.asarray(Image.open(io.BytesIO(data))), self._of[pair])
        return "right" if same else "WRONG"


class Server:
    """A process of `babeldraw serve`."""

    def __init__(self, run: str, port: int, *arguments: str) -> None:
        start = time.monotonic()
        command = [sys.executable, "-m", "babeldraw.cli.main", "serve", f"--model=model={run}"]
        self._process = subprocess.Popen(
            [*command, f"--port={port}", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "http://" not in line:
            raise SystemExit("the server did not start; its sentence is above")
        self.port = int(line.rpartition(":")[2].strip().strip("/"))
        self.started_in = time.monotonic() - start

    def memory(self) -> float:
        """Resident, in MiB."""
        return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self._process.send_signal(by)
        return self._process.wait(120)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a text-to-image run, or a folder with one inside")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--prompts", type=int, default=64)
    args = parser.parse_args()
    pairs, pictures, rate = _expected(args.run, args.prompts)
    print(f"Sampler in batches of 16: {rate:.1f} pictures/s")
    server = Server(args.run, 0)
    print(f"serve: ready after {server.started_in:.0f} s")
    load = Load(server.port, pairs, pictures)
    memory: list[float] = []
    for _ in _watched(load, args.clients, 60 * args.minutes):
        memory.append(server.memory())
    _tell(f"{args.clients} clients", load, 60 * args.minutes, rate)
    print("memory, MiB:", " ".join(f"{one:.0f}" for one in memory))

    load = Load(server.port, pairs, pictures)
    watched = _watched(load, args.clients, 20)
    next(watched)
    time.sleep(8)
    code = server.end()
    print(f"SIGTERM under load: exit code {code}, answers {dict(load.seen)}")
    server = Server(args.run, server.port)
    print(f"started again in {server.started_in:.0f} s")
    for _ in watched:
        pass

    load = Load(server.port, pairs, pictures)
    watched = _watched(load, args.clients, 60)
    next(watched)
    time.sleep(8)
    server.end(signal.SIGKILL)
    before = load.seen["right"]
    server = Server(args.run, server.port)
    for _ in watched:
        pass
    print(
        f"SIGKILL under load: {before} right before it, {load.seen['right'] - before} after, "
        f"started again in {server.started_in:.0f} s; all answers {dict(load.seen)}"
    )
    server.end()

    server = Server(args.run, 0, "--batch_size=1")
    seconds = min(60.0, 60 * args.minutes)
    load = Load(server.port, pairs, pictures).run(args.clients, seconds)
    _tell(f"{args.clients} clients, one picture at a time", load, seconds, rate)
    server.end()


def _expected(run: str, prompts: int) -> tuple[list[tuple[str, int]], list[np.ndarray], float]:
    """What to ask for, the pictures, and the median rate of drawing batches of 16 of them."""
    import dataclasses

    from babeldraw.cli.support.known_prompts import known_to
    from babeldraw.cli.support.runs import open_run
    from babeldraw.pieces import encode

    opened = open_run(run, None, "sampler")
    sampler = dataclasses.replace(opened.sampler(), cutoff=0.1, batch_size=16)
    known = known_to(opened)
    assert known is not None
    texts = [*known.seen, *known.held_out][:prompts]
    tokens = encode(texts, opened.vocabulary, sampler.model.text_length)
    sampler.generate(tokens[:16])
    drawn: dict[tuple[str, int], Any] = {}
    rates = []
    for turn in range(SEEDS * TURNS):
        start, seed = time.monotonic(), turn % SEEDS
        images = sampler(tokens, seed=seed)[:, 0]
        rates.append(len(texts) / (time.monotonic() - start))
        drawn |= {(text, seed): image for text, image in zip(texts, images, strict=True)}
    return list(drawn), list(drawn.values()), float(np.median(rates))


def _watched(load: Load, clients: int, seconds: float) -> Iterator[None]:
    """While they run, a dozen times and at the end."""
    thread = threading.Thread(target=load.run, args=(clients, seconds))
    thread.start()
    while thread.is_alive():
        yield
        thread.join(seconds / 12)


def _tell(what: str, load: Load, seconds: float, rate: float) -> None:
    times = np.array(load.seconds)
    speed = len(times) / seconds
    print(
        f"{what}: {speed:.1f} pictures/s, {speed / rate:.2f} of Sampler's; p50 "
        f"{np.median(times):.2f} s, p95 {np.quantile(times, 0.95):.2f} s; "
        f"answers {dict(load.seen)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
