"""What making images would take and cost, before any is opened: from their bytes, and from the receipts of the newest images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isqrt

from lambdazoom.model.geometry import Pyramid, Recipe
from lambdazoom.model.prices import Prices, Requests
from lambdazoom.model.records import ImageRecord
from lambdazoom.publishing import catalog
from lambdazoom.publishing.reconciling import suffix_of
from lambdazoom.storage.base import Store

SAMPLED = 60  # of the newest records: one page
FUNCTION_MEMORY = 3008  # megabytes, as zappa_settings.json has it
RANGE_BYTES = 8 * 2**20  # of a source are read at once
# what one image takes on S3 beside its tiles and its own bytes, as receipts show it
REQUESTS = Requests(get=14, head=2, put=13, delete=3)

# pixels in a byte of a file, as cameras and scanners usually write them
PIXELS_PER_BYTE = {
    ".jpg": 3.0,
    ".jpeg": 3.0,
    ".webp": 6.0,
    ".heic": 6.0,
    ".avif": 8.0,
    ".png": 0.6,
    ".tif": 0.4,
    ".tiff": 0.4,
    ".bmp": 0.33,
}
OTHERS = 1.0


@dataclass(frozen=True)
class Experience:
    """What images took so far: pixels in a byte by suffix, tile bytes and seconds for a pixel, and seconds for an image."""

    pixels_per_byte: Mapping[str, float]
    bytes_per_pixel: float = 0.35
    seconds_per_pixel: float = 2.5e-7
    seconds_per_image: float = 0.7


@dataclass(frozen=True)
class Estimate:
    """What some images would take: a guess, within a factor of two or so. Dollars are for S3's requests and Lambda's seconds."""

    images: int
    pixels: int
    tiles: int
    requests: int
    lambda_seconds: float
    dollars: float
    dollars_a_month: float

    def __str__(self) -> str:
        what = f"{counted(self.images)} of about {self.pixels / 10**6:,.0f} megapixels together: {self.tiles:,} tiles"
        money = f"${self.dollars:,.2f} to make them on Lambda, ${self.dollars_a_month:,.2f} a month to keep them on S3"
        return f"{what}, {self.requests:,} requests, {self.lambda_seconds:,.0f} s of Lambda, {money}"


def counted(images: int) -> str:
    """ "1 image", "2,000 images"."""
    return "1 image" if images == 1 else f"{images:,} images"


def experience(metadata: Store) -> Experience:
    """What the newest images tell, and what is usual where they don't."""
    return experience_of(catalog.newest(metadata, limit=SAMPLED).records)


def experience_of(records: Iterable[ImageRecord]) -> Experience:
    """What these records' receipts tell."""
    sums: dict[str, tuple[int, int]] = {}
    pixels = tile_bytes = 0
    for record in records:
        receipt = record.receipt
        if receipt is None or not receipt.tiles or not receipt.source_bytes:
            continue
        suffix = suffix_of(record.key)
        before = sums.get(suffix, (0, 0))
        sums[suffix] = (before[0] + receipt.pixels, before[1] + receipt.source_bytes)
        pixels += receipt.pixels
        tile_bytes += receipt.tile_bytes
    ratios = {suffix: seen[0] / seen[1] for suffix, seen in sums.items()}
    usual = Experience({**PIXELS_PER_BYTE, **ratios})
    return replace(usual, bytes_per_pixel=tile_bytes / pixels) if pixels else usual


def estimate(
    sizes: Iterable[Mapping[str, tuple[int, int]]], known: Experience, recipe: Recipe, prices: Prices, memory: int = FUNCTION_MEMORY
) -> Estimate:
    """What images of these numbers and source bytes by suffix would take, in a function with so many megabytes of memory."""
    images = pixels = tiles = 0
    requests = Requests()
    for suffix, (count, size) in (item for each in sizes for item in each.items()):
        area = max(1, int(size / count * known.pixels_per_byte.get(suffix, OTHERS)))
        side = max(1, isqrt(area))
        images += count
        pixels += count * area
        tiles += count * Pyramid(side, side, recipe).tile_count
        requests += replace(REQUESTS, get=count * REQUESTS.get + size // RANGE_BYTES, head=0, put=count * REQUESTS.put, delete=0)
        requests += Requests(head=count * REQUESTS.head, delete=count * REQUESTS.delete)
    requests += Requests(put=tiles)
    seconds = images * known.seconds_per_image + pixels * known.seconds_per_pixel
    dollars = prices.of_requests(requests) + prices.of_function(seconds, memory, images)
    stored = int(pixels * known.bytes_per_pixel)
    return Estimate(images, pixels, tiles, requests.total, seconds, dollars, prices.of_month(stored))
