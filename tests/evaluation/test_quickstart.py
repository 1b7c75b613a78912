"""Contract: the quickstart's scores say what was drawn, with and without styles and captions."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.evaluation import quickstart, quickstart_page
from babeldraw.evaluation.checks.world import world
from babeldraw.evaluation.quickstart import evaluate, summary

CODES, SIDE, TEXT = 16, 16, 4
SECONDS = {"tokenizer": 1.0, "total": 2.0}


def split(words, seed, **columns):
    """Pictures of noise with a caption each; the text tokens tell the caption."""
    rng = np.random.default_rng(seed)
    count = len(words)
    text = np.zeros((count, TEXT), np.int32)
    text[:, 0] = [1 + sum(map(ord, word)) % 1000 for word in words]
    return {
        "image": rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8),
        "caption": np.array(words),
        "text_tokens": text,
        **columns,
    }


class Codec:
    """Loses one level: tokens are a picture's first pixels, by which it is found again."""

    model = types.SimpleNamespace(codebook_size=CODES)

    def __init__(self, *splits):
        self.params = {"weights": np.zeros(7)}
        self.images = np.concatenate([s["image"] for s in splits])

    def encode(self, images):
        return images.reshape(len(images), -1)[:, :6].astype(np.int32) % CODES

    def decode(self, tokens):
        own = self.encode(self.images)
        return np.stack([self.images[(own == row).all(1).argmax()] ^ 1 for row in tokens])


class Model:
    """Knows the tokens where it is told the prompt, and nothing else."""

    def apply(self, variables, text, tokens):
        told = (text[:, :1] > 0).astype(jnp.float32)[..., None]
        return 50.0 * told * jax.nn.one_hot(tokens, CODES)


class Sampler:
    """Draws the picture whose text is asked for, and that of `instead` in its place."""

    model = Model()

    def __init__(self, *splits, instead=()):
        self.params = {"weights": np.zeros(11)}
        self.pairs = [
            (row, image)
            for s in splits
            for row, image in zip(s["text_tokens"], s["image"], strict=True)
        ]
        self.instead = dict(instead)

    def __call__(self, text, seed):
        found = [next(i for row, i in self.pairs if (row == asked).all()) for asked in text]
        found = [self.pairs[self.instead.get(n, -1)][1] if n in self.instead else image
                 for n, image in enumerate(found)]  # fmt: skip
        return np.stack(found)[:, None]


@pytest.fixture
def splits():
    train = split([f"a {colour} {shape}" for colour in ("red", "blue", "green", "grey")
                   for shape in ("ball", "cube", "cone")], 0)  # fmt: skip
    return train, split(["a red Cone.", "a blue ball", "a white ball"], 1)


def scored(train, heldout, sampler):
    return evaluate(Codec(train, heldout), sampler, train, heldout, train["caption"], seed=0)


def test_a_perfect_model_is_scored_so(splits):
    found = summary(scored(*splits, Sampler(*reversed(splits))), SECONDS)
    right, losses = found["retrieval"], found["text_to_image"]
    assert (right["train_top1"], right["heldout_top1"]) == (1.0, 1.0)
    assert (right["train_prompts"], right["heldout_prompts"]) == (12, 3)
    assert losses["loss"] == losses["heldout_loss"] == pytest.approx(0, abs=1e-4)
    assert (
        losses["prompt_gap"]
        == losses["heldout_prompt_gap"]
        == pytest.approx(np.log(CODES), abs=1e-4)
    )
    assert found["parameters"] == {"tokenizer": 7, "text_to_image": 11}


def test_prompts_of_seen_words_are_counted_apart(splits):
    # "white" was never seen; case and full stops say nothing. The third is drawn wrong.
    sampler = Sampler(*reversed(splits), instead={2: 5})
    results = scored(*splits, sampler)
    assert results.spoken.heldout.known.tolist() == [True, True, False]
    assert results.spoken.heldout.repeated.tolist() == [True, True, False]
    right = summary(results, SECONDS)["retrieval"]
    assert right["heldout_prompts_of_seen_words"] == 2
    assert right["heldout_prompts_word_for_word_in_training"] == 2
    assert right["heldout_top1_of_seen_words"] == 1.0
    assert right["heldout_top1"] == pytest.approx(2 / 3, abs=1e-3)


def test_a_picture_of_the_same_caption_is_right(splits):
    train, heldout = splits
    train["caption"][3] = train["caption"][0]
    train["text_tokens"][3] = train["text_tokens"][0]
    assert (
        summary(scored(train, heldout, Sampler(heldout, train)), SECONDS)["retrieval"]["train_top1"]
        == 1.0
    )


def test_styles_are_told_apart_where_there_are_any(splits):
    train, heldout = splits
    for s in splits:
        s["concept"] = np.array([caption.split()[-1] for caption in s["caption"]])
        s["style"] = np.array([caption.split()[1] for caption in s["caption"]])
    # Of held-out prompt 1, "a blue ball", the picture of "a white ball" is drawn.
    found = scored(train, heldout, Sampler(heldout, train, instead={1: 2}))
    assert found.spoken.heldout.concept_top1.tolist() == [1, 1, 1]
    assert found.spoken.heldout.cell_top1.tolist() == [1, 0, 1]


def test_emoji_are_checked_for_what_their_captions_say():
    people = [(cell, i) for i, cell in enumerate(world("quickstart").cells) if cell.gender]
    pairs = []
    for mark, some in enumerate((people[:12], people[30:36])):
        images = world("quickstart").images[[index for _, index in some]]
        images[:, 0, 0, 0], images[:, 0, 0, 1] = 240 + np.arange(len(some)), 240 + mark  # for Codec
        pairs.append({**split([cell.caption for cell, _ in some], 0), "image": images})
    train, heldout = pairs
    # Of the second prompt of either split the fifth held-out picture is drawn.
    results = scored(train, heldout, Sampler(heldout, train, instead={1: 4}))
    found = summary(results, SECONDS)
    assert found["checks"]["heldout_rebuilt"]["all"] == 1.0
    assert found["checks"]["seen"]["all"] == pytest.approx(11 / 12, abs=1e-3)
    assert found["checks"]["heldout"]["all"] == pytest.approx(5 / 6, abs=1e-3)
    assert "Of held-out prompts 83% have all right" in quickstart_page.sentences(found)[-2]


def test_without_texts_the_tokenizer_alone_is_scored(splits):
    found = summary(scored(*splits, None), SECONDS)
    assert found["tokenizer"]["psnr"] == found["tokenizer"]["heldout_psnr"] == 48.13
    assert not {"text_to_image", "retrieval"} & {*found}
    assert "no captions" in quickstart_page.sentences(found)[-1]


def test_the_page_says_the_scores(splits):
    sampler = Sampler(*reversed(splits), instead={2: 5})
    said = " ".join(quickstart_page.sentences(summary(scored(*splits, sampler), SECONDS)))
    assert "92% of 12 seen prompts and for 67% of 3 held-out ones" in said
    assert "is 2.77 nats a token on training pictures" in said
    assert "2 of the held-out prompts have only words that training had, too" in said


def test_large_splits_are_drawn_from(splits, monkeypatch):
    monkeypatch.setattr(quickstart, "HELDOUT_PROMPTS", 2)
    monkeypatch.setattr(quickstart, "SCORED", 5)
    found = scored(*splits, Sampler(*reversed(splits)))
    assert len(found.spoken.heldout.samples) == 2
    assert found.spoken.heldout.concept_top1.all()  # among all pictures, not the first five
    assert len(found.tokenized.tokens) == 5 and len(found.spoken.seen.samples) == 12


def test_a_sheet_of_few_prompts(splits, tmp_path):
    from PIL import Image

    found = scored(*splits, Sampler(*reversed(splits)))
    quickstart_page.write_samples(tmp_path / "samples.png", found.spoken, seed=0)
    sheet = np.asarray(Image.open(tmp_path / "samples.png"))
    assert sheet.shape[0] > 2 * SIDE and sheet.shape[1] > 3 * SIDE


@pytest.mark.parametrize("known", [True, False])
def test_what_training_could_not_tell_of_stands_last(known, splits, tmp_path):
    """One's own held-out pictures are often of things that no picture of training shows."""
    from PIL import Image

    found = scored(*splits, Sampler(*reversed(splits)))
    heldout = found.spoken.heldout
    heldout = dataclasses.replace(heldout, known=np.full_like(heldout.known, known))
    spoken = dataclasses.replace(found.spoken, heldout=heldout)
    quickstart_page.write_samples(tmp_path / "samples.png", spoken, seed=0)
    prompts = json.loads(Image.open(tmp_path / "samples.png").text["prompts"])
    of_heldout = [str(caption) for caption in heldout.columns["caption"]]
    of_seen = [str(caption) for caption in spoken.seen.columns["caption"]]
    assert prompts == of_heldout if known else prompts == [*of_seen, *of_heldout]
    page = quickstart_page.page(
        "", summary(found, SECONDS), dataclasses.replace(found, spoken=spoken), [], []
    )
    first, last = sorted(("of held-out pictures", "of pictures trained on"), key=page.index)
    assert (first == "of held-out pictures") == known and page.index(first) < page.index(last)
