"""The report of a period: how much fraud, where, when, of what kind, and how much is known yet."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import func, select

from synfin_analytics._core import arguments
from synfin_analytics._core.dates import parse_range
from synfin_analytics.database.models import Merchant, Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import _clusters as clusters
from synfin_analytics.reports import _extremes as extremes
from synfin_analytics.reports import _fraud_narrative as fraud_words
from synfin_analytics.reports import _fraud_tables as fraud_tables
from synfin_analytics.reports import _groups as groupings
from synfin_analytics.reports import _queries as facts
from synfin_analytics.reports._page import Finding, Page
from synfin_analytics.reports.model import opened
from synfin_analytics.reports.model_page import ModelReport
from synfin_analytics.reports.provenance import Provenance, plain
from synfin_analytics.repositories import TransactionRepository
from synfin_analytics.repositories.transactions import between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics.reports.model import By
    from synfin_analytics.repositories.transactions import TransactionStatistics

_BANDS = {"amount": (10, 25, 50, 100, 200)}
#: Periods of a picture: months of more than two years, weeks of more than two months.
_MONTHS, _WEEKS = 730, 60


@dataclass(frozen=True, eq=False, repr=False)
class FraudReport(Page):
    """Fraud of a period at a glance; :func:`fraud_report` makes it. It shows itself in a notebook.

    Attributes
    ----------
    source
        Where the transactions come from, in words.
    statistics
        What :meth:`TransactionRepository.get_statistics` returns.
    first, last
        Moments of the first and the last transaction.
    amounts
        By currency, NULL is one: ``transactions``, ``amount``, ``labelled_amount``,
        ``fraud_amount``, ``lost_amount`` (without frauds that were declined or failed), and how
        many frauds were ``not_paid`` (declined or failed) or ``returned`` (reversed or refunded).
    labels
        How labels were delayed.
    overall
        Result of ``fraud_rate`` of all transactions: one row.
    rates
        Results of ``fraud_rate`` by group, each under what makes the groups.
    every, over_time
        Length of a period, and the result of ``fraud_rate`` by period.
    types
        Frauds by their type, those with the most first: ``fraud_type``, ``frauds``,
        ``fraud_amount``, ``lost_amount`` and the ``share`` of all losses. With several currencies,
        amounts have no meaning, and the share is that of all frauds.
    merchants
        Those with the largest losses (with several currencies: with the most frauds):
        ``merchant_id``, ``name``, the columns of ``fraud_rate``, ``lost_amount`` and the ``share``
        of all losses (or frauds).
    maturity
        By week: ``timestamp``, ``transactions``, ``labelled``, ``share`` labelled, ``delayed`` and
        ``median`` delay.
    notes
        Sentences of the caller, as of rows that were not loaded.
    model
        Report of a model, to be told of beside; or why there is none; or None.
    provenance, created_at
        How to compute it again, and when it was made.
    """

    source: str
    statistics: Mapping[str, Any]
    first: dt.datetime
    last: dt.datetime
    amounts: pd.DataFrame
    labels: facts.Labels
    overall: pd.DataFrame
    rates: Mapping[str, pd.DataFrame]
    every: str
    over_time: pd.DataFrame
    types: pd.DataFrame
    merchants: pd.DataFrame
    maturity: pd.DataFrame
    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime
    level: float
    model: ModelReport | str | None = None

    _template: ClassVar[str] = "fraud.html.j2"

    @property
    def currency(self) -> str:
        """Currency of the amounts; "" where it is not recorded, or not only one."""
        return facts.only_currency(self.amounts["currency"].tolist())

    @property
    def several_currencies(self) -> bool:
        """Whether amounts cannot be added up; an unknown currency beside another is one."""
        return len(self.amounts) > 1

    @property
    def title(self) -> str:
        """What the report is about."""
        return f"Fraud at a glance: {self.source}"

    @property
    def findings(self) -> list[Finding]:
        """Say it in words, each sentence with the number that it follows from."""
        return list(fraud_words.findings(self))

    @property
    def caveats(self) -> list[str]:
        """Say what its numbers cannot tell."""
        return list(fraud_words.caveats(self))

    def _sections(self) -> dict[str, Any]:
        return {
            "tables": fraud_tables.tables(self),
            "pictures": fraud_tables.pictures(self),
            "merchants_title": fraud_tables.merchants_title(self),
            "few": extremes.FEW,
            "reliable": clusters.MIN_RELIABLE,
            "model": self.model if isinstance(self.model, ModelReport) else None,
        }

    def __repr__(self) -> str:
        words = "\n".join(f"- {sentence}" for sentence in self.summary_text())
        return f"{self.title}\n{words.replace(chr(160), ' ')}"


def fraud_report(
    start: Bound = None,
    end: Bound = None,
    by: By = None,
    *,
    session: Session | None = None,
    every: str | None = None,
    bins: Mapping[str, Sequence[float]] | None = None,
    merchants: int = 10,
    level: float = 0.95,
    source: str | None = None,
    notes: Sequence[str] = (),
) -> FraudReport:
    """Report how much fraud there was in a period, where, when and of what kind.

    Parameters
    ----------
    start, end
        Period of the transactions: from ``start`` on and before ``end``; by default all. A date
        without a time is its midnight UTC, so that ``end="2026-02-01"`` excludes the 1st of
        February.
    by
        Columns of ``transactions`` to compare groups of, as ``["channel", "country"]``; a tuple of
        columns makes groups of both. By default two that have few values, and the amount in bands;
        ``[]`` is none.
    session
        Where to read; by default one of :func:`get_db_manager`, which sees one moment of the
        database.
    every
        Length of the periods over time, as in :func:`synfin_analytics.fraud_rate`; by default days,
        weeks or months, as suits the range.
    bins
        Columns of numbers to compare bands of, with the edges between them.
    merchants
        How many merchants are listed, those with the largest losses.
    level
        Confidence of the intervals.
    source
        Where the transactions come from, in words.
    notes
        Sentences to add.

    Returns
    -------
    FraudReport
        ``.save("report.html")`` writes the page; every number of it is in the attributes.

    Raises
    ------
    ArgumentError
        There is no transaction of these dates, they are no dates, or a column of ``by`` tells who
        somebody is.
    NotFoundError
        There is no such column; the message names the nearest.
    """
    merchants = arguments.check_integer(merchants, "merchants")
    period = parse_range(start, end)
    wanted = None if by is None else groupings.listed(by)
    asked: dict[str, tuple[Any, Any]] = {
        "start": (plain(start), None),
        "end": (plain(end), None),
        "by": (wanted, None),
        "every": (every, None),
        "bins": (
            None if bins is None else {name: [*map(float, edges)] for name, edges in bins.items()},
            None,
        ),
        "merchants": (merchants, 10),
        "level": (level, 0.95),
    }
    given = {name: value for name, (value, usual) in asked.items() if value != usual}
    with opened(session) as session:
        maker = _Maker(session, period, level)
        total = maker.rate()  # first, for it says what is wrong with a database without tables
        known = maker.known()
        every = every or _usual_period((known["last"] - known["first"]).days)
        amounts = facts.amounts(session, maker.of)
        if bins is None:  # a band of several currencies holds small and large payments alike
            bins = _BANDS if wanted is None and len(amounts) == 1 else {}
        query: Any = select(*_ROW)
        return FraudReport(
            source=source or "All transactions of the database"
            if start is None and end is None
            else source or _dates(start, end),
            statistics=maker.statistics(),
            overall=total,
            rates=maker.rates(wanted, bins),
            every=every,
            over_time=maker.rate(every=every),
            amounts=amounts,
            types=maker.types(_shared_by(amounts)),
            merchants=maker.merchants(merchants, _shared_by(amounts)),
            maturity=maker.maturity(),
            notes=tuple(notes),
            level=level,
            provenance=Provenance.of(
                session, maker.of(query).order_by(Transaction.timestamp), "fraud_report", given,
                "fraud",
            ),
            created_at=dt.datetime.now(dt.UTC),
            **known,
        )  # fmt: skip


def _shared_by(amounts: pd.DataFrame) -> str:
    """Column by which types and merchants are compared: losses, where they are in one currency."""
    return "lost_amount" if len(amounts) == 1 else "frauds"


def _usual_period(days: int) -> str:
    return "1mo" if days > _MONTHS else "1w" if days > _WEEKS else "1d"


def _dates(start: Bound, end: Bound) -> str:
    if start is None:
        return f"Transactions before {plain(end)}"
    return f"Transactions from {plain(start)} {'on' if end is None else f'to before {plain(end)}'}"


class _Maker:
    """What all parts of a report are computed from."""

    def __init__(
        self, session: Session, period: tuple[dt.datetime | None, dt.datetime | None], level: float
    ) -> None:
        self.session, self.period, self.level = session, period, level
        self.repository = TransactionRepository(session)

    def of(self, query: Select[Any]) -> Select[Any]:
        """Let a query be of the report's transactions."""
        return query.where(*between(*self.period))

    def rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        found: pd.DataFrame = self.repository.fraud_rate(
            by, start=self.period[0], end=self.period[1], confidence_level=self.level, **options
        )
        return found

    def statistics(self) -> TransactionStatistics:
        start, end = self.period
        last = None if end is None else end - dt.timedelta.resolution  # that method includes it
        return self.repository.get_statistics(start, last)

    def known(self) -> dict[str, Any]:
        """First and last transaction, and how labels were delayed."""
        query: Any = select(
            func.min(Transaction.timestamp).label("first"),
            func.max(Transaction.timestamp).label("last"),
            *facts.Labels.columns(Transaction.is_fraud.is_not(None)),
        )
        found = facts.one(self.session, self.of(query))
        if found["first"] is None:
            raise ArgumentError(
                "There is no transaction to report on"
                + (" in this range of dates." if any(self.period) else ": load some first.")
            )
        return found

    def rates(
        self, by: list[str | tuple[str, ...]] | None, bins: Mapping[str, Sequence[float]]
    ) -> dict[str, pd.DataFrame]:
        wanted = groupings.chosen(self.session, self.of) if by is None else by
        found = {groupings.named(one): self.rate(one) for one in wanted}
        bands = {groupings.named(name): self.rate(bins={name: bins[name]}) for name in bins}
        return found | bands

    def types(self, shared_by: str) -> pd.DataFrame:
        found = facts.losses(self.session, Transaction.__table__.c.fraud_type, self.of)
        return fraud_tables.shared(found, shared_by)

    def merchants(self, most: int, shared_by: str) -> pd.DataFrame:
        lost = facts.losses(self.session, Transaction.__table__.c.merchant_id, self.of)
        lost = fraud_tables.shared(lost, shared_by)
        lost = lost[lost[shared_by] > 0]
        lost = lost.sort_values(shared_by, ascending=False, kind="stable").head(most)
        rates = self.rate("merchant_id")
        found = rates.merge(lost[["merchant_id", "lost_amount", "share"]], on="merchant_id")
        order = lost["merchant_id"].tolist()
        found = found.set_index("merchant_id").loc[order].reset_index()
        names = select(Merchant.merchant_id, Merchant.name).where(Merchant.merchant_id.in_(order))
        known = {row.merchant_id: row.name for row in self.session.execute(names)}
        found.insert(1, "name", [known[merchant] or "" for merchant in order])
        return found

    def maturity(self) -> pd.DataFrame:
        return facts.maturity(self.session, self.of)


#: What the rows of a report hold: enough to compute each of its numbers again.
_ROW = (
    Transaction.transaction_id,
    Transaction.timestamp,
    Transaction.customer_id,
    Transaction.merchant_id,
    Transaction.amount,
    Transaction.is_fraud,
    Transaction.fraud_type,
    Transaction.label_available_at,
)
