import math

import pytest

from babeldraw.optimizers.schedules import warmup_cosine, warmup_exponential


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
