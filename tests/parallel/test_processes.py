"""Contract: each environment's own variables give the same three facts."""

import pytest

from babeldraw.errors import UserError
from babeldraw.parallel.processes import PORT, Cluster, find_cluster, first_slurm_host

KUBERNETES = {
    "JAX_COORDINATOR_ADDRESS": "run-workers-0-0.run:8476",
    "JAX_NUM_PROCESSES": "4",
    "JOB_COMPLETION_INDEX": "3",
}
GKE = {"TPU_WORKER_HOSTNAMES": "a-0.svc,a-1.svc,a-2.svc,a-3.svc", "TPU_WORKER_ID": "3"}
SLURM = {
    "SLURM_JOB_ID": "4100",
    "SLURM_STEP_NODELIST": "node[07-09],late1",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
}
OLD_METADATA = {
    "worker-network-endpoints": ",".join(f"w{i}:8470:10.0.0.{i + 1}" for i in range(4)),
    "agent-worker-number": "3",
}
NEW_METADATA = {
    "worker-network-endpoints": "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4",
    "agent-worker-number": "3",
}


@pytest.mark.parametrize(
    ("environment", "metadata", "address"),
    [
        (KUBERNETES, None, "run-workers-0-0.run:8476"),
        (GKE, None, f"a-0.svc:{PORT}"),
        (SLURM, None, "node07:61444"),
        ({}, OLD_METADATA, f"10.0.0.1:{PORT}"),
        ({}, NEW_METADATA, f"10.0.0.1:{PORT}"),
    ],
    ids=["kubernetes", "gke", "slurm", "tpu-vm-old", "tpu-vm-new"],
)
def test_every_environment_tells_where_the_others_are(environment, metadata, address):
    found = find_cluster(environment, metadata.get if metadata else None)
    assert (found.coordinator_address, found.num_processes, found.process_id) == (address, 4, 3)


SLICES = {
    "MEGASCALE_COORDINATOR_ADDRESS": "b-0.svc:8080",
    "MEGASCALE_NUM_SLICES": "2",
    "MEGASCALE_SLICE_ID": "1",
}
TPU_ENV = "ACCELERATOR_TYPE: 'v5litepod-16'\n" + "".join(f"{k}: '{v}'\n" for k, v in SLICES.items())


@pytest.mark.parametrize(
    ("environment", "metadata"),
    [(GKE | SLICES, None), ({}, NEW_METADATA | {"tpu-env": TPU_ENV})],
    ids=["gke", "tpu-vm"],
)
def test_the_hosts_of_every_slice_are_counted(environment, metadata):
    """As jax/_src/clusters/cloud_tpu_cluster.py numbers them."""
    found = find_cluster(environment, metadata.get if metadata else None)
    assert (found.coordinator_address, found.num_processes) == (f"b-0.svc:{PORT}", 8)
    assert found.process_id == 4 + 3
    first = find_cluster(GKE | SLICES | {"MEGASCALE_SLICE_ID": "0", "TPU_WORKER_ID": "0"})
    assert (first.process_id, first.num_processes) == (0, 8)
    alone = find_cluster(GKE | {"MEGASCALE_NUM_SLICES": "1"})
    assert alone == find_cluster(GKE)


def test_flags_win_over_variables_and_variables_over_the_scheduler():
    environment = SLURM | GKE | KUBERNETES | {"JAX_PROCESS_ID": "2"}
    assert find_cluster(environment, NEW_METADATA.get).process_id == 2
    found = find_cluster(environment, coordinator_address="h:1", num_processes=2, process_id=0)
    assert found == Cluster("h:1", 2, 0, "flags or JAX_* variables")


def test_a_lone_process_is_told_of_nobody():
    assert find_cluster({"SLURM_JOB_ID": "1"}) is None  # an allocation, not a step
    assert find_cluster({}, lambda attribute: None) is None


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"JAX_COORDINATOR_ADDRESS": "h:1"}, r"--num_processes \(JAX_NUM_PROCESSES\) is missing"),
        (KUBERNETES | {"JAX_NUM_PROCESSES": "four"}, "is 'four': make it a whole number"),
        (KUBERNETES | {"JAX_NUM_PROCESSES": "3"}, "process 3 of 3 .* from 0 to 2"),
        (GKE | {"TPU_WORKER_ID": "4"}, "process 4 of 4"),
        (GKE | {"MEGASCALE_NUM_SLICES": "2"}, "MEGASCALE_COORDINATOR_ADDRESS is missing"),
        (GKE | SLICES | {"MEGASCALE_SLICE_ID": "2"}, "process 2 of 2 by MEGASCALE"),
        ({k: v for k, v in SLURM.items() if k != "SLURM_NTASKS"}, "SLURM_NTASKS is missing"),
    ],
)
def test_half_an_answer_is_an_error(environment, sentence):
    with pytest.raises(UserError, match=sentence):
        find_cluster(environment)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("login", "login"),
        ("a1,b2", "a1"),
        ("tpu[007-009,12],x", "tpu007"),
        ("tpu[5]", "tpu5"),
        ("rack-2-n[1,3]", "rack-2-n1"),
        ("n[1-2]-ib0,m", "n1-ib0"),
    ],
)
def test_first_host_of_a_node_list(nodes, first):
    assert first_slurm_host(nodes) == first
