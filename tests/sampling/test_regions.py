import pytest

from babeldraw.errors import UserError
from babeldraw.sampling.regions import positions_of_box


def test_every_token_that_the_box_touches():
    # 4 rows and 5 columns of tokens of 8 px: pixels 7 to 16 touch columns 0, 1, 2.
    assert positions_of_box((7, 16, 10, 8), (4, 5), 8) == (10, 11, 12)
    assert positions_of_box((8, 8, 8, 16), (4, 5), 8) == (6, 11)
    assert positions_of_box((0, 0, 40, 32), (4, 5), 8) == tuple(range(20))
    assert positions_of_box((39, 31, 1, 1), (4, 5), 8) == (19,)


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (-1, 0, 4, 4), (38, 0, 4, 4), (0, 30, 4, 4)])
def test_a_box_outside_is_refused(box):
    with pytest.raises(UserError, match="not inside the picture of 40 x 32 px"):
        positions_of_box(box, (4, 5), 8)
