"""``synfin notebooks``: lay out the training notebooks that came with the package."""

from __future__ import annotations

import json
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import click

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError

_NEW, _SAME, _KEPT, _REPLACED = "new", "same", "kept", "replaced"


@click.command()
@click.argument(
    "folder",
    default="synfin-notebooks",
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option("--overwrite", is_flag=True, help="Replace notebooks that were changed.")
def notebooks(folder: Path, overwrite: bool) -> None:
    """Copy the training notebooks and exercises into FOLDER [synfin-notebooks].

    A notebook that is there already, and is no longer as it came, is left alone and named.
    """
    from synfin_analytics._core.resources import shipped

    source = shipped("notebooks")
    if folder.resolve() in (source.resolve(), *source.resolve().parents):
        raise ArgumentError(f"{str(folder)!r} is where the notebooks come from: name another one.")
    done: dict[str, list[str]] = defaultdict(list)
    for path in sorted([*source.glob("*.ipynb"), *source.glob("exercises/*.ipynb")]):
        name = path.relative_to(source)
        done[_lay(path, folder / name, overwrite=overwrite)].append(str(name))
    total = sum(map(len, done.values()))
    click.echo(
        f"{pluralize(total, 'notebook')} in {folder.resolve()}, {len(done[_NEW])} of them new."
    )
    for state, words in (
        (_KEPT, "Left alone, since changed (--overwrite replaces them)"),
        (_REPLACED, "Replaced"),
    ):
        if done[state]:
            click.echo(f"{words}: {', '.join(done[state])}")
    if find_spec("jupyterlab") is None:
        click.echo('JupyterLab is not here yet: pip install "synfin-analytics[notebooks]"')
    click.echo(f"Open them: jupyter lab {click.format_filename(folder)}")


def _lay(source: Path, target: Path, *, overwrite: bool) -> str:
    """Copy one notebook, unless that would lose something; say what was done."""
    text = _unpaired(source.read_text(encoding="utf-8"))
    state = _NEW
    if target.exists():
        if target.read_text(encoding="utf-8") == text:
            return _SAME
        if not overwrite:
            return _KEPT
        state = _REPLACED
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return state


def _unpaired(text: str) -> str:
    """Take out what makes JupyterLab write a script beside the notebook: that is for a checkout."""
    from synfin_analytics.course._notebooks import told

    notebook = json.loads(text)
    notebook["metadata"].pop("jupytext", None)
    return told(notebook)
