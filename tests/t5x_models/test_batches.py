"""Contract: T5X gets the batches of our loop, from the step that its checkpoint is of."""

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.t5x_models.batches import Batches


class Numbers:
    """Batch k of host i of n holds k, i and n."""

    def batches(self, *, process_index, process_count, start_step):
        step = start_step
        while True:
            yield {"image_tokens": np.array([[step, process_index, process_count]], np.int32)}
            step += 1


class Objective:
    def __init__(self):
        self.seen = []

    def check_batch(self, batch):
        self.seen.append(int(batch["image_tokens"][0, 0]))


def first(batches):
    return next(batches)["image_tokens"].tolist()[0]


def test_they_come_in_order_and_are_looked_at():
    objective = Objective()
    batches = Batches(Numbers(), objective, 1, 4)
    spec = batches.element_spec["image_tokens"]
    assert (spec.dtype, spec.shape) == (np.int32, (1, 3))
    assert [first(batches) for _ in range(3)] == [[0, 1, 4], [1, 1, 4], [2, 1, 4]]
    assert objective.seen == [0, 1, 2]
    batches.reset()
    assert first(batches) == [0, 1, 4]


def test_a_checkpoint_goes_on_at_its_step_whatever_was_looked_at_ahead(tmp_path):
    folder = tmp_path / "checkpoint_5.of" / "checkpoint_0" / "dataset"
    folder.mkdir(parents=True)
    batches = Batches(Numbers(), Objective(), 0, 1)
    next(batches)  # As T5X does before it saves the first checkpoint.
    batches.save(str(folder / "train_ds-000-of-001"))
    assert first(batches)[0] == 1
    batches.load(str(folder / "train_ds-000-of-001"))
    assert first(batches)[0] == 0
    later = tmp_path / "checkpoint_30/dataset/process_0-of-2/train_ds-000-of-002"
    batches.restore(str(later))  # Of another number of hosts: it need not be there.
    assert first(batches)[0] == 30
    with pytest.raises(UserError, match="in no folder checkpoint_STEP"):
        batches.load("/elsewhere/train_ds-000-of-001")
