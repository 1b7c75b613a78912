"""Contract: texts of any kind are batches of tokens by position, and fail in a sentence."""

import dataclasses
import json

import numpy as np
import pytest
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds

from babeldraw.cli.main import main
from babeldraw.data import texts, vocabulary
from babeldraw.data.sources import texts as sources
from babeldraw.data.streams.pipeline import Dataset
from babeldraw.data.streams.texts import PairsAndTexts, TextDataset
from babeldraw.errors import UserError

LENGTH = 12
LINES = [f"text number {number}" for number in range(200)]
EMOJI = vocabulary.EMOJI_VOCABULARY


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "one.txt").write_text("\n".join(["", *LINES[:100], "  "]))
    (folder / "deep").mkdir()
    rows = [json.dumps({"text": line, "id": 3}) for line in LINES[100:]]
    (folder / "deep" / "two.jsonl").write_text("\n".join([*rows, "{", '{"title": "no text"}']))
    (folder / "picture.png").write_bytes(b"no text")
    return folder


@pytest.fixture(autouse=True)
def emoji_vocabulary(monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(EMOJI))


def decoded(dataset, **settings):
    pieces = dataset.vocabulary
    return [
        [pieces.decode(row.tolist()) for row in batch["text_tokens"]]
        for batch in dataset.batches(**settings)
    ]


def test_every_line_of_a_folder_is_read_once_a_pass(folder):
    seen = {}
    for split in ("train", "validation"):
        dataset = TextDataset(f"text:{folder}", LENGTH, split, batch_size=1)
        seen[split] = rows_of(dataset)
    assert sorted(seen["train"] + seen["validation"]) == sorted(LINES)
    assert 1 <= len(seen["validation"]) < 20
    told = TextDataset(f"text:{folder}", LENGTH).fingerprint()
    assert (told["texts"], told["split"]) == (len(seen["train"]), "train")
    task = texts.find_texts(f"text:{folder}", "train")
    skipped = {kind: len(names) for kind, names in task.source.skipped.kinds.items()}
    assert skipped == {"damaged": 2}


def test_batch_k_is_a_function_of_k_on_any_number_of_hosts(folder):
    dataset = TextDataset(f"text:{folder}", LENGTH, batch_size=6)
    whole = [batch for batch, _ in zip(decoded_endless(dataset), range(50), strict=False)]
    assert len({tuple(batch) for batch in whole}) == 50  # beyond one pass, in another order
    assert next(decoded_endless(dataset, start_step=37)) == whole[37]
    hosts = [
        next(decoded_endless(dataset, start_step=3, process_index=i, process_count=2))
        for i in range(2)
    ]
    assert hosts[0] + hosts[1] == whole[3]
    assert dataset.example_ids(3) == whole[3]


def rows_of(dataset):
    """All texts of one pass."""
    return [row for batch in decoded(dataset, num_epochs=1) for row in batch]


def decoded_endless(dataset, **settings):
    pieces = dataset.vocabulary
    for batch in dataset.batches(**settings):
        yield [pieces.decode(row.tolist()) for row in batch["text_tokens"]]


def test_of_a_long_text_training_reads_another_part_each_time(tmp_path):
    words = [f"w{n}" for n in range(60)]
    (tmp_path / "long.txt").write_text(" ".join(words))
    train = TextDataset(f"text:{tmp_path / 'long.txt'}", LENGTH, batch_size=1)
    parts = {row for _, (row,) in zip(range(20), decoded_endless(train), strict=False)}
    assert len(parts) > 5
    assert all(part in " ".join(words) for part in parts)
    held_out = dataclasses.replace(train, split="validation", shuffle=False)
    batches = held_out.batches()
    first, again = next(batches)["text_tokens"], next(batches)["text_tokens"]
    np.testing.assert_array_equal(first, again)
    assert first[0, -1] == 1 and (first != 0).all()
    assert held_out.vocabulary.decode(first[0].tolist()).startswith("w0 w1")


def test_captions_of_a_task_of_pictures_are_texts():
    dataset = TextDataset("emoji_quickstart_32", 16, "heldout_people", batch_size=8)
    found = rows_of(dataset)
    assert sorted(found) == sorted(dataset.captions()) and len(found) == 72


def test_a_mixture_has_its_rates(folder):
    name = f"text:{folder}:0.75+emoji_quickstart_32:0.25"
    dataset = TextDataset(name, LENGTH, batch_size=100)
    rows = [
        row for _, batch in zip(range(4), decoded_endless(dataset), strict=False) for row in batch
    ]
    assert sum(row.startswith("text number") for row in rows) == pytest.approx(300, abs=4)


class MadeTexts(tfds.core.GeneratorBasedBuilder):
    """Texts, as C4 has them; TFDS registers it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"text": tfds.features.Text(), "url": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(40), "validation": self._generate_examples(5)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, {"text": LINES[number], "url": "http://example.org"}


def test_a_tfds_set_of_texts_by_its_name(tmp_path, monkeypatch):
    MadeTexts(data_dir=str(tmp_path)).download_and_prepare()
    tfds.core.add_data_dir(tmp_path)
    dataset = TextDataset("tfds:made_texts", LENGTH, batch_size=5)
    assert sorted(rows_of(dataset)) == sorted(LINES[:40])
    assert sorted(dataset.captions()) == sorted(LINES[:40])
    assert dataset.fingerprint()["texts"] == 40
    # As C4, which has too many records to know where each is: streamed.
    monkeypatch.setattr(sources, "MOST_BY_NUMBER", 10)
    texts._open.cache_clear()
    streamed = TextDataset("tfds:made_texts", LENGTH, batch_size=5)
    assert sorted(rows_of(streamed)) == sorted(LINES[:40])
    with pytest.raises(UserError, match="has texts alone"):
        next(Dataset("tfds:made_texts", {"text": 8, "image": 16}).batches())


def test_c4_that_is_not_prepared_is_said_with_the_command():
    with pytest.raises(UserError, match=r"c4/en:3.1.0 is not prepared .* run `tfds build c4/en`"):
        next(TextDataset("tfds:c4/en:3.1.0", LENGTH).batches())


def test_a_registered_task_of_somebodys_own_streams():
    def numbers(split, shuffle_files, seed=None):
        return tf.data.Dataset.from_tensor_slices({"text": LINES[:20]})

    text = seqio.Feature(seqio.SentencePieceVocabulary(str(EMOJI)), add_eos=True)
    seqio.TaskRegistry.add(
        "somebodys_texts",
        source=seqio.FunctionDataSource(
            numbers, splits=["train"], num_input_examples={"train": 20}
        ),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos_after_trim],
        output_features={"text": text},
    )
    seqio.TaskRegistry.add(
        "somebodys_targets",
        source=seqio.FunctionDataSource(numbers, splits=["train"]),
        preprocessors=[],
        output_features={"targets": text},
    )
    try:
        dataset = TextDataset("somebodys_texts", LENGTH, batch_size=4)
        assert sorted(rows_of(dataset)) == sorted(LINES[:20])
        with pytest.raises(UserError, match="gives no 'text': its features are targets"):
            next(TextDataset("somebodys_targets", LENGTH).batches())
    finally:
        for name in ("somebodys_texts", "somebodys_targets"):
            seqio.TaskRegistry.remove(name)


def test_pairs_bring_texts_beside_them(folder):
    pairs = Dataset("emoji_quickstart_32", {"text": LENGTH, "image": 32}, batch_size=4)
    both = PairsAndTexts(pairs, TextDataset(f"text:{folder}", LENGTH, batch_size=4))
    batch = next(both.batches(start_step=2))
    assert batch["image"].shape == (4, 32, 32, 3)
    np.testing.assert_array_equal(
        batch["text_tokens"], next(pairs.batches(start_step=2))["text_tokens"]
    )
    found = [both.vocabulary.decode(row.tolist()) for row in batch["masked_tokens"]]
    assert all(text.startswith("text number") for text in found)
    assert both.fingerprint()["texts"]["task"] == f"text:{folder}"
    with pytest.raises(UserError, match="give both the same BATCH_SIZE"):
        PairsAndTexts(pairs, TextDataset(f"text:{folder}", LENGTH, batch_size=8))


def test_a_vocabulary_for_texts_is_made_of_them(folder, tmp_path, monkeypatch, capsys):
    output = tmp_path / "vocabulary.model"
    assert main(["vocab", f"--task=text:{folder}", "--size=300", f"--output={output}"]) == 0
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(output))
    assert TextDataset(f"text:{folder}", LENGTH).vocabulary.vocab_size == 300
    monkeypatch.delenv("BABELDRAW_VOCABULARY")
    with pytest.raises(UserError, match=r"vocabulary .* is missing: make it with `babeldraw vocab"):
        next(TextDataset(f"text:{folder}", LENGTH).batches())


def test_what_has_no_texts_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n\n")
    for name, said in (
        (f"text:{tmp_path}", "has no text"),
        ("text:/nowhere", "There is no '/nowhere'"),
        ("text:gs://bucket/a", "is in a bucket"),
        ("nothing", "There is no task or mixture named 'nothing'"),
    ):
        with pytest.raises(UserError, match=said):
            next(TextDataset(name, LENGTH).batches())
    with pytest.raises(UserError, match="has no split 'test'"):
        next(TextDataset("emoji_quickstart_32", LENGTH, "test").batches())
    (tmp_path / "some.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="has texts alone"):
        next(Dataset(f"text:{tmp_path}", {"text": 8, "image": 16}).batches())
    with pytest.raises(UserError, match="3 processes cannot share"):
        next(TextDataset(f"text:{tmp_path}", LENGTH).batches(process_count=3))
