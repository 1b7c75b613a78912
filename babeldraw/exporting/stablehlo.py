"""The sampler as a program: StableHLO by `jax.export`, for a process that has JAX and NumPy.

sampler.stablehlo    the program, for CPUs, GPUs and TPUs
weights.npz          its first arguments, float32, in the order of their names
draw.py              reads both and draws; `python draw.py TOKEN ...` writes pictures.npy
config.json          text length, pictures at once, and the settings that are fixed in the program
vocabulary.model     SentencePiece, for whoever turns texts into tokens
"""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax import export
from jaxtyping import Array, Float, Int, UInt8

import babeldraw
from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.exporting.folder import TOKENIZER, TRANSFORMER, Description, Network
from babeldraw.exporting.precision import flatten
from babeldraw.sampling.codec import decode_pictures
from babeldraw.sampling.generate import generate_tokens
from babeldraw.sampling.pictures import picture_keys
from babeldraw.training.keeping import vocabulary

PLATFORMS = ("cpu", "cuda", "tpu")
FORMAT = "babeldraw-stablehlo"


def write(
    folder: epath.Path,
    networks: Mapping[str, Network],
    description: Description,
    num_samples: int,
) -> None:
    """Writes the folder.

    Raises:
      UserError: there is no model that draws.
    """
    if not {TRANSFORMER, TOKENIZER} <= set(networks):
        raise UserError(
            "--format=stablehlo writes a sampler, and this run draws no pictures; give a run that "
            "does, or --format=safetensors."
        )
    weights = {
        f"{name}.{key}": np.asarray(value, np.float32)
        for name in (TRANSFORMER, TOKENIZER)
        for key, value in flatten(networks[name].params).items()
    }
    program = export_sampler(networks, description.drawing, num_samples, sorted(weights))
    packed = io.BytesIO()
    np.savez(packed, **{name: weights[name] for name in sorted(weights)})  # type: ignore[arg-type]
    model = networks[TRANSFORMER].module
    config = {
        "format": FORMAT,
        "version": 1,
        "babeldraw": babeldraw.__version__,
        "source": dict(description.source),
        "drawing": dict(description.drawing),
        "num_samples": num_samples,
        "condition_shape": list(model.condition_shape),
        "text_ids": {"pad": 0, "end": 1, "unknown": 2},
    }
    written = {
        "sampler.stablehlo": program.serialize(),
        "weights.npz": packed.getvalue(),
        "draw.py": (pathlib.Path(__file__).parent / "draw_stablehlo.py").read_bytes(),
        vocabulary.NAME: networks[TRANSFORMER].vocabulary,
        "config.json": (json.dumps(config, indent=2) + "\n").encode(),
    }
    for name, data in written.items():
        if data is not None:
            with files.written_whole(folder / name) as output:
                output.write(data)


def export_sampler(
    networks: Mapping[str, Network],
    drawing: Mapping[str, Any],
    num_samples: int,
    names: list[str],
) -> export.Exported:
    """A program `(weights, condition int32[...], prompt_id uint32[], seed int32[])`.

    It gives pictures `uint8[num_samples, height, width, 3]`, tokens and scores: those that
    `Sampler` draws of this condition, where `prompt_id` is `sampling.pictures.prompt_ids` of it.

    Args:
      names: of the weights, in their order.
    """
    model, tokenizer = networks[TRANSFORMER].module, networks[TOKENIZER].module

    def draw(
        weights: list[Float[Array, "..."]],
        condition: Int[Array, "*condition"],
        prompt_id: jax.Array,
        seed: Int[Array, ""],
    ) -> tuple[UInt8[Array, "n height width 3"], Int[Array, "n tokens"], Float[Array, "n"]]:
        params = _tree(dict(zip(names, weights, strict=True)))
        numbers = jnp.arange(num_samples, dtype=jnp.uint32)
        ids = jnp.broadcast_to(prompt_id, numbers.shape)
        keys = picture_keys(jnp.broadcast_to(seed, numbers.shape), ids, numbers)
        tokens, scores = generate_tokens(
            model, params[TRANSFORMER], condition[None, None], keys, **drawing
        )
        return decode_pictures(tokenizer, params[TOKENIZER], tokens), tokens, scores

    flat = {
        f"{name}.{key}": value
        for name in (TRANSFORMER, TOKENIZER)
        for key, value in flatten(networks[name].params).items()
    }
    shapes = [jax.ShapeDtypeStruct(np.shape(flat[name]), jnp.float32) for name in names]
    scalars = jax.ShapeDtypeStruct((), jnp.uint32), jax.ShapeDtypeStruct((), jnp.int32)
    condition = jax.ShapeDtypeStruct(model.condition_shape, jnp.int32)
    return export.export(jax.jit(draw), platforms=PLATFORMS)(shapes, condition, *scalars)


def _tree(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree
