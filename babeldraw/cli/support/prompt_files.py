"""Files and suites of prompts, drawn with a run, for `sample --prompts` and `evaluate --suite`."""

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support.conditions import Texts, class_conditions
from babeldraw.cli.support.draw_options import TOGETHER, set_defaults
from babeldraw.cli.support.drawn_files import SETTINGS
from babeldraw.cli.support.known_prompts import known_to
from babeldraw.cli.support.machines import pictures_at_once
from babeldraw.cli.support.prompts import count_cut
from babeldraw.errors import UserError
from babeldraw.files import path
from babeldraw.parallel.processes import is_first

if TYPE_CHECKING:
    import numpy as np
    from jax.sharding import Mesh

    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.runs import Run
    from babeldraw.evaluation.suites.drawing import Drawn
    from babeldraw.evaluation.suites.entries import Suite
    from babeldraw.sampling.pictures import Sampler

ROUNDING = "uint8: 255 x, rounded to the nearest, halves to even"


@dataclasses.dataclass(frozen=True)
class SuiteDrawer:
    """An opened run that draws suites as the arguments say.

    Attributes:
      classes: names of the run's classes; empty of one that reads texts.
    """

    args: argparse.Namespace
    run: "Run | Exported"
    sampler: "Sampler"
    classes: Sequence[str]

    def conditions(self, suite: "Suite") -> "np.ndarray":
        """What is asked of the model for each entry; words that it never met are named on stderr.

        Raises:
          UserError: it does not read the suite's prompts.
        """
        import numpy as np

        said = [each.prompt for each in suite.entries]
        if not self.classes:
            texts = Texts(self.run, self.sampler.model, known_to(self.run))
            read = texts.read(said)
            if is_first() and (doubts := texts.doubts(said)):
                print(f"warning: {doubts}", file=sys.stderr)
            return np.stack([one.condition for one in read])
        if suite.name == "classes":
            return np.array(said, np.int32)
        known = class_conditions(self.run.model_dir, self.sampler.model)
        return np.stack([one.condition for one in known.read(said)])

    def cut(self, suite: "Suite") -> int:
        """How many prompts are longer than the model reads."""
        if self.classes:
            return 0
        said = [each.prompt for each in suite.entries]
        return count_cut(said, self.run.vocabulary, self.sampler.model)

    def record(self, suite: "Suite") -> dict[str, Any]:
        """All that decides the pictures."""
        from babeldraw.evaluation.suites.report import versions
        from babeldraw.sizes import in_words

        networks = {"model": self.sampler.params, "tokenizer": self.sampler.tokenizer_params}
        return {
            "suite": suite.digest,
            "step": self.run.step,
            "weights": fingerprint(networks),
            "image_size": in_words(self.sampler.tokenizer.image_size),
            "seed": self.args.seed,
            "noise_by": "seed, CRC-32 of the text's tokens or the class, number of the sample",
            "num_samples": self.args.num_samples,
            **{name: getattr(self.args, name) for name in SETTINGS},
            **({"lora": [[*pair] for pair in self.run.loras]} if self.run.loras else {}),
            **({"decoder": self.args.decoder} if self.args.decoder else {}),
            **({"int8": True} if self.args.int8 else {}),
            "together": self.sampler.together,
            "rounding": ROUNDING,
            "versions": versions(),
        }

    def draw(self, suite: "Suite", folder: str, record: Mapping[str, Any]) -> "tuple[Drawn, float]":
        """The suite's pictures in a folder, and how many seconds it took."""
        from babeldraw.cli.support.terminal import Progress
        from babeldraw.evaluation.suites.drawing import draw

        conditions = self.conditions(suite)
        progress = Progress(None)

        def show(done: int, total: int) -> None:
            progress.of(total)
            if is_first():
                progress(done)

        began = time.perf_counter()
        drawn = draw(
            suite,
            self.sampler,
            conditions,
            num_samples=self.args.num_samples,
            seed=self.args.seed,
            folder=path(folder),
            record=record,
            on_progress=show,
        )
        if is_first():
            progress.close(len(drawn.jobs))
        return drawn, time.perf_counter() - began


def fingerprint(networks: Any) -> str:
    """SHA-256 (hex) over a number for each array, by name; to be called by all processes."""
    import hashlib
    import json

    from babeldraw.training.keeping.checkpoint_files import by_name
    from babeldraw.training.keeping.fingerprint import fingerprint_arrays

    prints = fingerprint_arrays(by_name(networks))
    return hashlib.sha256(json.dumps(sorted(prints.items())).encode()).hexdigest()


def open_drawer(args: argparse.Namespace, mesh: "Mesh | None") -> SuiteDrawer:
    """Opens the run of `args.checkpoint`.

    Raises:
      UserError: it draws neither texts nor classes.
    """
    from babeldraw.cli.support.models import open_model

    run = open_model(args.checkpoint, mesh, "sampler", args.lora, args.decoder, args.int8)
    set_defaults(args, run)
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings["guidance_weight"] = (args.guidance_weight,)
    together = args.together or TOGETHER
    sampler = run.sampler(
        together=together, batch_size=max(pictures_at_once(args, mesh), together), **settings
    )
    model = sampler.model
    if not model.condition_shape and not model.num_classes:
        raise UserError(
            f"{run.model_dir} was trained on pictures alone, and reads neither texts nor classes; "
            "draw with `babeldraw sample --unconditional`."
        )
    classes: Sequence[str] = ()
    if model.num_classes:
        names = class_conditions(run.model_dir, model).names
        classes = names or [f"class {number}" for number in range(model.num_classes)]
    return SuiteDrawer(args, run, sampler, classes)


def say_plain(drawer: SuiteDrawer) -> None:
    """Says on stderr what an exported model brings and pictures of a suite are drawn without."""
    brings = {"reranker": "ordered by its CoCa", "upscaler": "enlarged by its super-resolution"}
    left = [what for part, what in brings.items() if drawer.run.brings(part)]
    if left and is_first():
        print(
            f"the pictures are as {drawer.run.model_dir} draws them, not {' nor '.join(left)}",
            file=sys.stderr,
        )


def draw_file(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    """What `babeldraw sample --prompts FILE` does.

    Raises:
      UserError: the file is no suite, or the run or the folder is not what it should be.
    """
    from babeldraw.evaluation.suites.files import read_suite

    suite = read_suite(args.prompts_file)
    drawer = open_drawer(args, mesh)
    say_plain(drawer)
    drawn, _ = drawer.draw(suite, args.output, drawer.record(suite))
    if is_first():
        there = len(drawn.jobs) - drawn.fresh
        before = f", of which {there:,} were there" if there else ""
        print(
            f"{len(drawn.jobs):,} pictures of {len(suite):,} prompts are in {args.output}{before}"
        )
