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
    package = importlib.util.find_spec("parti_pytorch")
    if package is None:
        raise SystemExit(f"parti-pytorch is not installed: see the top of {__file__}.")
    if importlib.util.find_spec("torchvision") is None:
        for missing in ("torchvision", "torchvision.transforms"):
            module = sys.modules[missing] = types.ModuleType(missing)
            # PyTorch asks for its spec.
            module.__spec__ = importlib.machinery.ModuleSpec(missing, None)
        sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    if importlib.util.find_spec("transformers") is None:
        sys.modules.setdefault("parti_pytorch", types.ModuleType("parti_pytorch"))
        text = sys.modules["parti_pytorch.t5"] = types.ModuleType("parti_pytorch.t5")
        text.t5_encode_text = text.get_encoded_dim = lambda *_, **__: None
        text.DEFAULT_T5_NAME = ""
    name = f"parti_pytorch.{name}"
    if name not in sys.modules:
        path = pathlib.Path(package.origin).parent / f"{name.rpartition('.')[2]}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]
