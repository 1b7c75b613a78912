"""Set before JAX is imported: CPU, as eight devices, so that sharding is real in every test."""

import os

from jaxtyping import install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

# In tests, and only there, every call of these is checked against its annotated shapes.
_CHECKED = ("models", "objectives.losses", "optimizers", "sampling", "training.watching.pictures")
_HOOK = install_import_hook([f"babeldraw.{name}" for name in _CHECKED], "beartype.beartype")
