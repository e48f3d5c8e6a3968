"""The command ``synfin``."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from synfin_analytics.exceptions import SynfinError

#: Where each command is defined, and what it does in one line. A command's module is imported when
#: the command is used, and not to print the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "class": (
        "synfin_analytics.cli.course:classroom",
        "Give a class its exercises, and mark what comes back.",
    ),
    "db": ("synfin_analytics.cli.db:db", "Create, upgrade and look after the database."),
    "demo": (
        "synfin_analytics.cli.demo:demo",
        "Load transactions, show their fraud rates, evaluate a model.",
    ),
    "export": (
        "synfin_analytics.cli.data:export",
        "Write a table, or the rows of a query, to a file.",
    ),
    "load": ("synfin_analytics.cli.data:load", "Load a Parquet or CSV file into a table."),
    "notebooks": (
        "synfin_analytics.cli.notebooks:notebooks",
        "Lay out the training notebooks and exercises in a folder.",
    ),
    "report": (
        "synfin_analytics.cli.report:report",
        "Write a page: what a model is worth, or how much fraud there was.",
    ),
}

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


class SynfinGroup(click.Group):
    """A group of commands that are imported when used, and whose errors are one clear line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours is shown as one message, without a traceback."""
        try:
            return super().invoke(ctx)
        except SynfinError as error:
            if ctx.params.get("debug"):
                raise
            raise _Failure(str(error)) from error
        except (KeyboardInterrupt, click.Abort) as error:
            # A prompt turns Ctrl-C into Abort, and the end of input as well.
            pressed = isinstance(error, KeyboardInterrupt) or isinstance(
                error.__context__, KeyboardInterrupt
            )
            if not pressed:
                raise
            if ctx.params.get("debug"):
                raise
            click.echo("\nInterrupted.", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from error


class _Failure(click.ClickException):
    """What a user did, or the machine lacks: told in red."""

    def show(self, file: Any = None) -> None:
        click.secho(f"Error: {self.message}", fg="red", err=file is None, file=file)


def _version() -> str:
    try:
        return version("synfin-analytics")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


@click.group(
    cls=SynfinGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The database is the embedded one, unless DATABASE_URL or DB_HOST names a server.",
)
@click.version_option(_version(), prog_name="synfin")
@click.option(
    "--debug",
    is_flag=True,
    envvar="SYNFIN_DEBUG",
    help="Show where in the program an error came from. Also: SYNFIN_DEBUG=1.",
)
def main(debug: bool) -> None:  # read by SynfinGroup.invoke
    """Fraud analytics: transactions in PostgreSQL, fraud rates with intervals.

    `synfin demo` is the quickest way to see it.
    """
