"""Scores of given features are those of torch-fidelity and prdc, and right in closed form."""

import numpy as np
import pytest

from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance, frechet_to
from babeldraw.evaluation.scores import intervals
from babeldraw.evaluation.scores.inception_score import inception_scores
from babeldraw.evaluation.scores.kernel_distance import kernel_distance, squared_discrepancy
from babeldraw.evaluation.scores.neighbours import neighbours
from benchmarks.made_inputs import inputs
from tests.evaluation.scores.recorded import RECORDED

MADE = inputs()
DRAWN, REAL = MADE["drawn"], MADE["real"]


def statistics(features):
    gathered = FeatureStatistics(features.shape[1])
    gathered.add(features)
    return gathered


def test_equal_to_torch_fidelity_and_prdc():
    near = neighbours(DRAWN, REAL)
    found = {
        "FID": frechet_distance(statistics(DRAWN), statistics(REAL)),
        "KID": kernel_distance(DRAWN, REAL),
        "Inception score": inception_scores(MADE["logits"]).mean(),
        "precision": near.precision.mean(),
        "recall": near.recall.mean(),
        "density": near.density.mean(),
        "coverage": near.coverage.mean(),
    }
    assert found.keys() == RECORDED["formulas"].keys()
    for name, value in RECORDED["formulas"].items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


def test_statistics_of_parts_are_those_of_all():
    whole, parts = statistics(DRAWN), FeatureStatistics(16)
    for part in np.array_split(DRAWN, 7):
        parts.merge(FeatureStatistics.from_state(statistics(part).state))
    parts.merge(FeatureStatistics(16))
    assert parts.count == whole.count
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-10)


def test_the_fast_distance_is_the_exact_one():
    for drawn in (DRAWN, DRAWN[:9]):  # more and fewer than there are features
        exact = frechet_distance(statistics(drawn), statistics(REAL))
        np.testing.assert_allclose(frechet_to(statistics(REAL))(drawn), exact, rtol=1e-6)


def test_inception_score_of_sure_and_even_classes_is_their_number():
    logits = 100 * np.tile(np.eye(5), (200, 1))
    np.testing.assert_allclose(inception_scores(logits).mean(), 5, rtol=0.05)
    np.testing.assert_allclose(inception_scores(np.zeros((100, 5))), 1)


def test_kernel_distance_is_unbiased():
    """Of two halves of one set it is 0 on average, however few they are."""
    rng = np.random.default_rng(0)
    distances = [squared_discrepancy(*rng.normal(size=(2, 8, 4))) for _ in range(400)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / 20
    assert squared_discrepancy(rng.normal(size=(50, 4)), rng.normal(1, size=(50, 4))) > 0.5


def test_neighbours_of_the_same_and_of_far_sets():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4))
    same, far = neighbours(features, features), neighbours(features + 100, features)
    for name in ("precision", "recall", "coverage"):
        assert getattr(same, name).mean() == 1
        assert getattr(far, name).mean() == 0
    assert far.density.mean() == 0
    one_mode = neighbours(np.tile(features[:1], (60, 1)) + 1e-6 * features, features)
    assert one_mode.precision.mean() == 1
    assert one_mode.recall.mean() < 0.1
    assert one_mode.coverage.mean() < 0.3


@pytest.mark.parametrize("kind", ["frechet", "kernel"])
def test_intervals_cover_other_draws(kind):
    """Of 60 draws of 80 vectors, about 95% lie within an interval of the mean of many draws."""
    rng = np.random.default_rng(0)
    real = rng.normal(0.5, size=(300, 3))
    values, widths = [], []
    for _ in range(60):
        drawn = rng.normal(size=(80, 3))
        if kind == "frechet":
            values.append(frechet_distance(statistics(drawn), statistics(real)))
            interval = intervals.of_frechet(values[-1], drawn, statistics(real))
        else:
            values.append(squared_discrepancy(drawn, real))
            parts = [squared_discrepancy(part, real) for part in intervals.groups(drawn)]
            interval = intervals.of_groups(values[-1], parts)
        widths.append(interval[1] - interval[0])
    # 1.96 standard deviations a side, within a third.
    assert 0.66 < np.mean(widths) / (2 * 1.96 * np.std(values)) < 1.6


def test_too_few_for_an_interval():
    assert intervals.of_groups(1.0, [1.0, 2.0]) is None
    assert intervals.of_frechet(1.0, DRAWN[:5], statistics(REAL)) is None
