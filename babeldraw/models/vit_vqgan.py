"""ViT-VQGAN, the image tokenizer (stage 1; arXiv 2110.04627).

Pictures are cut into patches; a Vision Transformer encodes them; each vector is replaced by the
nearest of `codebook_size` codes in a low-dimensional, L2-normalised lookup space; a second Vision
Transformer decodes the codes back to patches.
"""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from babeldraw.errors import UserError
from babeldraw.models import attention_paths, patches
from babeldraw.models.layers import Embedding, Linear, layer_norm
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType, Weight
from babeldraw.sizes import Size

Output = Literal["logit_laplace", "rgb_logit_laplace", "rgb"]

LOGIT_LAPLACE_EPSILON = 0.1
"""Pictures in [0, 1] are squeezed to [eps, 1 - eps] for the logit (DALL-E, arXiv 2102.12092)."""


def squeeze(images: Float[Array, "..."]) -> Float[Array, "..."]:
    """From [0, 1] to [eps, 1 - eps], where the logit is finite."""
    return (1 - 2 * LOGIT_LAPLACE_EPSILON) * images + LOGIT_LAPLACE_EPSILON


def logit(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The inverse of the sigmoid."""
    return jnp.log(x) - jnp.log1p(-x)


class VisionTransformer(nn.Module):
    """Positions, blocks, norm, and the patent's head: two matrices with a tanh between them."""

    num_layers: int
    num_heads: int
    d_model: int
    mlp_dim: int
    num_positions: int
    position_stddev: float
    output_dim: int
    dtype: DTypeLike = jnp.float32
    execution: Execution = Execution()

    @nn.compact
    def __call__(self, x: Float[Array, "batch n input"]) -> Float[Array, "batch n output"]:
        """`[batch, patches, input_dim] -> [batch, patches, output_dim]`, no output activation."""
        x = Linear((self.d_model,), ("patch",), ("embed",), True, self.dtype, name="input")(x)
        positions = Embedding(
            self.num_positions, self.d_model, "position", self.position_stddev, name="positions"
        )
        x = (x + positions(jnp.arange(self.num_positions))).astype(self.dtype)
        x = with_logical_constraint(x, ("batch", "length", "activation_embed"))
        layer = TransformerLayer(
            d_model=self.d_model,
            num_heads=self.num_heads,
            head_dim=self.d_model // self.num_heads,
            mlp_dim=self.mlp_dim,
            activation=nn.gelu,
            use_bias=True,
            dtype=self.dtype,
            parent=None,
        )
        path = "dense" if self.is_initializing() else self.execution.attention
        mask = attention_paths.over_all(path, x.shape[0], self.num_heads, self.num_positions)
        x = Stack(layer, self.num_layers, self.execution, name="blocks")(x, {}, mask)
        x = layer_norm("norm")(x).astype(self.dtype)
        x = Linear((self.mlp_dim,), ("embed",), ("mlp",), True, self.dtype, name="head_in")(x)
        x = with_logical_constraint(jnp.tanh(x), ("batch", "length", "activation_mlp"))
        x = Linear((self.output_dim,), ("mlp",), ("patch",), True, jnp.float32, name="head_out")(x)
        return x


class Quantizer(nn.Module):
    """Nearest-code lookup in a factorised, L2-normalised space.

    Attributes:
      code_dim: dimension of the lookup space (32 or 8 in the patent; 8 to 32 use 95 to 96% of the
        codes in arXiv 2110.04627, table 5).
      l2_normalize: compare directions (Euclidean nearest is then cosine nearest). Off for ablation.
    """

    codebook_size: int
    code_dim: int
    l2_normalize: bool = True

    def setup(self) -> None:
        self.codebook = self.param(
            "codebook",
            nn.with_logical_partitioning(nn.initializers.normal(1.0), ("codebook", "code_dim")),
            (self.codebook_size, self.code_dim),
        )

    def normalize(self, x: Float[Array, "... code_dim"]) -> Float[Array, "... code_dim"]:
        """Onto the unit sphere (or unchanged, without `l2_normalize`)."""
        if not self.l2_normalize:
            return x
        return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)

    def nearest(self, z: Float[Array, "... code_dim"]) -> Int[Array, "..."]:
        """Index of the nearest code of each (normalised) vector."""
        codes = self.normalize(self.codebook)
        # |z - e|^2 = |z|^2 - 2 z.e + |e|^2, and |z|^2 is the same for every code.
        # In float32 on every backend: a TPU would round both to bfloat16, and choose other codes.
        products = jnp.matmul(z, codes.T, precision=jax.lax.Precision.HIGHEST)
        distance = jnp.sum(codes * codes, axis=-1) - 2 * products
        return jnp.argmin(distance, axis=-1).astype(jnp.int32)

    def lookup(self, tokens: Int[Array, "..."]) -> Float[Array, "... code_dim"]:
        """The (normalised) codes of `tokens`."""
        return self.normalize(jnp.asarray(self.codebook)[tokens])


class ViTVQGAN(nn.Module):
    """Pictures <-> tokens.

    Attributes:
      image_size: side, or height and width.
      patch_size: side of the squares that a picture is cut into, a token each.
      output: what the decoder gives of each channel of a pixel:
        `logit_laplace`: mean and log-scale of a logit-Laplace distribution; the picture is the
          sigmoid of the mean, with the squeeze undone;
        `rgb_logit_laplace`: the picture itself, in [0, 1], and that log-scale: the sigmoid is gone
          and the distribution stays (the patent's finetuned decoder);
        `rgb`: the picture alone, so that there is no logit-Laplace loss (arXiv 2206.10789).
      position_stddev: at what positions start. From 0.02 (as in ViT's published code) a patch keeps
        its code wherever it is, and pictures are learnt by heart; from 0.5 it has other codes in
        other places, and the few thousand steps of a quickstart end 0.4 dB higher
        (docs/tokenizer.md).
    """

    image_size: Size
    patch_size: Count
    codebook_size: Count
    code_dim: Count
    encoder_layers: Count
    encoder_heads: Count
    encoder_width: Count
    encoder_mlp_dim: Count
    decoder_layers: Count
    decoder_heads: Count
    decoder_width: Count
    decoder_mlp_dim: Count
    output: Output = "logit_laplace"
    position_stddev: Weight = 0.02
    l2_normalize: bool = True
    dtype: FloatType = jnp.bfloat16
    execution: Execution = Execution()

    def setup(self) -> None:
        for name, width, heads in (
            ("encoder", self.encoder_width, self.encoder_heads),
            ("decoder", self.decoder_width, self.decoder_heads),
        ):
            if width % heads:
                raise UserError(
                    f"ViTVQGAN.{name}_width {width} is not a multiple of {name}_heads {heads}; "
                    "change one of them."
                )
        if self.output not in get_args(Output):
            raise UserError(
                f"ViTVQGAN.output is {self.output!r}; make it one of {', '.join(get_args(Output))}."
            )
        self.encoder = VisionTransformer(
            self.encoder_layers,
            self.encoder_heads,
            self.encoder_width,
            self.encoder_mlp_dim,
            self.num_tokens,
            self.position_stddev,
            self.encoder_width,
            self.dtype,
            self.execution,
        )
        self.to_code = Linear((self.code_dim,), ("embed",), ("code_dim",), True)
        self.quantizer = Quantizer(self.codebook_size, self.code_dim, self.l2_normalize)
        self.decoder = VisionTransformer(
            self.decoder_layers,
            self.decoder_heads,
            self.decoder_width,
            self.decoder_mlp_dim,
            self.num_tokens,
            self.position_stddev,
            self.output_channels * self.patch_size**2,
            self.dtype,
            self.execution,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens.

        Raises:
          UserError: as `patches.grid`.
        """
        return patches.grid(self.image_size, self.patch_size)

    @property
    def num_tokens(self) -> int:
        """Tokens a picture, in raster order."""
        rows, columns = self.grid
        return rows * columns

    @property
    def output_channels(self) -> int:
        """Numbers that the decoder gives a pixel."""
        return 3 if self.output == "rgb" else 6

    def encode_to_codes(
        self, images: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch n code_dim"]:
        """Continuous vectors in the lookup space, before quantisation; images in [0, 1]."""
        cut = patches.cut(images * 2 - 1, self.patch_size)
        return self.quantizer.normalize(self.to_code(self.encoder(cut)))

    def encode(self, images: Float[Array, "batch height width 3"]) -> Int[Array, "batch n"]:
        """Images in [0, 1] -> tokens."""
        return self.quantizer.nearest(self.encode_to_codes(images))

    def decode_codes(
        self, codes: Float[Array, "batch n code_dim"]
    ) -> Float[Array, "batch height width channels"]:
        """Codes -> the decoder's raw output, `output_channels` a pixel."""
        made: jax.Array = self.decoder(codes)
        rows, columns = self.grid
        return rearrange(
            made,
            "b (h w) (p q c) -> b (h p) (w q) c",
            h=rows,
            w=columns,
            p=self.patch_size,
            q=self.patch_size,
        )

    def to_image(
        self, output: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width 3"]:
        """Raw decoder output -> picture; in [0, 1] after clipping."""
        if self.output != "logit_laplace":
            return output[..., :3]
        mean = jax.nn.sigmoid(output[..., :3])
        return (mean - LOGIT_LAPLACE_EPSILON) / (1 - 2 * LOGIT_LAPLACE_EPSILON)

    def to_logit_laplace(
        self, output: Float[Array, "batch height width 6"]
    ) -> Float[Array, "batch height width 6"]:
        """Raw decoder output -> `mu` and `ln b`, three channels each, as its loss takes them.

        Of `rgb_logit_laplace`, `mu` is the logit of the squeezed picture, clipped to [0, 1] first:
        what lies outside gets no gradient from here, and is pulled back by the L2 loss.
        """
        if self.output == "logit_laplace":
            return output
        picture, log_scale = jnp.split(output, 2, axis=-1)
        mu = logit(squeeze(jnp.clip(picture, 0, 1)))
        return jnp.concatenate([mu, log_scale], axis=-1)

    def decode(self, tokens: Int[Array, "batch n"]) -> Float[Array, "batch height width 3"]:
        """Tokens -> images, clipped to [0, 1]."""
        output = self.decode_codes(self.quantizer.lookup(tokens))
        return jnp.clip(self.to_image(output), 0, 1)

    def __call__(
        self, images: Float[Array, "batch height width 3"]
    ) -> tuple[
        Float[Array, "batch height width channels"],
        Float[Array, "batch n code_dim"],
        Float[Array, "batch n code_dim"],
        Int[Array, "batch n"],
    ]:
        """Raw decoder output, encoder vectors `z`, their codes `e`, and tokens.

        The decoder reads `e` while the gradient passes straight through to `z` (van den Oord et
        al., arXiv 1711.00937).
        """
        z = self.encode_to_codes(images)
        tokens = self.quantizer.nearest(z)
        codes = self.quantizer.lookup(tokens)
        straight_through = z + jax.lax.stop_gradient(codes - z)
        return self.decode_codes(straight_through), z, codes, tokens
