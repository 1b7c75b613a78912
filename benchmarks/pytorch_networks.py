"""The two networks written plainly in PyTorch, to compare speed with: same shapes, same formulas.

Submodules have the names of ours, so that `load` can copy our weights and losses can be compared.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-6


class Attention(nn.Module):
    """Multi-head attention through `scaled_dot_product_attention`."""

    def __init__(self, width: int, heads: int, head_dim: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, heads * head_dim, bias)
        self.key = nn.Linear(width, heads * head_dim, bias)
        self.value = nn.Linear(width, heads * head_dim, bias)
        self.output = nn.Linear(heads * head_dim, width, bias)

    def forward(self, x: Tensor, read: Tensor, mask: Tensor | None) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        query, key, value = split(self.query(x)), split(self.key(read)), split(self.value(read))
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(attended.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """A plain two-matrix MLP."""

    def __init__(self, width: int, mlp_dim: int, gelu: bool, bias: bool, dropout: float) -> None:
        super().__init__()
        self.wi, self.wo = nn.Linear(width, mlp_dim, bias), nn.Linear(mlp_dim, width, bias)
        self.gelu, self.dropout = gelu, dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self.wi(x)
        x = F.gelu(x, approximate="tanh") if self.gelu else F.relu(x)
        return self.wo(F.dropout(x, self.dropout))


class Layer(nn.Module):
    """Pre-norm self-attention, cross-attention if `cross`, feed-forward."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_dim: int,
        mlp_dim: int,
        *,
        cross: bool = False,
        gelu: bool = False,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.self_attention_norm = nn.LayerNorm(width, EPSILON)
        self.self_attention = Attention(width, heads, head_dim, bias)
        if cross:
            self.cross_attention_norm = nn.LayerNorm(width, EPSILON)
            self.cross_attention = Attention(width, heads, head_dim, bias)
        self.mlp_norm = nn.LayerNorm(width, EPSILON)
        self.mlp = FeedForward(width, mlp_dim, gelu, bias, dropout)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        encoded: Tensor | None = None,
        encoded_mask: Tensor | None = None,
    ) -> Tensor:
        y = self.self_attention_norm(x)
        x = x + F.dropout(self.self_attention(y, y, mask), self.dropout)
        if encoded is not None:
            y = self.cross_attention(self.cross_attention_norm(x), encoded, encoded_mask)
            x = x + F.dropout(y, self.dropout)
        return x + F.dropout(self.mlp(self.mlp_norm(x)), self.dropout)


class EncoderDecoder(nn.Module):
    """The text-to-image Transformer with `raster` decoder inputs; settings are those of ours."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.columns, width = model.columns, model.d_model
        sizes = (width, model.num_heads, model.head_dim, model.mlp_dim)
        self.text_embedding = nn.Embedding(model.text_vocab_size, width)
        self.text_positions = nn.Embedding(model.text_length, width)
        self.encoder = nn.ModuleList(
            Layer(*sizes, dropout=model.dropout_rate) for _ in range(model.encoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(width, EPSILON)
        self.image_embedding = nn.Embedding(model.codebook_size, width)
        self.image_positions = nn.ModuleDict(
            {"row": nn.Embedding(model.rows, width), "column": nn.Embedding(model.columns, width)}
        )
        self.start_embedding = nn.Embedding(1, width)
        self.decoder = nn.ModuleList(
            Layer(*sizes, cross=True, dropout=model.dropout_rate)
            for _ in range(model.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width, EPSILON)
        self.logits = nn.Linear(width, model.codebook_size, bias=False)
        self.register_buffer("mask", torch.tensor(np.asarray(model.decoder_mask())))

    def forward(self, text: Tensor, tokens: Tensor) -> Tensor:
        """Mean cross-entropy of `tokens`, teacher-forced."""
        length = torch.arange(text.shape[1])
        text_mask = ((text != 0) | (length == 0))[:, None, None, :]
        x = self.text_embedding(text) + self.text_positions(length)
        for layer in self.encoder:
            x = layer(x, text_mask)
        encoded = self.encoder_norm(x)

        raster = torch.arange(tokens.shape[1])
        start = self.start_embedding.weight.expand(len(tokens), 1, -1)
        x = torch.cat([start, self.image_embedding(tokens[:, :-1])], dim=1)
        x = x + self.image_positions["row"](raster // self.columns)
        x = x + self.image_positions["column"](raster % self.columns)
        for layer in self.decoder:
            x = layer(x, self.mask, encoded, text_mask)
        logits = self.logits(self.decoder_norm(x))
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())


class VisionTransformer(nn.Module):
    """Positions, blocks, norm, two matrices with a tanh between them."""

    def __init__(
        self, inputs: int, layers: int, heads: int, width: int, mlp_dim: int, n: int, outputs: int
    ) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, width)
        self.positions = nn.Embedding(n, width)
        self.blocks = nn.ModuleList(
            Layer(width, heads, width // heads, mlp_dim, gelu=True, bias=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, EPSILON)
        self.head_in, self.head_out = nn.Linear(width, mlp_dim), nn.Linear(mlp_dim, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x) + self.positions.weight
        for block in self.blocks:
            x = block(x, None)
        return self.head_out(torch.tanh(self.head_in(self.norm(x))))


class ViTVQGAN(nn.Module):
    """The image tokenizer with its logit-Laplace output; settings are those of ours."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.patch, self.grid = model.patch_size, model.grid
        values, width = 3 * model.patch_size**2, model.encoder_width
        self.encoder = VisionTransformer(
            values,
            model.encoder_layers,
            model.encoder_heads,
            width,
            model.encoder_mlp_dim,
            model.num_tokens,
            width,
        )
        self.to_code = nn.Linear(width, model.code_dim)
        self.quantizer = nn.Module()
        self.quantizer.codebook = nn.Parameter(torch.randn(model.codebook_size, model.code_dim))
        self.decoder = VisionTransformer(
            model.code_dim,
            model.decoder_layers,
            model.decoder_heads,
            model.decoder_width,
            model.decoder_mlp_dim,
            model.num_tokens,
            2 * values,
        )

    def forward(self, images: Tensor) -> Tensor:
        """L2 + 0.1 logit-Laplace + VQ with commitment 0.25; `images [batch, H, W, 3]` in [0, 1]."""
        (rows, columns), p = self.grid, self.patch
        patches = (
            (images * 2 - 1)
            .reshape(-1, rows, p, columns, p, 3)
            .transpose(2, 3)
            .reshape(-1, rows * columns, 3 * p * p)
        )
        z = F.normalize(self.to_code(self.encoder(patches)), dim=-1)
        codebook = F.normalize(self.quantizer.codebook, dim=-1)
        with torch.no_grad():
            tokens = ((codebook * codebook).sum(-1) - 2 * z @ codebook.T).argmin(-1)
        codes = F.embedding(tokens, codebook)
        output = self.decoder(z + (codes - z).detach())
        output = output.reshape(-1, rows, columns, p, p, 6).transpose(2, 3)
        output = output.reshape(-1, rows * p, columns * p, 6)
        mu, log_scale = output.chunk(2, dim=-1)
        decoded = (torch.sigmoid(mu) - 0.1) / 0.8
        x = 0.8 * images + 0.1
        likelihood = (torch.logit(x) - mu).abs() * torch.exp(-log_scale) + log_scale
        laplace = (likelihood + torch.log(2 * x * (1 - x))).mean()
        vq = (z.detach() - codes).square().sum(-1).mean()
        commitment = (z - codes.detach()).square().sum(-1).mean()
        return (images - decoded).square().mean() + 0.1 * laplace + vq + 0.25 * commitment


def load(module: nn.Module, params: Mapping[str, Any]) -> None:
    """Copies our (unboxed) parameters into `module`; refuses leftovers on either side."""
    remaining = dict(module.named_parameters())

    def copy(name: str, value: np.ndarray) -> None:
        target = remaining.pop(name)
        with torch.no_grad():
            target.copy_(torch.tensor(value).reshape(target.shape))

    def walk(tree: Mapping[str, Any], prefix: str, layer: int | None) -> None:
        for key, value in tree.items():
            if key == "layers":
                depth = len(next(iter(_leaves(value))))
                for index in range(depth):
                    walk(value, f"{prefix}{index}.", index)
            elif isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.", layer)
            else:
                leaf = np.asarray(value if layer is None else value[layer])
                if key == "kernel":
                    # [in..., out...] -> [out, in]; only attention's output has two axes in.
                    inputs = 2 if prefix.endswith("attention.output.") else 1
                    leaf = leaf.reshape(int(np.prod(leaf.shape[:inputs])), -1).T
                copy(prefix + _NAMES.get(key, key), leaf)

    walk(params, "", None)
    if remaining:
        raise ValueError(f"no weights for {sorted(remaining)}")


_NAMES = {"kernel": "weight", "table": "weight", "scale": "weight"}


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        return [leaf for value in tree.values() for leaf in _leaves(value)]
    return [tree]
