"""CLIP's towers of full size beside transformers', and its tokenizer beside open_clip's.

    pip install -e '.[peers]'
    python -m benchmarks.clip_vs_peers --output runs/clip_vs_peers

ViT-B/32 and ViT-L/14 of random weights on emoji and on texts of every kind; with the published
merges, which open_clip_torch brings. The output folder needs 2.3 GB.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np

TEXTS = (
    "a photo of a cat",
    "woman firefighter, dark skin tone, noto style",
    "It's 42 o'clock; don't PANIC!!",
    "caf\u00e9 &amp; th\u00e9 \u2014 \u201cquoted\u201d \u00bd \u2163 \u732b\u732b",
    "\U0001f9d1\U0001f3ff\u200d\U0001f692 fire-fighter\u0301",
    "schr\u00c3\u00b6dinger's   cat \t\n and the_long_word antidisestablishmentarianism",
    "the quick brown fox jumps over the lazy dog " * 12,
    "",
)
SIZES = {
    "B-32": {
        "projection_dim": 512,
        "vision_config": {"patch_size": 32},
        "text_config": {"eos_token_id": 49407, "bos_token_id": 49406, "pad_token_id": 49407},
    },
    "L-14": {
        "projection_dim": 768,
        "vision_config": {
            "patch_size": 14,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
        "text_config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "eos_token_id": 49407,
            "bos_token_id": 49406,
            "pad_token_id": 49407,
        },
    },
}


def peer(size: str, folder: pathlib.Path, pictures: pathlib.Path) -> None:
    """In a process of its own: writes weights, settings, merges, and what the peers say."""
    import open_clip
    import torch
    import transformers
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    merges = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(merges, folder)
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig(**SIZES[size])).eval()
    for parameter in model.parameters():
        parameter.data.mul_(2)  # further from a network that passes its input through
    model.save_pretrained(folder)
    tokens = open_clip.SimpleTokenizer()(list(TEXTS))
    prepare = open_clip.transform.image_transform(224, is_train=False)
    images = torch.stack([prepare(Image.fromarray(image)) for image in np.load(pictures)])
    began = time.process_time()
    with torch.no_grad():
        found = model(input_ids=tokens, pixel_values=images)
    seconds = (time.process_time() - began) / len(images)
    np.savez(
        folder / "peer.npz",
        tokens=tokens,
        images=found.image_embeds,
        texts=found.text_embeds,
        cpu_seconds=seconds,
    )


def compare(output: pathlib.Path, size: str) -> dict[str, object]:
    """Ours of the same files."""
    from babeldraw.data.sets import emoji_sheets
    from babeldraw.evaluation.scores.clip import open_clip_folder

    folder, pictures = output / size, output / "pictures.npy"
    output.mkdir(parents=True, exist_ok=True)
    sheets = emoji_sheets.find_folder(32)
    emoji = emoji_sheets.read_images(sheets, 32, emoji_sheets.read_cells(sheets))
    np.save(pictures, emoji[:: len(emoji) // 4][:4])
    if not (folder / "peer.npz").exists():
        command = [sys.executable, "-m", "benchmarks.clip_vs_peers", "--peer", size]
        subprocess.run([*command, "--output", str(output)], check=True)
    theirs = np.load(folder / "peer.npz")
    embedder = open_clip_folder(folder, batch_size=4)
    tokens = embedder.tokenizer(TEXTS, embedder.files.length)
    images = np.load(pictures)
    found = embedder.embed_images(images)
    began = time.process_time()
    embedder.embed_images(images)
    seconds = (time.process_time() - began) / len(images)
    texts = embedder.embed_texts(TEXTS)
    return {
        "size": size,
        "tokens equal": bool((tokens == theirs["tokens"]).all()),
        "pictures apart": float(np.abs(found - theirs["images"]).max()),
        "texts apart": float(np.abs(texts - theirs["texts"]).max()),
        "spread of pictures, of texts": [float(np.std(x, axis=0).max()) for x in (found, texts)],
        "pictures a CPU second, ours, theirs with texts": [
            1 / seconds,
            1 / float(theirs["cpu_seconds"]),
        ],
    }


def main() -> None:
    """Prints a line of JSON a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/clip_vs_peers"))
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--peer", choices=SIZES, help="for this program itself")
    args = parser.parse_args()
    if args.peer:
        peer(args.peer, args.output / args.peer, args.output / "pictures.npy")
        return
    for size in args.sizes:
        print(json.dumps(compare(args.output, size)), flush=True)


if __name__ == "__main__":
    main()
