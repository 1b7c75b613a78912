"""Where files are looked for."""

import pytest

from babeldraw.cli.support import paths
from babeldraw.errors import UserError


def test_the_checkout_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = paths.find_file("configs/cpu.py", paths.search_folders(), "machine file")
    assert found == paths.repository_root() / "configs/cpu.py"


def test_the_current_folder_wins_then_extra_ones_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("configs", "a/configs", "b/configs"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("b", "a", "."):
        (tmp_path / folder / "configs/cpu.py").touch()
        found = paths.find_file("configs/cpu.py", paths.search_folders(["a", "b"]), "file")
        assert found.resolve() == (tmp_path / folder / "configs/cpu.py").resolve()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("configs/cpo.py", "did you mean configs/cpu.py?"),
        ("pyproject.tml", "looked in "),  # nothing of that suffix: no guess
        ("/nowhere/at/all.py", "looked in "),
    ],
)
def test_a_missing_file_says_what_may_be_meant(name, advice):
    with pytest.raises(
        UserError, match=f"there is no machine file {name}; {advice}".replace("?", r"\?")
    ):
        paths.find_file(name, paths.search_folders(), "machine file")
