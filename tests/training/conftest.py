import jax
import pytest

from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.quick import compiled_quickly  # noqa: F401
from tests.training.toy import Toy, ToyDataset


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory):
    """Most tests run the same programs; compiling them is most of the time."""
    from jax.experimental.compilation_cache import compilation_cache

    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def run(tmp_path):
    """Trains the toy for some steps; returns the state and its records."""

    def run(train_steps, *, name="run", objective=None, machine=None, one_device=True, **settings):
        records = []
        state = train(
            objective or Toy(),
            model_dir=str(tmp_path / name),
            train_dataset=settings.pop("train_dataset", ToyDataset()),
            train_steps=train_steps,
            machine=machine or Machine(checkpoint_every=0),
            log_every=settings.pop("log_every", 1),
            on_metrics=lambda *record: records.append(record),
            devices=jax.devices()[:1] if one_device else None,
            **settings,
        )
        return state, records

    return run
