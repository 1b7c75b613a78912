"""Contract: wide pictures go through both stages and come out wide, by the command line alone."""

import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data import vocabulary
from tests.models import tiny

SIZES = [
    "--gin.IMAGE_SIZE=(32, 48)",
    "--gin.TASK_FEATURE_LENGTHS={'text': 16, 'image': (32, 48)}",
    *("--gin.TRAIN_STEPS=2", "--gin.WARMUP_STEPS=0", "--gin.BATCH_SIZE=8"),
    "--gin.EVAL_SPLIT=train",
]


@pytest.mark.slow  # test_recipes.py builds these networks; runs.py draws from such runs
def test_both_stages_and_a_sample(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(tiny.images(20, size=(40, 60))):
        Image.fromarray(image).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text("a man")
    (folder / "vocabulary.model").write_bytes(vocabulary.EMOJI_VOCABULARY.read_bytes())
    task = f"--gin.MIXTURE_OR_TASK_NAME=folder:{folder}"
    tokenizer, stage_2 = f"{tmp_path}/tokenizer", f"{tmp_path}/text_to_image"
    for stage, run in (("tokenizer", tokenizer), ("text_to_image", stage_2)):
        recipe = [f"--gin_file=gin/runs/quickstart_{stage}.gin", f"--model_dir={run}"]
        if stage == "text_to_image":
            recipe.append(f"--gin.TOKENIZER_CHECKPOINT={tokenizer}")
        assert main(["train", *recipe, task, *SIZES]) == 0
    output = tmp_path / "drawn"
    assert main(["sample", "a man", f"--checkpoint={stage_2}", f"--output={output}"]) == 0
    with Image.open(output / "a-man-00.png") as picture:
        assert picture.size == (48, 32)
