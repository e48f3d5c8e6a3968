"""A folder of results that is complete or does not exist."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import ArgumentError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_new_folder(path: str | Path, name: str) -> Path:
    """Return the absolute path of a folder that does not exist or is empty.

    Raises
    ------
    ArgumentError
        It is not a path, or is a file, a folder with files, or the working directory.

    Examples
    --------
    >>> check_new_folder(".", "output")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `output` must be a new or an empty folder; '.' ...
    """
    if not isinstance(path, str | Path) or not str(path):
        raise ArgumentError(
            f"`{name}` must be the path of a new or an empty folder; got {format_value(path)}."
        )
    folder = Path(path)
    if folder.is_dir():
        n_entries = sum(1 for _ in folder.iterdir())
        if n_entries:
            raise ArgumentError(
                f"`{name}` must be a new or an empty folder; {str(path)!r} contains "
                f"{n_entries:,} {'entry' if n_entries == 1 else 'entries'}. Nothing was written."
            )
        if folder.samefile(Path.cwd()):
            raise ArgumentError(
                f"`{name}` must be a new or an empty folder; got the working directory, which "
                "would be replaced."
            )
    elif folder.exists() or folder.is_symlink():
        raise ArgumentError(f"`{name}` must be a new or an empty folder; {str(path)!r} is a file.")
    return folder.resolve()


def check_outside(folder: Path, data: object, name: str) -> None:
    """Raise if a folder to write is inside the folder that is read: it would be input next time.

    Parameters
    ----------
    folder
        A folder of :func:`check_new_folder`.
    data
        The input, of which only paths are considered.
    name
        Name of the argument.

    Raises
    ------
    ArgumentError
        It is inside.

    Examples
    --------
    >>> check_outside(Path("rows/features").resolve(), "rows", "output")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `output` must be outside the folder that is read, ...
    """
    if isinstance(data, str | Path) and folder.is_relative_to(Path(data).resolve()):
        raise ArgumentError(
            f"`{name}` must be outside the folder that is read, {str(data)!r}, where the next call "
            f"would read it too; got {str(folder)!r}."
        )


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``, which gets its name at the end of the block.

    After an error, neither of the two exists.

    Parameters
    ----------
    folder
        A folder of :func:`check_new_folder`.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            partial = private / folder.name
            partial.mkdir()  # with the usual permissions, unlike a temporary folder
            yield partial
            if folder.is_dir():
                folder.rmdir()
            partial.rename(folder)
        finally:
            shutil.rmtree(private, ignore_errors=True)
    except SynfinError:
        raise  # a lost connection is an OSError as well
    except OSError as error:
        raise ArgumentError(
            f"Cannot write the folder {str(folder)!r}: {error.strerror or error}. Nothing of it "
            "was kept."
        ) from error


def scan_parts(folder: Path) -> pl.LazyFrame:
    """Return a scan of the Parquet files of a folder, in the order of their names.

    Parameters
    ----------
    folder
        The folder. Its name may contain brackets, which polars would read as a pattern.
    """
    return pl.scan_parquet(sorted(folder.glob("*.parquet")), glob=False)
