"""The page that raters see: one file, which needs no server and loads nothing."""

import base64
import hashlib
import io
import json

from PIL import Image

from babeldraw.evaluation.people.pairs import KIND, Pairing
from babeldraw.evaluation.people.script import SCRIPT
from babeldraw.evaluation.reporting.style import STYLE
from babeldraw.evaluation.scores.base import Picture

SIDE = 384
"""Pixels of the page that a picture is given, or the largest whole multiple of its own below."""

QUESTIONS = {
    "realism": "Which picture looks more real?",
    "text": "Which picture matches the text better?",
}
"""What is asked of each pair. The first is of how well a picture is made, whatever it shows."""

_CHOICES = {"left": "\N{LEFTWARDS ARROW} left", "tie": "\N{DOWNWARDS ARROW} no difference"}
_CHOICES |= {"right": "right \N{RIGHTWARDS ARROW}"}

_POLICY = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'")

_STYLE = """
body { padding-top: 1.2rem } h1 { font-size: 1.5rem } header p { font-size: 1rem }
h2 { font-size: 1rem; margin: .6rem 0 .2rem; color: var(--soft) }
.sides { display: flex; gap: 1.2rem; justify-content: center; margin: .6rem 0 }
.sides > div { flex: 0 1 auto; min-width: 0; text-align: center }
.sides img { border-radius: 8px; background: #fff; display: block; max-height: 42vh;
  object-fit: contain }
.sides span { color: var(--soft); font-size: .9rem }
.prompt { font-size: 1.3rem; font-weight: 600; text-align: center; margin: .2rem 0;
  max-width: none }
fieldset { border: 1px solid var(--rule); border-radius: 10px; margin: .6rem 0; padding: .5rem 1rem;
  background: var(--card) }
fieldset[data-asked=true] { border-color: var(--link); box-shadow: 0 0 0 1px var(--link) }
legend { float: left; width: 100%; font-weight: 600; padding: 0 0 .4rem }
.choices { clear: both; display: grid; grid-template-columns: 1fr 1fr 1fr; gap: .5rem }
button, input { font: inherit; color: inherit; padding: .45rem .8rem; border-radius: 8px;
  border: 1px solid var(--rule); background: var(--page) }
button { cursor: pointer } button:disabled { opacity: .45; cursor: default }
button[aria-pressed=true] { border-color: var(--link); color: var(--link); font-weight: 600 }
button:focus-visible, input:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
progress { width: 100%; accent-color: var(--link) }
.bar { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; margin: .4rem 0 }
kbd { border: 1px solid var(--rule); border-radius: 4px; padding: 0 .35em; font-size: .9em }
[hidden] { display: none }
"""


def page(pairing: Pairing) -> str:
    """The whole document. Nothing in it says which folder a picture is of."""
    pairs = []
    for pair in pairing.pairs:
        left, right = pair.pictures[::-1] if pair.swapped else pair.pictures
        width, crisp = _shown(left)
        pairs.append(
            {
                "prompt": pair.prompt,
                "left": _embedded(left),
                "right": _embedded(right),
                "width": width,
                "crisp": crisp,
            }
        )
    data = json.dumps({"kind": KIND, "pairing": pairing.digest, "pairs": pairs})
    data = data.replace("<", "\\u003c")  # A prompt may say </script>.
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = "; ".join([*_POLICY, f"script-src 'sha256-{digest}'"])
    questions = "".join(_question(name, asked) for name, asked in QUESTIONS.items())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<title>Which picture is better?</title>\n"
        f"<style>{STYLE}{_STYLE}</style>\n</head>\n<body>\n"
        "<header><h1>Which picture is better?</h1>\n<p>Two pictures were drawn from one text. "
        "Answer both questions for each pair: with the buttons, or with <kbd>\N{LEFTWARDS ARROW}"
        "</kbd> <kbd>\N{DOWNWARDS ARROW}</kbd> <kbd>\N{RIGHTWARDS ARROW}</kbd>; <kbd>Backspace"
        "</kbd> takes back. Answers stay in this browser until you download them.</p></header>\n"
        '<main>\n<div class="bar"><label>Your name or initials '
        '<input id="rater" autocomplete="off" maxlength="60"></label>'
        '<span id="count" role="status"></span></div>\n'
        f'<progress id="progress" value="0" max="{len(pairs)}" aria-label="Pairs answered">'
        "</progress>\n"
        '<section id="pair" aria-labelledby="number"><h2 id="number"></h2>'
        '<p class="prompt" id="prompt" dir="auto" aria-live="polite"></p>'
        '<div class="sides"><div><img id="left" alt="left picture"><span>left</span></div>'
        '<div><img id="right" alt="right picture"><span>right</span></div></div>'
        f"{questions}</section>\n"
        '<section id="end" hidden><h2>All pairs are answered</h2><p>Thank you. Download your '
        "answers, and send the file to whoever gave you this page.</p>"
        '<p><button type="button" class="download">Download the answers</button></p></section>\n'
        '<div class="bar"><button type="button" id="back">Back</button>'
        '<button type="button" class="download">Download what is answered so far</button></div>\n'
        "<details><summary>The answers as text, where a download is not possible</summary>"
        '<pre tabindex="0"><code id="answers"></code></pre></details>\n'
        "<noscript><p>This page needs JavaScript.</p></noscript>\n"
        f'</main>\n<script type="application/json" id="data">{data}</script>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _question(name: str, asked: str) -> str:
    buttons = "".join(
        f'<button type="button" value="{value}" aria-pressed="false">{said}</button>'
        for value, said in _CHOICES.items()
    )
    return (
        f'<fieldset id="{name}"><legend>{asked}</legend><div class="choices">{buttons}</div>'
        "</fieldset>"
    )


def _shown(picture: Picture) -> tuple[int, bool]:
    """The width on the page, and whether pixels are to be seen as squares."""
    width: int = picture.shape[1]
    times = max(1, SIDE // width)
    return min(width * times, SIDE), times > 1


def _embedded(picture: Picture) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
