import numpy as np

from babeldraw.evaluation.retrieval import Gallery, nearest, thumbnails, top1


def gallery():
    """Two concepts in two styles; the last two pictures are the same picture of two concepts."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, size=(5, 32, 32, 3), dtype=np.uint8)
    return Gallery(
        np.concatenate([pictures, pictures[-1:]]),
        np.array(["apple", "apple", "pear", "pear", "moon", "lamp"]),
        np.array(["noto", "fluent", "noto", "fluent", "noto", "noto"]),
    )


def test_real_pictures_find_themselves():
    real = gallery()
    concept, cell = top1(real.images, np.arange(6), real)
    np.testing.assert_array_equal(concept, 1)
    np.testing.assert_array_equal(cell, 1)


def test_right_concept_wrong_style_and_wrong_concept():
    real = gallery()
    # Asked for the apple in noto: drawn that, the fluent apple, the noto pear.
    samples = real.images[[0, 1, 2]]
    concept, cell = top1(samples, np.array([0, 0, 0]), real)
    np.testing.assert_array_equal(concept, [1, 1, 0])
    np.testing.assert_array_equal(cell, [1, 0, 0])


def test_pictures_that_nobody_can_tell_apart_count_as_each_other():
    real = gallery()
    # 4 and 5 look the same, and stand under two names: both prompts are answered by either.
    for prompted in (4, 5):
        concept, cell = top1(real.images[[4, 5]], np.array([prompted] * 2), real)
        np.testing.assert_array_equal(concept, 1)
        np.testing.assert_array_equal(cell, 1)


def test_nearest_is_brute_force_and_survives_noise():
    real = gallery().images[:5]
    rng = np.random.default_rng(1)
    noise = rng.integers(-20, 21, size=real.shape)
    noisy = np.clip(real.astype(int) + noise, 0, 255).astype(np.uint8)[::-1]
    found = nearest(noisy, real)
    np.testing.assert_array_equal(found, np.arange(5)[::-1])
    x, y = thumbnails(noisy).astype(np.float64), thumbnails(real).astype(np.float64)
    np.testing.assert_array_equal(found, np.square(x[:, None] - y).sum(-1).argmin(1))


def test_thumbnails_are_box_averages():
    picture = np.zeros((1, 32, 32, 3), np.uint8)
    picture[0, 2:4, 4:6, 1] = [[10, 20], [30, 40]]
    small = thumbnails(picture).reshape(16, 16, 3)
    assert small[1, 2, 1] == 25
    assert small.sum() == 25
