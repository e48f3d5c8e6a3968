"""Nowcast of the fraud rate: the final rate of recent weeks, with the frauds still to be known.

An engine counts the triangle of each group (:mod:`synfin_analytics.metrics._triangle`); the
prediction follows from these few numbers (:mod:`synfin_analytics.metrics._chain_ladder`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import escape

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import (
    NO_VALUE,
    format_confidence_level,
    format_group,
    format_number,
    format_percent,
    format_percent_interval,
    pluralize,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result, draw
from synfin_analytics.metrics._aggregate import Groups
from synfin_analytics.metrics._chain_ladder import Development, interval, predict
from synfin_analytics.metrics._triangle import count_triangles, merge_triangles
from synfin_analytics.metrics.maturity import check_maturity, describe_untimed

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from narwhals.typing import IntoFrame

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.results import Display
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Floats
    from synfin_analytics.metrics._triangle import GroupKey, Triangle

_ENDS = ("", "_low", "_high")
#: Columns of a result, whose names no group may have.
MEASURES = (
    "cohort", "observed_ages", "mature", "transactions", "amount",
    "known_frauds", "known_fraud_amount", "known_share", "chain_ladder_frauds",
    *(f"estimated_frauds{end}" for end in _ENDS),
    *(f"estimated_fraud_amount{end}" for end in _ENDS),
    "known_fraud_bps", *(f"estimated_fraud_bps{end}" for end in _ENDS),
    "known_fraud_rate", *(f"estimated_fraud_rate{end}" for end in _ENDS),
)  # fmt: skip
#: Complete cohorts and known frauds that a prediction needs (benchmarks/nowcast.py).
_MIN_COHORTS, _MIN_FRAUDS = 6, 10
#: With fewer mature cohorts, the delays may be longer than the history.
_MIN_MATURE = 3
#: Rows that a notebook shows: the latest ones.
_MAX_ROWS = 30


@dataclass(frozen=True, eq=False, repr=False)
class FraudRateNowcast(Result):
    """Known and estimated final fraud rates; :func:`nowcast_fraud_rate` returns it.

    Attributes
    ----------
    cohorts
        What :meth:`to_frame` returns, a row for each group and cohort; see
        :func:`nowcast_fraud_rate`.
    by
        Columns of the groups.
    every
        Length of a cohort, and the unit of ages.
    as_of
        The labels are those known at this moment; None without any transaction.
    mature_age
        A cohort is mature if this age has been observed; None if the history is too short to say
        which age that is.
    confidence_level
        Of the prediction intervals.
    caveats
        What the history is too short for, in sentences.

    Examples
    --------
    >>> import polars as pl
    >>> start = pl.datetime(2026, 1, 5, time_zone="UTC")
    >>> df = pl.select(timestamp=start + pl.duration(weeks=pl.int_range(0, 240) // 24))
    >>> delay = pl.int_range(0, 240) % 3
    >>> df = df.with_columns(
    ...     is_fraud=pl.int_range(0, 240) % 2 == 0,
    ...     label_available_at=pl.col("timestamp") + pl.duration(weeks=delay),
    ... )
    >>> nowcast = nowcast_fraud_rate(df, as_of="2026-03-16", amount=None)
    >>> nowcast
    FraudRateNowcast(10 cohorts of 1w, 8 of them mature; 2026-03-09: 33.3% known, 50.0% estimated)
    >>> nowcast.to_frame()["known_frauds"].tolist()
    [12, 12, 12, 12, 12, 12, 12, 12, 12, 8]
    """

    cohorts: pd.DataFrame
    by: tuple[str, ...]
    every: str
    as_of: dt.datetime | None
    mature_age: int | None
    confidence_level: float
    caveats: tuple[str, ...]

    def plot(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw known and estimated rates over time; see :func:`synfin_analytics.plot_fraud_rate`.

        Parameters
        ----------
        ax, title
            As for that function.

        Examples
        --------
        >>> import pandas as pd
        >>> df = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-05"]), "is_fraud": [True]})
        >>> df["label_available_at"] = df["timestamp"] + pd.Timedelta(weeks=1)
        >>> nowcast_fraud_rate(df, as_of="2026-01-26", amount=None).plot()
        Display('Fraud rate over time', 1 row)
        """
        return draw("plot_fraud_rate", self, ax, title=title)

    def _table(self) -> pd.DataFrame:
        return self.cohorts.copy()

    def _record(self) -> Mapping[str, Any]:
        return {
            "by": self.by,
            "every": self.every,
            "as_of": self.as_of,
            "mature_age": self.mature_age,
            "confidence_level": self.confidence_level,
            "cohorts": self.cohorts,
            "caveats": self.caveats,
        }

    def __repr__(self) -> str:
        frame = self.cohorts
        if not len(frame):
            return "FraudRateNowcast(no transactions)"
        text = f"{pluralize(len(frame), 'cohort')} of {self.every}"
        if self.by:
            n_groups = len(frame[list(self.by)].drop_duplicates())
            text = f"{pluralize(n_groups, 'group')} by {', '.join(self.by)}, {text}"
        text += f", {int(frame['mature'].sum()):,} of them mature"
        complete = frame[frame["observed_ages"] > 0]
        if not self.by and len(complete):
            last = complete.iloc[-1]
            estimate = last["estimated_fraud_rate"]
            text += (
                f"; {last['cohort']:%Y-%m-%d}: {format_percent(last['known_fraud_rate'])} known, "
                + ("no estimate" if np.isnan(estimate) else f"{format_percent(estimate)} estimated")
            )
        return f"FraudRateNowcast({text})"

    def _repr_html_(self) -> str:
        frame = self.cohorts.tail(_MAX_ROWS)
        level = format_confidence_level(self.confidence_level)
        head = (
            *self.by, "cohort", "transactions", "known frauds", "known rate", "estimated rate",
            f"{level} prediction interval",
        )  # fmt: skip
        rows = [
            (
                *(format_group(row[name]) for name in self.by),
                f"{row['cohort']:%Y-%m-%d %H:%M}".removesuffix(" 00:00"),
                format_number(row["transactions"]),
                format_number(row["known_frauds"]),
                format_percent(row["known_fraud_rate"]),
                format_percent(row["estimated_fraud_rate"]),
                "mature" if row["mature"] else _format_interval(row),
            )
            for row in frame.to_dict("records")
        ]
        hidden = len(self.cohorts) - len(frame)
        caption = f"Fraud rate by {self.every}, known and estimated" + (
            f"; {pluralize(hidden, 'earlier row')}: see .to_frame()" if hidden else ""
        )
        notes = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.caveats)
        return table_html(head, rows, caption=caption) + notes


def _format_interval(row: Mapping[Any, Any]) -> str:
    low, high = row["estimated_fraud_rate_low"], row["estimated_fraud_rate_high"]
    return NO_VALUE if np.isnan(low) else format_percent_interval(low, high)


def nowcast_fraud_rate(
    df: IntoFrame | TransactionSource,
    timestamp: str = "timestamp",
    label: str = "is_fraud",
    label_available_at: str = "label_available_at",
    *,
    every: str = "1w",
    by: str | Sequence[str] | None = None,
    as_of: Bound = None,
    amount: str | None = "amount",
    mature_age: int | None = None,
    confidence_level: float = 0.9,
    n_resamples: int = 4000,
    seed: int = 0,
) -> FraudRateNowcast:
    """Estimate the final fraud rate of recent weeks, of which many frauds are not known yet.

    Parameters
    ----------
    df
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
        Only counts by group, cohort and age leave the engine.
    timestamp, label, label_available_at
        Column names, as for :func:`label_maturity`: a label without a time is known immediately.
    every
        Length of a cohort, and unit of ages: a whole number and m, h, d, w (from Monday), mo, q or
        y, in UTC.
    by
        Column or columns to group by. Each group has delays and levels of its own.
    as_of
        Only transactions before this moment, with the labels that were known by then; a date is its
        midnight UTC. By default the microsecond after the last timestamp or label time of the data.
        The end of a period, such as a Monday, uses all that is known.
    amount
        Column of the values; None leaves them out. A missing amount counts as 0.
    mature_age
        Age from which the known frauds of a cohort count as final. By default the lowest age by
        which 99% of the frauds are known, estimated from all groups and cohorts; if that is later
        than the oldest one observed, no cohort is mature.
    confidence_level
        Confidence of the prediction intervals.
    n_resamples, seed
        Number of draws of what is still to come, and the seed of their generator.

    Returns
    -------
    FraudRateNowcast
        Its frame has a row for each group and cohort:

        - the columns of ``by``; ``cohort``, the first moment of its period in UTC;
          ``observed_ages``, how many periods of it had ended, 0 for a cohort whose own period had
          not; ``mature``;
        - its ``transactions``, labelled or not, and their ``amount``; ``known_frauds`` and
          ``known_fraud_amount``;
        - ``known_share``: the estimated share of the final frauds that is known at this age, and
          ``chain_ladder_frauds``, the known frauds of complete ages divided by it;
        - ``estimated_frauds`` and ``estimated_fraud_amount``: the median of the prediction, with
          the interval from ``..._low`` to ``..._high``;
        - ``known_fraud_bps`` and ``estimated_fraud_bps`` with its interval: fraud value per 10,000
          of value; ``known_fraud_rate`` and ``estimated_fraud_rate`` with its interval: frauds per
          transaction.

        The estimate of a mature cohort is what is known. NaN is what cannot be estimated: the
        ``caveats`` say why.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        As for :func:`label_maturity`, or an argument is out of range.

    Notes
    -----
    Delays are those of the chain ladder, pooled over cohorts. The prediction combines the known
    frauds of a cohort with the level of other cohorts, by credibility: while nearly nothing is
    known the level counts, later the cohort itself. The over-dispersed model is that of England and
    Verrall (2002), with a prior for each cohort as in Verrall (2004); the docs have the steps, and
    how often intervals held the final number in simulations.

    The prediction assumes that delays stay as they were. If labels suddenly come faster or slower,
    it is wrong until the change shows in the ratios of consecutive ages. A cohort whose own period
    has not ended is estimated from the level of other cohorts only, for the transactions so far;
    frauds that became known in a period that has not ended are a lower bound.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> generator = np.random.default_rng(1)
    >>> df = pd.DataFrame(
    ...     {
    ...         "timestamp": pd.date_range("2026-01-05", "2026-04-26T23:59", 20_000),
    ...         "is_fraud": generator.random(20_000) < 0.05,
    ...     }
    ... )
    >>> df["label_available_at"] = df["timestamp"] + pd.to_timedelta(
    ...     generator.exponential(14, 20_000), unit="D"
    ... )
    >>> nowcast = nowcast_fraud_rate(df, as_of="2026-04-27", amount=None)
    >>> columns = ["known_fraud_rate", "estimated_fraud_rate_low", "estimated_fraud_rate_high"]
    >>> nowcast.to_frame().loc[15, columns].astype(float).round(3).tolist()
    [0.015, 0.046, 0.07]
    """
    check_nowcast(mature_age, confidence_level, n_resamples, seed)
    triangles = count_triangles(
        df,
        timestamp=timestamp,
        label=label,
        label_available_at=label_available_at,
        every=every,
        by=by,
        as_of=as_of,
        amount=amount,
        measures=MEASURES,
        caller="nowcast_fraud_rate",
    )
    return nowcast_from_triangles(
        triangles,
        by,
        every,
        valued=amount is not None,
        mature_age=mature_age,
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        seed=seed,
    )


def check_nowcast(
    mature_age: int | None, confidence_level: float, n_resamples: int, seed: int
) -> None:
    """Raise an ArgumentError unless all are valid for :func:`nowcast_fraud_rate`."""
    check_maturity(mature_age, confidence_level)
    check_integer(n_resamples, "n_resamples", minimum=100)
    check_integer(seed, "seed")


def nowcast_from_triangles(
    triangles: Sequence[tuple[GroupKey, Triangle]],
    by: str | Sequence[str] | None,
    every: str,
    *,
    valued: bool = True,
    mature_age: int | None = None,
    confidence_level: float = 0.9,
    n_resamples: int = 4000,
    seed: int = 0,
) -> FraudRateNowcast:
    """Return the result for the triangles of all groups; see :func:`nowcast_fraud_rate`."""
    columns = Groups.parse(by).columns
    measures = [name for name in MEASURES if valued or not _is_value(name)]
    if not triangles:
        types: dict[str, Any] = dict.fromkeys(measures, np.float64) | {
            "cohort": "datetime64[us, UTC]", "mature": np.bool_,
            **dict.fromkeys(("observed_ages", "transactions", "known_frauds"), np.int64),
        }  # fmt: skip
        empty = pd.DataFrame(columns=[*columns, *measures]).astype(types)
        caveat = "There are no transactions to count."
        return FraudRateNowcast(
            empty, columns, every, None, mature_age, confidence_level, (caveat,)
        )
    merged = merge_triangles([triangle for _, triangle in triangles])
    if mature_age is None and not _reason_for_no_estimate(merged):
        ages = slice(0, int(merged.n_observed.max()))
        mature_age = Development.fit(merged.known[:, ages], merged.n_observed).mature_age
    caveats = [*describe_untimed(merged), *_describe_history(merged, mature_age)]
    parts = []
    for key, triangle in triangles:
        reason = _reason_for_no_estimate(triangle)
        if reason:
            group = f"{', '.join(map(format_group, key))}: " if key else ""
            caveats.append(group + reason)
        part = _nowcast_group(
            triangle,
            mature_age,
            confidence_level,
            # The same numbers for each group: no group depends on which others there are.
            None if reason else np.random.default_rng(seed),
            n_resamples,
        )
        for position, name in enumerate(columns):
            part.insert(position, name, pd.Series([key[position]]).repeat(len(part)).to_numpy())
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)[[*columns, *measures]]
    as_of = pd.Timestamp(merged.as_of, tz="UTC").to_pydatetime()
    return FraudRateNowcast(
        frame, columns, every, as_of, mature_age, confidence_level, tuple(caveats)
    )


def _is_value(name: str) -> bool:
    return "amount" in name or "bps" in name


# -- One group -------------------------------------------------------------------------------------


def _reason_for_no_estimate(triangle: Triangle) -> str:
    """Return why nothing can be estimated, "" if it can."""
    n_complete = int((triangle.n_observed > 0).sum())
    n_frauds = int(triangle.known[triangle.observed].sum())
    if n_complete < _MIN_COHORTS:
        return (
            f"A final rate can be estimated from {_MIN_COHORTS} complete cohorts or more; there "
            f"{'is' if n_complete == 1 else 'are'} {n_complete}."
        )
    if n_frauds < _MIN_FRAUDS:
        return (
            f"A final rate can be estimated from {_MIN_FRAUDS} known frauds or more; there "
            f"{'is' if n_frauds == 1 else 'are'} {n_frauds}."
        )
    return ""


def _describe_history(triangle: Triangle, mature_age: int | None) -> list[str]:
    """Return what the history of all groups together is too short for."""
    if _reason_for_no_estimate(triangle):
        return []
    n_mature = 0 if mature_age is None else int((triangle.n_observed > mature_age).sum())
    sentences = []
    if n_mature < _MIN_MATURE:
        subject = {0: "No cohort is", 1: "Only 1 cohort is"}.get(
            n_mature, f"Only {n_mature} cohorts are"
        )
        sentences.append(
            f"{subject} mature: how many frauds become known after age "
            f"{int(triangle.n_observed.max()) - 1}, the last one observed, is a guess."
        )
    first = int((triangle.known.sum(axis=0) > 0).argmax())
    if first and triangle.known.any():
        sentences.append(
            f"No fraud became known before age {first}: cohorts of a lower age are estimated from "
            "the level of other cohorts only."
        )
    return sentences


def _nowcast_group(
    triangle: Triangle,
    mature_age: int | None,
    confidence_level: float,
    generator: np.random.Generator | None,
    n_resamples: int,
) -> pd.DataFrame:
    """Return the rows of one group; without a generator nothing is estimated."""
    n_observed = triangle.n_observed
    mature = np.zeros(len(n_observed), dtype=bool)
    if mature_age is not None:
        mature = n_observed > mature_age
    known = triangle.known.sum(axis=1).astype(np.float64)
    columns: dict[str, Any] = {
        "cohort": pd.DatetimeIndex(triangle.cohorts).tz_localize("UTC"),
        "observed_ages": n_observed,
        "mature": mature,
        "transactions": triangle.transactions,
        "known_frauds": triangle.known.sum(axis=1),
    }
    undefined = np.full(len(known), np.nan)
    columns |= {"known_share": undefined, "chain_ladder_frauds": undefined}
    draws: dict[str, Floats | None] = {"frauds": None, "fraud_amount": None}
    if generator is not None:
        # Ages that no cohort has completed are not part of the model.
        ages = slice(0, int(n_observed.max()))
        counted = np.where(triangle.observed, triangle.known, 0)[:, ages]
        value = None
        if triangle.amounts is not None:
            value = np.where(triangle.observed, triangle.amounts, 0.0)[:, ages]
        prediction = predict(
            counted,
            value,
            triangle.transactions,
            n_observed,
            n_draws=n_resamples,
            generator=generator,
        )
        share = prediction.development.shares[np.maximum(n_observed - 1, 0)]
        columns["known_share"] = np.where(n_observed > 0, share, 0.0)
        columns["chain_ladder_frauds"] = prediction.chain_ladder
        draws["frauds"] = counted.sum(axis=1) + prediction.counts
        if value is not None and prediction.amounts is not None:
            draws["fraud_amount"] = value.sum(axis=1) + prediction.amounts
    columns |= _estimate("frauds", known, draws["frauds"], mature, confidence_level)
    rates = [("fraud_rate", "frauds", triangle.transactions.astype(np.float64), 1.0)]
    if triangle.amounts is not None and triangle.transaction_amount is not None:
        columns["amount"] = triangle.transaction_amount
        columns["known_fraud_amount"] = triangle.amounts.sum(axis=1)
        columns |= _estimate(
            "fraud_amount",
            columns["known_fraud_amount"],
            draws["fraud_amount"],
            mature,
            confidence_level,
        )
        rates.append(("fraud_bps", "fraud_amount", triangle.transaction_amount, 10_000.0))
    for name, count, total, factor in rates:
        columns[f"known_{name}"] = factor * ratio(columns[f"known_{count}"], total)
        for end in _ENDS:
            estimate = columns[f"estimated_{count}{end}"]
            columns[f"estimated_{name}{end}"] = factor * ratio(estimate, total)
    return pd.DataFrame(columns)


def _estimate(
    name: str, known: Floats, draws: Floats | None, mature: Any, confidence_level: float
) -> dict[str, Floats]:
    """Return the median of draws of the final number and its interval; known if mature."""
    values = [np.full(len(known), np.nan)] * 3
    if draws is not None:
        to_come = np.maximum(draws - known, 0)
        ends = interval(to_come, confidence_level)
        median = np.quantile(to_come, 0.5, axis=0, method="inverted_cdf")
        values = [known + part for part in (median, *ends)]
    return {
        f"estimated_{name}{end}": np.where(mature, known, value)
        for end, value in zip(_ENDS, values, strict=True)
    }
