"""Every mistake in a gin file or binding comes out as one sentence that names place and remedy."""

import gin
import pytest

from babeldraw.cli import main as cli
from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.errors import UserError

IMPORTS = "from __gin__ import dynamic_registration\nfrom toyhouse import loop\n"


def configured(text: str = "toyhouse.loop.train"):
    return gin.get_configurable(text)()


def test_bindings_win_over_files_and_later_files_over_earlier(toyhouse):
    (toyhouse / "size.gin").write_text("TRAIN_STEPS = 20\n")
    parse_gin(["run.gin"], [])
    assert configured()[1] == 10
    parse_gin(["run.gin", "size.gin"], [])
    assert configured()[1] == 20
    parse_gin(["run.gin", "size.gin"], ["TRAIN_STEPS=30"])
    assert configured()[1] == 30


def test_a_binding_may_name_what_files_import_but_do_not_bind(toyhouse):
    parse_gin(["run.gin"], ["loop.Model.width = 5", "loop.train.seed=3", "train.train_steps=4"])
    assert gin.get_configurable("toyhouse.loop.Model")().width == 5
    assert configured()[1:] == (4, 3)


@pytest.mark.parametrize(
    "text", ["gs://bucket/a", "runs/2024-01-01", "a b", "nan", "1e3x", "10:15"]
)
def test_text_on_the_command_line_needs_no_quotes(toyhouse, text):
    parse_gin(["run.gin"], [f"TRAIN_STEPS={text}"])
    assert configured()[1] == text
    parse_gin(["run.gin"], [f"TRAIN_STEPS={text!r}"])
    assert configured()[1] == text


def test_what_gin_reads_as_a_value_stays_one(toyhouse):
    parse_gin(["run.gin"], ["TRAIN_STEPS={'a': [1, None]}"])
    assert configured()[1] == {"a": [1, None]}


def test_a_whole_number_may_be_written_as_1e3(toyhouse):
    text = parse_gin(["run.gin"], ["loop.Model.width=1e3"])
    assert "width = 1000\n" in text


def test_the_returned_text_reproduces_the_configuration(toyhouse):
    text = parse_gin(["run.gin"], ["loop.train.seed=3", "TRAIN_STEPS=12"])
    (toyhouse / "config.gin").write_text(text)
    assert parse_gin(["config.gin"], []) == text
    assert configured()[1:] == (12, 3)


def test_search_paths_find_files_and_their_includes(toyhouse):
    for folder in ("a", "b"):
        (toyhouse / folder).mkdir()
    (toyhouse / "a" / "outer.gin").write_text('include "inner.gin"\nTRAIN_STEPS = 7\n')
    (toyhouse / "b" / "inner.gin").write_text((toyhouse / "run.gin").read_text())
    parse_gin(["outer.gin"], [], "a,b")
    assert configured()[1] == 7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            IMPORTS + "loop.trian.seed = 3\n",
            "bad.gin:3: there is no loop.trian: toyhouse.loop has no trian; did you mean train?",
        ),
        (
            IMPORTS + "loop.train.objective = [@loop.Modl()]\n",
            "bad.gin:3: there is no loop.Modl: toyhouse.loop has no Modl; did you mean Model?",
        ),
        (
            IMPORTS + "lop.train.seed = 3\n",
            "bad.gin:3: lop is not imported; did you mean loop?",
        ),
        (
            IMPORTS + "loop.train.sede = 3\n",
            "bad.gin:3: loop.train has no parameter sede; did you mean seed?",
        ),
        (
            IMPORTS + "loop.train:\n  sede = 3\n",
            "bad.gin:4: loop.train has no parameter sede; did you mean seed?",
        ),
        (
            IMPORTS + "loop.Model.widht = 3\n",
            "bad.gin:3: loop.Model has no parameter widht; did you mean width?",
        ),
        (
            IMPORTS + "SEED = 1\nloop.train.seed = %SEDE\n",
            "bad.gin:4: the macro SEDE has no value; set --gin.SEDE=VALUE; did you mean SEED?",
        ),
        (
            IMPORTS + "SEED = %gin.REQUIRED\nloop.train.seed = %SEED\n",
            "SEED must be given: add --gin.SEED=VALUE",
        ),
        (
            IMPORTS + "loop.train.seed = %gin.REQUIRED\n",
            "train.seed must be given: add --gin.train.seed=VALUE",
        ),
        (
            "from __gin__ import dynamic_registration\nfrom toyhouse import lop\n",
            "bad.gin:2: there is no module toyhouse.lop; did you mean loop?",
        ),
        ("import toyhose.loop\n", "bad.gin:1: there is no module toyhose"),
        ("toy.seed = 1\n", "bad.gin:1: the gin files have no toy"),
        ('include "nowhere.gin"\n', "bad.gin:1: there is no file nowhere.gin"),
        ("X = 3 +\n", "bad.gin:1: Expected newline in `X = 3 +`"),
        ("X = 1\nY = two words\n", "bad.gin:2: Unable to parse value in `Y = two words`"),
        ("hello\n", "bad.gin:1: Couldn't parse statement, expected ':' or '=' in `hello`"),
        ("X = [1,\n", "bad.gin: a bracket or a quote is never closed"),
        ("X = 1\n    Y = 2\n  Z = 3\n", "bad.gin:3: unindent does not match any outer"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(toyhouse, text, sentence):
    (toyhouse / "bad.gin").write_text(text)
    with pytest.raises(UserError) as error:
        parse_gin(["bad.gin"], [])
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_mistake_in_an_included_file_names_that_file(toyhouse):
    (toyhouse / "outer.gin").write_text('include "inner.gin"\n')
    (toyhouse / "inner.gin").write_text(IMPORTS + "loop.train.sede = 3\n")
    with pytest.raises(UserError, match=r"^inner\.gin:3: loop\.train has no parameter sede"):
        parse_gin(["outer.gin"], [])


@pytest.mark.parametrize(
    ("binding", "sentence"),
    [
        ("TRIAN_STEPS=3", "no gin file defines or uses the macro TRIAN_STEPS; did you mean TRAIN_"),
        ("loop.train.sede=3", "--gin.loop.train.sede=3: loop.train has no parameter sede; did you"),
        ("loop.trian.seed=3", "--gin.loop.trian.seed=3: there is no loop.trian: toyhouse.loop has"),
        ("lop.train.seed=3", "the gin files have no lop.train; did you mean loop.train?"),
        ("TRAIN_STEPS", "--gin.TRAIN_STEPS has no value; write --gin.TRAIN_STEPS=VALUE"),
        ("loop.Model.width=/tmp/x", "--gin.loop.Model.width is '/tmp/x': it takes a whole number"),
        ("loop.Model.width='8'", "--gin.loop.Model.width is '8': it takes a whole number"),
        ("TRAIN_STEPS=[1", "--gin.TRAIN_STEPS=[1: a bracket or a quote is never closed"),
    ],
)
def test_a_mistake_in_a_binding_is_one_sentence(toyhouse, binding, sentence):
    with pytest.raises(UserError) as error:
        parse_gin(["run.gin"], [binding])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_names_the_closest(toyhouse):
    with pytest.raises(UserError, match=r"no gin file runn\.gin; did you mean run\.gin\?"):
        parse_gin(["runn.gin"], [])


@pytest.mark.parametrize("text", ["1 / 0\n", "def f(:\n"])
def test_a_bug_in_an_imported_module_is_not_hidden(toyhouse, text):
    (toyhouse / "toyhouse" / "broken.py").write_text(text)
    (toyhouse / "bad.gin").write_text(IMPORTS + "from toyhouse import broken\n")
    with pytest.raises((ZeroDivisionError, SyntaxError)):
        parse_gin(["bad.gin"], [])


def test_a_dependency_missing_in_an_imported_module_is_named(toyhouse):
    (toyhouse / "toyhouse" / "broken.py").write_text("import not_installed\n")
    (toyhouse / "bad.gin").write_text(IMPORTS + "from toyhouse import broken\n")
    with pytest.raises(UserError, match=r"^bad\.gin:3: there is no module not_installed"):
        parse_gin(["bad.gin"], [])


def test_a_user_error_raised_inside_a_configurable_loses_gins_tail(toyhouse, monkeypatch, capsys):
    parse_gin(["run.gin"], ["loop.train.seed=-1"])
    monkeypatch.setattr("babeldraw.cli.train.run", lambda args: configured())
    assert cli.main(["train", "--gin_file=run.gin"]) == 2
    expected = "babeldraw: error: the seed is -1; make it at least 0\n"
    assert capsys.readouterr().err == expected
