"""Floating-point operations of one train step, in closed form from the networks' sizes."""

import dataclasses

from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.masks import attention_mask
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.parallel.execution import Execution, Remat

COUNTING_RULE = (
    "a multiply-add is 2; matrix products only; backward is twice forward; rematerialisation and "
    "pipeline bubbles are not counted; frozen networks forward only; attention over the pairs that "
    "the mask allows (padding is not looked at)"
)

EMBEDDINGS = frozenset(("text_embedding", "image_embedding", "above_embedding", "logits"))
"""Tables of tokens and the softmax, which a count "without embeddings" leaves out."""


@dataclasses.dataclass(frozen=True)
class Stack:
    """Forward operations of a stack of layers for one example.

    Attributes:
      layers: how many.
      products: of the products with weights.
      attention: of scores and weighted sums, over the pairs that the mask allows.
      dense_attention: the same over all pairs, as executed: the mask is applied to the scores.
      attention_outputs: of those products, self-attention's output projections.
      mlp_outputs: of those products, the second of the feed-forward.
      pipelined: whether a machine's pipeline cuts it; other stacks are data parallel over stages.
    """

    layers: int
    products: int
    attention: int
    dense_attention: int
    attention_outputs: int
    mlp_outputs: int
    pipelined: bool = False

    def recomputed(self, remat: Remat) -> int:
        """What the backward pass carries out again. The layer's own output is not needed."""
        layer = self.products + self.dense_attention - self.mlp_outputs
        return {
            "none": 0,
            "dots": self.dense_attention,
            "attention": layer - self.attention_outputs,
            "full": layer,
        }[remat]

    def bubble(self, execution: Execution) -> float:
        """Share of the time in which a stage of the pipeline waits."""
        if not self.pipelined or execution.pipeline is None:
            return 0.0
        return execution.pipeline.bubble_fraction(self.layers)


@dataclasses.dataclass(frozen=True)
class Flops:
    """Forward operations for one example.

    Attributes:
      stacks: by name, those that are differentiated.
      rest: what is differentiated outside the stacks.
      frozen: forward only, with dense attention.
    """

    stacks: dict[str, Stack]
    rest: int
    frozen: int

    def model(self, batch_size: int) -> int:
        """Of a train step, by `COUNTING_RULE`."""
        forward = self.rest + sum(s.products + s.attention for s in self.stacks.values())
        return batch_size * (3 * forward + self.frozen)

    def executed(self, batch_size: int, execution: Execution) -> float:
        """Of a train step as the chips carry it out.

        Attention is dense, and what `execution.remat` recomputes and the pipelines' bubbles count.
        """
        total = float(3 * self.rest + self.frozen)
        for stack in self.stacks.values():
            passes = 3 * (stack.products + stack.dense_attention)
            passes += stack.recomputed(execution.remat)
            total += passes / (1 - stack.bubble(execution))
        return batch_size * total


def text_to_image_flops(model: EncoderDecoder, tokenizer: ViTVQGAN) -> Flops:
    """Of one example of stage 2, whose tokens the frozen tokenizer makes."""
    stacks, rest = _encoder_decoder(model)
    return Flops(stacks, rest, _encode(tokenizer))


def _encoder_decoder(model: EncoderDecoder) -> tuple[dict[str, Stack], int]:
    text, image = model.text_length, model.num_tokens
    width, inner = model.d_model, model.num_heads * model.head_dim
    project = 2 * width * inner  # one of query, key, value and output, for one token
    mlp = 2 * 2 * width * model.mlp_dim
    pair = 2 * 2 * inner  # the score of a query and a key, and the share of its value
    allowed = int(
        attention_mask(
            model.rows, model.columns, model.attention_kernel, model.attention_wrap
        ).sum()
    )
    cross_pairs = image * text
    encoder = Stack(
        model.encoder_layers,
        products=model.encoder_layers * text * (4 * project + mlp),
        attention=model.encoder_layers * text**2 * pair,
        dense_attention=model.encoder_layers * text**2 * pair,
        attention_outputs=model.encoder_layers * text * project,
        mlp_outputs=model.encoder_layers * text * mlp // 2,
        pipelined=True,
    )
    # A token: 4 projections of self-attention, query and output of cross-attention, the MLP.
    decoder = Stack(
        model.decoder_layers,
        products=model.decoder_layers * (image * (6 * project + mlp) + text * 2 * project),
        attention=model.decoder_layers * (allowed + cross_pairs) * pair,
        dense_attention=model.decoder_layers * (image**2 + cross_pairs) * pair,
        attention_outputs=model.decoder_layers * image * project,
        mlp_outputs=model.decoder_layers * image * mlp // 2,
        pipelined=True,
    )
    return {"encoder": encoder, "decoder": decoder}, image * 2 * width * model.codebook_size


def _encode(model: ViTVQGAN) -> int:
    """Pictures to tokens: the encoder, and the search for the nearest codes."""
    stack, rest = _vision_transformer(model, "encoder")
    search = model.num_tokens * 2 * model.code_dim * model.codebook_size
    return stack.products + stack.dense_attention + rest + search


def tokenizer_flops(model: ViTVQGAN) -> Flops:
    """Of one example of stage 1, without the networks that judge the pictures."""
    encoder, encoder_rest = _vision_transformer(model, "encoder")
    decoder, decoder_rest = _vision_transformer(model, "decoder")
    # The search gives indices: nothing is differentiated through it.
    search = model.num_tokens * 2 * model.code_dim * model.codebook_size
    return Flops(
        {"encoder": encoder, "decoder": decoder}, encoder_rest + decoder_rest, frozen=search
    )


def decoder_finetune_flops(model: ViTVQGAN) -> Flops:
    """Of one example between the stages: the frozen encoder makes the decoder's tokens."""
    decoder, rest = _vision_transformer(model, "decoder")
    return Flops({"decoder": decoder}, rest, frozen=_encode(model))


def _vision_transformer(model: ViTVQGAN, side: str) -> tuple[Stack, int]:
    """One side of the tokenizer; with the encoder goes the projection to the codes."""
    layers, width, hidden = (
        getattr(model, f"{side}_{name}") for name in ("layers", "width", "mlp_dim")
    )
    tokens = model.num_tokens
    patch = model.patch_size**2
    if side == "encoder":
        inputs, outputs, after = 3 * patch, width, width * model.code_dim
    else:
        inputs, outputs, after = model.code_dim, model.output_channels * patch, 0
    attention = layers * tokens**2 * 2 * 2 * width
    stack = Stack(
        layers,
        products=layers * tokens * (4 * 2 * width * width + 2 * 2 * width * hidden),
        attention=attention,
        dense_attention=attention,
        attention_outputs=layers * tokens * 2 * width * width,
        mlp_outputs=layers * tokens * 2 * hidden * width,
    )
    rest = tokens * 2 * (inputs * width + width * hidden + hidden * outputs + after)
    return stack, rest
