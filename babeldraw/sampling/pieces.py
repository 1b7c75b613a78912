"""Batches that are drawn a few steps at a time, so that they can be looked at, and given up.

`Sampler` draws a batch by one program, for one set of settings. Here each picture of a batch has
its own, which are inputs of a few programs, and it is the picture that `Sampler` draws of them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Key, UInt8

from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.sampling import places
from babeldraw.sampling.batches import fit_groups
from babeldraw.sampling.codec import decode_pictures
from babeldraw.sampling.decoder import CachedDecoder, Read
from babeldraw.sampling.pictures import Sampler, picture_keys, prompt_ids
from babeldraw.sampling.schedule import make_schedule
from babeldraw.sampling.steps import Rule, State, run_steps


class Wanted(NamedTuple):
    """One picture to draw.

    Attributes:
      conditions: texts or numbers of classes, one a weight; see `generate.generate_tokens`, which
        says what weights, temperature and cutoff are, too.
      number: its own among the samples of the prompt.
      given: tokens of a whole picture, of which some stay.
      stay: which of them do; None: none.
      own: by how many of the conditions its noise goes; None: by all. Those behind them fill it up,
        with weight 0, so that it fits into a batch.
    """

    conditions: Int32[np.ndarray, "conditions *condition"]
    weights: tuple[float, ...] = (1.0,)
    seed: int = 0
    number: int = 0
    temperature: float = 1.0
    cutoff: float = 0.0
    given: Int32[np.ndarray, "n"] | None = None
    stay: Bool[np.ndarray, "n"] | None = None
    own: int | None = None

    @property
    def is_guided(self) -> bool:
        """Whether its logits have an unconditional part."""
        return self.own is not None or sum(self.weights) != 1

    @property
    def kind(self) -> tuple[int, bool]:
        """Pictures of one kind can be in one batch: as many conditions, guided or not."""
        return len(self.weights), self.is_guided


class Inputs(NamedTuple):
    """A batch of `Wanted`, as the programs take it."""

    prompts: Any
    ids: Any
    numbers: Any
    seeds: Any
    weights: Any
    temperature: Any
    cutoff: Any
    stay: Any


@dataclasses.dataclass(frozen=True)
class PieceSampler:
    """Draws batches of `sampler`'s model, whose own settings do not count here."""

    sampler: Sampler

    def begin(self, pictures: Sequence[Wanted], batch_size: int) -> "Batch":
        """A batch of pictures of one kind, at most `batch_size`; it is filled up with the first.

        A program is compiled for each kind and batch size of a model, whatever its weights.
        """
        rows = [*pictures, *[pictures[0]] * (fit_groups(batch_size, self._mesh) - len(pictures))]
        blank = np.zeros(self.sampler.model.num_tokens, np.int32)
        prompts = np.stack([np.asarray(one.conditions, np.int32) for one in rows])
        inputs = Inputs(
            prompts,
            np.concatenate(
                [prompt_ids(prompts[i : i + 1, : one.own]) for i, one in enumerate(rows)]
            ),
            np.array([one.number for one in rows], np.uint32),
            np.array([one.seed for one in rows], np.int32),
            np.array([one.weights for one in rows], np.float32),
            np.array([one.temperature for one in rows], np.float32),
            np.array([one.cutoff for one in rows], np.float32),
            np.stack([blank > 0 if one.stay is None else one.stay for one in rows]),
        )
        tokens = np.stack([blank if one.given is None else one.given for one in rows])
        placed = jax.tree.map(self._put, inputs)
        with places.running_on(self._mesh):
            started = _begin(
                self._model, self._params, placed, self._put(tokens), rows[0].is_guided
            )
        return Batch(self, placed, len(pictures), inputs.stay[: len(pictures)], *started)

    @property
    def num_steps(self) -> int:
        """Steps of a whole picture."""
        return len(self._plan.positions)

    def decode(
        self, tokens: Int32[np.ndarray, "pictures n"]
    ) -> UInt8[np.ndarray, "pictures height width 3"]:
        """Pictures of whole tokens, each the same bits as `Sampler` gives.

        A program is compiled for each number of them.
        """
        with places.running_on(self._mesh):
            pictures = _decode(self.sampler.tokenizer, self.sampler._on_mesh[1], self._put(tokens))
        whole: np.ndarray = places.fetch(pictures)
        return whole

    def _advance(self, batch: "Batch", first: int, end: int) -> State:
        with places.running_on(self._mesh):
            state: State = _steps(
                self._model,
                self._params,
                batch.inputs,
                batch.read,
                batch.keys,
                batch.state,
                first,
                end,
            )
        return state

    @property
    def _model(self) -> ImageDecoder:
        return self.sampler.model

    @property
    def _params(self) -> Any:
        return self.sampler._on_mesh[0]

    @property
    def _mesh(self) -> Any:
        return self.sampler.mesh

    def _put(self, array: np.ndarray) -> jax.Array:
        placed: jax.Array = places.put_input(array, self._mesh)
        return placed

    @functools.cached_property
    def _plan(self) -> Any:
        return make_schedule(self.sampler.model)


# Of a model, not of its weights: the models of a server that differ in these alone, as those that
# are finetuned from one do, share their programs.


@functools.partial(jax.jit, static_argnums=(0, 4))
def _begin(
    model: ImageDecoder, params: Any, inputs: Inputs, tokens: Int[Array, "pictures n"], guided: bool
) -> tuple[Read, Key[Array, "pictures"], State]:
    decoder = CachedDecoder(model, params)
    read = decoder.read(inputs.prompts, with_unconditional=guided)
    keys = picture_keys(inputs.seeds, inputs.ids, inputs.numbers)
    caches = decoder.empty_caches(len(tokens) * read.num_branches, make_schedule(model).capacity)
    return read, keys, State(tokens, jnp.zeros(tokens.shape, jnp.float32), caches)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=5)
def _steps(
    model: ImageDecoder,
    params: Any,
    inputs: Inputs,
    read: Read,
    keys: Key[Array, "pictures"],
    state: State,
    first: Int[Array, ""],
    end: Int[Array, ""],
) -> State:
    decoder = CachedDecoder(model, params)
    rule = Rule(tuple(inputs.weights.T), inputs.temperature, inputs.cutoff)
    plan = make_schedule(model)
    return run_steps(decoder, read, plan, rule, keys, state, first, end, inputs.stay)


@functools.partial(jax.jit, static_argnums=0)
def _decode(
    tokenizer: ViTVQGAN, params: Any, tokens: Int[Array, "pictures n"]
) -> UInt8[Array, "pictures height width 3"]:
    return decode_pictures(tokenizer, params, tokens)


@dataclasses.dataclass
class Batch:
    """Pictures that are being drawn.

    Attributes:
      size: pictures that were asked for; further rows fill the batch up.
      stay: which tokens of these were given.
      done: steps so far.
    """

    _by: PieceSampler
    inputs: Inputs
    size: int
    stay: Bool[np.ndarray, "size n"]
    read: Read
    keys: Key[Array, "pictures"]
    state: State
    done: int = 0

    def advance(self, steps: int) -> bool:
        """Draws so many steps more, waits for them, and says whether there are further ones."""
        end = min(self.done + steps, self._by.num_steps)
        self.state = self._by._advance(self, self.done, end)
        jax.block_until_ready(self.state.tokens)
        self.done = end
        return end < self._by.num_steps

    @property
    def tokens(self) -> Int32[np.ndarray, "size n"]:
        """Those that are not `drawn` yet are 0, or what was given in their place."""
        tokens: np.ndarray = places.fetch(self.state.tokens)[: self.size]
        return tokens

    @property
    def images(self) -> UInt8[np.ndarray, "size height width 3"]:
        """Of whole tokens, by one program for each size of a batch."""
        return self._by.decode(places.fetch(self.state.tokens))[: self.size]

    @property
    def drawn(self) -> Bool[np.ndarray, "size n"]:
        """Which tokens are there: drawn, or given ones that stay."""
        drawn = np.zeros(self.stay.shape[1] + 1, bool)  # an idle lane's position is the last
        drawn[self._by._plan.positions[: self.done].reshape(-1)] = True
        return self.stay | drawn[:-1]

    @property
    def scores(self) -> Float[np.ndarray, "size"]:
        """Of whole pictures, as of `generate.generate_tokens`."""
        likely = places.fetch(self.state.likely)[: self.size]
        first = np.where(self.stay.all(axis=1), self.stay.shape[1], self.stay.argmin(axis=1))
        counted = np.arange(self.stay.shape[1]) >= first[:, None]
        mean: np.ndarray = (likely * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        return mean
