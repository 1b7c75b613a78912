"""Google Kubernetes Engine: a JobSet of one pod a host, on a node pool of TPUs.

Fields: jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2 and
kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1.
"""

import argparse
import shlex
from typing import Any

import yaml

from babeldraw.errors import UserError
from babeldraw.parallel.processes import PORT
from launch import tpu_vm, tpus
from launch.commands import Command, show
from launch.exit_codes import USER_ERROR
from launch.job import Job, require_shared_model_dir

SUMMARY = "Google Kubernetes Engine, as a JobSet"
_JOIN_SECONDS = "900"  # pods are scheduled and their images pulled at different times


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The cluster, and where the image is put. `--project`, `--zone`, `--spot`: of tpu_vm."""
    parser.add_argument("--cluster", metavar="NAME", help="cluster to use, or to make")
    parser.add_argument("--image", metavar="REGISTRY/NAME:TAG", help="where the image is pushed to")


def steps(job: Job, args: argparse.Namespace) -> dict[str, list[Command]]:
    """The commands of each thing that can be done with the job.

    Raises:
      UserError: the machine file describes no TPU, or an argument is missing.
    """
    tpus.names_of(job)
    require_shared_model_dir(job)
    for flag, value in (("--cluster", args.cluster), ("--image", args.image)):
        if not value:
            raise UserError(f"--on gke needs {flag}; see python -m launch.run --help")
    where = tpu_vm.place(args)
    of_gcloud = ("--cluster", args.cluster)
    location = tuple(word.replace("--zone", "--location") for word in where)
    clusters = ("gcloud", "container", "clusters")
    capacity = "--spot" if args.spot else "--on-demand"
    if args.reservation:
        capacity = f"--reservation={args.reservation}"
    make = ("xpk", "cluster", "create", *of_gcloud, f"--tpu-type={job.accelerator}")
    jobset = ("kubectl", "delete", "jobset", job.name, "--ignore-not-found")
    pods = f"--selector=jobset.sigs.k8s.io/jobset-name={job.name}"
    first = f"{pods},batch.kubernetes.io/job-completion-index=0"
    return {
        "create": [
            Command(
                (*make, f"--num-slices={job.slices}", capacity, *where),
                unless=(*clusters, "describe", args.cluster, *location),
            ),
            Command((*clusters, "get-credentials", args.cluster, *location)),
        ],
        "install": [
            Command(job.pack(tpu_vm.ARCHIVE)),
            Command(("bash", "launch/image.sh", tpu_vm.ARCHIVE, args.image, job.extra)),
        ],
        # What a JobSet runs cannot be changed: an earlier one of this name makes room.
        "start": [
            Command((*jobset, "--wait=true")),
            Command(("kubectl", "apply", "--filename=-"), stdin=manifest(job, args)),
        ],
        "logs": [
            Command(
                ("kubectl", "wait", "--for=condition=Ready", "pod", first, "--timeout=1h"),
                may_fail=True,  # it may have ended before it was looked at
            ),
            Command(("kubectl", "logs", "--follow", first, "--tail=-1")),
        ],
        "status": [
            Command(("kubectl", "get", "jobset", job.name)),
            Command(("kubectl", "get", "pods", pods, "--output=wide")),
        ],
        "stop": [
            Command(
                (
                    *("kubectl", "patch", "jobset", job.name, "--type=merge"),
                    '--patch={"spec":{"suspend":true}}',
                )
            )
        ],
        "delete": [Command(jobset)],
    }


def notes(job: Job, args: argparse.Namespace) -> list[str]:
    """What is said after a dry run: the same job by xpk, and how the cluster goes away."""
    command = shlex.join(("python", "-m", "babeldraw.cli.main", *job.arguments))
    workload = (
        *("xpk", "workload", "create", f"--workload={job.name}", f"--cluster={args.cluster}"),
        *(f"--tpu-type={job.accelerator}", f"--docker-image={args.image}"),
        *([f"--num-slices={job.slices}"] if job.slices > 1 else []),
        *(f"--max-restarts={args.max_restarts}", *tpu_vm.place(args)),
        f"--command={command}",
    )
    delete = ("xpk", "cluster", "delete", f"--cluster={args.cluster}", *tpu_vm.place(args))
    return [
        "The same job by xpk, in place of `start`:\n" + show(Command(workload)),
        "The cluster costs money until it is deleted:\n" + show(Command(delete)),
    ]


def manifest(job: Job, args: argparse.Namespace) -> str:
    """The JobSet, as YAML."""
    node = {
        "cloud.google.com/gke-tpu-accelerator": tpus.names_of(job).gke_accelerator,
        "cloud.google.com/gke-tpu-topology": job.topology,
    }
    if args.spot:
        node["cloud.google.com/gke-spot"] = "true"
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    cluster = {
        "JAX_COORDINATOR_ADDRESS": f"{job.name}-workers-0-0.{job.name}:{PORT}",
        "JAX_NUM_PROCESSES": str(job.hosts),
    }
    numbered = [{"name": "JAX_PROCESS_ID", "valueFrom": {"fieldRef": {"fieldPath": index}}}]
    if job.slices > 1:  # GKE numbers their pods itself, see parallel.processes.find_cluster
        cluster, numbered = {}, []
    variables = cluster | {"BABELDRAW_JOIN_SECONDS": _JOIN_SECONDS, **job.environment}
    container = {
        "name": "train",
        "image": args.image,
        "args": list(map(_literal, job.arguments)),
        "env": [
            *({"name": name, "value": _literal(value)} for name, value in variables.items()),
            *numbered,
        ],
        "ports": [{"containerPort": PORT}],
        "resources": {"limits": {"google.com/tpu": tpus.CHIPS_PER_HOST}},
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 300,  # for the last checkpoint
        "nodeSelector": node,
        "containers": [container],
    }
    if args.spot:
        spot = {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"}
        pod["tolerations"] = [spot | {"effect": "NoSchedule"}]
    # One pod's end is the end of all. A wrong recipe is not tried again.
    wrong = {"containerName": "train", "operator": "In", "values": [USER_ERROR]}
    workers = {
        "parallelism": job.hosts // job.slices,
        "completions": job.hosts // job.slices,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": wrong}]},
        "template": {"spec": pod},
    }
    final: dict[str, Any] = {"name": "wrongrecipe", "action": "FailJobSet"}
    document = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": job.name,
            # All pods of a job on the hosts of one slice.
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
            },
        },
        "spec": {
            "failurePolicy": {
                "maxRestarts": args.max_restarts,
                "rules": [final | {"onJobFailureReasons": ["PodFailurePolicy"]}],
            },
            "replicatedJobs": [
                {"name": "workers", "replicas": job.slices, "template": {"spec": workers}}
            ],
        },
    }
    manifest: str = yaml.safe_dump(document, sort_keys=False, width=10_000)
    return manifest


def _literal(text: str) -> str:
    """Kubernetes puts variables in place of `$(NAME)`, and takes `$$` for a dollar sign there."""
    return text.replace("$", "$$")
