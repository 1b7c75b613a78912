"""Tokens a second of sampling: full cache, ring cache, wavefront, PyTorch, and parti-pytorch.

    python -m benchmarks.sampling_speed [--size 32] [--decoder_layers 4] [--repeats 3]

The decoder has the shape of 350M (width 1024, hidden 4096, 16 heads, 8192 codes, mask 11 x 11) in
float32, cut to `--decoder_layers` of its 12 layers and to 1 of 12 encoder layers. Guidance 1.2:
each picture has a conditional and an unconditional row; the pictures of a batch share one prompt.
Every token is the most probable one, so that ours and PyTorch's can be compared: they must agree.
The wavefront needs another input (`row_start`), so its model has other weights, and a start vector
a row.

parti-pytorch 0.2.0 (see parti_pytorch_files.py) has no cache: it computes all tokens so far again
for each next one, twice for guidance. Its `Parti` gets the same width, layers, heads, codes, and
feed-forward width (keys and values have one head, and there is no text encoder: its own choices,
and its T5 is not counted). A whole picture of it takes many minutes, so steps of it are timed at
`PARTI_LENGTHS`, and the picture's time is the integral between them.

Runs alternate; a figure is the median over the runs, encoding the prompt included. The floor is
the time to read, once a step, the decoder's weights and the caches at the bandwidth of a
matrix-vector product measured in the same rounds (the better of JAX's and PyTorch's).
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

WEIGHT = 1.2
PARTI_LENGTHS = (0, 0.125, 0.25, 0.5, 0.75, 1)
"""Shares of the picture that are drawn when a step of parti-pytorch is timed."""
TEXT_LENGTH = 64


def make_model(size: int, decoder_layers: int, convention: str) -> tuple[Any, Any]:
    """A cut of gin/models/350m.gin, and its parameters."""
    import jax
    import jax.numpy as jnp

    from babeldraw.models.encoder_decoder import EncoderDecoder
    from babeldraw.parallel.rules import unbox

    model = EncoderDecoder(
        text_vocab_size=1000,
        codebook_size=8192,
        text_length=TEXT_LENGTH,
        rows=size,
        columns=size,
        d_model=1024,
        num_heads=16,
        mlp_dim=4096,
        encoder_layers=1,
        decoder_layers=decoder_layers,
        dropout_rate=0.0,
        attention_kernel=11,
        decoder_inputs=convention,
        dtype=jnp.float32,
    )
    text, tokens = jnp.zeros((1, TEXT_LENGTH), int), jnp.zeros((1, model.num_tokens), int)
    return model, jax.jit(lambda: unbox(model.init(jax.random.key(0), text, tokens)["params"]))()


def bytes_a_step(model, pictures: int, capacity: float) -> float:
    """Weights of the decoder layers and the logits, keys and values of `capacity` image tokens."""
    width, inner = model.d_model, model.num_heads * model.head_dim
    weights = model.decoder_layers * (6 * width * inner + 2 * width * model.mlp_dim)
    weights += width * model.codebook_size
    image = 2 * pictures * capacity * 2 * inner * model.decoder_layers
    text = 2 * model.text_length * 2 * inner * model.decoder_layers  # one prompt, and the empty one
    return 4 * (weights + image + text)


def ours(model, params, pictures: int, order: str) -> tuple[Callable[[], object], float]:
    """Draws a batch; and the bytes that it must read."""
    import jax

    from babeldraw.models.encoder_decoder import example_keys
    from babeldraw.sampling.generate import generate_tokens
    from babeldraw.sampling.schedule import make_schedule

    keys = example_keys(jax.random.key(0), pictures)

    @jax.jit
    def draw(params, text):
        return generate_tokens(
            model,
            params,
            text,
            keys,
            guidance_weight=WEIGHT,
            temperature=0.0,
            schedule=order,
        )[0]

    schedule = make_schedule(model, order=order)
    steps = len(schedule.positions)
    text = prompt()
    return (
        lambda: jax.block_until_ready(draw(params, text)),
        steps * bytes_a_step(model, pictures, schedule.capacity),
    )


def prompt():
    """One prompt of 20 tokens, closed and padded."""
    import numpy as np

    text = np.zeros((1, TEXT_LENGTH), np.int32)
    text[0, :20] = np.random.default_rng(0).integers(2, 1000, size=20)
    text[0, 20] = 1
    return text


def pytorch(model, params, pictures: int) -> tuple[Callable[[], object], float]:
    """The same for PyTorch: static caches, both rows of guidance in one batch, raster order."""
    import torch
    import torch.nn.functional as F

    from benchmarks.pytorch_networks import EncoderDecoder, load

    network = EncoderDecoder(model).eval()
    load(network, params)
    rows, heads, n = 2 * pictures, model.num_heads, model.num_tokens
    text = torch.tensor(prompt()).long().expand(pictures, -1)
    text = torch.cat([text, torch.zeros_like(text)])

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def attend(attention, x, keys, values, mask):
        attended = F.scaled_dot_product_attention(
            split(attention.query(x)), keys, values, attn_mask=mask
        )
        return attention.output(attended.transpose(1, 2).flatten(2))

    @torch.inference_mode()
    def draw():
        text_mask = ((text != 0) | (torch.arange(TEXT_LENGTH) == 0))[:, None, None, :]
        x = network.text_embedding(text) + network.text_positions.weight
        for layer in network.encoder:
            x = layer(x, text_mask)
        encoded = network.encoder_norm(x)
        of_text = [
            (split(layer.cross_attention.key(encoded)), split(layer.cross_attention.value(encoded)))
            for layer in network.decoder
        ]
        caches = torch.zeros(model.decoder_layers, 2, rows, heads, n, model.head_dim)
        tokens = torch.zeros(pictures, n, dtype=torch.long)
        for position in range(n):
            if position:
                x = network.image_embedding(tokens[:, position - 1]).repeat(2, 1)[:, None]
            else:
                x = network.start_embedding.weight.expand(rows, 1, -1)
            row, column = divmod(position, model.columns)
            x = x + network.image_positions["row"].weight[row]
            x = x + network.image_positions["column"].weight[column]
            mask = network.mask[position : position + 1, : position + 1]
            for layer, cache, (text_keys, text_values) in zip(
                network.decoder, caches, of_text, strict=True
            ):
                y, attention = layer.self_attention_norm(x), layer.self_attention
                cache[0, :, :, position] = split(attention.key(y))[:, :, 0]
                cache[1, :, :, position] = split(attention.value(y))[:, :, 0]
                seen = cache[:, :, :, : position + 1]
                x = x + attend(attention, y, seen[0], seen[1], mask)
                y = layer.cross_attention_norm(x)
                x = x + attend(layer.cross_attention, y, text_keys, text_values, text_mask)
                x = x + layer.mlp(layer.mlp_norm(x))
            logits = network.logits(network.decoder_norm(x))[:, 0]
            with_text, without = logits.chunk(2)
            tokens[:, position] = (without + WEIGHT * (with_text - without)).argmax(-1)
        return tokens

    return draw, n * bytes_a_step(model, pictures, (n + 1) / 2)


def parti_pytorch(model, pictures: int) -> dict[int, Callable[[], object]]:
    """One step of its `generate`, by the number of tokens drawn so far."""
    import torch

    from benchmarks import parti_pytorch_files

    theirs = parti_pytorch_files.load("parti_pytorch")

    class Tokenizer(torch.nn.Module):
        """What `Parti` asks of one: sizes."""

        codebook_size, image_size = model.codebook_size, model.rows

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def get_encoded_fmap_size(self, image_size):
            return image_size

    parti = theirs.Parti(
        dim=model.d_model,
        depth=model.decoder_layers,
        dim_head=model.head_dim,
        heads=model.num_heads,
        ff_mult=model.mlp_dim // model.d_model,
        vae=Tokenizer(),
        text_embed_dim=model.d_model,
        max_text_len=TEXT_LENGTH,
    ).eval()
    text = torch.randn(pictures, TEXT_LENGTH, model.d_model)
    mask = torch.ones(pictures, TEXT_LENGTH, dtype=torch.bool)

    def step(length: int) -> Callable[[], object]:
        tokens = torch.zeros(pictures, length, dtype=torch.long)

        @torch.inference_mode()
        def one():
            logits = parti.forward_with_cond_scale(
                text_token_embeds=text,
                text_mask=mask,
                image_token_ids=tokens,
                cond_scale=WEIGHT,
            )[:, -1]
            return theirs.gumbel_sample(theirs.top_k(logits, thres=0.9))

        return one

    lengths = [round(share * (model.num_tokens - 1)) for share in PARTI_LENGTHS]
    return {length: step(length) for length in lengths}


def gemv_blocks(size: int = 4096, count: int = 4) -> dict[str, Callable[[], object]]:
    """Products of `count` matrices with a vector, 64 MiB each: no cache of the machine helps."""
    import jax
    import torch

    keys = jax.random.split(jax.random.key(0), count)
    matrices = [jax.random.normal(key, (size, size)) for key in keys]
    vector = matrices[0][:1]
    products = jax.jit(lambda x, matrices: [x @ matrix for matrix in matrices])
    theirs = [torch.randn(size, size) for _ in range(count)]
    row = torch.randn(1, size)
    return {
        "gemv JAX": lambda: jax.block_until_ready(products(vector, matrices)),
        "gemv PyTorch": lambda: [row @ matrix.T for matrix in theirs],
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="rows and columns of tokens")
    parser.add_argument("--decoder_layers", type=int, default=4, help="of the 12 of 350M")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="pictures")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="cores and threads for both")
    args = parser.parse_args()
    # Before JAX starts: its thread pool has as many threads as the process may use cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    import jax
    import numpy as np
    import torch

    torch.set_num_threads(args.threads)
    print(f"jax {jax.__version__}, torch {torch.__version__}, {args.threads} threads each")
    print(
        f"350M's decoder cut to {args.decoder_layers} of 12 layers, {args.size}x{args.size} "
        f"tokens, float32, guidance {WEIGHT}; load average before: {os.getloadavg()[0]:.2f}"
    )
    raster = make_model(args.size, args.decoder_layers, "raster")
    fast = make_model(args.size, args.decoder_layers, "row_start")
    runs: dict[tuple[int, str], tuple[Callable[[], object], float]] = {}
    for pictures in args.batches:
        runs[pictures, "raster, full cache"] = ours(*raster, pictures, "raster_full_cache")
        runs[pictures, "raster, ring cache"] = ours(*raster, pictures, "raster")
        runs[pictures, "wavefront"] = ours(*fast, pictures, "wavefront")
        runs[pictures, "PyTorch, static cache"] = pytorch(*raster, pictures)
    # Named by (pictures, length): one step of parti-pytorch.
    steps = {
        (pictures, length): step
        for pictures in args.batches
        for length, step in parti_pytorch(raster[0], pictures).items()
    }
    gemv = gemv_blocks()

    first = {}
    for name, (run, _) in runs.items():
        began = time.perf_counter()
        first[name] = np.asarray(run())
        print(*name, f"first run {time.perf_counter() - began:.1f} s", sep=", ", flush=True)
    calls = {name: run for name, (run, _) in runs.items()} | steps | gemv
    for block in [*steps.values(), *gemv.values()]:
        block()
    seconds: dict[object, list[float]] = {name: [] for name in calls}
    for _ in range(args.repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}

    gemv_bytes = 4 * 4096**2 * 4
    bandwidth = max(gemv_bytes / median[name] for name in gemv)
    print(f"load average after: {os.getloadavg()[0]:.2f}")
    for name in gemv:
        print(f"{name}: {gemv_bytes / median[name] / 1e9:.1f} GB/s")
    print(f"{'pictures':>8} {'':24} {'tokens/s':>9} {'(least, most)':>18} {'of floor':>9} ratio")
    for (pictures, kind), (_, total) in runs.items():
        tokens = pictures * args.size**2
        rates = sorted(tokens / value for value in seconds[pictures, kind])
        time_taken = median[pictures, kind]
        ratio = median[pictures, "PyTorch, static cache"] / time_taken
        span = f"({rates[0]:.1f}, {rates[-1]:.1f})"
        print(
            f"{pictures:8} {kind:24} {tokens / time_taken:9.1f} {span:>18} "
            f"{total / bandwidth / time_taken:9.0%} {ratio:.2f}"
        )
    for pictures in args.batches:
        lengths = [length for count, length in steps if count == pictures]
        a_picture = np.trapezoid([median[pictures, length] for length in lengths], lengths)
        print(
            f"{pictures:8} {'parti-pytorch, no cache':24} "
            f"{pictures * args.size**2 / a_picture:9.2f} {'(integral)':>18} {'':9} "
            f"{median[pictures, 'PyTorch, static cache'] / a_picture:.4f}"
        )
        for kind in ("raster, ring cache", "wavefront"):
            print(f"{pictures} pictures, {kind}: {a_picture / median[pictures, kind]:.0f} times it")
    for pictures in args.batches:
        expected = first[pictures, "PyTorch, static cache"]
        for kind in ("raster, full cache", "raster, ring cache"):
            same = np.mean(first[pictures, kind] == expected)
            print(f"{pictures} pictures, {kind}: {same:.1%} of tokens are PyTorch's")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
