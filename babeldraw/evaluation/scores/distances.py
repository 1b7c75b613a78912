"""How far drawn pictures are, as a set, from real ones: FID and its kin, in one pass over them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from babeldraw.errors import UserError
from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance
from babeldraw.evaluation.scores import inception_score, intervals, kernel_distance, neighbours
from babeldraw.evaluation.scores.base import Pictures, ScoreResult, evenly, mean_result
from babeldraw.evaluation.scores.feature_network import FeatureNetwork
from babeldraw.evaluation.scores.hosts import gathered, merged, share

KEPT = 50_000
"""Vectors of a side that are kept, evenly spaced; the Frechet distance is of all without keeping
any."""


@dataclasses.dataclass(frozen=True)
class _Side:
    """What was gathered of one set of pictures, on all processes."""

    statistics: FeatureStatistics
    features: Float[np.ndarray, "kept dimension"]
    logits: Float[np.ndarray, "n classes"]


class Distances:
    """Frechet and kernel distance, precision, recall, density and coverage, and Inception score.

    By InceptionV3 the first two are called `fid` and `kid`, and there is an `inception_score`; by
    another network they are `frechet_distance` and `kernel_distance`, as they are not comparable.
    """

    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network
        self._references: tuple[Pictures, _Side] | None = None

    @property
    def name(self) -> str:
        """Of the network."""
        return f"distances, {self._network.title}"

    @property
    def settings(self) -> Mapping[str, object]:
        """Of the network, and what is fixed here."""
        parts = {"inception_score_parts": inception_score.SPLITS} if self._network.classes else {}
        return {
            **self._network.settings,
            **parts,
            "kernel_subsets": kernel_distance.SUBSETS,
            "kernel_subset_size": kernel_distance.SUBSET_SIZE,
            "seed": kernel_distance.SEED,
            "precision_recall_k": neighbours.PRECISION_K,
            "density_coverage_k": neighbours.DENSITY_K,
            "vectors_kept": KEPT,
        }

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """Numbers by name; all processes have to call it, and go through a share each.

        The Inception score alone where there are no references.

        Raises:
          UserError: a side has too few pictures, or a picture cannot be read.
        """
        if references is None and not self._network.classes:
            raise UserError(
                f"The distances of {self._network.title} need real pictures to compare with: give "
                "references."
            )
        for side in (pictures, references):
            if side is not None and len(side) <= neighbours.DENSITY_K:
                raise UserError(
                    f"Distances between sets need more than {neighbours.DENSITY_K} pictures a "
                    f"side, but one has {len(side)}: give more pictures."
                )
        drawn = self._gather(pictures)
        results = {}
        if self._network.classes:
            results["inception_score"] = self._inception_score(drawn)
        if references is not None:
            results |= self._compared(drawn, self._gather_references(references))
        return results

    def _gather(self, pictures: Pictures) -> _Side:
        own = share(len(pictures))
        kept = np.zeros(len(pictures), bool)
        kept[list(evenly(len(pictures), KEPT))] = True
        kept = kept[own]
        statistics = FeatureStatistics(self._network.dimension)
        vectors = [np.zeros((0, self._network.dimension), np.float32)]
        logits = [np.zeros((0, self._network.classes), np.float32)]
        for features, scores in self._network(pictures[own]):
            done = statistics.count
            statistics.add(features)
            vectors.append(features[kept[done : done + len(features)]])
            logits.append(scores)
        return _Side(
            merged(statistics),
            gathered(np.concatenate(vectors)),
            gathered(np.concatenate(logits)),
        )

    def _gather_references(self, references: Pictures) -> _Side:
        """Once for the same object: sweeps compare many sets with it."""
        if self._references is None or self._references[0] is not references:
            self._references = references, self._gather(references)
        return self._references[1]

    def _inception_score(self, drawn: _Side) -> ScoreResult:
        scores = inception_score.inception_scores(drawn.logits)
        n, classes = drawn.logits.shape
        warnings: tuple[str, ...] = ()
        if n < len(scores) * classes:
            warnings = (
                f"The Inception score of {n} pictures in {len(scores)} parts is biased downwards: "
                f"a part of {n // len(scores)} cannot show {classes} classes; compare at equal n.",
            )
        return ScoreResult(
            float(scores.mean()),
            intervals.of_groups(float(scores.mean()), list(scores)),
            None,
            n,
            warnings,
        )

    def _compared(self, drawn: _Side, real: _Side) -> dict[str, ScoreResult]:
        names = ("fid", "kid") if self._network.classes else ("frechet_distance", "kernel_distance")
        counts = drawn.statistics.count, real.statistics.count
        left_out = _left_out(*counts)
        frechet = frechet_distance(drawn.statistics, real.statistics)
        kernel = kernel_distance.kernel_distance(drawn.features, real.features)
        results = {
            names[0]: ScoreResult(
                frechet,
                intervals.of_frechet(frechet, drawn.features, real.statistics),
                None,
                counts[0],
                _biased(*counts, self._network.dimension),
            ),
            names[1]: ScoreResult(
                kernel,
                intervals.of_groups(kernel, _by_group(drawn.features, real.features)),
                None,
                len(drawn.features),
                left_out + _small_subsets(*counts),
            ),
        }
        found = neighbours.neighbours(drawn.features, real.features)
        for field in dataclasses.fields(found):
            results[field.name] = mean_result(getattr(found, field.name), left_out)
        return results


def _by_group(
    drawn: Float[np.ndarray, "n dimension"], real: Float[np.ndarray, "m dimension"]
) -> list[float]:
    """Kernel distance of each group to real pictures, of which some thousands will do."""
    some = real[list(evenly(len(real), 5 * kernel_distance.SUBSET_SIZE))]
    parts = intervals.groups(drawn)
    return [kernel_distance.squared_discrepancy(part, some) for part in parts]


def _biased(n: int, m: int, dimension: int) -> tuple[str, ...]:
    if min(n, m) >= dimension:
        return ()
    return (
        f"With {n} drawn and {m} real pictures, one of them fewer than the {dimension} features, "
        "the Frechet distance is biased upwards, the more so the fewer they are: compare at equal "
        "n, or by the kernel distance.",
    )


def _small_subsets(n: int, m: int) -> tuple[str, ...]:
    size = kernel_distance.subset_size(n, m)
    if size == kernel_distance.SUBSET_SIZE:
        return ()
    return (
        f"The kernel distance is of subsets of {size}, as a side has no "
        f"{kernel_distance.SUBSET_SIZE}: unbiased, but less certain.",
    )


def _left_out(n: int, m: int) -> tuple[str, ...]:
    """Of what is of all pairs of kept vectors."""
    if max(n, m) <= KEPT:
        return ()
    return (
        f"Of {n} drawn and {m} real pictures at most {KEPT} a side, evenly spaced, were compared.",
    )
