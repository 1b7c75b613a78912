"""What the page of `babeldraw serve` looks like while it draws and afterwards: PNG files.

    babeldraw serve --model runs/quickstart &
    prompt="man firefighter, medium skin tone, fluent style"
    python -m docs.page_screenshots "$prompt" --real --output docs

needs Chromium (`apt-get install chromium`) and `pip install 'babeldraw[browser]'`, and writes
serving_part.png of half-drawn pictures, serving_page.png and serving_phone.png.
"""

import argparse
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.screenshots import crop

DONE = "#drawn:has(figure):not(:has(.drawing))"
"""Where all pictures are finished."""


@contextlib.contextmanager
def browsing(width: int = 1000, height: int = 800) -> Iterator[Any]:
    """A Playwright page of a Chromium without a window."""
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield chromium.new_page(viewport={"width": width, "height": height})
        chromium.close()


def ask(page: Any, prompt: str, count: int) -> None:
    """Types a prompt and has it drawn."""
    page.wait_for_selector("#about:not(:empty)")
    page.fill("#prompt", prompt)
    page.fill("#n", str(count))
    page.click("#ask button.main")


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("--url", default="http://127.0.0.1:8000/")
    parser.add_argument("--real", action="store_true", help="wait for the real picture, too")
    parser.add_argument("--output", type=Path, default=Path("screenshots"), metavar="DIR")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    with browsing() as page:
        page.goto(args.url)
        ask(page, args.prompt, 4)
        page.wait_for_selector('#drawn figure:last-child img[src^="data:image/png"]')
        part = args.output / "serving_part.png"
        page.locator("#drawn").screenshot(path=part)
        page.wait_for_selector(DONE)
        if args.real:
            page.wait_for_selector("figure.real")
        whole = args.output / "serving_page.png"
        page.screenshot(path=whole, full_page=True)
        page.set_viewport_size({"width": 390, "height": 800})
        phone = args.output / "serving_phone.png"
        page.screenshot(path=phone, full_page=True)
    for target in (part, whole, phone):
        crop(target, 0)
        print(target)


if __name__ == "__main__":
    main()
