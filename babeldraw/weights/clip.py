"""CLIP from a folder as a hub gives it: weights, settings and the tokenizer's merges.

Two layouts: that of transformers' `CLIPModel` (`config.json`), in which OpenAI's own are published,
and open_clip's (`open_clip_config.json`).
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from babeldraw.errors import UserError
from babeldraw.models.clip import CLIP
from babeldraw.weights.state_files import State, read_state, tensor

Params = dict[str, Any]

WEIGHTS = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
MERGES = ("merges.txt", "bpe_simple_vocab_16e6.txt.gz")
_QUICK = {"quick_gelu": True, "gelu": False}


@dataclasses.dataclass(frozen=True)
class ClipFiles:
    """A model and what it reads texts by.

    Attributes:
      side: of the pictures, in pixels.
      length: of a text, in tokens.
      weights: the file that the parameters are from; `merges`: the tokenizer's.
    """

    model: CLIP
    params: Params
    side: int
    length: int
    weights: pathlib.Path
    merges: pathlib.Path


def read_clip(folder: str | os.PathLike[str]) -> ClipFiles:
    """Reads a folder that a hub gave.

    Raises:
      UserError: a file is missing, damaged, or of another network.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder} is not a folder; give the one with CLIP's weights and settings.")
    weights = _first(root, WEIGHTS, "weights")
    merges = _first(root, MERGES, "merges of the tokenizer")
    state = read_state(weights)
    hugging_face = "vision_model.embeddings.class_embedding" in state
    if not hugging_face and "visual.class_embedding" not in state:
        raise UserError(
            f"{weights} has neither transformers' nor open_clip's names of a CLIP with Vision "
            "Transformers: give the weights of one, such as ViT-B-32 or ViT-L-14."
        )
    towers = _transformers if hugging_face else _open_clip
    params, kernel = towers(state, weights)  # kernel: [width, 3, patch, patch]
    vision, text = params["vision"], params["text"]
    patch, width = kernel.shape[-1], kernel.shape[0]
    vision["patches"] = kernel.transpose(2, 3, 1, 0).reshape(-1, width)
    grid = round((len(vision["positions"]) - 1) ** 0.5)
    if grid**2 + 1 != len(vision["positions"]):
        raise UserError(
            f"{weights} has {len(vision['positions'])} positions, of no square picture."
        )
    name = "config.json" if hugging_face else "open_clip_config.json"
    settings = _settings(root / name)
    quick, of_vision, of_text = (_hf_settings if hugging_face else _oc_settings)(settings, name)
    model = CLIP(
        patch,
        of_vision or width // 64,
        of_text or text["tokens"].shape[1] // 64,
        quick,
    )
    return ClipFiles(model, params, grid * patch, len(text["positions"]), weights, merges)


def _first(root: pathlib.Path, names: tuple[str, ...], what: str) -> pathlib.Path:
    for name in names:
        if (root / name).is_file():
            return root / name
    raise UserError(f"{root} has no {what} of CLIP: put one of {', '.join(names)} there.")


def _settings(path: pathlib.Path) -> Mapping[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), and the weights do not say which "
            "activation they are for: fetch it from where they are from."
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}): fetch it anew.") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path} holds no settings: fetch it anew.")
    return settings


def _hf_settings(settings: Mapping[str, Any], name: str) -> tuple[bool, int | None, int | None]:
    vision, text = (settings.get(f"{tower}_config") or {} for tower in ("vision", "text"))
    activations = {part.get("hidden_act", "quick_gelu") for part in (vision, text)}
    if len(activations) != 1 or not activations <= _QUICK.keys():
        raise UserError(
            f"The activations of {name}, {', '.join(sorted(map(str, activations)))}, are not one "
            f"of {', '.join(_QUICK)} for both towers: such a CLIP is not built."
        )
    heads = "num_attention_heads"
    return _QUICK[activations.pop()], vision.get(heads), text.get(heads)


def _oc_settings(settings: Mapping[str, Any], name: str) -> tuple[bool, int | None, int | None]:
    model = settings.get("model_cfg", settings)
    vision, text = model.get("vision_cfg"), model.get("text_cfg")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise UserError(f"{name} has no vision_cfg and text_cfg: fetch it from the weights' place.")
    heads = None
    if "head_width" in vision:
        heads = vision["width"] // vision["head_width"]
    return bool(model.get("quick_gelu", False)), heads, text.get("heads")


def _transformers(state: State, path: pathlib.Path) -> tuple[Params, np.ndarray]:
    def get(name: str) -> np.ndarray:
        return tensor(state, name, path)

    def layer(prefix: str) -> Params:
        attention = f"{prefix}.self_attn"
        return {
            "norm1": _norm(get, f"{prefix}.layer_norm1"),
            "norm2": _norm(get, f"{prefix}.layer_norm2"),
            "query": _linear(get, f"{attention}.q_proj"),
            "key": _linear(get, f"{attention}.k_proj"),
            "value": _linear(get, f"{attention}.v_proj"),
            "output": _linear(get, f"{attention}.out_proj"),
            "up": _linear(get, f"{prefix}.mlp.fc1"),
            "down": _linear(get, f"{prefix}.mlp.fc2"),
        }

    vision, text = "vision_model.embeddings", "text_model.embeddings"
    params = {
        "vision": {
            "class": get(f"{vision}.class_embedding"),
            "positions": get(f"{vision}.position_embedding.weight"),
            "before": _norm(get, "vision_model.pre_layrnorm"),  # so written by transformers
            "after": _norm(get, "vision_model.post_layernorm"),
            "layers": _stacked(state, "vision_model.encoder.layers", layer, path),
            "projection": get("visual_projection.weight").T,
        },
        "text": {
            "tokens": get(f"{text}.token_embedding.weight"),
            "positions": get(f"{text}.position_embedding.weight"),
            "after": _norm(get, "text_model.final_layer_norm"),
            "layers": _stacked(state, "text_model.encoder.layers", layer, path),
            "projection": get("text_projection.weight").T,
        },
    }
    return params, get(f"{vision}.patch_embedding.weight")


def _open_clip(state: State, path: pathlib.Path) -> tuple[Params, np.ndarray]:
    def get(name: str) -> np.ndarray:
        return tensor(state, name, path)

    def layer(prefix: str) -> Params:
        kernels = np.split(get(f"{prefix}.attn.in_proj_weight"), 3)
        biases = np.split(get(f"{prefix}.attn.in_proj_bias"), 3)
        joined = zip(("query", "key", "value"), kernels, biases, strict=True)
        return {
            "norm1": _norm(get, f"{prefix}.ln_1"),
            "norm2": _norm(get, f"{prefix}.ln_2"),
            **{name: {"kernel": kernel.T, "bias": bias} for name, kernel, bias in joined},
            "output": _linear(get, f"{prefix}.attn.out_proj"),
            "up": _linear(get, f"{prefix}.mlp.c_fc"),
            "down": _linear(get, f"{prefix}.mlp.c_proj"),
        }

    params = {
        "vision": {
            "class": get("visual.class_embedding"),
            "positions": get("visual.positional_embedding"),
            "before": _norm(get, "visual.ln_pre"),
            "after": _norm(get, "visual.ln_post"),
            "layers": _stacked(state, "visual.transformer.resblocks", layer, path),
            "projection": get("visual.proj"),
        },
        "text": {
            "tokens": get("token_embedding.weight"),
            "positions": get("positional_embedding"),
            "after": _norm(get, "ln_final"),
            "layers": _stacked(state, "transformer.resblocks", layer, path),
            "projection": get("text_projection"),
        },
    }
    return params, get("visual.conv1.weight")


def _norm(get: Callable[[str], np.ndarray], name: str) -> Params:
    return {"scale": get(f"{name}.weight"), "bias": get(f"{name}.bias")}


def _linear(get: Callable[[str], np.ndarray], name: str) -> Params:
    return {"kernel": get(f"{name}.weight").T, "bias": get(f"{name}.bias")}


def _stacked(
    state: State, prefix: str, layer: Callable[[str], Params], path: pathlib.Path
) -> Params:
    """All layers, as one tree with the layer as the first axis."""
    import jax

    start = len(prefix) + 1
    numbers = {name[start:].split(".")[0] for name in state if name.startswith(f"{prefix}.")}
    layers = [layer(f"{prefix}.{number}") for number in range(len(numbers))]
    if not layers:
        raise UserError(f"{path} has no layers {prefix}: is it the weights of another network?")
    try:
        stacked: Params = jax.tree.map(lambda *leaves: np.stack(leaves), *layers)
    except ValueError as error:
        raise UserError(
            f"The layers {prefix} of {path} differ in shape: is it the weights of another network?"
        ) from error
    return stacked
