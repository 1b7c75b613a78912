"""What of a run, and of others that go with it, is exported."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from babeldraw import files
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run
    from babeldraw.exporting.folder import Network


def networks_of(run: "Run") -> Iterator[tuple[str, "Network"]]:
    """The networks that a run trains for use, by their names in an exported model.

    Averages where the run keeps them: what evaluation and samples take.

    Raises:
      UserError: see `Run`; or there are none.
    """
    from babeldraw.exporting.folder import COCA, SUPER_RESOLUTION, TOKENIZER, TRANSFORMER, Network

    none = True
    if run.offers("sampler"):
        sampler = run.sampler()
        read = bool(sampler.model.condition_shape)
        yield TRANSFORMER, Network(sampler.model, sampler.params, _vocabulary(run, read))
    if run.offers("codec"):
        codec = run.codec()
        yield TOKENIZER, Network(codec.model, codec.params)
        none = False
    if run.offers("reranker"):
        reranker = run.reranker()
        yield COCA, Network(reranker.model, reranker.params, _vocabulary(run, True))
        none = False
    if run.offers("upscaler"):
        upscaler = run.upscaler()
        yield SUPER_RESOLUTION, Network(upscaler.model, upscaler.params)
        none = False
    if none:
        raise UserError(
            f"{run.model_dir} was trained with the objective {type(run.objective).__name__}, of "
            "which nothing draws, reads or enlarges pictures; give another run."
        )


def _vocabulary(run: "Run", read: bool) -> bytes | None:
    if not read:
        return None
    file = files.path(run.vocabulary.sentencepiece_model_file)
    vocabulary: bytes = file.read_bytes()
    return vocabulary


def last_scores(run: "Run") -> dict[str, float]:
    """Of the last evaluation on held-out data; none where there was none."""
    import json

    file = files.path(run.model_dir) / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    found: dict[str, float] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # a line that was cut when its run was killed
            continue
        if record.get("split") == "eval":
            found = {
                name: value
                for name, value in record.items()
                if isinstance(value, float) and name != "time"
            }
    return found
