"""Contract: the PyTorch reader of an exported folder gives JAX's logits, pictures and tokens.

PyTorch has processes of its own: beside TensorFlow it has crashed.
"""

import ast
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
from etils import epath
from PIL import Image

from babeldraw.data.vocabulary import EMOJI_VOCABULARY
from babeldraw.exporting import folder as exported
from benchmarks import export_vs_pytorch
from tests.models import tiny
from tests.quick import compiled_quickly  # noqa: F401

READER = pathlib.Path(export_vs_pytorch.__file__).with_name("read_export_with_pytorch.py")
PROMPTS = ["a red apple", "a", "ein Apfel \N{RED APPLE}, " * 9, "woman pilot, noto style"]
MODELS = {
    # Between them every setting of SETTINGS that changes what is computed.
    "plain": ({"decoder_inputs": "raster", "attention_kernel": None}, {}, "float32", {}),
    "rows": (
        {"decoder_inputs": "row_start_above", "qk_norm": True},
        {"output": "rgb"},
        "bfloat16",
        {"guidance_weight": 3.0, "cutoff": 0.2},
    ),
    "wrap": (
        {"decoder_inputs": "raster", "attention_wrap": True},
        {"output": "rgb_logit_laplace", "l2_normalize": False},
        "int8",
        {"guidance_weight": -1.0, "cutoff": 0.2},
    ),
}
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch: the extra `bench`"
)


def write(path, transformer, tokenizer, precision, drawing):
    model = tiny.transformer(text_vocab_size=2048, text_length=16, **transformer)
    codec = tiny.tokenizer(**tokenizer)
    vocabulary = EMOJI_VOCABULARY.read_bytes()
    networks = {
        "transformer": exported.Network(model, tiny.random_params(model), vocabulary),
        "tokenizer": exported.Network(codec, tiny.random_params(codec, seed=2)),
    }
    description = exported.Description(source={}, view={}, drawing=drawing)
    path.mkdir()
    exported.write(epath.Path(path), networks, description, precision, epath.Path(path))
    return path


@needs_torch
@pytest.mark.parametrize("name", MODELS)
def test_logits_pictures_and_greedy_tokens_are_jaxs(tmp_path, name):
    folder = write(tmp_path / name, *MODELS[name])
    found = export_vs_pytorch.differences(
        *export_vs_pytorch.compare(folder, PROMPTS, sys.executable)
    )
    assert found["logits"] <= export_vs_pytorch.LOGITS
    assert found["pictures"] <= export_vs_pytorch.LEVELS
    assert found["text"] == found["greedy"] == 0


@needs_torch
def test_the_file_alone_draws_and_refuses_what_it_does_not_know(tmp_path):
    folder = write(tmp_path / "model", *MODELS["plain"])
    shutil.copy(READER, tmp_path / "reader.py")

    def read():
        command = [sys.executable, "reader.py", "model", PROMPTS[0], "--output", "one.png"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert read() == (0, "")
    with Image.open(tmp_path / "one.png") as drawn:
        assert drawn.size == (tiny.WIDTH, tiny.HEIGHT)
    config = json.loads((folder / "config.json").read_text())
    config["networks"]["transformer"]["settings"]["new"] = True
    (folder / "config.json").write_text(json.dumps(config))
    assert read() == (1, "model: settings not known here: ['new'].\n")
    del config["networks"]["transformer"]["settings"]["new"]
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "tokenizer.safetensors").open("ab") as file:
        file.write(b"\0")
    status, said = read()
    assert status == 1
    assert said.endswith("is not the one that config.json names (SHA-256 differ).\n")


def test_the_reader_imports_four_packages():
    tree = ast.parse(READER.read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    found = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert found == {"torch", "safetensors", "sentencepiece", "PIL"}
