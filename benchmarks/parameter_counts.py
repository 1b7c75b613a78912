"""Counts the parameters of every size file by abstract evaluation, beside the published sizes.

    python -m benchmarks.parameter_counts

Nothing is allocated. The text-to-image sizes are counted for 16,000 text and 8,192 image tokens on
a 32 x 32 grid; their published figures are derived from the widths that the patent gives. VIM's are
counted for 1,000 classes and the same image tokens. The published figures of the tokenizers are the
names that the patent gives them, those of super-resolution are from arXiv 2206.10789; StyleGAN2's
discriminator is published without a count.
"""

import dataclasses
import math
import os
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.models.discriminator import Discriminator
from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.super_resolution import SuperResolver
from babeldraw.sizes import height_and_width

TEXT_TO_IMAGE = {
    "350m": (0.352e9, 0.387e9),
    "750m": (0.755e9, 0.789e9),
    "3b": (3.02e9, 3.09e9),
    "20b": (20.40e9, 20.54e9),
}
"""Size file -> parameters without and with embeddings and softmax (derived from the patent)."""

VIM = {"vim_base": 650e6, "vim_large": 1697e6}
"""Size file -> parameters, as published (patent, arXiv 2110.04627). The widths published with them
give 9% more; without one of attention's four projections in each layer they give these."""

TOKENIZERS = {"small": 32e6, "base": 91e6, "large": 599e6}
"""ViT-VQGAN size -> parameters of one side, encoder or decoder, as published (patent)."""

SUPER_RESOLUTION = {2: 15e6, 4: 30e6}
"""Factor -> parameters, as published (arXiv 2206.10789)."""

_EMBEDDINGS = ("text_embedding", "image_embedding", "class_embedding", "logits")
_GRID = {"codebook_size": 8_192, "rows": 32, "columns": 32}
_TEXT = {"text_vocab_size": 16_000, "text_length": 128}


@dataclasses.dataclass(frozen=True)
class Count:
    """Parameters of one Transformer."""

    without_embeddings: int
    with_embeddings: int


def read_model(gin_file: str, name: str, **settings: Any) -> nn.Module:
    """The module that configurable `name` of `gin_file` builds, with `settings` on top."""
    import gin

    parse_gin([gin_file], [f"{name}.{key}={value!r}" for key, value in settings.items()])
    try:
        return gin.get_configurable(name)()
    finally:
        gin.clear_config()


def text_to_image_model(size: str, **settings: Any) -> nn.Module:
    """The `EncoderDecoder` of gin/models/SIZE.gin for the published vocabularies and grid."""
    name = "encoder_decoder.EncoderDecoder"
    return read_model(f"gin/models/{size}.gin", name, **(_GRID | _TEXT | settings))


def vim_model(size: str, **settings: Any) -> nn.Module:
    """The `ImageDecoder` of gin/models/SIZE.gin for 1,000 classes and the published grid."""
    name = "image_decoder.ImageDecoder"
    settings = _GRID | {"num_classes": 1_000} | settings
    return read_model(f"gin/models/{size}.gin", name, **settings)


def tokenizer_model(size: str) -> nn.Module:
    """The `ViTVQGAN` of gin/tokenizers/SIZE.gin."""
    return read_model(f"gin/tokenizers/{size}.gin", "vit_vqgan.ViTVQGAN")


def abstract_params(model: nn.Module) -> dict[str, Any]:
    """Its parameters as shapes, boxed with their logical axis names."""
    if isinstance(model, ImageDecoder):
        inputs: tuple[Any, ...] = (jnp.zeros((1, model.num_tokens), int),)
        if isinstance(model, EncoderDecoder):
            inputs = (jnp.zeros((1, model.text_length), int), *inputs)
    else:
        sides = height_and_width(getattr(model, "image_size", 16))
        inputs = (jnp.zeros((1, *sides, 3)),)
    return jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]


def count(params: Any) -> int:
    """Numbers in a tree of arrays or shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def count_text_to_image(size: str) -> Count:
    """Of gin/models/SIZE.gin. Embeddings are those of text and image tokens, and the softmax."""
    return _count_transformer(text_to_image_model(size))


def count_vim(size: str) -> Count:
    """The same of image tokens alone; the classes' embedding is one of them."""
    return _count_transformer(vim_model(size))


def _count_transformer(model: nn.Module) -> Count:
    params = abstract_params(model)
    embeddings = sum(count(params.get(name, {})) for name in _EMBEDDINGS)
    return Count(count(params) - embeddings, count(params))


def count_tokenizer(size: str) -> dict[str, int]:
    """Of gin/tokenizers/SIZE.gin, part by part; `encoder` has the projection to the codes."""
    params = abstract_params(tokenizer_model(size))
    return {
        "encoder": count(params["encoder"]) + count(params["to_code"]),
        "codebook": count(params["quantizer"]),
        "decoder": count(params["decoder"]),
        "total": count(params),
    }


def main() -> None:
    """Prints both tables."""
    print(f"{'text to image':14} {'without embeddings':>32} {'with embeddings':>32}")
    for size, (without, with_embeddings) in TEXT_TO_IMAGE.items():
        ours = count_text_to_image(size)
        cells = [
            f"{mine:>16,} ({mine / given - 1:+.1%} of {given / 1e9:.3f}B)"
            for mine, given in (
                (ours.without_embeddings, without),
                (ours.with_embeddings, with_embeddings),
            )
        ]
        print(f"{size:14} {cells[0]:>32} {cells[1]:>32}")

    for size, published in VIM.items():
        ours = count_vim(size)
        share = f"({ours.with_embeddings / published - 1:+.1%} of {published / 1e9:.3f}B)"
        print(f"{size:14} {ours.without_embeddings:>16,} {ours.with_embeddings:>32,} {share}")

    print(f"\n{'tokenizer':14} {'encoder':>28} {'decoder':>28} {'codebook':>9} {'total':>12}")
    for size in ("small_small", "base_base", "small_large"):
        ours_by_part = count_tokenizer(size)
        cells = []
        for part, name in zip(("encoder", "decoder"), size.split("_"), strict=True):
            mine, given = ours_by_part[part], TOKENIZERS[name]
            cells.append(f"{mine:,} ({mine / given - 1:+.1%} of {given / 1e6:.0f}M)")
        total, codebook = ours_by_part["total"], ours_by_part["codebook"]
        print(f"{size:14} {cells[0]:>28} {cells[1]:>28} {codebook:>9,} {total:>12,}")

    print(f"\n{'discriminator':14} {count(abstract_params(Discriminator(256))):>28,} at 256 px")
    for factor, given in SUPER_RESOLUTION.items():
        mine = count(abstract_params(SuperResolver(factor=factor)))
        share = f"({mine / given - 1:+.1%} of {given / 1e6:.0f}M)"
        print(f"{'resolution x' + str(factor):14} {mine:>28,} {share}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
