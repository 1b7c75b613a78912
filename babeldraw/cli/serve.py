"""`babeldraw serve`: trained models behind HTTP, with OpenAI's Images API."""

import argparse

from babeldraw.cli.support import machines, named, outputs
from babeldraw.cli.support.draw_options import add_int8
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Whole

SUMMARY = "Answer requests for pictures over HTTP, as OpenAI's Images API does."

PERSONAL = "runs/personal"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHORTEST_KEY = 16
"""Characters: shorter ones can be guessed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw serve` to `parser`."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a run or an exported model that draws, and what requests call it, by default as its "
        "folder; repeatable, the first is that of requests that name none (default: the emoji "
        "model that comes with Babeldraw)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="another needs --api-key-file"
    )
    parser.add_argument(
        "--port", type=Numeric(Whole), default=8000, metavar="N", help="0 takes a free one"
    )
    parser.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="keys that open the server, one a line; without it whoever reaches it may ask",
    )
    parser.add_argument(
        "--rerank",
        metavar="DIR",
        help="a CoCa for reranking, captions and scores: a run or an exported model (default: what "
        "exported models bring)",
    )
    parser.add_argument(
        "--classifier", metavar="DIR", help="an output of `babeldraw probe` for classes"
    )
    parser.add_argument(
        "--batch_size",
        type=Numeric(Count),
        default=machines.BATCH_SIZE,
        metavar="N",
        help="pictures at once; smaller batches, by fours, are compiled, too",
    )
    add_int8(parser)
    parser.add_argument(
        "--queue", type=Numeric(Count), default=64, metavar="N", help="pictures that may wait"
    )
    parser.add_argument(
        "--seconds", type=Numeric(Count), default=120, metavar="N", help="that a request may take"
    )
    parser.add_argument(
        "--word_list", metavar="FILE", help="refuse texts with any of its words, one a line"
    )
    parser.add_argument(
        "--judge_texts", metavar="MODULE:FUNCTION", help="text -> why it is refused, or None"
    )
    parser.add_argument(
        "--moderation_url",
        metavar="URL",
        help="ask this endpoint about texts, which answers as OpenAI's moderations do",
    )
    parser.add_argument(
        "--judge_pictures",
        metavar="MODULE:FUNCTION",
        help="uint8[height, width, 3] -> why it is refused, or None",
    )
    parser.add_argument(
        "--allow-training",
        nargs="?",
        const=PERSONAL,
        metavar="DIR",
        help="let clients bring pictures and a word, which a model then learns beside the server; "
        f"what is learned is kept in DIR ({PERSONAL} where none is given)",
    )
    parser.add_argument(
        "--training_quota",
        type=Numeric(Count),
        default=3,
        metavar="N",
        help="personal models that each key may have",
    )


def run(args: argparse.Namespace) -> int:
    """Serves until it is told to end (SIGTERM, Ctrl-C), finishes what runs, and returns 0."""
    keys = _keys(args)
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"babeldraw serve needs {error.name}, which is not installed; "
            "pip install 'babeldraw[serve]'."
        ) from error
    from babeldraw.serving import moderation
    from babeldraw.serving.listening import listen
    from babeldraw.serving.requests import MOST_PICTURES
    from babeldraw.serving.start import build, serve

    if args.port > 65535:
        raise UserError(f"--port is {args.port}, and ports end at 65535; give a lower one.")
    if args.queue < MOST_PICTURES:
        raise UserError(
            f"--queue is {args.queue}, and one request may ask for {MOST_PICTURES} pictures; let "
            "as many wait, or more."
        )
    texts: list[moderation.JudgeText] = []
    pictures: list[moderation.JudgePicture] = []
    if args.word_list:
        texts.append(moderation.WordList(args.word_list))
    if args.judge_texts:
        texts.append(moderation.entry_point(args.judge_texts, "--judge_texts"))
    if args.moderation_url:
        texts.append(moderation.Endpoint(args.moderation_url))
    if args.judge_pictures:
        pictures.append(moderation.entry_point(args.judge_pictures, "--judge_pictures"))
    if args.allow_training is not None:
        outputs.check_local(args.allow_training, "--allow-training")
    with listen(args.host, args.port) as listening:
        served = build(
            args.model or [named.EMOJI],
            batch_size=args.batch_size,
            queue=args.queue,
            seconds=args.seconds,
            rerank=args.rerank,
            classifier=args.classifier,
            text_judges=texts,
            picture_judges=pictures,
            training=args.allow_training,
            quota=args.training_quota,
            int8=args.int8,
        )
        serve(served, keys, listening)
    return 0


def _keys(args: argparse.Namespace) -> list[str]:
    """The keys of `--api-key-file`.

    Raises:
      UserError: they are needed and not given, cannot be read, or can be guessed.
    """
    if args.api_key_file is None:
        if args.host not in LOOPBACK:
            raise UserError(
                f"--host {args.host} can be reached from elsewhere; give --api-key-file FILE with "
                "a key a line, or leave --host out."
            )
        return []
    try:
        with open(args.api_key_file, encoding="utf-8") as file:
            keys = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(
            f"--api-key-file {args.api_key_file} cannot be read ({reason}); name another."
        ) from error
    if not keys or min(map(len, keys)) < SHORTEST_KEY or not "".join(keys).isascii():
        raise UserError(
            f"--api-key-file {args.api_key_file} has to hold keys of {SHORTEST_KEY} characters or "
            "more, of ASCII, one a line; make one with `openssl rand -hex 32`."
        )
    return keys
