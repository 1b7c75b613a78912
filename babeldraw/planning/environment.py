"""The environment in which libtpu compiles without a TPU. Imports nothing that reads it."""

import os

QUIET_LIBTPU = {
    "TPU_SKIP_MDS_QUERY": "1",  # do not wait for a metadata server that is not there
    # What libtpu would otherwise ask the metadata server for, and complain about on the terminal.
    "TPU_ACCELERATOR_TYPE": "v4-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
}
"""For a machine without a TPU."""

_ENVIRONMENT = QUIET_LIBTPU | {
    "JAX_PLATFORMS": "cpu",  # the TPU is compiled for, never used
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several plans may be made at the same time
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def prepare_environment(tpu_flags: str = "") -> None:
    """Sets what libtpu and JAX read when they are first used; call it before importing JAX.

    Args:
      tpu_flags: of the TPU compiler, as a machine file's `xla_flags` has them.
    """
    os.environ.update(_ENVIRONMENT)
    if tpu_flags:
        own = os.environ.get("LIBTPU_INIT_ARGS", "")
        os.environ["LIBTPU_INIT_ARGS"] = f"{tpu_flags} {own}".strip()
