"""Contract: drawing and other jobs of a run go where training goes, with their own arguments."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from launch import run
from tests.cli import runs

MACHINE = "--config=configs/v4_1024.py"
RUN = "--model_dir=gs://BUCKET/20b"


def launched(capsys, *line):
    """The words that a worker gives `babeldraw`."""
    assert run.main(["--on=tpu_vm", MACHINE, RUN, "--do=start", "--dry-run", *line]) == 0
    shown = capsys.readouterr().out.replace("\\\n", " ")
    (command,) = (word for word in shlex.split(shown) if word.startswith("--command="))
    return shlex.split(command.partition(" -- ")[2])


def test_arguments_reach_the_workers_as_they_are(capsys):
    words = launched(capsys, "--job=sample", "--", "--num_samples=2", "a red apple; $(x)")
    run_words = [MACHINE, "--checkpoint=gs://BUCKET/20b", "--output=gs://BUCKET/20b/samples"]
    assert words == ["sample", *run_words, "--num_samples=2", "a red apple; $(x)"]
    words = launched(capsys, "--job=evaluate", "--", "--limit=3")
    assert words == ["evaluate", *run_words[:2], "--limit=3"]
    output = "--output=gs://BUCKET/tokens"
    words = launched(capsys, "--job=tokenize-dataset", "--", "--task=tfds:a", output)
    assert words == ["tokenize-dataset", *run_words[:2], "--task=tfds:a", output]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--job=sample", "--gin_file=gin/models/20b.gin"], "has the recipe of the run"),
        (["--job=train"], "a training needs its recipe: give --gin_file"),
        (["--gin_file=gin/models/20b.gin", "--", "a cat"], "'a cat' is no argument of a training"),
        (["--job=sample", "--", "--output=a", "a cat"], "--output=a would be another directory"),
        # It would have been sent to the workers, and the rest done.
        (["--job=sample", "--", "--dry-run", "a cat"], "there is no --dry-run"),
        (["--job=evaluate", "--", "--limit=many"], "--limit is many; give a whole number"),
    ],
)
def test_mistakes_are_one_sentence(line, sentence, capsys):
    assert run.main(["--on=tpu_vm", MACHINE, RUN, *line]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def on_two(job, model_dir, machine, *arguments):
    """In two processes of four devices."""
    line = ["--on=local", f"--job={job}", f"--config={machine}", f"--model_dir={model_dir}"]
    processes = ["--num_processes=2", "--devices_per_process=4", "--max_restarts=0"]
    assert run.main([*line, *processes, "--", *arguments]) == 0


@pytest.fixture
def machine():
    """Inside of the checkout: a file outside of it would not reach workers."""
    return "configs/cpu_2x4.py"


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.slow
def test_two_processes_draw_as_one(tmp_path, machine):
    """Half of the rows in each, every layer's weights over the four devices of a process."""
    model_dir = runs.write_text_to_image(tmp_path, codes=16, heads=4)
    line = ["--num_samples=3", "--guidance_weight=1.5", "a red apple"]
    assert main(["sample", f"--checkpoint={model_dir}", f"--output={tmp_path}/one", *line]) == 0
    on_two("sample", model_dir, machine, f"--output={tmp_path}/two", *line)
    names = sorted(path.name for path in (tmp_path / "one").glob("*.png"))
    assert names == sorted(path.name for path in (tmp_path / "two").glob("*.png"))
    assert len(names) == 4
    for name in names:
        np.testing.assert_array_equal(
            pixels(tmp_path / "one" / name), pixels(tmp_path / "two" / name)
        )


@pytest.mark.slow
def test_two_processes_share_a_dataset(tmp_path, machine):
    tokenizer = runs.write_tokenizer(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        picture.save(tmp_path / "pictures" / f"{number}.png")
        (tmp_path / "pictures" / f"{number}.txt").write_text(f"picture {number}")
    line = [f"--task=folder:{tmp_path}/pictures", "--shard_size=2"]
    words = ["tokenize-dataset", f"--checkpoint={tokenizer}", f"--output={tmp_path}/one", *line]
    assert main(words) == 0
    on_two("tokenize-dataset", tokenizer, machine, f"--output={tmp_path}/two", *line)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two and len(one) > 3
    assert json.loads(one["manifest.json"])


@pytest.mark.slow
def test_two_processes_evaluate_as_one(tmp_path):
    """Each device draws its groups, and reports differ in what says when, where and how fast."""
    model_dir = runs.write_text_to_image(tmp_path, codes=16, heads=4)
    real = np.random.default_rng(0).integers(0, 256, (6, 16, 20, 3), dtype=np.uint8)
    rows = []
    for number, picture in enumerate(real):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        rows.append({"id": f"p{number}", "prompt": f"cook {number}", "reference": f"{number}.png"})
    suite = tmp_path / "suite.jsonl"
    suite.write_text("\n".join(map(json.dumps, rows)))
    line = [f"--suite={suite}", "--num_samples=3", "--guidance_weight=1.5"]
    assert main(["evaluate", f"--checkpoint={model_dir}", f"--output={tmp_path}/one", *line]) == 0
    on_two("evaluate", model_dir, "configs/cpu.py", f"--output={tmp_path}/two", *line)
    one, two = (tmp_path / name for name in ("one", "two"))
    names = sorted(path.relative_to(one) for path in one.rglob("*.png"))
    assert len(names) == 18
    for name in names:
        np.testing.assert_array_equal(pixels(one / name), pixels(two / name))
    reports = [json.loads((each / "report.json").read_text()) for each in (one, two)]
    made = [report.pop("made") for report in reports]
    assert reports[0] == reports[1] and [each["processes"] for each in made] == [1, 2]
    assert (one / "prompts.jsonl").read_text() == (two / "prompts.jsonl").read_text()
