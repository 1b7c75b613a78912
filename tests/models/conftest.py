"""libtpu reads its environment when it is first asked for a topology."""

from babeldraw.planning.environment import prepare_environment
from tests.quick import compiled_quickly  # noqa: F401

prepare_environment()
