"""Draws with an exported sampler. It needs jax, numpy and flatbuffers, and nothing of Babeldraw.

    python draw.py 17 4 9          # text tokens, without the one that ends them; or a class
    python draw.py --seed 3 17 4 9

Writes pictures.npy, uint8[pictures, height, width, 3]. vocabulary.model (SentencePiece) turns texts
into tokens: `sentencepiece.SentencePieceProcessor("vocabulary.model").encode("a red apple")`.
"""

import argparse
import json
import pathlib
import zlib

import jax.export
import numpy as np

FOLDER = pathlib.Path(__file__).parent


def draw(tokens: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, their image tokens, and their scores."""
    config = json.loads((FOLDER / "config.json").read_text())
    program = jax.export.deserialize(bytearray((FOLDER / "sampler.stablehlo").read_bytes()))
    with np.load(FOLDER / "weights.npz", allow_pickle=False) as file:
        weights = [file[name] for name in sorted(file.files)]
    if config["condition_shape"]:
        (length,) = config["condition_shape"]
        condition = np.zeros(length, np.int32)
        ids = [*tokens[: length - 1], config["text_ids"]["end"]]
        condition[: len(ids)] = ids
    else:
        condition = np.asarray(tokens[0] if tokens else -1, np.int32)
    prompt_id = np.uint32(zlib.crc32(np.asarray(condition).tobytes()))
    pictures, codes, scores = program.call(weights, condition, prompt_id, np.int32(seed))
    return np.asarray(pictures), np.asarray(codes), np.asarray(scores)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("tokens", type=int, nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pictures, _, scores = draw(args.tokens, args.seed)
    np.save("pictures.npy", pictures)
    print(f"pictures.npy: {pictures.shape}, scores {scores.round(3).tolist()}")
