"""Contract: of what is drawn, the share stays that scores best."""

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.sampling.rejection import drawn_for, keep_best


@pytest.mark.parametrize(
    ("kept", "share", "drawn"), [(4, 0.25, 16), (4, 1.0, 4), (1, 0.1, 10), (3, 0.4, 8)]
)
def test_as_many_are_drawn_as_leave_enough(kept, share, drawn):
    assert drawn_for(kept, share) == drawn


def test_the_best_are_kept_and_equals_stand_as_they_were_drawn():
    scores = np.array([[0.1, 0.9, 0.5, 0.9], [0.2, 0.2, 0.2, 0.2]])
    assert keep_best(scores, 2).tolist() == [[1, 3], [0, 1]]
    assert keep_best(scores, 4).tolist() == [[1, 3, 2, 0], [0, 1, 2, 3]]
    with pytest.raises(UserError, match="5 of 4 pictures cannot be kept"):
        keep_best(scores, 5)
