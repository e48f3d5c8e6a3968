"""DataFrames into PostgreSQL: :func:`load_df`."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.validation.faults import Faults
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.logging import logger
from synfin_analytics.database.models import model_of
from synfin_analytics.database.schema._search_path import schema_of_tables
from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    LoadError,
    NotFoundError,
)
from synfin_analytics.io._prefetch import ahead
from synfin_analytics.io._progress import progress_bar
from synfin_analytics.io._sources import can_be_read_again, open_source
from synfin_analytics.io.load._lookup import STUBS
from synfin_analytics.io.load._prepare import match_columns, prepare
from synfin_analytics.io.load._transaction import load_transaction
from synfin_analytics.io.load._writer import Writer, wait_for_writers
from synfin_analytics.io.load.report import LabelCounts, LoadReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.orm import Session

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.models import Base
    from synfin_analytics.io._sources import Source
    from synfin_analytics.io.load._prepare import Prepared

OnInvalid = Literal["raise", "reject"]
OnMissingParent = Literal["raise", "create"]
OnConflict = Literal["error", "skip", "update"]
RebuildIndexes = Literal["auto", "always", "never"]

#: Rows that are checked and sent at a time; with 56 columns some 30 MB.
BATCH_ROWS = 65_536


def load_df(
    df: Any,
    table: str | type[Base],
    *,
    columns: Mapping[str, str | None] | None = None,
    on_invalid: OnInvalid = "raise",
    on_missing_parent: OnMissingParent = "raise",
    on_conflict: OnConflict = "error",
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    rebuild_indexes: RebuildIndexes = "auto",
    progress: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    currency: bool | str = False,
) -> LoadReport:
    """Load rows into a table: every cell checked, all rows or none.

    Parameters
    ----------
    df
        A pandas, polars (eager or lazy) or pyarrow frame, a DuckDB relation or anything else with
        an Arrow stream, the path of a file (Parquet, CSV, JSON lines, Excel or Arrow, also
        compressed), or a list of dicts or ORM objects. Read in batches: it may be larger than
        memory.
    table
        Name of the table, or its model.
    columns
        Names of columns of ``df`` that are called otherwise in the table, as
        ``{"TX_AMOUNT": "amount"}``; None leaves a column out.
    on_invalid
        ``"raise"``: one error that lists every problem, and nothing is loaded. ``"reject"``: the
        good rows are loaded, the bad cells are in ``report.rejected``.
    on_missing_parent
        ``"create"`` makes customers and merchants that are named but do not exist, with no more
        than their key.
    on_conflict
        What to do with a row whose primary key the table has already (or its natural key, where
        the primary key counts itself): refuse it, ``"skip"`` it, or ``"update"`` the columns that
        are given. For an update alone, ``df`` needs no more than the key and what has changed.
    session
        Join the transaction of this session, which its owner commits: until then nobody else
        reads a table that the load has locked. Otherwise the load is a transaction of its own.
    manager
        Database to load into, unless a session says so; :func:`get_db_manager` by default.
    rebuild_indexes
        ``"auto"``: a large load into an empty table locks it, and builds its indexes afterwards.
        ``"always"`` does so for a table that has rows, ``"never"`` not at all.
    progress
        Show a progress bar; by default on a terminal and in a notebook.
    separator, encoding
        Of a CSV file: the character between fields (by default the one of ``, ; tab |`` that the
        header has), and the encoding of the text (UTF-8 by default).
    decimal, thousands
        Marks in numbers that are texts: ``decimal=","``, ``thousands="."``.
    date_format
        How dates that are texts are written, as ``"%d/%m/%Y %H:%M"``; ISO 8601 by default.
    timezone
        Zone of times without an offset, as ``"Europe/Berlin"``; UTC by default. A time that the
        clocks skip, or show twice, is refused.
    currency
        True to read numbers with a currency sign or code, as ``"$12.50"``, or only with the sign
        given; parentheses and a minus at the end then mean a negative number.

    Returns
    -------
    LoadReport
        Counts, duration and rejected cells.

    Raises
    ------
    InvalidDataError
        The data are not as the table wants them; every problem is listed.
    NotFoundError
        There is no such table, or no such column in the data.
    LoadError
        The server, the network or the disk broke the load off; nothing was loaded. A load that
        ended because it and another session waited for each other is tried once more first, if it
        is a transaction of its own and ``df`` can be read twice.

    Notes
    -----
    Integers are taken for texts (an identifier that is a number) and 0 and 1 for booleans. Nothing
    else is converted silently: a float with more decimals than the column is refused, not rounded.
    A float counts with the 15 significant digits that a double holds for sure, so that the product
    85.64999999999999 is 85.65.

    A naive timestamp is read as UTC. NaN in a NumPy column of pandas is NULL, since NumPy has no
    other way to say so; elsewhere NaN is a value, and refused.

    Examples
    --------
    >>> import polars as pl
    >>> load_df(pl.DataFrame({"merchant": ["M1"]}), "merchants")
    Traceback (most recent call last):
    synfin_analytics.exceptions.InvalidDataError: Nothing was loaded into 'merchants':
      merchant: is not a column of the table ...
    """
    require_thread_pool()
    _check_choices(on_invalid, on_missing_parent, on_conflict, rebuild_indexes)
    spec = spec_of(model_of(table))
    create = on_missing_parent == "create"
    others = [one.table for one in spec.references if one.table not in STUBS]
    if create and others:
        raise ArgumentError(
            f'on_missing_parent="create" makes customers and merchants; a row of {others[0]!r} '
            f"is more than its key. Load {others[0]!r} first."
        )
    options = ReadOptions(separator, encoding, decimal, thousands, date_format, timezone, currency)
    request = _Request(
        df,
        spec,
        options,
        columns,
        on_invalid,
        create,
        on_conflict,
        session,
        manager,
        rebuild_indexes,
        progress,
        time.perf_counter(),
    )
    try:
        return _load(request)
    except LoadError as error:
        if not error.deadlock or session is not None or not can_be_read_again(df):
            raise
        logger.info("load: %s waited for another session, which waited for it; once more", table)
    return _load(dataclasses.replace(request, queued=True))


@dataclasses.dataclass(frozen=True)
class _Request:
    """What :func:`load_df` was asked for."""

    df: Any
    spec: TableSpec
    options: ReadOptions
    columns: Mapping[str, str | None] | None
    on_invalid: OnInvalid
    create: bool
    on_conflict: OnConflict
    session: Session | None
    manager: DatabaseManager | None
    rebuild_indexes: RebuildIndexes
    progress: bool | None
    started: float
    #: Wait first until no other session writes the same tables.
    queued: bool = False


def _load(request: _Request) -> LoadReport:
    spec, on_invalid, on_conflict = request.spec, request.on_invalid, request.on_conflict
    session = request.session
    source = open_source(request.df, BATCH_ROWS, request.options)
    if source.height == 0 and not source.names:  # an empty list does not say what it lacks
        return LoadReport(spec.name, 0, 0, 0, Faults().rejected().to_pandas(), 0.0)
    try:
        targets = match_columns(
            source.names,
            spec,
            request.columns,
            partial=on_conflict == "update",
            index=source.index,
        )
    except InvalidDataError as error:
        raise noted(error, source.note) from None
    except NotFoundError as error:
        error.args = (f"{error} {source.note}".rstrip(),)
        raise
    faults = Faults()
    labels = LabelCount() if on_invalid == "reject" and "is_fraud" in targets.values() else None
    with (
        # Closed last: nothing reads the caller's source any more once the load has ended.
        contextlib.closing(
            ahead(_prepared(source, spec, targets, faults, labels), depth=1)
        ) as prepared,
        load_transaction(session, request.manager, spec.name) as cursor,
        progress_bar(spec.name, source.height, show=request.progress) as bar,
    ):
        spec = dataclasses.replace(spec, schema=schema_of_tables(cursor))
        if request.queued and request.rebuild_indexes != "never":
            wait_for_writers(cursor, spec)
        writer = Writer(
            cursor,
            spec,
            list(targets.values()),
            faults,
            create_parents=request.create,
            on_conflict=on_conflict,
            rebuild_indexes=request.rebuild_indexes,
        )
        for batch in prepared:
            writer.write(batch)
            bar.update(batch.frame.height)
        writer.finish()
        if faults and on_invalid == "raise":
            raise noted(faults.error(spec.name), source.note)
    seconds = time.perf_counter() - request.started
    rows = writer.inserted + writer.updated
    logger.info("load: %s, %d rows in %.1f s", spec.name, rows, seconds)
    if session is not None and on_conflict == "update":
        session.expire_all()  # what it has read may have changed
    rejected = faults.rejected()
    return LoadReport(
        table=spec.name,
        inserted=writer.inserted,
        updated=writer.updated,
        skipped=writer.skipped,
        rejected=rejected.to_pandas(),
        seconds=seconds,
        labels=None if labels is None else labels.without(rejected["row"]),
    )


def _prepared(
    source: Source,
    spec: TableSpec,
    targets: Mapping[str, str],
    faults: Faults,
    labels: LabelCount | None,
) -> Iterator[Prepared]:
    for batch in source.batches:
        prepared = prepare(batch, spec, targets, faults, options_of=source.options_of)
        if labels is not None:
            labels.add(prepared.frame["is_fraud"])
        yield prepared


class LabelCount:
    """Labels of all rows of a load, a byte for each: which rows are refused shows at the end."""

    def __init__(self) -> None:
        self._labels: list[pl.Series] = []

    def add(self, labels: pl.Series) -> None:
        """Take the labels of the next batch."""
        self._labels.append(labels.cast(pl.Int8))

    def without(self, rejected: pl.Series) -> LabelCounts | None:
        """Count the labels, and those of the rows that were refused; None if there are none."""
        labels = pl.concat([pl.Series([], dtype=pl.Int8), *self._labels])
        refused = labels.gather(rejected.unique())
        if not labels.count():
            return None
        return LabelCounts(labels.count(), int(labels.sum()), refused.count(), int(refused.sum()))


def noted(error: InvalidDataError, note: str) -> InvalidDataError:
    """Add how a file was read to an error of columns that are not there, or of unread texts."""
    unread = any(
        not problem.rows or problem.reason.startswith(("is not ", "is neither "))
        for problem in error.problems
    )
    return InvalidDataError(error.table, error.problems, note) if note and unread else error


def _check_choices(
    on_invalid: str, on_missing_parent: str, on_conflict: str, rebuild_indexes: str
) -> None:
    for name, value, allowed in (
        ("on_invalid", on_invalid, ("raise", "reject")),
        ("on_missing_parent", on_missing_parent, ("raise", "create")),
        ("on_conflict", on_conflict, ("error", "skip", "update")),
        ("rebuild_indexes", rebuild_indexes, ("auto", "always", "never")),
    ):
        if value not in allowed:
            raise ArgumentError(f"`{name}` must be one of {', '.join(allowed)}; got {value!r}.")
