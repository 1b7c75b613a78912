import pytest
from scipy import stats

from babeldraw.evaluation.shares import wilson


@pytest.mark.parametrize(("right", "count"), [(0, 5), (5, 5), (1, 2), (70, 72), (333, 1000)])
def test_as_scipy_has_it(right, count):
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    assert wilson(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-6)
