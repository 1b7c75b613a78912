"""Personal models: pictures and a word of clients, learned beside the server.

A training is `babeldraw finetune --lora` in a process of its own, and what it has learned is added
to the model that it was learned for. One trains at a time. What a server leaves behind, the next
one goes on with.
"""

import dataclasses
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.serving import refusals
from babeldraw.serving.engine import Engine
from babeldraw.serving.kept_trainings import Captioned, Place, Progress, Training
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.models import Drawer
from babeldraw.serving.refusals import Refusal

MOST_WAITING = 8
"""Trainings of all clients, the one that runs apart."""
ENDING_SECONDS = 20
"""In which a training has to save and end when the server does."""

_log = logging.getLogger(__name__)


class Trainings:
    """All of a server.

    Attributes:
      quota: personal models that a client may have, those that are being trained among them.
    """

    def __init__(
        self,
        folder: str,
        quota: int,
        bases: Mapping[str, Drawer],
        engine: Engine,
        metrics: Metrics,
        more: Sequence[str] = (),
    ) -> None:
        """Reads what an earlier server has left, and goes on with it.

        Args:
          folder: where they are kept.
          bases: the server's models.
          more: arguments of `babeldraw finetune`, beside those that say what is learned.

        Raises:
          UserError: none of the models can be trained.
        """
        if not any(base.learns for base in bases.values()):
            raise UserError(
                "--allow-training needs a text-to-image model that was trained whole, and none of "
                "these is one: give a run directory to --model, or an export of one."
            )
        self._place, self.quota, self._bases = Place(files.path(folder)), quota, bases
        self._engine, self._metrics, self._more = engine, metrics, tuple(more)
        self._changed = threading.Condition()
        self._all: dict[str, Training] = {}
        self._drawers: dict[str, tuple[str, Drawer]] = {}
        self._waiting: deque[str] = deque()
        self._current: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        files.mark_output(self._place.folder)
        self._read()
        self._thread = threading.Thread(target=self._work, name="trainings", daemon=True)
        self._thread.start()

    def submit(
        self, owner: str, base: Drawer, word: str, pictures: Sequence[Captioned]
    ) -> Training:
        """Queues a training.

        Raises:
          Refusal: the model cannot learn, the client has as many models as it may, or too many
            trainings wait.
        """
        if not base.learns:
            raise Refusal(
                400,
                f"{base.name} cannot be trained here; /v1/models says which models learn.",
                param="model",
            )
        one = Training(
            f"ftjob-{secrets.token_hex(12)}",
            owner,
            base.name,
            word,
            len(pictures),
            int(time.time()),
        )
        with self._changed:
            if self._closing:
                raise refusals.closing()
            own = [o for o in self._all.values() if o.owner == owner and _counts(o)]
            if len(own) >= self.quota:
                raise Refusal(
                    429,
                    f"you have {len(own)} personal models, of {self.quota} that you may have; "
                    "delete one, or cancel what waits.",
                    kind="rate_limit_error",
                    code="quota_exceeded",
                )
            if len(self._waiting) >= MOST_WAITING:
                raise refusals.busy(60)
            self._all[one.id] = one
        try:
            self._place.write_pictures(one, pictures)
        except BaseException:
            self._remove(one)
            raise
        with self._changed:
            if self._all[one.id].is_open:  # not cancelled meanwhile
                self._keep(one)
                self._waiting.append(one.id)
                self._changed.notify_all()
        return self._all[one.id]

    def of(self, owner: str) -> list[Training]:
        """A client's, the latest first."""
        with self._changed:
            own = [one for one in self._all.values() if one.owner == owner]
        return sorted(own, key=lambda one: (one.created, one.id), reverse=True)

    def find(self, name: str, owner: str) -> Training:
        """One of the client's, by its id.

        Raises:
          Refusal: it has none of that name.
        """
        with self._changed:
            found = self._all.get(name)
        if found is None or found.owner != owner:
            raise Refusal(404, "there is no such training; /v1/fine_tuning/jobs lists yours.")
        return found

    def progress(self, one: Training) -> Progress:
        """How far it is."""
        return self._place.progress(one)

    def cancel(self, one: Training) -> Training:
        """Ends it, and takes its pictures away; what has ended already stays as it is."""
        with self._changed:
            one = self._all[one.id]
            if not one.is_open:
                return one
            if one.id in self._waiting:
                self._waiting.remove(one.id)
            runs = one.id == self._current
            if runs and self._process is not None:
                self._process.kill()
            one = self._end(one, "cancelled")
        if not runs:  # else its pictures go when its process has ended
            self._place.clear(one)
        return one

    def drawers(self, owner: str) -> dict[str, Drawer]:
        """A client's models by name, the latest last."""
        with self._changed:
            return {name: drawer for name, (of, drawer) in self._drawers.items() if of == owner}

    def delete(self, name: str, owner: str) -> None:
        """Forgets one of the client's models, and all files of it.

        Raises:
          Refusal: it has none of that name.
        """
        with self._changed:
            ones = [o for o in self._all.values() if o.owner == owner and o.name == name]
            if name not in self._drawers or not ones:
                raise Refusal(
                    404,
                    "you have no such model that could be deleted; /v1/models lists yours.",
                    code="model_not_found",
                    param="model",
                )
            del self._drawers[name]
        for one in ones:
            self._remove(one)

    def close(self) -> None:
        """Ends what runs, so that the next server goes on with it."""
        with self._changed:
            self._closing = True
            if self._process is not None:
                self._process.terminate()
            self._changed.notify_all()
        self._thread.join(ENDING_SECONDS)
        if self._thread.is_alive() and (process := self._process) is not None:
            process.kill()

    def _keep(self, one: Training) -> None:
        self._all[one.id] = one
        self._place.keep(one)

    def _end(self, one: Training, status: str) -> Training:
        ended = one.ended(status)
        self._keep(ended)
        self._metrics.trainings.labels(status).inc()
        return ended

    def _remove(self, one: Training) -> None:
        with self._changed:
            self._all.pop(one.id, None)
        self._place.remove(one)

    def _read(self) -> None:
        """What stands in the folder."""
        for one in self._place.read():
            self._all[one.id] = one
            if one.base not in self._bases:
                _log.warning("%s needs the model %s, which is not here", one.id, one.base)
            elif one.is_open:
                self._waiting.append(one.id)
            elif one.status == "succeeded":
                try:
                    self._open(one)
                except UserError as error:
                    _log.warning("%s is left out: %s", one.name, error)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                one = self._all[self._waiting.popleft()]
                one = dataclasses.replace(one, status="running")
                self._current = one.id
                self._keep(one)
            try:
                done = self._train(one)
            except Exception:
                _log.exception("the training %s failed", one.id)
                done = False
            if self._closing and not done:
                return
            self._place.clear(one)
            with self._changed:
                self._current = None
                if self._all[one.id].status == "running":
                    self._end(one, "succeeded" if done else "failed")

    def _train(self, one: Training) -> bool:
        """Whether there is a model then."""
        place, base = self._place, self._bases[one.base]
        command = [
            *(sys.executable, "-m", "babeldraw.serving.learning", "finetune", "--lora"),
            *("--from", base.run.model_dir, f"--data=folder:{place.pictures(one)}"),
            *(f"--word={one.word}", f"--output={place.run(one)}", *self._more),
        ]
        with place.log(one).open("ab") as log:
            with self._changed:
                if self._closing or self._all[one.id].status != "running":
                    return False
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "JAX_PLATFORMS": "cpu"},  # The device is the server's.
                    # Ctrl-C is for the server; a session of its own would have its own priority.
                    process_group=0,
                )
            code = self._process.wait()
            with self._changed:
                self._process.stdin.close()  # type: ignore[union-attr]
                self._process = None
        if code:
            if self._all[one.id].status == "running" and not self._closing:
                _log.error("the training %s ended with %d: see %s", one.id, code, place.log(one))
            return False
        place.take_changes(one)
        self._open(one)
        return True

    def _open(self, one: Training) -> None:
        """Its changes added to the model: one more model, which runs its base's programs."""
        base = self._bases[one.base]
        added = ((str(self._place.changes(one)), 1.0),)
        run = dataclasses.replace(base.run, loras=added)
        drawer = Drawer(one.name, run, one.created, one.word)
        _ = drawer.sampler
        self._engine.call(lambda: drawer.warm_up(self._engine.sizes)).result()
        with self._changed:
            if self._all[one.id].status != "cancelled":
                self._drawers[one.name] = one.owner, drawer


def _counts(one: Training) -> bool:
    return one.is_open or one.status == "succeeded"
