"""Drives that fill up, go away and come back: real file systems of two megabytes, mounted where only this test sees them."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_with_mounts(program: str, folder: Path) -> list[str]:
    """What the program prints, run where it may mount things at will (a mount namespace of its own)."""
    prelude = f"""
        import subprocess
        from pathlib import Path
        folder = Path({str(folder)!r})
        def mount(place, size="2m"):
            place.mkdir(exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={{size}}", "tmpfs", place], check=True)
        def unmount(place):
            subprocess.run(["umount", place], check=True)
    """
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_drive_that_is_gone_is_no_empty_source_and_one_that_is_mounted_again_is_read_on(tmp_path: Path) -> None:
    said = run_with_mounts(
        """
        from lambdazoom.model.errors import NotFound, StorageError
        from lambdazoom.storage.folder import FolderSource
        drive = folder / "drive"
        source = FolderSource(drive)
        def look():
            try:
                print(source.head("cat.jpg").key)
            except StorageError as error:
                print(type(error).__name__, error)
        mount(drive)
        (drive / "cat.jpg").write_bytes(b"1")
        look()
        unmount(drive)
        look()
        mount(folder / "another")  # so that the drive gets another number
        mount(drive)
        (drive / "cat.jpg").write_bytes(b"1")
        look()
        (drive / "cat.jpg").unlink()
        look()
        """,
        tmp_path,
    )
    gone = f"StorageError The drive of the source folder {tmp_path}/drive is gone: only its mount point is there. Mount it again."
    assert said == ["cat.jpg", gone, "cat.jpg", "NotFound There is no cat.jpg."]


def test_a_full_disk_is_a_clear_error_with_nothing_half_published_and_its_room_free_again(tmp_path: Path) -> None:
    said = run_with_mounts(
        """
        import os
        from PIL import Image
        from lambdazoom.model.keys import ImageKey
        from lambdazoom.model.settings import Settings
        from lambdazoom.publishing import catalog, generations
        from lambdazoom.publishing.pipeline import settle
        from lambdazoom.publishing.sweeping import sweep
        from lambdazoom.publishing.workspace import open_workspace
        (folder / "source").mkdir()
        mount(folder / "made")
        Image.effect_noise((2000, 2000), 90).save(folder / "source" / "noise.jpg")
        names = ("source", "made/zoom", "made/metadata")
        settings = dict(zip(("LAMBDAZOOM_SOURCE", "LAMBDAZOOM_ZOOM", "LAMBDAZOOM_METADATA"), (str(folder / name) for name in names)))
        with open_workspace(Settings.from_env(settings)).closing() as workspace:
            image = ImageKey("noise.jpg")
            record = settle(image, workspace)
            print(record.state(workspace.now()), record.complaints[0])
            print(generations.published(image, workspace.zoom), list(workspace.zoom.list("_tiles/")))
            print(os.statvfs(folder / "made").f_bfree * 4096 > 1_500_000)
            subprocess.run(["mount", "-o", "remount,size=20m", folder / "made"], check=True)
            print(settle(image, workspace).state(workspace.now()))
        """,
        tmp_path,
    )
    assert said[0].startswith("failed The disk is full; _tiles/")
    assert said[0].endswith(" was not written. Free some space and retry.")
    assert said[1:] == ["None []", "True", "published"]
