"""Contract: a file of tokens comes back as it was, or is refused in one sentence."""

import os

import numpy as np
import pytest

from babeldraw.data.token_file import TokenFile
from babeldraw.errors import UserError
from babeldraw.files import written_whole

NAMES = ["a.png", "b/ü \U0001f600.jpg", os.fsdecode(b"\xff.png")]


def tokens():
    return np.random.default_rng(0).integers(0, 2**16, (3, 4), np.uint16)


def write(path, **changes):
    """A right file, but for `changes`."""
    arrays = {
        "tokens": tokens(),
        "names": np.array(NAMES),
        "grid": np.int32(2),
        "tokenizer": np.str_("abc"),
    }
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize("grid", [2, (1, 4)])
def test_round_trip(tmp_path, grid):
    path = tmp_path / "new" / "tokens.npz"
    TokenFile(tokens(), np.array(NAMES), grid, "abc").write(path)
    read = TokenFile.read(path)
    np.testing.assert_array_equal(read.tokens, tokens())
    assert read.tokens.dtype == np.uint16
    assert read.names.tolist() == NAMES
    assert (read.grid, read.tokenizer) == (grid, "abc")
    assert [entry.name for entry in path.parent.iterdir()] == ["tokens.npz"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": tokens().astype(np.float32)},
        {"tokens": tokens()[0]},
        {"tokens": None},
        {"names": np.array(["a"])},
        {"names": np.arange(3)},
        {"names": np.array([{"a": 1}, None, "c"], object)},  # would be unpickled
        {"grid": np.int32(3)},
        {"grid": np.array([2, 3])},
        {"grid": np.array([-1, -4])},
        {"grid": np.array([1, 2, 2])},
        {"tokenizer": np.int32(1)},
        {"tokenizer": None},
    ],
)
def test_other_arrays_are_refused(tmp_path, changes):
    path = tmp_path / "tokens.npz"
    write(path)
    TokenFile.read(path)  # right without the change
    write(path, **changes)
    with pytest.raises(UserError, match=r"tokens\.npz.*babeldraw tokenize --images"):
        TokenFile.read(path)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "tokens.npz"
    write(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for length in [0, *rng.integers(1, len(data), 20)]:
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="cannot be read as tokens"):
            TokenFile.read(path)
    for place in rng.integers(0, len(data), 100):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        try:
            TokenFile.read(path)  # a date in the archive, say, is nobody's business
        except UserError:
            refused += 1
    assert refused > 50


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        TokenFile.read(tmp_path / "nothing.npz")


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as file:
        file.write(b"half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    with written_whole(path) as file:
        file.write(b"new")
    assert path.read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below.npz", tmp_path):
        with pytest.raises(UserError, match="cannot be written"), written_whole(path):
            pass
