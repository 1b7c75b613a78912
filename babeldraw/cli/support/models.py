"""A trained model by its name, whatever holds it: what every command that draws begins with."""

import dataclasses
from typing import TYPE_CHECKING

from babeldraw.cli.support.named import find_model
from babeldraw.errors import UserError
from babeldraw.training.keeping import run_folders

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.loras import Loras
    from babeldraw.cli.support.runs import Run


def open_model(
    name: str,
    mesh: "Mesh | None" = None,
    wanted: str = "",
    added: "Loras" = (),
    decoder: str | None = None,
    int8: bool = False,
) -> "Run | Exported":
    """Opens a run directory or an exported model; runs nothing of what stands in it.

    Args:
      name: see `find_model`; or a folder with runs of which one fits.
      mesh: where the networks are to lie; None: on one device.
      wanted: what it is to offer, such as "sampler"; see `open_run`.
      added: low-rank changes; see `Run`.
      decoder: of a run alone; see decoders.py.
      int8: see `Run`.

    Raises:
      UserError: see `find_model`, `open_run` and `open_exported`.
    """
    name = find_model(name)
    if run_folders.is_exported(name):
        from babeldraw.cli.support.exported import open_exported

        if decoder:
            raise UserError(
                f"{name} is an exported model, and --decoder changes the run that it was trained "
                "on; give that run, or leave --decoder out."
            )
        return dataclasses.replace(open_exported(name, mesh, wanted), loras=added, int8=int8)
    from babeldraw.cli.support.runs import open_run

    opened = dataclasses.replace(open_run(name, mesh, wanted, added), int8=int8)
    if decoder is None:
        return opened
    from babeldraw.cli.support.decoders import with_decoder

    return with_decoder(opened, decoder)
