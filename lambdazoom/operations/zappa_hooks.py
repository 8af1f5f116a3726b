"""What zappa_settings.json names as prebuild_script and zip callback; the work is in deployment.py.

Zappa loads this file by itself, under the name "zappa_hooks" and without the project on the path: so it imports nothing of ours,
and runs the work in a process of its own.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import click

PROJECT = Path(__file__).resolve().parents[2]


def prepare() -> None:
    """Before packaging: build what is missing, refuse placeholders."""
    _run("prepare")


def finish_package(zappa: Any) -> None:
    """After packaging: add bytecode, and look whether the zip is right; `zappa` is Zappa's own ZappaCLI."""
    _run("finish", str(Path(zappa.zip_path).absolute()))


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "lambdazoom.operations.deployment", *arguments]
    done = subprocess.run(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - every word of it is ours
    if done.returncode:
        raise click.ClickException((done.stderr.strip().splitlines() or ["It failed without a word."])[-1].removeprefix("Error: "))
