"""Small CLIPs of random weights, in transformers' layout and in open_clip's, with made merges.

python -m benchmarks.made_clip FOLDER    # FOLDER/transformers and FOLDER/open_clip
"""

import json
import pathlib
import sys

import numpy as np
import safetensors.numpy

WIDTHS = {"vision": 128, "text": 64}
LAYERS, PATCH, SIDE, LENGTH, OUT = 2, 8, 32, 12, 32
MERGES = (
    *(
        "t h",
        "th e</w>",
        "i n",
        "a n",
        "a n</w>",
        "r e",
        "o n</w>",
        "in g</w>",
        "e r</w>",
        "m an</w>",
    ),
    *(
        "w o",
        "wo man</w>",
        "f i",
        "fi re",
        "d o",
        "do g</w>",
        "c a",
        "ca t</w>",
        "Ã ©</w>",
        "! !</w>",
    ),
)
VOCABULARY = 512 + len(MERGES) + 2


def byte_letters() -> list[str]:
    """GPT-2's letters of the 256 bytes, in CLIP's order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [*map(chr, printable), *(chr(256 + index) for index in range(256 - len(printable)))]


def vocabulary() -> dict[str, int]:
    """As `vocab.json` has it."""
    letters = byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [merge.replace(" ", "") for merge in MERGES] + ["<|startoftext|>", "<|endoftext|>"]
    return {word: number for number, word in enumerate(words)}


def states(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """The same weights by each layout's names."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 0.02) -> np.ndarray:
        return rng.standard_normal(shape, np.float32) * np.float32(scale)

    hf: dict[str, np.ndarray] = {}
    oc: dict[str, np.ndarray] = {}

    def both(hf_name: str, oc_name: str, array: np.ndarray, turned: bool = False) -> None:
        hf[hf_name] = array
        oc[oc_name] = np.ascontiguousarray(array.T) if turned else array

    def norm(hf_name: str, oc_name: str, width: int) -> None:
        both(f"{hf_name}.weight", f"{oc_name}.weight", 1 + draw(width, scale=0.1))
        both(f"{hf_name}.bias", f"{oc_name}.bias", draw(width, scale=0.1))

    for tower, hf_tower, oc_tower in (
        ("vision", "vision_model.encoder.layers", "visual.transformer.resblocks"),
        ("text", "text_model.encoder.layers", "transformer.resblocks"),
    ):
        width = WIDTHS[tower]
        for layer in range(LAYERS):
            a, b = f"{hf_tower}.{layer}", f"{oc_tower}.{layer}"
            joined = [draw(width, width, scale=0.15) for _ in range(3)]
            biases = [draw(width, scale=0.1) for _ in range(3)]
            for name, kernel, bias in zip("qkv", joined, biases, strict=True):
                hf[f"{a}.self_attn.{name}_proj.weight"] = kernel
                hf[f"{a}.self_attn.{name}_proj.bias"] = bias
            oc[f"{b}.attn.in_proj_weight"] = np.concatenate(joined)
            oc[f"{b}.attn.in_proj_bias"] = np.concatenate(biases)
            norm(f"{a}.layer_norm1", f"{b}.ln_1", width)
            norm(f"{a}.layer_norm2", f"{b}.ln_2", width)
            for hf_name, oc_name, shape in (
                ("self_attn.out_proj", "attn.out_proj", (width, width)),
                ("mlp.fc1", "mlp.c_fc", (4 * width, width)),
                ("mlp.fc2", "mlp.c_proj", (width, 4 * width)),
            ):
                both(f"{a}.{hf_name}.weight", f"{b}.{oc_name}.weight", draw(*shape, scale=0.15))
                both(f"{a}.{hf_name}.bias", f"{b}.{oc_name}.bias", draw(shape[0], scale=0.1))
    wide, narrow = WIDTHS["vision"], WIDTHS["text"]
    seen = "vision_model.embeddings"
    both(f"{seen}.class_embedding", "visual.class_embedding", draw(wide, scale=1))
    positions = draw(1 + (SIDE // PATCH) ** 2, wide, scale=0.5)
    both(f"{seen}.position_embedding.weight", "visual.positional_embedding", positions)
    patches = draw(wide, 3, PATCH, PATCH, scale=0.1)
    both(f"{seen}.patch_embedding.weight", "visual.conv1.weight", patches)
    norm("vision_model.pre_layrnorm", "visual.ln_pre", wide)
    norm("vision_model.post_layernorm", "visual.ln_post", wide)
    both("visual_projection.weight", "visual.proj", draw(OUT, wide, scale=0.1), turned=True)
    read = "text_model.embeddings"
    tokens = draw(VOCABULARY, narrow, scale=0.5)
    both(f"{read}.token_embedding.weight", "token_embedding.weight", tokens)
    places = draw(LENGTH, narrow, scale=0.5)
    both(f"{read}.position_embedding.weight", "positional_embedding", places)
    norm("text_model.final_layer_norm", "ln_final", narrow)
    both("text_projection.weight", "text_projection", draw(OUT, narrow, scale=0.1), turned=True)
    both("logit_scale", "logit_scale", np.array(2.0, np.float32))
    return {"transformers": hf, "open_clip": oc}


def settings() -> dict[str, dict[str, object]]:
    """Each layout's settings: quick GELU in the first, GELU in the second."""
    common = {"num_hidden_layers": LAYERS, "hidden_act": "quick_gelu"}
    vision = {"hidden_size": WIDTHS["vision"], "intermediate_size": 4 * WIDTHS["vision"]}
    text = {"hidden_size": WIDTHS["text"], "intermediate_size": 4 * WIDTHS["text"]}
    end = VOCABULARY - 1
    return {
        "transformers": {
            "projection_dim": OUT,
            "vision_config": {
                **(common | vision),
                "num_attention_heads": 4,
                "image_size": SIDE,
                "patch_size": PATCH,
            },
            "text_config": {
                **(common | text),
                "num_attention_heads": 2,
                "vocab_size": VOCABULARY,
                "max_position_embeddings": LENGTH,
                "bos_token_id": end - 1,
                "eos_token_id": end,
                "pad_token_id": end,
            },
        },
        "open_clip": {
            "model_cfg": {
                "embed_dim": OUT,
                "vision_cfg": {
                    "image_size": SIDE,
                    "layers": LAYERS,
                    "width": WIDTHS["vision"],
                    "head_width": 32,
                    "patch_size": PATCH,
                },
                "text_cfg": {
                    "context_length": LENGTH,
                    "vocab_size": VOCABULARY,
                    "width": WIDTHS["text"],
                    "heads": 2,
                    "layers": LAYERS,
                },
            }
        },
    }


def write(folder: pathlib.Path) -> None:
    """Both folders, as a hub gives them."""
    files = {
        "transformers": ("model.safetensors", "config.json"),
        "open_clip": ("open_clip_model.safetensors", "open_clip_config.json"),
    }
    made = states()
    for layout, (weights, config) in files.items():
        (folder / layout).mkdir(parents=True, exist_ok=True)
        safetensors.numpy.save_file(made[layout], folder / layout / weights)
        (folder / layout / config).write_text(json.dumps(settings()[layout]))
        merges = "\n".join(("#version: made", *MERGES)) + "\n"
        (folder / layout / "merges.txt").write_text(merges, encoding="utf-8")
        (folder / layout / "vocab.json").write_text(json.dumps(vocabulary()), encoding="utf-8")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
