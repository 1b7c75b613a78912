import numpy as np
from etils import epath
from PIL import Image

from babeldraw.training.watching.curves import read_series, write_curves
from babeldraw.training.watching.metrics import JsonLines


def test_every_metric_of_both_splits_is_drawn(tmp_path):
    path = epath.Path(tmp_path) / "metrics.jsonl"
    write = JsonLines(path, 0)
    for step in (1, 2, 3):
        write(step, "train", {"loss": 1 / step, "speed": 5.0})
    write(3, "eval", {"loss": 0.5, "usage": float("nan")})
    assert read_series(path) == {
        "loss": {"train": [(1, 1.0), (2, 0.5), (3, 1 / 3)], "eval": [(3, 0.5)]},
        "speed": {"train": [(1, 5.0), (2, 5.0), (3, 5.0)]},
    }
    write_curves(path, path.parent / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_no_metrics_no_picture(tmp_path):
    path = epath.Path(tmp_path) / "metrics.jsonl"
    path.write_text("")
    write_curves(path, path.parent / "curves.png")
    assert not (tmp_path / "curves.png").exists()
