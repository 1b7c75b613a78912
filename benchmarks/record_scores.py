"""Records what other packages say, for tests that have to do without them.

    pip install -e '.[peers]'
    python -m benchmarks.record_scores tests/evaluation/scores/recorded.json

Of torch-fidelity 0.4.0, pytorch-fid 0.3.0, clean-fid 0.1.35, prdc 0.2, transformers 5.24.0,
open_clip_torch 3.3.0 and torchvision 0.29.1, on weights and inputs that `made_inception`,
`made_clip` and `made_inputs` make anew from seeds.
"""

import json
import pathlib
import sys
import tempfile
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from benchmarks import made_clip, made_inception, peer_scores
from benchmarks.made_inputs import TEXTS, inputs


def sample(features: np.ndarray) -> list[list[float]]:
    """Each row's every 64th feature, and its length."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.concatenate([features[:, ::64], lengths], axis=1).tolist()


def of_inception() -> dict[str, Any]:
    """Both packages' features of both sizes, and logits."""
    made = inputs()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        weights = root / "weights.pth"
        state = {name: torch.from_numpy(array) for name, array in made_inception.state().items()}
        torch.save(state, weights)
        for name in ("pictures", "wide"):
            (root / name).mkdir()
            for index, picture in enumerate(made[name]):
                Image.fromarray(picture).save(root / name / f"{index}.png")
            files = sorted((root / name).glob("*.png"))
            theirs = peer_scores.torch_fidelity(str(weights), files)
            found[f"torch-fidelity {name}"] = sample(theirs["features"])
            found[f"torch-fidelity {name} logits"] = sample(theirs["logits"])
            theirs = peer_scores.pytorch_fid(str(weights), files)
            found[f"pytorch-fid {name}"] = sample(theirs["features"])
    return found


def of_formulas() -> dict[str, float]:
    """On made features: torch-fidelity's scores, and prdc's density and coverage."""
    import prdc

    made = inputs()
    drawn = {"features": made["drawn"], "logits": made["logits"]}
    scores = peer_scores.torch_fidelity_scores(drawn, {"features": made["real"]})
    near = prdc.compute_prdc(made["real"], made["drawn"], nearest_k=5)
    return scores | {name: float(near[name]) for name in ("density", "coverage")}


def of_clean_fid() -> list[Any]:
    """Its resized pictures, every 23rd pixel."""
    from cleanfid.resize import build_resizer

    resize = build_resizer("clean")
    made = inputs()
    pictures = [*made["pictures"], *made["wide"]]
    return [np.asarray(resize(picture))[::23, ::23].tolist() for picture in pictures]


def of_clip() -> dict[str, Any]:
    """Token numbers, preprocessed pictures, and both layouts' embeddings."""
    import open_clip
    import transformers
    from torchvision import transforms

    found: dict[str, Any] = {}
    made = inputs()
    with tempfile.TemporaryDirectory() as folder:
        made_clip.write(pathlib.Path(folder))
        tokenizer = open_clip.SimpleTokenizer(merges_of(folder), context_length=made_clip.LENGTH)
        tokens = tokenizer(list(TEXTS))
        found["tokens"] = tokens.tolist()
        steps = transforms.Compose(
            [
                transforms.Resize(made_clip.SIDE, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(made_clip.SIDE),
                transforms.ToTensor(),
                transforms.Normalize(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD),
            ]
        )
        pictures = [*made["pictures"], *made["wide"], made["wide"][0].swapaxes(0, 1)]
        pixels = torch.stack([steps(Image.fromarray(picture)) for picture in pictures])
        found["pixels"] = pixels.permute(0, 2, 3, 1)[:, ::5, ::5].tolist()
        hf = transformers.CLIPModel.from_pretrained(f"{folder}/transformers").eval()
        config = made_clip.settings()["open_clip"]["model_cfg"]
        oc = open_clip.CLIP(**config, quick_gelu=False).eval()  # type: ignore[arg-type]
        state = safetensors.torch.load_file(f"{folder}/open_clip/open_clip_model.safetensors")
        missing, unknown = oc.load_state_dict(state, strict=False)
        assert not unknown and set(missing) <= {"attn_mask"}, (missing, unknown)
        with torch.no_grad():
            outputs = hf(input_ids=tokens, pixel_values=pixels)
            found["transformers"] = [outputs.image_embeds.tolist(), outputs.text_embeds.tolist()]
            rows = oc.encode_image(pixels, normalize=True), oc.encode_text(tokens, normalize=True)
            found["open_clip"] = [part.tolist() for part in rows]
    return found


def merges_of(folder: str) -> str:
    """The made merges as open_clip reads them: packed, and as many lines as it takes."""
    import gzip

    path = pathlib.Path(folder) / "merges.txt.gz"
    path.write_bytes(gzip.compress("\n".join(("#version: made", *made_clip.MERGES)).encode()))
    return str(path)


def rounded(value: Any) -> Any:
    """Seven digits of every number, which is what float32 has."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.7g}")


def main() -> None:
    """Writes the file."""
    record = {
        "inception": of_inception(),
        "formulas": of_formulas(),
        "clean-fid": of_clean_fid(),
        "clip": of_clip(),
    }
    pathlib.Path(sys.argv[1]).write_text(json.dumps(rounded(record)) + "\n")


if __name__ == "__main__":
    main()
