"""Contract: our tasks answer as T5X asks, with metrics whose pictures can be looked at."""

import numpy as np
import pytest
import seqio

from babeldraw.data import t5x_features
from babeldraw.data.streams.pipeline import Dataset
from babeldraw.errors import UserError

LENGTHS = {"text": 20, "image": 32}


def test_a_registered_task_gives_the_batches_of_the_dataset():
    dataset = Dataset("emoji_quickstart_32", LENGTHS, "heldout_people", batch_size=4, shuffle=False)
    settings = t5x_features.settings_of(dataset)
    assert settings["batch_size"] == 4 and settings["trim_output_features"] is False
    # As t5x.utils.get_dataset calls it.
    make = t5x_features.converter_of(tokens_beforehand=False)
    stream = seqio.get_dataset(
        mixture_or_task_name=settings["mixture_or_task_name"],
        task_feature_lengths=settings["task_feature_lengths"],
        dataset_split=settings["split"],
        shuffle=settings["shuffle"],
        feature_converter=make(pack=settings["pack"], use_custom_packing_ops=False),
        trim_output_features=False,
        batch_size=4,
    )
    theirs, ours = next(stream.as_numpy_iterator()), next(dataset.batches())
    assert theirs.keys() == ours.keys() == {"text_tokens", "image"}
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name], array)
    task = seqio.get_mixture_or_task(settings["mixture_or_task_name"])
    assert len(task.metric_objs) == 2
    assert t5x_features.settings_of(dataset) == settings  # Registered once.


def test_a_view_is_a_task_of_its_own():
    plain = Dataset("emoji_quickstart_32", LENGTHS)
    seen = Dataset("emoji_quickstart_32", LENGTHS, flip=True)
    with pytest.raises(UserError, match="ready-made"):
        t5x_features.settings_of(seen)
    assert t5x_features.settings_of(plain)["mixture_or_task_name"].startswith("emoji_quickstart_32")


def test_packing_is_refused():
    with pytest.raises(UserError, match="packed examples"):
        t5x_features.converter_of(False)(pack=True)


def test_tokens_have_their_own_converter():
    converter = t5x_features.converter_of(tokens_beforehand=True)()
    assert "image_tokens" in converter.MODEL_FEATURES


def test_metrics_of_what_a_model_gives():
    pictures = np.stack([np.full((4, 6, 3), shade, np.uint8) for shade in range(1, 11)])
    made = {"pictures": pictures, "scores": np.linspace(-2, -1, 10)}
    metric = t5x_features.DrawnPictures.from_model_output([], (np.zeros((10, 5)), made), {})
    found = metric.compute()
    assert found["drawn_score"].value == pytest.approx(-1.5)
    (sheet,) = found["drawn"].image
    assert sheet.shape == (2 * 4, 8 * 6, 3) and sheet.dtype == np.uint8
    assert (sheet[:4, :6] == 1).all() and (sheet[4:, 6:12] == 10).all()
    assert not sheet[4:, 12:].any()
    score = t5x_features.Likelihood.from_model_output([], np.array([-10.0, -30.0]), {}).compute()
    assert score["log_probability"].value == -20
