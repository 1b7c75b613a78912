"""Contract: a suite is read from a file that anyone can write; what is wrong is one sentence."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation.suites.files import read_suite, stem_of


def write(folder, name, text):
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_table_and_lines_of_json_say_the_same(tmp_path):
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "cook.png")
    table = "id\tPrompt\tcategory\tchallenge\treference\tchecks\n"
    table += 'b\ta "red" cook\tpeople\tsimple\tcook.png\t{"tone": "dark"}\n\na\ta dog\t\t\t\t\n'
    rows = [
        {"id": "a", "prompt": "a dog"},
        {
            "id": "b",
            "prompt": ' a "red" cook',
            "category": "people",
            "challenge": "simple",
            "reference": "cook.png",
            "checks": {"tone": "dark"},
        },
    ]
    one = read_suite(write(tmp_path, "one.tsv", table))
    lines = "\n".join(map(json.dumps, rows))
    two = read_suite(write(tmp_path, "two.jsonl", lines))
    assert one.entries == two.entries and one.digest == two.digest
    assert [each.id for each in one.entries] == ["a", "b"]
    assert one.entries[1].prompt == 'a "red" cook'
    assert one.entries[1].checks == {"tone": "dark"}
    assert one.entries[1].reference == str(tmp_path / "cook.png")


def test_lines_of_text_are_called_by_their_words(tmp_path):
    suite = read_suite(write(tmp_path, "p.txt", "A cook!\nein Koch \nA cook!\n"))
    stem = stem_of("A cook!")
    assert [each.id for each in suite.entries] == [stem, f"{stem}-2", stem_of("ein Koch")]
    assert suite.occurrences() == [0, 1, 0]
    again = read_suite(write(tmp_path, "q.txt", "ein Koch\nA cook!\nA cook!\n"))
    assert again.entries == suite.entries and again.digest == suite.digest


def test_a_part_is_of_any_larger_part(tmp_path):
    whole = read_suite(write(tmp_path, "p.txt", "\n".join(f"prompt {i}" for i in range(20))))
    five, nine = whole.first(5), whole.first(9)
    assert {each.id for each in five.entries} < {each.id for each in nine.entries}
    assert five.digest != nine.digest != whole.digest
    assert "5 of 20 prompts" in five.notes[0]
    assert whole.first(20) is whole


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.tsv", "id\tprompt\na\t \n", "a.tsv:2 has no prompt; say what to draw"),
        ("a.tsv", "id\tprompt\na\tx\na\ty\n", "has the id 'a' 2 times; give each entry"),
        ("a.tsv", "id\tprompt\na\tx\ty\n", "a.tsv:2 has 3 columns and the first line names 2"),
        ("a.tsv", "id\tprompt\na/b\tx\n", "has the id 'a/b', and files are called by it"),
        (
            "a.tsv",
            "prompt\treference\nx\tno.png\n",
            "no.png of 'x-2d711642', which is not there",
        ),
        ("a.tsv", "prompt\tchecks\nx\ttone\n", "has checks that are no object of texts"),
        ("a.tsv", "", "has no prompt; give one that has some"),
        ("a.jsonl", "{\n", "a.jsonl:1 is no JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl:1 is no JSON object"),
        ("a.jsonl", '{"prompt": 3}\n', "a.jsonl:1 has the prompt 3; write a text"),
        ("a.jsonl", '{"prompt": "x", "checks": {"a": 1}}\n', "no object of texts"),
        ("a.txt", "x\n\ny\n", "a.txt:2 has no prompt"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, name, text, says):
    with pytest.raises(UserError) as raised:
        read_suite(write(tmp_path, name, text))
    assert says in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.tsv cannot be read"):
        read_suite(str(tmp_path / "nowhere.tsv"))
    (tmp_path / "a.tsv").write_bytes(b"prompt\n\xff\n")
    with pytest.raises(UserError, match=r"cannot be read \(it is no UTF-8\)"):
        read_suite(str(tmp_path / "a.tsv"))
