"""The frozen networks of a run are those that its recipe describes."""

from babeldraw.errors import UserError
from babeldraw.objectives.base import Constants, Objective
from babeldraw.training.keeping.checkpoint_files import by_name

_MEANINGS = {
    "codebook": ("a codebook of {} codes", "CODEBOOK_SIZE"),
    "positions/table": ("{} tokens a picture", "IMAGE_SIZE and PATCH_SIZE"),
}
"""End of a variable's name -> what its first axis counts, and what sets it."""


def check_constants(objective: Objective, constants: Constants) -> None:
    """Compares the shapes of frozen networks with those that the recipe describes.

    Raises:
      UserError: one is of another size; names both.
    """
    found = by_name(constants)
    faults = [
        _fault(name, tuple(found[name].shape) if name in found else None, tuple(leaf.shape))
        for name, leaf in by_name(objective.abstract_constants()).items()
        if name not in found or found[name].shape != leaf.shape
    ]
    # What has a name of its own says more than the widths that follow from it.
    if faults:
        raise UserError(min(faults)[1])


def _fault(name: str, found: tuple[int, ...] | None, wanted: tuple[int, ...]) -> tuple[int, str]:
    """Its rank among several, and the sentence."""
    network, _, name = name.partition("/")
    fix = f"give another {network}, or the sizes of this one"
    if found is None:
        return 2, f"The frozen {network} has no {name}, which the recipe describes: {fix}."
    for end, (text, setting) in _MEANINGS.items():
        if name.endswith(end) and found[0] != wanted[0]:
            return 0, (
                f"The frozen {network} has {text.format(f'{found[0]:,}')}, and the recipe "
                f"{wanted[0]:,}: change {setting}, or give another {network}."
            )
    return 1, (
        f"The frozen {network}'s {name} is {list(found)}, and the recipe describes {list(wanted)}: "
        f"{fix}."
    )
