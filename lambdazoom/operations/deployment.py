"""What `zappa deploy` and `zappa update` run around packaging: first build what is missing, then look whether the zip is right.

zappa_hooks.py calls this as a program, `prepare` before packaging and `finish` after. Either ends the deployment with one sentence
when something would only fail later, on Lambda.
"""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import click

from lambdazoom.model.errors import ExifToolMissing
from lambdazoom.operations import bundle, bytecode
from lambdazoom.operations.stage import SETTINGS_FILE, placeholders_in

PROJECT = Path(__file__).resolve().parents[2]
LAMBDA_BUNDLE = PROJECT / "build" / "lambda"
MAX_ZIP_BYTES, MAX_UNPACKED_BYTES = 45 * 10**6, 150 * 10**6  # Lambda itself takes 50 and 250

NEEDED = ("app.py", "handler.py", "zappa_settings.py", "static/vendor/openseadragon/openseadragon.min.js", "build/lambda/exiftool")
FORBIDDEN = ("data", "tests", "benchmarks", "samples", "docs", "node_modules", ".git", ".venv", ".venv-dev")  # at the top of the zip
PROVIDED = ("boto3", "botocore", "s3transfer")  # by Lambda's runtime
UNUSED = ("pip", "setuptools", "wheel", "troposphere", "cfn-flip", "placebo", "argcomplete")  # only `zappa` on a desk needs them

MACS_OWN = ("_watchdog_fsevents",)  # extension modules that have no counterpart on Linux

_ELF = b"\x7fELF"


class Target(NamedTuple):
    """What the function runs on: the ELF machine, the wheel's platform tag of perl, and the tag of extension modules."""

    machine: int
    perl_tag: str
    extension: str


TARGETS = {
    "x86_64": Target(0x3E, "manylinux_2_17_x86_64", "x86_64-linux-gnu"),
    "arm64": Target(0xB7, "manylinux_2_17_aarch64", "aarch64-linux-gnu"),
}


@click.group()
def main() -> None:
    """What Zappa runs around packaging."""


@main.command()
def prepare() -> None:
    """Build the assets and Lambda's exiftool, unless they are there; refuse to go on with placeholder names."""
    refuse_placeholders(PROJECT)
    refuse_another_python(_runtime(), ".".join(map(str, sys.version_info[:2])))
    click.echo("Preparing the viewer and exiftool ...")
    done = subprocess.run(["make", "--silent", "assets"], cwd=PROJECT, capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode:
        raise click.ClickException(f"The viewer could not be prepared: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    try:
        bundle.build(LAMBDA_BUNDLE, tag=TARGETS[_architecture()].perl_tag)
    except ExifToolMissing as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def finish(path: Path) -> None:
    """Make the zip at PATH ready (no binaries of this system, bytecode); refuse it if it would not work, or holds what it must not."""
    leave_out_foreign(path)
    python = f"cpython-{_runtime().replace('.', '')}"
    if bytecode.is_of(python):
        bytecode.add_bytecode(path)
    installed = list(distributions())
    found = itertools.chain(development_packages(installed), problems(path, TARGETS[_architecture()], python, installed))
    problem = next(found, None)
    if problem:
        raise click.ClickException(f"The package is not right: {problem}")


def leave_out_foreign(path: Path) -> None:
    """Take out of the package what no Linux can load.

    Where this is macOS, Zappa unpacks the Linux wheels over what pip installed, and both are in the package.
    """
    with ZipFile(path) as archive:
        kept = [entry for entry in archive.infolist() if not _is_foreign(PurePosixPath(entry.filename))]
        if len(kept) == len(archive.infolist()):
            return
        with ZipFile(path.with_suffix(".new"), "w", ZIP_DEFLATED) as copy:
            for entry in kept:
                copy.writestr(entry, archive.read(entry))
    path.with_suffix(".new").replace(path)


def development_packages(installed: Iterable[Distribution]) -> Iterator[str]:
    """A sentence if the environment that is packaged is one for development."""
    ours, formats, all_of_them = (_pinned(f"requirements{which}.txt") for which in ("", "-formats", "-dev"))
    found = sorted(name for each in installed if (name := each.name.lower().replace("_", "-")) in all_of_them - ours - formats)
    if found:
        yield f"{', '.join(found)} are for development. Deploy from a virtual environment with the packages of requirements.txt alone."


def _pinned(file: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (PROJECT / file).read_text("utf-8"), re.MULTILINE))


def problems(path: Path, target: Target, python: str, installed: Iterable[Distribution]) -> Iterator[str]:
    """What is wrong with a package, each as a sentence.

    `python` is the tag of extension modules ("cpython-313"), `installed` what the environment holds that was packaged.
    """
    with ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        packages = list(installed)
        yield from _misplaced(set(sizes))
        yield from _lost_files(set(sizes), packages)
        yield from _missing_builds(set(sizes), packages)
        yield from _foreign_binaries(archive, target, python)
    yield from _too_large(path.stat().st_size, sum(sizes.values()))


def _misplaced(names: set[str]) -> Iterator[str]:
    for name in NEEDED:
        if name not in names:
            yield f"{name} is missing. Run `zappa update` from the project's folder."
    for folder in FORBIDDEN:
        if any(name.startswith(f"{folder}/") for name in names):
            yield f"the folder {folder}/ is in it. Add it to `exclude` in zappa_settings.json."


def _lost_files(names: set[str], installed: Iterable[Distribution]) -> Iterator[str]:
    """Zappa's `exclude` strips files and folders of that name at any depth, also out of packages."""
    for distribution, file in _packaged(installed):
        if _is_code(file) and not _is_foreign(file) and str(file) not in names and f"{file}c" not in names:
            yield f"{distribution} has lost {file}. Look at `exclude` in zappa_settings.json."


def _missing_builds(names: set[str], installed: Iterable[Distribution]) -> Iterator[str]:
    """Where Zappa finds no Linux wheel, it warns and goes on with what is installed here."""
    built = {_module(PurePosixPath(name)) for name in names if name.endswith(".so")}
    for distribution, file in _packaged(installed):
        if _is_foreign(file) and file.suffix in (".so", ".pyd") and _module(file) not in (*built, *MACS_OWN):
            yield f"{distribution} has no Linux build of {_module(file)} in it. Deploy with the network to fetch it, or from Linux."


def _packaged(installed: Iterable[Distribution]) -> Iterator[tuple[str, PurePosixPath]]:
    """Each file that Zappa takes from the environment, with its package's name."""
    for distribution in installed:
        if distribution.name.lower() not in (*PROVIDED, *UNUSED):
            yield from ((distribution.name, file) for file in distribution.files or ())


def _is_code(file: PurePosixPath) -> bool:
    tests = {"tests", "test", "__pycache__", ".."} & set(file.parts)
    return not tests and file.suffix in (".py", ".so", ".json", ".pem", ".html")


def _is_foreign(file: PurePosixPath) -> bool:
    """Whether the name is that of a binary for macOS or Windows."""
    return file.suffix in (".dylib", ".pyd", ".dll") or file.name.endswith("-darwin.so")


def _module(file: PurePosixPath) -> str:
    """An extension module without what its file's name says of the system that it is for."""
    return str(file.parent / file.name.partition(".")[0])


def _foreign_binaries(archive: ZipFile, target: Target, python: str) -> Iterator[str]:
    for entry in archive.infolist():
        name = PurePosixPath(entry.filename)
        if _is_foreign(name):
            yield f"{name} is not for Linux. Deploy from a new virtual environment, with the network to fetch Linux packages."
        elif name.suffix == ".so" or ".so." in name.name:
            with archive.open(entry) as opened:
                head = opened.read(20)
            if head[:4] != _ELF or int.from_bytes(head[18:20], "little") != target.machine:
                yield f"{name} is not for Linux on the function's architecture. Deploy from a new virtual environment."
            elif ".cpython-" in name.name and f".{python}-{target.extension}" not in name.name:
                yield f"{name} is for another Python than the function's {python}. Deploy from a virtual environment of that one."


def _too_large(zipped: int, unpacked: int) -> Iterator[str]:
    for size, limit, what in ((zipped, MAX_ZIP_BYTES, "zip"), (unpacked, MAX_UNPACKED_BYTES, "unpacked package")):
        if size > limit:
            yield f"the {what} has {size:,} bytes; {limit:,} are meant to be enough. Look at what is new in it."


def refuse_placeholders(folder: Path) -> None:
    """ClickException if the settings or a policy in the folder still have a name of the example, or a policy is not there."""
    settings = folder / SETTINGS_FILE
    policies = {stage.get("attach_policy") for stage in json.loads(settings.read_text("utf-8")).values()} - {None}
    for path in (settings, *(folder / name for name in sorted(policies))):
        if not path.is_file():
            raise click.ClickException(f"There is no {path.name}, which attach_policy names. Run `python -m lambdazoom init`.")
        if placeholders_in(json.loads(path.read_text("utf-8"))):
            raise click.ClickException(
                f"{path.name} still names the buckets of the example. Run `python -m lambdazoom init`, or write your own names into it."
            )


def _architecture() -> str:
    """The one that all stages ask for; x86_64 if none says anything."""
    found = {stage.get("architecture", "x86_64") for stage in _stages().values()}
    if len(found) != 1 or not found <= set(TARGETS):
        raise click.ClickException("The stages in zappa_settings.json must agree on one architecture, x86_64 or arm64.")
    return str(found.pop())


def refuse_another_python(wanted: str, here: str) -> None:
    """ClickException if this Python, `here` ("3.13"), is not the function's: what is packaged for it would not be for that one."""
    if here != wanted:
        raise click.ClickException(
            f"The function runs Python {wanted}, and this is {here}. `make venv PYTHON=python{wanted}` makes an environment to deploy from."
        )


def _runtime() -> str:
    """The version of Python that the function runs: "3.13"."""
    runtimes = {stage["runtime"] for stage in _stages().values()}
    return str(runtimes.pop().removeprefix("python"))


def _stages() -> dict[str, Any]:
    stages: dict[str, Any] = json.loads((PROJECT / SETTINGS_FILE).read_text("utf-8"))
    return stages


if __name__ == "__main__":
    main()
