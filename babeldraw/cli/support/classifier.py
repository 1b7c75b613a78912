"""What `babeldraw probe` has made, as the classifier by which samples are kept or rejected."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from babeldraw.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from jax.sharding import Mesh

    from babeldraw.evaluation.probe import Classifier


def open_classifier(directory: str, mesh: "Mesh | None" = None) -> "Classifier":
    """The probe in a directory, with the run whose blocks it reads.

    Args:
      mesh: see `open_run`.

    Raises:
      UserError: there is no probe, or its run has been trained further since.
    """
    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation import probe_files
    from babeldraw.files import path

    def reader(checkpoint: str, step: int, network: str) -> "Callable[[np.ndarray], np.ndarray]":
        run = open_run(checkpoint, mesh, "features")
        if run.step != step:
            raise UserError(
                f"The probe in {directory} is of step {step} of {checkpoint}, which is at step "
                f"{run.step} now: run `babeldraw probe` again."
            )
        readers = run.features()
        if network not in readers:
            raise UserError(
                f"The probe in {directory} is of another run: {checkpoint} has no network "
                f"{network!r}; run `babeldraw probe` again."
            )
        return readers[network]

    return probe_files.load(path(directory), reader)


def numbers_of(classifier: "Classifier", names: Sequence[str], directory: str) -> list[int]:
    """The classifier's own numbers of the classes that are drawn.

    Raises:
      UserError: it does not know one.
    """
    unknown = [name for name in names if name not in classifier.classes]
    if unknown:
        raise UserError(
            f"The probe in {directory} does not know the class {unknown[0]!r}: it was trained on "
            f"{len(classifier.classes)} others, such as {classifier.classes[0]!r}."
        )
    return [classifier.classes.index(name) for name in names]
