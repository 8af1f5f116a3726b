"""Each image in a process of its own: what it does, what is kept from it, and its limits."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import State
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, generations
from lambdazoom.publishing.children import InChild, environment
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import Draw
from tests.crews import LARGE, Heard, children, impatient, the_child, working
from tests.crews import drawn as drawn  # a fixture
from tests.crews import heard as heard  # a fixture
from tests.crews import large as large  # a fixture
from tests.crews import temporary as temporary  # a fixture
from tests.waiting import wait_until

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "the-key-of-the-house",
    "AWS_SESSION_TOKEN": "a-token",
    "LAMBDAZOOM_SESSION_SECRET": "0123456789abcdef0123456789abcdef",
    "DATABASE_URL": "another-program's",
}


# what it does


def test_each_image_is_settled_as_ever_and_nothing_is_left_over(
    workspace: Workspace, draw: Draw, source: Path, heard: Heard, temporary: Path
) -> None:
    names = ["trip/cat.jpg", "--help.jpg", "a b\nc.jpg", os.fsdecode(b"caf\xe9.jpg")]
    for name in names:
        draw(name)
    (source / "notes.txt").write_text("words")
    (source / "broken.jpg").write_bytes((source / "trip/cat.jpg").read_bytes()[:500])
    with working(workspace, heard) as crew:
        for name in (*names, "notes.txt", "broken.jpg", ".hidden"):
            crew.put(name)
        crew.wait_until_idle()
    states = {key: record.state(workspace.now()) for key, record in heard.records.items() if record}
    assert states == {**dict.fromkeys(names, State.PUBLISHED), "notes.txt": State.IGNORED, "broken.jpg": State.FAILED}
    assert all(record.attempts == 1 for record in heard.records.values() if record)
    assert heard.failures == []
    assert children(os.getpid()) == []
    assert list(temporary.iterdir()) == []


def test_where_nothing_is_to_be_made_no_process_is_started(workspace: Workspace, draw: Draw) -> None:
    settling = InChild(workspace, ("/nonexistent",))
    for name in ("cat.jpg", "gone.jpg"):
        draw(name)
        settle(ImageKey(name), workspace)
    (workspace.source.root / "gone.jpg").unlink()  # type: ignore[attr-defined]
    published = settling(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert published is not None
    assert published.attempts == 1
    assert settling(ImageKey("gone.jpg"), Wish(), lambda _: None) is None
    assert generations.published(ImageKey("gone.jpg"), workspace.zoom) is None
    draw("new.jpg")
    with pytest.raises(LambdaZoomError, match=r"No process could be started for new\.jpg: No such file or directory\."):
        settling(ImageKey("new.jpg"), Wish(), lambda _: None)


def test_a_wish_is_passed_on(workspace: Workspace, draw: Draw) -> None:
    settling, cat = InChild(workspace), ImageKey("cat.jpg")
    path = draw(cat.key)
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    assert [settling(cat, wish, lambda _: None).attempts for wish in (Wish(), Wish(), Wish(asked=True))] == [1, 1, 2]  # type: ignore[union-attr]
    path.write_bytes(whole)
    settling(cat, Wish(), lambda _: None)
    settings = workspace.settings
    coarser = replace(settings, tile_size=128, texts={**settings.texts, "LAMBDAZOOM_TILE_SIZE": "128"})
    after = InChild(replace(workspace, settings=coarser))
    sizes = []
    for wish in (Wish(), Wish(recipe=True)):
        after(cat, wish, lambda _: None)
        shown = generations.published(cat, workspace.zoom)
        assert shown is not None
        sizes.append(shown.pyramid.recipe.tile_size)
    assert sizes == [254, 128]
    before = generations.published(cat, workspace.zoom)
    after(cat, Wish(anew=True), lambda _: None)
    assert before is not None
    assert generations.published(cat, workspace.zoom) not in (before, None)


# what is kept from it


def test_it_holds_no_secret(workspace: Workspace, large: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SECRETS, "LC_TIME": "C.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    with working(workspace, heard) as crew:
        crew.put(LARGE.key)
        seen = Path(f"/proc/{the_child()}/environ").read_bytes()
    names = {entry.partition(b"=")[0].decode() for entry in seen.split(b"\0") if entry}
    assert {"PATH", "LC_TIME", "TMPDIR", "LAMBDAZOOM_SOURCE"} <= names
    assert not [name for name in names if name.startswith("AWS_") or name in SECRETS or "PASSWORD" in name]
    assert not [value for value in SECRETS.values() if value.encode() in seen]


def test_what_is_set_is_what_it_is_told(workspace: Workspace) -> None:
    told = environment(workspace.settings, {"PATH": "/bin", "HOME": "/root", "SSH_AUTH_SOCK": "x", "LAMBDAZOOM_QUALITY": "3"})
    assert told["LAMBDAZOOM_SOURCE"] == workspace.settings.texts["LAMBDAZOOM_SOURCE"]
    assert told["LAMBDAZOOM_QUALITY"] == "80", "what this workspace was opened with"
    assert "SSH_AUTH_SOCK" not in told


def test_it_can_not_read_its_parents_environment(environment: dict[str, str], tmp_path: Path) -> None:
    """A parser that was taken over would: /proc tells everybody of the same user."""
    reader = tmp_path / "reader.py"
    reader.write_text("import os, sys\ntry: open(f'/proc/{os.getppid()}/environ').read()\nexcept OSError: os._exit(3)")
    program = (
        "import os, subprocess, sys\nfrom lambdazoom.model.keys import ImageKey\nfrom lambdazoom.model.settings import Settings\n"
        "from lambdazoom.model.errors import LambdaZoomError\n"
        "from lambdazoom.publishing.children import InChild\nfrom lambdazoom.model.wishes import Wish\n"
        "from lambdazoom.publishing.workspace import open_workspace\nworkspace = open_workspace(Settings.from_env(os.environ))\n"
        "told = []\nbefore = subprocess.run([sys.executable, sys.argv[1]]).returncode\n"
        "try: InChild(workspace, ('/nonexistent',))(ImageKey('a.jpg'), Wish(), told.append)\nexcept LambdaZoomError: pass\n"
        "print(before, subprocess.run([sys.executable, sys.argv[1]]).returncode)"
    )
    (tmp_path / "source" / "a.jpg").write_bytes(b"x")
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*unprivileged, sys.executable, "-c", program, str(reader)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.stdout == "0 3\n", done.stderr


def test_code_in_the_current_folder_is_not_run(workspace: Workspace, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` may have been started in the very folder that people upload to."""
    draw("cat.jpg")
    (tmp_path / "click.py").write_text("raise SystemExit('a stranger is in')")
    monkeypatch.chdir(tmp_path)
    record = InChild(workspace)(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert record is not None
    assert record.state(workspace.now()) == State.PUBLISHED


# limits


def test_its_limits_are_set_before_it_opens_the_file(workspace: Workspace, large: Path, heard: Heard) -> None:
    with working(impatient(workspace, 600), heard) as crew:
        crew.put(LARGE.key)
        child = the_child()
        wait_until(lambda: catalog.find(LARGE, workspace.metadata) is not None)
        lines = Path(f"/proc/{child}/limits").read_text("ascii").splitlines()
        assert int(Path(f"/proc/{child}/oom_score_adj").read_text("ascii")) == 500
    limits = {line[:26].strip(): line[26:].split()[0] for line in lines[1:]}
    assert limits["Max core file size"] == "0"
    assert limits["Max open files"] == "512"
    assert limits["Max cpu time"] == str(600 * (os.cpu_count() or 1))
    assert limits["Max data size"].isdecimal()


CONFINED = """
import os, sys
from lambdazoom.model.settings import Settings
from lambdazoom.publishing import limits
limits.confine(Settings.from_env(os.environ))
"""


def confined(program: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CONFINED + program]
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)


def test_the_pixels_of_the_largest_image_can_be_mapped_but_not_everything() -> None:
    levels = "sum(((4 * 10**9) >> 2 * level) * 4 for level in range(16))"
    mapped = confined(f"from lambdazoom.imaging.memory import PixelMemory\nPixelMemory({levels})", LAMBDAZOOM_MEMORY_LIMIT="500")
    assert (mapped.returncode, mapped.stderr) == (0, "")
    eaten = confined("bytearray(3 * 10**9)", LAMBDAZOOM_MEMORY_LIMIT="500", LAMBDAZOOM_MAX_PIXELS="1000000")
    assert eaten.stderr.splitlines()[-1] == "MemoryError"


def test_what_spins_is_ended_by_the_kernel_be_its_parent_asleep() -> None:
    started = time.monotonic()
    done = confined("while True: pass", LAMBDAZOOM_TIME_LIMIT="1")
    assert done.returncode == -signal.SIGXCPU
    assert time.monotonic() - started < 30 * (os.cpu_count() or 1)


# what it says and needs


def test_its_lines_are_for_programs(environment: dict[str, str], draw: Draw) -> None:
    draw("cat.jpg")
    command = [sys.executable, "-m", "lambdazoom", "process", "--child", "a-run", "--", "cat.jpg"]
    started = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with started as process:
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    assert {"stage", "done", "total"} == set(lines[0]["progress"])
    assert lines[-1] == {"end": {"refusal": ""}}


def test_a_folder_needs_nothing_of_flask_or_aws(workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    program = (
        "import sys, os\nfrom lambdazoom import cli\ncode = cli.main(['process', 'cat.jpg', '--child', 'a-run'])\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    told = environment(workspace.settings, os.environ)
    with subprocess.Popen(
        [sys.executable, "-c", program], env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stderr is not None
        loaded = {name.split(".")[0] for name in child.stderr.read().decode().split()}
    assert "PIL" in loaded
    assert not loaded & {"flask", "waitress", "boto3", "botocore", "obstore", "tqdm", "watchdog", "asyncio", "ssl"}
