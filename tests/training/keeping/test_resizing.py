"""Contract: what another run has learnt of a place or of a piece is at that place or piece here."""

import io

import jax
import numpy as np
import pytest
import sentencepiece

from babeldraw.training.keeping.resizing import (
    axis_of_pieces,
    fit_positions,
    fit_rows,
    interpolate,
    match_pieces,
)


def transcribed(table, grid, new_grid):
    """The same, cell by cell."""
    old = table.reshape(*grid, -1)
    new = np.zeros((*new_grid, table.shape[1]))
    for row, column in np.ndindex(*new_grid):
        total = 0.0
        y = (row + 0.5) * grid[0] / new_grid[0] - 0.5
        x = (column + 0.5) * grid[1] / new_grid[1] - 0.5
        y, x = np.clip(y, 0, grid[0] - 1), np.clip(x, 0, grid[1] - 1)
        for i, j in np.ndindex(*grid):
            weight = max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j))
            total += weight * old[i, j]
        new[row, column] = total
    return new.reshape(-1, table.shape[1])


@pytest.mark.parametrize(("grid", "new"), [((2, 3), (4, 5)), ((4, 4), (8, 8)), ((5, 4), (2, 6))])
def test_grids_are_interpolated_between_the_centres_of_cells(grid, new):
    table = np.random.default_rng(0).normal(size=(grid[0] * grid[1], 3)).astype(np.float32)
    found = interpolate(table, grid, new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, transcribed(table, grid, new), atol=1e-6)
    by_jax = jax.image.resize(table.reshape(*grid, 3), (*new, 3), "linear", antialias=False)
    np.testing.assert_allclose(found, np.asarray(by_jax).reshape(-1, 3), atol=1e-5)
    np.testing.assert_array_equal(interpolate(table, grid, grid), table)


def test_which_tables_are_of_places():
    table, grids = np.arange(12, dtype=np.float32).reshape(6, 2), ((2, 3), (4, 6))
    rows = fit_positions("t2i/image_positions/row/table", table, (12, 2), grids)
    np.testing.assert_array_equal(rows.array, interpolate(table, (6,), (12,)))
    patches = fit_positions("tokenizer/encoder/positions/table", table, (24, 2), grids)
    np.testing.assert_array_equal(patches.array, interpolate(table, *grids))
    assert patches.how == "interpolated from 2 x 3"
    starts = fit_positions("t2i/start_embedding/table", table[:2], (4, 2), grids)  # one a row
    np.testing.assert_array_equal(starts.array, interpolate(table[:2], (2,), (4,)))
    longer = fit_positions("t2i/text_positions/table", table, (8, 2), grids)
    np.testing.assert_array_equal(longer.array[:6], table)
    assert longer.known.ravel().tolist() == [True] * 6 + [False] * 2
    shorter = fit_positions("t2i/text_positions/table", table, (4, 2), grids)
    np.testing.assert_array_equal(shorter.array, table[:4])
    assert shorter.known is None
    # Other widths, unknown grids and what is no table of positions.
    assert fit_positions("t2i/text_positions/table", table, (8, 3), grids) is None
    assert fit_positions("a/encoder/positions/table", table, (24, 2), (None, (4, 6))) is None
    assert fit_positions("t2i/start_embedding/table", table[:1], (4, 2), grids) is None  # raster
    assert fit_positions("coca/pooler/queries/table", table, (24, 2), grids) is None


def pieces(*words):
    """A SentencePiece model that knows these words."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 4),
        model_writer=model,
        model_type="word",
        vocab_size=len(words) + 3,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def test_rows_of_a_vocabulary_are_matched_by_piece():
    theirs, ours = pieces("red", "cat", "old"), pieces("cat", "blue", "red", "dog")
    rows = match_pieces(ours, theirs)
    assert rows[:3].tolist() == [0, 1, 2] and sorted(rows[3:] >= 0) == [False, False, True, True]
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    fitted = fit_rows(table, (8, 2), 0, rows, "pieces")  # A row more than there are pieces.
    assert fitted.how == "5 of 8 pieces" and fitted.known.shape == (8, 1)
    for row, there in enumerate(rows):
        if there >= 0:
            np.testing.assert_array_equal(fitted.array[row], table[there])
    turned = fit_rows(table.T, (2, 8), 1, rows, "pieces")
    np.testing.assert_array_equal(turned.array, fitted.array.T)
    assert fit_rows(table, (8, 3), 0, rows, "pieces") is None


def test_which_axis_counts_pieces():
    captioner = {"coca/text_embedding/table", "coca/logits/kernel"}
    drawer = {"t2i/text_embedding/table", "t2i/image_embedding/table", "t2i/logits/kernel"}
    assert axis_of_pieces("coca/logits/kernel", captioner) == 1
    assert axis_of_pieces("t2i/logits/kernel", drawer) is None
    assert axis_of_pieces("t2i/text_embedding/table", drawer) == 0
