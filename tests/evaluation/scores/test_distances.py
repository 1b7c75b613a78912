"""`Distances` on a network that a test can follow: what it names, what it warns of, hosts."""

import dataclasses
import json

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance
from babeldraw.evaluation.scores import distances
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.distances import Distances
from babeldraw.evaluation.scores.feature_network import on_own_devices
from tests.evaluation.scores.made_network import MATRIX, made_network, pictures


@pytest.fixture(scope="module")
def network():
    return made_network()


def features(of):
    rows = np.stack(list(of)).astype(np.float32) / 255
    gathered = FeatureStatistics(8)
    gathered.add(np.tanh(rows.reshape(len(rows), -1) @ MATRIX)[:, :8])
    return gathered


def test_scores_are_named_and_plain_settings_say_what_moves_them(network):
    score = Distances(network)
    drawn, real = pictures(0, 50), pictures(1, 60, high=200)
    found = score.of(drawn, [""] * 50, real)
    assert list(found) == [
        *("inception_score", "fid", "kid", "precision", "recall", "density", "coverage"),
    ]
    expected = frechet_distance(features(drawn), features(real))
    np.testing.assert_allclose(found["fid"].value, expected, rtol=1e-4)
    for result in found.values():
        low, high = result.interval
        assert low <= result.value <= high
        assert result.n == (60 if result is found["recall"] or result is found["coverage"] else 50)
    assert json.loads(json.dumps(score.settings))["seed"] == 2020
    alone = score.of(drawn, [""] * 50, None)
    assert list(alone) == ["inception_score"]
    assert alone["inception_score"].value == found["inception_score"].value


def test_twice_the_same_and_other_batches_too(network):
    drawn, real = pictures(0, 37), pictures(1, 41)
    first = Distances(network).of(drawn, [""] * 37, real)
    again = Distances(network).of(drawn, [""] * 37, real)
    smaller = dataclasses.replace(network, runner=on_own_devices(MATRIX, batch_size=8))
    others = Distances(smaller).of(drawn, [""] * 37, real)
    for name, result in first.items():
        assert result.value == again[name].value
        assert result.interval == again[name].interval
        np.testing.assert_allclose(result.value, others[name].value, rtol=1e-5, atol=1e-7)


def test_features_of_another_network_are_no_fid(network):
    other = dataclasses.replace(
        network, classes=0, program=lambda p, x: network.program(p, x)[:, :8]
    )
    found = Distances(other).of(pictures(0, 20), [""] * 20, pictures(1, 20))
    assert {"frechet_distance", "kernel_distance"} < found.keys()
    assert not {"fid", "kid", "inception_score"} & found.keys()
    with pytest.raises(UserError, match="need real pictures"):
        Distances(other).of(pictures(0, 20), [""] * 20, None)


def test_fewer_pictures_than_features_are_warned_of(network):
    def warnings(n, m):
        return Distances(network).of(pictures(0, n), [""] * n, pictures(1, m))["fid"].warnings

    assert warnings(30, 30) == ()
    for n, m in ((7, 30), (30, 7)):
        (sentence,) = warnings(n, m)
        assert "biased upwards" in sentence
        assert f"{n} drawn and {m} real" in sentence
    found = Distances(network).of(pictures(0, 7), [""] * 7, pictures(1, 30))
    assert "biased downwards" in found["inception_score"].warnings[0]
    assert "subsets of 7" in found["kid"].warnings[0]
    with pytest.raises(UserError, match="more than 5 pictures"):
        Distances(network).of(pictures(0, 5), [""] * 5, pictures(1, 30))


def test_what_is_left_out_of_many_is_named(network, monkeypatch):
    monkeypatch.setattr(distances, "KEPT", 20)
    drawn, real = pictures(0, 50), pictures(1, 30)
    found = Distances(network).of(drawn, [""] * 50, real)
    assert found["fid"].n == 50
    assert found["kid"].n == 20
    np.testing.assert_allclose(
        found["fid"].value, frechet_distance(features(drawn), features(real)), rtol=1e-4
    )
    for name in ("kid", "precision", "coverage"):
        assert any("at most 20 a side" in sentence for sentence in found[name].warnings)


def test_references_are_gone_through_once(network):
    score, real = Distances(network), pictures(1, 20)
    first = score.of(pictures(0, 20), [""] * 20, real)
    real._items = np.zeros_like(real._items)  # would be seen
    assert score.of(pictures(0, 20), [""] * 20, real)["fid"] == first["fid"]
    assert score.of(pictures(0, 20), [""] * 20, Pictures(real._items))["fid"] != first["fid"]
