"""Contract: means over the pictures themselves, whatever the batches; the padding never counts."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance
from babeldraw.evaluation.similarity import ssim
from babeldraw.evaluation.tokenizer import SAMPLES, Features, evaluate
from babeldraw.models.feature_networks import SqueezeNet
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.sampling.codec import Codec
from babeldraw.weights.feature_weights import squeezenet
from tests.models import tiny

MODEL = tiny.tokenizer()
IMAGES = tiny.images(7)
PERCEPTUAL = Perceptual(network=SqueezeNet(), params=squeezenet)

# The picture itself as its only feature: quick to compile.
PLAIN = Perceptual(network=lambda params, images: (images,), params=dict)


def colours(params, images):
    return params * images.mean((1, 2))


FEATURES = Features(colours, np.float32(10), size=3)


@functools.cache
def codec(batch_size=4):
    return Codec(MODEL, tiny.random_params(MODEL, seed=2), batch_size=batch_size)


@functools.cache
def results():
    return evaluate(codec(), iter(IMAGES), PERCEPTUAL, FEATURES)


@functools.cache
def decoded():
    return codec().reconstruct(IMAGES)


def test_psnr_and_ssim():
    assert results().images == 7
    error = np.mean(np.square((IMAGES.astype(float) - decoded()) / 255))
    np.testing.assert_allclose(results().psnr, -10 * np.log10(error), rtol=1e-6)
    a, b = (jnp.asarray(images) / 255 for images in (IMAGES, decoded()))
    np.testing.assert_allclose(results().ssim, tiny.jit(ssim)(a, b).mean(), atol=1e-5)


def test_perceptual_distance():
    a, b = (jnp.asarray(images) / 255 for images in (IMAGES, decoded()))
    expected = tiny.jit(PERCEPTUAL.distance)(squeezenet(), a, b)
    np.testing.assert_allclose(results().perceptual, expected, rtol=1e-4)


def test_frechet_distance():
    both = [FeatureStatistics(3), FeatureStatistics(3)]
    for statistics, images in zip(both, (IMAGES, decoded()), strict=True):
        statistics.add(10 * images.mean((1, 2)) / 255)
    np.testing.assert_allclose(results().frechet, frechet_distance(*both), rtol=1e-3)
    assert results().frechet > 0


def test_codebook_and_speed():
    tokens = codec().encode(IMAGES)
    counts = np.bincount(tokens.ravel(), minlength=MODEL.codebook_size)
    share = counts[counts > 0] / tokens.size
    assert results().codebook_usage == np.mean(counts > 0)
    perplexity = np.exp(-np.sum(share * np.log(share)))
    np.testing.assert_allclose(results().perplexity, perplexity, rtol=1e-6)
    assert results().encode_images_per_second > 0 and results().decode_images_per_second > 0


def test_samples_are_input_reconstruction_and_difference():
    samples = results().samples
    assert samples.shape == (7, 3, tiny.HEIGHT, tiny.WIDTH, 3)
    np.testing.assert_array_equal(samples[:, 0], IMAGES)
    np.testing.assert_array_equal(samples[:, 1], decoded())
    difference = np.abs(IMAGES.astype(int) - decoded())
    np.testing.assert_array_equal(samples[:, 2], difference)


def test_more_pictures_than_samples_are_drawn_from_all():
    images = tiny.images(3 * SAMPLES)
    seen = []
    samples = evaluate(codec(), images, PLAIN, None, seen.append).samples[:, 0]
    places = [next(i for i, image in enumerate(images) if (image == s).all()) for s in samples]
    assert len(set(places)) == SAMPLES and max(places) >= SAMPLES
    assert seen == list(range(4, 3 * SAMPLES + 1, 4))


def test_without_features_or_pictures():
    one = evaluate(codec(), IMAGES[:1], PLAIN)
    assert one.images == 1 and one.frechet is None
    with pytest.raises(UserError, match="no picture"):
        evaluate(codec(), [], PLAIN)


def test_pictures_below_the_window_of_ssim():
    model = dataclasses.replace(MODEL, image_size=8)
    small = Codec(model, tiny.random_params(model), batch_size=4)
    assert evaluate(small, tiny.images(2, size=8), PLAIN).ssim is None
