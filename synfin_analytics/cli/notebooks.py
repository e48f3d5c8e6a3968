"""``synfin notebooks``: copy the training notebooks and exercises to a folder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from synfin_analytics._core.formatting import pluralize


@click.command()
@click.argument(
    "folder",
    default="synfin-notebooks",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option("--overwrite", is_flag=True, help="Replace notebooks that have been edited.")
def notebooks(folder: Path, overwrite: bool) -> None:
    """Copy the training notebooks and exercises to FOLDER (default: synfin-notebooks).

    Existing notebooks that have been edited are kept and listed.
    """
    from synfin_analytics.course import copy_notebooks

    copied = copy_notebooks(folder, overwrite=overwrite)
    total = pluralize(len(copied), "notebook")
    click.echo(f"{total} in {folder.resolve()}, {len(copied.created)} of them new.")
    if copied.kept:
        click.echo(f"Kept because edited (use --overwrite to replace): {', '.join(copied.kept)}")
    if copied.replaced:
        click.echo(f"Replaced: {', '.join(copied.replaced)}")
    if find_spec("jupyterlab") is None:
        click.echo('JupyterLab is not installed: pip install "synfin-analytics[notebooks]"')
    click.echo(f"To open them: jupyter lab {click.format_filename(folder)}")
