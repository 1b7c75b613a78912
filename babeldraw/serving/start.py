"""A server from what the command line says: its models opened, its programs compiled, running."""

import functools
import signal
import socket
import sys
import time
from collections.abc import Sequence

import jax

from babeldraw.cli.support.classifier import open_classifier
from babeldraw.cli.support.exported import Exported
from babeldraw.cli.support.models import open_model
from babeldraw.cli.support.runs import Run
from babeldraw.errors import UserError
from babeldraw.serving import moderation
from babeldraw.serving.app import create_app
from babeldraw.serving.engine import Engine
from babeldraw.serving.judges import Classify, Judge
from babeldraw.serving.listening import make_server
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.models import named, open_drawers
from babeldraw.serving.served import Served
from babeldraw.serving.trainings import Trainings

TIMES = 4
"""A batch is so many times as large as the next smaller one."""
SWITCH_SECONDS = 5e-4
"""The engine waits so long for the interpreter, at most, while answers are written: with the 5 ms
of Python's own, a tenth of the pictures a second are lost."""


def build(
    models: Sequence[str],
    *,
    batch_size: int = 16,
    queue: int = 64,
    seconds: float = 120,
    rerank: str | None = None,
    classifier: str | None = None,
    text_judges: Sequence[moderation.JudgeText] = (),
    picture_judges: Sequence[moderation.JudgePicture] = (),
    training: str | None = None,
    quota: int = 3,
    int8: bool = False,
) -> Served:
    """Opens and compiles everything.

    Args:
      models: `NAME=DIR` or DIR each, of runs and exported models; see `find_model`.
      rerank, classifier: see `Served`.
      int8: see `Run`.
      training, quota: folder and quota of `Trainings`; None: there are none.

    Raises:
      UserError: a folder is not what it should be.
    """
    start = time.monotonic()
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics = Metrics()
    drawers = open_drawers([named(model) for model in models], int8)
    classify = None

    def judge_in(opened: Run | Exported) -> Judge:
        return Judge(opened, opened.reranker(batch_size=min(batch_size, TIMES)))

    if rerank:
        judges = dict.fromkeys(drawers, judge_in(open_model(rerank, wanted="reranker")))
    else:
        brought = {name: drawer.run for name, drawer in drawers.items()}
        judges = {n: judge_in(run) for n, run in brought.items() if run.brings("reranker")}
    if classifier:
        first = next(iter(drawers.values()))
        classify = Classify(open_classifier(classifier), first.size, first.view)
    sizes = sizes_up_to(batch_size)
    threads = 2 if jax.default_backend() == "cpu" else 1
    engine = Engine(sizes, queue, seconds, metrics, threads)
    programs = 0
    for drawer in drawers.values():
        # In a thread that will run them.
        programs += engine.call(functools.partial(drawer.warm_up, sizes)).result()
    for judge in {id(one): one for one in judges.values()}.values():  # One may be of all.
        programs += engine.call(judge.warm_up).result()
    if classify is not None:
        engine.call(classify.warm_up).result()
    trainings = Trainings(training, quota, drawers, engine, metrics) if training else None
    names = ", ".join(drawers)
    print(
        f"{names}: {programs} programs ready after {time.monotonic() - start:.0f} s",
        file=sys.stderr,
    )
    hooks = moderation.Moderation(text_judges, picture_judges, metrics)
    return Served(drawers, engine, hooks, metrics, seconds, judges, classify, trainings)


def sizes_up_to(most: int) -> list[int]:
    """Of batches, ascending: `most`, and a quarter of it, and so on down to 1."""
    sizes = [most]
    while sizes[0] > 1:
        sizes.insert(0, -(-sizes[0] // TIMES))
    return sizes


def serve(served: Served, keys: Sequence[str], listening: socket.socket) -> None:
    """Answers until it is told to end.

    Raises:
      UserError: it could not begin.
    """
    host, port, *_ = listening.getsockname()
    name = f"[{host}]" if ":" in host else host
    print(f"serving at http://{name}:{port}/", flush=True)
    server = make_server(create_app(served, keys))
    # It ends by itself when it is told to, and afterwards sends the signal on: here to nobody.
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: None)
    server.run(sockets=[listening])
    if not server.started:
        raise UserError("the server did not start; what it says above tells why.")
