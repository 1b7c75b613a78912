import numpy as np
from scipy import stats

from babeldraw.evaluation.checks import discriminant


def test_the_most_probable_of_normal_classes():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 4))
    labels = rng.permutation(np.arange(90) % 3)
    means = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 2, 1.0]])
    features = means[labels] + rng.normal(size=(90, 4)) @ mix
    found = discriminant.fit(features, labels * 5)
    each = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    covariance = np.cov((features - each[labels]).T, bias=True)
    covariance += np.eye(4) * discriminant.SHRINKAGE * np.trace(covariance) / 4
    new = rng.normal(size=(200, 4)) * 2
    likely = [stats.multivariate_normal(mean, covariance).logpdf(new) for mean in each]
    np.testing.assert_array_equal(found(new), 5 * np.argmax(likely, axis=0))


def test_what_varies_within_classes_counts_little():
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = np.stack([rng.normal(0, 100, 40), labels + rng.normal(0, 0.01, 40)], axis=1)
    found = discriminant.fit(features, labels)
    np.testing.assert_array_equal(found(np.array([[300, 0.0], [-300, 1.0]])), [0, 1])


def test_one_picture_a_class():
    features = np.eye(3)
    np.testing.assert_array_equal(discriminant.fit(features, np.arange(3))(features), [0, 1, 2])


def test_few_pictures_and_many_features():
    """The same where there are fewer pictures than features, which goes another way."""
    rng = np.random.default_rng(2)
    labels = np.arange(12) % 3
    features = rng.normal(size=(12, 30)) + labels[:, None]
    few = discriminant.fit(features, labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    within = features - means[labels]
    covariance = within.T @ within / 12
    covariance += np.eye(30) * discriminant.SHRINKAGE * np.trace(covariance) / 30
    np.testing.assert_allclose(few.weights, np.linalg.solve(covariance, means.T), rtol=1e-7)
