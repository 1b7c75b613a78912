"""libtpu reads its environment when it is first asked for a topology."""

import pytest

from babeldraw.planning.environment import prepare_environment

prepare_environment()


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """The folder of what plans keep: one for each file of tests, empty at first."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BABELDRAW_CACHE_DIR", str(folder))
        yield folder
