"""The emoji set is prepared once, in a folder of the test run."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BABELDRAW_DATA_DIR", str(folder))
        yield folder
