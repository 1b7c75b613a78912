"""Contract: a conversation takes settings, draws with a new seed each time, and keeps all files."""

import argparse
import json

import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support.conversation import SETTINGS, Conversation
from babeldraw.training.keeping.prompts import NAME
from tests.cli import runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """With words that it has been trained on."""
    directory = runs.write_text_to_image(tmp_path_factory.mktemp("runs"))
    known = {"data": None, "captions": 9, "all": True, "seen": ["a cook"], "held_out": []}
    words = {"a": 9, "cook": 8, "astronaut": 1}
    with open(f"{directory}/{NAME}", "w") as file:
        json.dump({"format": 1, "words": words, **known}, file)
    return directory


def say(monkeypatch, *lines):
    answers = iter(lines)
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    return answers


def metadata(path):
    with Image.open(path) as picture:
        return picture.text


def test_a_conversation(run, tmp_path, monkeypatch, capsys):
    lines = (":n 1", ":guidance 2", ":seed 7", "a cook", "a cook", "a " * 300, "the astronot")
    left = say(monkeypatch, *lines, "", "never said")
    arguments = ("--checkpoint", run, "--output", str(tmp_path))
    assert main(["sample", "--interactive", *arguments]) == 0
    assert next(left) == "never said"  # the empty line ended it
    said = capsys.readouterr()
    seeds = [
        "seed 7, guidance 2",
        "seed 8, guidance 2",
        "seed 9, guidance 2",
        "seed 10, guidance 2",
    ]
    assert [line for line in said.out.splitlines() if line.startswith("seed ")][1:] == seeds
    assert "text tokens; the model reads the first 15." in said.err
    assert 'never had the words "the", "astronot" (closest: astronaut); --examples' in said.err
    for stem, seed in (("a-cook", "7"), ("a-cook-2", "8")):
        text = metadata(tmp_path / f"{stem}-00.png")
        assert (text["seed"], text["prompt"]) == (seed, "a cook")
        assert json.loads(text["settings"])["guidance_weight"] == 2
        assert (tmp_path / f"{stem}-grid.png").is_file()
    assert not (tmp_path / "grid.png").exists()
    first, second = (Image.open(tmp_path / name) for name in ("a-cook-00.png", "a-cook-2-00.png"))
    assert first.tobytes() != second.tobytes()


class Silent:
    kind = "prompt"

    def draw(self, prompts, *, keep):
        assert keep


def arguments(**given):
    settings = {"num_samples": 4, "guidance_weight": 1.0, "temperature": 1.0, "cutoff": 0.0}
    nothing = {"top_k": None, "top_p": None}
    return argparse.Namespace(
        **{**settings, **nothing, "lora": (), "seed": 0, "seed_given": False, **given}
    )


def talk(monkeypatch, args, *lines):
    say(monkeypatch, *lines, "")
    Conversation(args, Silent()).hold()
    return args


def test_without_a_seed_each_conversation_has_its_own(monkeypatch):
    one, other = (talk(monkeypatch, arguments()) for _ in range(2))
    assert one.seed != other.seed
    assert all(0 <= args.seed < 2**31 for args in (one, other))


def test_a_seed_that_is_given_is_the_first_one(monkeypatch, capsys):
    args = talk(monkeypatch, arguments(seed=2**31 - 1, seed_given=True), "a cook", "a cook")
    assert "seed 2147483647," in capsys.readouterr().out
    assert args.seed == 1  # they count on round the end


def test_every_setting_is_set_and_shown(monkeypatch, capsys):
    values = {"n": 2, "guidance": 3, "seed": 5, "temperature": 0.5, "cutoff": 0.25}
    values |= {"top_k": 9, "top_p": 0.75}
    assert values.keys() == SETTINGS.keys()
    args = talk(monkeypatch, arguments(), *(f":{key} {value}" for key, value in values.items()))
    assert [getattr(args, SETTINGS[name].field) for name in values] == list(values.values())
    capsys.readouterr()
    talk(monkeypatch, args, ":help", ":top_k off", ":top_k")
    said = capsys.readouterr().out
    for name, value in values.items():
        assert f"  :{name} {value} " in said or name == "seed"  # which is drawn anew
    assert said.endswith("top_k off\ntop_k off\n") and args.top_k is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (":n 0", ":n is 0; give a whole number, 1 or more."),
        (":n off", ":n is off; give a whole number"),
        (":guidance much", ":guidance is much; give a"),
        (":guidence 3", "there is no setting :guidence; did you mean :guidance?"),
        (":", "there is no setting :; :help lists those"),
    ],
)
def test_a_mistake_is_a_sentence_and_changes_nothing(line, says, monkeypatch, capsys):
    args = arguments(seed_given=True)
    talk(monkeypatch, args, line)
    assert says in capsys.readouterr().out
    assert args == arguments(seed_given=True)


def test_the_end_of_the_input_ends_it(monkeypatch):
    def nothing(_):
        raise EOFError

    monkeypatch.setattr("builtins.input", nothing)
    Conversation(arguments(), Silent()).hold()
