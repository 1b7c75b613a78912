import pytest

from babeldraw.cli import main
from tests.evaluation.run_files import write_run


def test_one_run_has_its_page_beside_its_files(tmp_path, capsys):
    run = write_run(tmp_path / "a", "tokenizer")
    assert main.main(["report", f"{run}/"]) == 0
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert f"Look at {run}/report.html" in capsys.readouterr().out


def test_several_runs_have_a_page_in_this_folder(tmp_path, monkeypatch):
    for name in ("a", "b"):
        write_run(tmp_path / name, "tokenizer")
    monkeypatch.chdir(tmp_path)
    assert main.main(["report", "a", "b"]) == 0
    assert "<title>2 runs: tokenizer</title>" in (tmp_path / "report.html").read_text()
    assert main.main(["report", "a", "b", "--output", "x/y.html"]) == 0
    assert (tmp_path / "x" / "y.html").exists()


@pytest.mark.parametrize("arguments", [["nothing"], ["a", "--output", "."]])
def test_what_cannot_be_read_or_written_is_one_sentence(tmp_path, monkeypatch, capsys, arguments):
    write_run(tmp_path / "a", "tokenizer")
    monkeypatch.chdir(tmp_path)
    assert main.main(["report", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("babeldraw: error: ")
    assert not (tmp_path / "report.html").exists()
