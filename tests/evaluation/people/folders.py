"""Folders of pictures that say their prompts, as raters' pages are made of."""

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PROMPTS = ("a red ball", "a blue cube </script><script>alert(1)</script>", "a grey cone", "a moon")


def said(prompt):
    """What a PNG says of itself."""
    found = PngInfo()
    found.add_itxt("prompt", prompt)
    return found


def write(folder, seed, prompts=PROMPTS, side=16):
    """A picture of noise for each prompt, another for each seed."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number, prompt in enumerate(prompts):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}-{number}.png", pnginfo=said(prompt))
    return str(folder)
