"""Stage 1: train ViT-VQGAN to rebuild pictures from its own tokens."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from babeldraw.errors import UserError
from babeldraw.models.flops import Flops, tokenizer_flops
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives import alarms, codebook, losses
from babeldraw.objectives.alarms import Alarm, History, Plan
from babeldraw.objectives.average import averaged, followers, moving_average, with_average
from babeldraw.objectives.base import Batch, Constants, Metrics, Networks, Params, Player, Sheets
from babeldraw.objectives.losses import Terms
from babeldraw.objectives.picture_maker import Images, PictureMaker, as_float, decibels
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.parallel.parts import rows_of_parts
from babeldraw.ranges import Share, ShareBelowOne, Weight, Whole
from babeldraw.sampling import features
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.features import BlockFeatures
from babeldraw.sizes import height_and_width

NAME, SHARE_NAME = "tokenizer", "code_share"
"""Players: the network, and the moving average of the use of its codes."""

SHARE_DECAY = 0.99

MADE = ("made_output", "made_z", "made_codes", "made_tokens")
"""What `Tokenizer.forward` calls what the network gives."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenizer(PictureMaker):
    """Weighted sum of L2, logit-Laplace, perceptual, adversarial and VQ losses.

    The weights are those of arXiv 2110.04627. See `PictureMaker` for the terms not named here.

    Attributes:
      ema_decay: keep a moving average of the parameters, which is what evaluation and every user of
        the tokenizer then take; 0: off.
      revive_every: steps between revivals of codes whose share of the tokens has fallen below a
        tenth of an equal share; 0: off, as in the patent.
      usage_alarm: evaluations warn when a smaller share of the codes is in use, but for the first
        fifth of a run; 0: never.
    """

    model: ViTVQGAN
    optimizer: OptimizerConfig
    logit_laplace_weight: Weight = 0.1
    vq_weight: Weight = 1.0
    commitment_weight: Weight = 0.25
    ema_decay: ShareBelowOne = 0.0
    revive_every: Whole = 0
    usage_alarm: Share = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.revive_every and not self.model.l2_normalize:
            raise UserError(
                "REVIVE_EVERY puts codes on the unit sphere, which needs l2_normalize; turn it on, "
                "or set REVIVE_EVERY to 0."
            )

    @property
    def network(self) -> ViTVQGAN:
        """The model, executed as the machine file says."""
        network: ViTVQGAN = self.model.clone(execution=self.execution.sequential)
        return network

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        sides = height_and_width(self.model.image_size)
        return {"image": jax.ShapeDtypeStruct((batch_size, *sides, 3), jnp.uint8)}

    def init_network(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters of the whole ViT-VQGAN, boxed."""
        sides = height_and_width(self.model.image_size)
        return self.network.init(key, jnp.zeros((1, *sides, 3)))["params"]

    def init_trained(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters of what this stage trains of it."""
        return self.init_network(key)

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        params = {NAME: self.init_trained(key), **self.init_adversary(key)}
        if self.revive_every:
            size = self.model.codebook_size
            params[SHARE_NAME] = {"share": jnp.full((size,), 1 / size, jnp.float32)}
        return with_average(params, NAME, self.ema_decay)

    def players(self) -> tuple[Player, ...]:
        # Before the tokenizer: the tokens and pictures that they look at are then those of the
        # tokenizer's own loss, and are computed once.
        before = list(self.adversary_players())
        if self.revive_every:
            before.append(moving_average(SHARE_NAME, self._code_share, SHARE_DECAY))
        optimizer, rate = self.optimizer.make(self.layer_axes(NAME)), self.optimizer.learning_rate
        forward = self.forward if before else None
        own = Player(
            NAME,
            self.loss,
            optimizer,
            rate,
            forward=forward,
            reads=self.reads,
            report=self.report,
        )
        return *before, own, *followers(NAME, self.ema_decay)

    def flops(self) -> Flops:
        return tokenizer_flops(self.model)

    def codec(self, networks: Networks, batch_size: int = 16) -> Codec:
        """With the averaged parameters where the run keeps averages."""
        return Codec(self.model, averaged(networks, NAME), batch_size)

    def features(self, networks: Networks, batch_size: int = 16) -> dict[str, BlockFeatures]:
        params = averaged(networks, NAME)
        return {"tokenizer": features.of_tokenizer(self.model, params, batch_size)}

    def variables(self, trained: Params, constants: Constants) -> dict[str, Params]:
        """Variables of the network: what is trained, with what is frozen."""
        return {"params": {**constants.get(NAME, {}), **trained}}

    def forward(self, params: Params, constants: Constants, batch: Batch) -> dict[str, jax.Array]:
        """All that the network makes of the batch's pictures: see `ViTVQGAN.__call__`."""
        if MADE[0] in batch:
            return {name: batch[name] for name in MADE}
        images = as_float(batch["image"])
        arrays = self.network.apply(self.variables(params, constants), images)
        return dict(zip(MADE, arrays, strict=True))

    def loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum; metrics hold each unweighted term, square error and code shares."""
        images = as_float(batch["image"])
        output, z, codes, tokens = self.forward(params, constants, batch).values()
        made = self.model.to_image(output)
        terms = self._terms(images, output, z, codes, constants)
        total, metrics = self.train_metrics(terms, images, made, all_params, constants, step)
        share = codebook.code_share(tokens, self.model.codebook_size)
        return total, {**metrics, "code_share": share}

    def report(self, metrics: Metrics) -> Metrics:
        rest = super().report(metrics)
        share = rest.pop("code_share")
        return {**rest, "codebook_usage": jnp.mean(share > 0)}

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """Each term, mean square error, the codes' shares, and the discriminator's accuracies."""
        images = as_float(batch["image"])
        variables = self.variables(averaged(params, NAME), constants)
        output, z, codes, tokens = self.network.apply(variables, images)
        made = self.model.to_image(output)
        terms = self._terms(images, output, z, codes, constants)
        metrics = self.held_out_metrics(terms, images, made, params)
        return metrics | {"code_share": codebook.code_share(tokens, self.model.codebook_size)}

    def summarize(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        rest = dict(means)
        error, share = rest.pop("mean_square_error"), rest.pop("code_share")
        usage, perplexity = codebook.usage_and_perplexity(share)
        return {
            "psnr": decibels(error),
            "codebook_usage": usage,
            "perplexity": perplexity,
            **{name: float(value) for name, value in rest.items()},
        }

    def alarms(self, history: History, plan: Plan) -> list[Alarm]:
        return [
            *alarms.codes_unused(
                history, plan, self.usage_alarm, self.model.codebook_size, self.revive_every
            ),
            *alarms.memorised(history, "psnr", rises=True),
        ]

    def after_step(
        self,
        params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> dict[str, Params]:
        if not self.revive_every:
            return dict(params)

        def revive(params: Mapping[str, Params]) -> dict[str, Params]:
            tokenizer = params[NAME]
            variables = self.variables(tokenizer, constants)

            def encode(part: Batch) -> jax.Array:
                images = as_float(part["image"])
                z: jax.Array = self.network.apply(variables, images, method="encode_to_codes")
                return z

            z = rows_of_parts(encode, batch, self.execution.accumulate)
            codes, share = codebook.revive(
                tokenizer["quantizer"]["codebook"],
                params[SHARE_NAME]["share"],
                z.reshape(-1, z.shape[-1]),
                0.1,
                key,
            )
            revived = {**tokenizer, "quantizer": {**tokenizer["quantizer"], "codebook": codes}}
            return {**params, NAME: revived, SHARE_NAME: {"share": share}}

        due = (step + 1) % self.revive_every == 0
        after: dict[str, Params] = jax.lax.cond(due, revive, dict, dict(params))
        return after

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Sheets:
        """`reconstructions`: input, reconstruction, absolute difference."""
        images = as_float(batch["image"])
        variables = self.variables(averaged(params, NAME), constants)
        tokens = self.network.apply(variables, images, method="encode")
        made = self.network.apply(variables, tokens, method="decode")
        sheet = jnp.stack([images, made, jnp.abs(images - made)], axis=1)
        return {"reconstructions": jnp.round(sheet * 255).astype(jnp.uint8)}

    def sheet_columns(self) -> Mapping[str, Sequence[str]]:
        return {"reconstructions": ("real", "rebuilt", "difference")}

    def _terms(
        self,
        images: Images,
        output: Float[Array, "batch height width channels"],
        z: Float[Array, "batch n code_dim"],
        codes: Float[Array, "batch n code_dim"],
        constants: Constants,
    ) -> Terms:
        """Weight and value of every term but the adversarial one."""
        terms = self.picture_terms(images, self.model.to_image(output), constants)
        if self.vq_weight:
            value = losses.vector_quantization(z, codes, self.commitment_weight)
            terms["vq"] = (self.vq_weight, value)
        if self.logit_laplace_weight and self.model.output != "rgb":
            terms["logit_laplace"] = (
                self.logit_laplace_weight,
                losses.logit_laplace(images, self.model.to_logit_laplace(output)),
            )
        return terms

    def real_and_made(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch
    ) -> tuple[Images, Images]:
        output, *_ = self.forward(params[NAME], constants, batch).values()
        return as_float(batch["image"]), self.model.to_image(output)

    def _code_share(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch
    ) -> Params:
        *_, tokens = self.forward(params[NAME], constants, batch).values()
        return {"share": codebook.code_share(tokens, self.model.codebook_size)}
