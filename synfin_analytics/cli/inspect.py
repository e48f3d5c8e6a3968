"""``synfin inspect``: what the columns of a file are, and the calls that read it."""

from __future__ import annotations

from typing import Any

import click

from synfin_analytics.cli._common import pop_read_options, read_options


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@read_options
def inspect(files: tuple[str, ...], **options: Any) -> None:
    """Suggest what the columns of FILE are, and the calls that load or evaluate it.

    Checks every cell as `synfin load` does, and says which rows it would reject. Nothing is loaded,
    and no database is needed. Several FILEs are one data set.
    """
    from synfin_analytics.io import suggest_columns

    source = list(files) if len(files) > 1 else files[0]
    click.echo(repr(suggest_columns(source, **pop_read_options(options).to_arguments())))
