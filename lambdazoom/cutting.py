"""The `tile` command: one image cut into a folder, without stores; of the settings, those that say what is refused."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from lambdazoom.model.geometry import CONTENT_TYPES, MAX_PIXELS, SUBSAMPLINGS, Recipe

_DEFAULTS = Recipe()


@click.command(short_help="Cut one image into a folder, as dzsave does.")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("outdir", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tile-size", type=click.IntRange(1, 8192), default=_DEFAULTS.tile_size, show_default=True, help="Side of a tile in pixels.")
@click.option("--overlap", type=click.IntRange(0, 64), default=_DEFAULTS.overlap, show_default=True, help="Pixels shared with neighbours.")
@click.option("--format", type=click.Choice(tuple(CONTENT_TYPES)), default=_DEFAULTS.format, show_default=True)
@click.option("--quality", type=click.IntRange(1, 100), default=_DEFAULTS.quality, show_default=True, help="Of JPEG and WebP tiles.")
@click.option("--subsampling", type=click.Choice(SUBSAMPLINGS), default=_DEFAULTS.subsampling, show_default=True, help="Of JPEG tiles.")
@click.option("--background", default=_DEFAULTS.background, show_default=True, help="Shows through transparent parts: #rrggbb.")
@click.option("--page", type=click.IntRange(1), help="Of a TIFF of several pages; else the largest.")
@click.option(
    "--truncated",
    type=click.Choice(("refuse", "accept")),
    default="refuse",
    show_default=True,
    envvar="LAMBDAZOOM_TRUNCATED",
    help="A file that ends too early.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    show_default=True,
    envvar="LAMBDAZOOM_MAX_PIXELS",
    help="Refuse what has more.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(0),
    default=0,
    envvar="LAMBDAZOOM_MEMORY_LIMIT",
    help="Refuse what needs more, in megabytes; 0 is no limit.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def tile(
    source: Path, outdir: Path, page: int | None, truncated: str, max_pixels: int, memory_limit: int, as_json: bool, **cut: Any
) -> None:
    """Cut one image: SOURCE cat.jpg becomes OUTDIR/cat.dzi and OUTDIR/cat_files/, as dzsave writes them."""
    from lambdazoom.imaging.formats import Wishes
    from lambdazoom.publishing.export import export

    recipe = Recipe(**cut)
    if recipe.overlap >= recipe.tile_size:
        raise click.BadParameter("must be smaller than the tile size", param_hint="--overlap")
    if not re.fullmatch(r"#[0-9a-f]{6}", recipe.background):
        raise click.BadParameter("must be #rrggbb", param_hint="--background")
    wishes = Wishes(None if page is None else page - 1, accepts_truncated=truncated == "accept")
    with _progress_bar(source.name) as progress:
        exiftool = Path(os.environ["LAMBDAZOOM_EXIFTOOL"]) if os.environ.get("LAMBDAZOOM_EXIFTOOL") else None
        report = export(source, outdir, recipe, max_pixels, progress, memory_limit * 10**6, wishes, exiftool)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report)))
        return
    size = f"{report.width:,} × {report.height:,} pixels, {report.levels} levels"
    click.echo(f"{outdir / source.stem}.dzi: {size}, {report.tiles:,} tiles, {report.bytes:,} bytes, {report.seconds:.2f} s")
    for remark in report.remarks:
        click.echo(remark)


def _progress_bar(name: str) -> AbstractContextManager[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        return nullcontext(lambda *_: None)  # loading what draws it would take as long as a small image
    from lambdazoom.terminal import single_bar

    return single_bar(name)
