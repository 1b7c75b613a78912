"""Run directories as training leaves them, without training."""

import json

import numpy as np

from babeldraw.training.watching.pictures import cell_of, make_grid, write_png

CLASSES = {
    "tokenizer": "objectives.tokenizer.Tokenizer",
    "text_to_image": "objectives.text_to_image.TextToImage",
    "image_tokens": "objectives.image_tokens.ImageTokens",
    "super_resolution": "objectives.super_resolution.SuperResolution",
    "coca": "objectives.coca.ContrastiveCaptioner",
    "decoder_finetune": "objectives.decoder_finetune.DecoderFinetune",
    "text_encoder": "objectives.text_encoder.TextEncoding",
}

EVAL = {
    "tokenizer": {"psnr": 20.0, "codebook_usage": 0.75, "perplexity": 100.0, "l2": 0.01},
    "text_to_image": {"loss": 3.0, "loss_without_prompt": 3.5, "prompt_gap": 0.5},
    "image_tokens": {"loss": 3.0, "loss_without_class": 3.5, "class_gap": 0.5},
    "super_resolution": {"psnr": 18.15, "bilinear_psnr": 17.40},
    "coca": {"loss": 2.0, "image_to_text": 0.98, "text_to_image": 0.5, "caption_accuracy": 0.9},
    "decoder_finetune": {"psnr": 26.0206},
    "text_encoder": {"masked": 1.5, "masked_accuracy": 0.75, "text_to_image": 0.5},
}


def write_run(directory, kind, *, steps=(100, 200), train_steps=200, rate=0.004, evaluate=True):
    """A run of `kind` whose figures are those of `EVAL` at all of `steps`."""
    directory.mkdir(parents=True, exist_ok=True)
    model = {"class": "models.a.B", "codebook_size": 512}
    model |= {"num_classes": 12, "rows": 8, "columns": 8}
    optimizer = {"class": "optimizers.config.Adam", "learning_rate": {"peak": rate}}
    dataset = {"class": "data.Dataset", "mixture_or_task_name": "emoji_32", "batch_size": 8}
    settings = {
        "format": 1,
        "objective": {"class": CLASSES[kind], "model": model, "optimizer": optimizer},
        "train_dataset": dataset,
        "eval_dataset": dataset,
    }
    write_json(directory / "settings.json", settings)
    write_json(directory / "machine.json", {"name": "cpu"})
    write_json(directory / "manifest.json", {"data": {"pictures": 400}, "babeldraw": "0.1.0"})
    macros = {"LEARNING_RATE": rate, "MODEL_DIR": f"'{directory}'", "TRAIN_STEPS": train_steps}
    write_recipe(directory / "config.gin", {**macros, "SEED": 7})
    (directory / "model-info.txt").write_text("step: 1 numbers\ntotal parameters: 290,536\n")
    (directory / "checkpoints" / str(steps[-1])).mkdir(parents=True, exist_ok=True)
    records = []
    for index, step in enumerate(steps):
        time = 1_800_000_000 + 60 * index
        train = {"loss": 1.0 / (1 + index), "seconds_per_step": 0.5, "images_per_second": 16.0}
        train["skipped_steps"] = 0.0
        records.append({"step": step, "split": "train", "time": time, **train})
        if evaluate:
            records.append({"step": step, "split": "eval", "time": time, **EVAL[kind]})
    write_records(directory / "metrics.jsonl", records)
    return directory


def write_json(path, value):
    path.write_text(json.dumps(value))


def write_recipe(path, macros):
    path.write_text("".join(f"{name} = {value}\n" for name, value in macros.items()))


def write_records(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_eval(directory, metric, values, split="eval"):
    """A metric at steps 100, 200, and so on, and nothing else."""
    records = [
        {"step": 100 * number, "split": split, "time": 0.0, metric: value}
        for number, value in enumerate(values, 1)
    ]
    write_records(directory / "metrics.jsonl", records)


def write_sheet(directory, name, step, images, columns, rows):
    """As `watching.looks` does.

    Args:
      images: uint8[rows, columns, height, width, 3].
      rows: (split, prompt) of each.
    """
    write_png(directory / "pictures" / f"{name}-{step:06d}.png", make_grid(images))
    said = {
        "columns": list(columns),
        "rows": [{"split": split, "prompt": prompt} for split, prompt in rows],
        "cell": cell_of(*images.shape[2:4]),
    }
    write_json(directory / "pictures" / f"{name}.json", said)


def noise(rows, columns, side=8, seed=0, width=None):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(rows, columns, side, width or side, 3), dtype=np.uint8)
