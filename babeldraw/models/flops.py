"""Floating-point operations of one train step, in closed form from the networks' sizes."""

import dataclasses
from typing import NamedTuple

from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.text_encoder import TextEncoder
from babeldraw.models.text_pretraining import TextPretraining
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.parallel.execution import Execution, Remat

COUNTING_RULE = (
    "a multiply-add is 2; matrix products only; backward is twice forward; rematerialisation and "
    "pipeline bubbles are not counted; frozen networks forward only; attention over the pairs that "
    "the mask allows (padding is not looked at)"
)

EMBEDDINGS = frozenset(
    ("text_embedding", "image_embedding", "above_embedding", "class_embedding", "logits")
)
"""Tables of tokens and classes and the softmax, which a count "without embeddings" leaves out."""


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
    decoder, rest = _decoder(model, model.text_length)
    encoder = _text_encoder(model, pipelined=True)
    return Flops({"encoder": encoder, "decoder": decoder}, rest, _encode(tokenizer))


def masked_text_flops(model: TextPretraining) -> Flops:
    """Of one text whose hidden tokens are guessed, among all of the vocabulary at each position."""
    head = 2 * model.d_model * (model.d_model + model.text_vocab_size)
    encoder = _text_encoder(model, pipelined=False)
    return Flops({"encoder": encoder}, rest=model.text_length * head, frozen=0)


def image_tokens_flops(model: ImageDecoder, tokenizer: ViTVQGAN) -> Flops:
    """The same without a text."""
    decoder, rest = _decoder(model)
    return Flops({"decoder": decoder}, rest, _encode(tokenizer))


class _Layer(NamedTuple):
    """Operations of a part of a layer."""

    project: int  # one of query, key, value and output, for one token
    mlp: int  # for one token
    pair: int  # the score of a query and a key, and the share of its value


def _layer(model: ImageDecoder | TextEncoder) -> _Layer:
    width, inner = model.d_model, model.num_heads * model.head_dim
    return _Layer(2 * width * inner, 2 * 2 * width * model.mlp_dim, 2 * 2 * inner)


def _text_encoder(model: TextEncoder, pipelined: bool) -> Stack:
    """The stack that reads a text."""
    layers, text, layer = model.encoder_layers, model.text_length, _layer(model)
    return Stack(
        layers,
        products=layers * text * (4 * layer.project + layer.mlp),
        attention=layers * text**2 * layer.pair,
        dense_attention=layers * text**2 * layer.pair,
        attention_outputs=layers * text * layer.project,
        mlp_outputs=layers * text * layer.mlp // 2,
        pipelined=pipelined,
    )


def _decoder(model: ImageDecoder, text: int = 0) -> tuple[Stack, int]:
    """The decoder's stack, with cross-attention to `text` tokens if any, and the softmax."""
    image, layers, layer = model.num_tokens, model.decoder_layers, _layer(model)
    allowed, cross_pairs = int(model.grid_mask.dense.sum()), image * text
    # A token: 4 projections of self-attention, query and output of cross-attention, the MLP.
    projections = (6 if text else 4) * layer.project
    stack = Stack(
        layers,
        products=layers * (image * (projections + layer.mlp) + text * 2 * layer.project),
        attention=layers * (allowed + cross_pairs) * layer.pair,
        dense_attention=layers * (image**2 + cross_pairs) * layer.pair,
        attention_outputs=layers * image * layer.project,
        mlp_outputs=layers * image * layer.mlp // 2,
        pipelined=True,
    )
    return stack, image * 2 * model.d_model * model.codebook_size


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
