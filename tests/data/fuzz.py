"""Fuzzes the readers for as long as one likes: only the documented exceptions may come out.

    python -m tests.data.fuzz --minutes 10

Runs the properties of `test_readers` and `test_images` in turns, each time with fresh examples,
in a process of their own, so that a crash of native code is seen and its input kept.
"""

import argparse
import collections
import faulthandler
import logging
import multiprocessing
import pathlib
import queue
import tempfile
import time

SECONDS_EACH = 5


def properties(folder):
    """Name -> (hypothesis test, its other arguments, examples a call)."""
    from babeldraw.data.sources.record_shards import read_array_record, read_tfrecord
    from tests.data import made_pictures, test_images
    from tests.data.sources import test_readers

    listing = folder / "listing"
    (listing / "b").mkdir(parents=True)
    for name in ("a.png", "b/c.png"):
        (listing / name).write_bytes(made_pictures.picture(1))

    def own(name, **others):
        (folder / name).mkdir()
        return {"tmp_path": folder / name, **others}

    examples = test_readers.QUICK.max_examples
    tests = {
        "captions.jsonl": (test_readers.test_fuzz_jsonl, {"folder": listing}),
        "captions.csv": (test_readers.test_fuzz_csv, {"folder": listing}),
        "sidecar .txt": (test_readers.test_fuzz_sidecar, {"folder": listing}),
        "COCO": (test_readers.test_fuzz_coco, {"folder": listing}),
        "narratives": (test_readers.test_fuzz_narratives, {"folder": listing}),
        "tar": (test_readers.test_fuzz_tar, own("tar")),
        "Parquet": (test_readers.test_fuzz_parquet, own("parquet")),
        "TFRecord": (
            test_readers.test_fuzz_records,
            own("tfrecord", kind="tfrecord", reader=read_tfrecord),
        ),
        "ArrayRecord": (
            test_readers.test_fuzz_records,
            own("array_record", kind="array_record", reader=read_array_record),
        ),
    }
    pictures = {
        "pictures, damaged": test_images.test_no_truncation_or_damage_gets_anything_else_out,
        "pictures, random bytes": test_images.test_random_bytes_get_nothing_else_out,
    }
    return {name: (*test, examples) for name, test in tests.items()} | {
        name: (test, own(name), test_images.EXAMPLES) for name, test in pictures.items()
    }


def fuzz(folder, minutes, turns):
    """Runs the properties until the time is over; the first failure is raised."""
    faulthandler.enable()
    logging.disable()  # it would name all that is left out
    end = time.monotonic() + 60 * minutes
    tests = properties(folder)
    while time.monotonic() < end:
        for name, (test, given, examples) in tests.items():
            turn_end = min(end, time.monotonic() + SECONDS_EACH)
            while time.monotonic() < turn_end:
                test(**given)
                turns.put((name, examples))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    turns = context.Queue()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    process = context.Process(target=fuzz, args=(folder, args.minutes, turns))
    process.start()
    counts = collections.Counter()
    while process.is_alive() or not turns.empty():
        try:
            name, examples = turns.get(timeout=1)
        except queue.Empty:
            continue
        counts[name] += examples
    process.join()
    for name, count in sorted(counts.items()):
        print(f"{name}: {count:,} examples")
    if process.exitcode:
        raise SystemExit(f"failed with exit code {process.exitcode}; the last input is in {folder}")
    print(f"only documented exceptions in {args.minutes:g} minutes")


if __name__ == "__main__":
    main()
