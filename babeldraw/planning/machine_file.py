"""Writes a searched layout as a machine file."""

import textwrap
from typing import Any

from babeldraw.planning.layouts import Layout
from babeldraw.planning.plan import Plan
from babeldraw.planning.search import seconds_text
from babeldraw.planning.topologies import Topology
from babeldraw.training.machine import Machine

_CHIPS_PER_HOST = 4

# What Google Cloud calls a slice: on v4 and v5p by its cores, two a chip. Of tpu7x, which the
# launchers do not know, nothing is said.
_ACCELERATORS = {"v4": ("v4", 2), "v5p": ("v5p", 2), "v5e": ("v5litepod", 1), "v6e": ("v6e", 1)}


def machine_file(name: str, plan: Plan, layout: Layout, command: str, date: str) -> str:
    """Python that `load_machine_file` reads.

    Args:
      name: of the machine, as the file is called.
      plan: of the layout, confirmed.
      command: that found it.
      date: when.
    """
    machine, topology = plan.machine, plan.topology
    seconds, mfu = plan.estimated_step_seconds, plan.estimated_mfu
    said = f"{plan.peak_hbm_gib:.1f} of {plan.hbm_available_gib:.2f} GiB"
    if plan.roofline is not None and seconds is not None and mfu is not None:
        said += (
            f", an estimated {seconds_text(seconds)} a step (MFU {mfu:.0%}), bound by "
            f"{plan.roofline.bound}"
        )
    slices = f"{topology.num_slices} slices of " if topology.num_slices > 1 else ""
    head = (
        f"{topology.num_chips} TPU {topology.chip.name} chips ({slices}{topology.shape_name}): "
        f"{plan.objective} of {plan.params / 1e9:.2f}e9 parameters at BATCH_SIZE = "
        f"{plan.batch_size}. {said}."
    )
    settings: dict[str, Any] = {"name": name, "topology": topology.name, **layout.settings}
    if machine.sampling_mesh:
        settings["sampling_mesh"] = dict(machine.sampling_mesh)
    if machine.accumulate > 1:
        settings["accumulate"] = machine.accumulate
    settings |= {
        "xla_flags": machine.xla_flags,
        "checkpoint_every": machine.checkpoint_every,
        "checkpoint_keep": machine.checkpoint_keep,
        "peak_flops": topology.chip.peak_flops,
        "launch": _launch(machine, topology),
    }
    lines = [f"            {_text(key)}: {_value(value)}," for key, value in settings.items()]
    return "\n".join(
        [
            *textwrap.wrap(f'"""{head}', 100),
            "",
            f"The fastest of the layouts that a search compiled on {date}:",
            *_command(command),
            '"""',
            "",
            "from ml_collections import ConfigDict",
            "",
            "",
            "def get_config() -> ConfigDict:",
            '    """See babeldraw.training.machine.Machine for what each field means."""',
            "    return ConfigDict(",
            "        {",
            *lines,
            "        }",
            "    )",
            "",
        ]
    )


def _command(command: str) -> list[str]:
    """The command, indented; a shell reads it as one line."""
    lines = textwrap.wrap(command, 92, break_long_words=False, break_on_hyphens=False)
    return [f"    {line}" + (" \\\\" if line is not lines[-1] else "") for line in lines]


def _launch(machine: Machine, topology: Topology) -> dict[str, Any]:
    if machine.topology == topology.name and machine.launch:
        return dict(machine.launch)
    of_a_slice = topology.num_chips // topology.num_slices
    hosts = max(of_a_slice // _CHIPS_PER_HOST, 1)
    launch: dict[str, Any] = {"hosts": topology.num_slices * hosts}
    if topology.chip.name in _ACCELERATORS:
        family, cores = _ACCELERATORS[topology.chip.name]
        launch["accelerator"] = f"{family}-{of_a_slice * cores}"
    return launch | {"topology": topology.shape_name}


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _value(value: Any) -> str:
    """A literal as the formatter writes it."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{_text(key)}: {_value(part)}" for key, part in value.items())
        return f"{{{inner}}}"
    if isinstance(value, float) and value >= 1e12:
        return f"{value / 1e12:g}e12"
    return repr(value)
