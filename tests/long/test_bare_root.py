"""The package's exiftool in a root with Debian 11's C library (glibc 2.31), a shell, `env` and nothing else.

Debian's mirror is the one that apt uses on this machine. When it has laid Debian 11 aside, this machine's own C library stands in;
that the bundle asks for nothing newer than 2.31 is looked at by itself.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import PngImagePlugin

from tests.conftest import picture
from tests.files import wide_gamut_profile

pytestmark = pytest.mark.long

LIBRARY = "main/g/glibc/libc6_2.31-13+deb11u11_amd64.deb"
PACKAGES = {
    LIBRARY: "05f7264da867b37f4c5ce49266b558ea1e81e05a9464f623152fca70f3550282",
    "main/d/dash/dash_0.5.11+git20200708+dd9ef66-5_amd64.deb": "0a4cc532fbf2c78cb4090a659fb73560981e626849532e6186f3a3ac6a45b3bc",
    "main/c/coreutils/coreutils_8.32-4+b1_amd64.deb": "3558a412ab51eee4b60641327cb145bb91415f127769823b68f9335585b308d4",
}
PROGRAMS = ("bin/dash", "usr/bin/env")  # what the wrapper itself needs
PARTS = "ld-linux-x86-64 libc libm libdl librt libutil libpthread".split()  # of the C library
PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
OWN = {"SourceFile", "System:Directory", "System:FileAccessDate", "System:FileInodeChangeDate"}


@pytest.fixture(scope="module")
def bundle(unpacked: Path) -> Path:
    """The exiftool of the package."""
    return unpacked / "build" / "lambda"


def test_no_part_asks_for_a_newer_library(bundle: Path) -> None:
    programs = [path for path in bundle.rglob("*") if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"]
    assert len(programs) > 20
    for path in programs:
        wanted = re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())
        assert max(map(int, wanted), default=0) <= 31, path


def test_it_reads_the_same_tags_as_here(bundle: Path, tmp_path: Path) -> None:
    assert platform.machine() == "x86_64"
    root = tmp_path / "root"
    fill_root(root, tmp_path)
    shutil.copytree(bundle, root / "bundle")
    draw_images(root / "images", bundle / "exiftool")
    command = ["/bundle/exiftool", "-config", "", "-json", "-G1", "-a", "-s", "-charset", "utf8", "/images"]
    inside = tags(subprocess.run([*inside_of(root), *command], capture_output=True, check=True, env=PLAIN).stdout)
    command[0], command[-1] = str(bundle / "exiftool"), str(root / "images")
    here = tags(subprocess.run(command, capture_output=True, check=True, env=PLAIN).stdout)
    assert set(here) == {"cat.jpg", "cat.tif", "cat.png", "cat.webp", "cat.heic"}
    for name, found in here.items():
        assert inside[name] == found, name
        assert len(found) > 20, name
        assert not [tag for tag in found if "Warning" in tag or "Error" in tag], found
    assert here["cat.png"]["PNG:Comment"] == "z" * 500
    assert here["cat.png"]["PNG:Title-de"] == "Ein schöner Kater 猫"
    assert all(any(tag.startswith("ICC") for tag in here[f"cat.{kind}"]) for kind in ("jpg", "tif", "png", "webp"))


def tags(output: bytes) -> dict[str, dict[str, Any]]:
    """Each file's tags, but for those of the place where it lies."""
    return {Path(each["SourceFile"]).name: {name: value for name, value in each.items() if name not in OWN} for each in json.loads(output)}


def draw_images(folder: Path, exiftool: Path) -> None:
    """One image of each kind, with tags that are compressed, in several alphabets, and of several kinds."""
    folder.mkdir()
    drawn, profile = picture(120, 80), wide_gamut_profile()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "z" * 500, zip=True)
    text.add_itxt("Title", "Ein schöner Kater 猫", lang="de", zip=True)
    drawn.save(folder / "cat.png", pnginfo=text, icc_profile=profile)
    for kind in ("jpg", "tif", "webp"):
        drawn.save(folder / f"cat.{kind}", icc_profile=profile)
    pillow_heif.from_pillow(drawn).save(folder / "cat.heic")
    told = ["-XMP-dc:Title=Kater 猫", "-EXIF:Make=Acme", "-GPSLatitude=54.32", "-GPSLatitudeRef=N", "-IPTC:City=Kiel"]
    files = [str(folder / f"cat.{kind}") for kind in ("jpg", "tif", "webp", "heic")]
    subprocess.run([exiftool, "-config", "", "-q", "-m", "-overwrite_original", *told, *files], check=True, env=PLAIN)


def fill_root(root: Path, scratch: Path) -> None:
    """The C library, a shell and `env`: of Debian 11, or of this machine when the mirror has no Debian 11 any more."""
    for folder in ("bin", "lib64", "usr/bin"):
        (root / folder).mkdir(parents=True)
    debian = scratch / "debian-11"
    if unpack_debian_11(debian):
        libraries = debian / "lib" / "x86_64-linux-gnu"
        programs = [debian / name for name in PROGRAMS]
    else:
        libraries = Path("/lib/x86_64-linux-gnu")
        programs = [Path(shutil.which(name) or "") for name in ("sh", "env")]
    for part in PARTS:
        shutil.copy(next(libraries.glob(f"{part}.so.[0-9]")), root / "lib64")
    for program, name in zip(programs, ("bin/sh", "usr/bin/env"), strict=True):
        shutil.copy(program, root / name)
    (root / "lib").symlink_to("lib64")
    # there is no /proc without mounting one; all that perl's loader looks up there is where perl lies, to find the library beside it
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "exe").symlink_to("/bundle/perl/bin/perl")


def unpack_debian_11(folder: Path) -> bool:
    """Unpack the packages, their hashes checked; whether a mirror still has them."""
    for name, digest in PACKAGES.items():
        data = fetch(name)
        if data is None:
            return False
        assert hashlib.sha256(data).hexdigest() == digest, name
        package = folder.with_suffix(".deb")
        package.write_bytes(data)
        subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return True


def fetch(name: str) -> bytes | None:
    """A file of the mirror's pool; None if no mirror has it."""
    for mirror in mirrors():
        try:
            with urllib.request.urlopen(f"{mirror}/pool/{name.replace('+', '%2B')}", timeout=60) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            assert error.code in (403, 404, 410), error
    return None


def mirrors() -> list[str]:
    """Where apt fetches packages from on this machine."""
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main"]
    sites = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert sites, "This test needs a Debian with its mirror among apt's sources."
    return [site.rstrip("/") for site in dict.fromkeys(sites)]


def inside_of(root: Path) -> list[str]:
    """What runs a program that sees nothing but the root."""
    return ["chroot", str(root)] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--root", str(root)]
