import numpy as np
import pytest
from etils import epath
from PIL import Image

from babeldraw.training.watching import chart, panels
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


def marks_of(series, **settings):
    (panel,), _ = panels.panels(series)
    return chart.marks(panel, **settings)


def strokes(marks):
    return [mark for mark in marks if isinstance(mark, chart.Stroke) and mark.colour[0] == "c"]


def test_panels_are_in_the_order_in_which_one_reads_them():
    points = {"eval": [(1, 1.0), (2, 2.0)]}
    names = ["learning_rate", "psnr", "new_score", "loss", "l2", "images_per_second", "prompt_gap"]
    drawn, zero = panels.panels(
        {"": dict.fromkeys(names, points) | {"skipped": {"train": [(1, 0)]}}}
    )
    assert [panel.name for panel in drawn] == [
        *("loss", "prompt_gap", "psnr", "l2", "new_score", "learning_rate", "images_per_second"),
    ]
    assert [panel.is_machine for panel in drawn] == [False] * 5 + [True] * 2
    assert zero == ["skipped"]


def test_the_prompt_gap_of_older_runs_is_the_difference():
    series = {
        "loss": {"train": [(1, 9.0)], "eval": [(1, 3.0), (2, 2.0)]},
        "loss_without_prompt": {"eval": [(1, 3.5), (2, 3.0)]},
    }
    drawn, _ = panels.panels({"": series})
    assert [panel.name for panel in drawn] == ["loss", "prompt_gap"]
    labels = [line.label for line in drawn[0].lines]
    assert labels == ["training", "held out", "held out, without the prompt"]
    assert drawn[1].lines[0].points == [(1, 0.5), (2, 1.0)]


def test_points_stand_where_the_axes_say():
    series = {"": {"loss": {"train": [(0, 10.0), (40, 20.0), (80, 30.0)]}}}
    marks = marks_of(series, changes=[40, 500])
    (stroke,) = strokes(marks)
    (left, low), (middle, half), (right, high) = stroke.places
    assert middle == pytest.approx((left + right) / 2) and half == pytest.approx((low + high) / 2)
    assert low > high  # places are told from above
    words = {mark.text: mark.place for mark in marks if isinstance(mark, chart.Words)}
    assert {"10", "20", "30", "0", "40", "80", "step"} <= words.keys()
    assert words["10"][1] == pytest.approx(low + chart.FONT / 3)
    assert words["40"][0] == pytest.approx(middle)
    upright = [m for m in marks if isinstance(m, chart.Stroke) and m.colour == "ink"]
    assert [mark.places[0][0] for mark in upright] == [pytest.approx(middle)]


def test_lines_are_told_apart_without_colours():
    points = [(1, 1.0), (2, 2.0)]
    series = {"": {"loss": {"train": points, "eval": points, "seen": points}}}
    marks = marks_of(series)
    assert len({(stroke.colour, stroke.dash) for stroke in strokes(marks)}) == 3
    assert len({stroke.dash for stroke in strokes(marks)}) == 2
    dots = {mark.colour for mark in marks if isinstance(mark, chart.Dots)}
    assert len(dots) == 2 and strokes(marks)[0].colour not in dots


def test_a_run_has_its_colour_on_every_panel():
    one, other = [(1, 1.0), (2, 2.0)], [(1, 3.0), (2, 4.0)]
    runs = {"a": {"loss": {"eval": one}}, "b": {"loss": {"eval": other}, "psnr": {"eval": other}}}
    drawn, _ = panels.panels(runs)
    of_b = [strokes(chart.marks(panel, several=True))[-1].colour for panel in drawn]
    assert of_b == [chart.colour_of_run(1)] * 2


def test_a_few_large_values_do_not_hide_the_others():
    points = [(step, 1.0 + step / 100) for step in range(1, 50)]
    (flat,) = strokes(marks_of({"": {"loss": {"train": points}}}))
    (steep,) = strokes(marks_of({"": {"loss": {"train": [(0, 1000.0), *points]}}}))

    def rise(stroke):
        return stroke.places[-40][1] - stroke.places[-1][1]

    linear_would_be = rise(flat) / 1000
    assert rise(steep) > 20 * linear_would_be


def test_long_runs_are_thinned_to_means():
    points = [(step, float(step % 2)) for step in range(1, 1001)]
    thin = chart.thinned(points)
    assert len(thin) <= 300 and thin[0] == (4, 0.5) and thin[-1] == (1000, 0.5)
    assert chart.thinned(points[:300]) == points[:300]


@pytest.mark.parametrize(
    "values", [[5.0], [0.5, 0.5], [1e-300], [1e299, -1e299], [1.0, 1.0 + 1e-16], [0.0, 1e-12]]
)
def test_any_values_have_a_drawing(values):
    points = list(enumerate(values))
    places = strokes(marks_of({"": {"loss": {"train": points}}}))[0].places
    assert all(0 <= x <= chart.WIDTH and 0 <= y <= chart.HEIGHT for x, y in places)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 5_000, 10_000], ["0", "5k", "10k"]),
        ([0, 2_500_000], ["0", "2.5M"]),
        ([0.1, 0.30000000000000004], ["0.1", "0.3"]),
        ([500, 1_000], ["500", "1,000"]),
        ([0.0002, 0.0004], ["0.0002", "0.0004"]),
        ([0, 20_000_000_000], ["0", "20G"]),
    ],
)
def test_ticks_are_short(values, said):
    assert [chart.said(value, values) for value in values] == said
