"""What may be asked for, and what may be shown: hooks of whoever runs the server.

A hook that fails refuses: nothing gets by because its judge is away.
"""

import asyncio
import importlib
import json
import logging
import re
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from babeldraw.errors import UserError
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.refusals import Refusal

JudgeText = Callable[[str], str | None]
"""Why a text is refused; None: it is not."""
JudgePicture = Callable[[UInt8[np.ndarray, "height width 3"]], str | None]
"""The same of a picture."""

SECONDS = 5
MAX_ANSWER = 2**20
_log = logging.getLogger(__name__)


class Moderation:
    """All hooks of a server."""

    def __init__(
        self, texts: Sequence[JudgeText], pictures: Sequence[JudgePicture], metrics: Metrics
    ) -> None:
        self._texts, self._pictures, self._metrics = tuple(texts), tuple(pictures), metrics

    @property
    def sees_pictures(self) -> bool:
        """Whether pictures are judged, and so not shown before they are whole."""
        return bool(self._pictures)

    async def check_texts(self, texts: Sequence[str]) -> None:
        """Raises a `Refusal` if one is refused."""
        for judge in self._texts:
            for text in texts:
                await self._check("text", judge, text)

    async def check_pictures(self, pictures: Sequence[UInt8[np.ndarray, "h w 3"]]) -> None:
        """Raises a `Refusal` if one is refused."""
        for judge in self._pictures:
            for picture in pictures:
                await self._check("picture", judge, picture)

    async def _check(self, stage: str, judge: Callable[..., str | None], what: object) -> None:
        try:
            async with asyncio.timeout(2 * SECONDS):
                reason = await asyncio.to_thread(judge, what)
        except Exception as error:
            # Not its message, which may hold the text.
            _log.error("the hook that moderates a %s failed: %s", stage, type(error).__name__)
            self._metrics.refused.labels(f"{stage}_hook_failed").inc()
            raise Refusal(
                503,
                f"the {stage} could not be moderated, and so is refused; try again later.",
                kind="server_error",
                code="moderation_unavailable",
                retry_after=SECONDS,
            ) from None
        if reason is not None:
            self._metrics.refused.labels(stage).inc()
            said = f" ({reason})" if reason else ""
            raise Refusal(
                400,
                f"the {stage} is refused by this server's moderation{said}; ask for another.",
                code="content_policy_violation",
                param="prompt" if stage == "text" else None,
            )


class WordList:
    """Refuses texts that hold a word or a row of words of a file: one a line, `#` for comments.

    It reads letters as Unicode's compatible and case-folded forms, without marks and without what
    cannot be seen, so that full-width letters, accents or joiners inside a word hide nothing.
    """

    def __init__(self, file: str) -> None:
        """Reads the file.

        Raises:
          UserError: it cannot be read, or holds no word.
        """
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"--word_list {file} cannot be read ({error}); name another."
            ) from error
        rows = [tuple(_words(line.partition("#")[0])) for line in lines]
        self._rows = {row for row in rows if row}
        if not self._rows:
            raise UserError(f"--word_list {file} holds no words; put one a line.")
        self._longest = max(map(len, self._rows))

    def __call__(self, text: str) -> str | None:
        """The same answer for every text that is refused: it does not tell the list."""
        words = _words(text)
        for start in range(len(words)):
            for length in range(1, self._longest + 1):
                if tuple(words[start : start + length]) in self._rows:
                    return "its words"
        return None


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(sign for sign in plain if unicodedata.category(sign) not in ("Mn", "Cf"))
    return re.findall(r"\w+", kept)


class Endpoint:
    """An HTTP endpoint that answers as OpenAI's `POST /v1/moderations` does."""

    def __init__(self, url: str) -> None:
        """Raises a `UserError` for what is no URL of HTTP."""
        if not re.match(r"https?://[^/\s]+", url):
            raise UserError(f"--moderation_url {url} is no URL; give one as http://host/path.")
        self._url = url

    def __call__(self, text: str) -> str | None:
        """Asks; raises whatever goes wrong."""
        body = json.dumps({"input": text}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                results = json.loads(answer.read(MAX_ANSWER))["results"]
        except urllib.error.HTTPError as error:
            error.close()
            raise
        flagged = [bool(result["flagged"]) for result in results]
        if not flagged:
            raise ValueError("no result")
        return "" if any(flagged) else None


def entry_point(name: str, option: str) -> Callable[..., str | None]:
    """A function of the user's, `MODULE:FUNCTION`.

    Raises:
      UserError: it cannot be imported, or is no function.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        raise UserError(
            f"{option} {name} cannot be imported ({error}); give MODULE:FUNCTION, with the module "
            "where Python finds it."
        ) from error
    if not callable(found):
        raise UserError(f"{option} {name} is no function; give MODULE:FUNCTION.")
    judge: Callable[..., str | None] = found
    return judge
