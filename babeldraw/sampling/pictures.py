"""From texts or classes to pictures: sampling in fixed-size batches, then the decoder's pixels."""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, UInt8, UInt32

from babeldraw.errors import UserError
from babeldraw.models import int8
from babeldraw.models.image_decoder import NO_CLASS, ImageDecoder
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.parallel.rules import batch_groups, batch_shards
from babeldraw.sampling import places
from babeldraw.sampling.batches import fit_groups
from babeldraw.sampling.codec import decode_pictures
from babeldraw.sampling.generate import Weights, generate_tokens, with_conditions


class Samples(NamedTuple):
    """Pictures of some prompts, and what they were made from.

    Attributes:
      scores: mean log-probability of the drawn tokens; see `generate.generate_tokens`.
    """

    images: UInt8[np.ndarray, "prompts samples height width 3"]
    tokens: Int[np.ndarray, "prompts samples n"]
    scores: Float[np.ndarray, "prompts samples"]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A trained model of image tokens with its tokenizer, and how to draw from it.

    Attributes:
      params, tokenizer_params: trained parameters, unboxed. It draws on the mesh that `params` lie
        on (see `places`).
      guidance_weight, temperature, cutoff, top_k, top_p, redraw: see `generate.generate_tokens`.
      batch_size: pictures drawn at a time, made a multiple of `batch_groups`; changes
        speed and memory, and a token only where two were as good a draw as sums of the model's
        dtype can tell, or where one before it changed. The same tokens are the same picture (see
        `codec.decode_pictures`).
    """

    model: ImageDecoder
    params: Any
    tokenizer: ViTVQGAN
    tokenizer_params: Any
    guidance_weight: Weights = 1.0
    temperature: float = 1.0
    cutoff: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    redraw: tuple[int, ...] = ()
    batch_size: int = 16
    together: int | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> UInt8[np.ndarray, "prompts samples h w 3"]:
        """The pictures of `generate`, which has the same arguments."""
        return self.generate(*args, **kwargs).images

    def generate(
        self,
        prompts: Int[np.ndarray, "prompts *conditions"],
        *,
        num_samples: int = 1,
        seed: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
        prefix: Int[np.ndarray, "prompts prefix"] | None = None,
    ) -> Samples:
        """Draws `num_samples` pictures of each prompt.

        A picture depends on its prompt, its number among the prompt's samples, and `seed`; and on
        `batch_size` as said there.

        Args:
          prompts: texts or numbers of classes, see `generate_tokens`: one a prompt, or as many as
            there are guidance weights.
          on_progress: called with (pictures done, pictures in all) after each batch.
          prefix: the first tokens, in raster order, of the pictures of each prompt.

        Raises:
          UserError: see `generate_tokens`; a token of the prefix is no code of the tokenizer, or a
            class none of the model's.
        """
        asked = with_conditions(self.model, np.asarray(prompts, np.int32))
        self.check_classes(asked)
        total = len(asked) * num_samples
        ids = prompt_ids(asked)
        given = None if prefix is None else self._checked(prefix)
        batch_size = fit_groups(min(self.batch_size, total), self.mesh)
        # So many pictures next to each other share their prompt, and its encoding, in every batch
        # and in each group's part of it.
        shared = math.gcd(num_samples, batch_size // batch_groups(self.mesh))
        parts = []
        for start in range(0, total, batch_size):
            # The last batch is filled up with its own first row, so that one program serves all.
            rows = np.arange(start, start + batch_size)
            rows = np.where(rows < total, rows, start)
            of, number = np.divmod(rows, num_samples)
            batch = self.run(
                asked[of[::shared]],
                ids[of],
                number.astype(np.uint32),
                np.int32(seed),
                None if given is None else given[of],
            )
            parts.append([part[: total - start] for part in batch])
            if on_progress:
                on_progress(min(start + batch_size, total), total)
        stacked = [np.concatenate(part) for part in zip(*parts, strict=True)]
        shape = len(asked), num_samples
        return Samples(*(part.reshape(*shape, *part.shape[1:]) for part in stacked))

    def check_classes(self, asked: Int[np.ndarray, "prompts conditions *condition"]) -> None:
        """Raises a `UserError` for a class that is none of the model's."""
        if self.model.condition_shape:
            return
        unknown = asked[(asked < NO_CLASS) | (asked >= self.model.num_classes)]
        if unknown.size:
            known = (
                f"has {self.model.num_classes} classes, from 0 on"
                if self.model.num_classes
                else "has none"
            )
            raise UserError(
                f"class {unknown[0]} is asked for and the model {known}; give one of its own, or "
                f"{NO_CLASS} to draw without."
            )

    def _checked(self, prefix: Int[np.ndarray, "prompts prefix"]) -> Int[np.ndarray, "..."]:
        if prefix.size and not 0 <= prefix.min() <= prefix.max() < self.model.codebook_size:
            raise UserError(
                f"the prefix has tokens from {prefix.min()} to {prefix.max()} and the codebook "
                f"{self.model.codebook_size} codes; encode the picture with this run's tokenizer."
            )
        return np.asarray(prefix, np.int32)

    def inputs(self, rows: int) -> tuple[jax.ShapeDtypeStruct, ...]:
        """What `program` takes after the parameters, for `rows` pictures of as many prompts."""

        def array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
            sharding = places.input_sharding(shape, self.mesh)
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

        conditions = rows, np.size(self.guidance_weight), *self.model.condition_shape
        return (
            array(jnp.int32, *conditions),
            array(jnp.uint32, rows),
            array(jnp.uint32, rows),
            array(jnp.int32),
        )

    def with_weights(self, params: Any, tokenizer_params: Any) -> "Sampler":
        """The same with other weights. What is compiled serves both."""
        other = dataclasses.replace(self, params=params, tokenizer_params=tokenizer_params)
        vars(other)["program"] = self.program
        return other

    def as_int8(self) -> "Sampler":
        """The same with its Transformer's kernels rounded to int8, see `models.int8`."""
        return dataclasses.replace(self, params=int8.quantize(self._on_mesh[0]))

    @functools.cached_property
    def mesh(self) -> Mesh:
        """Where it draws."""
        return places.mesh_of(self.params)

    @functools.cached_property
    def _on_mesh(self) -> tuple[Any, Any]:
        # Once: host arrays would be sent to the devices again with every batch.
        params, tokenizer_params = places.put_params(
            (self.params, self.tokenizer_params), self.mesh
        )
        return params, tokenizer_params

    def run(self, *inputs: np.ndarray | np.int32 | None) -> tuple[np.ndarray, ...]:
        """`program` of host arrays; whole host arrays."""
        placed = [
            None if array is None else places.put_input(np.asarray(array), self.mesh)
            for array in inputs
        ]
        with places.running_on(self.mesh):
            drawn: tuple[np.ndarray, ...] = places.fetch(self.program(*self._on_mesh, *placed))
        return drawn

    @functools.cached_property
    def program(self) -> jax.stages.Wrapped:
        """The whole of it as one function to be compiled, for one batch: pictures, tokens, scores.

        Its arguments: `params`, `tokenizer_params`, `prompts int32[prompts, conditions, ...]`,
        `ids uint32[batch]` of the prompts, `numbers uint32[batch]`, the seed `int32[]`, and `prefix
        int32[batch, prefix]` or None. The batch has the pictures of a prompt next to each other, as
        many for each. To be lowered and called within `places.running_on`, with arrays that lie as
        `inputs` says.
        """

        @jax.jit
        def draw(
            params: Any,
            tokenizer_params: Any,
            prompts: jax.Array,
            ids: jax.Array,
            numbers: jax.Array,
            seed: jax.Array,
            prefix: jax.Array | None = None,
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            tokens, scores = self._tokens(params, prompts, ids, numbers, seed, prefix)
            return decode_pictures(self.tokenizer, tokenizer_params, tokens), tokens, scores

        return draw

    def _tokens(
        self,
        params: Any,
        prompts: jax.Array,
        ids: jax.Array,
        numbers: jax.Array,
        seed: jax.Array,
        prefix: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        """Of `program`, up to tokens and scores. Traceable."""

        def some(
            prompts: jax.Array, ids: jax.Array, numbers: jax.Array, prefix: jax.Array | None
        ) -> tuple[jax.Array, jax.Array]:
            return generate_tokens(
                self.model,
                params,
                prompts,
                picture_keys(jnp.broadcast_to(seed, numbers.shape), ids, numbers),
                guidance_weight=self.guidance_weight,
                temperature=self.temperature,
                cutoff=self.cutoff,
                top_k=self.top_k,
                top_p=self.top_p,
                prefix=prefix,
                redraw=self.redraw,
            )

        if self.together is None:
            return some(prompts, ids, numbers, prefix)
        shards = batch_shards()
        groups = numbers.shape[0] // (shards * self.together)
        way = "(shard group row) ... -> group (shard row) ..."
        sizes = {"shard": shards, "group": groups}
        parts = [rearrange(array, way, **sizes) for array in (prompts, ids, numbers)]
        drawn = jax.lax.map(lambda part: some(part[0], part[1], part[2], None), tuple(parts))
        back = "group (shard row) ... -> (shard group row) ..."
        tokens, scores = (rearrange(array, back, shard=shards) for array in drawn)
        return tokens, scores


def prompt_ids(
    prompts: Int[np.ndarray, "prompts conditions *condition"],
) -> UInt32[np.ndarray, "prompts"]:
    """What keys a prompt's noise: its own content, so that its place among others does not."""
    return np.array([zlib.crc32(row.tobytes()) for row in prompts], np.uint32)


def picture_keys(
    seeds: Int[Array, "pictures"],
    ids: UInt32[Array, "pictures"],
    numbers: UInt32[Array, "pictures"],
) -> Key[Array, "pictures"]:
    """A key for each picture, of its seed, its prompt's id, and its number among the prompt's."""

    def key(seed: jax.Array, prompt: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), prompt), number)

    keys: jax.Array = jax.vmap(key)(seeds, ids, numbers)
    return keys
