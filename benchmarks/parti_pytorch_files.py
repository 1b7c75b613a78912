"""Single files of PyPI's parti-pytorch 0.2.0, to measure against.

    pip install --no-deps parti-pytorch==0.2.0 vector-quantize-pytorch==1.32.0 einops-exts \
        einx==0.4.3 frozendict loguru torch-einops-utils sympy
"""

import importlib.machinery
import importlib.util
import pathlib
import sys
import types


def load(name: str) -> types.ModuleType:
    """`parti_pytorch.NAME` alone.

    The package itself imports its text model and its trainer, and so many packages more. What
    stands in for those that are missing does nothing: torchvision has the VGG of the perceptual
    loss and turns tensors into PIL pictures, `t5` embeds the prompt; neither is measured.
    """
    whole = f"parti_pytorch.{name}"
    if whole in sys.modules:
        return sys.modules[whole]
    package = importlib.util.find_spec("parti_pytorch")
    if package is None:
        raise SystemExit(f"parti-pytorch is not installed: see the top of {__file__}.")
    if importlib.util.find_spec("torchvision") is None:
        transforms = _stand_in("torchvision.transforms")
        _stand_in("torchvision", transforms=transforms)
    if importlib.util.find_spec("transformers") is None:
        sys.modules["parti_pytorch"] = importlib.util.module_from_spec(package)  # not executed
        names = ("t5_encode_text", "get_encoded_dim")
        _stand_in("parti_pytorch.t5", **dict.fromkeys(names, lambda name: None), DEFAULT_T5_NAME="")
    path = pathlib.Path(package.origin).parent / f"{name}.py"
    spec = importlib.util.spec_from_file_location(whole, path)
    module = sys.modules[whole] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stand_in(name: str, **attributes: object) -> types.ModuleType:
    """A module with these attributes and a spec, for which PyTorch asks."""
    module = sys.modules[name] = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(attributes)
    return module
