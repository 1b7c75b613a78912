"""Contract: sets of drawings from their packages, with captions and licences, without faults."""

import io
import json

import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data import tasks
from babeldraw.data.sets import clipart, clipart_build
from babeldraw.data.sources import pictures
from babeldraw.errors import UserError

CIRCLE = '<circle cx="8" cy="8" r="6" fill="{}"/>'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{}</svg>'
RDF = """<svg xmlns="http://www.w3.org/2000/svg" width="20mm" height="10mm" viewBox="0 0 20 10">
<metadata><rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work rdf:about="">
<dc:title>{}</dc:title><dc:subject><rdf:Bag><rdf:li>fruit</rdf:li><rdf:li/></rdf:Bag></dc:subject>
<cc:license rdf:resource="http://web.resource.org/cc/{}"/></cc:Work></rdf:RDF></metadata>
<rect width="20" height="10" fill="{}"/></svg>"""


def png(colour):
    file = io.BytesIO()
    Image.new("RGBA", (30, 10), colour).save(file, "PNG")
    return file.getvalue()


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def tuxpaint(folder):
    stamps = "usr/share/tuxpaint/stamps"
    return write(
        folder,
        {
            f"{stamps}/animals/hen.png": png("red"),
            f"{stamps}/animals/hen.txt": "A hen.\nfr.utf8=Une poule.\n",
            f"{stamps}/animals/hen_mirror.png": png("red"),
            f"{stamps}/animals/ghost.svg": SVG.format(CIRCLE.format("white")),
            f"{stamps}/animals/ghost.txt": "A ghost.",
            f"{stamps}/animals/mute.png": png("blue"),
            f"{stamps}/animals/cut.png": png("blue")[:-20],
            f"{stamps}/animals/cut.txt": "Cut off.",
        },
    )


def openclipart(folder):
    root = "usr/share/openclipart/svg"
    return write(
        folder,
        {
            f"{root}/food/apple.svg": RDF.format("An_Apple", "PublicDomain", "red"),
            f"{root}/food/mine.svg": RDF.format("Mine", "GPL", "red"),
            f"{root}/food/various.svg": RDF.format("Various Cliparts", "PublicDomain", "red"),
            f"{root}/food/broken.svg": "<svg",
            f"{root}/shapes/stars/star_5.svg": RDF.format("A star", "PublicDomain", "red"),
        },
    )


def icons(folder):
    def about(spdx, **more):
        return {"name": "Nice", "license": {"spdx": spdx}, "palette": True, **more}

    collections = {
        "nice": about("MIT"),
        "closed": about("CC-BY-NC-4.0"),
        "brands": about("MIT", category="Logos"),
        "grey": about("MIT", palette=False),
    }
    body = {"body": CIRCLE.format("green")}
    nice = {
        "prefix": "nice",
        "width": 16,
        "icons": {"red-apple": body, "old": {**body, "hidden": 1}},
    }
    files = {f"json/{name}.json": json.dumps(nice) for name in collections}
    files |= {"collections.json": json.dumps(collections), "package.json": "{}"}
    return write(folder, {f"@iconify/json/{name}": text for name, text in files.items()})


@pytest.mark.parametrize(
    ("package", "captions", "licences", "left_out"),
    [
        (
            tuxpaint,
            {"A hen."},
            {"GPL-2.0": 1},
            {"damaged": 1, "no caption": 2, "white on white": 1},
        ),
        (
            openclipart,
            {"An Apple", "An Apple, fruit"},
            {"public domain": 1},
            {"damaged": 1, "no caption": 1, "no drawing": 1, "no public-domain statement": 1},
        ),
        (
            icons,
            {"red apple", "red apple, Nice style"},
            {"MIT": 1},
            {"no free licence": 1, "trademarks": 1},
        ),
    ],
)
def test_a_set_and_its_manifest(package, captions, licences, left_out, tmp_path, capsys):
    folder, output = package(tmp_path / "package"), tmp_path / "built"
    given = ["--package_dir", str(folder), "--output", str(output), "--size=32"]
    assert main(["data", "build", package.__name__, *given]) == 0
    assert f"task array_record:{output}" in capsys.readouterr().out
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["licences"] == licences and manifest["left_out"] == left_out
    assert manifest["drawings"] == 1 and manifest["size"] == 32 and manifest["version"]
    (found,) = tasks.find_task(f"array_record:{output}", "train").source.pictures("train")
    assert {*found.captions} == captions
    assert found.read().shape == (32, 32, 3)


def test_a_drawing_is_whole_in_the_middle_of_white():
    image = clipart_build.render(png((0, 0, 255, 255)), 60)
    blue = (image == [0, 0, 255]).all(-1)
    assert blue[20:40].all() and (image[:20] == 255).all() and (image[40:] == 255).all()
    half = clipart_build.render(RDF.format("x", "y", "#00ff00").encode(), 60)
    green = (half == [0, 255, 0]).all(-1)
    assert (green.sum(0)[1:-1] >= 29).all() and green.sum() < 60 * 31


def test_drawings_of_one_concept_are_in_one_split():
    place = pictures.Place("x")
    some = [
        pictures.Picture(f"thing {i}//{style}", ("a",), place)
        for i in range(3000)
        for style in ("flat", "round", "noto")
    ]
    splits = pictures.split_pictures(some)
    concepts = [{p.name.partition("//")[0] for p in splits[s]} for s in ("train", "validation")]
    assert not concepts[0] & concepts[1] and 40 < len(concepts[1]) < 80


def test_what_cannot_be_built(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"has no usr/share/tuxpaint/stamps"):
        clipart_build.build("tuxpaint", tmp_path, tmp_path / "out", 32)
    with pytest.raises(UserError, match="must lie between 8 and 1024"):
        clipart_build.build("icons", tmp_path, tmp_path / "out", 4)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no apt-get here: unpack that package"):
        clipart_build.fetch(clipart.COLLECTIONS["tuxpaint"], tmp_path)
