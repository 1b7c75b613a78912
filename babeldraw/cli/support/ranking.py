"""Which sample of each prompt a CoCa likes best, of a suite that lies in its folder."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from babeldraw.cli.support.prompts import encode_prompts
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from babeldraw.cli.support.prompt_files import SuiteDrawer
    from babeldraw.evaluation.suites.drawing import Drawn

Ranker = Callable[["Drawn"], list[int]]

RANKED = 64
"""Pictures that are ranked at a time."""


def open_ranker(
    directory: str | None, mesh: "Mesh | None", drawer: "SuiteDrawer"
) -> tuple[Ranker | None, str | None]:
    """What finds the places of each prompt's best picture, and the fingerprint of its weights.

    Args:
      directory: of a CoCa run, or of an exported model with one; None: there is none.

    Raises:
      UserError: it is no such run, reads pictures of another size, or classes are drawn.
    """
    if not directory:
        return None, None
    if drawer.classes:
        raise UserError(
            "--rerank compares pictures with a text, and a class is none; leave it out."
        )
    import numpy as np

    from babeldraw.cli.support.models import open_model
    from babeldraw.cli.support.prompt_files import fingerprint
    from babeldraw.parallel.mesh import make_mesh

    everywhere = None if mesh is None else make_mesh({"data": -1}, list(mesh.devices.flat))
    judge = open_model(directory, everywhere, "reranker")
    reranker = judge.reranker()
    reranker.check_size(drawer.sampler.tokenizer.image_size)

    def best(drawn: "Drawn") -> list[int]:
        from babeldraw.evaluation.suites.scoring import drawn_pictures

        texts = [each.prompt for each in drawn.suite.entries]
        read = encode_prompts(texts, judge.judge_vocabulary, reranker.model)
        of_texts = reranker.embed_texts(read)
        shown = drawn_pictures(drawn)
        batches = shown.pictures.batches(RANKED)
        of_images: np.ndarray = np.concatenate([reranker.embed_images(each) for each in batches])
        cosines = np.sum(of_images * of_texts[np.asarray(shown.entries)], axis=1)
        found: dict[int, int] = {}
        for place, entry in enumerate(shown.entries):
            if entry not in found or cosines[place] > cosines[found[entry]]:
                found[entry] = place
        return sorted(found.values())

    return best, fingerprint(reranker.params)
