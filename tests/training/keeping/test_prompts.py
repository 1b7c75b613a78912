"""Contract: a run keeps some of the captions that it reads, and the words of all of them."""

import dataclasses
import json

import pytest

from babeldraw.data.streams.pipeline import Dataset
from babeldraw.errors import UserError
from babeldraw.training.keeping import prompts
from babeldraw.training.keeping.prompts import NAME, collect, read_prompts, words_of
from tests.training.keeping.test_vocabulary import Captioned, Reading
from tests.training.toy import ToyDataset


@dataclasses.dataclass
class Telling(Captioned):
    texts: tuple[str, ...] = ("A red apple", "a red apple", "a cook's  hat")
    data: str = "one"

    def captions(self):
        return iter(self.texts)

    def fingerprint(self):
        return {"task": "folder:/a", "split": "train", "pictures": 3, "names": self.data}


def test_a_run_keeps_them_and_again_where_its_data_are_others(run, tmp_path):
    held_out = Telling(texts=("a red apple", "a green pear"))
    run(1, objective=Reading(), train_dataset=Telling(), eval_dataset=held_out)
    kept = read_prompts(tmp_path / "run")
    assert sorted(kept.seen) == ["A red apple", "a cook's hat", "a red apple"]
    assert kept.held_out == ["a green pear"]  # the other one has been trained on
    assert kept.words == {"a": 3, "red": 2, "apple": 2, "cook": 1, "s": 1, "hat": 1}
    assert (kept.captions, kept.all, kept.least) == (3, True, 1)
    assert kept.data == Telling().fingerprint()

    file = tmp_path / "run" / NAME
    before = file.stat().st_mtime_ns
    run(2, objective=Reading(), train_dataset=Telling(texts=("unread",)))
    assert file.stat().st_mtime_ns == before
    other = Telling(texts=("a zebra",), data="two")
    run(3, objective=Reading(), train_dataset=other, allow_other_data=True)
    assert read_prompts(tmp_path / "run").seen == ["a zebra"]


def test_where_no_text_is_read_nothing_is_kept(run, tmp_path):
    run(1, train_dataset=Telling())
    assert not (tmp_path / "run" / NAME).exists()


def test_data_that_do_not_tell_their_captions_are_no_fault(run, tmp_path):
    run(1, objective=Reading(), train_dataset=Captioned())
    assert not (tmp_path / "run" / NAME).exists()
    with pytest.raises(UserError, match=r"has no prompts\.json"):
        read_prompts(tmp_path / "run")


def test_a_large_set_is_kept_in_part(monkeypatch):
    texts = tuple(f"word{number} {'common ' * 200}" for number in range(400))
    monkeypatch.setattr(prompts, "MOST_WORDS", 50)
    monkeypatch.setattr(prompts, "MOST_CAPTIONS", 300)
    found = collect(Telling(texts=texts), ToyDataset())
    assert (found.captions, found.all, found.held_out) == (300, False, [])
    assert len(found.seen) == prompts.KEPT
    assert {len(text) for text in found.seen} == {prompts.LONGEST}
    assert len(found.words) == 50 and found.words["common"] == 60_000 and found.least == 1
    assert collect(Telling(texts=texts[:300][::-1]), None).seen == found.seen  # whatever the order


def test_real_sets_tell_their_captions():
    lengths = {"text": 16, "image": 32}
    train = Dataset("emoji_quickstart_32", lengths)
    found = collect(train, dataclasses.replace(train, split="heldout_people"))
    assert found.captions == 360 and found.all
    assert "woman" in found.words and found.words["style"] == 360
    assert len(found.held_out) == 72 and not set(found.held_out) & set(found.seen)
    assert len(json.dumps(dataclasses.asdict(found))) < 50_000


def test_words():
    assert list(words_of("A cook's RED-hot apple, 3x! \N{RED APPLE}")) == (
        ["a", "cook", "s", "red", "hot", "apple", "3x"]
    )
    # Signs where there are no spaces; marks stay with their letters.
    assert list(words_of("dog\u72ac\u3067 \u0915\u0941\u0924\u094d\u0924\u093e")) == (
        ["dog", "\u72ac", "\u3067", "\u0915\u0941\u0924\u094d\u0924\u093e"]
    )
    found = collect(Telling(), None)
    assert found.unknown("A RED zebra, a Zebra and hats") == ["zebra", "and", "hats"]


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 1}'])
def test_a_damaged_file_is_one_sentence(text, tmp_path):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        read_prompts(tmp_path)
