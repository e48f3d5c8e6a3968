"""Counts of rules: one pass over the rows, in the engine that holds them.

The rules that fire on a row are the bits of whole numbers, :data:`RULES_PER_WORD` in each. Rows are
aggregated by cluster, time and these bits to *cells*; only cells leave the engine, and everything
else follows from them in NumPy.

Clusters matter to precision, a rate among alerts, and to recall, a rate among frauds. The cluster
of a genuine row without an alert is therefore left out, and there are at most as many cells as
alerts, frauds and units of time together, however many customers and merchants there are.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl

from synfin_analytics._core.dataframes import (
    coerce_object_columns,
    is_invalid_label,
    label_to_float,
    to_float,
    to_numpy_float,
    to_numpy_time,
    to_utc,
)
from synfin_analytics._core.dates import Period
from synfin_analytics._core.grouped import factorize
from synfin_analytics.metrics._clusters import Clusters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics._core.types import Floats, Integers, Mask
    from synfin_analytics.metrics._known import KnownLabels
    from synfin_analytics.rules._sources import RuleSource

#: Rules in one 64-bit word: its sign, and one bit more, stay free.
RULES_PER_WORD = 62
#: Columns of cells: the unit of time, and what is summed.
TIME = "__time"
MEASURES = ("transactions", "labelled", "frauds", "amount", "fraud_amount", "fraud_squares")
#: Measures of which sums are enough.
SUMS = MEASURES[:-1]
INVALID_LABEL, INFINITE = "__invalid_label", "__infinite_amount"
_PER_DAY = {"h": 24, "m": 24 * 60}


def word_column(word: int) -> str:
    """Return the column of cells with the bits of a word."""
    return f"__rules_{word}"


def error_column(rule: int) -> str:
    """Return the column of cells with the rows on which a rule could not be computed."""
    return f"__errors_{rule}"


def missing_column(rule: int) -> str:
    """Return the column of cells with the rows on which the column of a rule is NULL."""
    return f"__missing_{rule}"


def n_words(n_rules: int) -> int:
    """Return the number of words that hold the bits of all rules.

    Examples
    --------
    >>> n_words(0), n_words(62), n_words(63)
    (1, 1, 2)
    """
    return max(1, math.ceil(n_rules / RULES_PER_WORD))


def time_unit(every: Period) -> Period:
    """Return the unit of time of cells: days, or what divides both a day and the period.

    Examples
    --------
    >>> time_unit(Period.parse("1mo")), time_unit(Period.parse("36h"))
    (Period(length=1, numpy_unit='D', weeks=False), Period(length=12, numpy_unit='h', weeks=False))
    """
    if every.numpy_unit not in _PER_DAY:
        return Period(1, "D")
    return Period(math.gcd(every.length, _PER_DAY[every.numpy_unit]), every.numpy_unit)


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of the rows, and what is computed from them.

    Attributes
    ----------
    label, amount, timestamp
        Names of columns; None without amounts or times.
    clusters
        Columns that make transactions dependent.
    unit
        Unit of time of the cells.
    known
        Which labels were known; None for all.
    """

    label: str
    amount: str | None
    timestamp: str | None
    clusters: Clusters
    unit: Period
    known: KnownLabels | None = None

    @property
    def names(self) -> list[str]:
        """All columns that are read, apart from those of rules."""
        single = (self.label, self.amount, self.timestamp)
        known = () if self.known is None else self.known.columns
        return [*(name for name in single if name is not None), *self.clusters.columns, *known]

    def rename(self, names: Mapping[str, str]) -> Columns:
        """Return the same columns under other names."""
        return Columns(
            names[self.label],
            None if self.amount is None else names[self.amount],
            None if self.timestamp is None else names[self.timestamp],
            Clusters(tuple(names[name] for name in self.clusters.columns)),
            self.unit,
            None if self.known is None else self.known.rename(names),
        )

    def keys(self, n_rules: int) -> list[str]:
        """Columns of cells to group by."""
        time = [] if self.timestamp is None else [TIME]
        return [*self.clusters.keys, *time, *map(word_column, range(n_words(n_rules)))]


def select_cells(frame: Frame, *, rules: Sequence[RuleSource], columns: Columns) -> Frame:
    """Select for each row its clusters, its time, the rules that fire, and what it adds."""
    if columns.known is not None:
        frame = columns.known.select(frame)
    values = [columns.label, columns.amount, *(name for rule in rules for name in rule.columns)]
    frame = coerce_object_columns(frame, [name for name in values if name is not None])
    schema = frame.collect_schema()
    types = {name: dtype for rule in rules for name, dtype in rule.types}
    if empty := [name for name in types if schema[name] == nw.Unknown]:
        frame = frame.with_columns(nw.col(name).cast(types[name]) for name in empty)
    labels = label_to_float(schema[columns.label], columns.label)
    fraud = labels.fill_null(0) == 1
    measures = {
        "transactions": nw.lit(1, nw.Int64),
        "labelled": (~labels.is_null()).cast(nw.Int64),
        "frauds": fraud.cast(nw.Int64),
        INVALID_LABEL: is_invalid_label(labels).cast(nw.Int64),
    }
    if columns.amount is not None:
        value = to_float(schema[columns.amount], columns.amount, "a number").fill_null(0)
        lost = value * fraud.cast(nw.Float64)
        measures |= {"amount": value, "fraud_amount": lost, "fraud_squares": lost * lost}
        measures[INFINITE] = ((value == math.inf) | (value == -math.inf)).cast(nw.Int64)
    words: list[nw.Expr | None] = [None] * n_words(len(rules))
    for number, rule in enumerate(rules):
        word, bit = divmod(number, RULES_PER_WORD)
        fires, error, missing = rule.expressions(frame)
        added = fires.fill_null(value=False).cast(nw.Int64) * (1 << bit)
        earlier = words[word]
        words[word] = added if earlier is None else earlier + added
        if error is not None:
            measures[error_column(number)] = error.fill_null(value=False).cast(nw.Int64)
        if missing is not None:
            measures[missing_column(number)] = missing.cast(nw.Int64)
    bits = [
        (nw.lit(0, nw.Int64) if word is None else word).alias(word_column(number))
        for number, word in enumerate(words)
    ]
    time = []
    if columns.timestamp is not None:
        time = [columns.unit.number(to_utc(frame, columns.timestamp)).alias(TIME)]
    clusters = columns.clusters
    rows = frame.select(
        *clusters.expressions(frame),
        *time,
        *bits,
        *(expression.alias(name) for name, expression in measures.items()),
    )
    relevant = nw.col("frauds") == 1
    for number in range(len(words)):
        relevant = relevant | (nw.col(word_column(number)) != 0)
    schema = rows.collect_schema()
    if not clusters.keys:
        return rows
    return rows.with_columns(
        *(_only_where(relevant, key, schema[key]).alias(key) for key in clusters.keys)
    )


def _only_where(relevant: nw.Expr, key: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """Return a cluster where it matters; elsewhere NULL, or 0, with which NumPy keeps integers."""
    chosen = nw.when(relevant).then(nw.col(key))
    return chosen.otherwise(nw.lit(0).cast(dtype)) if dtype.is_integer() else chosen


def _has_bit(words: Integers, rule: int) -> Mask:
    """Return the rows of words in which the bit of a rule is set."""
    word, bit = divmod(rule, RULES_PER_WORD)
    has_bit: Mask = (words[:, word] >> bit & 1).astype(np.bool_)
    return has_bit


@dataclasses.dataclass(frozen=True, eq=False)
class RuleCounts:
    """Cells of rows, as arrays with one element for each.

    Attributes
    ----------
    n_rules
        Number of rules.
    words
        Bits of the rules that fire: cells by words.
    clusters
        The ways of clustering.
    codes
        Number of the cluster by way; -1 where it is unknown.
    time
        First moment of the unit of time, NaT where it is unknown; None without times.
    counts
        :data:`MEASURES`; without amounts the first three only.
    errors, missing
        By rule: rows on which it could not be computed, and on which its column is NULL.
    """

    n_rules: int
    words: Integers
    clusters: Clusters
    codes: tuple[Integers, ...]
    time: NDArray[np.datetime64] | None
    counts: dict[str, Floats]
    errors: Integers
    missing: Integers

    @classmethod
    def from_cells(
        cls, cells: nw.DataFrame[Any], n_rules: int, clusters: Clusters, unit: Period
    ) -> RuleCounts:
        """Convert the cells of an engine.

        Parameters
        ----------
        cells
            A row for each cell: :meth:`Columns.keys`, :data:`MEASURES`, and columns of errors and
            missing values for the rules that may have some. The time is a number of ``unit``, or
            its first moment.
        n_rules, clusters, unit
            Number of rules, ways of clustering, and unit of time.
        """
        names = cells.columns
        time = None
        if TIME in names:
            column = cells[TIME]
            if column.dtype.is_numeric():
                numbers = column.cast(nw.Float64).fill_null(math.nan).to_numpy()
                time = unit.starts(numbers.astype(np.float64))
            else:
                time = to_numpy_time(column)

        def total(name: str) -> int:
            return int(to_numpy_float(cells[name]).sum()) if name in names else 0

        words = [
            cells[word_column(word)].cast(nw.Int64).to_numpy().astype(np.int64)
            for word in range(n_words(n_rules))
        ]
        return cls(
            n_rules,
            np.stack(words, axis=1),
            clusters,
            tuple(factorize(pl.Series(cells[key].to_arrow())) for key in clusters.keys),
            time,
            {name: to_numpy_float(cells[name]) for name in MEASURES if name in names},
            np.array([total(error_column(rule)) for rule in range(n_rules)], np.int64),
            np.array([total(missing_column(rule)) for rule in range(n_rules)], np.int64),
        )

    @property
    def has_amounts(self) -> bool:
        """Whether values are known."""
        return "amount" in self.counts

    def __getitem__(self, name: str) -> Floats:
        """Return a measure of each cell; NaN for values that are not known."""
        if name in self.counts:
            return self.counts[name]
        return np.full(len(self.words), np.nan)

    def fires(self, rule: int) -> Mask:
        """Return the cells on whose rows a rule fires."""
        return _has_bit(self.words, rule)

    def any_fires(self) -> Mask:
        """Return the cells on whose rows at least one rule fires."""
        fires: Mask = (self.words != 0).any(axis=1)
        return fires

    def keep(self, rules: Sequence[int]) -> RuleCounts:
        """Return the counts of some of the rules, in their order."""
        words = np.zeros((len(self.words), n_words(len(rules))), np.int64)
        for number, rule in enumerate(rules):
            word, bit = divmod(number, RULES_PER_WORD)
            words[:, word] |= self.fires(rule).astype(np.int64) << bit
        chosen = list(rules)
        return dataclasses.replace(
            self,
            n_rules=len(chosen),
            words=words,
            errors=self.errors[chosen],
            missing=self.missing[chosen],
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Combinations:
    """Sums over the rows on which exactly the same rules fire, also those without any.

    Attributes
    ----------
    fires
        Combinations by rules: whether the rule fires.
    counts
        :data:`SUMS`.
    """

    fires: Mask
    counts: dict[str, Floats]

    @classmethod
    def of(cls, counts: RuleCounts) -> Combinations:
        """Sum the cells of each combination; the order is that of the bits."""
        words, inverse = np.unique(counts.words, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        fires = np.zeros((len(words), counts.n_rules), np.bool_)
        for rule in range(counts.n_rules):
            fires[:, rule] = _has_bit(words, rule)
        return cls(
            fires,
            {
                name: np.bincount(inverse, counts[name], minlength=len(words)).astype(np.float64)
                for name in SUMS
            },
        )

    def by_rule(self, values: Floats) -> Floats:
        """Sum values of combinations for each rule that fires in them."""
        sums: Floats = values @ self.fires
        return sums
