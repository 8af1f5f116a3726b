"""The command line: what it prints, what it writes, and how it ends."""

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import click
import pytest

from lambdazoom import __version__
from lambdazoom.cli import COMMANDS, commands
from tests.commands import lambdazoom
from tests.conftest import Draw, free_port, picture


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    picture(700, 500).save(path)
    return path


def test_tile_writes_the_standard_layout_and_nothing_else(cat: Path, tmp_path: Path) -> None:
    done = lambdazoom("tile", cat, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cat.dzi", "cat_files"}
    assert (tmp_path / "out" / "cat_files" / "10" / "2_1.jpg").is_file()
    assert "700 × 500 pixels, 11 levels" in done.stdout


def test_tile_reports_as_json(cat: Path, tmp_path: Path) -> None:
    done = lambdazoom("tile", cat, tmp_path / "out", "--json", "--format", "png", "--tile-size", 256, "--overlap", 0)
    report = json.loads(done.stdout)
    tiles = list((tmp_path / "out" / "cat_files").rglob("*.png"))
    assert (report["width"], report["height"], report["levels"], report["tiles"]) == (700, 500, 11, len(tiles))
    assert report["bytes"] == sum(tile.stat().st_size for tile in tiles)
    assert report["seconds"] > 0
    assert 10 * 2**20 < report["peak_memory"] < 2**30


def test_tile_needs_no_settings_and_heeds_none_of_how_tiles_are_made(cat: Path, tmp_path: Path) -> None:
    done = lambdazoom("tile", cat, tmp_path / "out", environment={"LAMBDAZOOM_NONSENSE": "1", "LAMBDAZOOM_FORMAT": "png"})
    assert done.returncode == 0
    assert (tmp_path / "out" / "cat_files" / "0" / "0_0.jpg").is_file()


@pytest.mark.parametrize(
    ("setting", "strict", "generous"), [("MAX_PIXELS", "349999", "350000"), ("MEMORY_LIMIT", "1", "0"), ("TRUNCATED", "refuse", "accept")]
)
def test_tile_heeds_the_settings_that_its_refusals_name(cat: Path, tmp_path: Path, setting: str, strict: str, generous: str) -> None:
    if setting == "TRUNCATED":
        cat.write_bytes(cat.read_bytes()[:-9000])
    done = lambdazoom("tile", cat, tmp_path / "out", environment={f"LAMBDAZOOM_{setting}": strict})
    assert (done.returncode, f"LAMBDAZOOM_{setting}" in done.stderr) == (1, True), done.stderr
    assert lambdazoom("tile", cat, tmp_path / "out", environment={f"LAMBDAZOOM_{setting}": generous}).returncode == 0


def test_tile_never_writes_over_anything(cat: Path, tmp_path: Path) -> None:
    lambdazoom("tile", cat, tmp_path)
    before = (tmp_path / "cat.dzi").stat()
    done = lambdazoom("tile", cat, tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"lambdazoom: {tmp_path / 'cat.dzi'} exists already. Remove it, or choose another folder.\n"
    assert (tmp_path / "cat.dzi").stat() == before


def test_a_failed_tile_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("words")
    done = lambdazoom("tile", tmp_path / "notes.jpg", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("lambdazoom: notes.jpg is not an image")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_takes_no_more_is_one_line(cat: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    done = lambdazoom("tile", cat, tmp_path / "out" / "deep")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert os.strerror(errno.ENOTDIR) in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["tile"], ["tile", "no-such-file.jpg", "out"], ["nonsense"], ["process"], ["serve", "--port", "99999"], ["tile", "--bogus"]],
)
def test_misuse_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    done = lambdazoom(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("lambdazoom: ")
    assert done.stderr.count("\n") == 1


def test_an_overlap_as_large_as_the_tile_is_misuse(cat: Path, tmp_path: Path) -> None:
    assert lambdazoom("tile", cat, tmp_path / "out", "--tile-size", 16, "--overlap", 16).returncode == 2


def test_every_command_and_option_has_help() -> None:
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command
        shown = lambdazoom(name, "--help")
        assert shown.returncode == 0
        assert command.help is not None
        assert command.help.split(":")[0].split(",")[0][:30] in shown.stdout.replace("\n", " ").replace("  ", " ")
    assert lambdazoom("--version").stdout == f"LambdaZoom {__version__}\n"


def test_metadata_prints_every_tag_as_json(cat: Path) -> None:
    done = lambdazoom("metadata", cat)
    tags = json.loads(done.stdout)
    assert tags["File:ImageWidth"]["text"] == "700"
    assert str(cat.parent) not in done.stdout
    assert lambdazoom("metadata", cat.parent / "missing.jpg").returncode == 2


def test_process_settles_the_keys_it_is_given(environment: dict[str, str], draw: Draw, source: Path) -> None:
    draw("trip/cat.jpg")
    (source / "notes.jpg").write_text("words")
    done = lambdazoom("process", "trip/cat.jpg", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("trip/cat.jpg: 300 × 200 pixels, ")
    done = lambdazoom("process", "notes.jpg", "trip/cat.jpg", "never.jpg", environment=environment)
    assert done.returncode == 1
    assert "notes.jpg is not an image" in done.stderr
    assert "There is no image never.jpg" in done.stderr
    assert done.stdout.startswith("trip/cat.jpg: ")


def test_settings_are_printed_with_value_default_and_origin(environment: dict[str, str]) -> None:
    done = lambdazoom("settings", environment={**environment, "LAMBDAZOOM_QUALITY": "90"})
    assert "LAMBDAZOOM_QUALITY = 90\n    environment; default: 80\n    The quality of JPEG and WebP tiles" in done.stdout


def test_a_wrong_setting_is_one_line(environment: dict[str, str]) -> None:
    for command in (["serve"], ["process", "x"], ["settings"]):
        done = lambdazoom(*command, environment={**environment, "LAMBDAZOOM_QUALTY": "90"})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "lambdazoom: There is no setting LAMBDAZOOM_QUALTY. Do you mean LAMBDAZOOM_QUALITY?\n"


def test_a_taken_port_is_a_sentence_with_a_way_out(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = lambdazoom("serve", "--port", port, environment=environment)
        assert (done.returncode, done.stderr) == (
            1,
            f"lambdazoom: Port {port} is in use. `python -m lambdazoom serve --port {port + 1}`.\n",
        )
        done = lambdazoom("serve", "--port", port, "--other-port-hint", "make demo PORT={port}", environment=environment)
        assert done.stderr == f"lambdazoom: Port {port} is in use. `make demo PORT={port + 1}`.\n"


def test_an_address_that_is_not_this_machine_s_is_a_sentence_with_a_way_out(environment: dict[str, str]) -> None:
    done = lambdazoom("serve", "--host", "192.0.2.1", environment=environment)  # RFC 5737: nobody's
    assert done.returncode == 1
    assert done.stderr.startswith("lambdazoom: 192.0.2.1, port 8000: ")
    assert done.stderr.endswith(". Choose others by --host and --port.\n")


def wait_for(url: str, text: str, seconds: float = 20) -> str:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                page: str = answer.read().decode()
        except OSError:
            page = ""
        if text in page or time.monotonic() > deadline:
            return page
        time.sleep(0.1)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serve_shows_what_it_processes_and_ends_cleanly(
    environment: dict[str, str], draw: Draw, source: Path, stop: signal.Signals
) -> None:
    draw("harbour.jpg", 600, 400)
    port = free_port()
    command = [sys.executable, "-m", "lambdazoom", "serve", "--port", str(port)]
    server = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert "harbour.jpg" in wait_for(f"http://127.0.0.1:{port}/", "600 × 400")
        draw("later.jpg", 320, 200)
        assert "320 × 200" in wait_for(f"http://127.0.0.1:{port}/", "320 × 200")
        assert re.search(r"/thumbnail/[^\"]*later\.jpg", wait_for(f"http://127.0.0.1:{port}/", "later.jpg"))
    finally:
        server.send_signal(stop)
        output, errors = server.communicate(timeout=20)
    assert (server.returncode, errors) == (0, "")
    assert "harbour.jpg: 600 × 400 pixels" in output
    assert output.endswith("Stopped. What was not finished goes on with the next start.\n")


def test_a_second_start_does_no_work_twice(environment: dict[str, str], draw: Draw) -> None:
    draw("cat.jpg")
    lambdazoom("process", "cat.jpg", environment=environment)
    pointer = Path(environment["LAMBDAZOOM_ZOOM"]) / "cat.jpg.dzi"
    before = pointer.read_bytes()
    done = lambdazoom("process", "cat.jpg", environment=environment)
    assert done.returncode == 0
    assert pointer.read_bytes() == before


def test_process_leaves_alone_what_failed_for_good_if_it_is_told_to(environment: dict[str, str], draw: Draw, tmp_path: Path) -> None:
    path = draw("cat.jpg")
    path.write_bytes(path.read_bytes()[:500])
    attempts = []
    for options in ((), ("--if-changed",), ()):
        assert lambdazoom("process", *options, "cat.jpg", environment=environment).returncode == 1
        attempts.append(json.loads((tmp_path / "metadata/_lambdazoom/records/cat.jpg.json").read_bytes())["attempts"])
    assert attempts == [1, 1, 2]


def test_process_makes_tiles_of_other_settings_anew_if_it_is_told_to(environment: dict[str, str], draw: Draw, tmp_path: Path) -> None:
    draw("cat.jpg")
    coarser, sizes = {**environment, "LAMBDAZOOM_TILE_SIZE": "128"}, []
    for options, told in (((), environment), ((), coarser), (("--recipe",), coarser)):
        assert lambdazoom("process", *options, "cat.jpg", environment=told).returncode == 0
        sizes += re.findall(r'TileSize="(\d+)"', (tmp_path / "zoom/cat.jpg.dzi").read_text("utf-8"))
    assert sizes == ["254", "254", "128"]


def test_process_makes_all_anew_if_it_is_told_to(environment: dict[str, str], draw: Draw, tmp_path: Path) -> None:
    draw("cat.jpg")
    pointers = []
    for options in ((), (), ("--anew",)):
        assert lambdazoom("process", *options, "cat.jpg", environment=environment).returncode == 0
        pointers.append((tmp_path / "zoom/cat.jpg.dzi").read_text("utf-8"))
    assert pointers[0] == pointers[1] != pointers[2]
    strict = {**environment, "LAMBDAZOOM_MAX_PIXELS": "10"}
    failed = lambdazoom("process", "--anew", "cat.jpg", environment=strict)
    assert failed.returncode == 1
    assert "What was made before stays on show." in failed.stderr
    assert (tmp_path / "zoom/cat.jpg.dzi").read_text("utf-8") == pointers[2]
