"""Train-step speed of two stated tiny configurations against the same shapes in PyTorch on CPU.

    python -m benchmarks.train_step_vs_pytorch [--repeats 9]

A step is forward + backward + Adam update in float32: ours through `training.step` with donated
state, as the loop runs it with configs/cpu.py; PyTorch eager, with its fused Adam. Both take the
same weights and batch, and the first losses are compared before anything is timed. Blocks of steps
alternate; a figure is the median over the blocks. Matrix products are timed in the same rounds.

FLOPs: 2 m n k for each matrix product, times 3 for forward and backward (code lookup once, it has
no gradient). Attention is counted dense. Norms, softmaxes, embeddings, update: not counted.
"""

# A block of steps carries its losses as attributes.
# mypy: disable-error-code="attr-defined"

import argparse
import os
import statistics
import time
from collections.abc import Callable

Block = Callable[[], float]
"""Runs some steps; seconds for each of them."""


def transformer_flops(model, batch: int) -> float:
    """Of one train step of an `EncoderDecoder`."""
    width, inner = model.d_model, model.num_heads * model.head_dim
    text, image = batch * model.text_length, batch * model.num_tokens
    project = 2 * width * inner
    mlp = 4 * width * model.mlp_dim

    def attend(queries: int, keys: int) -> int:
        return 4 * batch * queries * keys * inner

    encoder = text * (4 * project + mlp) + attend(model.text_length, model.text_length)
    decoder = image * (6 * project + mlp) + text * 2 * project
    decoder += attend(model.num_tokens, model.num_tokens)
    decoder += attend(model.num_tokens, model.text_length)
    logits = 2 * image * width * model.codebook_size
    return 3 * (model.encoder_layers * encoder + model.decoder_layers * decoder + logits)


def tokenizer_flops(model, batch: int) -> float:
    """Of one train step of a `ViTVQGAN`."""
    n = batch * model.num_tokens

    def side(layers: int, width: int, mlp_dim: int, inputs: int, outputs: int) -> int:
        block = n * (8 * width * width + 4 * width * mlp_dim)
        block += 4 * n * model.num_tokens * width
        ends = 2 * n * (inputs * width + width * mlp_dim + mlp_dim * outputs)
        return layers * block + ends

    patch, code = 3 * model.patch_size**2, model.code_dim
    wide = model.encoder_width
    encoder = side(model.encoder_layers, wide, model.encoder_mlp_dim, patch, wide)
    decoder = side(
        model.decoder_layers, model.decoder_width, model.decoder_mlp_dim, code, 2 * patch
    )
    lookup = 2 * n * code * model.codebook_size
    return 3 * (encoder + 2 * n * wide * code + decoder) + lookup


def text_to_image_pair(dropout_rate: float, batch: int, steps: int) -> tuple[Block, Block, float]:
    """Ours, PyTorch's, and the FLOPs of a step."""
    import jax
    import numpy as np
    import torch

    from babeldraw.models.encoder_decoder import EncoderDecoder
    from babeldraw.objectives.text_to_image import TextToImage
    from benchmarks import pytorch_networks

    model = EncoderDecoder(
        text_vocab_size=1000,
        codebook_size=512,
        text_length=32,
        rows=8,
        columns=8,
        d_model=256,
        num_heads=8,
        head_dim=32,
        mlp_dim=1024,
        encoder_layers=2,
        decoder_layers=4,
        dropout_rate=dropout_rate,
        attention_kernel=11,
        dtype="float32",
    )
    objective = TextToImage(
        model=model,
        tokenizer=_tokenizer_model(),  # not run: the batch brings its tokens
        tokenizer_params=dict,
        optimizer=_adam(),
    )
    rng = np.random.default_rng(0)
    data = {
        "text_tokens": rng.integers(1, 1000, (batch, 32), dtype=np.int32),
        "image_tokens": rng.integers(0, 512, (batch, 64), dtype=np.int32),
    }
    data["text_tokens"][:, 20:] = 0
    ours, params = _ours(objective, data, steps)
    network = pytorch_networks.EncoderDecoder(model)
    pytorch_networks.load(network, jax.device_get(params["text_to_image"]))
    inputs = (
        torch.tensor(data[name], dtype=torch.long) for name in ("text_tokens", "image_tokens")
    )
    theirs = _pytorch(network, tuple(inputs), steps)
    return ours, theirs, transformer_flops(model, batch)


def tokenizer_pair(batch: int, steps: int) -> tuple[Block, Block, float]:
    """Ours, PyTorch's, and the FLOPs of a step."""
    import jax
    import numpy as np
    import torch

    from babeldraw.objectives.tokenizer import Tokenizer
    from benchmarks import pytorch_networks

    objective = Tokenizer(model=_tokenizer_model(), optimizer=_adam())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8)
    ours, params = _ours(objective, {"image": images}, steps)
    network = pytorch_networks.ViTVQGAN(objective.model)
    pytorch_networks.load(network, jax.device_get(params["tokenizer"]))
    theirs = _pytorch(network, (torch.tensor(images).float() / 255,), steps)
    return ours, theirs, tokenizer_flops(objective.model, batch)


def _tokenizer_model():
    from babeldraw.models.vit_vqgan import ViTVQGAN

    return ViTVQGAN(
        image_size=32,
        patch_size=4,
        codebook_size=512,
        code_dim=8,
        encoder_layers=2,
        encoder_heads=4,
        encoder_width=128,
        encoder_mlp_dim=512,
        decoder_layers=2,
        decoder_heads=4,
        decoder_width=128,
        decoder_mlp_dim=512,
        dtype="float32",
    )


def _adam():
    import optax

    from babeldraw.optimizers.config import Adam

    return Adam(learning_rate=optax.constant_schedule(1e-4), b1=0.9, b2=0.99)


def _ours(objective, data, steps: int):
    """The block, and the parameters before its first step."""
    import jax

    from babeldraw.parallel.execution import Execution
    from babeldraw.training.state import init_state
    from babeldraw.training.step import make_train_step

    objective = objective.with_execution(Execution(unroll=True))
    state = jax.jit(lambda: init_state(objective, 0))()
    params = jax.tree.map(lambda leaf: leaf.copy(), state.params)
    step = jax.jit(make_train_step(objective), donate_argnums=0)

    def block() -> float:
        nonlocal state
        began = time.perf_counter()
        for _ in range(steps):
            state, metrics = step(state, {}, data)
        block.loss = float(metrics["loss"])
        return (time.perf_counter() - began) / steps

    state, metrics = step(state, {}, data)
    block.first_loss = float(metrics["loss"])
    return block, params


def _pytorch(network, inputs, steps: int) -> Block:
    import torch

    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.99), fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = network(*inputs)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def block() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            loss = step()
        block.loss = float(loss)
        return (time.perf_counter() - began) / steps

    block.first_loss = float(step())
    return block


def gemm_blocks(size: int = 1024) -> tuple[Block, Block]:
    """One square float32 product in JAX and in PyTorch."""
    import jax
    import torch

    x = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a, b: a @ b)
    product(x, x).block_until_ready()
    y = torch.randn(size, size)

    def timed(call: Callable[[], object]) -> Block:
        def block() -> float:
            began = time.perf_counter()
            for _ in range(3):
                call()
            return (time.perf_counter() - began) / 3

        return block

    return timed(lambda: product(x, x).block_until_ready()), timed(lambda: y @ y)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="blocks of each kind")
    parser.add_argument("--steps", type=int, default=5, help="steps a block")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for both")
    args = parser.parse_args()
    repeats, steps, threads = args.repeats, args.steps, args.threads
    # Before JAX starts: its thread pool has as many threads as the process may use cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    import torch

    torch.set_num_threads(threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {threads} threads each")
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    print("compiling", flush=True)
    cases = {
        "text to image, dropout 0": text_to_image_pair(0.0, 16, steps),
        "text to image, dropout 0.1": text_to_image_pair(0.1, 16, steps),
        "tokenizer": tokenizer_pair(16, steps),
    }
    for name, (ours, theirs, _) in cases.items():
        if "0.1" not in name and abs(ours.first_loss - theirs.first_loss) > 1e-4 * ours.first_loss:
            raise SystemExit(f"{name}: first losses {ours.first_loss} and {theirs.first_loss}")

    blocks = {f"{name}|{side}": pair[side] for name, pair in cases.items() for side in (0, 1)}
    blocks |= {f"gemm|{side}": block for side, block in enumerate(gemm_blocks())}
    for block in blocks.values():
        block()  # warm
    seconds: dict[str, list[float]] = {name: [] for name in blocks}
    for _ in range(repeats):
        for name, block in blocks.items():
            seconds[name].append(block())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    spread = {name: (min(values), max(values)) for name, values in seconds.items()}

    gemm = [2 * 1024**3 / medians[f"gemm|{side}"] / 1e9 for side in (0, 1)]
    best = max(gemm)
    print(f"load average after: {os.getloadavg()[0]:.2f}")
    print(f"float32 product of 1024^3: JAX {gemm[0]:.0f}, PyTorch {gemm[1]:.0f} GFLOP/s")
    print(f"{repeats} blocks of {steps} steps; median (least, most) ms a step; share of the better")
    print(f"{'':28} {'ours':>26} {'PyTorch':>26} {'ours / PyTorch':>15} {'shares':>12}")
    for name, (_, _, flops) in cases.items():
        cells, shares = [], []
        for side in (0, 1):
            median, (least, most) = medians[f"{name}|{side}"], spread[f"{name}|{side}"]
            cells.append(f"{1e3 * median:.1f} ({1e3 * least:.1f}, {1e3 * most:.1f})")
            shares.append(f"{flops / median / 1e9 / best:.0%}")
        ratio = medians[f"{name}|0"] / medians[f"{name}|1"]
        print(f"{name:28} {cells[0]:>26} {cells[1]:>26} {ratio:>15.2f} {'/'.join(shares):>12}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
