"""The fraud report: fraud rates of a period, over time and by group, fraud types and losses."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.dates import parse_range
from synfin_analytics.metrics._clusters import MIN_RELIABLE as MIN_CLUSTERS
from synfin_analytics.reports import _fraud_sections as sections
from synfin_analytics.reports._extremes import MIN_FRAUDS
from synfin_analytics.reports._fraud_results import FraudComputation, FraudResults
from synfin_analytics.reports._groups import By, check_grouping
from synfin_analytics.reports._model_results import open_session
from synfin_analytics.reports._page import Finding, Report, versions_table
from synfin_analytics.reports.model import ModelReport
from synfin_analytics.reports.provenance import Provenance, format_bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound


@dataclass(frozen=True, eq=False, repr=False)
class FraudReport(FraudResults, Report):
    """Report on the fraud of a period, created by :func:`fraud_report`.

    It displays itself in a notebook.

    Attributes
    ----------
    statistics
        Result of :meth:`TransactionRepository.get_statistics`.
    first, last
        Times of the first and the last transaction.
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
    confidence_level
        Of all intervals.
    source
        Description of the transactions.
    notes
        Sentences of the caller, as on rows that were not loaded.
    model
        Report on a model to be summarized; or the reason why there is none; or None.
    provenance, created_at
        How to reproduce the report, and when it was created.
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
            "group_figures": sections.group_figures(self),
            "merchants_title": sections.merchants_title(self),
            "interval": sections.confidence_interval_name(self),
            "min_frauds": MIN_FRAUDS,
            "min_clusters": MIN_CLUSTERS,
            "model": self.model if isinstance(self.model, ModelReport) else None,
        }


def fraud_report(
    start: Bound = None,
    end: Bound = None,
    *,
    by: By = None,
    session: Session | None = None,
    every: str | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    merchants: int = 10,
    confidence_level: float = 0.95,
    source: str | None = None,
    notes: Sequence[str] = (),
) -> FraudReport:
    """Report on the fraud of a period: how much, when, where, and of which type.

    Parameters
    ----------
    start, end
        Period of the transactions: from ``start`` on and before ``end``; by default all. A date
        without a time is its midnight UTC, so that ``end="2026-02-01"`` excludes the 1st of
        February.
    by
        Columns of ``transactions`` to compare groups of, as ``["channel", "country"]``; a tuple of
        columns forms groups of both. By default two columns with few values, and bins of the
        amount; ``[]`` for none.
    session
        Where to read; by default a session of :func:`get_db_manager` that sees one snapshot of the
        database.
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

    Returns
    -------
    FraudReport
        ``.save("report.html")`` writes the page; its numbers are attributes.

    Raises
    ------
    ArgumentError
        The period has no transactions, a bound is not a date, or a column of ``by`` identifies a
        person.
    NotFoundError
        A column does not exist; the message names similar ones.

    Examples
    --------
    >>> import datetime as dt
    >>> from synfin_analytics import get_db_manager, get_db_session, load_df, simulate
    >>> get_db_manager().create_all_tables()
    >>> world = simulate(30, 20, days=30, start=dt.date(1998, 1, 1))
    >>> with get_db_session() as session:
    ...     for table, df in world.to_dict().items():
    ...         _ = load_df(df, table, session=session)
    ...     report = fraud_report("1998-01-01", "1998-02-01", by=["channel"], session=session)
    ...     session.rollback()
    >>> report.title
    'Fraud report: Transactions from 1998-01-01 to before 1998-02-01'
    >>> report.to_frame()[["name", "text"]].head(3)
               name       text
    0  transactions        841
    1    fraud rate      0.71%
    2  fraud amount  1,085 EUR
    """
    merchants = check_integer(merchants, "merchants")
    period = parse_range(start, end)
    groupings = None if by is None else check_grouping(by)
    edges = None if bins is None else {name: [*map(float, cuts)] for name, cuts in bins.items()}
    values: dict[str, tuple[Any, Any]] = {
        "start": (format_bound(start), None),
        "end": (format_bound(end), None),
        "by": (groupings, None),
        "every": (every, None),
        "bins": (edges, None),
        "merchants": (merchants, 10),
        "confidence_level": (confidence_level, 0.95),
    }
    options = {name: value for name, (value, default) in values.items() if value != default}
    with open_session(session) as session:
        computation = FraudComputation(session, period, confidence_level)
        return FraudReport(
            **computation.compute(groupings, every, bins, merchants),
            source=source or _describe_period(start, end),
            notes=tuple(notes),
            provenance=Provenance.from_call(
                session, computation.query, "fraud_report", (), options
            ),
            created_at=dt.datetime.now(dt.UTC),
        )


def _describe_period(start: Bound, end: Bound) -> str:
    first, after = format_bound(start), format_bound(end)
    if first is None and after is None:
        return "All transactions in the database"
    if first is None:
        return f"Transactions before {after}"
    return f"Transactions from {first} {'on' if after is None else f'to before {after}'}"
