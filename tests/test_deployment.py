"""What stands between a wrong package and Lambda: each thing that would only fail there is told before."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PathDistribution, distributions
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import click
import pytest

from lambdazoom.operations import deployment
from lambdazoom.operations.deployment import NEEDED, PROVIDED, TARGETS, UNUSED, problems

PROJECT = Path(__file__).parents[1]
X86 = TARGETS["x86_64"]
ELF_X86 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00"
ELF_ARM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00"
MACH_O = b"\xcf\xfa\xed\xfe" + bytes(20)

MakePackage = Callable[..., Path]


@pytest.fixture
def make_package(tmp_path: Path) -> MakePackage:
    """A package that is right, but for what a test changes: names to leave out, and files to add."""

    def make(without: tuple[str, ...] = (), **added: bytes) -> Path:
        path = tmp_path / "package.zip"
        with ZipFile(path, "w", ZIP_STORED) as archive:
            for name in {*NEEDED, *installed_code()} - {*without}:
                archive.writestr(name, ELF_X86 if name.endswith(".so") else b"")
            for name, data in added.items():
                archive.writestr(name, data)
        return path

    return make


INSTALLED = [each for each in distributions() if each.name.lower() in ("flask", "click", "markupsafe", "boto3", "pip")]
PYTHON = f"cpython-3{sys.version_info.minor}"  # this environment's packages are in it


def installed_code() -> set[str]:
    """Every file of code that the installed packages have, but those that the zip leaves out."""
    packages = [each for each in INSTALLED if each.name.lower() not in (*PROVIDED, *UNUSED)]
    return {str(file) for each in packages for file in each.files or () if deployment._is_code(file)}


def found(path: Path, python: str = PYTHON) -> list[str]:
    return list(problems(path, X86, python, INSTALLED))


def test_a_package_that_is_right_has_no_problem(make_package: MakePackage) -> None:
    assert found(make_package()) == []


@pytest.mark.parametrize("name", NEEDED)
def test_what_the_function_needs_must_be_there(make_package: MakePackage, name: str) -> None:
    [problem] = [each for each in found(make_package(without=(name,))) if each.startswith(f"{name} is missing")]
    assert problem.endswith(".")


@pytest.mark.parametrize("name", ["data/source/huge.tif", "tests/x.py", "node_modules/x.js", ".git/config", ".venv-dev/x"])
def test_what_does_not_belong_there_is_named(make_package: MakePackage, name: str) -> None:
    assert found(make_package(**{name: b""})) == [f"the folder {name.split('/')[0]}/ is in it. Add it to `exclude` in zappa_settings.json."]


def test_a_file_that_exclude_stripped_out_of_a_package_is_named(make_package: MakePackage) -> None:
    [problem] = found(make_package(without=("flask/app.py",)))
    assert problem == "Flask has lost flask/app.py. Look at `exclude` in zappa_settings.json."


def test_a_file_that_is_there_compiled_is_not_lost(make_package: MakePackage) -> None:
    assert found(make_package(without=("flask/app.py",), **{"flask/app.pyc": b""})) == []


@pytest.mark.parametrize(
    ("name", "head", "sentence"),
    [
        ("x/_y.cpython-313-x86_64-linux-gnu.so", ELF_X86, "x/_y.cpython-313-x86_64-linux-gnu.so is for another Python"),
        ("x/_y.abi3.so", ELF_ARM, "x/_y.abi3.so is not for Linux on the function's architecture."),
        ("x/_y.abi3.so", MACH_O, "x/_y.abi3.so is not for Linux on the function's architecture."),
        ("x.libs/libz.so.1", MACH_O, "x.libs/libz.so.1 is not for Linux on the function's architecture."),
        ("x/_y.cpython-311-darwin.so", MACH_O, "x/_y.cpython-311-darwin.so is not for Linux."),
        ("x/y.dylib", MACH_O, "x/y.dylib is not for Linux."),
    ],
)
def test_binaries_for_another_system_are_named(make_package: MakePackage, name: str, head: bytes, sentence: str) -> None:
    package = make_package(**{name: head})
    assert any(problem.startswith(sentence) for problem in found(package, "cpython-312" if "cpython-313" in name else PYTHON))


@pytest.fixture
def from_a_mac(tmp_path: Path) -> PathDistribution:
    """A package with an extension module, as pip installs it on macOS."""
    folder = tmp_path / "cat-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: cat\nVersion: 1.0\n")
    (folder / "RECORD").write_text("cat/__init__.py,,\ncat/_purr.cpython-313-darwin.so,,\ncat/.dylibs/libz.1.dylib,,\n")
    return PathDistribution(folder)


def test_what_a_mac_leaves_beside_the_linux_wheels_stays_behind(make_package: MakePackage, from_a_mac: PathDistribution) -> None:
    linux = f"cat/_purr.{PYTHON}-x86_64-linux-gnu.so"
    of_the_mac = ("cat/_purr.cpython-313-darwin.so", "cat/.dylibs/libz.1.dylib")
    package = make_package(**{"cat/__init__.py": b"", linux: ELF_X86, "cat/purr": b"#!/bin/sh"}, **dict.fromkeys(of_the_mac, MACH_O))
    with ZipFile(package, "a", ZIP_DEFLATED) as archive:
        program = ZipInfo("cat/program")
        program.external_attr = 0o100755 << 16
        archive.writestr(program, "#!/bin/sh")
        before = {entry.filename: (entry.external_attr, archive.read(entry)) for entry in archive.infolist()}
    deployment.leave_out_foreign(package)
    with ZipFile(package) as archive:
        after = {entry.filename: (entry.external_attr, archive.read(entry)) for entry in archive.infolist()}
    assert after == {name: entry for name, entry in before.items() if name not in of_the_mac}
    assert list(problems(package, X86, PYTHON, [*INSTALLED, from_a_mac])) == []


def test_a_package_that_zappa_found_no_linux_wheel_of_is_named(make_package: MakePackage, from_a_mac: PathDistribution) -> None:
    package = make_package(**{"cat/__init__.py": b"", "cat/_purr.cpython-313-darwin.so": MACH_O})
    deployment.leave_out_foreign(package)
    sentence = "cat has no Linux build of cat/_purr in it. Deploy with the network to fetch it, or from Linux."
    assert list(problems(package, X86, PYTHON, [*INSTALLED, from_a_mac])) == [sentence]


def test_a_package_without_foreign_files_is_left_as_it_is(make_package: MakePackage) -> None:
    package = make_package()
    before = package.read_bytes()
    deployment.leave_out_foreign(package)
    assert package.read_bytes() == before


def test_packages_for_development_are_named_with_the_way_out(make_package: MakePackage) -> None:
    here = [each for each in distributions() if each.name.lower() in ("pytest", "mypy", "flask")]
    assert list(deployment.development_packages(here)) == [
        "mypy, pytest are for development. Deploy from a virtual environment with the packages of requirements.txt alone."
    ]
    assert list(deployment.development_packages(INSTALLED)) == []


def test_too_large_a_package_is_told_with_both_figures(make_package: MakePackage) -> None:
    package = make_package(**{"large.bin": bytes(46 * 10**6)})
    [problem] = found(package)
    assert problem.startswith("the zip has 46,")
    assert "45,000,000 are meant to be enough" in problem


def test_placeholder_names_are_refused_before_anything_is_built() -> None:
    command = [sys.executable, "-m", "lambdazoom.operations.deployment", "prepare"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "zappa_settings.json still names the buckets of the example. Run `python -m lambdazoom init`" in done.stderr


@pytest.mark.parametrize("forgotten", ["zappa_settings.json", "zappa_policy.json"])
def test_names_set_by_hand_must_be_set_in_both_files(tmp_path: Path, forgotten: str) -> None:
    for name in ("zappa_settings.json", "zappa_policy.json"):
        text = (PROJECT / name).read_text("utf-8")
        (tmp_path / name).write_text(text if name == forgotten else text.replace("your-", "my-"), "utf-8")
    with pytest.raises(click.ClickException, match=f"^{forgotten} still names the buckets of the example. Run `python -m lambdazoom init`"):
        deployment.refuse_placeholders(tmp_path)
    (tmp_path / forgotten).write_text((tmp_path / forgotten).read_text("utf-8").replace("your-", "my-"), "utf-8")
    deployment.refuse_placeholders(tmp_path)


def test_a_name_that_only_holds_your_is_no_placeholder(tmp_path: Path) -> None:
    for name in ("zappa_settings.json", "zappa_policy.json"):
        (tmp_path / name).write_text((PROJECT / name).read_text("utf-8").replace("your-", "for-your-eyes-"), "utf-8")
    deployment.refuse_placeholders(tmp_path)


def test_a_policy_file_that_is_not_there_is_told_before_anything_is_built(tmp_path: Path) -> None:
    text = (PROJECT / "zappa_settings.json").read_text("utf-8")
    (tmp_path / "zappa_settings.json").write_text(text.replace("your-", "my-"), "utf-8")
    with pytest.raises(
        click.ClickException, match=r"^There is no zappa_policy.json, which attach_policy names. Run `python -m lambdazoom init`"
    ):
        deployment.refuse_placeholders(tmp_path)


def test_another_python_than_the_function_s_is_told_before_anything_is_built() -> None:
    deployment.refuse_another_python("3.13", "3.13")
    with pytest.raises(click.ClickException, match=r"^The function runs Python 3.13, and this is 3.11. `make venv PYTHON=python3.13`"):
        deployment.refuse_another_python("3.13", "3.11")


def test_the_function_is_set_up_as_the_service_needs_it() -> None:
    stage = json.loads((PROJECT / "zappa_settings.json").read_text("utf-8"))["live"]
    assert stage["runtime"] == "python3.13"
    assert (stage["memory_size"], stage["timeout_seconds"], stage["ephemeral_storage"]) == (3008, 900, {"Size": 2048})
    assert (stage["debug"], stage["keep_warm"]) == (False, False)
    by_function = {event["function"].rpartition(".")[2]: event for event in stage["events"]}
    assert by_function["on_object_event"]["event_source"]["events"] == [
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
    ]
    assert by_function["on_schedule"]["expression"] == "rate(1 hour)"


def test_zappa_takes_the_queue_for_dead_letters_as_the_document_says(tmp_path: Path) -> None:
    assert '"dead_letter_arn"' in (PROJECT / "docs" / "deploy.md").read_text("utf-8")
    arn = "arn:aws:sqs:eu-central-1:123456789012:failed-images"
    settings = json.loads((PROJECT / "zappa_settings.json").read_text("utf-8"))
    (stage,) = settings
    settings[stage]["dead_letter_arn"] = arn
    path = tmp_path / "zappa_settings.json"
    path.write_text(json.dumps(settings), "utf-8")
    program = (
        "import json, sys; from zappa.cli import ZappaCLI; found = ZappaCLI(); found.api_stage = sys.argv[1]; "
        "found.load_settings(sys.argv[2]); print(json.dumps(found.dead_letter_config))"
    )
    told = subprocess.run([sys.executable, "-c", program, stage, path], capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    assert json.loads(told.splitlines()[-1]) == {"TargetArn": arn}
