"""What `babeldraw sample` does with its prompts: draw, order, enlarge, write."""

import argparse
import dataclasses
import functools
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from babeldraw.cli.support.classifier import numbers_of, open_classifier
from babeldraw.cli.support.conditions import Asked, conditions_of
from babeldraw.cli.support.draw_options import set_defaults
from babeldraw.cli.support.drawn_files import SETTINGS, file_stems, in_rows, metadata_of
from babeldraw.cli.support.machines import pictures_at_once
from babeldraw.cli.support.prompts import encode_prompts
from babeldraw.errors import UserError
from babeldraw.files import mark_output, names_in, path
from babeldraw.parallel.processes import is_first

if TYPE_CHECKING:
    import numpy as np
    from jax.sharding import Mesh

    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.runs import Run
    from babeldraw.sampling.finish import Finished, Judge
    from babeldraw.sampling.pictures import Sampler


class Drawing:
    """The opened runs, ready for any number of prompts."""

    def __init__(self, args: argparse.Namespace, mesh: "Mesh | None" = None) -> None:
        """Opens all runs before anything is drawn.

        Args:
          args: of the command; those of `SETTINGS`, the seed and the number of samples may be set
            anew between drawings.
          mesh: where the model lies and draws; other networks, which are small, lie whole on each
            of its devices. None: one device.

        Raises:
          UserError: a run, the picture to start from, or the folder to write is not what it
            should be, or the run draws nothing of the kind that is asked for.
        """
        from babeldraw.cli.support.models import open_model
        from babeldraw.parallel.mesh import make_mesh

        everywhere = None if mesh is None else make_mesh({"data": -1}, list(mesh.devices.flat))
        self._args = args
        self._run = open_model(args.checkpoint, mesh, "sampler", args.lora, args.decoder, args.int8)
        set_defaults(args, self._run)
        self._sampler = self._run.sampler()
        self._conditions = conditions_of(args, self._run, self._sampler.model)
        self._prefix, redraw = _start(args, self._run)
        self._classifier = self._judge = self._upscale = None
        if args.rerank:
            self._judge = open_model(args.rerank, everywhere, "reranker")
        elif not args.classifier and self._conditions.kind == "prompt" and self._brings("reranker"):
            self._judge = self._run
        if self._judge is not None:
            self._rerank = self._judge.reranker()
            self._rerank.check_size(self._sampler.tokenizer.image_size)
        if args.classifier:
            if self._conditions.kind != "class":
                raise UserError(
                    f"--classifier judges classes, and {self._run.model_dir} draws of a "
                    f"{self._conditions.kind}; leave it out."
                )
            self._classifier = open_classifier(args.classifier, everywhere)
        if args.upscale:
            self._upscale = open_model(args.upscale, everywhere, "upscaler").upscaler()
        elif self._brings("upscaler"):
            self._upscale = self._run.upscaler()
        self._sampler = dataclasses.replace(
            self._sampler, redraw=redraw, batch_size=pictures_at_once(args, mesh)
        )
        self._writes = is_first()
        try:
            if self._writes:
                mark_output(path(args.output))
        except OSError as error:
            raise UserError(
                f"--output {args.output} cannot be made a folder ({error.strerror}); name another."
            ) from error

    def _brings(self, part: str) -> bool:
        return not self._args.plain and self._run.brings(part)

    @property
    def kind(self) -> str:
        """What `draw` is given: "prompt" or "class"."""
        return self._conditions.kind

    def draw(self, prompts: Sequence[str], *, keep: bool = False) -> None:
        """Writes the pictures of `prompts`, which may be classes, and a grid of them.

        Words that the model never met are named on stderr.

        Args:
          keep: overwrite no file that is there; the grid is called after the first prompt.

        Raises:
          UserError: see `Conditions.read`.
        """
        import numpy as np

        from babeldraw.cli.support.terminal import Progress
        from babeldraw.sampling import rejection
        from babeldraw.sampling.finish import finish

        args = self._args
        terms = [term for term, _ in args.terms]
        read = self._conditions.read([*prompts, *terms])
        if self._writes and (doubts := self._conditions.doubts([*prompts, *terms])):
            print(f"warning: {doubts}", file=sys.stderr)
        asked, further = read[: len(prompts)], [one.condition for one in read[len(prompts) :]]
        judge = self._judge_of(prompts, asked)
        num_samples = args.num_samples
        if self._classifier is not None:
            num_samples = rejection.drawn_for(num_samples, args.keep)
        total = len(prompts) * num_samples
        progress = Progress(total)
        progress(0)
        prefix = self._prefix
        samples = self._configured().generate(
            np.stack([np.stack([one.condition, *further]) for one in asked]),
            num_samples=num_samples,
            seed=args.seed,
            on_progress=lambda done, _: progress(done),
            prefix=None if prefix is None else np.repeat(prefix, len(prompts), axis=0),
        )
        progress.close(total)
        finished = finish(samples, args.num_samples, judge, self._upscale)
        if self._writes:
            self._write(asked, finished, keep)

    def _judge_of(self, prompts: Sequence[str], asked: Sequence[Asked]) -> "Judge | None":
        """What tells `[prompts, samples]` how well each picture is what was asked for, if anything.

        Raises:
          UserError: a prompt is too long for the CoCa, or a class none of the classifier's.
        """
        import numpy as np

        if self._judge is not None:
            text = encode_prompts(prompts, self._judge.judge_vocabulary, self._rerank.model)
            return functools.partial(self._rerank, text)
        if self._classifier is None:
            return None
        classifier, names = self._classifier, [one.metadata["class"] for one in asked]
        numbers = np.array(numbers_of(classifier, names, self._args.classifier))

        def probability(images: np.ndarray) -> np.ndarray:
            found = classifier(images.reshape(-1, *images.shape[2:]))
            found = found.reshape(*images.shape[:2], -1)
            return np.take_along_axis(found, numbers[:, None, None], axis=2)[..., 0]

        return probability

    def _configured(self) -> "Sampler":
        """The sampler with the settings as they are now; the same one while they stay."""
        args = self._args
        settings = {name: getattr(args, name) for name in SETTINGS}
        settings["guidance_weight"] = (args.guidance_weight, *(weight for _, weight in args.terms))
        if any(getattr(self._sampler, name) != value for name, value in settings.items()):
            self._sampler = dataclasses.replace(self._sampler, **settings)
        return self._sampler

    def _write(
        self,
        asked: Sequence[Asked],
        finished: "Finished",
        keep: bool,
    ) -> None:
        from PIL import Image

        from babeldraw.training.watching.captioned import write_captioned

        output = path(self._args.output)
        there = set(names_in(output) or ())
        names = [one.name for one in asked]
        stems = file_stems(names, there if keep else ())
        replaced = 0
        for row, stem in enumerate(stems):
            for rank, number in enumerate(finished.order[row]):
                target = output / f"{stem}-{rank:02d}.png"
                replaced += target.name in there
                score = float(finished.scores[row, number])
                said = asked[row].metadata
                metadata = metadata_of(self._args, self._run, said, int(number), score)
                line = f"{target.name}  score {score:.3f}"
                if finished.found is not None:
                    what = "probability" if self._judge is None else "similarity"
                    metadata.add_itxt(what, f"{finished.found[row, number]:.4f}")
                    line += f"  {what} {finished.found[row, number]:.3f}"
                with target.open("wb") as file:
                    picture = Image.fromarray(finished.images[row, rank])
                    picture.save(file, "PNG", pnginfo=metadata)
                print(line)
        grid = f"{stems[0]}-grid.png" if keep else "grid.png"
        write_captioned(output / grid, in_rows(finished.images), names)
        over = f", where they replaced {replaced} of the same names" if replaced else ""
        print(f"{finished.order.size} pictures and {grid} are in {self._args.output}{over}")


def _start(
    args: argparse.Namespace, opened: "Run | Exported"
) -> tuple["np.ndarray | None", tuple[int, ...]]:
    """Given tokens `int32[1, given]` or None, and which of them are drawn all the same."""
    if args.start is None:
        return None, ()
    from babeldraw.data.picture_files.images import read_framed
    from babeldraw.sampling.regions import positions_of_box

    codec = opened.codec(batch_size=1)
    tokenizer = codec.model
    rows, columns = tokenizer.grid
    if args.rows is not None and not 0 < args.rows < rows:
        raise UserError(
            f"--rows is {args.rows}, and a picture has {rows} rows of tokens; give 1 to {rows - 1}."
        )
    redraw: tuple[int, ...] = ()
    if args.redraw is not None:
        numbers = re.findall(r"-?\d+", args.redraw)
        if re.sub(r"[-\d]+", "", args.redraw) != ",,," or len(numbers) != 4:
            raise UserError(
                f"--redraw is {args.redraw!r}; give LEFT,TOP,WIDTH,HEIGHT in pixels, as 0,16,32,8"
            )
        left, top, width, height = map(int, numbers)
        redraw = positions_of_box((left, top, width, height), (rows, columns), tokenizer.patch_size)
    picture = read_framed(args.start, tokenizer.image_size, opened.view)
    tokens = codec.encode(picture[None])
    return tokens if args.rows is None else tokens[:, : args.rows * columns], redraw
