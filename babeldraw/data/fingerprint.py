"""What data are, in a few words: by which a run that goes on knows that they are still the same."""

import hashlib
from typing import Any

from babeldraw.data import raw, tasks
from babeldraw.data.classes import Classes
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.data.sources.picture_source import PictureSource
from babeldraw.data.sources.token_set import TokenSource


def data_fingerprint(
    task: str,
    split: str,
    *,
    captioned: bool = True,
    view: View = PLAIN,
    class_feature: str = "",
) -> dict[str, Any]:
    """Of a task or mixture: `task`, `split`, `pictures` (how many) and `names` (their hash).

    Where they are not as ever, also `fit` and `background`, and where pictures have classes,
    `class_feature` and `classes` (a hash of their names): runs of before these know none of them.
    No picture is opened; `captioned` and `view` are as in `tasks.find_task`. Of TFDS sets `names`
    goes by name and version, of tokens by their manifest; it is None where a source tells neither,
    as those that others have registered.

    Raises:
      UserError: as `tasks.find_task`; or the source cannot be read.
    """
    count, digest, known = 0, hashlib.sha256(), True
    provider = tasks.find_task(task, split, captioned=captioned, view=view)
    for part in raw.subtasks(provider, split):
        source = part.source
        count += source.num_input_examples(split)
        if isinstance(source, PictureSource):
            for picture in source.pictures(split):
                digest.update(f"{picture.name}\n".encode("utf-8", "surrogateescape"))
        elif isinstance(source, TokenSource):
            digest.update(f"{source.manifest}\n".encode())
        elif hasattr(source, "tfds_dataset"):
            digest.update(f"{source.tfds_dataset.builder.info.full_name}\n".encode())
        else:
            known = False
    names = digest.hexdigest() if known else None
    other = {key: now for key, now in view.of_pictures.items() if now != PLAIN.of_pictures[key]}
    if class_feature:
        found = Classes.of(provider, class_feature, task).names
        hashed = hashlib.sha256("\n".join(found).encode("utf-8", "surrogateescape")).hexdigest()
        other |= {"class_feature": class_feature, "classes": hashed}
    return {"task": task, "split": split, "pictures": count, "names": names, **other}
