import itertools
import threading
import time

import pytest

from babeldraw.training.prefetch import Prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_order_and_end():
    with Prefetch(iter(range(5))) as batches:
        assert list(batches) == [0, 1, 2, 3, 4]
        with pytest.raises(StopIteration):
            next(batches)  # And again: it does not wait for ever.
    assert not threads()


def test_leaving_stops_the_thread():
    with Prefetch(itertools.count()) as batches:
        assert next(batches) == 0
    assert not threads()


def test_is_never_more_than_its_depth_ahead():
    taken = []

    def source():
        for index in range(100):
            taken.append(index)
            yield index

    with Prefetch(source(), depth=2) as batches:
        next(batches)
        time.sleep(0.3)
        assert len(taken) <= 4  # One read, two waiting, one in the thread's hand.


def test_an_exception_comes_after_the_batches_before_it():
    def source():
        yield 1
        raise ValueError("broken file")

    with Prefetch(source()) as batches:
        assert next(batches) == 1
        with pytest.raises(ValueError, match="broken file"):
            next(batches)
    assert not threads()
