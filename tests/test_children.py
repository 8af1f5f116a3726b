"""Each image in a process of its own: what crashes, hangs or eats memory takes one image with it, and nothing is left over."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lambdazoom.model.errors import LambdaZoomError
from lambdazoom.model.keys import ImageKey
from lambdazoom.model.records import ImageRecord, Outcome, Progress, State
from lambdazoom.model.wishes import Wish
from lambdazoom.publishing import catalog, generations, workers
from lambdazoom.publishing.children import InChild, environment
from lambdazoom.publishing.pipeline import settle
from lambdazoom.publishing.workers import Workers
from lambdazoom.publishing.workspace import Workspace
from tests.conftest import Draw, free_port, picture
from tests.waiting import wait_until

LARGE = ImageKey("large.png")
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "the-key-of-the-house",
    "AWS_SESSION_TOKEN": "a-token",
    "LAMBDAZOOM_SESSION_SECRET": "0123456789abcdef0123456789abcdef",
    "DATABASE_URL": "another-program's",
}


@dataclass
class Heard:
    """A listener that remembers."""

    records: dict[str, ImageRecord | None] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    tiling: threading.Event = field(default_factory=threading.Event)

    def progress(self, image: ImageKey, progress: Progress) -> None:
        if image == LARGE and progress.stage == "tiling" and progress.done:
            self.tiling.set()

    def finished(self, image: ImageKey, record: ImageRecord | None) -> None:
        self.records[image.key] = record

    def failed(self, image: ImageKey, error: LambdaZoomError) -> None:
        self.failures.append(str(error))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@contextmanager
def working(workspace: Workspace, heard: Heard) -> Iterator[Workers]:
    with Workers(workspace, heard, InChild(workspace)) as crew:
        yield crew


def descendants(process: int) -> Iterator[int]:
    """All that a process has started, and these in turn."""
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text("ascii").split()):
                yield child
                yield from descendants(child)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def command_of(process: int) -> str:
    """Its words, each followed by a zero; nothing when it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def children(of: int) -> list[int]:
    """The processes that settle an image each for this one."""
    return [each for each in descendants(of) if "\0--child\0" in command_of(each)]


def the_child(of: int | None = None) -> int:
    """The one that settles an image for us, or for another process, once there is one."""
    parent = of or os.getpid()
    wait_until(lambda: len(children(parent)) == 1)
    return children(parent)[0]


def large_one() -> int:
    """That which settles the large image for us, be there others."""
    [found] = [each for each in children(os.getpid()) if LARGE.key in command_of(each)]
    return found


def kill_in_the_middle(how: signal.Signals, crew: Workers, heard: Heard) -> None:
    """Put the large image in, and send its process a signal while it cuts tiles."""
    heard.tiling.clear()
    crew.put(LARGE.key)
    assert heard.tiling.wait(30)
    os.kill(large_one(), how)


def record_of(image: ImageKey, workspace: Workspace) -> ImageRecord:
    record = catalog.find(image, workspace.metadata)
    assert record is not None
    return record


def impatient(workspace: Workspace, seconds: int) -> Workspace:
    settings = workspace.settings
    texts = {**settings.texts, "LAMBDAZOOM_TIME_LIMIT": str(seconds)}
    return replace(workspace, settings=replace(settings, time_limit=seconds, texts=texts))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that takes a few seconds."""
    path = tmp_path_factory.mktemp("drawn") / LARGE.key
    picture(9000, 9000).save(path, compress_level=1)
    return path


@pytest.fixture
def large(drawn: Path, source: Path) -> Path:
    """The same, in the source."""
    return Path(shutil.copy(drawn, source / LARGE.key))


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


def test_a_wish_is_passed_on(workspace: Workspace, draw: Draw, source: Path) -> None:
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


# how it dies


def test_a_crash_takes_one_image_with_it_and_stands_on_the_record(
    workspace: Workspace, draw: Draw, large: Path, heard: Heard, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "RETRY_SECONDS", 5.0)
    others = [f"{number}.jpg" for number in range(4)]
    with working(workspace, heard) as crew:
        kill_in_the_middle(signal.SIGSEGV, crew, heard)
        for key in others:
            draw(key)
            crew.put(key)
        wait_until(lambda: LARGE.key in heard.records)
        heard.tiling.clear()
        first = record_of(LARGE, workspace)
        assert first.state(workspace.now()) == State.FAILED
        assert first.complaints == (
            "The process that worked on large.png ended by SIGSEGV: probably the file makes its decoder crash. "
            "Save it anew with another program, and replace it in the source.",
        )
        assert (first.run, first.is_retryable, first.cut_short) == ("", True, 1)
        del heard.records[LARGE.key]
        assert heard.tiling.wait(30), "tried once more"
        os.kill(large_one(), signal.SIGSEGV)
        wait_until(lambda: LARGE.key in heard.records)
        second = record_of(LARGE, workspace)
        assert second.tiles is not None
        assert (second.tiles.code, second.tiles.final, second.cut_short, second.attempts) == ("crashed", True, 2, 2)
        wait_until(lambda: (step := record_of(LARGE, workspace).metadata) is not None and step.outcome == Outcome.DONE)
        crew.wait_until_idle()
    assert generations.published(LARGE, workspace.zoom) is None
    assert list(temporary.iterdir()) == []
    assert {record_of(ImageKey(key), workspace).state(workspace.now()) for key in others} == {State.PUBLISHED}
    workspace.stopping.clear()
    assert settle(LARGE, workspace) == record_of(LARGE, workspace), "settled until the source changes or somebody asks"
    assert settle(LARGE, workspace, wish=Wish(asked=True)).state(workspace.now()) == State.PUBLISHED  # type: ignore[union-attr]


def test_a_crash_of_a_replacement_leaves_the_version_before_on_show(workspace: Workspace, draw: Draw, drawn: Path, heard: Heard) -> None:
    path = draw(LARGE.key)
    settle(LARGE, workspace)
    shutil.copy(drawn, path)
    with working(workspace, heard) as crew:
        kill_in_the_middle(signal.SIGKILL, crew, heard)
        wait_until(lambda: LARGE.key in heard.records)
    record = record_of(LARGE, workspace)
    assert record.complaints == (
        "The process that worked on large.png was killed, probably because the machine was out of memory. "
        "Lower LAMBDAZOOM_JOBS or give it more memory, and retry. The version before stays on show.",
    )
    shown = generations.published(LARGE, workspace.zoom)
    assert shown is not None
    assert shown.pyramid.width == 300


def test_what_hangs_is_ended_when_its_time_is_over(workspace: Workspace, draw: Draw, large: Path, heard: Heard) -> None:
    with working(impatient(workspace, 12), heard) as crew:
        kill_in_the_middle(signal.SIGSTOP, crew, heard)
        draw("cat.jpg")
        crew.put("cat.jpg")
        wait_until(lambda: LARGE.key in heard.records)
        crew.wait_until_idle()
    assert record_of(ImageKey("cat.jpg"), workspace).state(workspace.now()) == State.PUBLISHED
    record = record_of(LARGE, workspace)
    assert record.complaints == (
        "large.png took longer than 12 s and was stopped. Raise LAMBDAZOOM_TIME_LIMIT and retry, or save it smaller.",
    )
    assert record.tiles is not None
    assert (record.tiles.code, record.is_retryable, record.cut_short) == ("out-of-time", True, 1)
    assert children(os.getpid()) == []


def standing_in(program: str) -> tuple[str, ...]:
    """A program in the place of ours, that tells, or does, what ours would only with a decoder that is broken."""
    return (sys.executable, "-c", program)


def test_code_in_the_current_folder_is_not_run(workspace: Workspace, draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` may have been started in the very folder that people upload to."""
    draw("cat.jpg")
    (tmp_path / "click.py").write_text("raise SystemExit('a stranger is in')")
    monkeypatch.chdir(tmp_path)
    record = InChild(workspace)(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert record is not None
    assert record.state(workspace.now()) == State.PUBLISHED


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_what_was_stopped_from_outside_is_tried_again_and_not_blamed(end: str, workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    with pytest.raises(LambdaZoomError, match=r"worked on cat\.jpg was stopped from outside\. It is tried again\."):
        InChild(workspace, standing_in(f"import os, signal, sys; {end}"))(ImageKey("cat.jpg"), Wish(), lambda _: None)


def test_what_eats_memory_is_ended(workspace: Workspace, draw: Draw) -> None:
    draw("cat.jpg")
    settings = replace(workspace.settings, memory_limit=200)
    eater = standing_in("import time\neaten = bytearray(b'x') * 300_000_000\ntime.sleep(60)")
    started = time.monotonic()
    with pytest.raises(LambdaZoomError, match=r"cat\.jpg took more than 200 MB of memory and was stopped\. Raise LAMBDAZOOM_MEMORY_LIMIT"):
        InChild(replace(workspace, settings=settings), eater)(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert time.monotonic() - started < 30
    assert not [each for each in descendants(os.getpid()) if "eaten" in command_of(each)]


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import sys; sys.exit(7)", "ended without a word"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("print('x' * 10**6, flush=True); print('{\"end\": 1}'); print('[' * 10**5); raise SystemExit(1)", "ended without a word"),
        ('import time; print(\'{"progress": {"stage": "x", "done": Infinity, "total": 1}}\'); raise SystemExit(1)', "ended without"),
        ("import json; print(json.dumps({'end': {'refusal': 'The disk is full.'}}))", r"^The disk is full\.$"),
    ],
)
def test_whatever_it_says_or_does_not_say_is_borne(workspace: Workspace, draw: Draw, program: str, sentence: str) -> None:
    draw("cat.jpg")
    with pytest.raises(LambdaZoomError, match=sentence):
        InChild(workspace, standing_in(program))(ImageKey("cat.jpg"), Wish(), lambda _: None)
    assert catalog.find(ImageKey("cat.jpg"), workspace.metadata) is None, "what had not begun has no record"


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


# how it ends with those who started it


def test_leaving_interrupts_it_and_the_next_start_goes_on(workspace: Workspace, large: Path, heard: Heard) -> None:
    with working(workspace, heard) as crew:
        crew.put(LARGE.key)
        assert heard.tiling.wait(30)
        started = time.monotonic()
    assert time.monotonic() - started < workers.STOP_SECONDS
    assert (heard.records, heard.failures, children(os.getpid())) == ({}, [], [])
    record = record_of(LARGE, workspace)
    assert (record.state(workspace.now()), record.cut_short) == (State.WAITING, 0)
    assert list(workspace.zoom.list("_tiles/")) == [], "it has taken its tiles away"
    workspace.stopping.clear()
    with working(workspace, heard) as crew:
        crew.put(LARGE.key)
        crew.wait_until_idle()
    assert record_of(LARGE, workspace).state(workspace.now()) == State.PUBLISHED


def test_what_does_not_heed_the_wish_is_killed_and_not_blamed(workspace: Workspace, large: Path, heard: Heard) -> None:
    with working(workspace, heard) as crew:
        kill_in_the_middle(signal.SIGSTOP, crew, heard)
    assert children(os.getpid()) == []
    record = record_of(LARGE, workspace)
    assert (record.state(workspace.now()), record.cut_short, heard.failures) == (State.WAITING, 0, [])


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`serve` at work; killed at the end, if it still runs."""
    command = [sys.executable, "-m", "lambdazoom", "serve", "--port", str(free_port())]
    with log.open("wb") as said, subprocess.Popen(command, env={**os.environ, **environment}, stdout=said, stderr=said) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("is_stuck", [False, True], ids=["at work", "stuck"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_serve_leaves_no_orphan(
    how: signal.Signals, is_stuck: bool, environment: dict[str, str], workspace: Workspace, large: Path, temporary: Path
) -> None:
    log = temporary / "log"
    with serving(environment, log) as process:
        child = the_child(process.pid)
        wait_until(lambda: (found := catalog.find(LARGE, workspace.metadata)) is not None and found.heartbeat_at is not None)
        families = {child, *descendants(child)}
        if is_stuck:
            os.kill(child, signal.SIGSTOP)
        process.send_signal(how)
        assert process.wait(20) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
        wait_until(lambda: not [each for each in families if is_running(each)], 5)
    if how != signal.SIGKILL:
        assert record_of(LARGE, workspace).state(workspace.now()) == State.WAITING
        assert log.read_text("utf-8").splitlines()[-1].startswith("Stopped.")


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
