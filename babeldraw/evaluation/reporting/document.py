"""A page of HTML from sections: escaped, without scripts, for light, dark, phones and readers."""

import dataclasses
import html
import os
import re
from collections.abc import Iterable, Sequence
from typing import NewType

from babeldraw import files
from babeldraw.evaluation.reporting.style import STYLE

Html = NewType("Html", str)
"""Markup; `text` makes it of what is none."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Were anything of a foreign file markup in spite of all, it could load and run nothing."""


NOTHING = Html("")


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, what stands below it, and the sections inside.

    Attributes:
      listed: whether the links on top name it.
    """

    heading: str
    body: Html = NOTHING
    parts: Sequence["Section"] = ()
    listed: bool = True


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole document.

    Args:
      lead: a sentence below the title.
    """
    numbered = list(enumerate(sections, 1))
    links = "".join(
        f'<li><a href="#s{number}">{text(section.heading)}</a></li>'
        for number, section in numbered
        if section.listed
    )
    body = "\n".join(_section(section, 2, f"s{number}") for number, section in numbered)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{text(title)}</h1>\n{paragraph(lead)}\n"
        f'<nav aria-label="On this page"><ul>{links}</ul></nav></header>\n'
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def write(name: str | os.PathLike[str], document: str) -> None:
    """Writes a page, local or in a bucket.

    Raises:
      UserError: it cannot be written.
    """
    with files.written_whole(name) as file:
        file.write(document.encode())


def text(value: str) -> Html:
    """What stands for a text, also within an attribute."""
    return Html(html.escape(value))


def join(*parts: Html) -> Html:
    """One below the other."""
    return Html("\n".join(part for part in parts if part))


def paragraph(sentence: str, kind: str = "") -> Html:
    """A paragraph; `kind` is its class."""
    return Html(f"<p{_class(kind)}>{_spoken(sentence)}</p>") if sentence else NOTHING


def listing(items: Iterable[str], kind: str = "") -> Html:
    """A list of sentences, nothing where there are none."""
    entries = "".join(f"<li>{_spoken(item)}</li>" for item in items)
    return Html(f"<ul{_class(kind)}>{entries}</ul>") if entries else NOTHING


def code(lines: str) -> Html:
    """A block that is shown as it is, such as a command."""
    return Html(f'<pre tabindex="0"><code>{text(lines)}</code></pre>')


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Html:
    """The first cell of each row names the row; on a narrow screen the table scrolls by itself."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in headers)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    named = f"<caption>{text(caption)}</caption>" if caption else ""
    label = text(caption or " and ".join(headers))
    return Html(
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0"><table>{named}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def details(summary: str, body: Html) -> Html:
    """What is shown when one asks for it."""
    return Html(f"<details><summary>{text(summary)}</summary>{body}</details>")


def _spoken(sentence: str) -> Html:
    """With commands and names between backticks as such."""
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", text(sentence)))


def _section(section: Section, level: int, name: str) -> str:
    inner = "\n".join(
        _section(part, level + 1, f"{name}-{n}") for n, part in enumerate(section.parts)
    )
    return (
        f'<section aria-labelledby="{name}"><h{level} id="{name}">{text(section.heading)}'
        f"</h{level}>\n{section.body}\n{inner}</section>"
    )


def _class(kind: str) -> str:
    return f' class="{text(kind)}"' if kind else ""
