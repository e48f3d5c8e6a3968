"""DataFrames into PostgreSQL: :func:`load_df`.

The data go straight down: source, batches, checked batches, written batches, finished load.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, get_args, overload

import polars as pl

from synfin_analytics._core.arguments import check_integer, format_value
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.prefetch import prefetch
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.outcome import rejected_cells, summarize
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.logging import logger
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import model_of
from synfin_analytics.database.protection import config_of, require_confirmation
from synfin_analytics.database.schema import schema_of_tables
from synfin_analytics.exceptions import ArgumentError, InvalidDataError, LoadError
from synfin_analytics.io.archive._manifest import is_manifest_folder
from synfin_analytics.io.archive._restore import restore
from synfin_analytics.io.load._check import check_batches, match_columns
from synfin_analytics.io.load._keys import CREATABLE
from synfin_analytics.io.load._transaction import load_transaction
from synfin_analytics.io.load._write import Writer
from synfin_analytics.io.load.types import (
    LabelCounts,
    LoadReport,
    OnConflict,
    OnInvalid,
    OnMissingParent,
    RebuildIndexes,
)
from synfin_analytics.io.sources import is_rereadable, open_source

if find_spec("ipywidgets") is None:  # without it, tqdm.auto warns in every notebook
    from tqdm import tqdm
else:
    from tqdm.auto import tqdm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sqlalchemy.orm import Session

    from synfin_analytics._core.types import DataSource
    from synfin_analytics._core.validation.outcome import CellErrors
    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.models import Base
    from synfin_analytics.io._source import Source

#: Rows that are checked and written at a time; with 56 columns some 30 MB.
BATCH_ROWS = 65_536
#: Seconds before a progress bar appears: a short load needs none.
_PROGRESS_DELAY = 1.0


@overload
def load_df(
    df: DataSource,
    table: str | type[Base],
    *,
    columns: Mapping[str, str | None] | None = ...,
    on_invalid: OnInvalid = ...,
    on_missing_parent: OnMissingParent = ...,
    on_conflict: OnConflict = ...,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
    rebuild_indexes: RebuildIndexes = ...,
    confirm: str | None = ...,
    progress: bool | None = ...,
    separator: str | None = ...,
    encoding: str | None = ...,
    decimal: str | None = ...,
    thousands: str | None = ...,
    date_format: str | None = ...,
    timezone: str | None = ...,
    currency: bool | str = ...,
    batch_size: int | None = ...,
) -> LoadReport: ...
@overload
def load_df(
    df: str | Path,
    table: None = ...,
    *,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
) -> dict[str, LoadReport]: ...
def load_df(
    df: DataSource,
    table: str | type[Base] | None = None,
    *,
    columns: Mapping[str, str | None] | None = None,
    on_invalid: OnInvalid = "raise",
    on_missing_parent: OnMissingParent = "raise",
    on_conflict: OnConflict = "error",
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    rebuild_indexes: RebuildIndexes = "auto",
    confirm: str | None = None,
    progress: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    currency: bool | str = False,
    batch_size: int | None = None,
) -> LoadReport | dict[str, LoadReport]:
    """Load rows into a table: every cell is validated, and all rows are loaded or none.

    Parameters
    ----------
    df
        A pandas, polars (eager or lazy) or pyarrow frame, a DuckDB relation or any other object
        with an Arrow stream, a Dask or PySpark DataFrame, the path of a file (Parquet, CSV, JSON
        lines, Excel or Arrow, also compressed), or a list of dicts or ORM objects. It is read in
        batches and may be larger than memory.
    table
        Name of the table, or its model. A folder that :func:`archive_transactions` or ``synfin
        snapshot`` wrote needs none: its tables are restored in one transaction, exactly as they
        were. Rows that the database has are skipped.
    columns
        Names of columns of ``df`` that differ from the table's, such as
        ``{"TX_AMOUNT": "amount"}``; None leaves a column out.
    on_invalid
        ``"raise"``: one error lists every problem, and nothing is loaded. ``"reject"``: the valid
        rows are loaded, and the invalid cells are in ``report.rejected``.
    on_missing_parent
        ``"create"`` creates customers and merchants that the rows refer to and that do not exist,
        with their key only.
    on_conflict
        What to do with a row whose primary key exists in the table (or whose natural key exists,
        if the database numbers the primary key): reject it, ``"skip"`` it, or ``"update"`` the
        columns that ``df`` has. An update alone needs no more than the key and the new values.
    session
        Join the transaction of this session, which its owner commits: until then others cannot
        read a table that the load has locked. Otherwise the load is a transaction of its own.
    manager
        Database to load into, unless there is a session; :func:`get_db_manager` by default.
    rebuild_indexes
        Whether to lock the table, drop its keys and indexes, and build them again from all rows,
        which is faster for many rows. ``"auto"``: for a large load into an empty table of the
        embedded server; a server that others may use is left alone. ``"always"``: in any table of
        any server, however many rows. ``"never"``: not at all.
    confirm
        Name of the database, which a protected one requires for ``rebuild_indexes="always"``.
    progress
        Show a progress bar; by default on a terminal and in a notebook.
    separator, encoding
        For CSV files: the character between fields (by default the one of ``, ; tab |`` that the
        header has), and the encoding of the text (by default UTF-8).
    decimal, thousands
        Marks in numbers that are texts: ``decimal=","``, ``thousands="."``.
    date_format
        Format of dates that are texts, such as ``"%d/%m/%Y %H:%M"``; by default ISO 8601.
    timezone
        Time zone of times without an offset, such as ``"Europe/Berlin"``; by default UTC. A time
        that the clocks skip or show twice is rejected.
    currency
        True to read numbers with a currency sign or code, such as ``"$12.50"``, or one sign to
        accept; parentheses and a minus at the end then mean a negative number.
    batch_size
        Number of rows that are validated and copied at a time; by default 65,536. Smaller batches
        need less memory and more time; all of them are one transaction.

    Returns
    -------
    LoadReport
        Counts, duration and rejected cells; of each table by its name if a folder is restored.

    Raises
    ------
    ArchiveError
        A file of the folder to restore is missing or damaged.
    InvalidDataError
        The table does not accept the data; every problem is listed.
    NotFoundError
        The table, or a column of ``columns``, does not exist.
    ProtectedDatabaseError
        The indexes of a protected database would be dropped, and ``confirm`` is not its name.
    LoadError
        The server, the network or the disk ended the load; nothing was loaded. A load that ended
        in a deadlock is tried once more first, if it is a transaction of its own and ``df`` can be
        read twice.

    Notes
    -----
    Integers are accepted for texts (an identifier that is a number) and 0 and 1 for booleans.
    Nothing else is converted silently: a float with more decimals than the column is rejected, not
    rounded. Of a float the 15 significant digits count that a double holds for sure, so that the
    product 85.64999999999999 is 85.65.

    A Dask or PySpark DataFrame arrives partition by partition; the next one is computed while one
    is written. All of them are one transaction, and rows are numbered over all partitions. Spark's
    session must be in UTC if there are timestamps.

    A naive timestamp is read as UTC. NaN in a NumPy column of pandas is NULL, because NumPy has no
    other representation of it; elsewhere NaN is a value, and rejected.

    Examples
    --------
    >>> import polars as pl
    >>> from synfin_analytics import DatabaseManager
    >>> manager = DatabaseManager()
    >>> manager.create_all_tables()
    >>> df = pl.DataFrame({"merchant_id": ["M1", "M2"], "name": ["Café", None]})
    >>> with manager.get_session() as session:  # without session.commit(), this is a dry run
    ...     report = load_df(df, "merchants", session=session)
    >>> report.inserted
    2
    >>> manager.close()

    >>> load_df(pl.DataFrame({"merchant": ["M1"]}), "merchants")
    Traceback (most recent call last):
    synfin_analytics.exceptions.InvalidDataError: Nothing was loaded into 'merchants':
      merchant: is not a column of the table ...
    """
    require_thread_pool()
    _check_choices(on_invalid, on_missing_parent, on_conflict, rebuild_indexes)
    if table is None or (isinstance(df, (str, Path)) and is_manifest_folder(df)):
        return _restore_folder(df, table, session, manager)
    spec = spec_of(model_of(table))
    create_parents = _check_parents(spec, on_missing_parent)
    options = ReadOptions(separator, encoding, decimal, thousands, date_format, timezone, currency)
    batch_rows = _check_batch_size(batch_size)
    _check_confirmation(rebuild_indexes, confirm, session, manager, spec.name)
    started = time.perf_counter()

    def load(*, after_deadlock: bool = False) -> LoadReport:
        """Read, check and write all batches in one transaction."""
        source = open_source(df, batch_rows, options)
        if source.height == 0 and not source.names:  # an empty list has no columns to check
            return LoadReport(spec.name, 0, 0, 0, rejected_cells([]).to_pandas(), 0.0)
        targets = match_columns(source, spec, columns, partial=on_conflict == "update")
        batches = prefetch(check_batches(source, spec, targets), depth=1)
        errors: list[CellErrors] = []
        # Of all rows, one byte each: which rows are rejected is known at the end.
        labels: list[pl.Series] = []
        with (
            # Closed last: once the load has ended, nothing reads the caller's source any more.
            contextlib.closing(batches),
            load_transaction(session, manager, spec.name) as cursor,
            _progress_bar(spec.name, source.height, show=progress) as bar,
        ):
            writer = Writer(
                cursor,
                dataclasses.replace(spec, schema=schema_of_tables(cursor)),
                list(targets.values()),
                create_parents=create_parents,
                on_conflict=on_conflict,
                rebuild_indexes=rebuild_indexes,
            )
            if after_deadlock:
                writer.wait_for_others()
            for batch in batches:
                writer.write(batch)
                errors += batch.errors
                if "is_fraud" in batch.frame.columns:
                    labels.append(batch.frame["is_fraud"].cast(pl.Int8))
                bar.update(batch.frame.height)
            errors += writer.finish()
            if errors and on_invalid == "raise":
                raise _invalid_data(spec, errors, source)
        _expire(session, on_conflict)
        seconds = time.perf_counter() - started
        return _report(spec, writer, errors, labels if on_invalid == "reject" else [], seconds)

    try:
        return load()
    except LoadError as error:
        if not error.deadlock or session is not None or not is_rereadable(df):
            raise
        logger.info("load: %s ended in a deadlock with another session; trying again", table)
    return load(after_deadlock=True)


def _check_confirmation(
    rebuild_indexes: str,
    confirm: str | None,
    session: Session | None,
    manager: DatabaseManager | None,
    table: str,
) -> None:
    """Require the name of a protected database before its indexes are dropped."""
    if rebuild_indexes != "always" and confirm is None:
        return
    if session is not None:
        config = config_of(session.connection())
    else:
        config = (manager or get_db_manager()).config
    require_confirmation(config, f"drop and rebuild the indexes of {table!r}", confirm)


def _restore_folder(
    df: DataSource,
    table: str | type[Base] | None,
    session: Session | None,
    manager: DatabaseManager | None,
) -> LoadReport | dict[str, LoadReport]:
    if not isinstance(df, (str, Path)) or not is_manifest_folder(df):
        raise ArgumentError(
            "`table` must be the name of a table or a model, unless `df` is a folder that "
            "`synfin db archive` or `synfin snapshot` wrote; got None."
        )
    reports = restore(df, table, session=session, manager=manager)
    return reports if table is None else reports[model_of(table).__tablename__]


def _expire(session: Session | None, on_conflict: OnConflict) -> None:
    """Let a session read again what an update may have changed."""
    if session is not None and on_conflict == "update":
        session.expire_all()


def _invalid_data(
    spec: TableSpec, errors: Sequence[CellErrors], source: Source
) -> InvalidDataError:
    # How a file was read explains cells that were not parsed.
    not_parsed = any(error.reason.startswith("is not ") for error in errors)
    return InvalidDataError(spec.name, summarize(errors), source.note if not_parsed else "")


def _report(
    spec: TableSpec,
    writer: Writer,
    errors: Sequence[CellErrors],
    labels: Sequence[pl.Series],
    seconds: float,
) -> LoadReport:
    rows = writer.inserted + writer.updated
    logger.info("load: %s, %d rows in %.1f s", spec.name, rows, seconds)
    rejected = rejected_cells(errors)
    return LoadReport(
        table=spec.name,
        inserted=writer.inserted,
        updated=writer.updated,
        skipped=writer.skipped,
        rejected=rejected.to_pandas(),
        seconds=seconds,
        labels=_count_labels(pl.concat(labels), rejected["row"]) if labels else None,
    )


def _progress_bar(title: str, total: int | None, *, show: bool | None) -> tqdm[Any]:
    """Return a bar that counts rows; if ``show`` is None, visible in interactive use only."""
    interactive = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(
        desc=title,
        total=total,
        unit=" rows",
        unit_scale=True,
        disable=not (interactive if show is None else show),
        delay=0 if show else _PROGRESS_DELAY,
    )


def _count_labels(labels: pl.Series, rejected_rows: pl.Series) -> LabelCounts | None:
    """Count the labels of all rows and of the rejected ones; None if there are no labels."""
    if not labels.count():
        return None
    rejected = labels.gather(rejected_rows.unique())
    return LabelCounts(labels.count(), int(labels.sum()), rejected.count(), int(rejected.sum()))


def _check_parents(spec: TableSpec, on_missing_parent: OnMissingParent) -> bool:
    """Return whether to create parents; raise if they cannot be created from their key alone."""
    parents = [key.table for key in spec.foreign_keys if key.table not in CREATABLE]
    if on_missing_parent == "create" and parents:
        raise ArgumentError(
            f'`on_missing_parent` must be "raise" for {spec.name!r}; got "create", which creates '
            f"customers and merchants only. Load {parents[0]!r} first."
        )
    return on_missing_parent == "create"


def _check_batch_size(batch_size: int | None) -> int:
    return BATCH_ROWS if batch_size is None else check_integer(batch_size, "batch_size", minimum=1)


def _check_choices(
    on_invalid: str, on_missing_parent: str, on_conflict: str, rebuild_indexes: str
) -> None:
    for name, value, choices in (
        ("on_invalid", on_invalid, get_args(OnInvalid)),
        ("on_missing_parent", on_missing_parent, get_args(OnMissingParent)),
        ("on_conflict", on_conflict, get_args(OnConflict)),
        ("rebuild_indexes", rebuild_indexes, get_args(RebuildIndexes)),
    ):
        if value not in choices:
            listed = ", ".join(f'"{choice}"' for choice in choices)
            raise ArgumentError(f"`{name}` must be one of {listed}; got {format_value(value)}.")
