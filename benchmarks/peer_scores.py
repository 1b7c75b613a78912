"""Features and scores of torch-fidelity and pytorch-fid, in a process of their own.

PyTorch and TensorFlow, which our readers load, crash in one process. `benchmarks.scores_vs_peers`
calls this:

    python -m benchmarks.peer_scores weights FILE.safetensors RESULT.pth
    python -m benchmarks.peer_scores features PEER WEIGHTS FOLDER RESULT.npz COUNT
    python -m benchmarks.peer_scores scores PEER DRAWN.npz REAL.npz
"""

import json
import pathlib
import sys
import time

import numpy as np
import safetensors.torch
import torch
from PIL import Image

BATCH = 16
Found = dict[str, np.ndarray]


def torch_fidelity(weights: str, files: list[pathlib.Path]) -> Found:
    """Its features and logits."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=weights
    )
    found: list[list[np.ndarray]] = [[], []]
    with torch.no_grad():
        for start in range(0, len(files), BATCH):
            images = [np.asarray(Image.open(file)) for file in files[start : start + BATCH]]
            results = network(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
            for parts, result in zip(found, results, strict=True):
                parts.append(result.numpy())
    return {"features": np.concatenate(found[0]), "logits": np.concatenate(found[1])}


def pytorch_fid(weights: str, files: list[pathlib.Path]) -> Found:
    """Its features."""
    from pytorch_fid import fid_score
    from pytorch_fid import inception as theirs

    # Its own function would fetch the trained weights.
    theirs.load_state_dict_from_url = lambda *_, **__: torch.load(weights)
    network = theirs.InceptionV3([theirs.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    names = [str(file) for file in files]
    features = fid_score.get_activations(names, network, BATCH, 2048, "cpu", num_workers=0)
    return {"features": features.astype(np.float32)}


def torch_fidelity_scores(drawn: Found, real: Found) -> dict[str, float]:
    """By its formulas."""
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    a, b = (torch.from_numpy(side["features"]) for side in (drawn, real))
    statistics = [metric_fid.fid_features_to_statistics(side) for side in (a, b)]
    size = min(1000, len(a), len(b))
    kid = metric_kid.kid_features_to_metric(a, b, kid_subset_size=size, verbose=False)
    inception = metric_isc.isc_features_to_metric(torch.from_numpy(drawn["logits"]))
    near = metric_prc.prc_features_to_metric(a, b, verbose=False)
    fid = metric_fid.fid_statistics_to_metric(*statistics, False)
    return {
        "FID": fid["frechet_inception_distance"],
        "KID": kid["kernel_inception_distance_mean"],
        "Inception score": inception["inception_score_mean"],
        "precision": near["precision"],
        "recall": near["recall"],
    }


def pytorch_fid_scores(drawn: Found, real: Found) -> dict[str, float]:
    """By its formula."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = []
    for side in (drawn, real):
        features = side["features"].astype(np.float64)
        moments += [features.mean(axis=0), np.cov(features, rowvar=False)]
    return {"FID": float(calculate_frechet_distance(*moments))}


EXTRACT = {"torch-fidelity": torch_fidelity, "pytorch-fid": pytorch_fid}
SCORE = {"torch-fidelity": torch_fidelity_scores, "pytorch-fid": pytorch_fid_scores}


def main() -> None:
    """Writes weights or features, or prints scores as JSON."""
    if sys.argv[1] == "weights":
        state = safetensors.torch.load_file(sys.argv[2])
        torch.save(state, sys.argv[3])
        return
    kind, peer, first, second = sys.argv[1:5]
    if kind == "features":
        files = sorted(pathlib.Path(second).glob("*.png"))[: int(sys.argv[6])]
        began = time.process_time()
        found = EXTRACT[peer](first, files)
        seconds = (time.process_time() - began) / len(files)
        np.savez(sys.argv[5], **found, cpu_seconds=seconds)
        return
    print(json.dumps(SCORE[peer](*(dict(np.load(file)) for file in (first, second)))))


if __name__ == "__main__":
    main()
