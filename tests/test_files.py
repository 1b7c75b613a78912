import os
import pathlib

import pytest

from babeldraw import files
from babeldraw.errors import UserError


def test_remote_paths_stay_what_they_are_and_local_ones_do_not_move(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(files.path("gs://b/x")) == "gs://b/x"
    assert str(files.path("gs://b") / "checkpoints") == "gs://b/checkpoints"
    assert files.path("runs/a") == tmp_path / "runs" / "a"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.path("~/a") == tmp_path / "a"


def test_local_files_are_read_where_they_are(tmp_path):
    assert files.local_copy(tmp_path / "a") == tmp_path / "a"


def test_two_writers_of_one_number_do_not_meet(tmp_path):
    """In containers every process is number 1."""
    target = tmp_path / "a"
    with files.written_whole(target) as one, files.written_whole(target) as other:
        one.write(b"one")
        other.write(b"other")
        assert len(list(tmp_path.iterdir())) == 2
    assert target.read_bytes() in (b"one", b"other")
    assert os.listdir(tmp_path) == ["a"]


def test_what_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot be written \(.*\); do this"),
        files.written_whole(tmp_path / "file" / "a", "do this"),
    ):
        pass


def test_no_other_file_makes_paths_of_its_own():
    """`epath.Path("gs://b").resolve()` is a folder of this machine, called gs:."""
    package = pathlib.Path(files.__file__).parent
    makers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "epath.Path(" in path.read_text() or '"://" in' in path.read_text()
    }
    assert makers == {"files.py"}
