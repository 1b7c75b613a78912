"""What features know: a softmax layer on top of each block of a frozen network.

The linear probe of VIM (arXiv 2110.04627): the output of one block, averaged over the tokens, and
one layer on top that is trained on the classes.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, UInt8

from babeldraw.errors import UserError
from babeldraw.evaluation.retrieval import thumbnails
from babeldraw.sizes import in_words

LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
STEPS = 300
"""Of Adam on all pictures at once; the learning rate falls to 0 along a cosine."""

SEARCHED_ON = 0.2
"""Share of the training pictures on which the learning rates are compared."""

MOST_BOXES = 16
"""Raw pixels are averages of boxes, at most so many a side."""

Images = UInt8[np.ndarray, "n height width 3"]
Features = Float[np.ndarray, "n blocks features"]
Labels = Int[np.ndarray, "n"]


@dataclasses.dataclass(frozen=True)
class Probe:
    """A softmax layer for each of some blocks.

    Attributes:
      learning_rates: of each block's, the best of those searched.
      searched: accuracy with it on the part of the training pictures that it was chosen on, of a
        layer trained on the others: blocks are chosen by it, too.
    """

    weights: Float[np.ndarray, "blocks features classes"]
    biases: Float[np.ndarray, "blocks classes"]
    learning_rates: Float[np.ndarray, "blocks"]
    searched: Float[np.ndarray, "blocks"]

    @property
    def best(self) -> int:
        """The block that was best where the learning rates were searched; of equals, the first."""
        return int(np.argmax(self.searched))

    def accuracy(self, features: Features, labels: Labels) -> Float[np.ndarray, "blocks"]:
        """Share of the pictures whose most probable class is theirs."""
        logits = np.einsum("nbf,bfc->nbc", features, self.weights) + self.biases
        share: np.ndarray = np.mean(np.argmax(logits, axis=-1) == labels[:, None], axis=0)
        return share


def fit_probe(features: Features, labels: Labels, num_classes: int, seed: int = 0) -> Probe:
    """Trains the layers of all blocks at once; the same for the same seed.

    The seed draws the part that learning rates are searched on. The layers begin at zero, and are
    trained again on all pictures with the rates that are found.

    Raises:
      UserError: there are fewer than two pictures.
    """
    if len(labels) < 2:
        raise UserError("A probe is trained on two pictures at least; give a larger split.")
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = 1 / np.where(deviation > 1e-6, deviation, 1)
    x, y = jnp.asarray(((features - mean) * scale).swapaxes(0, 1)), jnp.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    apart = math.ceil(SEARCHED_ON * len(labels))
    held, rest = order[:apart], order[apart:]
    rates = np.array(LEARNING_RATES, np.float32)
    each = np.broadcast_to(rates[:, None], (len(rates), len(x)))
    weights, biases = _train(x[:, rest], y[rest], each, num_classes)
    logits = jnp.einsum("bnf,rbfc->rbnc", x[:, held], weights) + biases[:, :, None]
    found = np.asarray(jnp.mean(jnp.argmax(logits, axis=-1) == y[held], axis=-1))
    best = np.argmax(found, axis=0)
    weights, biases = (np.asarray(part)[0] for part in _train(x, y, rates[best][None], num_classes))
    weights = weights * scale[..., None]  # so that it reads features as they are
    return Probe(
        weights=weights,
        biases=biases - np.einsum("bf,bfc->bc", mean, weights),
        learning_rates=rates[best],
        searched=found[best, np.arange(len(best))],
    )


@functools.partial(jax.jit, static_argnums=3)
def _train(
    x: Float[Array, "blocks n features"],
    labels: Int[Array, "n"],
    rates: Float[Array, "rates blocks"],
    num_classes: int,
) -> tuple[Float[Array, "rates blocks features classes"], Float[Array, "rates blocks classes"]]:
    """Weights and biases for each block and each of its rates."""

    def train(x: jax.Array, rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        optimizer = optax.adam(optax.cosine_decay_schedule(1.0, STEPS))

        def loss(layer: tuple[jax.Array, jax.Array]) -> jax.Array:
            logits = x @ layer[0] + layer[1]
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

        def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
            layer, state = carry
            updates, state = optimizer.update(jax.grad(loss)(layer), state)
            updates = jax.tree.map(lambda update: rate * update, updates)
            return (optax.apply_updates(layer, updates), state), None

        zero = (jnp.zeros((x.shape[1], num_classes)), jnp.zeros(num_classes))
        (layer, _), _ = jax.lax.scan(step, (zero, optimizer.init(zero)), length=STEPS)
        return layer

    of_rates = jax.vmap(jax.vmap(train), in_axes=(None, 0))
    found: tuple[jax.Array, jax.Array] = of_rates(x, rates)
    return found


@dataclasses.dataclass(frozen=True)
class Classifier:
    """The softmax layer of one block, with what reads that block.

    Attributes:
      read: gives the features of all blocks.
    """

    read: Callable[[Images], Features]
    block: int
    weights: Float[np.ndarray, "features classes"]
    biases: Float[np.ndarray, "classes"]
    classes: tuple[str, ...]

    def __call__(self, images: Images) -> Float[np.ndarray, "n classes"]:
        """The probability of each class.

        Raises:
          UserError: the pictures are of another size than those that it was trained on.
        """
        features = self.read(images)[:, self.block]
        if features.shape[1] != len(self.weights):
            raise UserError(
                f"The classifier reads {len(self.weights)} numbers of a picture, and of one of "
                f"{in_words(images.shape[1:3])} there are {features.shape[1]}; make a probe of "
                "pictures of that size."
            )
        logits = features @ self.weights + self.biases
        chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
        found: np.ndarray = chances / chances.sum(axis=-1, keepdims=True)
        return found


def pixels(images: Images) -> Features:
    """Raw pixels in the place of the blocks of a network: one block, averages of boxes in [0, 1].

    There are at most `MOST_BOXES` boxes a side, as many as divide both sides.
    """
    side = math.gcd(*images.shape[1:3])
    boxes = max(count for count in range(1, MOST_BOXES + 1) if side % count == 0)
    return thumbnails(images, boxes)[:, None] / 255


def chance(train: Labels, heldout: Labels) -> float:
    """What always naming the most frequent class of training would have right of `heldout`."""
    return float(np.mean(heldout == np.bincount(train).argmax()))
