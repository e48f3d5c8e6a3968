"""The fraud report: fraud rates of a period, over time and by group, fraud types and losses."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, overload

from synfin_analytics._core.arguments import check_column_name, check_integer, format_value
from synfin_analytics._core.dates import parse_range, parse_time
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._clusters import MIN_RELIABLE as MIN_CLUSTERS
from synfin_analytics.reports import _fraud_sections as sections
from synfin_analytics.reports._archived import ArchivedTransactions
from synfin_analytics.reports._cached import cached_results
from synfin_analytics.reports._database import (
    StoredTransactions,
    compute_in_session,
    name_merchants,
    query_of_transactions,
)
from synfin_analytics.reports._frame import FrameTransactions
from synfin_analytics.reports._groups import MIN_FRAUDS, By, check_groupings
from synfin_analytics.reports._lazy_rows import LazyRows, closing_rows, open_lazy_rows
from synfin_analytics.reports._lazy_transactions import LazyTransactions
from synfin_analytics.reports._loaded import group_columns
from synfin_analytics.reports._maturity import nowcast_figure
from synfin_analytics.reports._page import Finding, Report, versions_table
from synfin_analytics.reports._reading import read_rows
from synfin_analytics.reports._results import FraudResults, compute_fraud
from synfin_analytics.reports._rows import Roles
from synfin_analytics.reports.model import ModelReport
from synfin_analytics.reports.provenance import Provenance, format_bound
from synfin_analytics.repositories._cached import PERSONAL_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from narwhals.typing import IntoFrame
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.reports._sources import FraudSource


@dataclass(frozen=True, eq=False, repr=False)
class FraudReport(FraudResults, Report):
    """Report on the fraud of a period, created by :func:`fraud_report`.

    It displays itself in a notebook.

    Attributes
    ----------
    statistics
        Counts and amounts, as of :meth:`TransactionRepository.get_statistics`; of a frame,
        ``anomaly_count`` is always 0.
    first, last
        Times of the first and the last transaction; None if times are not known.
    amounts
        By currency (NULL is one): ``transactions``, ``amount``, ``labelled_amount``,
        ``fraud_amount``, ``lost_amount`` (without frauds that were declined or failed), and how
        many frauds were ``unsuccessful`` (declined or failed) or ``returned`` (reversed or
        refunded).
    delays
        The delays of labels.
    overall
        Result of ``fraud_rate`` of all transactions: one row.
    rates
        Results of ``fraud_rate`` by group, for each grouping.
    every, over_time
        Length of a period, and the result of ``fraud_rate`` by period.
    types
        Frauds by type, the most frequent first: ``fraud_type``, ``frauds``, ``fraud_amount``,
        ``lost_amount`` and the ``share`` of all losses. With several currencies, amounts are not
        comparable, and the share is that of all frauds.
    merchants
        Those with the largest losses (with several currencies: with the most frauds):
        ``merchant_id``, ``name``, the columns of ``fraud_rate``, ``lost_amount`` and the ``share``
        of all losses (or frauds).
    maturity
        By week: ``timestamp``, ``transactions``, ``labelled``, ``labelled_share``, ``recorded``
        and ``median_delay``.
    nowcast
        Known and estimated final fraud rates by week; see
        :func:`synfin_analytics.nowcast_fraud_rate`. The reason, if there are too few weeks or
        frauds or a time is wrong; None if no label has a time.
    confidence_level
        Of all intervals.
    omitted
        Sections that are left out, and the reason: ``"time"``, ``"merchants"``, ``"types"``, ...
    remarks
        What was noticed about the data, as sentences; they are among the caveats too.
    knowledge
        With ``as_of``, that time (``as_of``), and how many labels (``n_labels``) and frauds
        (``n_frauds``) became known later; otherwise None.
    source
        Description of the transactions.
    notes
        Sentences of the caller, as on rows that were not loaded.
    model
        Report on a model to be summarized; or the reason why there is none; or None.
    provenance, created_at
        How to reproduce the report, and when its numbers were computed.

    Examples
    --------
    >>> from synfin_analytics import fraud_report, simulate
    >>> report = fraud_report(simulate(30, 20, days=30).transactions, label="is_fraud")
    >>> report.title, report.overall["transactions"].tolist()
    ('Fraud report: All transactions', [849])
    """

    source: str
    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime
    model: ModelReport | str | None = None

    _template: ClassVar[str] = "fraud.html.j2"

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Fraud report: {self.source}"

    @property
    def findings(self) -> list[Finding]:
        """Sentences of the summary, each with the number that supports it."""
        return list(sections.findings(self))

    @property
    def caveats(self) -> list[str]:
        """What the numbers cannot show."""
        return list(sections.caveats(self))

    def _context(self) -> Mapping[str, object]:
        return {
            "tables": sections.tables(self) | {"versions": versions_table(self.provenance)},
            "time_figure": sections.time_figure(self),
            "nowcast_figure": nowcast_figure(self.nowcast),
            "group_figures": sections.group_figures(self),
            "merchants_title": sections.merchants_title(self),
            "interval": sections.confidence_interval_name(self),
            "min_frauds": MIN_FRAUDS,
            "min_clusters": MIN_CLUSTERS,
            "model": self.model if isinstance(self.model, ModelReport) else None,
        }


@overload
def fraud_report(
    df: None = ...,
    *,
    start: Bound = ...,
    end: Bound = ...,
    as_of: Bound = ...,
    by: By = ...,
    session: Session | None = ...,
    archive: str | Path | None = ...,
    cache: bool = ...,
    every: str | None = ...,
    bins: Mapping[str, Sequence[float]] | None = ...,
    merchants: int = ...,
    confidence_level: float = ...,
    source: str | None = ...,
    notes: Sequence[str] = ...,
) -> FraudReport: ...
@overload
def fraud_report(
    df: IntoFrame | TransactionSource | str | Path,
    *,
    label: str,
    timestamp: str | None = ...,
    amount: str | None = ...,
    customer: str | None = ...,
    merchant: str | None = ...,
    currency: str | None = ...,
    status: str | None = ...,
    fraud_type: str | None = ...,
    label_available_at: str | None = ...,
    pos_label: object = ...,
    start: Bound = ...,
    end: Bound = ...,
    as_of: Bound = ...,
    by: By = ...,
    every: str | None = ...,
    bins: Mapping[str, Sequence[float]] | None = ...,
    merchants: int = ...,
    confidence_level: float = ...,
    source: str | None = ...,
    notes: Sequence[str] = ...,
    separator: str | None = ...,
    encoding: str | None = ...,
    decimal: str | None = ...,
    thousands: str | None = ...,
    date_format: str | None = ...,
    timezone: str | None = ...,
) -> FraudReport: ...
def fraud_report(
    df: Any = None,
    *,
    label: str | None = None,
    timestamp: str | None = None,
    amount: str | None = None,
    customer: str | None = None,
    merchant: str | None = None,
    currency: str | None = None,
    status: str | None = None,
    fraud_type: str | None = None,
    label_available_at: str | None = None,
    pos_label: Any = None,
    start: Bound = None,
    end: Bound = None,
    as_of: Bound = None,
    by: By = None,
    session: Session | None = None,
    archive: str | Path | None = None,
    cache: bool = True,
    every: str | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    merchants: int = 10,
    confidence_level: float = 0.95,
    source: str | None = None,
    notes: Sequence[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
) -> FraudReport:
    """Report on the fraud of a period: how much, when, where, and of which type.

    ``fraud_report(df, label="isFraud", timestamp="when", amount="amount")`` needs no database. Each
    further column adds sections; the report lists those that are left out, and why
    (``report.omitted``). Without ``df``, the report is on the transactions in the database.

    Parameters
    ----------
    df
        A row for each transaction: a frame of pandas, polars (eager or lazy), pyarrow, DuckDB,
        Dask or PySpark, or the path of a file that :func:`load_df` reads. The engine of a lazy or
        distributed frame counts for itself. Columns are read into memory if one of them has to be
        parsed (texts of amounts, times or labels without ``pos_label``; Python objects), if
        ``timezone`` is given, or if times depend on the engine's time zone and that is not UTC;
        those of files and frames in memory always are. DuckDB and Spark read them for names with a
        dot, a quotation mark or a backtick, or with white space at an end, too.
    label
        Column of the labels of ``df``: true or 1 for fraud, missing for no label.
    timestamp, amount, customer, merchant, currency, status, fraud_type, label_available_at
        Columns of ``df`` with the times, amounts, customers, merchants, currencies and statuses of
        the transactions, the types of frauds, and the times at which labels arrived. ``currency``
        may be a code instead, such as ``"EUR"``. Texts of amounts may have a currency sign or code.
    pos_label
        The label that means fraud, if labels are not true or false: ``"yes"``.
    start, end
        Period of the transactions: from ``start`` on and before ``end``; by default all. A date
        without a time is its midnight UTC, so that ``end="2026-02-01"`` excludes the 1st of
        February.
    as_of
        Report what was known at this date (its midnight UTC) or time: only transactions before it,
        and a label that became known later counts as missing, as in
        :func:`synfin_analytics.fraud_rate`. Of a frame, it needs ``timestamp`` and
        ``label_available_at``.
    by
        Columns to compare groups of, as ``["channel", "country"]``; a tuple of columns forms groups
        of both. By default two columns with few values, and bins of the amount; ``[]`` for none.
    session
        Where to read stored transactions; by default a session of :func:`get_db_manager` that sees
        one snapshot of the database.
    archive
        Folder of :func:`archive_transactions` whose transactions are reported on, too. All are read
        into memory then.
    cache
        False to compute stored transactions in any case, although the numbers may be in the cache
        (``DB_CACHE_URL``).
    every
        Length of the periods over time, as in :func:`synfin_analytics.fraud_rate`; by default days,
        weeks or months, depending on the range.
    bins
        Columns of numbers to compare bins of, with the edges between them.
    merchants
        How many merchants to list: those with the largest losses.
    confidence_level
        Confidence level of the intervals.
    source
        Description of the transactions.
    notes
        Sentences to add.
    separator, encoding, decimal, thousands, date_format, timezone
        How a file, or texts in a frame, are written, as for :func:`load_df`.

    Returns
    -------
    FraudReport
        ``.save("report.html")`` writes the page; its numbers are attributes.

    Raises
    ------
    ArgumentError
        There are no transactions, a bound or ``as_of`` is not a date, a label is not true or false,
        cells of a column are not what it means, a column that ``as_of`` needs is missing, or a
        column of ``by`` identifies a person.
    NotFoundError
        A column does not exist; the message names similar ones.

    Examples
    --------
    >>> import datetime as dt
    >>> from synfin_analytics import get_db_manager, get_db_session, load_df, simulate
    >>> world = simulate(30, 20, days=30, start=dt.date(1998, 1, 1))
    >>> report = fraud_report(
    ...     world.transactions, label="is_fraud", timestamp="timestamp", by=["channel"]
    ... )
    >>> report.to_frame()[["name", "text"]].head(2)
               name   text
    0  transactions    841
    1    fraud rate  0.71%

    From the database:

    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     for table, df in world.to_dict().items():
    ...         _ = load_df(df, table, session=session)
    ...     report = fraud_report(
    ...         start="1998-01-01", end="1998-02-01", by=["channel"], session=session
    ...     )
    ...     session.rollback()
    >>> report.title
    'Fraud report: Transactions from 1998-01-01 to before 1998-02-01'
    """
    merchants = check_integer(merchants, "merchants")
    period, known = parse_range(start, end), parse_time(as_of, "as_of")
    edges = None if bins is None else {name: [*map(float, cuts)] for name, cuts in bins.items()}
    values: dict[str, tuple[Any, Any]] = {
        "start": (format_bound(start), None),
        "end": (format_bound(end), None),
        "as_of": (format_bound(as_of), None),
        "every": (every, None),
        "bins": (edges, None),
        "merchants": (merchants, 10),
        "confidence_level": (confidence_level, 0.95),
    }
    changed = {name: value for name, (value, default) in values.items() if value != default}
    columns: dict[str, Any] = {
        "label": label, "timestamp": timestamp, "amount": amount, "customer": customer,
        "merchant": merchant, "currency": currency, "status": status, "fraud_type": fraud_type,
        "label_available_at": label_available_at,
    }  # fmt: skip
    texts: dict[str, Any] = {
        "separator": separator, "encoding": encoding, "decimal": decimal, "thousands": thousands,
        "date_format": date_format, "timezone": timezone,
    }  # fmt: skip
    options: Any = {
        "every": every, "bins": edges, "n_merchants": merchants,
        "confidence_level": confidence_level,
    }  # fmt: skip
    described: Any = {
        "source": source or _describe_period(start, end, "in the database" if df is None else ""),
        "notes": tuple(notes),
    }
    for_frames = {**columns, "pos_label": pos_label, **texts}
    for_frames = {name: value for name, value in for_frames.items() if value is not None}
    if df is None:
        _refuse_columns(for_frames)
        groupings = None
        if by is not None:
            names = Transaction.__table__.c.keys()
            groupings = check_groupings(by, names, PERSONAL_COLUMNS, "'transactions'")
            changed = {"by": groupings, **changed}
        if archive is not None:
            changed = {"archive": str(archive), **changed}
        names = [*group_columns(groupings), *(edges or ())]

        def compute(session: Session) -> FraudReport:
            def measure() -> dict[str, Any]:
                rows: FraudSource
                if archive is None:
                    rows = StoredTransactions(session, period, confidence_level, known, names)
                else:
                    rows = ArchivedTransactions(
                        session, archive, period, confidence_level, known, names
                    )
                return compute_fraud(rows, by=groupings, amount="amount", **options)

            question = (period, known, groupings, options)
            results = cached_results(
                session, "fraud_report", question, measure, enabled=cache and archive is None
            )
            results["merchants"] = name_merchants(session, results["merchants"], archive)
            query = query_of_transactions(period, known)
            provenance = Provenance.from_call(session, query, "fraud_report", (), changed)
            return FraudReport(**results, provenance=provenance, **described)

        return compute_in_session(session, compute)
    _check_frame_call(df, label, session, archive, cache=cache)
    arguments: Any = {
        "by": by, "bins": list(edges or ()), "period": period, "as_of": known,
        "pos_label": pos_label, "options": ReadOptions(**texts), "caller": "fraud_report",
    }  # fmt: skip
    roles = Roles(**columns)
    with closing_rows(open_lazy_rows(df, roles, **arguments)) as lazy:
        rows = read_rows(df, roles, **arguments) if lazy is None else lazy
        frame: FraudSource = (
            LazyTransactions(rows, confidence_level)
            if isinstance(rows, LazyRows)
            else FrameTransactions(rows, confidence_level)
        )
        results = compute_fraud(frame, by=rows.by, amount=amount, **options)
    if rows.by is not None:
        for_frames["by"] = rows.by
    return FraudReport(
        **results,
        provenance=Provenance.from_data(df, rows.n_rows, "fraud_report", for_frames | changed),
        created_at=dt.datetime.now(dt.UTC),
        **described,
    )


def _refuse_columns(columns: Mapping[str, Any]) -> None:
    for name in columns:
        raise ArgumentError(
            f"`{name}` is for a frame or file: fraud_report(df, label='isFraud', ...)."
        )


def _check_frame_call(
    df: Any,
    label: str | None,
    session: Session | None,
    archive: str | Path | None,
    *,
    cache: bool,
) -> None:
    if label is None:
        raise ArgumentError(
            "fraud_report needs the column of labels of a frame, fraud_report(df, "
            'label="isFraud"), or no frame for the database, fraud_report(start="2026-01-01"); got '
            f"{format_value(df)}."
        )
    given = {"session": session, "archive": archive, "cache": None if cache else cache}
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(f"`{name}` is for the database; got it with a frame.")
    check_column_name(label, "label")


def _describe_period(start: Bound, end: Bound, place: str) -> str:
    first, after = format_bound(start), format_bound(end)
    if first is None and after is None:
        return f"All transactions {place}".rstrip()
    if first is None:
        return f"Transactions before {after}"
    return f"Transactions from {first} {'on' if after is None else f'to before {after}'}"
