"""What is in an archive or a snapshot, and whether its files are as they were written."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd

from synfin_analytics.io.archive._manifest import read_manifest
from synfin_analytics.io.archive._parts import check_part


def archive_contents(folder: str | Path) -> pd.DataFrame:
    """List the tables and months of an archive or a snapshot.

    Parameters
    ----------
    folder
        The archive.

    Returns
    -------
    pandas.DataFrame
        For each month and table: ``month``, ``table``, ``files``, ``rows``, ``amount`` (sum, as
        text), ``size`` in bytes, and ``state``: ``archived``, or ``deleting`` if the database may
        still have some of the rows because a call was interrupted.

    Raises
    ------
    ArchiveError
        The folder has no manifest, or a damaged one.

    Examples
    --------
    >>> archive_contents("no_such_folder")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArchiveError: There is no folder 'no_such_folder'.
    """
    manifest = read_manifest(folder)
    parts = pd.DataFrame(
        [
            (part.month or "", part.table, part.rows, part.amount, part.size)
            for part in manifest.parts
        ],
        columns=["month", "table", "rows", "amount", "size"],
    )
    rows = [
        {
            "month": month,
            "table": table,
            "files": len(group),
            "rows": int(group["rows"].sum()),
            "amount": _sum(group["amount"].dropna().tolist()),
            "size": int(group["size"].sum()),
            "state": manifest.months.get(str(month), ""),
        }
        for (month, table), group in parts.groupby(["month", "table"])
    ]
    return pd.DataFrame(
        rows, columns=["month", "table", "files", "rows", "amount", "size", "state"]
    )


def verify_archive(folder: str | Path) -> pd.DataFrame:
    """Read all files of an archive or a snapshot and compare them with its manifest.

    Parameters
    ----------
    folder
        The archive.

    Returns
    -------
    pandas.DataFrame
        One row per problem: ``month``, ``table``, ``file`` and ``problem``, which names the
        column; no rows if each file has the rows, sums and checksums that were written.

    Raises
    ------
    ArchiveError
        The folder has no manifest, or a damaged one.

    Examples
    --------
    >>> verify_archive("no_such_folder")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArchiveError: There is no folder 'no_such_folder'.
    """
    folder = Path(folder)
    problems = [
        (part.month or "", part.table, part.path, problem)
        for part in read_manifest(folder).parts
        for problem in check_part(folder, part)
    ]
    return pd.DataFrame(problems, columns=["month", "table", "file", "problem"])


def _sum(amounts: list[str]) -> str | None:
    return str(sum(map(Decimal, amounts), Decimal())) if amounts else None
