"""Contract: two processes that go through half of the pictures each get the numbers of one."""

import json

import numpy as np
import pytest

from babeldraw.evaluation.frechet import FeatureStatistics
from babeldraw.evaluation.scores.distances import Distances
from babeldraw.evaluation.scores.hosts import gathered, merged, share
from tests.evaluation.scores.made_network import made_network, pictures
from tests.training.test_processes import run_two

PROGRAM = """
import json

from tests.evaluation.scores.test_hosts import numbers

print("FOUND", json.dumps(numbers()))
"""


def numbers():
    """Value and interval of each score, of counts that do not divide by two."""
    found = Distances(made_network()).of(pictures(0, 51), [""] * 51, pictures(1, 33, high=200))
    return {name: [result.value, *result.interval, result.n] for name, result in found.items()}


def test_a_lone_process_has_all():
    rows = np.arange(6.0).reshape(3, 2)
    assert gathered(rows) is rows
    statistics = FeatureStatistics(2)
    assert merged(statistics) is statistics
    assert share(7) == slice(0, 7)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_shares_are_all_in_order(monkeypatch, count):
    monkeypatch.setattr("jax.process_count", lambda: count)
    shares = []
    for index in range(count):
        monkeypatch.setattr("jax.process_index", lambda index=index: index)
        shares += list(range(7))[share(7)]
    assert shares == list(range(7))


@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path):
    outputs = run_two(tmp_path, 0, PROGRAM)
    expected = numbers()
    for output in outputs:
        (line,) = [line for line in output.splitlines() if line.startswith("FOUND ")]
        found = json.loads(line.removeprefix("FOUND "))
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-9, err_msg=name)
