"""The rows of a report in memory: what their columns mean, and counts of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.fraud_rates import fraud_rate
from synfin_analytics.reports._groups import choose_first
from synfin_analytics.reports._sources import UNSUCCESSFUL, LabelDelays

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._sources import Knowledge

#: Years of transactions; others are those of placeholders such as 9999-12-31.
YEARS = (1900, 2100)


@dataclasses.dataclass(frozen=True)
class Roles:
    """Columns of the frame by what they mean; None where there is none."""

    label: str
    score: str | None = None
    compare_with: str | None = None
    timestamp: str | None = None
    customer: str | None = None
    merchant: str | None = None
    amount: str | None = None
    weight: str | None = None
    currency: str | None = None
    status: str | None = None
    fraud_type: str | None = None
    label_available_at: str | None = None
    entity: str | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        for name, column in self.given.items():
            check_column_name(column, name)
        for first, second in (
            ("label", "score"),
            ("label", "compare_with"),
            ("score", "compare_with"),
            ("customer", "merchant"),
        ):
            if self.given.get(first) == self.given.get(second, 0):
                raise ArgumentError(
                    f"`{first}` and `{second}` must be different columns; got "
                    f"{self.given[first]!r} for both."
                )

    @property
    def numbers(self) -> set[str]:
        """Columns of labels and scores, which are no groups."""
        return {self.label, *filter(None, (self.score, self.compare_with))}

    @property
    def identifiers(self) -> set[str]:
        """Columns of which only equality and order matter: those with no other role."""
        names = ("customer", "merchant", "entity", "cluster")
        others = {column for name, column in self.given.items() if name not in names}
        return {self.given[name] for name in names if name in self.given} - others

    @property
    def repeated(self) -> list[str]:
        """Columns that are the same in a row that is there twice; none if they would not tell."""
        if self.timestamp is None or self.customer is None:
            return []
        return [name for name in (self.customer, self.timestamp, self.amount) if name]

    @property
    def given(self) -> dict[str, str]:
        """Roles that have a column, and the column."""
        return {name: column for name, column in vars(self).items() if column is not None}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a report, in memory, in types that can be counted.

    Attributes
    ----------
    frame
        The columns under the names that the caller knows.
    roles
        What they mean.
    by
        Columns to group by; None for a choice by the data.
    candidates
        Columns that are grouped by if the caller names none.
    currency
        Currency of all amounts, if it is known and there is no column of currencies.
    remarks
        What was noticed, as sentences.
    knowledge
        What was not known yet at the time of the report; None if all is counted.
    texts
        By column of codes, the texts that these stand for.
    """

    frame: pl.DataFrame
    roles: Roles
    by: list[Grouping] | None
    candidates: tuple[str, ...]
    currency: str | None
    remarks: tuple[str, ...]
    knowledge: Knowledge | None = None
    texts: Mapping[str, pl.Series] = dataclasses.field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    def decode(self, frame: pl.DataFrame, name: str, column: str | None = None) -> pl.DataFrame:
        """Replace the codes of a column by their texts, in a frame that may call it otherwise."""
        column = column or name
        if name not in self.texts or column not in frame.columns:
            return frame
        return frame.with_columns(self.texts[name].gather(frame[column]).alias(column))

    def count_values(self, name: str) -> int:
        """Count the distinct values of a column; NULL is one."""
        return self.frame[name].n_unique()

    def choose_groupings(self) -> list[Grouping]:
        """Return columns with several values, but few."""
        return choose_first(self.candidates, self.count_values)

    def find_missing_times(self) -> str:
        """Return why what needs times is left out; "" if it is not."""
        if self.roles.timestamp is None:
            return "No column of times was given (timestamp)."
        times = self.frame[self.roles.timestamp]
        years = times.dt.year()
        first, last = (years.min(), years.max()) if len(years.drop_nulls()) else (None, None)
        return describe_missing_times(self.roles.timestamp, times.null_count(), first, last)  # type: ignore[arg-type]

    @property
    def clusters(self) -> list[str]:
        """Columns that make transactions dependent."""
        return [name for name in (self.roles.customer, self.roles.merchant) if name is not None]

    def fraud_rate(
        self, by: Any = None, *, confidence_level: float, with_amount: bool = True, **options: Any
    ) -> pd.DataFrame:
        """Return the fraud rate as a pandas frame; a period is named ``timestamp``."""
        roles, bins, every = self.roles, options.get("bins") or {}, options.get("every")
        groups = {*([by] if isinstance(by, str) else by or ()), *bins}
        rates: pl.DataFrame = fraud_rate(
            self.frame,
            [*([by] if isinstance(by, str) else by or ())],
            timestamp=roles.timestamp or "timestamp",
            amount=roles.amount if with_amount else None,
            label=roles.label,
            cluster=[name for name in self.clusters if name not in groups] or None,
            confidence_level=confidence_level,
            **options,
        )
        if every is not None and roles.timestamp is not None:
            rates = rates.rename({roles.timestamp: "timestamp"})
        for name in groups:
            rates = self.decode(rates, name)
        return rates.to_pandas()

    def label_delays(self) -> LabelDelays:
        """Return the delays of labels."""
        roles = self.roles
        if roles.timestamp is None or roles.label_available_at is None:
            return LabelDelays(0, None, None, None)
        labelled = self.frame.filter(pl.col(roles.label).is_not_null())
        delays = (labelled[roles.label_available_at] - labelled[roles.timestamp]).drop_nulls()
        if not len(delays):
            return LabelDelays(0, None, None, None)
        microseconds = delays.dt.total_microseconds().to_numpy()
        median, p90, longest = (
            dt.timedelta(microseconds=float(np.quantile(microseconds, share)))
            for share in (0.5, 0.9, 1)
        )
        return LabelDelays(len(delays), median, p90, longest)

    def currencies(self, rows: pl.DataFrame) -> list[str | None]:
        """Return the distinct currencies of rows, the most frequent first."""
        if self.roles.currency is None:
            return [self.currency]
        counts = rows[self.roles.currency].value_counts(sort=True, name="__count")
        return counts[self.roles.currency].to_list()

    def with_losses(self) -> pl.DataFrame:
        """Return the rows with the amount, currency and status of each, and if it was successful.

        The columns are ``__amount``, ``__currency_name``, ``__status`` and ``__successful``.
        """
        roles = self.roles
        amount = pl.lit(0.0) if roles.amount is None else pl.col(roles.amount).cast(pl.Float64)
        currency = pl.lit(self.currency, dtype=pl.String)
        if roles.currency is not None:
            currency = pl.col(roles.currency).cast(pl.String)
        status = pl.lit("") if roles.status is None else pl.col(roles.status).cast(pl.String)
        status = status.fill_null("")
        return self.frame.with_columns(
            amount.alias("__amount"),
            currency.alias("__currency_name"),
            status.alias("__status"),
            (~status.is_in(UNSUCCESSFUL)).alias("__successful"),
        )


def describe_missing_times(name: str, n_missing: int, first: int | None, last: int | None) -> str:
    """Return why what needs times is left out; "" if it is not.

    Parameters
    ----------
    name
        Column of times.
    n_missing
        Rows without one.
    first, last
        Years of the first and the last time.
    """
    if n_missing:
        return f"Rows have no time in {name!r}."
    for year in (last, first):
        if year is not None and not YEARS[0] <= year <= YEARS[1]:
            return f"Times in {name!r} are of the year {year}."
    return ""


def placeholder_years(times: pl.Series) -> pl.Series:
    """Return the years of times that stand for an unknown time, such as 9999-12-31."""
    years = times.drop_nulls().dt.year()
    return years.filter(~years.is_between(*YEARS))
