"""Contract: a training that cannot be is refused in one sentence, and leaves no folder behind."""

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data import vocabulary
from tests.models import tiny

QUICK = "gin/runs/quickstart_{}.gin"
FEW = ["--gin.BATCH_SIZE=8", "--gin.TRAIN_STEPS=2", "--gin.WARMUP_STEPS=0"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of pictures: three good ones; a hundred that nothing reads; a run's leavings."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("few", "broken", "empty", "nothing_kept"):
        (folder / name).mkdir()
        (folder / name / "vocabulary.model").write_bytes(vocabulary.EMOJI_VOCABULARY.read_bytes())
    for index, image in enumerate(tiny.images(3, size=(32, 32))):
        Image.fromarray(np.asarray(image)).save(folder / "few" / f"{index}.png")
        (folder / "few" / f"{index}.txt").write_text("a man")
    for index in range(20):
        (folder / "broken" / f"{index}.png").write_bytes(b"broken")
        (folder / "broken" / f"{index}.txt").write_text("a man")
    (folder / "a.txt").write_text("a line\n" * 20)
    return folder


@pytest.mark.parametrize(
    ("stage", "settings", "says"),
    [
        ("tokenizer", ["MIXTURE_OR_TASK_NAME='folder:MADE/nowhere'"], "nowhere"),
        ("tokenizer", ["MIXTURE_OR_TASK_NAME='folder:MADE/empty'"], "empty"),
        ("tokenizer", ["MIXTURE_OR_TASK_NAME='folder:MADE/few'"], "heldout_people"),
        ("tokenizer", ["MIXTURE_OR_TASK_NAME='folder:MADE/broken'"], "broken"),
        ("tokenizer", ["MIXTURE_OR_TASK_NAME='text:MADE/a.txt'"], "pictures are asked for"),
        ("tokenizer", ["MIXTURE_OR_TASK_NAME='tokens:MADE/few'"], "manifest.json"),
        ("tokenizer", ["EVAL_SPLIT='no_such'"], "no_such"),
        ("tokenizer", ["INIT_FROM='MADE/nowhere'"], "nowhere"),
        ("tokenizer", ["INIT_FROM='MADE/nothing_kept'"], "nothing_kept"),
        ("text_to_image", ["TOKENIZER_CHECKPOINT='MADE/nowhere'"], "nowhere"),
        ("text_to_image", ["TOKENIZER_CHECKPOINT='MADE/nothing_kept'"], "nothing_kept"),
    ],
)
def test_nothing_is_written(stage, settings, says, made, tmp_path, capsys):
    run = tmp_path / "runs" / "refused"
    given = [f"--gin.{setting}".replace("MADE", str(made)) for setting in settings]
    recipe = [f"--gin_file={QUICK.format(stage)}", f"--model_dir={run}", *FEW, *given]
    assert main(["train", *recipe]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("babeldraw: error: ") and says in error, error
    assert not run.parent.exists(), [*run.rglob("*")]
