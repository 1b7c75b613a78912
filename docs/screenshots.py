"""What a page of HTML looks like on a desktop, on a phone and in the dark: PNG files.

    python -m docs.screenshots runs/quickstart/report.html --output /tmp/screenshots

needs Chromium (`apt-get install chromium`) and writes desktop.png, phone.png and dark.png.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

LOOKS = {
    "desktop": (1200, []),
    "phone": (390, []),
    "dark": (1200, ["--blink-settings=preferredColorScheme=0"]),
}
"""Name -> width of the window in pixels, and what else Chromium is told."""


def main() -> None:
    """Writes a file of each of `LOOKS`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--output", type=Path, default=Path("screenshots"), metavar="DIR")
    parser.add_argument("--height", type=int, default=8000, help="the most that is shown, pixels")
    parser.add_argument("--begin", type=int, default=0, help="what is above is cut off, pixels")
    args = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        parser.error("there is no Chromium here: apt-get install chromium")
    if not args.page.is_file():
        parser.error(f"there is no page {args.page}")
    args.output.mkdir(parents=True, exist_ok=True)
    for name, (width, more) in LOOKS.items():
        target = args.output / f"{name}.png"
        shoot(browser, args.page, target, (width, args.begin + args.height), more)
        crop(target, args.begin)
        print(target)


def shoot(browser: str, page: Path, target: Path, size: tuple[int, int], more: list[str]) -> None:
    """One picture; Chromium's own folder is a new one, and what it says of its desktop is hidden.

    Raises:
      CalledProcessError: it fails.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", *more),
            *(f"--screenshot={target.absolute()}", page.absolute().as_uri()),
        ]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def crop(target: Path, begin: int) -> None:
    """Cuts off what is above, and empty below; and keeps 256 colours: a third of the bytes."""
    with Image.open(target) as opened:
        image = opened.convert("RGB")
    empty = Image.new("RGB", image.size, image.getpixel((0, image.height - 1)))
    box = ImageChops.difference(image, empty).getbbox()
    bottom = min(box[3] + 40, image.height) if box else image.height
    image = image.crop((0, begin, image.width, bottom))
    image.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
