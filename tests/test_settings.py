"""Settings: read once, checked at once, documented in one place."""

from pathlib import Path

import click
import pytest

from lambdazoom.cli import commands
from lambdazoom.model.errors import SettingsError
from lambdazoom.model.geometry import Recipe
from lambdazoom.model.places import Folder
from lambdazoom.model.settings import SETTINGS, Settings
from lambdazoom.publishing.workspace import open_workspace
from tests.conftest import environment_for


def test_without_any_setting_three_folders_lie_under_data() -> None:
    settings = Settings.from_env({"PATH": "/usr/bin"})
    assert (settings.source, settings.zoom, settings.metadata) == (Folder("data/source"), Folder("data/zoom"), Folder("data/metadata"))
    assert settings.recipe == Recipe(254, 1, "jpg", 80)


def test_values_come_from_the_environment_and_say_so() -> None:
    settings = Settings.from_env({"LAMBDAZOOM_TILE_SIZE": "510", "LAMBDAZOOM_TILES_URL": "https://tiles.example/"})
    assert settings.tile_size == 510
    assert settings.tiles_url == "https://tiles.example"
    assert settings.origins["LAMBDAZOOM_TILE_SIZE"] == "environment"
    assert settings.origins["LAMBDAZOOM_OVERLAP"] == "default"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LAMBDAZOOM_TILESIZE", "254", "There is no setting LAMBDAZOOM_TILESIZE. Do you mean LAMBDAZOOM_TILE_SIZE?"),
        ("S3_ZOOM_BUCKET", "tiles", "S3_ZOOM_BUCKET is a name of the original program; here it is called LAMBDAZOOM_ZOOM."),
        ("LAMBDAZOOM_QUALITY", "101", "LAMBDAZOOM_QUALITY is '101'; it must be a whole number from 1 to 100."),
        ("LAMBDAZOOM_QUALITY", "good", "LAMBDAZOOM_QUALITY is 'good'; it must be a whole number from 1 to 100."),
        ("LAMBDAZOOM_FORMAT", "gif", "LAMBDAZOOM_FORMAT is 'gif'; it must be jpg or png or webp."),
        ("LAMBDAZOOM_ZOOM", "", "LAMBDAZOOM_ZOOM is ''; it must be the path of a folder, or s3://bucket/prefix."),
        ("LAMBDAZOOM_TILES_URL", "tiles.example", "it must be an address that starts with https:// or http://."),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_way_out(name: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["LAMBDAZOOM_ZOOM", "LAMBDAZOOM_METADATA", "LAMBDAZOOM_SOURCE"])
@pytest.mark.parametrize("place", ["source", "source/deep/inside", "source/../source/x"])
def test_folders_inside_each_other_are_refused(tmp_path: Path, name: str, place: str) -> None:
    environment = {**environment_for(tmp_path), name: str(tmp_path / place)}
    if name == "LAMBDAZOOM_SOURCE":
        environment["LAMBDAZOOM_ZOOM"] = str(tmp_path / "source")
    with pytest.raises(SettingsError, match="lies inside"):
        open_workspace(Settings.from_env(environment))


def test_a_link_into_the_source_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "source")
    with pytest.raises(SettingsError, match="lies inside"):
        open_workspace(Settings.from_env({**environment_for(tmp_path), "LAMBDAZOOM_ZOOM": str(tmp_path / "link" / "zoom")}))


def test_each_setting_is_a_field_and_has_a_default_that_parses() -> None:
    settings = Settings.from_env({})
    for setting in SETTINGS:
        assert hasattr(settings, setting.field)
        assert setting.help.endswith(".")


def test_every_command_has_help() -> None:
    context = click.Context(commands)
    found = [commands.get_command(context, name) for name in commands.list_commands(context)]
    assert all(command and command.help for command in found)
