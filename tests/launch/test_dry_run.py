"""Contract: what would run is known before anything is created.

After a change that is meant, with BABELDRAW_UPDATE_GOLDEN=1 in the environment it writes the files.
"""

import os
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api.models.jobset_v1alpha2_job_set import JobsetV1alpha2JobSet

from launch import gke, job, run

GOLDEN = Path(__file__).parent / "golden"
TASK = ["--gin_file=gin/tokenizers/small_small.gin", "--gin_file=gin/tasks/coco.gin"]
JOBS = {
    "350m_v5e_16": ("350m", "v5e_16", ["--gin.BATCH_SIZE=512"]),
    "3b_v4_512": ("3b", "v4_512", []),
    "20b_v4_1024": ("20b", "v4_1024", []),
    "3b_tpu7x_64": ("3b", "tpu7x_64", []),
    "3b_v5e_512": ("3b", "v5e_512", []),
}
HOSTILE = 'gs://b/it\'s; $(touch pwned) `x` "q" $HOME\n#*'


def arguments(name, on):
    model, machine, extra = JOBS[name]
    line = [f"--on={on}", f"--config=configs/{machine}.py", "--gin_file=gin/runs/text_to_image.gin"]
    line += [f"--gin_file=gin/models/{model}.gin", *TASK, *extra]
    line += ["--gin.TOKENIZER_CHECKPOINT='gs://BUCKET/tokenizer'"]
    line += [f"--model_dir=gs://BUCKET/babeldraw-{model}", "--env=TFDS_DATA_DIR=gs://BUCKET/tfds"]
    if on == "gke":
        line += ["--cluster=CLUSTER", "--image=REGISTRY/babeldraw:1"]
    return line


def dry_run(line, capsys):
    assert run.main([*line, "--dry-run"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "on"),
    [
        (name, on)
        for name in JOBS
        for on in ("tpu_vm", "gke", "slurm")
        if (name, on) != ("3b_tpu7x_64", "tpu_vm")  # Kubernetes alone offers it.
    ],
)
def test_golden(name, on, capsys):
    shown = dry_run(arguments(name, on), capsys)
    path = GOLDEN / f"{name}_{on}.sh"
    if os.environ.get("BABELDRAW_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text()
    # Whatever is shown is a script that bash can read.
    subprocess.run(["bash", "-n"], input=shown, text=True, check=True)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.sh")), ids=lambda path: path.stem)
def test_no_place_is_hard_wired(path):
    shown = path.read_text()
    for word in ("--project", "--zone", "--location", "us-", "europe-", "asia-", "KEY", "TOKEN="):
        assert word not in shown.replace("TOKENIZER", ""), word


def test_places_are_handed_on(capsys):
    line = [*arguments("350m_v5e_16", "gke"), "--project=p1", "--zone=z-1", "--spot"]
    shown = dry_run(line, capsys)
    assert "describe CLUSTER --project=p1 --location=z-1" in shown
    assert "--spot" in shown and "cloud.google.com/gke-spot: 'true'" in shown
    shown = dry_run([*arguments("3b_v4_512", "tpu_vm"), "--reservation=r", "--zone=z-1"], capsys)
    assert "--reserved" in shown and "--zone=z-1" in shown and "--spot" not in shown


def manifests(line):
    args = run.make_parser().parse_args(run.cli.split_gin_bindings(line))
    return yaml.safe_load(gke.manifest(job.make_job(args), args))


@pytest.mark.parametrize("spot", [[], ["--spot"]], ids=["on-demand", "spot"])
@pytest.mark.parametrize("name", JOBS)
def test_manifests_are_valid(name, spot):
    document = manifests([*arguments(name, "gke"), *spot])
    check(document)
    (replicated,) = document["spec"]["replicatedJobs"]
    workers, slices = replicated["template"]["spec"], replicated["replicas"]
    chips = int(JOBS[name][1].rpartition("_")[2])
    assert workers["parallelism"] == workers["completions"] == chips // slices // 4
    assert slices == (2 if name == "3b_v5e_512" else 1)
    # The pods of one slice are told their numbers, those of several number themselves.
    (container,) = workers["template"]["spec"]["containers"]
    told = [variable["name"] for variable in container["env"] if "JAX_" in variable["name"]]
    assert len(told) == (3 if slices == 1 else 0)


def check(document):
    """By the schema of Kubernetes 1.37 for the job, of the JobSet API for what is around it."""
    parsed = JobsetV1alpha2JobSet.from_dict(document)
    # A field that the API does not know is dropped in parsing.
    jobs = [replicated.pop("template") for replicated in document["spec"]["replicatedJobs"]]
    known = parsed.to_dict()
    for replicated in known["spec"]["replicatedJobs"]:
        replicated.pop("template")
    assert known == document
    assert all(
        re.fullmatch("[a-zA-Z0-9]+", rule["name"])
        for rule in known["spec"]["failurePolicy"]["rules"]
    )
    for template, replicated in zip(jobs, document["spec"]["replicatedJobs"], strict=True):
        whole = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, **template}
        kubernetes_validate.validate(whole, "1.37", strict=True)
        replicated["template"] = template


@pytest.mark.parametrize("spoil", ["spec", "job"])
def test_the_schemas_refuse_unknown_fields(spoil):
    document = manifests(arguments("350m_v5e_16", "gke"))
    if spoil == "spec":
        document["spec"]["failurePolicy"]["maxRestart"] = 1
    else:
        document["spec"]["replicatedJobs"][0]["template"]["spec"]["parallel"] = 1
    with pytest.raises(Exception, match=r"maxRestart|parallel"):
        check(document)


FAKES = {
    # What is sent to the workers runs in a shell there.
    "gcloud": 'last="${@: -1:1}"; cd "$HOME_OF_WORKER"; bash -c "${last#--command=}"',
    "sbatch": 'SLURM_SUBMIT_DIR="$HOME_OF_WORKER" bash -s',
    "srun": "",
    "kubectl": 'if [[ "$1" == apply ]]; then cat >"$HOME_OF_WORKER/found"; fi',
    "babeldraw/launch/worker.sh": 'export "$2" "$3" "$4"; printf "%s\\0" "$NAME" "$@" >found',
    ".venv/bin/python": 'printf "%s\\0" "$NAME" "$@" >found',
}


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A folder of programs in place of the cloud's."""
    for name, text in FAKES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME_OF_WORKER", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("on", ["tpu_vm", "slurm", "gke"])
def test_hostile_names_reach_the_program_as_they_are(on, fakes, capsys):
    line = [word for word in arguments("350m_v5e_16", on) if not word.startswith("--model_dir")]
    line += [f"--model_dir={HOSTILE}", f"--env=NAME={HOSTILE}", "--do=start"]
    shown = dry_run(line, capsys)
    assert "it-s-touch-pwned" in shown  # a label, for the cloud
    subprocess.run(["bash", "-e"], input=shown, text=True, check=True, cwd=fakes)
    assert not (fakes / "pwned").exists()
    found = (fakes / "found").read_text()
    if on == "gke":
        jobset = yaml.safe_load(found)["spec"]["replicatedJobs"][0]["template"]
        (container,) = jobset["spec"]["template"]["spec"]["containers"]
        variables = {entry["name"]: entry.get("value") for entry in container["env"]}
        words = [variables["NAME"], *container["args"]]
        assert all("$" not in word.replace("$$", "") for word in words)
        words = [word.replace("$$", "$") for word in words]  # as Kubernetes does
    else:
        words = found.split("\0")
    assert words[0] == HOSTILE
    assert f"--model_dir={HOSTILE}" in words


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--model_dir=runs/a"], "another directory on each of 4 hosts"),
        (["--model_dir=gs://b/a", "--config=configs/h100.py"], "describes no TPU slice"),
        (["--model_dir=gs://b/a", "--config=configs/tpu7x_64.py"], "launch with --on gke"),
        (["--model_dir=gs://b/a", "--config=configs/v5_16.py"], "did you mean configs/v5e_16.py"),
        (["--model_dir=gs://b/a", "--gin_file=/etc/hostname"], "only what is inside is sent"),
        (["--model_dir=gs://b/a", "--env=1X=2"], "not of the form NAME=VALUE"),
    ],
)
def test_mistakes_are_one_sentence(line, sentence, capsys):
    assert run.main([*arguments("350m_v5e_16", "tpu_vm"), *line]) == 2
    error = capsys.readouterr().err
    assert error.startswith("launch: error: ") and error.count("\n") == 1
    assert sentence in error


def test_gke_asks_for_what_it_needs(capsys):
    line = [word for word in arguments("350m_v5e_16", "gke") if not word.startswith("--image")]
    assert run.main(line) == 2
    assert "--on gke needs --image" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["350m", "a b", "A-B", "it's", "", "x" * 80, "-a-", "ä"])
def test_resource_names_are_labels(name):
    label = job.resource_name(name)
    assert re.fullmatch("[a-z]([-a-z0-9]{0,38}[a-z0-9])?", label)
    assert job.resource_name("plain-name") == "plain-name"
    assert label != job.resource_name(name + "_")


def test_a_program_that_is_missing_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert run.main([*arguments("350m_v5e_16", "tpu_vm"), "--do=status"]) == 2
    assert "gcloud is not installed here" in capsys.readouterr().err


def test_hosts_are_those_of_all_slices(capsys, monkeypatch):
    config = {"topology": "3xv5e:4x4", "launch": {"hosts": 4}}
    monkeypatch.setattr(job.machines, "load_machine_file", lambda name: config)
    assert run.main([*arguments("3b_v5e_512", "tpu_vm"), "--dry-run"]) == 2
    assert "has 4 hosts for 3 slices: set launch.hosts to those of all" in capsys.readouterr().err
