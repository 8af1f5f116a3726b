"""The command-line door: arguments in, the work called, one line on stderr when something went wrong.

Exit codes: 0 done, 1 failed, 2 misuse. A command's module is imported when it is called: `tile` needs neither boto3 nor Flask.
"""

import gc
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

import click

from lambdazoom import __version__
from lambdazoom.model.errors import LambdaZoomError

_GARBAGE_EVERY = 50_000  # new objects; at Python's own 700, a tenth of the start goes into looking through modules that stay
COMMANDS = {  # and the modules that hold them
    "tile": "lambdazoom.cutting",
    "metadata": "lambdazoom.processing",
    "process": "lambdazoom.processing",
    "serve": "lambdazoom.processing",
    "password": "lambdazoom.configuring",
    "settings": "lambdazoom.configuring",
    "init": "lambdazoom.operations.commands",
    "doctor": "lambdazoom.operations.commands",
    "sweep": "lambdazoom.maintenance",
    "reconcile": "lambdazoom.upkeep",
    "backfill": "lambdazoom.upkeep",
}


class _Commands(click.Group):
    """All of COMMANDS, each there when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click calls it so)
        """Their names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """One of them."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="LambdaZoom %(version)s")
def commands() -> None:
    """Puts huge images on the web: Deep Zoom pyramids, and all metadata as JSON."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # what it says of odd files, our own errors and remarks say
    try:
        commands.main(args=arguments, prog_name="lambdazoom", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        click.echo(f"lambdazoom: {error.format_message()}", err=True)
        return error.exit_code
    except (LambdaZoomError, OSError) as error:
        click.echo(f"lambdazoom: {error}", err=True)
        return 1
    except MemoryError:
        click.echo("lambdazoom: This needs more memory than there is. Give it more, or save the image smaller.", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("lambdazoom: stopped.", err=True)
        return 1
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def run() -> None:
    """The entry point of `python -m lambdazoom`."""
    gc.set_threshold(_GARBAGE_EVERY)
    code = main()
    gc.freeze()  # Python would look through all that is left once more: that takes as long as a hundred tiles
    sys.exit(code)
