"""Contract: hosts read disjoint examples, together the dataset; a set in memory, in one order."""

import itertools

import numpy as np

from babeldraw.data.streams import pipeline

HELD_OUT = pipeline.Dataset(
    "emoji_quickstart_32", {"text": 20, "image": 32}, "heldout_people", batch_size=8, seed=4
)


def rows(batches):
    return [image.tobytes() for batch in batches for image in batch["image"]]


def take(steps, **where):
    return list(itertools.islice(HELD_OUT.batches(**where), steps))


def test_two_hosts_are_disjoint_and_their_union_is_the_dataset():
    hosts = [
        rows(HELD_OUT.batches(process_index=host, process_count=2, num_epochs=1))
        for host in range(2)
    ]
    assert len(hosts[0]) == len(hosts[1]) == 36
    assert set(hosts[0]).isdisjoint(hosts[1])
    assert {*hosts[0], *hosts[1]} == {image.tobytes() for image in HELD_OUT.examples()["image"]}


def test_any_number_of_hosts_makes_the_same_batches():
    whole = take(12, start_step=5)  # More than an epoch.
    for count in (2, 4):
        parts = [take(12, start_step=5, process_index=i, process_count=count) for i in range(count)]
        for step, batch in enumerate(whole):
            for key, array in batch.items():
                joined = np.concatenate([part[step][key] for part in parts])
                np.testing.assert_array_equal(joined, array)


def test_examples_of_a_batch_are_named_by_their_captions():
    examples = HELD_OUT.examples()
    captions = dict(zip((i.tobytes() for i in examples["image"]), examples["caption"], strict=True))
    for host in range(2):
        batch = take(4, process_index=host, process_count=2)[3]
        ids = HELD_OUT.example_ids(3, process_index=host, process_count=2)
        assert [text.split()[:2] for text in ids] == [
            captions[image.tobytes()].split()[:2] for image in batch["image"]
        ]
