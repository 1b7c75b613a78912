"""Contract: a run reads the texts that it has read before, or says that it would not."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from babeldraw.errors import UserError
from babeldraw.training.keeping.vocabulary import NAME
from tests.training.toy import Toy, ToyDataset


class Reading(Toy):
    """Asks for texts, which it does not look at."""

    def batch_shapes(self, batch_size):
        text = jax.ShapeDtypeStruct((batch_size, 2), jnp.int32)
        return super().batch_shapes(batch_size) | {"text_tokens": text}


@dataclasses.dataclass
class Captioned(ToyDataset):
    vocabulary_model: bytes = b"one"

    def batches(self, **settings):
        for batch in super().batches(**settings):
            yield batch | {"text_tokens": jnp.zeros((self.batch_size, 2), jnp.int32)}


def test_the_vocabulary_is_kept_and_another_one_refused(run, tmp_path):
    kept = tmp_path / "run" / NAME
    run(1, objective=Reading(), train_dataset=Captioned())
    assert kept.read_bytes() == b"one"
    other = Captioned(vocabulary_model=b"two")
    with pytest.raises(UserError, match=f"set BABELDRAW_VOCABULARY to {kept}"):
        run(2, objective=Reading(), train_dataset=other)
    run(2, objective=Reading(), train_dataset=Captioned())


def test_a_run_of_before_gets_its_own(run, tmp_path):
    run(1, objective=Reading(), train_dataset=Captioned())
    (tmp_path / "run" / NAME).unlink()
    run(2, objective=Reading(), train_dataset=Captioned())
    assert (tmp_path / "run" / NAME).read_bytes() == b"one"


def test_a_stage_that_reads_no_texts_keeps_none(run, tmp_path):
    run(1, train_dataset=Captioned())
    assert not (tmp_path / "run" / NAME).exists()
