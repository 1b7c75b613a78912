"""Draws with an exported text-to-image model in PyTorch; needs nothing of Babeldraw.

    pip install torch safetensors sentencepiece Pillow
    python read_export_with_pytorch.py FOLDER "PROMPT" --output one.png

This file alone reads a folder of `babeldraw export` (docs/python.md), to be copied and built upon.
It draws the most probable token each time (temperature 0) and computes all that came before it
again: short and plain, not fast. It leaves out the networks that order and enlarge pictures.

Shapes: b texts, t text tokens, n image tokens in raster order, d numbers a token, h heads.
"""

import argparse
import hashlib
import json
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import sentencepiece
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load
from torch import Tensor

Params = dict[str, Any]
"""Weights as the network nests them: `params["decoder"]["layers"]["mlp"]["wi"]["kernel"]`."""

SETTINGS = {
    "transformer": "class text_vocab_size text_length encoder_layers d_model num_heads mlp_dim "
    "head_dim dropout_rate dtype qk_norm codebook_size rows columns decoder_layers "
    "attention_kernel attention_wrap decoder_inputs num_classes",
    "tokenizer": "class image_size patch_size codebook_size code_dim encoder_layers encoder_heads "
    "encoder_width encoder_mlp_dim decoder_layers decoder_heads decoder_width decoder_mlp_dim "
    "output position_stddev l2_normalize dtype",
}
"""What this file knows of; a network with another one would be computed wrongly, so is refused."""

CLASSES = {
    "transformer": "models.encoder_decoder.EncoderDecoder",
    "tokenizer": "models.vit_vqgan.ViTVQGAN",
}


class Model:
    """An exported model.

    Attributes:
      drawing: settings of drawing that go with it, for `draw`.
    """

    def __init__(self, folder: str | pathlib.Path) -> None:
        """Reads the folder; exits with a sentence where this file cannot read it."""
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text())
        if (config.get("format"), config.get("version")) != ("babeldraw-model", 1):
            raise SystemExit(f"{folder}/config.json is of no format that is known here.")
        entries = config["networks"]
        self.settings, self.params = {}, {}
        for name, known in SETTINGS.items():
            if name not in entries:
                raise SystemExit(f"{folder} has no {name}, so nothing draws from texts.")
            settings = self.settings[name] = entries[name]["settings"]
            if settings["class"] != CLASSES[name]:
                raise SystemExit(f"{folder}: {settings['class']} is not known here.")
            if unknown := set(settings) - set(known.split()):
                raise SystemExit(f"{folder}: settings not known here: {sorted(unknown)}.")
            self.params[name] = read_params(folder / entries[name]["file"], entries[name]["sha256"])
        self.drawing = config["drawing"]
        self.left_out = sorted(set(entries) - set(SETTINGS))
        vocabulary = (folder / entries["transformer"]["vocabulary"]).read_bytes()
        self.vocabulary = sentencepiece.SentencePieceProcessor()
        self.vocabulary.LoadFromSerializedProto(vocabulary)

    def text_tokens(self, texts: Sequence[str]) -> Tensor:
        """`int64[b t]`: cut to t - 1, then 1, which ends a text, then 0, which pads."""
        length = self.settings["transformer"]["text_length"]
        tokens = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in zip(tokens, texts, strict=True):
            ids = [*self.vocabulary.EncodeAsIds(text)[: length - 1], 1]
            row[: len(ids)] = torch.tensor(ids)
        return tokens

    def encode(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """The read texts `[b t d]`, and which positions count `bool[b 1 1 t]`.

        Padding does not, but the first position always does: a text of nothing needs one.
        """
        params = self.params["transformer"]
        mask = ((text != 0) | (torch.arange(text.shape[1]) == 0))[:, None, None]
        x = params["text_embedding"]["table"][text] + params["text_positions"]["table"]
        return norm(stack(x, params["encoder"], F.relu, mask), params["encoder_norm"]), mask

    def logits(self, read: tuple[Tensor, Tensor], tokens: Tensor) -> Tensor:
        """`[b n codebook]`, each position's given the tokens `int64[b n]` before it.

        Args:
          read: of `encode`.
          tokens: all of a picture's, or the first n.
        """
        params, settings = self.params["transformer"], self.settings["transformer"]
        columns, inputs = settings["columns"], settings["decoder_inputs"]
        place = torch.arange(tokens.shape[1])
        row, column = place // columns, place % columns
        tables = {name: part["table"] for name, part in params.items() if "table" in part}
        # At each position the token before it; at the first, or at the first of a row, a vector.
        before = tables["image_embedding"][tokens[:, (place - 1).clamp(min=0)]]
        first = place == 0 if inputs == "raster" else column == 0
        start = tables["start_embedding"][0 * row if inputs == "raster" else row]
        x = torch.where(first[:, None], start, before)
        if inputs == "row_start_above":
            above = tables["above_embedding"][tokens[:, (place - columns).clamp(min=0)]]
            x = x + torch.where((row > 0)[:, None], above, 0)
        x = x + params["image_positions"]["row"]["table"][row]
        x = x + params["image_positions"]["column"]["table"][column]
        x = stack(x, params["decoder"], F.relu, self._mask(place), *read)
        return linear(norm(x, params["decoder_norm"]), params["logits"])

    def _mask(self, place: Tensor) -> Tensor:
        """`bool[n n]`, which position (a row of it) sees which: those before, within a window."""
        settings = self.settings["transformer"]
        columns, kernel = settings["columns"], settings["attention_kernel"]
        behind = place[:, None] - place
        if kernel is None:
            return behind >= 0
        half = (kernel - 1) // 2
        if settings["attention_wrap"]:  # the window runs on over the edges
            rows, sides = torch.arange(half + 1), torch.arange(-half, half + 1)
            return (behind >= 0) & torch.isin(behind, rows[:, None] * columns + sides)
        rows = place[:, None] // columns - place // columns
        sides = place[:, None] % columns - place % columns
        return (behind >= 0) & (rows <= half) & (sides.abs() <= half)

    def draw(self, text: Tensor, guidance_weight: float = 1.0, cutoff: float = 0.0) -> Tensor:
        """Image tokens `int64[b n]`, the most probable one each time.

        Args:
          text: `int64[b t]`.
          guidance_weight: w in uncond + w (cond - uncond), of logits.
          cutoff: tokens less probable than this times the best, without guidance, are not taken.
        """
        settings, w, count = self.settings["transformer"], guidance_weight, len(text)
        texts = text if w == 1 else torch.cat([text, torch.zeros_like(text)])
        read = self.encode(texts)
        tokens = torch.zeros(len(texts), settings["rows"] * settings["columns"]).long()
        for place in range(tokens.shape[1]):
            logits = self.logits(read, tokens[:, : place + 1])[:, -1]
            cond, uncond = logits[:count], logits[-count:]
            guided = uncond + w * (cond - uncond)
            if cutoff > 0:
                by = cond if w > 0 else uncond
                unlikely = by < by.amax(-1, keepdim=True) + math.log(cutoff)
                guided = guided.masked_fill(unlikely, -torch.inf)
            tokens[:, place] = guided.argmax(-1).repeat(len(texts) // count)
        return tokens[:count]

    def pictures(self, tokens: Tensor) -> Tensor:
        """`uint8[b height width 3]` of image tokens `int64[b n]`."""
        params, settings = self.params["tokenizer"], self.settings["tokenizer"]
        codes, vit = params["quantizer"]["codebook"][tokens], params["decoder"]
        if settings["l2_normalize"]:
            codes = codes * torch.rsqrt((codes * codes).sum(-1, keepdim=True) + 1e-12)
        x = linear(codes, vit["input"]) + vit["positions"]["table"]
        x = stack(x, vit["blocks"], lambda x: F.gelu(x, approximate="tanh"))
        x = torch.tanh(linear(norm(x, vit["norm"]), vit["head_in"]))
        size, side = settings["image_size"], settings["patch_size"]
        height, width = (size, size) if isinstance(size, int) else size
        x = linear(x, vit["head_out"]).unflatten(2, (side, side, -1))
        x = x.unflatten(1, (height // side, width // side)).transpose(2, 3)
        rgb = x.reshape(len(tokens), height, width, -1)[..., :3]
        if settings["output"] == "logit_laplace":
            rgb = (torch.sigmoid(rgb) - 0.1) / 0.8
        return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


def read_params(file: pathlib.Path, sha256: str) -> Params:
    """A file's arrays in float32, nested by the dots in their names."""
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SystemExit(f"{file} is not the one that config.json names (SHA-256 differ).")
    arrays, params = load(data), {}
    for name, array in arrays.items():
        if name.removesuffix(".scale") in arrays and name.endswith(".scale"):
            continue  # of an int8 array, and used with it
        scale = arrays[name + ".scale"] if array.dtype == torch.int8 else 1
        *parents, leaf = name.split(".")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = array.float() * scale
    return params


def linear(x: Tensor, params: Params, inputs: int = 1) -> Tensor:
    """A kernel has its inputs first: so many axes, as `x` has them last."""
    return torch.tensordot(x, params["kernel"], dims=inputs) + params.get("bias", 0)


def norm(x: Tensor, params: Params) -> Tensor:
    """Layer norm; of queries and keys without a bias."""
    return F.layer_norm(x, x.shape[-1:], params["scale"], params.get("bias"), 1e-6)


def attend(x: Tensor, read: Tensor, params: Params, mask: Tensor | None) -> Tensor:
    """Attention of `x` to what is read, `[b length d]` each."""
    query, key = linear(x, params["query"]), linear(read, params["key"])  # [b length h d / h]
    if "query_norm" in params:
        query, key = norm(query, params["query_norm"]), norm(key, params["key_norm"])
    heads = (y.transpose(1, 2) for y in (query, key, linear(read, params["value"])))
    y = F.scaled_dot_product_attention(*heads, attn_mask=mask)
    return linear(y.transpose(1, 2), params["output"], inputs=2)


def stack(
    x: Tensor,
    params: Params,
    activation: Callable[[Tensor], Tensor],
    mask: Tensor | None = None,
    encoded: Tensor | None = None,
    readable: Tensor | None = None,
) -> Tensor:
    """Pre-norm layers; their arrays have the layer first."""
    for index in range(len(params["layers"]["mlp_norm"]["scale"])):
        layer = _of_layer(params["layers"], index)
        y = norm(x, layer["self_attention_norm"])
        x = x + attend(y, y, layer["self_attention"], mask)
        if encoded is not None:
            y = norm(x, layer["cross_attention_norm"])
            x = x + attend(y, encoded, layer["cross_attention"], readable)
        y = activation(linear(norm(x, layer["mlp_norm"]), layer["mlp"]["wi"]))
        x = x + linear(y, layer["mlp"]["wo"])
    return x


def _of_layer(params: Params, index: int) -> Params:
    return {
        name: _of_layer(value, index) if isinstance(value, dict) else value[index]
        for name, value in params.items()
    }


def main() -> None:
    """Writes one picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of `babeldraw export`")
    parser.add_argument("text")
    parser.add_argument("--output", default="drawn.png", metavar="FILE")
    args = parser.parse_args()
    model = Model(args.folder)
    if model.left_out:
        print(f"left out: {', '.join(model.left_out)}", file=sys.stderr)
    with torch.inference_mode():
        tokens = model.draw(model.text_tokens([args.text]), **model.drawing)
        (picture,) = model.pictures(tokens)
    height, width, _ = picture.shape
    Image.frombytes("RGB", (width, height), bytes(picture.flatten().tolist())).save(args.output)
    print(args.output)


if __name__ == "__main__":
    main()
