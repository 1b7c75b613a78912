"""Contract: what OpenAI's client asks for is what `Sampler` draws, whatever is asked meanwhile."""

import base64
import concurrent.futures
import dataclasses
import io
import threading
import time

import httpx2
import numpy as np
import openai
import pytest
from PIL import Image

from babeldraw.sampling.pieces import Batch, PieceSampler, Wanted
from babeldraw.sampling.regions import positions_of_box
from babeldraw.serving.engine import PIECES
from babeldraw.serving.models import padded
from tests.serving.conftest import KEY, address


@pytest.fixture(scope="module")
def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def drawn(served, *texts, weights=(1.0,), given=None, stay=None, **settings):
    """What it draws of this alone, in one go; tests/sampling/test_pieces.py: as `Sampler` does."""
    drawer = served.drawer(None)
    conditions, _ = drawer.read(texts)
    wanted = Wanted(conditions, weights, given=given, stay=stay, **settings)
    batch = drawer.pieces.begin([wanted if len(texts) == 1 else padded(wanted)], 1)
    batch.advance(drawer.pieces.num_steps)
    return batch.images[0]


def test_generations_are_those_of_babeldraw_sample(client, served):
    drawer = served.drawer(None)
    texts, _ = drawer.read(["a cook"])
    sampler = dataclasses.replace(drawer.sampler, guidance_weight=1.5, cutoff=0.1)
    expected = sampler(texts, num_samples=3, seed=5)[0]
    answer = client.images.generate(
        model="tiny",
        prompt="a cook",
        n=3,
        size="20x16",
        response_format="b64_json",
        user="somebody",
        extra_body={"seed": 5, "guidance_weight": 1.5, "cutoff": 0.1},
    )
    assert answer.size == "20x16" and answer.output_format == "png"
    assert len(answer.data) == 3
    for one, picture in zip(answer.data, expected, strict=True):
        difference = pixels(one.b64_json).astype(int) - picture
        assert np.abs(difference).max() <= 1  # the two programs are compiled quickly
    said = Image.open(io.BytesIO(base64.b64decode(answer.data[2].b64_json))).text
    assert (said["prompt"], said["seed"], said["sample"]) == ("a cook", "5", "2")
    assert '"guidance_weight": 1.5' in said["settings"] and "/" not in said["model"]


def test_weighted_texts(client, served):
    terms = [{"text": "sunny", "weight": 0.5}, {"text": "rain", "weight": -1}]
    answer = client.images.generate(prompt="a cook", extra_body={"terms": terms})
    expected = drawn(served, "a cook", "sunny", "rain", weights=(1.0, 0.5, -1.0))
    np.testing.assert_array_equal(pixels(answer.data[0].b64_json), expected)


def test_many_at_once_are_not_mixed_up(client, served):
    """More than a batch, of different kinds, seeds and settings."""
    asked = [
        (f"a cook {number % 3}", number, 1.0 + number % 2 * 0.7, 0.2 * (number % 3))
        for number in range(16)
    ]

    def ask(prompt, seed, weight, cutoff):
        extra = {"seed": seed, "guidance_weight": weight, "cutoff": cutoff}
        answer = client.images.generate(prompt=prompt, extra_body=extra)
        return pixels(answer.data[0].b64_json)

    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda one: ask(*one), asked))
    assert len({picture.tobytes() for picture in found}) == len(asked)
    for (prompt, seed, weight, cutoff), picture in zip(asked, found, strict=True):
        alone = drawn(served, prompt, seed=seed, weights=(weight,), cutoff=cutoff)
        np.testing.assert_array_equal(picture, alone)


def test_partial_pictures_grow_to_the_whole_one(client):
    events = list(client.images.generate(prompt="a cook", stream=True, partial_images=5, n=2))
    whole = client.images.generate(prompt="a cook", n=2).data
    for number in range(2):
        mine = [event for event in events if event.number == number]
        kinds = [event.type.removeprefix("image_generation.") for event in mine]
        assert kinds == ["partial_image"] * 5 + ["completed"]
        assert [event.partial_image_index for event in mine[:-1]] == list(range(5))
        final = pixels(mine[-1].b64_json)
        np.testing.assert_array_equal(final, pixels(whole[number].b64_json))
        shown = np.zeros(final.shape[:2], bool)
        for event in mine[:-1]:
            alpha = pixels(event.b64_json)[..., 3]
            assert set(np.unique(alpha)) == {0, 255}
            assert (alpha[shown] == 255).all() and (alpha == 255).sum() > shown.sum()
            shown = alpha == 255
            assert event.drawn.count("1") * 16 == shown.sum()


def test_drawing_stops_where_somebody_looks_and_seldom_else(client, monkeypatch):
    """Every stop costs: of the program's start, and of the interpreter, which answers meanwhile."""
    stops = []
    advance = Batch.advance
    monkeypatch.setattr(Batch, "advance", lambda self, n: stops.append(n) or advance(self, n))
    client.images.generate(prompt="a cook")
    seldom, steps = len(stops), sum(stops)
    stops.clear()
    list(client.images.generate(prompt="a cook", stream=True, partial_images=PIECES - 1))
    assert stops == [1] * steps  # there are fewer steps than pieces
    assert seldom < steps / 2


def test_a_batch_is_drawn_beside_another_one_where_it_is_full(client, served, monkeypatch):
    sizes, go, begin = [], threading.Event(), PieceSampler.begin

    def slowly(self, wanted, size):
        sizes.append(len(wanted))
        if len(sizes) == 1:
            go.wait(20)
        return begin(self, wanted, size)

    def wait_for(count):
        until = time.monotonic() + 20
        while len(sizes) < count and time.monotonic() < until:
            time.sleep(0.02)

    monkeypatch.setattr(PieceSampler, "begin", slowly)
    most = served.engine.sizes[-1]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(client.images.generate, prompt="a cook")
        wait_for(1)
        few = pool.submit(client.images.generate, prompt="a pilot", n=most - 1)
        time.sleep(0.3)
        assert sizes == [1]
        last = pool.submit(client.images.generate, prompt="a judge")
        assert len(few.result().data) == most - 1 and len(last.result().data) == 1
        assert sizes == [1, most] and not first.done()
        go.set()
        assert len(first.result().data) == 1


def test_edits_of_rows_a_box_and_a_mask(client, served):
    drawer = served.drawer(None)
    start = drawn(served, "a cook", seed=8)
    tokens = drawer.codec.encode(start[None])[0]
    box = positions_of_box((4, 4, 9, 5), drawer.sampler.tokenizer.grid, 4)
    mask = np.full((16, 20, 4), 255, np.uint8)
    mask[4:9, 4:13, 3] = 0

    def edit(image=start, **settings):
        answer = client.images.edit(image=("a.png", png(image)), prompt="a pilot", **settings)
        return pixels(answer.data[0].b64_json)

    beginning = drawn(served, "a pilot", given=tokens, stay=np.arange(20) < 5)
    around = np.isin(np.arange(20), box, invert=True)
    inside = drawn(served, "a pilot", given=tokens, stay=around)
    assert (beginning != inside).any()
    np.testing.assert_array_equal(edit(extra_body={"rows": 1}), beginning)
    np.testing.assert_array_equal(edit(extra_body={"box": "4,4,9,5"}), inside)
    np.testing.assert_array_equal(edit(mask=("m.png", png(mask))), inside)
    # Transparency of the picture itself is a mask as well, and no colour.
    assert edit(image=np.dstack([start, mask[..., 3]])).shape == (16, 20, 3)
    events = client.images.edit(
        image=("a.png", png(start)), prompt="a pilot", stream=True, extra_body={"rows": 1}
    )
    assert [event.type for event in events] == ["image_edit.completed"]


def test_reranked_pictures_come_best_first(client, served):
    plain = client.images.generate(prompt="a cook", n=4).data
    ranked = client.images.generate(prompt="a cook", n=4, extra_body={"rerank": True}).data
    images = np.stack([pixels(one.b64_json) for one in plain])
    expected = served.judge.similarity("a cook", images)
    assert [one.number for one in ranked] == np.argsort(-expected).tolist()
    found = [one.similarity for one in ranked]
    np.testing.assert_allclose(found, np.sort(expected)[::-1], atol=1e-4)


def test_what_is_read_of_pictures(url, served):
    image = drawn(served, "a cook")
    pictures = [base64.b64encode(png(image)).decode()] * 2

    def ask(route, **body):
        answer = httpx2.post(f"{url}/v1/{route}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    found = ask("tokenize", images=pictures)
    codec = served.drawer(None).codec
    assert found["grid"] == [4, 5] and found["tokens"][1] == codec.encode(image[None])[0].tolist()
    back = ask("detokenize", tokens=found["tokens"])["data"]
    np.testing.assert_array_equal(pixels(back[0]["b64_json"]), codec.reconstruct(image[None])[0])
    (score, _) = ask("score", images=pictures, prompt="a cook")["data"]
    assert abs(score["similarity"] - served.judge.similarity("a cook", image[None])[0]) < 1e-4
    captions = ask("caption", images=pictures)["data"]
    assert captions[0]["caption"] == served.judge.caption(image[None])[0]


def test_what_it_says_of_itself(client, url):
    (model,) = client.models.list().data
    assert (model.id, model.size, model.reads) == ("tiny", "20x16", "prompt")
    assert client.models.retrieve("tiny") == model
    assert httpx2.get(f"{url}/healthz").json() == {"status": "ok"}
    assert "Babeldraw" in httpx2.get(url).text
    metrics = httpx2.get(f"{url}/metrics").text
    assert 'babeldraw_pictures_total{model="tiny"}' in metrics
    assert 'babeldraw_requests_total{route="/healthz",status="200"}' in metrics


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"size": "1024x1024"}, openai.BadRequestError, "draws pictures of 20x16"),
        ({"model": "dall-e-3"}, openai.NotFoundError, "this server has tiny"),
        ({"n": 11}, openai.BadRequestError, "less than or equal to 10"),
        ({"response_format": "url"}, openai.BadRequestError, "'response_format'"),
        ({"extra_body": {"colour": 1}}, openai.BadRequestError, "'colour': Extra inputs"),
        ({"prompt": "  "}, openai.BadRequestError, "a prompt is empty"),
        ({"partial_images": 2}, openai.BadRequestError, "set stream"),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(client, settings, error, said):
    with pytest.raises(error, match=said) as caught:
        client.images.generate(**{"prompt": "a cook", **settings})
    assert caught.value.body["message"].count("\n") == 0 and caught.value.type


def test_a_prompt_that_is_cut_is_named(client):
    answer = client.images.generate(prompt="cook " * 40)
    assert "the model reads the first 15" in answer.warnings[0]


@pytest.fixture
def halted(served):
    """The engine does nothing until this is set."""
    threads = served.engine.threads
    go, begun = threading.Event(), threading.Barrier(threads + 1)

    def halt():
        begun.wait(20)
        go.wait(20)

    for _ in range(threads):
        served.engine.call(halt)
    begun.wait(20)
    yield go
    go.set()


def test_a_full_queue_says_when_to_try_again(client, halted):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.images.generate, prompt="a cook", n=10) for _ in range(2)]
        time.sleep(0.5)
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(prompt="a cook", n=10)
        assert int(caught.value.response.headers["Retry-After"]) >= 1
        halted.set()
        assert [len(one.result().data) for one in waiting] == [10, 10]


def given_up(served):
    return served.metrics.given_up._value.get()


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_is_not_drawn_for(url, served, halted, stream):
    before = given_up(served)
    asked = {"prompt": "a cook", "n": 3, "stream": stream}
    with (
        pytest.raises(httpx2.ReadTimeout),
        httpx2.stream("POST", f"{url}/v1/images/generations", json=asked, timeout=0.5) as answer,
    ):
        answer.read()
    time.sleep(0.5)
    halted.set()
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    client.images.generate(prompt="a cook")
    assert given_up(served) == before + 3


def _in_a_hurry(served):
    return dataclasses.replace(served, seconds=0.3)


def test_what_takes_too_long_ends(served, halted):
    host, port = address((), _in_a_hurry)
    client = openai.OpenAI(base_url=f"http://{host}:{port}/v1", api_key="x", max_retries=0)
    with pytest.raises(openai.InternalServerError, match=r"not drawn within 0\.3 s"):
        client.images.generate(prompt="a cook")


def test_keys(served):
    host, port = address((KEY, "another-key-of-the-file"))
    base = f"http://{host}:{port}/v1"
    for key in (KEY, "another-key-of-the-file"):
        assert openai.OpenAI(base_url=base, api_key=key).models.list().data
    with pytest.raises(openai.AuthenticationError, match="wants a key"):
        openai.OpenAI(base_url=base, api_key=KEY[:-1]).images.generate(prompt="a cook")
    assert httpx2.get(f"http://{host}:{port}/healthz").status_code == 200
    assert httpx2.get(f"http://{host}:{port}/metrics").status_code == 401
