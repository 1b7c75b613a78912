"""Run directories that no training has written: networks of a few hundred weights."""

import contextlib
import json
import pathlib

import gin
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.models.super_resolution import SuperResolver
from babeldraw.models.token_identity import READS_PICTURES
from babeldraw.parallel.rules import unbox
from babeldraw.training.keeping import class_names
from babeldraw.training.keeping.checkpoints import save_constants
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.keeping.settings import NAME, write_settings
from babeldraw.training.state import TrainState, Variable, variable_name
from tests.models import tiny, tiny_coca

TASK = "pictures_of_a_test"

RECIPE = """\
from __gin__ import dynamic_registration
from babeldraw.data.streams import pipeline
from babeldraw.models import vit_vqgan
from babeldraw.objectives import tokenizer
from babeldraw.optimizers import config as optimizers
from babeldraw.optimizers import schedules
from babeldraw.training import loop

loop.train:
  objective = @tokenizer.Tokenizer()
  model_dir = 'unused'
  train_dataset = @pipeline.Dataset()
  eval_dataset = @pipeline.Dataset()
  train_steps = 1

tokenizer.Tokenizer:
  model = @vit_vqgan.ViTVQGAN()
  optimizer = @optimizers.Adam()

optimizers.Adam.learning_rate = @schedules.warmup_cosine()
schedules.warmup_cosine:
  peak = 1e-3
  final = 1e-3
  warmup_steps = 0
  total_steps = 1

vit_vqgan.ViTVQGAN:
  image_size = (16, 20)
  patch_size = 4
  codebook_size = 13
  code_dim = 4
  encoder_layers = 1
  encoder_heads = 2
  encoder_width = 16
  encoder_mlp_dim = 24
  decoder_layers = 1
  decoder_heads = 2
  decoder_width = 16
  decoder_mlp_dim = 24
  dtype = 'float32'

pipeline.Dataset:
  mixture_or_task_name = 'pictures_of_a_test'
  task_feature_lengths = {'text': 2, 'image': (16, 20)}
"""


SUPER_RESOLUTION = """
from babeldraw.models import super_resolution as model
from babeldraw.objectives import super_resolution
from babeldraw.training.keeping import checkpoints

checkpoints.TrainedTokenizer.model_dir = 'unused'
loop.train.objective = @super_resolution.SuperResolution()
super_resolution.SuperResolution:
  model = @model.SuperResolver()
  tokenizer = @vit_vqgan.ViTVQGAN()
  tokenizer_params = @checkpoints.TrainedTokenizer()
  optimizer = @optimizers.Adam()
model.SuperResolver:
  factor = 2
  num_blocks = 1
  channels = 4
"""


TEXT_TO_IMAGE = """
from babeldraw.models import encoder_decoder
from babeldraw.objectives import text_to_image
from babeldraw.training.keeping import checkpoints

checkpoints.TrainedTokenizer.model_dir = 'unused'
loop.train.objective = @text_to_image.TextToImage()
pipeline.Dataset:
  mixture_or_task_name = 'emoji_quickstart_32'
  task_feature_lengths = {'text': 16, 'image': 32}
text_to_image.TextToImage:
  model = @encoder_decoder.EncoderDecoder()
  tokenizer = @vit_vqgan.ViTVQGAN()
  tokenizer_params = @checkpoints.TrainedTokenizer()
  optimizer = @optimizers.Adam()
encoder_decoder.EncoderDecoder:
  text_vocab_size = 2048
  codebook_size = 13
  text_length = 16
  rows = 4
  columns = 5
  d_model = 16
  num_heads = 2
  head_dim = 8
  mlp_dim = 24
  encoder_layers = 1
  decoder_layers = 1
  attention_kernel = 3
  decoder_inputs = 'row_start_above'
  dtype = 'float32'
"""

IMAGE_TOKENS = """
from babeldraw.models import image_decoder
from babeldraw.objectives import image_tokens
from babeldraw.training.keeping import checkpoints

checkpoints.TrainedTokenizer.model_dir = 'unused'
loop.train.objective = @image_tokens.ImageTokens()
image_tokens.ImageTokens:
  model = @image_decoder.ImageDecoder()
  tokenizer = @vit_vqgan.ViTVQGAN()
  tokenizer_params = @checkpoints.TrainedTokenizer()
  optimizer = @optimizers.Adam()
image_decoder.ImageDecoder:
  codebook_size = 13
  rows = 4
  columns = 5
  d_model = 16
  num_heads = 2
  head_dim = 8
  mlp_dim = 24
  decoder_layers = 1
  dtype = 'float32'
"""

COCA = """
from babeldraw.models import coca
from babeldraw.objectives import coca as objectives

loop.train.objective = @objectives.ContrastiveCaptioner()
pipeline.Dataset:
  mixture_or_task_name = 'emoji_quickstart_32'
  task_feature_lengths = {'text': 16, 'image': 32}
objectives.ContrastiveCaptioner:
  model = @coca.CoCa()
  optimizer = @optimizers.Adam()
coca.CoCa:
  image_size = (16, 20)
  patch_size = 4
  text_vocab_size = 2048
  text_length = 16
  d_model = 16
  num_heads = 2
  mlp_dim = 24
  image_layers = 1
  text_layers = 1
  multimodal_layers = 1
  num_queries = 3
  dtype = 'float32'
"""


def write_text_to_image(folder, codes=13, heads=2):
    """Weights of noise, and a frozen tokenizer of 16 x 20 px; returns the run directory, as a str.

    With 16 codes and 4 heads the weights divide over four devices.
    """
    model = tiny.transformer(
        codebook_size=codes,
        num_heads=heads,
        head_dim=16 // heads,
        text_vocab_size=2048,
        text_length=16,
        encoder_layers=1,
        decoder_layers=1,
        decoder_inputs="row_start_above",
    )
    params = {"text_to_image": tiny.random_params(model)}
    ours = TEXT_TO_IMAGE.replace("num_heads = 2", f"num_heads = {heads}")
    ours = ours.replace("head_dim = 8", f"head_dim = {16 // heads}")
    recipe = (RECIPE + ours).replace("codebook_size = 13", f"codebook_size = {codes}")
    run = _write(folder / "text_to_image", recipe, params)
    tokenizer = tiny.tokenizer(codebook_size=codes)
    save_constants(run, {"tokenizer": tiny.random_params(tokenizer, seed=2)})
    return run


def write_image_tokens(folder, names=()):
    """The same of classes with these names, kept in the run; without any, of no classes."""
    model = tiny.image_decoder(decoder_layers=1, num_classes=len(names))
    params = {"image_tokens": tiny.random_params(model)}
    recipe = f"{RECIPE}{IMAGE_TOKENS}  num_classes = {len(names)}\n"
    run = _write(folder / "image_tokens", recipe, params)
    save_constants(run, {"tokenizer": tiny.random_params(tiny.tokenizer(), seed=2)})
    class_names.write(epath.Path(run), names)
    return run


def write_coca(folder):
    """The same of a CoCa for those pictures."""
    model = tiny_coca.coca(image_size=(16, 20), text_vocab_size=2048, text_length=16)
    return _write(folder / "coca", RECIPE + COCA, {"coca": tiny_coca.random_params(model)})


def write_tokenizer(folder):
    """Weights of noise; returns the run directory, as a str."""
    params = tiny.random_params(tiny.tokenizer(), seed=2)
    return _write(folder / "tokenizer", RECIPE, {"tokenizer": params})


def write_decoder(folder, seed=2):
    """A tokenizer with encoder and codebook of this seed, and a decoder twice as wide."""
    wide = tiny.random_params(tiny.tokenizer(decoder_width=32), seed=5)
    reads = tiny.random_params(tiny.tokenizer(), seed=seed)
    params = {**wide, **{name: reads[name] for name in READS_PICTURES}}
    recipe = RECIPE.replace("decoder_width = 16", "decoder_width = 32")
    return _write(folder / "decoder", recipe, {"tokenizer": params})


def write_super_resolution(folder):
    """The same of a network that doubles the side."""
    model = SuperResolver(factor=2, num_blocks=1, channels=4)
    params = unbox(tiny.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4, 4, 3))))["params"]
    return _write(folder / "upscaler", RECIPE + SUPER_RESOLUTION, {"super_resolution": params})


def _write(directory, config_text, params):
    state = TrainState(step=np.int32(1), params=params, optimizer_state={"none": np.zeros(1)})
    leaves = jax.tree_util.tree_leaves_with_path({"params": params})
    variables = [
        Variable(variable_name(path), leaf.shape, leaf.dtype, (), None) for path, leaf in leaves
    ]
    checkpoints = Checkpoints(str(directory), keep=1, seed=0, variables=variables)
    checkpoints.save(1, state)
    checkpoints.close()
    (directory / "config.gin").write_text(config_text)
    write_settings(directory, settings_of([str(directory / "config.gin")]))
    return str(directory)


def settings_of(files, unneeded=()):
    """What `loop.train` would keep of a recipe."""
    parse_gin(files, [], unneeded=unneeded)
    return {
        name: gin.query_parameter(f"loop.train.{name}").scoped_configurable_fn()
        for name in ("objective", "train_dataset", "eval_dataset")
    }


@contextlib.contextmanager
def changed_settings(directory):
    """The settings of a run directory, as JSON to change."""
    path = pathlib.Path(directory) / NAME
    settings = json.loads(path.read_text())
    yield settings
    path.write_text(json.dumps(settings))
