import math

import numpy as np
import pytest
from PIL import Image

from babeldraw.optimizers.schedules import plot_schedule, warmup_cosine, warmup_exponential


def test_warmup_exponential_at_the_knots_of_the_patent():
    rate = warmup_exponential(4.5e-5)
    assert float(rate(0)) == 0
    assert float(rate(2_500)) == pytest.approx(2.25e-5, rel=1e-4)
    for step in (5_000, 40_000, 85_000):
        assert float(rate(step)) == pytest.approx(4.5e-5, rel=1e-5)
    # Halfway through the decay in steps is halfway in the logarithm.
    middle = (85_000 + 450_000) // 2
    assert float(rate(middle)) == pytest.approx(4.5e-5 * math.sqrt(0.025), rel=1e-3)
    for step in (450_000, 600_000):
        assert float(rate(step)) == pytest.approx(4.5e-5 * 0.025, rel=1e-3)


def test_warmup_cosine_at_the_knots_of_vit_vqgan():
    rate = warmup_cosine(1e-4, 50_000, 500_000, 5e-5)
    assert float(rate(0)) == 0
    assert float(rate(25_000)) == pytest.approx(5e-5, rel=1e-4)
    assert float(rate(50_000)) == pytest.approx(1e-4, rel=1e-5)
    assert float(rate(275_000)) == pytest.approx(7.5e-5, rel=1e-3)
    for step in (500_000, 700_000):
        assert float(rate(step)) == pytest.approx(5e-5, rel=1e-3)


def test_a_schedule_is_plotted(tmp_path):
    def dark(name, schedule, steps):
        """Where the picture is far from white."""
        plot_schedule(schedule, steps, tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG"
            return np.asarray(picture.convert("L")) < 128

    rising = dark("rising.png", lambda step: 1e-3 * step, 50)
    constant = dark("constant.png", lambda step: 1e-3, 50)
    assert rising.any()
    assert (rising != constant).any()
    dark("long.png", warmup_exponential(4.5e-5), 450_000)
