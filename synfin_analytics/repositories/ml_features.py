"""Engineered features: computed from the transactions in the database and stored there."""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import narwhals as nw
import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Double,
    Integer,
    and_,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    text,
    true,
    values,
)

from synfin_analytics._core.arguments import check_confidence_level, check_names, parse_size
from synfin_analytics._core.dates import parse_duration, parse_range
from synfin_analytics.database.models import Customer, Merchant, MLFeatures, Transaction
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.features import INPUT_COLUMNS
from synfin_analytics.features.buckets import BucketedTransactions, BucketOptions
from synfin_analytics.io.load import load_df
from synfin_analytics.io.load.types import LoadReport
from synfin_analytics.io.read import read_batches, read_df
from synfin_analytics.io.sources import open_source
from synfin_analytics.metrics.drift import (
    CURRENT,
    REFERENCE,
    VALUE,
    Drift,
    check_binning,
    check_disjoint,
    drift_from_counts,
    parse_period,
)
from synfin_analytics.repositories._validation import savepoint
from synfin_analytics.repositories.base import BaseRepository, RowsT
from synfin_analytics.repositories.transactions import between_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import polars as pl
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.output import Output
    from synfin_analytics.database.models import Base

    Period: TypeAlias = tuple[dt.datetime | None, dt.datetime | None]


class MLFeaturesRepository(BaseRepository[MLFeatures, RowsT]):
    """Engineered features, one row per transaction.

    See :class:`BaseRepository` for the parameters and the common methods.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     MLFeaturesRepository(session).count()
    0
    """

    model = MLFeatures

    # fmt: off
    @overload
    def __init__(self: MLFeaturesRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: MLFeaturesRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: MLFeaturesRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on

    def get_by_transaction_id(self, transaction_id: str) -> MLFeatures | None:
        """Return the features of a transaction.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     MLFeaturesRepository(session).get_by_transaction_id("no such id") is None
        True
        """
        return self._find("transaction_id", transaction_id)

    def engineer(
        self,
        *,
        label_delay: str | dt.timedelta | None = None,
        start: Bound = None,
        end: Bound = None,
        memory: str | int = "2GB",
    ) -> LoadReport:
        """Compute the features of the transactions in the database and store them.

        Existing features are replaced. All of it is one savepoint of the session's transaction.
        The transactions are read once, and computed in groups of customers and of merchants from
        temporary files of about 300 bytes a row, which does not change the result.

        Parameters
        ----------
        label_delay
            Default: each label became known at ``label_available_at``, or immediately where that is
            NULL. A duration such as ``"7d"`` ignores that column, and each label becomes known that
            long after its transaction.
        start, end
            Only features of transactions at or after ``start`` and before ``end``; a date without
            a time is its midnight UTC. All earlier transactions are their history, so that each day
            adds its own.
        memory
            About how much memory to use: bytes, or a size such as ``"500MB"``. All rows of one
            customer, or of one merchant, are in memory at a time, however many they are.

        Returns
        -------
        LoadReport
            Numbers of inserted and updated rows.

        Raises
        ------
        ArgumentError
            ``end`` is not later than ``start``, the delay is negative, or ``memory`` is no size.

        See Also
        --------
        synfin_analytics.engineer_features : The same for DataFrames.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     features = MLFeaturesRepository(session)
        ...     features.engineer(start="1999-01-01", end="1999-02-01").inserted
        0
        """
        period = parse_range(start, end)
        delay = None if label_delay is None else parse_duration(label_delay, "label_delay")
        size = parse_size(memory, "memory")
        self._flush()
        with savepoint(self.session):
            return _engineer(self.session, period, delay, size)

    def measure_drift(
        self,
        columns: str | Sequence[str] | None = None,
        *,
        reference: tuple[Bound, Bound],
        current: tuple[Bound, Bound],
        bins: int | Mapping[str, Sequence[float]] = 10,
        confidence_level: float = 0.95,
    ) -> Drift:
        """Measure the drift of features between two periods inside PostgreSQL.

        The result equals that of :func:`synfin_analytics.measure_drift` for the same rows.
        PostgreSQL reads the rows once and returns one count for each distinct value of a feature.

        Parameters
        ----------
        columns
            Features; all by default.
        reference, current
            Start and end of both periods of transactions, such as ``("2026-01-01", "2026-02-01")``;
            None leaves a side open.
        bins
            Number of bins of a numeric feature, with equally many rows of the reference; or a dict
            of features and the edges between their bins, for others 10.
        confidence_level
            Of the PSI that is exceeded by chance.

        Returns
        -------
        Drift

        Raises
        ------
        NotFoundError
            There is no such feature; the message suggests the nearest.
        ArgumentError
            A period has no features, the periods overlap, or an argument is out of range.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     MLFeaturesRepository(session).measure_drift(
        ...         "amount_lgo", reference=(None, "2026-02-01"), current=("2026-02-01", None)
        ...     )
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no feature 'amount_lgo' in ...
        """
        available = MLFeatures.feature_names()
        names = check_names(available if columns is None else columns, "columns")
        for name in names:
            if name not in available:
                raise NotFoundError("feature", name, available, location="'ml_features'")
        check_binning(bins, names)
        check_confidence_level(confidence_level)
        periods = parse_period(reference, "reference"), parse_period(current, "current")
        check_disjoint(*periods)
        self._flush()
        counts = _count_values(self.session, names, periods)
        return drift_from_counts(counts, bins=bins, confidence_level=confidence_level)


def _count_values(
    session: Session, names: Sequence[str], periods: Sequence[Period]
) -> dict[str, nw.DataFrame[Any]]:
    """Count each value of features in two periods, in one pass over the rows."""
    table = MLFeatures.__table__
    is_boolean = {name: isinstance(table.c[name].type, Boolean) for name in names}
    # A row for each feature of a transaction, with its value as a number or a boolean.
    cells = (
        values(column("feature", Integer), column("number", Double), column("flag", Boolean))
        .data(
            [
                (
                    literal(index),
                    cast(None if is_boolean[name] else table.c[name], Double),
                    cast(table.c[name] if is_boolean[name] else None, Boolean),
                )
                for index, name in enumerate(names)
            ]
        )
        .alias("cells")
        .lateral()
    )
    inside = [and_(true(), *between_times(*period)) for period in periods]
    keys = (cells.c.feature, cells.c.number, cells.c.flag)
    query = (
        select(
            *keys,
            *(
                func.count().filter(rows).label(name)
                for rows, name in zip(inside, (REFERENCE, CURRENT), strict=True)
            ),
        )
        .select_from(table.join(Transaction.__table__).join(cells, onclause=true()))
        .where(or_(*inside))
        .group_by(*keys)
    )
    counts: nw.DataFrame[Any] = nw.from_native(
        read_df(query, session=session, output="polars"), eager_only=True
    )
    return {
        name: counts.filter(nw.col("feature") == index).select(
            nw.col("flag" if is_boolean[name] else "number").alias(VALUE), REFERENCE, CURRENT
        )
        for index, name in enumerate(names)
    }


def _engineer(
    session: Session, period: Period, label_delay: dt.timedelta | None, memory: int
) -> LoadReport:
    started = time.perf_counter()
    start, end = period
    customers = _read_columns(session, Customer, INPUT_COLUMNS["customers"])
    merchants = _read_columns(session, Merchant, INPUT_COLUMNS["merchants"])
    columns, delay = [*INPUT_COLUMNS["transactions"]], None
    if label_delay is not None:
        columns.remove("label_available_at")
        delay = label_delay // dt.timedelta(microseconds=1)
    options = BucketOptions(delay, start, end, memory)
    n_rows = session.execute(_ESTIMATED_ROWS, {"name": Transaction.__tablename__}).scalar_one()
    with tempfile.TemporaryDirectory(prefix="synfin-features-") as scratch:
        transactions = BucketedTransactions.from_frames(
            customers, merchants, options, Path(scratch), n_rows
        )
        with read_batches(_with_history(columns, period), session=session) as batches:
            rows = pa.RecordBatchReader.from_batches(batches.schema, batches)
            transactions.read(open_source(rows, options.batch_rows).batches)
        load = partial(load_df, table=MLFeatures, on_conflict="update", session=session)
        reports = list(map(load, transactions.features()))  # one table in memory at a time
    return LoadReport(
        table=reports[0].table,
        inserted=sum(report.inserted for report in reports),
        updated=sum(report.updated for report in reports),
        skipped=0,
        rejected=reports[0].rejected,
        seconds=time.perf_counter() - started,
    )


#: PostgreSQL's own estimate, which needs no pass over the table; -1 where there is none.
_ESTIMATED_ROWS = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:name)")


def _with_history(columns: Sequence[str], period: Period) -> Select[tuple[object, ...]]:
    """Transactions of a period, and all earlier ones of their customers and merchants."""
    start, end = period
    query = select(*(Transaction.__table__.c[name] for name in columns)).where(
        *between_times(None, end)
    )
    if start is None:
        return query
    same_parties = (
        key.in_(select(key).where(*between_times(*period)))
        for key in (Transaction.customer_id, Transaction.merchant_id)
    )
    return query.where(or_(Transaction.timestamp >= start, *same_parties))


def _read_columns(session: Session, model: type[Base], columns: Sequence[str]) -> pl.DataFrame:
    query = select(*(model.__table__.c[name] for name in columns))
    return read_df(query, session=session, output="polars")
