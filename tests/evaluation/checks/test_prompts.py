"""Contract: a line for each cell, the same each time, that the score takes as it is."""

import json
from collections import Counter

from babeldraw.cli.main import main
from babeldraw.evaluation.checks.prompts import entries
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.checks import EmojiChecks


def test_all_cells_seen_and_held_out(known):
    found = entries(known)
    assert len({each["id"] for each in found}) == len(found) == 432
    kinds = Counter(each["category"] for each in found)
    assert kinds == {"seen": 360, "held out: role, gender and tone": 72}
    # Noto's astronauts are one picture for both genders, in six tones.
    assert sum("gender" not in each["checks"] for each in found) == 12
    assert all({"concept", "style", "tone"} <= each["checks"].keys() for each in found)


def test_the_command_writes_what_the_score_reads(known, tmp_path, capsys):
    for name in ("a.jsonl", "b.jsonl"):
        assert main(["data", "prompts", "quickstart", "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    said = capsys.readouterr().out
    assert "wrote 432 prompts" in said and "of 12 the gender is not checked" in said
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    prompts = [line["prompt"] for line in lines]
    score = EmojiChecks({line["prompt"]: line["checks"] for line in lines})
    assert score.world is known
    images = {cell.caption: image for cell, image in zip(known.cells, known.images, strict=True)}
    found = score.of(Pictures([images[prompt] for prompt in prompts]), prompts, None)
    assert found["all"].value > 0.99 and found["gender"].n == 420


def test_another_ending_is_refused(tmp_path, capsys):
    assert main(["data", "prompts", "people", "--output", str(tmp_path / "a.txt")]) == 2
    assert "name a file that ends in .jsonl" in capsys.readouterr().err
