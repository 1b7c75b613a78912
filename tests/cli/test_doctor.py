"""Contract: `babeldraw doctor` tells a machine that works from one that does not."""

import json
import os
from importlib import metadata

import pytest

from babeldraw.cli import doctor
from babeldraw.cli import main as cli

KEYS = {
    *("healthy", "versions", "pinned_set", "t5x", "devices", "memory", "disk"),
    *("model_dir", "data_dir", "compiled_step"),
}


@pytest.fixture
def line(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "pinned_set", lambda: doctor.Check("as tested"))
    monkeypatch.delenv("BABELDRAW_T5X_DIR", raising=False)
    monkeypatch.setattr(doctor, "MIN_DISK_GIB", 0.0)
    monkeypatch.setattr(doctor, "MIN_MEMORY_GIB", 0.0)
    return ["doctor", f"--model_dir={tmp_path}/a/b", f"--data_dir={tmp_path}/data"]


def test_a_healthy_machine(line, tmp_path, capsys):
    assert cli.main(line) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 9 and all(text.startswith("ok ") for text in said)
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_json(line, capsys):
    assert cli.main([*line, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.keys() == KEYS
    assert report["healthy"] is True
    assert report["devices"]["value"] == {"platform": "cpu", "kind": "cpu", "count": 8}
    assert report["versions"]["value"]["jax"] == metadata.version("jax")


def test_a_directory_that_cannot_be_written(line, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main([*line, f"--data_dir={tmp_path}/file/x", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is False
    assert report["data_dir"]["fix"] == "change its permissions, or give another --data_dir"
    assert report["model_dir"]["fix"] == ""


def test_t5x_may_be_missing_and_may_not_be_broken(line, tmp_path, monkeypatch, capsys):
    cli.main(line)
    assert "ok    t5x            T5X is not here" in capsys.readouterr().out
    monkeypatch.setenv("BABELDRAW_T5X_DIR", str(tmp_path))
    assert cli.main(line) == 1
    said = capsys.readouterr().out
    assert f"no clone of t5x in {tmp_path}/t5x" in said and "-> clone it there" in said


def test_t5x_is_named_by_its_commit(tmp_path, monkeypatch):
    from babeldraw.t5x_models import found

    for name, value in {
        "put_on_path": None,
        "require": None,
        "folder": tmp_path,
        "commit": "0123456789",
    }.items():
        monkeypatch.setattr(found, name, lambda value=value: value)
    check = doctor.t5x()
    assert check.value == f"in {tmp_path}, commit 0123456, tested cc342d4" and not check.fix


def test_a_full_disk_and_a_check_that_breaks(line, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "MIN_DISK_GIB", 1e9)
    monkeypatch.setattr(doctor, "memory", lambda: 1 // 0)
    assert cli.main(line) == 1
    said = capsys.readouterr().out
    assert "fail  disk" in said and "-> free some: less than" in said
    assert "fail  memory         ZeroDivisionError" in said


def test_other_versions_than_the_tested_ones_are_named(monkeypatch, tmp_path):
    jax = metadata.version("jax")
    monkeypatch.setattr(doctor.paths, "repository_root", lambda: tmp_path)
    (tmp_path / "constraints.txt").write_text(f"# a comment\njax=={jax}\nnot-installed==1\n")
    assert doctor.pinned_set().fix == ""
    (tmp_path / "constraints.txt").write_text("jax==0.0.1\n")
    found = doctor.pinned_set()
    assert found.value == [f"jax {jax} (tested: 0.0.1)"]
    assert "launch/setup.sh" in found.fix


def test_a_bucket_has_no_disk():
    assert doctor.disk("gs://b/run").value == "a bucket"
    assert os.path.exists("/") and doctor.disk("/not/there").value["free GiB"] >= 0
