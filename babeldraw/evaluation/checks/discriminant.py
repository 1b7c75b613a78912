"""Linear discriminant analysis (Fisher 1936): the nearest mean, in the metric of what varies.

Directions in which pictures of one class differ count little. Logistic regression on the same
features has to learn them from the few pictures of a class, and has fewer right.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

SHRINKAGE = 0.01
"""Share of the mean variance that is added to each feature's."""


@dataclasses.dataclass(frozen=True)
class Discriminant:
    """A linear function of features for each class; the largest says the class.

    Attributes:
      classes: numbers of the classes, sorted.
    """

    classes: Int[np.ndarray, "classes"]
    weights: Float[np.ndarray, "features classes"]
    biases: Float[np.ndarray, "classes"]

    def __call__(self, features: Float[np.ndarray, "n features"]) -> Int[np.ndarray, "n"]:
        """The class of each row."""
        found: np.ndarray = self.classes[np.argmax(features @ self.weights + self.biases, axis=1)]
        return found


def fit(features: Float[np.ndarray, "n features"], labels: Int[np.ndarray, "n"]) -> Discriminant:
    """Classes count as equally frequent; their covariance is one, and shrunk by `SHRINKAGE`."""
    classes, index = np.unique(labels, return_inverse=True)
    means = np.zeros((len(classes), features.shape[1]))
    np.add.at(means, index, features)
    means /= np.bincount(index)[:, None]
    within = (features - means[index]) / np.sqrt(len(features))
    count, size = within.shape
    # Where no class varies at all there is no metric but the plain one.
    added = SHRINKAGE * np.sum(np.square(within)) / size or 1.0
    if count < size:  # By Woodbury's identity, which inverts the smaller of two matrices.
        inner = within @ within.T + added * np.eye(count)
        weights = (means.T - within.T @ np.linalg.solve(inner, within @ means.T)) / added
    else:
        weights = np.linalg.solve(within.T @ within + added * np.eye(size), means.T)
    return Discriminant(classes, weights, -0.5 * np.sum(weights * means.T, axis=0))
