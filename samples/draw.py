"""Draws the three samples that `make demo` starts with, once; no part of the product.

A fractal of 63 megapixels with detail at every depth, a JPEG that carries all that cameras write (EXIF, GPS, title, creator,
orientation 6), and a PNG with transparent parts.

    python samples/draw.py data/source
"""

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, STRIP = 9600, 6600, 300
CENTRE, SPAN, ITERATIONS = (-0.74326, 0.13131), 0.0026, 640  # among the spirals of the Mandelbrot set
STOPS = ((11, 19, 43), (28, 63, 96), (31, 122, 122), (140, 190, 168), (246, 236, 206), (226, 150, 72), (140, 45, 52), (38, 20, 44))


def draw_samples(folder: Path) -> None:
    """Draw the samples, once: one that somebody deletes stays deleted, and a run that was interrupted is gone on with."""
    samples = {"fractal.jpg": draw_fractal, "harbour.jpg": draw_harbour, "glass.png": draw_glass}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = folder / ".samples"
    if drawn.exists():
        return
    for name, draw in samples.items():
        if (folder / name).exists():
            continue
        unfinished = folder / f".{name}"
        draw(unfinished)
        unfinished.rename(folder / name)
    drawn.touch()


def draw_fractal(path: Path) -> None:
    """The Mandelbrot set, by Pillow's own effect, strip by strip on all cores."""
    image = Image.new("P", (WIDTH, HEIGHT))
    with ProcessPoolExecutor() as pool:
        for top, strip in pool.map(fractal_strip, range(0, HEIGHT, STRIP)):
            image.paste(Image.frombytes("P", (WIDTH, STRIP), strip), (0, top))
    image.putpalette(list(palette(cycles=2)))
    xmp = described("Seahorse valley", "LambdaZoom", "A part of the Mandelbrot set, 63 megapixels.", "Public domain (CC0)")
    image.convert("RGB").save(path, "JPEG", quality=90, xmp=xmp)


def fractal_strip(top: int) -> tuple[int, bytes]:
    """The rows from `top` on, one byte a pixel."""
    scale = SPAN / WIDTH
    left, upper = CENTRE[0] - SPAN / 2, CENTRE[1] - scale * HEIGHT / 2
    extent = (left, upper + top * scale, left + SPAN, upper + (top + STRIP) * scale)
    return top, Image.effect_mandelbrot((WIDTH, STRIP), extent, ITERATIONS).tobytes()


def palette(cycles: int) -> Iterator[int]:
    """256 colours, red, green and blue one after the other, going through STOPS a few times; the set itself is dark."""
    yield from STOPS[0]
    for index in range(1, 256):
        place = index / 256 * len(STOPS) * cycles
        one, other = STOPS[int(place) % len(STOPS)], STOPS[(int(place) + 1) % len(STOPS)]
        share = place - int(place)
        yield from (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def draw_harbour(path: Path) -> None:
    """A portrait picture, stored lying on its side as cameras do (orientation 6), with what they and archivists write."""
    upright = evening(2400, 3600)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise
    exif[0x010F], exif[0x0110] = "LambdaZoom", "Sample camera"
    exif[0x013B], exif[0x8298] = "Ada Example", "CC BY 4.0 Ada Example"
    exif[0x010E] = "Harbour at dusk"
    exif.get_ifd(0x8769).update({0x9003: "2026:06:21 21:34:56", 0x829A: (1, 60), 0x829D: (28, 10), 0x8827: 400, 0x920A: (35, 1)})
    exif.get_ifd(0x8825).update({1: "N", 2: (54.0, 19.0, 12.5), 3: "E", 4: (10.0, 8.0, 6.0), 5: b"\0", 6: 4.0})
    xmp = described("Harbour at dusk", "Ada Example", "Drawn, not taken: a sample with all that a camera writes.", "CC BY 4.0 Ada Example")
    upright.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", quality=90, exif=exif, xmp=xmp, dpi=(300, 300))


def evening(width: int, height: int) -> Image.Image:
    """Sky, sun, five ranges of hills and water."""
    sky = Image.linear_gradient("L").resize((width, height))
    image = Image.merge(
        "RGB", [sky.point(lambda value, a=a, b=b: a + (b - a) * value / 255) for a, b in ((40, 250), (60, 170), (110, 110))]
    )
    glow = Image.new("L", (width, height))
    ImageDraw.Draw(glow).ellipse((width * 0.55, height * 0.38, width * 0.75, height * 0.38 + width * 0.2), fill=255)
    image.paste((255, 232, 170), mask=glow.filter(ImageFilter.GaussianBlur(width / 200)))
    draw = ImageDraw.Draw(image)
    for ridge in range(5):
        base = height * (0.5 + 0.07 * ridge)
        line = [
            (x, base + height * 0.03 * math.sin(x / width * (7 + 3 * ridge) + ridge * 2) + 14 * math.sin(x / 37 + ridge))
            for x in range(width)
        ]
        draw.polygon([*line, (width, height), (0, height)], fill=(95 - 15 * ridge, 70 - 9 * ridge, 92 - 10 * ridge))
    for wave in range(240):
        y = height * 0.84 + (wave / 240) ** 1.6 * height * 0.16
        x = width * (0.5 + 0.5 * math.sin(wave * 12.9898))
        draw.line((x - 200, y, x + 60 + wave, y), fill=(150, 105, 90), width=2 + wave // 80)
    return image


def draw_glass(path: Path) -> None:
    """Coloured glass: overlapping discs, each half transparent, on nothing at all."""
    image = Image.new("RGBA", (1600, 1200))
    for index in range(9):
        disc = Image.new("RGBA", image.size)
        x, y = 800 + 330 * math.cos(index * math.tau / 9), 600 + 270 * math.sin(index * math.tau / 9)
        ImageDraw.Draw(disc).ellipse((x - 240, y - 240, x + 240, y + 240), fill=(*STOPS[1 + index % 6], 150))
        image.alpha_composite(disc)
    image.save(path, "PNG")


def described(title: str, creator: str, description: str, rights: str) -> bytes:
    """An XMP packet (ISO 16684-1) with Dublin Core."""

    def alternative(text: str) -> str:
        return f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>'

    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{alternative(title)}</dc:title><dc:description>{alternative(description)}</dc:description>"
        f"<dc:rights>{alternative(rights)}</dc:rights><dc:creator><rdf:Seq><rdf:li>{creator}</rdf:li></rdf:Seq></dc:creator>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


if __name__ == "__main__":
    draw_samples(Path(sys.argv[1]))
