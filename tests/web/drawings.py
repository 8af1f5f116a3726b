"""Pictures for the screens in docs/screens: drawn, not taken, each quickly, and large enough to zoom. No test depends on them."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from samples.draw import STOPS, evening, palette

Stops = tuple[tuple[int, int, int], ...]

DUSK: Stops = ((18, 16, 38), (64, 36, 84), (150, 62, 96), (232, 128, 92), (250, 206, 140), (255, 244, 214))
LAND: Stops = ((196, 214, 214), (222, 226, 202), (204, 208, 168), (214, 196, 150), (190, 156, 118), (244, 238, 228))
STAIN: Stops = ((250, 240, 246), (240, 208, 226), (222, 160, 198), (170, 96, 160), (92, 48, 112))
NIGHT: Stops = ((6, 8, 18), (12, 20, 46), (40, 38, 96), (120, 70, 140), (226, 150, 150), (255, 236, 210))


def fractal(size: tuple[int, int], centre: tuple[float, float], span: float, stops: Stops | None = None) -> Image.Image:
    """A part of the Mandelbrot set."""
    width, height = size
    scale = span / width
    left, top = centre[0] - span / 2, centre[1] - scale * height / 2
    image = Image.effect_mandelbrot(size, (left, top, left + span, top + scale * height), 500)
    image.putpalette(list(palette(cycles=2)) if stops is None else colours(stops, cycles=3))
    return image.convert("RGB")


def colours(stops: Stops, cycles: int = 1) -> list[int]:
    """A palette of 256 colours through the stops, a few times to and fro."""
    path = (*stops, *stops[-2:0:-1]) if cycles > 1 else stops
    count = len(path) * cycles if cycles > 1 else len(path) - 1
    found: list[int] = []
    for index in range(256):
        place = index / 255 * count
        one, other = path[int(place) % len(path)], path[min(int(place) + 1, count) % len(path)]
        found += [round(a + (b - a) * (place - int(place))) for a, b in zip(one, other, strict=True)]
    return found


def clouds(size: tuple[int, int], coarse: int, seed: int) -> Image.Image:
    """Smooth noise with detail of several sizes, grey."""
    chance = random.Random(seed)
    width, height = size
    image = Image.new("L", size, 128)
    for octave in range(5):
        cells = (max(2, coarse * 2**octave), max(2, coarse * 2**octave * height // width))
        noise = Image.frombytes("L", cells, chance.randbytes(cells[0] * cells[1])).resize(size, Image.Resampling.BICUBIC)
        image = Image.blend(image, noise, 0.5 if octave == 0 else 0.5 / 1.7**octave)
    return ImageOps.autocontrast(image, cutoff=1)


def sheet(size: tuple[int, int], seed: int = 4) -> Image.Image:
    """A map with contour lines, a grid and a margin."""
    heights = clouds(size, 4, seed).filter(ImageFilter.GaussianBlur(size[0] / 300))
    ground = heights.copy()
    ground.putpalette(colours(LAND))
    steps = heights.point(lambda value: value // 10 * 10)
    lines = ImageChops.difference(steps, ImageChops.offset(steps, 2, 2)).point(lambda value: 110 if value else 0)
    image = ground.convert("RGB")
    image.paste((112, 84, 60), mask=lines)
    draw = ImageDraw.Draw(image)
    for place in range(0, max(size), size[0] // 12):
        draw.line((place, 0, place, size[1]), fill=(120, 128, 132), width=2)
        draw.line((0, place, size[0], place), fill=(120, 128, 132), width=2)
    return ImageOps.expand(ImageOps.expand(image, size[0] // 200, (70, 62, 54)), size[0] // 30, (247, 243, 233))


def night(size: tuple[int, int], seed: int = 11) -> Image.Image:
    """A nebula with stars."""
    gas = ImageChops.multiply(clouds(size, 3, seed), clouds(size, 5, seed + 1))
    gas.putpalette(colours(NIGHT))
    image = gas.convert("RGB")
    chance, draw = random.Random(seed), ImageDraw.Draw(image)
    for _ in range(size[0] * size[1] // 9000):
        x, y, radius = chance.random() * size[0], chance.random() * size[1], chance.paretovariate(2.2)
        if radius < 9:
            tint = chance.randint(205, 255)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(tint, tint, 255 if chance.random() < 0.6 else 215))
    return image


def slide(size: tuple[int, int], seed: int = 7) -> Image.Image:
    """A stained section under a microscope."""
    tissue = clouds(size, 6, seed)
    tissue.putpalette(colours(STAIN[:4]))
    image = tissue.convert("RGB")
    chance, draw = random.Random(seed), ImageDraw.Draw(image)
    for _ in range(size[0] * size[1] // 2600):
        x, y, radius = chance.random() * size[0], chance.random() * size[1], chance.uniform(7, 16)
        squeezed = radius * chance.uniform(0.6, 1)
        draw.ellipse(
            (x - radius, y - squeezed, x + radius, y + squeezed), fill=(96 + chance.randint(0, 40), 52, 128), outline=(70, 30, 96), width=2
        )
    round_field = Image.new("L", size)
    ImageDraw.Draw(round_field).ellipse((size[0] * 0.06, size[1] * 0.08, size[0] * 0.94, size[1] * 0.92), fill=255)
    return Image.composite(image, Image.new("RGB", size, (250, 248, 249)), round_field.filter(ImageFilter.GaussianBlur(size[0] / 120)))


def cloth(size: tuple[int, int]) -> Image.Image:
    """A woven textile."""
    yarns = ((150, 40, 44), (214, 170, 92), (34, 62, 92), (236, 226, 204), (88, 110, 84))
    thread = 24
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for row in range(size[1] // thread + 1):
        for column in range(size[0] // thread + 1):
            is_warp = (row + column) % 4 < 2
            yarn = yarns[int(2.5 + 2.4 * math.sin((column if is_warp else row) / 7.3)) % len(yarns)]
            shade = 0.82 + 0.18 * math.sin((row - column) * 0.9)
            box = (column * thread, row * thread, column * thread + thread - 3, row * thread + thread - 3)
            draw.rounded_rectangle(box, 6, fill=(round(yarn[0] * shade), round(yarn[1] * shade), round(yarn[2] * shade)))
    return image


def hills(size: tuple[int, int], stops: Stops = DUSK) -> Image.Image:
    """The evening of the samples, in other light."""
    grey = evening(*size).convert("L")
    grey.putpalette(colours(stops))
    return grey.convert("RGB")


PICTURES: dict[str, tuple[str, Callable[[], Image.Image]]] = {
    "fractals/seahorse-valley.jpg": ("Seahorse valley", lambda: fractal((4800, 3300), (-0.74326, 0.13131), 0.0026)),
    "harbour/dusk.jpg": ("Harbour at dusk", lambda: evening(2400, 3600)),
    "survey/sheet-1204.jpg": ("", lambda: sheet((4800, 3600))),
    "sky/nebula-in-the-north.jpg": ("Nebula in the north", lambda: night((5200, 3000))),
    "fractals/elephants.jpg": ("Elephant valley", lambda: fractal((2000, 2600), (0.2925, 0.0150), 0.006, DUSK)),
    "harbour/panorama-from-the-tower.jpg": ("Panorama from the tower", lambda: hills((7200, 2600))),
    "slides/section-014-he-stain.jpg": ("", lambda: slide((4000, 3200))),
    "textiles/band-with-four-colours.jpg": ("Band with four colours", lambda: cloth((2400, 3000))),
    "survey/sheet-1205.jpg": ("", lambda: sheet((3600, 3600), 21)),
    "fractals/spiral-arms.jpg": ("Spiral arms", lambda: fractal((2800, 2000), (-0.761574, -0.0847596), 0.0009, NIGHT)),
    "sky/dark-cloud.jpg": ("Dark cloud", lambda: night((3000, 3600), 40)),
    "fractals/lightning.jpg": ("Lightning", lambda: fractal((2400, 1350), (-1.7432, 0.0), 0.022, STOPS)),
}
