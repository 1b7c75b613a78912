"""Text in pictures, with the font that Pillow brings; letters that it lacks come out as boxes."""

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def wrap(text: str, font: Font, width: int, most: int) -> list[str]:
    """The text in at most `most` lines that are not wider than `width` pixels.

    Broken between words where there is a space; what is left out leaves an ellipsis.
    """
    lines = [""]
    for sign in " ".join(text.split()):
        if font.getlength(lines[-1] + sign) <= width:
            lines[-1] += sign
            continue
        if len(lines) == most:
            return [*lines[:-1], lines[-1][:-1].rstrip() + "…"]
        before, space, word = lines[-1].rpartition(" ")
        lines[-1:] = [before, word + sign] if space and sign != " " else [lines[-1], sign.strip()]
    return [line.rstrip() for line in lines]
