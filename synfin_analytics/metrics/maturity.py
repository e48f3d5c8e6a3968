"""Label maturity: how much of the final number of frauds is known after a day, a week, a month.

An engine counts the triangle of each group (:mod:`synfin_analytics.metrics._triangle`); the curve
and everything else follows from these few numbers.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_confidence_level, check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import (
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
from synfin_analytics.metrics._chain_ladder import pool_cohorts, shares
from synfin_analytics.metrics._clusters import (
    MIN_RELIABLE,
    Clusters,
    effective_sizes,
    way_column,
)
from synfin_analytics.metrics._triangle import Triangle, count_triangles, merge_triangles
from synfin_analytics.metrics.proportions import proportion_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from narwhals.typing import IntoFrame

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.results import Display
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Floats, Integers, Mask
    from synfin_analytics.metrics._triangle import GroupKey

#: Pictures of a label maturity.
MaturityPlot: TypeAlias = Literal["curves", "heatmap"]
#: Columns of the results, whose names no group may have.
MEASURES = (
    "cohort", "age", "transactions", "labelled", "frauds", "amount", "fraud_amount", "share",
    "observed_ages", "mature", "cohorts", "final_frauds", "reliable", "share_low", "share_high",
    "amount_share",
)  # fmt: skip
#: Share of the frauds known by the default of `mature_age`.
_MATURE_SHARE = 0.95
#: Rows of the curve in a notebook.
_MAX_ROWS = 60
_COHORT = Clusters(("cohort",))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LabelMaturity(Result):
    """When labels become known; :func:`label_maturity` returns it.

    Attributes
    ----------
    by
        Columns of the groups.
    every
        Length of a cohort, and the unit of ages.
    as_of
        The labels are those known at this moment; None without any transaction.
    mature_age
        A cohort is mature if this age has been observed; None if no age has.
    confidence_level
        Of the intervals of ``curve``.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "timestamp": ["2026-01-05", "2026-01-06", "2026-01-13", "2026-01-20"],
    ...         "label_available_at": ["2026-01-06", "2026-01-14", "2026-01-15", "2026-01-30"],
    ...         "is_fraud": [True, True, True, True],
    ...         "amount": [10.0, 30.0, 20.0, 20.0],
    ...     }
    ... ).with_columns(pl.col("timestamp", "label_available_at").str.to_datetime(time_zone="UTC"))
    >>> maturity = label_maturity(df, as_of="2026-01-26")
    >>> maturity
    LabelMaturity(3 cohorts of 1w, 2 of them mature at age 1; frauds known: 50% by age 0, 90% by age 1)
    >>> maturity.to_frame()[["cohort", "age", "frauds", "share"]].values.tolist()[:2]
    [[Timestamp('2026-01-05 00:00:00+0000', tz='UTC'), 0, 1, 0.5], [Timestamp('2026-01-05 00:00:00+0000', tz='UTC'), 1, 2, 1.0]]
    """  # noqa: E501 - output of the example

    by: tuple[str, ...]
    every: str
    as_of: dt.datetime | None
    mature_age: int | None
    confidence_level: float
    _triangles: tuple[tuple[GroupKey, Triangle], ...]

    @functools.cached_property
    def curve(self) -> pd.DataFrame:
        """The maturity curve of each group: the share of the frauds known by the end of each age.

        A row for each group and age from 0 to ``mature_age``, over the mature cohorts of the
        group:

        - the columns of ``by``, and ``age``;
        - ``cohorts``: the number of mature cohorts that have a fraud; ``reliable``: whether these
          are at least 10;
        - ``frauds`` known by the end of this age, and ``final_frauds``, known by the mature age;
        - ``share`` = frauds / final_frauds, with its pointwise interval ``share_low`` to
          ``share_high``, NaN for fewer than two cohorts;
        - ``amount_share``: the same share of the value of the frauds (only with amounts).

        Examples
        --------
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {
        ...         "timestamp": ["2026-01-05", "2026-01-06", "2026-01-12"],
        ...         "label_available_at": ["2026-01-06", "2026-01-14", "2026-01-13"],
        ...         "is_fraud": [True, True, True],
        ...     }
        ... ).with_columns(pl.col("timestamp", "label_available_at").str.to_datetime())
        >>> maturity = label_maturity(df, as_of="2026-01-26", amount=None)
        >>> maturity.curve[["age", "cohorts", "frauds", "share"]].round(3).values.tolist()
        [[0.0, 2.0, 2.0, 0.667], [1.0, 2.0, 3.0, 1.0]]
        """
        return self._concatenate(
            lambda triangle: _curve(triangle, self.mature_age, self.confidence_level)
        )

    @functools.cached_property
    def cohorts(self) -> pd.DataFrame:
        """A row for each group and cohort, with what is known at ``as_of``.

        - the columns of ``by``, and ``cohort``: the first moment of its period in UTC;
        - ``observed_ages``: the number of ages that had ended at ``as_of``, 0 for a cohort whose
          own period had not; ``mature``: whether these are more than ``mature_age``;
        - the number of ``transactions``, of ``labelled`` ones, and of ``frauds``; with amounts the
          ``amount`` of all transactions, and the ``fraud_amount``.

        Examples
        --------
        >>> import polars as pl
        >>> df = pl.DataFrame({"timestamp": ["2026-01-05"], "is_fraud": [True], "at": ["2026-01-14"]})
        >>> df = df.with_columns(pl.col("timestamp", "at").str.to_datetime())
        >>> maturity = label_maturity(df, label_available_at="at", as_of="2026-01-21", amount=None)
        >>> maturity.cohorts[["observed_ages", "transactions", "labelled", "frauds"]].values.tolist()
        [[2, 1, 1, 1]]
        """  # noqa: E501 - a line of the example
        return self._concatenate(lambda triangle: _cohorts(triangle, self.mature_age))

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences on what limits the result.

        Examples
        --------
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {
        ...         "timestamp": ["2026-01-05", "2026-01-06"],
        ...         "label_available_at": ["2026-01-21", None],
        ...         "is_fraud": [True, True],
        ...     }
        ... ).with_columns(pl.col("timestamp", "label_available_at").str.to_datetime())
        >>> for sentence in label_maturity(df, as_of="2026-01-26", amount=None).caveats:
        ...     print(sentence)
        1 of 2 frauds has no time in the column of label times: it counts as known immediately.
        Frauds still became known at age 2, the greatest that was observed: the history is too short to know the final number of frauds.
        """  # noqa: E501 - output of the example
        if not self._triangles:
            return ("There are no transactions to count.",)
        _, merged = self.overall._triangles[0]
        sentences = describe_untimed(merged)
        oldest = int(merged.n_observed.max())
        if self.mature_age is None or oldest <= self.mature_age:
            needed = "" if self.mature_age is None else f"; a mature one has {self.mature_age + 1}"
            sentences.append(
                f"No cohort is mature: the oldest has {pluralize(oldest, 'observed age')}{needed}. "
                "The shares are not defined."
            )
        elif merged.known[merged.observed[:, oldest - 1], oldest - 1].any():
            sentences.append(
                f"Frauds still became known at age {oldest - 1}, the greatest that was observed: "
                "the history is too short to know the final number of frauds."
            )
        return tuple(sentences)

    @property
    def overall(self) -> LabelMaturity:
        """The result of all groups together, with the same mature age.

        Examples
        --------
        >>> import polars as pl
        >>> df = pl.DataFrame(
        ...     {
        ...         "timestamp": ["2026-01-05", "2026-01-06", "2026-01-12"],
        ...         "label_available_at": ["2026-01-06", "2026-01-14", "2026-01-13"],
        ...         "is_fraud": [True, True, True],
        ...         "channel": ["pos", "online", "pos"],
        ...     }
        ... ).with_columns(pl.col("timestamp", "label_available_at").str.to_datetime())
        >>> maturity = label_maturity(df, by="channel", as_of="2026-01-26", amount=None)
        >>> maturity.overall.curve["share"].round(3).tolist()
        [0.667, 1.0]
        """
        if not self.by or not self._triangles:
            return self
        merged = merge_triangles([triangle for _, triangle in self._triangles])
        return dataclasses.replace(self, by=(), _triangles=(((), merged),))

    def plot(
        self, kind: MaturityPlot = "curves", ax: Axes | None = None, *, title: str | None = None
    ) -> Display:
        """Draw this result; see :func:`synfin_analytics.plot_label_maturity`.

        Parameters
        ----------
        kind, ax, title
            As for that function.

        Examples
        --------
        >>> import polars as pl
        >>> df = pl.DataFrame({"timestamp": ["2026-01-05"], "is_fraud": [True], "at": ["2026-01-14"]})
        >>> df = df.with_columns(pl.col("timestamp", "at").str.to_datetime())
        >>> maturity = label_maturity(df, label_available_at="at", as_of="2026-01-21", amount=None)
        >>> maturity.plot()
        Display('Label maturity', 2 rows)
        """  # noqa: E501 - a line of the example
        return draw("plot_label_maturity", self, ax, kind=kind, title=title)

    def _table(self) -> pd.DataFrame:
        return self._concatenate(lambda triangle: _cells(triangle, self.mature_age))

    def _record(self) -> Mapping[str, Any]:
        return {
            "by": self.by,
            "every": self.every,
            "as_of": self.as_of,
            "mature_age": self.mature_age,
            "confidence_level": self.confidence_level,
            "curve": self.curve,
            "cohorts": self.cohorts,
            "caveats": self.caveats,
        }

    def _concatenate(self, build: Callable[[Triangle], pd.DataFrame]) -> pd.DataFrame:
        """Return what is built of each triangle below each other, with the columns of groups."""
        parts = [build(triangle) for _, triangle in self._triangles]
        if not parts:
            return build(_EMPTY).assign(**dict.fromkeys(self.by))[[*self.by, *build(_EMPTY)]]
        frame = pd.concat(parts, ignore_index=True)
        repeated = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        for position, name in enumerate(self.by):
            values = pd.Series([key[position] for key, _ in self._triangles])
            frame.insert(position, name, values.take(repeated).reset_index(drop=True))
        return frame

    def __repr__(self) -> str:
        if not self._triangles:
            return "LabelMaturity(no transactions)"
        overall = self.overall
        cohorts, share = overall.cohorts, overall.curve["share"].to_numpy()
        groups = f"{pluralize(len(self._triangles), 'group')} by {', '.join(self.by)}, "
        text = f"{groups * bool(self.by)}{pluralize(len(cohorts), 'cohort')} of {self.every}"
        n_mature = int(cohorts["mature"].sum())
        if not n_mature:
            return f"LabelMaturity({text}, none of them mature)"
        text += f", {n_mature:,} of them mature at age {self.mature_age}"
        known = [
            f"{level:.0%} by age {int((share >= level).argmax())}"
            for level in (0.5, 0.9)
            if (share >= level).any()
        ]
        return f"LabelMaturity({text}{'; frauds known: ' * bool(known)}{', '.join(known)})"

    def _repr_html_(self) -> str:
        curve = self.curve
        interval = f"{format_confidence_level(self.confidence_level)} CI"
        head = (*self.by, "age", "mature cohorts", "frauds known", "share known", interval)
        rows = [
            (
                *(format_group(row[name]) for name in self.by),
                format_number(row["age"]),
                format_number(row["cohorts"]),
                f"{row['frauds']:,} of {row['final_frauds']:,}",
                format_percent(row["share"]),
                format_percent_interval(row["share_low"], row["share_high"]),
            )
            for row in curve.head(_MAX_ROWS).to_dict("records")
        ]
        hidden = len(curve) - len(rows)
        caption = f"Label maturity in ages of {self.every}" + (
            f"; {hidden:,} more rows: see .curve" if hidden else ""
        )
        notes = "".join(f"<p>{sentence}</p>" for sentence in self.caveats)
        return table_html(head, rows, caption=caption) + notes


def label_maturity(
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
    confidence_level: float = 0.95,
) -> LabelMaturity:
    """Measure how much of the final number of frauds is known after each week.

    Parameters
    ----------
    df
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
        Only counts by group, cohort and age leave the engine.
    timestamp, label, label_available_at
        Column names. The label is true or false, 1 or 0, or missing: not labelled. The third one
        says when the label became known, also that of a genuine transaction; a missing time means
        immediately. A date is the whole day. Times without a time zone are UTC.
    every
        Length of a cohort, and unit of ages: a whole number and m, h, d, w (from Monday), mo, q or
        y, in UTC.
    by
        Column or columns to group by. NULL is a group of its own.
    as_of
        Only transactions before this moment, with the labels that were known by then; a date is its
        midnight UTC. The rows must hold all labels known by then. By default the microsecond after
        the last timestamp or label time of the data.
    amount
        Column of the values; None leaves them out. A missing amount counts as 0.
    mature_age
        Age from which the frauds of a cohort count as final. By default the lowest age by which
        95% of the frauds are known, estimated from all groups and cohorts with the ratios of
        consecutive ages (chain ladder).
    confidence_level
        Confidence of the intervals of the curve.

    Returns
    -------
    LabelMaturity
        The curve is its ``curve``. Its frame is the triangle, with a row for each group, cohort and
        observed age:

        - the columns of ``by``; ``cohort``, the first moment of its period in UTC; ``age``;
        - ``transactions`` of the cohort; ``labelled`` ones and ``frauds`` that were known by the
          end of this age, and with amounts the ``fraud_amount``;
        - ``share`` of the frauds known by the mature age; NaN for cohorts that are not mature, for
          greater ages, and without a fraud.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        A label is neither 0 nor 1, or became known before its transaction; a transaction has no
        timestamp; no label has a time, so that there is nothing to measure; an amount is infinite;
        or an argument is out of range.

    Notes
    -----
    The age of a label is the number of the period in which it became known minus that of the
    transaction: 0 in the same week, 1 in the next one. By the end of age a, a + 1 periods have
    passed since each cohort began, and a cell of the triangle is observed if that was at or before
    ``as_of``. Cells of one age are therefore comparable between cohorts.

    The share of an age is a ratio of sums over mature cohorts. Cohorts are the independent units of
    its interval, as customers are those of :func:`synfin_analytics.fraud_rate`: the variance of the
    ratio (Cochran, 1977, section 6.4) gives the effective number of frauds (Rao and Scott, 1992),
    which Wilson's interval uses, with Student's t for few cohorts. It is pointwise: it holds for
    each age, not for the whole curve at once. What affects several cohorts alike, such as a bank
    that sends its chargebacks once a quarter, makes it too narrow.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "timestamp": ["2026-01-05", "2026-01-06", "2026-01-13", "2026-01-20"],
    ...         "label_available_at": ["2026-01-06", "2026-01-14", "2026-01-15", "2026-01-30"],
    ...         "is_fraud": [True, True, True, True],
    ...         "amount": [10.0, 30.0, 20.0, 20.0],
    ...     }
    ... ).with_columns(pl.col("timestamp", "label_available_at").str.to_datetime(time_zone="UTC"))
    >>> maturity = label_maturity(df, as_of="2026-01-26")
    >>> maturity.curve[["age", "frauds", "final_frauds", "amount_share"]].round(3).values.tolist()
    [[0.0, 2.0, 3.0, 0.5], [1.0, 3.0, 3.0, 1.0]]
    >>> maturity.to_frame()[["age", "transactions", "frauds", "fraud_amount"]].values.tolist()
    [[0.0, 2.0, 1.0, 10.0], [1.0, 2.0, 2.0, 40.0], [2.0, 2.0, 2.0, 40.0], [0.0, 1.0, 1.0, 20.0], [1.0, 1.0, 1.0, 20.0], [0.0, 1.0, 0.0, 0.0]]
    """  # noqa: E501 - output of the example
    check_maturity(mature_age, confidence_level)
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
    )
    return maturity_from_triangles(
        triangles, by, every, mature_age=mature_age, confidence_level=confidence_level
    )


def describe_untimed(triangle: Triangle) -> list[str]:
    """Return a sentence about frauds whose label has no time; nothing without such frauds."""
    n_frauds, untimed = int(triangle.known.sum()), triangle.untimed_frauds
    if not untimed:
        return []
    verb, counts = ("has", "it counts") if untimed == 1 else ("have", "they count")
    return [
        f"{untimed:,} of {pluralize(n_frauds, 'fraud')} {verb} no time in the column of "
        f"label times: {counts} as known immediately."
    ]


def check_maturity(mature_age: int | None, confidence_level: float) -> None:
    """Raise an ArgumentError unless both are valid for :func:`label_maturity`."""
    if mature_age is not None:
        check_integer(mature_age, "mature_age")
    check_confidence_level(confidence_level)


def maturity_from_triangles(
    triangles: Sequence[tuple[GroupKey, Triangle]],
    by: str | Sequence[str] | None,
    every: str,
    *,
    mature_age: int | None,
    confidence_level: float,
) -> LabelMaturity:
    """Return the result for the triangles of all groups; see :func:`label_maturity`."""
    as_of = None
    if triangles:
        as_of = triangles[0][1].as_of.astype("M8[us]").item().replace(tzinfo=dt.UTC)
        if mature_age is None:
            mature_age = _find_mature_age(merge_triangles([entry[1] for entry in triangles]))
    return LabelMaturity(
        Groups.parse(by).columns, every, as_of, mature_age, confidence_level, tuple(triangles)
    )


def _find_mature_age(triangle: Triangle) -> int | None:
    """Return the lowest age by which nearly all frauds are known; None if no age is observed.

    The share known at an age is the product of the ratios of consecutive ages above it, each over
    the cohorts in which both were observed.
    """
    n_ages = int(triangle.n_observed.max(initial=0))
    if not n_ages:
        return None
    new, total = pool_cohorts(triangle.known[:, :n_ages], triangle.n_observed)
    before = np.divide(total - new, total, out=np.ones_like(total), where=total > 0)
    return int((shares(before) >= _MATURE_SHARE).argmax())


# -- Tables ----------------------------------------------------------------------------------------


def _is_mature(triangle: Triangle, mature_age: int | None) -> Mask:
    """Return which cohorts are mature."""
    if mature_age is None:
        return np.zeros(len(triangle.cohorts), np.bool_)
    return triangle.n_observed > mature_age


def _cells(triangle: Triangle, mature_age: int | None) -> pd.DataFrame:
    """Return a row for each observed cell."""
    cohort, age = np.nonzero(triangle.observed)
    frauds = triangle.cumulative
    mature = _is_mature(triangle, mature_age)
    final = np.full(len(mature), np.nan)
    if mature_age is not None and mature.any():
        final[mature] = frauds[mature, mature_age]
    has_share = mature[cohort] & (age <= (mature_age or 0))
    columns: dict[str, Any] = {
        "cohort": pd.DatetimeIndex(triangle.cohorts[cohort]).tz_localize("UTC"),
        "age": age,
        "transactions": triangle.transactions[cohort],
        "labelled": triangle.labelled.cumsum(axis=1)[cohort, age],
        "frauds": frauds[cohort, age],
    }
    if triangle.cumulative_amounts is not None:
        columns["fraud_amount"] = triangle.cumulative_amounts[cohort, age]
    share = ratio(frauds[cohort, age], final[cohort])
    columns["share"] = np.where(has_share, share, np.nan)
    return pd.DataFrame(columns)


def _cohorts(triangle: Triangle, mature_age: int | None) -> pd.DataFrame:
    """Return a row for each cohort."""
    columns: dict[str, Any] = {
        "cohort": pd.DatetimeIndex(triangle.cohorts).tz_localize("UTC"),
        "observed_ages": triangle.n_observed,
        "mature": _is_mature(triangle, mature_age),
        "transactions": triangle.transactions,
        "labelled": triangle.labelled.sum(axis=1),
        "frauds": triangle.known.sum(axis=1),
    }
    if triangle.amounts is not None:
        columns["amount"] = triangle.transaction_amount
        columns["fraud_amount"] = triangle.amounts.sum(axis=1)
    return pd.DataFrame(columns)


def _curve(triangle: Triangle, mature_age: int | None, confidence_level: float) -> pd.DataFrame:
    """Return a row for each age up to the mature one."""
    n_ages = 0 if mature_age is None else mature_age + 1
    mature = _is_mature(triangle, mature_age)
    known = np.zeros((0, n_ages), np.int64)
    if mature.any():
        known = triangle.cumulative[mature, :n_ages]
    final = known[:, -1:]  # no column without ages
    frauds, final_frauds = known.sum(axis=0), np.full(n_ages, final.sum())
    n_cohorts = int((final > 0).sum())
    low, high = _interval(known, confidence_level)
    columns: dict[str, Any] = {
        "age": np.arange(n_ages),
        "cohorts": np.full(n_ages, n_cohorts),
        "reliable": np.full(n_ages, n_cohorts >= MIN_RELIABLE),
        "frauds": frauds,
        "final_frauds": final_frauds,
        "share": ratio(frauds, final_frauds),
        "share_low": low,
        "share_high": high,
    }
    if triangle.cumulative_amounts is not None:
        amounts = triangle.cumulative_amounts[mature, :n_ages].sum(axis=0)
        amounts = np.pad(amounts, (0, n_ages - len(amounts)))
        columns["amount_share"] = ratio(amounts, np.full(n_ages, amounts[-1:].sum()))
    return pd.DataFrame(columns)


def _interval(known: Integers, confidence_level: float) -> tuple[Floats, Floats]:
    """Return the interval of the share of each age; NaN for fewer than two cohorts with a fraud.

    Parameters
    ----------
    known
        Frauds known by the end of each age: a row for each mature cohort, and the last column of
        the mature age.
    confidence_level
        Confidence of the interval.
    """
    part, final = known.astype(np.float64), known[:, -1:].astype(np.float64)
    sums = {
        "frauds_squared": part * part,
        "frauds_labelled": part * final,
        "labelled_squared": np.broadcast_to(final * final, part.shape),
        "clusters": np.broadcast_to(final > 0, part.shape),
        "with_fraud": part > 0,
        "with_genuine": final > part,
    }
    counts = {way_column(0, name): terms.sum(axis=0) * 1.0 for name, terms in sums.items()}
    counts |= {"frauds": part.sum(axis=0), "labelled": np.full(part.shape[1], final.sum())}
    size = effective_sizes(counts, _COHORT, confidence_level).labelled
    share = np.nan_to_num(ratio(counts["frauds"], counts["labelled"]))
    low, high = proportion_interval(share * size, size, confidence_level=confidence_level)
    low[-1:], high[-1:] = 1.0, 1.0  # by definition
    undefined = (final > 0).sum() < 2
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


_EMPTY = Triangle(
    np.zeros(0, "M8[us]"),
    np.zeros((0, 0), np.int64),
    None,
    np.zeros((0, 0), np.int64),
    np.zeros(0, np.int64),
    None,
    np.zeros((0, 0), np.bool_),
    0,
    np.datetime64("NaT", "us"),
)
