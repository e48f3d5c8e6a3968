"""Drift of scores and features between two periods: PSI and the test of Kolmogorov and Smirnov.

An engine counts each distinct value in both periods; everything else follows from these counts, the
same for all engines and for PostgreSQL.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import special

from synfin_analytics._core.arguments import (
    check_column_name,
    check_confidence_level,
    check_integer,
    check_names,
    format_value,
)
from synfin_analytics._core.dataframes import (
    coerce_object_columns,
    rename_for_engine,
    time_literal,
    to_float,
    to_numpy_float,
    to_utc,
)
from synfin_analytics._core.dates import Bound, parse_range
from synfin_analytics._core.formatting import (
    format_decimal,
    format_number,
    format_percent,
    is_missing,
    pluralize,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import Bins, aggregate_counts

if TYPE_CHECKING:
    import datetime as dt

    from narwhals.typing import IntoFrame
    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.metrics._score_counts import Floats, Integers

#: Start and end of a period, or the name of a column that is true for its rows.
Rows: TypeAlias = "tuple[Bound, Bound] | str"

#: Columns of counts: the value, and its rows in both periods.
VALUE, REFERENCE, CURRENT = "__value", "__reference", "__current"
_DEFAULT_BINS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Drift(Result):
    """Drift of columns between two periods; :func:`measure_drift` returns it.

    Attributes
    ----------
    columns
        What :meth:`to_frame` returns, one row for each column: ``column``; ``kind``, number or
        category; ``n_reference`` and ``n_current``, the rows of both periods;
        ``missing_reference`` and ``missing_current``, the shares of NULL and NaN among them;
        ``n_bins``; ``ks`` and ``ks_p_value`` (NaN for categories); ``psi``; and ``psi_critical``,
        which a PSI without any drift exceeds by chance in 1 - ``confidence_level`` of samples.
    bins
        One row for each bin: ``column``, ``bin``, ``value_from`` and ``value_to`` (NaN for a
        category), the rows ``reference`` and ``current``, ``reference_share``, ``current_share``,
        and the part of the ``psi``.
    confidence_level
        Of ``psi_critical``.

    Examples
    --------
    >>> import polars as pl
    >>> scores = [0.1, 0.2, 0.3, 0.4, 0.3, 0.4, 0.5, 0.6]
    >>> df = pl.DataFrame({"p": scores, "old": [True] * 4 + [False] * 4})
    >>> df = df.with_columns(new=~pl.col("old"))
    >>> drift = measure_drift(df, "p", reference="old", current="new", bins=2)
    >>> drift
    Drift(1 column; largest PSI 0.866: p)
    >>> drift.bins[["bin", "reference", "current"]].values.tolist()
    [['below 0.3', 2, 0], ['0.3 or more', 2, 4]]
    """

    columns: pd.DataFrame
    bins: pd.DataFrame
    confidence_level: float

    def _table(self) -> pd.DataFrame:
        return self.columns.copy()

    def _record(self) -> Mapping[str, Any]:
        return {
            "confidence_level": self.confidence_level,
            "columns": self.columns,
            "bins": self.bins,
        }

    def __repr__(self) -> str:
        largest = self.columns.iloc[int(self.columns["psi"].argmax())]
        return (
            f"Drift({pluralize(len(self.columns), 'column')}; largest PSI "
            f"{format_decimal(largest['psi'])}: {largest['column']})"
        )

    def _repr_html_(self) -> str:
        head = (
            "column", "PSI", "by chance up to", "KS", "KS p-value", "bins", "reference", "current",
            "missing before", "missing now",
        )  # fmt: skip
        rows = [
            (
                row["column"],
                format_decimal(row["psi"]),
                format_decimal(row["psi_critical"]),
                format_decimal(row["ks"]),
                format_decimal(row["ks_p_value"]),
                format_number(row["n_bins"]),
                format_number(row["n_reference"]),
                format_number(row["n_current"]),
                format_percent(row["missing_reference"]),
                format_percent(row["missing_current"]),
            )
            for row in self.columns.to_dict("records")
        ]
        return table_html(head, rows, caption="Drift from the reference to the current period")


def measure_drift(
    df: IntoFrame | TransactionSource,
    columns: str | Sequence[str],
    *,
    reference: Rows,
    current: Rows,
    timestamp: str = "timestamp",
    bins: int | Mapping[str, Sequence[float]] = 10,
    confidence_level: float = 0.95,
) -> Drift:
    """Measure how much the distribution of columns differs between two periods.

    Parameters
    ----------
    df
        Rows of any engine: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark. A lazy
        engine counts for itself and returns one row for each distinct value of a column.
    columns
        Columns of scores or features: numbers, texts or booleans.
    reference, current
        Start and end of a period, such as ``("2026-01-01", "2026-02-01")``, which includes its
        start and excludes its end; None leaves a side open. A date is its midnight UTC. Or the name
        of a boolean column that is true for the rows.
    timestamp
        Column of the time, where a period is given.
    bins
        Number of bins of a numeric column, which have equally many rows of the reference; or a dict
        of columns and the edges between their bins, for others 10. A bin includes its lower edge
        and excludes its upper one.
    confidence_level
        Of the PSI that is exceeded by chance.

    Returns
    -------
    Drift

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        A period has no rows, the periods overlap, a column is neither of numbers, texts nor
        booleans, or an argument is out of range.

    Notes
    -----
    PSI is the sum over bins of (c - r) ln(c / r), where r and c are the shares of both periods.
    NULL and NaN are a bin of their own, and each text and boolean is one. A share of 0 is replaced
    with that of half a row. Without drift, PSI times n m / (n + m) has approximately a chi-squared
    distribution with one degree of freedom less than there are bins (Yurdakul and Naranjo, 2020).
    The p-value of the two-sample test of Kolmogorov and Smirnov is asymptotic; with ties it is too
    large. docs/explanation/validation.md has more.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "timestamp": ["2026-01-05", "2026-01-20", "2026-02-03", "2026-02-09"],
    ...         "channel": ["pos", "online", "online", "online"],
    ...     }
    ... ).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    >>> drift = measure_drift(
    ...     df, "channel", reference=("2026-01-01", "2026-02-01"), current=("2026-02-01", None)
    ... )
    >>> drift.bins[["bin", "reference_share", "current_share"]].values.tolist()
    [['online', 0.5, 1.0], ['pos', 0.5, 0.0]]
    """
    names = check_names(columns, "columns")
    check_binning(bins, names)
    check_confidence_level(confidence_level)
    periods: list[_Period | str] = []
    masks: list[str] = []
    for argument, rows in (("reference", reference), ("current", current)):
        if isinstance(rows, str):
            masks.append(check_column_name(rows, argument))
            periods.append(rows)
        else:
            periods.append(parse_period(rows, argument))
    if not masks:
        check_disjoint(*periods)
    if len(masks) < len(periods):
        masks.append(check_column_name(timestamp, "timestamp"))
    frame, renamed = rename_for_engine(df, [*names, *masks], "measure_drift")
    select = functools.partial(
        _select_counts,
        periods=tuple(renamed[rows] if isinstance(rows, str) else rows for rows in periods),
        timestamp=renamed.get(timestamp, timestamp),
    )
    counts = {
        name: aggregate_counts(
            frame,
            [renamed[column] for column in (name, *masks)],
            [VALUE],
            functools.partial(select, name=renamed[name]),
            caller="measure_drift",
            compact=True,
        )
        for name in names
    }
    return drift_from_counts(counts, bins=bins, confidence_level=confidence_level)


def drift_from_counts(
    counts: Mapping[str, nw.DataFrame[Any]],
    *,
    bins: int | Mapping[str, Sequence[float]] = 10,
    confidence_level: float = 0.95,
) -> Drift:
    """Measure drift from counts by column: :data:`VALUE`, :data:`REFERENCE` and :data:`CURRENT`.

    Raises
    ------
    ArgumentError
        A period has no rows.
    """
    measured = [_measure(name, counted, bins, confidence_level) for name, counted in counts.items()]
    columns, parts = zip(*measured, strict=True)
    return Drift(pd.DataFrame(columns), pd.concat(parts, ignore_index=True), confidence_level)


def check_binning(bins: Any, columns: Sequence[str]) -> None:
    """Check the argument ``bins`` of :func:`measure_drift`.

    Raises
    ------
    ArgumentError
        It is neither a number of at least 2 nor a dict of rising edges by column.
    """
    if not isinstance(bins, Mapping):
        check_integer(bins, "bins", minimum=2)
        return
    for name, edges in bins.items():
        if name not in columns:
            raise ArgumentError(
                f"`bins` must be a number or a dict of edges by column; got {name!r}, which is "
                "not among `columns`."
            )
        Bins.parse(name, edges)


# -- Counting --------------------------------------------------------------------------------------

_Period: TypeAlias = "tuple[dt.datetime | None, dt.datetime | None]"


def parse_period(period: Any, name: str) -> _Period:
    """Parse a pair of start and end; raise an ArgumentError for anything else."""
    if not isinstance(period, tuple | list) or len(period) != 2:
        raise ArgumentError(
            f"`{name}` must be the start and end of a period, such as ('2026-01-01', "
            f"'2026-02-01'), or the name of a boolean column; got {format_value(period)}."
        )
    return parse_range(*period)


def check_disjoint(*periods: Any) -> None:
    """Raise an ArgumentError if two parsed periods share a time: their rows are not two samples."""
    (start, end), (other_start, other_end) = periods
    before = end is not None and other_start is not None and end <= other_start
    after = other_end is not None and start is not None and other_end <= start
    if not before and not after:
        raise ArgumentError(
            "`reference` and `current` must be periods that do not overlap; got "
            f"{_describe_period(start, end)} and {_describe_period(other_start, other_end)}."
        )


def _describe_period(start: dt.datetime | None, end: dt.datetime | None) -> str:
    first = "the beginning" if start is None else f"{start:%Y-%m-%d %H:%M}"
    return f"{first} to {'the end' if end is None else f'{end:%Y-%m-%d %H:%M}'}"


def _select_counts(
    frame: Frame, *, name: str, periods: Sequence[_Period | str], timestamp: str
) -> Frame:
    """Select for each row its value, and whether it is in each period."""
    frame = coerce_object_columns(frame, [name, *(p for p in periods if isinstance(p, str))])
    inside = [_is_inside(frame, period, timestamp).cast(nw.Int64) for period in periods]
    value = _value(frame.collect_schema()[name], name)
    return frame.select(value.alias(VALUE), inside[0].alias(REFERENCE), inside[1].alias(CURRENT))


def _value(dtype: nw.dtypes.DType, name: str) -> nw.Expr:
    """Return an expression for the values of a column: doubles without NaN, texts or booleans."""
    column = nw.col(name)
    if dtype == nw.Boolean or dtype == nw.String:
        return column
    if dtype in (nw.Categorical, nw.Enum):
        return column.cast(nw.String)
    return to_float(dtype, name, "of numbers, texts or booleans to measure its drift")


def _is_inside(frame: Frame, period: _Period | str, timestamp: str) -> nw.Expr:
    """Return an expression for whether a row is in a period; NULL is not."""
    if isinstance(period, str):
        dtype = frame.collect_schema()[period]
        return to_float(dtype, period, "boolean to name the rows of a period").fill_null(0) == 1
    moment = to_utc(frame, timestamp, "to measure drift between periods")
    inside = ~moment.is_null()
    start, end = period
    if start is not None:
        inside = inside & (moment >= time_literal(frame, start))
    if end is not None:
        inside = inside & (moment < time_literal(frame, end))
    return inside


# -- Arithmetic ------------------------------------------------------------------------------------


def _measure(
    name: str,
    counted: nw.DataFrame[Any],
    bins: int | Mapping[str, Sequence[float]],
    confidence_level: float,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the row of a column, and its bins."""
    reference, current = (
        to_numpy_float(counted[period]).astype(np.int64) for period in (REFERENCE, CURRENT)
    )
    n, m = int(reference.sum()), int(current.sum())
    for period, size in (("reference", n), ("current", m)):
        if not size:
            raise ArgumentError(
                f"`{period}` must be a period with rows; there are none in it. Check the dates."
            )
    is_number = counted[VALUE].dtype.is_numeric()
    column = counted[VALUE]
    values: NDArray[Any]
    if is_number:
        values = column.cast(nw.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
        missing = np.isnan(values)
    else:
        values = np.array(column.to_list(), object)
        missing = np.array([is_missing(value) for value in values], np.bool_)
    order = np.argsort(values[~missing] if is_number else values[~missing].astype(np.str_))
    known = values[~missing][order]
    before, now = (rows[~missing][order] for rows in (reference, current))
    ks = p_value = np.nan
    if is_number:
        size = bins if isinstance(bins, int) else _DEFAULT_BINS
        edges = None if isinstance(bins, int) else bins.get(name)
        low, high, place = _cut(known, before, size, edges)
        labels = [_name_bin(*ends) for ends in zip(low, high, strict=True)]
        ks, p_value = _kolmogorov_smirnov(before, now)
    else:
        labels = [str(value) for value in known]
        low = high = np.full(len(known), np.nan)
        place = np.arange(len(known))
    if missing.any():
        labels, low, high = [*labels, "missing"], np.append(low, np.nan), np.append(high, np.nan)
        place = np.append(place, np.full(missing.sum(), len(labels) - 1))
        before, now = np.append(before, reference[missing]), np.append(now, current[missing])
    parts = pd.DataFrame({"column": name, "bin": labels, "value_from": low, "value_to": high})
    for period, rows in (("reference", before), ("current", now)):
        parts[period] = np.bincount(place, rows, minlength=len(labels)).astype(np.int64)
    parts = parts[(parts["reference"] > 0) | (parts["current"] > 0)].reset_index(drop=True)
    parts["reference_share"], parts["current_share"] = parts["reference"] / n, parts["current"] / m
    expected, observed = (
        np.maximum(parts[period], 0.5) / size for period, size in (("reference", n), ("current", m))
    )
    parts["psi"] = (observed - expected) * np.log(observed / expected)
    row = {
        "column": name,
        "kind": "number" if is_number else "category",
        "n_reference": n,
        "n_current": m,
        "missing_reference": reference[missing].sum() / n,
        "missing_current": current[missing].sum() / m,
        "n_bins": len(parts),
        "ks": ks,
        "ks_p_value": p_value,
        "psi": parts["psi"].sum(),
        "psi_critical": (1 / n + 1 / m) * special.chdtri(len(parts) - 1, 1 - confidence_level)
        if len(parts) > 1
        else np.nan,
    }
    return row, parts


def _cut(
    values: NDArray[Any], before: Integers, bins: int, edges: Sequence[float] | None
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return lower and upper edges of the bins, and the bin of each value; values are sorted.

    By default a bin begins with the value below which its share of the reference is reached.
    """
    inner = np.asarray([] if edges is None else edges, np.float64)
    if edges is None:
        seen = before > 0
        below = np.cumsum(before[seen]) - before[seen]
        shares = np.arange(1, bins) * before.sum()
        first = np.searchsorted(below * bins, shares, side="left")
        inner = np.unique(values[seen][first[first < len(below)]])
    place = np.searchsorted(inner, values, side="right")
    return np.append(-np.inf, inner), np.append(inner, np.inf), place


def _name_bin(low: float, high: float) -> str:
    if low == -np.inf:
        return "all" if high == np.inf else f"below {high:.6g}"
    return f"{low:.6g} or more" if high == np.inf else f"{low:.6g} to {high:.6g}"


def _kolmogorov_smirnov(before: Integers, now: Integers) -> tuple[float, float]:
    """Return the two-sample statistic and its asymptotic p-value, from counts by value."""
    n, m = int(before.sum()), int(now.sum())
    if not n or not m:
        return np.nan, np.nan
    # As integers, so that equal distributions have a difference of exactly 0.
    distance = np.abs(np.cumsum(before) * m - np.cumsum(now) * n).max(initial=0) / (n * m)
    from scipy.stats import kstwo  # scipy.stats takes longer to import than this package

    return float(distance), float(kstwo.sf(distance, max(round(n * m / (n + m)), 1)))
