"""Contract: `babeldraw evaluate --objective text_encoder` says what a text encoder has read."""

import json

import pytest
from etils import epath

from babeldraw.cli.main import main
from babeldraw.data.streams.texts import TextDataset
from babeldraw.data.vocabulary import EMOJI_VOCABULARY
from babeldraw.objectives.text_encoder import TextEncoding
from babeldraw.training.keeping.settings import write_settings
from tests.cli import runs
from tests.models import tiny_text
from tests.objectives import tiny_runs
from tests.training.keeping.test_init_real import write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A text encoder that has learned nothing, of a few lines of text."""
    folder = tmp_path_factory.mktemp("text_encoder")
    lines = [f"a man and a woman, number {number}" for number in range(60)]
    (folder / "lines.txt").write_text("\n".join(lines))
    (folder / "vocabulary.model").write_bytes(EMOJI_VOCABULARY.read_bytes())
    model = tiny_text.text_encoder(text_vocab_size=2048)
    objective = TextEncoding(model=model, optimizer=tiny_runs.ADAM)
    write(folder / "run", objective)
    train, held_out = (
        TextDataset(f"text:{folder / 'lines.txt'}", 6, split) for split in ("train", "validation")
    )
    parts = {"objective": objective, "train_dataset": train, "eval_dataset": held_out}
    write_settings(epath.Path(folder / "run"), parts)
    return folder / "run"


def test_a_text_encoder_is_compared_with_a_guess(run, capsys):
    command = ["evaluate", "--objective=text_encoder", f"--checkpoint={run}"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "at step 1 on text:" in said and "split validation" in said
    assert "hidden tokens guessed right" in said and "always the most frequent: 0." in said
    report = json.loads((run / "evaluation" / "report.json").read_text())
    assert report["masked"]["tokens"] > 0 and "retrieval" not in report


def test_what_is_none_is_refused_in_a_sentence(run, tmp_path, capsys):
    other = runs.write_text_to_image(tmp_path)
    for command, said in (
        ([f"--checkpoint={other}"], "which compares no pictures with texts; give the directory of"),
        ([f"--checkpoint={run}", "--images=."], "A folder of --images has no texts"),
        ([f"--checkpoint={run}", "--split=nothing"], "has no split 'nothing'"),
    ):
        assert main(["evaluate", "--objective=text_encoder", *command]) == 2
        assert said in capsys.readouterr().err
    assert not (run / "reconstructions.png").exists()
