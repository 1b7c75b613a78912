"""`babeldraw export`: a trained model as one folder, which needs no data and no recipe."""

import argparse

from babeldraw.cli.support import decoders, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count, ShareBelowOne

SUMMARY = "Write a trained model as one folder, to be used elsewhere."

PRECISIONS = ("float32", "bfloat16", "int8")
FORMATS = ("safetensors", "stablehlo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw export` to `parser`."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help="run directory, or a folder with one run that draws inside",
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder to write, new or empty"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="safetensors: for babeldraw.load, and readers in other frameworks; stablehlo: the "
        "sampler as a program that runs with JAX alone",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of the weights: float32 draws the run's own tokens; int8 has a scale for each output "
        "channel",
    )
    parser.add_argument(
        "--rerank", metavar="DIR", help="this CoCa run goes with it, and orders what is drawn"
    )
    parser.add_argument(
        "--upscale", metavar="DIR", help="this super-resolution run goes with it, and enlarges"
    )
    decoders.add_arguments(parser)
    parser.add_argument(
        "--guidance_weight",
        type=Numeric(float),
        metavar="W",
        help="with which it draws where nobody says otherwise (default: 1)",
    )
    parser.add_argument(
        "--cutoff",
        type=Numeric(ShareBelowOne),
        metavar="C",
        help="with which it draws where nobody says otherwise (default: 0)",
    )
    parser.add_argument(
        "--num_samples",
        type=Numeric(Count),
        default=4,
        metavar="N",
        help="of stablehlo: pictures that the program draws of a prompt",
    )
    parser.add_argument(
        "--notes",
        metavar="FILE",
        help="Markdown for the model card: licences of the data, limits, thanks",
    )


def run(args: argparse.Namespace) -> int:
    """Writes OUTPUT; prints what is in it."""
    for name in filter(None, (args.checkpoint, args.rerank, args.upscale, args.decoder)):
        outputs.check_run(name)
    outputs.check_folder(args.output, "--output")
    from babeldraw import files
    from babeldraw.cli.support import exported_runs, exports
    from babeldraw.cli.support.runs import open_run
    from babeldraw.exporting import card, folder, stablehlo
    from babeldraw.training.keeping import run_folders
    from babeldraw.training.keeping.settings import to_data

    output = files.path(args.output)
    if files.names_in(output):
        raise UserError(f"--output {args.output} is not empty; name a new folder.")
    try:
        notes = files.path(args.notes).read_text() if args.notes else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--notes {args.notes} cannot be read ({error}); name a text file.") from (
            error
        )
    several = len(run_folders.runs_in(args.checkpoint)) > 1
    main = open_run(args.checkpoint, wanted="sampler" if several else "")
    if args.decoder:
        main = decoders.with_decoder(main, args.decoder)
    networks = dict(exports.networks_of(main))
    if args.rerank:
        judge = open_run(args.rerank, wanted="reranker")
        if folder.TOKENIZER in networks:
            judge.reranker().check_size(networks[folder.TOKENIZER].module.image_size)
        networks |= dict(exports.networks_of(judge))
    if args.upscale:
        networks |= dict(exports.networks_of(open_run(args.upscale, wanted="upscaler")))
    drawing = {"guidance_weight": args.guidance_weight, "cutoff": args.cutoff}
    view = to_data(main.view)
    description = folder.Description(
        source={"run": "/".join(files.path(main.model_dir).parts[-2:]), "step": main.step},
        view={name: value for name, value in view.items() if name != "class"},
        drawing={name: value for name, value in drawing.items() if value is not None},
        training=exported_runs.training_of(main),
    )
    if args.format == "stablehlo":
        stablehlo.write(output, networks, description, args.num_samples)
        print(f"a program of {args.num_samples} pictures a prompt is in {args.output}")
        return 0
    source = files.path(main.model_dir)
    config = folder.write(output, networks, description, args.precision, source)
    text = card.card(
        config, networks, exported_runs.data_of(main), exports.last_scores(main), notes
    )
    with files.written_whole(output / "README.md") as file:
        file.write(text.encode())
    size = sum(path.stat().length for path in output.iterdir())
    print(f"{', '.join(networks)} as {args.precision}, {size / 1e6:.1f} MB, are in {args.output}")
    return 0
