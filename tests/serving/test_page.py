"""The page as a browser has it."""

import importlib.util
import io
import json
import re
import shutil
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import babeldraw.serving
from docs.page_screenshots import DONE, ask, browsing

PAGE = Path(babeldraw.serving.__file__).parent / "page"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
in_a_browser = pytest.mark.skipif(
    BROWSER is None or importlib.util.find_spec("axe_playwright_python") is None,
    reason="needs Chromium and babeldraw[browser]",
)


def test_all_that_the_page_asks_for_is_served_and_nothing_of_others(url):
    files = {file.name: file.read_text(encoding="utf-8") for file in PAGE.iterdir()}
    asked = {name for text in files.values() for name in re.findall(r'"/page/([\w.]+)"', text)}
    assert asked == set(files) - {"index.html"}
    for name in asked:
        with urllib.request.urlopen(f"{url}/page/{name}") as answer:
            assert answer.read().decode() == files[name]
            kind = "javascript" if name.endswith(".js") else "css"
            assert kind in answer.headers["Content-Type"]
    for text in files.values():
        assert not re.search(r"https?://|<style|\sstyle=|\son\w+=", text)  # its own policy says so
    ids = set(re.findall(r'\bid="([\w-]+)"', files["index.html"]))
    for name in asked:
        assert set(re.findall(r'\bat\("([\w-]+)"\)', files[name])) <= ids


@pytest.fixture(scope="module")
def page(url):
    with browsing() as page:
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
        page.goto(url)
        yield page
        assert not page.faults


def source(page, number=0):
    return page.locator("#drawn img").nth(number).get_attribute("src")


@in_a_browser
def test_it_draws_what_the_api_draws_and_a_link_brings_it_back(page, url):
    ask(page, "a red apple", 2)
    page.wait_for_selector(DONE)
    asked = {"prompt": "a red apple", "n": 2, "cutoff": 0.1}
    request = urllib.request.Request(
        f"{url}/v1/images/generations",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        data = json.load(answer)["data"]
    for number, one in enumerate(data):
        with urllib.request.urlopen(source(page, number)) as shown:
            assert pixels(shown.read()).tolist() == pixels(from_base64(one["b64_json"])).tolist()
    first, link = source(page), page.url
    page.locator("#drawn .variants").first.click()
    page.wait_for_selector(f"{DONE} figure:nth-child(4)")
    assert page.input_value("#seed") == "1"
    page.locator("#history a").last.click()
    page.wait_for_selector(f"{DONE}:has(figure:nth-child(2):last-child)")
    assert page.url == link and page.input_value("#seed") == "0"
    with urllib.request.urlopen(first) as one, urllib.request.urlopen(source(page)) as other:
        assert one.read() == other.read()


def from_base64(text):
    with urllib.request.urlopen(f"data:image/png;base64,{text}") as opened:
        return opened.read()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@in_a_browser
def test_a_box_drawn_with_the_mouse_is_drawn_anew_and_the_rest_stays(page):
    ask(page, "a green apple", 1)
    page.wait_for_selector(f"{DONE}:has(figure:only-child)")
    with page.expect_download() as download:
        page.click("#drawn .download")
    assert download.value.suggested_filename == "a-green-apple-0-0.png"
    before = pixels(Path(download.value.path()).read_bytes())
    page.click("#drawn .go-on")
    page.evaluate("document.querySelector('#start').decode()")
    frame = page.locator("#start").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.6, frame["y"] + frame["height"] * 0.6)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] - 1, frame["y"] + frame["height"] - 1)
    page.mouse.up()
    height, width = before.shape[:2]
    box = [int(page.input_value(f"#{name}")) for name in ("left", "top", "width", "height")]
    left, top = int(width * 0.6), int(height * 0.6)
    assert box == [left, top, width - left, height - top]
    page.fill("#seed", "5")
    page.click("#edit button.main")
    page.wait_for_selector(f"{DONE}:has(.variants[hidden])")
    with urllib.request.urlopen(source(page)) as opened:
        after = pixels(opened.read())
    assert after.shape == before.shape


@in_a_browser
def test_nothing_for_axe_core_to_complain_of_in_light_and_dark(page):
    from axe_playwright_python.sync_playwright import Axe

    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": grey()})
    page.wait_for_selector("#edit:visible")
    page.fill("#term", "rain")
    page.click("#not")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.click("#terms button")
    assert page.locator("#terms li").count() == 0


def grey():
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()


@in_a_browser
def test_what_the_server_refuses_is_said(page):
    # The page's own fields let no such number through; a link might.
    page.evaluate("document.querySelector('#n').max = 100; document.querySelector('#n').value = 11")
    page.fill("#prompt", "a red apple")
    page.click("#ask button.main")
    page.wait_for_selector("#status.bad")
    assert "n" in page.text_content("#status")
    page.faults.clear()  # the browser writes that the answer was 400
