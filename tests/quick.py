"""How the tests of a folder compile: `from tests.quick import compiled_quickly` in its conftest."""

import os

import jax
import pytest
from jax._src import compiler

OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Without LLVM's optimisations, with XLA's older way of writing fused loops, and each program as
one module of LLVM's: a quarter less time than 32, which are for many cores."""

AS_FOR_USERS = {
    "xla_backend_optimization_level": 3,
    "xla_cpu_use_fusion_emitters": True,
    "xla_cpu_parallel_codegen_split_count": 32,
}
"""What XLA does where nobody says otherwise: `jax.jit(..., compiler_options=AS_FOR_USERS)` where a
test is about the rounding of an optimised program."""


@pytest.fixture(scope="module", autouse=True)
def compiled_quickly(request):
    """Whatever is compiled in this process, as `tiny.jit` compiles; compiling is most of the time.

    As users' programs are: what is slow, which trains; modules marked `optimised`, whose promises
    are about bits of different programs; and with `--optimised` everything.
    """
    config = request.config.option
    optimised = config.optimised or request.node.get_closest_marker("optimised")
    if optimised or "not slow" not in config.markexpr:
        yield
        return
    as_for_users = compiler.get_compile_options

    def quickly(*arguments, env_options_overrides=None, **settings):
        overrides = OPTIONS | (env_options_overrides or {})
        return as_for_users(*arguments, env_options_overrides=overrides, **settings)

    compiler.get_compile_options = quickly
    yield
    compiler.get_compile_options = as_for_users
    jax.clear_caches()  # of functions that other modules call, too


@pytest.fixture(scope="module")
def children_compile_quickly():
    """So do processes that the tests of a file start, where they train."""
    jax.devices()  # this process has read its flags now
    flags = [f"--{name}={value}" for name, value in OPTIONS.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", " ".join([os.environ.get("XLA_FLAGS", ""), *flags]))
        yield
