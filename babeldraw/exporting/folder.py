"""The folder of an exported model, written and read.

  config.json           what there is, and how it is used; see `write`
  NETWORK.safetensors   one a network: transformer, tokenizer, coca, super_resolution
  vocabulary.model      SentencePiece, of the Transformer; coca.vocabulary.model: of CoCa
  prompts.json          what the run knew of its captions; classes.txt: of its classes
  README.md             the model card

Nothing of it is run. The sizes of a network are the fields of its class, which is a name to look up
among `NETWORKS`; the names of its arrays are those of its parameters, joined by dots.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from etils import epath

import babeldraw
from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.exporting import arrays
from babeldraw.exporting.precision import PRECISIONS, Precision, flatten, from_arrays, to_arrays
from babeldraw.models.coca import CoCa
from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.super_resolution import SuperResolver
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.parallel.rules import unbox
from babeldraw.sizes import height_and_width
from babeldraw.training.keeping import class_names, prompts, vocabulary
from babeldraw.training.keeping.run_folders import EXPORTED as NAME
from babeldraw.training.keeping.run_folders import EXPORTED_FORMAT
from babeldraw.training.keeping.settings import class_name, from_data, to_data

FORMAT = 1

TRANSFORMER, TOKENIZER, COCA = "transformer", "tokenizer", "coca"
SUPER_RESOLUTION = "super_resolution"

NETWORKS: Mapping[str, tuple[type, ...]] = {
    TRANSFORMER: (EncoderDecoder, ImageDecoder),
    TOKENIZER: (ViTVQGAN,),
    COCA: (CoCa,),
    SUPER_RESOLUTION: (SuperResolver,),
}
"""What a folder may hold, and of which class each is."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network to write: its module, its parameters, and the bytes of the vocabulary it reads."""

    module: nn.Module
    params: Any
    vocabulary: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Description:
    """What config.json says beside the networks.

    Attributes:
      source: the run's directory and step, to be read by people.
      view: settings of `data.picture_files.view.View`, by which pictures are made the networks'.
      drawing: settings of drawing that go with the model, where nobody says otherwise.
      training: settings with which it can be trained further; of some models alone.
    """

    source: Mapping[str, Any]
    view: Mapping[str, Any]
    drawing: Mapping[str, float]
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write(
    folder: epath.Path,
    networks: Mapping[str, Network],
    description: Description,
    precision: Precision,
    run: epath.Path,
) -> dict[str, Any]:
    """Writes all of the folder but its card; returns what config.json holds.

    Args:
      run: the run directory, whose words and classes are copied.
    """
    described = {}
    first_vocabulary = None
    for name, network in networks.items():
        settings = to_data(network.module)
        settings.pop("execution", None)  # of the machine that trained it
        file = f"{name}.safetensors"
        entry = {
            "file": file,
            "sha256": arrays.write(folder / file, to_arrays(network.params, precision)),
            "settings": settings,
        }
        if network.vocabulary is not None:
            first_vocabulary = first_vocabulary or network.vocabulary
            same = network.vocabulary == first_vocabulary
            entry["vocabulary"] = vocabulary.NAME if same else f"{name}.{vocabulary.NAME}"
            with files.written_whole(folder / entry["vocabulary"]) as output:
                output.write(network.vocabulary)
        described[name] = entry
    if (run / class_names.NAME).exists():
        with files.written_whole(folder / class_names.NAME) as output:
            output.write((run / class_names.NAME).read_bytes())
    if (run / prompts.NAME).exists():
        # Where the data were is of that machine alone.
        known = dataclasses.replace(prompts.read_prompts(run), data=None)
        with files.written_whole(folder / prompts.NAME) as output:
            output.write(prompts.as_file(known))
    config = {
        "format": EXPORTED_FORMAT,
        "version": FORMAT,
        "babeldraw": babeldraw.__version__,
        "precision": precision,
        **dataclasses.asdict(description),
        "networks": described,
    }
    with files.written_whole(folder / NAME) as output:  # last: with it, the folder is a model
        output.write((json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
    return config


@dataclasses.dataclass(frozen=True)
class Folder:
    """An exported model, whose arrays are read when they are first asked for."""

    path: epath.Path
    config: Mapping[str, Any]

    @property
    def networks(self) -> Sequence[str]:
        """Names of what it holds."""
        return tuple(self.config["networks"])

    @property
    def precision(self) -> str:
        """Of its files."""
        return str(self.config["precision"])

    def module(self, name: str) -> Any:
        """The network, unbound.

        Raises:
          UserError: its settings are not of a class that may be there.
        """
        place = f"{name} in {self.path / NAME}"
        known = {class_name(cls): cls for cls in NETWORKS[name]}
        module = from_data(self.config["networks"][name].get("settings"), known, place)
        if not isinstance(module, NETWORKS[name]):
            raise UserError(f"{place} is no such network; bring the file back from a copy.")
        return module

    @functools.cached_property
    def _params(self) -> dict[str, Any]:
        return {}

    def params(self, name: str) -> Any:
        """Its parameters, float32 on the host; read once.

        Raises:
          UserError: the file is damaged, or its arrays are not those of the network.
        """
        if name not in self._params:
            entry = self.config["networks"][name]
            file = self.path / str(entry.get("file"))
            found = from_arrays(arrays.read(file, str(entry.get("sha256"))))
            _check_shapes(file, flatten(found), self.module(name))
            self._params[name] = found
        return self._params[name]

    def vocabulary_file(self, name: str) -> epath.Path:
        """Of a network that reads texts."""
        return self.path / str(self.config["networks"][name].get("vocabulary", vocabulary.NAME))


def read(path: epath.Path) -> Folder:
    """Opens a folder of `write`; arrays are read later.

    Raises:
      UserError: there is no config.json, or it is none of ours, damaged, or of a newer version.
    """
    file = path / NAME
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read ({error}): bring it back from a copy.") from error
    if not isinstance(config, dict) or config.get("format") != EXPORTED_FORMAT:
        raise UserError(
            f"{file} is not of a model that `babeldraw export` wrote; give a folder that is."
        )
    version = config.get("version")
    if not isinstance(version, int) or version > FORMAT:
        raise UserError(
            f"{file} is of version {str(version)[:20]}, and this Babeldraw "
            f"({babeldraw.__version__}) reads those up to {FORMAT}: install a newer one."
        )
    networks = config.get("networks")
    networks = networks if isinstance(networks, dict) else {}
    whole = bool(networks) and set(networks) <= set(NETWORKS)
    parts = ("source", "view", "drawing")
    whole = whole and all(isinstance(config.get(part), dict) for part in parts)
    whole = whole and all(isinstance(entry, dict) for entry in networks.values())
    files_inside = whole and all(
        str(entry.get(kind, "")) == pathlib.PurePath(str(entry.get(kind, ""))).name
        for entry in networks.values()
        for kind in ("file", "vocabulary")
    )
    if not files_inside or config.get("precision") not in PRECISIONS:
        raise UserError(f"{file} is damaged: bring it back from a copy.")
    return Folder(path, config)


def _check_shapes(file: epath.Path, found: Mapping[str, Any], module: nn.Module) -> None:
    wanted = {name: leaf.shape for name, leaf in flatten(abstract_params(module)).items()}
    shapes = {name: leaf.shape for name, leaf in found.items()}
    if shapes == wanted:
        return
    other = next(name for name in (*wanted, *shapes) if wanted.get(name) != shapes.get(name))
    raise UserError(
        f"{file} has {_shape(shapes.get(other))} as {other[:80]}, and the network of config.json "
        f"{_shape(wanted.get(other))}: bring both back from one copy."
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else str(list(shape))


def abstract_params(module: Any) -> Any:
    """Shapes and dtypes of a network's parameters, at no cost."""

    def init() -> Any:
        return module.init(jax.random.key(0), *_inputs(module))["params"]

    return unbox(jax.eval_shape(init))


def _inputs(module: Any) -> tuple[jax.Array, ...]:
    if isinstance(module, SuperResolver):
        return (jnp.zeros((1, 4, 4, 3)),)
    if isinstance(module, ImageDecoder):
        tokens = jnp.zeros((1, module.num_tokens), jnp.int32)
        if isinstance(module, EncoderDecoder):
            return jnp.zeros((1, module.text_length), jnp.int32), tokens
        return (tokens,)
    picture = jnp.zeros((1, *height_and_width(module.image_size), 3))
    if isinstance(module, CoCa):
        return picture, jnp.zeros((1, module.text_length), jnp.int32)
    return (picture,)
