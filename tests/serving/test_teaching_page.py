"""The part of the page where a client's pictures become a model."""

import dataclasses

import pytest

from babeldraw.serving.trainings import Trainings
from docs.page_screenshots import DONE, ask, browsing
from tests.serving.conftest import address, served_once
from tests.serving.test_page import grey, in_a_browser
from tests.serving.test_trainings import FEW, data_of_the_networks_size  # noqa: F401

_OPENED = {}


def with_trainings(served):
    return dataclasses.replace(served, trainings=_OPENED["trainings"])


@pytest.fixture
def page(served, tmp_path):
    started = served_once()
    _OPENED["trainings"] = Trainings(
        str(tmp_path), 3, started.drawers, started.engine, started.metrics, FEW
    )
    host, port = address((), with_trainings)
    with browsing() as page:
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and page.faults.append(said.text))
        page.goto(f"http://{host}:{port}")
        yield page
        assert not page.faults
    _OPENED["trainings"].close()


@in_a_browser
def test_pictures_are_learned_drawn_and_deleted(page, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    page.wait_for_selector("#teach:visible")
    page.fill("#word", "crayon zebra")
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": grey()} for n in range(5)]
    page.set_input_files("#pictures", files)
    page.locator("#chosen input").nth(1).fill("a small one")
    page.click("#learn button.main")
    page.wait_for_selector("#trainings li")
    assert not page.input_value("#word") and page.locator("#chosen li").count() == 0
    (text,) = tmp_path.glob("*/pictures/*.txt")
    assert text.name == "01.txt" and text.read_text() == "a small one\n"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()

    page.wait_for_selector("text=Draw with it", timeout=120_000)
    page.wait_for_selector("#model option:nth-child(2)", state="attached")
    page.click("text=Draw with it")
    page.wait_for_selector("#about:text('tiny:crayon')")
    assert page.input_value("#prompt") == "crayon zebra"
    assert page.locator("#learn").is_hidden()  # what was learned here learns nothing further
    ask(page, "a crayon zebra", 1)
    page.wait_for_selector(DONE)
    page.click("#trainings >> text=Delete")
    page.wait_for_selector("#trainings li", state="detached")
    page.wait_for_selector("#model option:nth-child(2)", state="detached")
    assert [each.name for each in tmp_path.iterdir()] == [".babeldraw-output"]
