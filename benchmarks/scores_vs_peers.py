"""FID, KID, Inception score, precision and recall beside torch-fidelity's and pytorch-fid's.

    pip install -e '.[peers]'
    python -m benchmarks.scores_vs_peers --peer torch-fidelity --output runs/scores_vs_peers

On emoji: 500 Fluent pictures as the drawn ones, against 500 and `--large` 2,000 of Noto, by one
InceptionV3 of random weights in both packages' file. Features are kept in the output folder, 500
pictures a file, so that a second call goes on. With `--extract N` the peer's network sees the first
N pictures of each 500 alone, and its formulas get our features of all: an hour less on two cores.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
import safetensors.numpy
from PIL import Image

from babeldraw.data.sets import emoji_sheets
from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance
from babeldraw.evaluation.scores import inception_score, kernel_distance, neighbours
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.feature_network import inception
from babeldraw.evaluation.scores.resizing import Resizing
from benchmarks import made_inception

BATCH = 16
Found = dict[str, np.ndarray]
Row = dict[str, Any]


def write_set(folder: pathlib.Path, style: str, parts: int, size: int) -> list[pathlib.Path]:
    """Folders of `size` emoji of a style as PNG files of 32 px, spread over all of it."""
    sheets = emoji_sheets.find_folder(32)
    cells = emoji_sheets.read_cells(sheets)
    images = emoji_sheets.read_images(sheets, 32, cells)
    chosen = [index for index, cell in enumerate(cells) if cell.style == style]
    assert len(chosen) >= parts * size, f"{style} has {len(chosen)} pictures"
    order = np.random.default_rng(0).permutation(chosen)
    folders = [folder / f"{style}_{part}" for part in range(parts)]
    for part, target in enumerate(folders):
        target.mkdir(parents=True, exist_ok=True)
        for number, index in enumerate(order[part * size : (part + 1) * size]):
            Image.fromarray(images[index]).save(target / f"{number:05d}.png")
    return folders


def our_features(
    weights: pathlib.Path, folder: pathlib.Path, resizing: Resizing, path: pathlib.Path
) -> Found:
    """Features and logits, and the CPU seconds of a picture, without compiling."""
    if not path.exists():
        network = inception(weights, resizing, BATCH)
        pictures = Pictures.of_folder(folder)
        next(iter(network(pictures)))
        began = time.process_time()
        features, logits = map(np.concatenate, zip(*network(pictures), strict=True))
        seconds = (time.process_time() - began) / len(features)
        np.savez(path, features=features, logits=logits, cpu_seconds=seconds)
    return dict(np.load(path))


def their_features(
    peer: str, weights: pathlib.Path, folder: pathlib.Path, path: pathlib.Path, count: int
) -> Found:
    """The same of a peer, of the first pictures; CPU seconds with reading its weights."""
    if not path.exists():
        call_peer("features", peer, weights, folder, path, count)
    return dict(np.load(path))


def call_peer(*arguments: object) -> str:
    """What `benchmarks.peer_scores` prints."""
    command = [sys.executable, "-m", "benchmarks.peer_scores", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def our_scores(drawn: Found, real: Found) -> dict[str, float]:
    """By our formulas."""
    sides = []
    for side in (drawn, real):
        sides.append(FeatureStatistics(2048))
        sides[-1].add(side["features"])
    scores = {"FID": frechet_distance(*sides)}
    if "logits" in drawn:
        found = neighbours.neighbours(drawn["features"], real["features"])
        scores |= {
            "KID": kernel_distance.kernel_distance(drawn["features"], real["features"]),
            "Inception score": float(inception_score.inception_scores(drawn["logits"]).mean()),
            "precision": float(found.precision.mean()),
            "recall": float(found.recall.mean()),
        }
    return scores


def compare(
    output: pathlib.Path, peer: Resizing, small: int, large: int, extract: int
) -> list[Row]:
    """A row a score: ours, theirs, and how far apart."""
    weights = output / "pt_inception-2015-12-05-6726825d.pth"
    if not weights.exists():
        output.mkdir(parents=True, exist_ok=True)
        tensors = output / "inception.safetensors"
        safetensors.numpy.save_file(made_inception.state(), tensors)
        call_peer("weights", tensors, weights)
    folders = write_set(output, "fluent", 1, small) + write_set(
        output, "noto", large // small, small
    )
    rows: list[Row] = []
    own, theirs = [], []
    for folder in folders:
        ours = output / f"ours_{peer}_{folder.name}.npz"
        other = output / f"theirs_{peer}_{folder.name}_{extract}.npz"
        own.append(our_features(weights, folder, peer, ours))
        theirs.append(their_features(peer, weights, folder, other, extract))
        speeds = [1 / float(found["cpu_seconds"]) for found in (own[-1], theirs[-1])]
        rows.append({"score": f"{folder.name}: pictures a CPU second", "values": speeds})
        shared = own[-1]["features"][: len(theirs[-1]["features"])]
        apart = float(np.abs(shared - theirs[-1]["features"]).max())
        rows.append({"score": f"{len(shared)} of {folder.name}: features, at most", "apart": apart})
    given = theirs if extract >= small else own
    for count in sorted({1, len(folders) - 1}):
        found = our_scores(own[0], joined(own[1 : 1 + count]))
        files = [output / f"{name}_{peer}_joined.npz" for name in ("drawn", "real")]
        for file, parts in zip(files, (given[:1], given[1 : 1 + count]), strict=True):
            np.savez(file, **joined(parts))
        for name, value in json.loads(call_peer("scores", peer, *files)).items():
            values = [found[name], value]
            apart = abs(values[0] - value) / max(abs(value), 1e-12)
            score = f"{name}, {small} against {small * count}"
            rows.append({"score": score, "values": values, "apart": apart})
    return rows


def joined(parts: list[Found]) -> Found:
    """The rows of all, without what is no row."""
    names = [name for name in parts[0] if parts[0][name].ndim]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def table(peer: str, rows: list[Row]) -> str:
    """In Markdown."""
    lines = [f"| beside {peer} | ours | theirs | apart |", "|---|---|---|---|"]
    for row in rows:
        values = [f"{value:.6g}" for value in row.get("values", ())] or ["", ""]
        apart = f"{row['apart']:.1e}" if "apart" in row else ""
        lines.append(f"| {row['score']} | {values[0]} | {values[1]} | {apart} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table; writes it as JSON, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=("torch-fidelity", "pytorch-fid"), required=True)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/scores_vs_peers"))
    parser.add_argument("--small", type=int, default=500)
    parser.add_argument("--large", type=int, default=2000)
    parser.add_argument("--extract", type=int, metavar="N", help="default: all")
    args = parser.parse_args()
    rows = compare(args.output, args.peer, args.small, args.large, args.extract or args.small)
    (args.output / f"{args.peer}.json").write_text(json.dumps(rows, indent=2) + "\n")
    print(table(args.peer, rows))


if __name__ == "__main__":
    main()
