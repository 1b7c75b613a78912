"""The image tokenizer against PyPI's parti-pytorch 0.2.0 at the same sizes, on CPU in float32.

    python -m benchmarks.tokenizer_vs_parti_pytorch [--repeats 9]

Its packages: see parti_pytorch_files.py. Forward: pictures to tokens and back, in one call. Train
step: forward, backward and Adam update, on the square error plus the VQ loss; no perceptual and no
adversarial term on either side. Theirs runs eagerly, as its trainer does, with PyTorch's fused
Adam. Blocks alternate; a figure is the median over the blocks.

The same on both sides: picture, patch, batch, layers, width, heads, width of the feed-forward
layers and of the head, codes and their dimension, L2-normalised lookup, 3 channels out.
Different, because that is how theirs is made:
- each of its layers has depthwise 3x3 convolutions (before the attention, on queries, keys and
  values, and inside the feed-forward layer) and a relative position bias, ours has none of these;
- its patches come with four shifted copies of the picture, its head starts with a 3x3 convolution;
- it moves the codes by an average over the batches, ours by gradient; the "rotation trick" carries
  its gradient past the codes, ours is straight-through;
- ours has biases, and projects the patches without a norm.
So it does more at these sizes, and parameters are printed beside the times. Its k-means start of
the codes is off: it is not a step. With the perceptual and adversarial terms off, its own `forward`
leaves the commitment loss out, too; so that is added here.
"""

import argparse
import dataclasses
import os
import statistics
import time

from benchmarks import parti_pytorch_files
from benchmarks.train_step_vs_pytorch import Block, _adam, _ours, _pytorch


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes for both; the feed-forward layers are four times as wide as the model."""

    image_size: int
    patch_size: int
    layers: int
    width: int
    heads: int
    codebook_size: int
    code_dim: int
    batch: int


CASES = {
    "32 px": Case(32, 4, 2, 128, 4, 512, 8, 16),
    "64 px": Case(64, 8, 4, 256, 4, 1024, 8, 8),
    "S, 64 px": Case(64, 8, 8, 512, 8, 8192, 32, 4),  # the patent's small pair, on fewer tokens
}


def our_blocks(case: Case, images, steps: int) -> tuple[Block, Block, int]:
    """Forward, train step, and the number of parameters."""
    import jax

    from babeldraw.models.vit_vqgan import ViTVQGAN
    from babeldraw.objectives.picture_maker import as_float
    from babeldraw.objectives.tokenizer import Tokenizer
    from babeldraw.parallel.execution import Execution

    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {
            "layers": case.layers,
            "heads": case.heads,
            "width": case.width,
            "mlp_dim": 4 * case.width,
        }.items()
    }
    model = ViTVQGAN(
        image_size=case.image_size,
        patch_size=case.patch_size,
        codebook_size=case.codebook_size,
        code_dim=case.code_dim,
        output="rgb",
        dtype="float32",
        **sides,
    )
    objective = Tokenizer(model=model, optimizer=_adam(), logit_laplace_weight=0.0)
    train, params = _ours(objective, {"image": images}, steps)
    network = model.clone(execution=Execution(unroll=True))
    variables = {"params": params["tokenizer"]}

    @jax.jit
    def rebuild(variables, images):
        tokens = network.apply(variables, as_float(images), method="encode")
        return network.apply(variables, tokens, method="decode")

    def forward() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            rebuild(variables, images).block_until_ready()
        return (time.perf_counter() - began) / steps

    return forward, train, sum(leaf.size for leaf in jax.tree.leaves(params["tokenizer"]))


def their_blocks(case: Case, images, steps: int) -> tuple[Block, Block, int]:
    """Forward, train step, and the number of parameters."""
    import torch

    model = parti_pytorch_files.load("vit_vqgan").VitVQGanVAE(
        dim=case.width,
        image_size=case.image_size,
        layers=case.layers,
        encdec_patch_size=case.patch_size,
        encdec_heads=case.heads,
        encdec_dim_head=case.width // case.heads,
        l2_recon_loss=True,
        lookup_free_quantization=False,
        use_vgg_and_gan=False,
        codebook_size=case.codebook_size,
        vq_codebook_dim=case.code_dim,
        vq_commitment_weight=0.25,
        vq_decay=0.9,  # its own default
    )
    count = sum(leaf.numel() for leaf in model.parameters())
    count += model.quantizer.codebook.numel()  # not a parameter there: it is averaged
    inputs = (torch.tensor(images).float() / 255).permute(0, 3, 1, 2).contiguous()

    class Loss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pictures):
            codes, _, commitment = self.model.encode(pictures)
            error = torch.nn.functional.mse_loss(self.model.decode(codes), pictures)
            return error + commitment.sum()

    train = _pytorch(Loss(), (inputs,), steps)

    def train_block() -> float:
        model.train()
        return train()

    def forward() -> float:
        model.eval()
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(steps):
                model(inputs)
        return (time.perf_counter() - began) / steps

    return forward, train_block, count


def measure(case: Case, repeats: int, steps: int) -> None:
    """Two rows of the table."""
    import numpy as np

    shape = (case.batch, case.image_size, case.image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    *ours, our_count = our_blocks(case, images, steps)
    *theirs, their_count = their_blocks(case, images, steps)
    blocks = [*ours, *theirs]
    for block in blocks:
        block()  # warm
    seconds: list[list[float]] = [[] for _ in blocks]
    for _ in range(repeats):
        for times, block in zip(seconds, blocks, strict=True):
            times.append(block())
    sizes = f"{our_count / 1e6:.2f} / {their_count / 1e6:.2f} M"
    for row, name in enumerate(("forward", "train step")):
        cells, medians = [], []
        for times in (seconds[row], seconds[row + 2]):
            medians.append(statistics.median(times))
            spread = f"({1e3 * min(times):.1f}, {1e3 * max(times):.1f})"
            cells.append(f"{1e3 * medians[-1]:.1f} {spread:>18}")
        rates = " / ".join(f"{case.batch / median:.2f}" for median in medians)
        print(
            f"{name:12} {sizes:>18} {cells[0]:>28} {cells[1]:>28} {rates:>18} "
            f"{medians[1] / medians[0]:>7.2f}",
            flush=True,
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="blocks of each kind")
    parser.add_argument("--steps", type=int, default=3, help="steps a block")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for both")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    # Before JAX starts: its thread pool has as many threads as the process may use cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    import jax
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {args.threads} threads each")
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    print(f"{args.repeats} blocks of {args.steps}; median (least, most) ms; ours / theirs")
    head = ("parameters", "ours", "theirs", "images/s", "speed")
    print(f"{'':12} {head[0]:>18} {head[1]:>28} {head[2]:>28} {head[3]:>18} {head[4]:>7}")
    for name in args.cases:
        case = CASES[name]
        print(
            f"{name}, patch {case.patch_size}, {case.layers} + {case.layers} layers of "
            f"{case.width}, {case.codebook_size} codes of {case.code_dim}, batch {case.batch}"
        )
        measure(case, args.repeats, args.steps)
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
