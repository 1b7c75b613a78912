"""Pictures of any size as a network reads them: all of one size, as a `View` says.

Twice, with the same geometry: `frame` in numpy, for the batches of training and whatever reads
pictures one by one, and `frame_tensor` for seqio's preprocessors. Where nothing is drawn, both give
the same bits. TensorFlow spreads each small operation over threads of its own: the first leaves it
the resizing alone.
"""

import numpy as np
import tensorflow as tf
from jaxtyping import Int32, UInt8

from babeldraw.data.picture_files import view as view_lib
from babeldraw.data.picture_files.view import PLAIN, SIDES, View
from babeldraw.sizes import Size, height_and_width


def frame(
    image: UInt8[np.ndarray, "height width 3"],
    size: Size,
    view: View = PLAIN,
    random: np.random.Generator | None = None,
    *,
    may_flip: bool = True,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A picture as it is seen.

    Shrinking takes means of areas, enlarging is bicubic. With `random`, and a zoom above 1: the
    offset of a crop is uniform in [3/8, 5/8] of the free margin, as is a padded picture's place.
    Crops and stretched pictures are resized to a height uniform in [rows, zoom * rows] (never above
    their own, unless that is below `rows`), of which a random window is cut; padded ones to
    [rows / zoom, rows].

    Args:
      size: of the result, in pixels.
      random: of training; None: the middle, as large as it fits.
      may_flip: false where the captions of a picture speak against it.
    """
    rows, columns = height_and_width(size)
    framing = _pad if view.fit == "pad" else _crop
    framed = framing(image, (rows, columns), view, None if view.zoom == 1 else random)
    mirrored = view.flip and random is not None and random.integers(2) and may_flip
    return framed[:, ::-1] if mirrored else framed


def _crop(
    image: np.ndarray, size: tuple[int, int], view: View, random: np.random.Generator | None
) -> np.ndarray:
    box = shape = np.array(image.shape[:2])
    if view.fit == "crop":
        box = np.stack(view_lib.largest_part(shape[0], shape[1], size, np))
    margin = shape - box
    if random is None:
        (top, left), resized, corner = margin // 2, np.array(size), np.zeros(2, int)
    else:
        top, left = margin
        if view.fit == "crop":
            top, left = random.integers(*view_lib.near_middle(margin, np))
        largest = view_lib.largest_height(box[0], size[0], view, np)
        resized = np.stack(view_lib.in_shape(random.integers(size[0], largest + 1), size))
        corner = random.integers(0, resized - np.array(size) + 1)
    part = _resize(image[top : top + box[0], left : left + box[1]], resized)
    return _round(part[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]])


def _pad(
    image: np.ndarray, size: tuple[int, int], view: View, random: np.random.Generator | None
) -> np.ndarray:
    height = size[0]
    if random is not None:
        height = int(random.integers(view_lib.smallest_height(size[0], view), size[0] + 1))
    room = view_lib.in_shape(height, size)
    resized = np.stack(view_lib.whole(image.shape[0], image.shape[1], room, np))
    margin = np.array(size) - resized
    low, high = view_lib.near_middle(margin, np)
    top, left = margin // 2 if random is None else random.integers(low, high)
    framed = np.empty((*size, 3), np.uint8)
    framed[:] = view.colour
    framed[top : top + resized[0], left : left + resized[1]] = _round(_resize(image, resized))
    return framed


def _resize(image: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """First what shrinks, then what grows."""
    smaller = np.minimum(image.shape[:2], shape)
    if (smaller < image.shape[:2]).any():
        image = tf.raw_ops.ResizeArea(images=image[np.newaxis], size=smaller).numpy()[0]
    if (shape > smaller).any():  # means of areas would repeat pixels
        image = tf.image.resize(image[np.newaxis], shape, method="bicubic").numpy()[0]
        image = np.clip(image, 0, 255)
    return image


def _round(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image
    rounded: np.ndarray = np.rint(image).astype(np.uint8)
    return rounded


def frame_tensor(
    image: UInt8[tf.Tensor, "height width 3"],
    size: Size,
    view: View = PLAIN,
    seed: Int32[tf.Tensor, "2"] | None = None,
    *,
    may_flip: tf.Tensor | bool = True,
) -> UInt8[tf.Tensor, "rows columns 3"]:
    """As `frame`, which says what is drawn; traceable.

    Args:
      seed: of this example; None draws nothing.
    """
    rows, columns = height_and_width(size)
    shape = tf.cast(tf.shape(image), tf.int64)[:2]
    is_placed = seed is None or view.zoom == 1
    seeds = None if is_placed else tf.random.experimental.stateless_split(seed, 3)
    framing = _pad_tensor if view.fit == "pad" else _crop_tensor
    framed = tf.ensure_shape(
        framing(image, shape, (rows, columns), view, seeds), [rows, columns, 3]
    )
    if seed is None or not view.flip:
        return framed
    draw = uniform(tf.random.experimental.stateless_fold_in(seed, 3), tf.constant([0]), [2])[0]
    return tf.where((draw == 1) & may_flip, framed[:, ::-1], framed)


def _crop_tensor(
    image: tf.Tensor, shape: tf.Tensor, size: tuple[int, int], view: View, seeds: tf.Tensor | None
) -> tf.Tensor:
    box = (
        shape
        if view.fit == "stretch"
        else tf.stack(view_lib.largest_part(shape[0], shape[1], size, tf))
    )
    margin = shape - box
    if seeds is None:
        offset, resized, corner = margin // 2, tf.constant(size, tf.int64), [0, 0]
    else:
        offset = margin
        if view.fit == "crop":
            offset = uniform(seeds[0], *view_lib.near_middle(margin, tf))
        largest = view_lib.largest_height(box[0], size[0], view, tf)
        height = uniform(seeds[1], tf.constant([size[0]], tf.int64), largest[tf.newaxis] + 1)[0]
        resized = tf.stack(view_lib.in_shape(height, size))
        corner = uniform(seeds[2], tf.zeros([2], tf.int64), resized - size + 1)
    part = tf.slice(image, tf.concat([offset, [0]], 0), tf.concat([box, [3]], 0))
    part = _round_tensor(_resize_tensor(part, box, resized))
    return tf.slice(part, tf.concat([corner, [0]], 0), [*size, 3])


def _pad_tensor(
    image: tf.Tensor, shape: tf.Tensor, size: tuple[int, int], view: View, seeds: tf.Tensor | None
) -> tf.Tensor:
    height = tf.constant(size[0], tf.int64)
    if seeds is not None:
        low = tf.constant([view_lib.smallest_height(size[0], view)], tf.int64)
        height = uniform(seeds[1], low, height[tf.newaxis] + 1)[0]
    resized = tf.stack(view_lib.whole(shape[0], shape[1], view_lib.in_shape(height, size), tf))
    margin = size - resized
    before = margin // 2 if seeds is None else uniform(seeds[0], *view_lib.near_middle(margin, tf))
    small = _round_tensor(_resize_tensor(image, shape, resized))
    around = tf.stack([before, margin - before], 1)
    channels = [
        tf.pad(small[..., channel], around, constant_values=value)
        for channel, value in enumerate(view.colour)
    ]
    return tf.stack(channels, -1)


def _resize_tensor(image: tf.Tensor, before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    smaller = tf.minimum(before, after)
    image = tf.image.resize(image, tf.cast(smaller, tf.int32), method="area")
    return tf.cond(
        tf.reduce_any(after > smaller),
        lambda: tf.image.resize(image, tf.cast(after, tf.int32), method="bicubic"),
        lambda: image,
    )


def _round_tensor(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)


def tell_sides_tensor(captions: tf.Tensor) -> tf.Tensor:
    """As `view.tells_sides`."""
    pattern = SIDES.decode().replace("(?i)", "(?is).*") + ".*"
    return tf.reduce_any(tf.strings.regex_full_match(captions, pattern))


def uniform(seed: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Whole numbers of the shape and type of `low`, each uniform in [low, high)."""
    span = tf.cast(high - low, tf.float32)
    draw = tf.random.stateless_uniform(tf.shape(low), seed)
    return low + tf.cast(draw * span, low.dtype)
