"""What Google Cloud calls the TPUs of our machine files."""

import dataclasses

from babeldraw.errors import UserError
from launch.job import Job

CHIPS_PER_HOST = 4


@dataclasses.dataclass(frozen=True)
class Names:
    """Of one TPU family.

    Attributes:
      runtime_version: of a TPU VM's disk; cloud.google.com/tpu/docs/runtimes. "" where the family
        is offered through GKE alone; docs.cloud.google.com/tpu/docs/tpu7x.
      gke_accelerator: the node label; cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus.
    """

    runtime_version: str
    gke_accelerator: str


FAMILIES = {
    "v4": Names("tpu-ubuntu2204-base", "tpu-v4-podslice"),
    "v5e": Names("v2-alpha-tpuv5-lite", "tpu-v5-lite-podslice"),
    "v5p": Names("v2-alpha-tpuv5", "tpu-v5p-slice"),
    "v6e": Names("v2-alpha-tpuv6e", "tpu-v6e-slice"),
    "tpu7x": Names("", "tpu7x"),
}


def names_of(job: Job) -> Names:
    """Of the job's TPU.

    Raises:
      UserError: the machine file describes none.
    """
    if job.family not in FAMILIES or not job.accelerator:
        raise UserError(
            "the machine file describes no TPU slice; choose another with --config, such as "
            "configs/v5e_16.py"
        )
    return FAMILIES[job.family]
