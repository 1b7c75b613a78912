"""Can the tokenizer learn a few pictures by heart? One to above 40 dB, 64 to above 32 dB.

    babeldraw data build emoji --size 64
    python -m benchmarks.tokenizer_overfit

Real pictures, codes and all: what is measured is the picture made from its tokens. 64 px, L2 and
VQ losses, 8,192 codes of 8 dimensions; one picture in patches of 8 px, 64 in patches of 4 px.
Prints PSNR and the seconds from the first step on, compilation apart; writes input, reconstruction
and difference to OUTPUT. About 40 minutes on one core.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SIZE = 64


@dataclasses.dataclass(frozen=True)
class Same:
    """The same pictures in every batch, or as many of them as fit, in turn."""

    images: np.ndarray
    batch_size: int

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """As `data.pipeline.Dataset.batches`, for one process."""
        step, per_epoch = start_step, len(self.images) // self.batch_size
        while num_epochs is None or step < num_epochs * per_epoch:
            order = np.random.default_rng(step // per_epoch).permutation(len(self.images))
            first = step % per_epoch * self.batch_size
            yield {"image": self.images[order[first : first + self.batch_size]]}
            step += 1


def pictures(count: int) -> np.ndarray:
    """uint8[count, SIZE, SIZE, 3]: emoji of all styles, spread over the set."""
    from babeldraw.data.sets import emoji_sheets

    folder = emoji_sheets.find_folder(SIZE)
    images = emoji_sheets.read_images(folder, SIZE, emoji_sheets.read_cells(folder))
    return images[np.linspace(0, len(images) - 1, count + 2).astype(int)[1:-1]]


def overfit(
    count: int, batch_size: int, steps: int, patch_size: int, learning_rate: float, output: Path
) -> tuple[float, float]:
    """PSNR over all pictures after the last step, and seconds from the first step on."""
    import jax
    import optax

    from babeldraw.models.vit_vqgan import ViTVQGAN
    from babeldraw.objectives.tokenizer import Tokenizer
    from babeldraw.optimizers.config import Adam
    from babeldraw.sampling.codec import Codec
    from babeldraw.training.keeping.checkpoints import load_tokenizer
    from babeldraw.training.loop import train
    from babeldraw.training.machine import Machine
    from babeldraw.training.watching.pictures import write_grid

    sizes = {"layers": 1, "heads": 4, "width": 128, "mlp_dim": 256}
    model = ViTVQGAN(
        image_size=SIZE,
        patch_size=patch_size,
        codebook_size=8192,
        code_dim=8,
        output="rgb",
        dtype="float32",
        **{
            f"{side}_{name}": size
            for side in ("encoder", "decoder")
            for name, size in sizes.items()
        },
    )
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 20, steps)
    objective = Tokenizer(
        model=model,
        optimizer=Adam(learning_rate=schedule, clip_norm=1.0),
        vq_weight=0.02,
        revive_every=20,
    )
    images = pictures(count)
    times: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        train(
            objective,
            model_dir=directory,
            train_dataset=Same(images, batch_size),
            train_steps=steps,
            machine=Machine(unroll=True, checkpoint_every=0),
            log_every=steps // 10,
            on_metrics=lambda *_: times.append(time.perf_counter()),
            devices=jax.devices()[:1],
        )
        codec = Codec(model, load_tokenizer(directory), batch_size=min(count, 16))
    decoded = codec.reconstruct(images)
    error = np.mean(np.square((images.astype(np.float64) - decoded) / 255))
    difference = np.abs(images.astype(int) - decoded).astype(np.uint8)
    write_grid(output / f"overfit-{count}.png", np.stack([images, decoded, difference], axis=1)[:8])
    # The first record comes after a tenth of the steps.
    seconds = (times[-1] - times[0]) * 10 / 9
    return float(-10 * np.log10(error)), seconds


def main() -> None:
    """Both cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/overfit"))
    parser.add_argument("--steps", type=int, nargs=2, default=(1000, 18000))
    args = parser.parse_args()
    rows = []
    for count, batch_size, steps, patch_size, rate in (
        (1, 1, args.steps[0], 8, 3e-3),
        (64, 2, args.steps[1], 4, 4e-3),
    ):
        psnr, seconds = overfit(count, batch_size, steps, patch_size, rate, args.output)
        rows.append(f"{count:>8} {steps:>6} {seconds:>9.0f} {psnr:>9.1f}")
    print(
        f"\n{'pictures':>8} {'steps':>6} {'seconds':>9} {'PSNR, dB':>9}"
        f"   load {os.getloadavg()[0]:.1f}"
    )
    print("\n".join(rows))
    print(f"pictures: {args.output}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
