"""Contract, in a browser: arrows answer, Backspace goes back, answers are what was chosen."""

import html
import json
import re
import shutil
import subprocess

import pytest

from babeldraw.evaluation.people.page import page
from babeldraw.evaluation.people.pairs import KIND, pair_up
from tests.evaluation.people import folders

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_a_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")


@pytest.fixture
def pairing(tmp_path):
    two = folders.write(tmp_path / "one", 1), folders.write(tmp_path / "two", 2)
    return pair_up(two, 3, 0)


def played(pairing, tmp_path, script=""):
    """The document after a script; without one, the page as it is."""
    text = page(pairing)
    if script:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        press = "const press = (key, on = document) => on.dispatchEvent("
        press += "new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));"
        text = text.replace("</body>", f"<script>{press}{script}</script></body>")
    file = tmp_path / "page.html"
    file.write_text(text)
    command = [
        *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *(f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def answers(document):
    found = re.search(r'<code id="answers">(.*?)</code>', document, re.DOTALL)
    return json.loads(html.unescape(found[1]))


@needs_a_browser
def test_the_script_runs_under_the_pages_own_policy(pairing, tmp_path):
    document = played(pairing, tmp_path)
    assert ">0 of 3 pairs answered<" in document and ">Pair 1 of 3<" in document
    assert html.escape(pairing.pairs[0].prompt, quote=False) in document
    found = answers(document)
    assert re.fullmatch(r"anonymous-[0-9a-f]{1,4}", found.pop("rater"))
    assert found == {"kind": KIND, "pairing": pairing.digest, "pairs": 3, "answers": []}


@needs_a_browser
def test_by_keyboard(pairing, tmp_path):
    keys = ["ArrowLeft", "ArrowDown", "ArrowRight", "x", "ArrowRight", "ArrowLeft"]
    play = "".join(f"press('{key}');" for key in keys)
    name = "at('rater').value = 'A. B.'; at('rater').dispatchEvent(new Event('input'));"
    # Within the name arrows move in it; Backspace takes back what is begun.
    play += f"{name} press('ArrowLeft', at('rater')); press('Backspace'); press('ArrowDown');"
    document = played(pairing, tmp_path, play)
    found = answers(document)
    assert found["rater"] == "A. B." and found["answers"] == [
        {"pair": 0, "realism": "left", "text": "tie"},
        {"pair": 1, "realism": "right", "text": "right"},
        {"pair": 2, "realism": "tie"},
    ]
    assert ">2 of 3 pairs answered<" in document


@needs_a_browser
def test_with_buttons_to_the_end_and_once_more(pairing, tmp_path):
    click = "at('text').querySelector('[value=right]').click();"
    click += "at('realism').querySelector('[value=left]').click();"
    document = played(pairing, tmp_path, click * 4)
    assert '<section id="pair" aria-labelledby="number" hidden' in document
    assert '<section id="end">' in document
    whole = [{"pair": pair, "realism": "left", "text": "right"} for pair in range(3)]
    assert [dict(sorted(each.items())) for each in answers(document)["answers"]] == whole
    # What the browser has kept is there when the page is opened again.
    assert answers(played(pairing, tmp_path))["answers"] == answers(document)["answers"]


def test_the_policy_lets_the_page_load_nothing(pairing):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page(pairing))[1]
    assert (
        policy.startswith("default-src 'none'; img-src data:;") and "script-src 'sha256-" in policy
    )
    assert "http" not in page(pairing).replace("http-equiv", "")
