from tests.quick import compiled_quickly  # noqa: F401
from tests.training.conftest import compiled_once  # noqa: F401 - the layouts share programs
