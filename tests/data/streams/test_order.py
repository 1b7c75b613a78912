"""Contract: an example's place follows from its position alone; every pass has each once."""

import collections

import pytest

from babeldraw.data.streams.order import BLOCK, Order, example_random


def pairs(order, positions):
    places = [order.place(position) for position in positions]
    return [(place.task, order.index(place)) for place in places]


def test_every_pass_has_each_example_once_in_another_order():
    order = Order([10], seed=3)
    passes = [pairs(order, range(10 * k, 10 * k + 10)) for k in range(3)]
    assert all(sorted(drawn) == [(0, i) for i in range(10)] for drawn in passes)
    assert passes[0] != passes[1] != passes[2]
    assert pairs(Order([10], seed=4), range(10)) != passes[0]
    far = 10 * 123_456_789
    assert sorted(pairs(Order([10], seed=3), range(far, far + 10))) == sorted(passes[0])


def test_unshuffled_is_in_order():
    order = Order([4], seed=3, shuffle=False)
    assert [index for _, index in pairs(order, range(6))] == [0, 1, 2, 3, 0, 1]


def test_a_mixture_has_its_rates_and_each_task_its_passes():
    order = Order([6, 1000], [0.75, 0.25], seed=1)
    drawn = pairs(order, range(BLOCK - 40, BLOCK + 4000))
    share = collections.Counter(task for task, _ in drawn)
    assert abs(share[0] / len(drawn) - 0.75) < 0.001
    start = next(i for i, place in enumerate(map(order.place, range(99, 200))) if place.slot == 0)
    of_first = [index for task, index in pairs(order, range(99 + start, 400)) if task == 0]
    assert sorted(of_first[:6]) == list(range(6))


def test_a_pass_of_a_mixture_has_all_examples():
    order = Order([5, 50], [0.9, 0.1], seed=1, num_epochs=2)
    assert order.length == 110
    assert collections.Counter(pairs(order, range(110))) == dict.fromkeys(
        [*((0, i) for i in range(5)), *((1, i) for i in range(50))], 2
    )


def test_a_rare_task_is_drawn():
    order = Order([5, 5], [1.0, 1e-9])
    assert {order.place(position).task for position in range(BLOCK + 2)} == {0, 1}


@pytest.mark.parametrize("position", [0, 7, 10**10])
def test_randomness_goes_by_the_position(position):
    drawn = [example_random(*key).random() for key in [(1, position)] * 2 + [(1, position + 1)]]
    assert drawn[0] == drawn[1] != drawn[2]
