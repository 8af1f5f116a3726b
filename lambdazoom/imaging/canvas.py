"""The pixels of one level: rows arrive from the top, and their halves go to the level below."""

from PIL import Image

from lambdazoom.model.geometry import Level


class Canvas:
    """One level's pixels, mode RGB, and how many of its rows are there.

    The seam for a decoder that streams: it adds rows to the largest canvas as they come, and the rest follows.
    """

    def __init__(self, level: Level, pixels: Image.Image | None = None) -> None:
        self.level = level
        self.pixels = pixels or Image.new("RGB", (level.width, level.height))
        self.rows = 0
        self.tile_rows = 0

    def add_rows(self, rows: int) -> range:
        """Say that rows up to `rows` are there by now; the tile rows that became complete."""
        self.rows = rows
        before = self.tile_rows
        self.tile_rows = self._complete_tile_rows()
        return range(before, self.tile_rows)

    def halve_into(self, smaller: "Canvas") -> int:
        """Halve the rows that arrived since into the next smaller level (box filter); the rows that it has now.

        An odd last column or row is the mean of what there is of it.
        """
        ready = smaller.level.height if self.rows == self.level.height else self.rows // 2
        if ready > smaller.rows:
            box = (0, 2 * smaller.rows, self.level.width, min(2 * ready, self.level.height))
            smaller.pixels.paste(self.pixels.reduce(2, box), (0, smaller.rows))
        return ready

    def _complete_tile_rows(self) -> int:
        if self.rows == self.level.height:
            return self.level.rows
        return max(0, (self.rows - self.level.overlap) // self.level.tile_size)
