import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance


def statistics(features, batch=None):
    gathered = FeatureStatistics(features.shape[1])
    for start in range(0, len(features), batch or len(features)):
        gathered.add(features[start : start + (batch or len(features))])
    return gathered


def exactly(mean, covariance):
    """Vectors, as many as twice the dimensions, with just these moments."""
    d = len(mean)
    root = np.linalg.cholesky(covariance) * np.sqrt((2 * d - 1) / 2)
    return statistics(np.concatenate([mean + root.T, mean - root.T]))


def random_covariance(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T / d + 0.1 * np.eye(d)


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_moments_do_not_depend_on_the_batches(batch):
    features = (1e4 + np.random.default_rng(0).normal(size=(50, 4))).astype(np.float32)
    gathered = statistics(features, batch)
    exact = features.astype(np.float64)
    assert gathered.count == 50
    np.testing.assert_allclose(gathered.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(gathered.covariance, np.cov(exact.T), rtol=1e-9)


def test_closed_form_where_the_covariances_commute():
    """Diagonal: squared distance of the means and of the standard deviations."""
    a = exactly(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]))
    b = exactly(np.array([1.0, 0.0, 3.5]), np.diag([4.0, 4.0, 0.25]))
    expected = (4 + 0.25) + ((1 - 2) ** 2 + 0 + (3 - 0.5) ** 2)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-10)


def test_scipys_square_root_agrees():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    a, b = (exactly(rng.normal(size=6), random_covariance(rng, 6)) for _ in range(2))
    root = linalg.sqrtm(a.covariance @ b.covariance).real
    expected = np.sum((a.mean - b.mean) ** 2)
    expected += np.trace(a.covariance + b.covariance - 2 * root)
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-9)


def test_equal_sets_are_at_0_even_with_fewer_vectors_than_dimensions():
    features = np.random.default_rng(2).normal(size=(20, 100))
    assert 0 <= frechet_distance(statistics(features), statistics(features, 3)) < 1e-9
    moved = frechet_distance(statistics(features), statistics(features + 0.5))
    np.testing.assert_allclose(moved, 100 * 0.25, rtol=1e-9)


def test_symmetric_and_grows_with_noise():
    rng = np.random.default_rng(3)
    features, noise = rng.normal(size=(2, 200, 8))
    real = statistics(features)
    distances = [frechet_distance(real, statistics(features + s * noise)) for s in (0.1, 0.5, 2)]
    assert 0 < distances[0] < distances[1] < distances[2]
    back = frechet_distance(statistics(features + 2 * noise), real)
    np.testing.assert_allclose(back, distances[2], rtol=1e-10)


def test_one_picture_is_too_few():
    with pytest.raises(UserError, match="at least two pictures"):
        frechet_distance(statistics(np.ones((1, 3))), statistics(np.ones((5, 3))))
