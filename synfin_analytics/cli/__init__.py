"""The command ``synfin``.

To add a command, write a click command in a module of this package and add a line to
:data:`COMMANDS`. ``_common`` contains what commands share.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import warnings
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from synfin_analytics.exceptions import DatabaseWarning, SynfinError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where each command is defined, and its one-line description. The module of a command is imported
#: when the command is used, but not to print the help.
COMMANDS: dict[str, tuple[str, str]] = {
    "class": (
        "synfin_analytics.cli.course:course",
        "Assign exercises to a class and grade the submissions.",
    ),
    "db": ("synfin_analytics.cli.db:db", "Create, upgrade and inspect the database."),
    "demo": (
        "synfin_analytics.cli.demo:demo",
        "Load transactions, report fraud rates, evaluate a model.",
    ),
    "export": (
        "synfin_analytics.cli.export:export",
        "Write a table, or the result of a query, to a file.",
    ),
    "inspect": (
        "synfin_analytics.cli.inspect:inspect",
        "Suggest what the columns of a file are, and how to read it.",
    ),
    "load": ("synfin_analytics.cli.load:load", "Load a file into a table."),
    "notebooks": (
        "synfin_analytics.cli.course:notebooks",
        "Copy the training notebooks and exercises to a folder.",
    ),
    "report": (
        "synfin_analytics.cli.report:report",
        "Write a model report or a fraud report.",
    ),
    "rules": (
        "synfin_analytics.cli.rules:rules",
        "Evaluate, check and compare the rules of a TOML file.",
    ),
    "snapshot": (
        "synfin_analytics.cli.snapshot:snapshot",
        "Copy all tables to a folder of Parquet files.",
    ),
}

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended
TERMINATED = 143  # of one that SIGTERM ended


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does: it removes what is not complete."""


class SynfinGroup(click.Group):
    """A group whose commands are imported when used, and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name."""
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
        """Run the command; print errors of this package as one message, without a traceback."""
        try:
            with (
                _selected_environment(ctx.params.get("environment")),
                _warnings_in_one_line(),
                _sigterm_as_interrupt(),
            ):
                return super().invoke(ctx)
        except SynfinError as error:
            if ctx.params.get("debug"):
                raise
            raise _Failure(str(error)) from error
        except (KeyboardInterrupt, click.Abort) as error:
            # A prompt turns both Ctrl-C and the end of input into Abort.
            cause = error if isinstance(error, KeyboardInterrupt) else error.__context__
            if not isinstance(cause, KeyboardInterrupt) or ctx.params.get("debug"):
                raise
            is_terminated = isinstance(cause, Terminated)
            click.echo("\nTerminated." if is_terminated else "\nInterrupted.", err=True)
            raise click.exceptions.Exit(TERMINATED if is_terminated else INTERRUPTED) from error


@contextlib.contextmanager
def _selected_environment(name: str | None) -> Iterator[None]:
    """Select an environment for a command and the processes that it starts."""
    if name is None:
        yield
        return
    if not name.strip():  # an empty variable would select none
        raise click.BadParameter("must be the name of an environment.", param_hint="--env")
    before = os.environ.get("DB_ENV")
    os.environ["DB_ENV"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["DB_ENV"]
        else:
            os.environ["DB_ENV"] = before


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Raise Terminated at the first SIGTERM; the second one ends the process at once.

    A program that runs a command in its own process keeps its handler.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print warnings about servers as sentences, without the line of code that they come from."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DatabaseWarning)
        show_with_line = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, DatabaseWarning):
                from synfin_analytics.cli._common import echo_warning

                echo_warning(str(message))
            else:
                show_with_line(message, category, *place, **options)

        warnings.showwarning = show
        yield


class _Failure(click.ClickException):
    """An error that the user can correct, printed in red."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.secho(f"Error: {self.message}", fg="red", err=file is None, file=file)


@click.group(
    cls=SynfinGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The default database is the embedded one; DATABASE_URL, DB_HOST, --env select another.",
)
@click.version_option(package_name="synfin-analytics", prog_name="synfin")
@click.option(
    "--debug",
    is_flag=True,
    envvar="SYNFIN_DEBUG",
    help="Show the traceback of an error. Also: SYNFIN_DEBUG=1.",
)
@click.option(
    "--env",
    "environment",
    metavar="NAME",
    help="Environment of synfin.toml to use, such as production. Also: DB_ENV=production.",
)
def main(debug: bool, environment: str | None) -> None:  # read by SynfinGroup.invoke
    """Fraud analytics: transactions in PostgreSQL, fraud rates with confidence intervals.

    `synfin demo` is the quickest introduction.
    """
