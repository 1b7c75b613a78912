from tests.quick import compiled_quickly  # noqa: F401
