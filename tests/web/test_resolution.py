"""How large a pixel is: files that say so, written by Pillow and read by exiftool."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from lambdazoom.publishing.workspace import Workspace
from lambdazoom.web.resolution import metres_per_pixel

INCH = 0.0254


def resolution(path: Path, workspace: Workspace) -> float | None:
    return metres_per_pixel(workspace.exiftool.read(path).tags)


def saved(path: Path, **options: object) -> Path:
    Image.new("RGB", (100, 80)).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("name", ["scan.tif", "scan.png", "scan.jpg"])
def test_a_scan_knows_its_pixels_for_each_inch(name: str, tmp_path: Path, workspace: Workspace) -> None:
    assert resolution(saved(tmp_path / name, dpi=(600, 600)), workspace) == pytest.approx(INCH / 600, rel=1e-4)


@pytest.mark.parametrize("dpi", [(72, 72), (96, 96), (1, 1), (600, 300)])
def test_what_editors_write_out_of_habit_tells_nothing(dpi: tuple[int, int], tmp_path: Path, workspace: Workspace) -> None:
    assert resolution(saved(tmp_path / "edited.jpg", dpi=dpi), workspace) is None


def test_a_file_without_a_resolution_knows_nothing(tmp_path: Path, workspace: Workspace) -> None:
    assert resolution(saved(tmp_path / "plain.jpg"), workspace) is None


def test_a_cameras_resolution_is_of_a_print_that_nobody_ordered(tmp_path: Path, workspace: Workspace) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = 0.01  # ExposureTime
    assert resolution(saved(tmp_path / "photo.jpg", dpi=(300, 300), exif=exif), workspace) is None


def test_a_microscope_counts_in_centimetres(tmp_path: Path, workspace: Workspace) -> None:
    tags = ImageFileDirectory_v2()
    tags[282], tags[283], tags[296] = 20_000.0, 20_000.0, 3
    assert resolution(saved(tmp_path / "slide.tif", tiffinfo=tags), workspace) == pytest.approx(0.5e-6)


@pytest.mark.parametrize(("model", "metres"), [(1, 0.2), (2, None)], ids=["projected", "degrees"])
def test_a_map_knows_the_ground_below_a_pixel(model: int, metres: float | None, tmp_path: Path, workspace: Workspace) -> None:
    tags = ImageFileDirectory_v2()
    tags.tagtype.update({33550: 12, 33922: 12, 34735: 3})
    tags[33550] = (0.2, 0.2, 0.0)  # ModelPixelScale
    tags[33922] = (0.0, 0.0, 0.0, 440_720.0, 3_751_320.0, 0.0)  # ModelTiepoint
    tags[34735] = (1, 1, 0, 2, 1024, 0, 1, model, 1025, 0, 1, 1)  # GeoKeyDirectory: GTModelType, GTRasterType
    assert resolution(saved(tmp_path / "map.tif", tiffinfo=tags), workspace) == metres
