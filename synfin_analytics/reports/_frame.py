"""Reports from a frame of any engine, or from a file: its cells are read, and then counted."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics._core.arguments import check_column_name, format_value
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import ENGINES, column_names, is_frame
from synfin_analytics._core.formatting import format_number, join_words, pluralize
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.outcome import CellErrors, summarize
from synfin_analytics._core.validation.spec import ColumnSpec, spec_of
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.database.models import Customer, Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.coerce import collect_columns
from synfin_analytics.io.layouts import suggest_columns
from synfin_analytics.io.sources import open_source
from synfin_analytics.metrics import evaluate, measure_drift
from synfin_analytics.metrics._score_counts import score_remedy
from synfin_analytics.metrics.evaluation import Threshold
from synfin_analytics.metrics.fraud_rates import fraud_rate
from synfin_analytics.reports._groups import (
    DEFAULT_COLUMNS,
    MAX_GROUPS,
    check_groupings,
    choose_first,
    has,
    is_,
    personal_grouping,
)
from synfin_analytics.reports._sources import (
    QUANTILES,
    RETURNED,
    UNSUCCESSFUL,
    WEEK_COLUMNS,
    LabelDelays,
    PredictionData,
    cluster_noun,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics._core.validation.columns import Column
    from synfin_analytics._core.validation.spec import Kind
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.reports._groups import By, Grouping
    from synfin_analytics.reports._sources import Span
    from synfin_analytics.repositories.transactions import TransactionStatistics

DEFAULT_THRESHOLD = 0.5
_BATCH_ROWS = 1_000_000
#: Rows from which the content of a column is recognized.
_SAMPLE_ROWS = 1000
#: Years of transactions; others are those of placeholders such as 9999-12-31.
_YEARS = (1900, 2100)
#: What the bootstrap resamples if no column of customers is known: each row.
ROW = "transaction"
#: Currencies that the texts of amounts name.
_CURRENCY = "__currency"
_SIGN = r"([A-Z]{3}|\p{Sc})"
_CODES = {"€": "EUR", "£": "GBP"}
_CODE = re.compile(r"[A-Z]{3}")
_TYPES: dict[Kind, pl.DataType] = {
    "boolean": pl.Boolean(),
    "number": pl.Float64(),
    "timestamp": pl.Datetime("us", "UTC"),
    "text": pl.String(),
}
_HINTS: dict[Kind, str] = {
    "number": "If numbers are written in another way, say so, such as decimal=',', thousands='.' "
    "(on the command line: --decimal , --thousands .).",
    "timestamp": "If dates are written in another way, say so, such as "
    "date_format='%d/%m/%Y %H:%M' (on the command line: --date-format).",
    "boolean": "Labels of other words or numbers need pos_label=, the one that means fraud.",
}
_SECONDS_HINT = (
    "If they count seconds since 1970, convert them, such as with pandas.to_datetime(df[column], "
    "unit='s')."
)
#: Columns that identify a person, wherever they are.
_PERSONAL = {
    name
    for model in (Transaction, Customer)
    for name, column in spec_of(model).columns.items()
    if column.personal
} | {"transaction_id", "customer_id", "card_id"}


# -- Reading ---------------------------------------------------------------------------------------


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
    """

    frame: pl.DataFrame
    roles: Roles
    by: list[Grouping] | None
    candidates: tuple[str, ...]
    currency: str | None
    remarks: tuple[str, ...]

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
        if times.null_count():
            return f"Rows have no time in {self.roles.timestamp!r}."
        if len(years := _placeholder_years(times)):
            return f"Times in {self.roles.timestamp!r} are of the year {years[0]}."
        return ""

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
        counts = rows[self.roles.currency].value_counts(sort=True)
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


def read_rows(
    data: Any,
    roles: Roles,
    *,
    by: By,
    bins: Sequence[str] = (),
    period: tuple[dt.datetime | None, dt.datetime | None] = (None, None),
    pos_label: Any = None,
    options: ReadOptions | None = None,
    caller: str,
) -> Rows:
    """Read the rows of a report.

    Parameters
    ----------
    data
        A frame of any engine, or the path of a file.
    roles
        What its columns mean.
    by
        Columns to group by, None for a choice by the data.
    bins
        Columns of numbers that are grouped into bins.
    period
        Start and end of the transactions.
    pos_label
        The label that means fraud, if labels are not true or false.
    options
        How texts are written.
    caller
        Name of the public function.

    Raises
    ------
    NotFoundError
        There is no such column; the message suggests the nearest.
    ArgumentError
        Cells are not what their column means, or there is nothing to report on.
    """
    options = options or ReadOptions()
    is_path = isinstance(data, (str, Path))
    if not is_path and not is_frame(data):
        raise ArgumentError(
            f"`df` must be a DataFrame of {ENGINES}, or the path of a file; got "
            f"{format_value(data)}."
        )
    names = list(open_source(data, 1, options).names) if is_path else column_names(data, caller)
    place = repr(str(data)) if is_path else "the frame"
    roles, currency = _constant_currency(roles, names, place)
    for column in (*roles.given.values(), *bins):
        if column not in names:
            raise NotFoundError("column", column, names, location=place)
    parties = [roles.customer, roles.entity]
    if roles.cluster not in (roles.timestamp, roles.merchant):
        parties.append(roles.cluster)
    personal = _PERSONAL | {name for name in parties if name is not None}
    groupings = None if by is None else check_groupings(by, names, personal, place, roles.numbers)
    candidates = tuple(name for name in DEFAULT_COLUMNS if name in names and name not in personal)
    grouped = candidates if groupings is None else [
        name for group in groupings for name in ([group] if isinstance(group, str) else group)
    ]  # fmt: skip
    needed = list(dict.fromkeys([*roles.given.values(), *grouped, *bins]))
    columns = _read_columns(data, needed, options, caller, is_path=is_path)
    if not columns[roles.label]:
        raise ArgumentError(f"There are no rows to report on in {place}.")
    frame = _Reader(columns, place, options).read(roles, bins, pos_label)
    _check_columns(frame, grouped)
    if roles.currency is None and _CURRENCY in frame.columns:
        roles = dataclasses.replace(roles, currency=_CURRENCY)
    frame = _restrict(frame, roles, period)
    remarks: list[str] = []
    if roles.score is not None:
        frame = _check_scores(frame, roles.label, roles.score, remarks)
    _remark_amounts(frame, roles, remarks)
    _remark_times(frame, roles, remarks)
    return Rows(frame, roles, groupings, candidates, currency, tuple(remarks))


def identifies_persons(cells: pl.Series) -> bool:
    """Whether cells are IBANs or card numbers, or many values of a column of identifiers.

    Examples
    --------
    >>> identifies_persons(pl.Series("who", ["4111 1111 1111 1111", "5500 0000 0000 0004"]))
    True
    >>> identifies_persons(pl.Series("customer_segment", ["private", "business"]))
    False
    """
    cells = cells.drop_nulls()
    if cells.is_empty() or not (cells.dtype == pl.String or cells.dtype.is_integer()):
        return False
    if cells.n_unique() <= MAX_GROUPS:
        cells = cells.alias("values")  # a name alone, such as "client", does not make a person
    targets = suggest_columns(cells.head(_SAMPLE_ROWS).to_frame()).mapping.values()
    return not {"customer_id", "card_id", "transaction_id"}.isdisjoint(targets)


def _check_columns(frame: pl.DataFrame, grouped: Sequence[str]) -> None:
    """Raise an ArgumentError for a name of ours, or a column to group by that names persons."""
    for name in frame.columns:
        if name.startswith("__") and name != _CURRENCY:
            raise ArgumentError(
                f"Names of columns must not begin with two underscores; got {name!r}. Rename it."
            )
    for name in grouped:
        if identifies_persons(frame[name]):
            raise ArgumentError(personal_grouping(name))


def _constant_currency(roles: Roles, names: Sequence[str], place: str) -> tuple[Roles, str | None]:
    """Return the roles, and the currency if a code was named instead of a column."""
    name = roles.currency
    if name is None or name in names:
        return roles, None
    if not _CODE.fullmatch(name):
        raise NotFoundError(
            "column", name, names, location=f"{place} (and it is no code such as 'EUR')"
        )
    return dataclasses.replace(roles, currency=None), name


def _read_columns(
    data: Any, names: Sequence[str], options: ReadOptions, caller: str, *, is_path: bool
) -> dict[str, list[Column]]:
    """Return the cells of columns, batch by batch."""
    if is_path:
        source = open_source(data, _BATCH_ROWS, options, names)
    else:
        rows = collect_columns(data, names, (), "frame", caller)
        # What a frame holds in memory is one batch, so that its types are those of the frame.
        source = open_source(rows.to_native(), max(len(rows), 1))
    batches = list(source.batches)
    return {name: [batch.columns[name] for batch in batches] for name in names}


class _Reader:
    """Converts the cells of columns to the types of their roles."""

    def __init__(
        self, columns: Mapping[str, list[Column]], place: str, options: ReadOptions
    ) -> None:
        self._columns, self._place, self._options = columns, place, options
        self._personal: set[str] = set(_PERSONAL)

    def read(self, roles: Roles, bins: Sequence[str], pos_label: Any) -> pl.DataFrame:
        """Return all columns under their names."""
        self._personal |= {name for name in (roles.customer, roles.entity) if name is not None}
        frame = {name: self._keep(name) for name in self._columns}
        for name in {*bins} - {roles.amount}:
            frame[name] = self._numbers(name)
        for time in (roles.timestamp, roles.label_available_at):
            if time is not None:
                frame[time] = self._validate(time, "timestamp", self._options)
        for score in (roles.score, roles.compare_with, roles.weight):
            if score is not None:
                frame[score] = self._numbers(score)
        if roles.amount is not None:
            frame |= self._amounts(roles.amount)
        frame[roles.label] = self._labels(roles.label, pos_label)
        return pl.DataFrame(frame)

    def _pieces(self, name: str) -> list[Any]:
        pieces: list[Any] = []
        for column in self._columns[name]:
            pieces += column if isinstance(column, tuple) else [column]
        return pieces

    def _series(self, name: str) -> pl.Series | None:
        """Return a column whose cells all have one type."""
        pieces = self._pieces(name)
        if not all(isinstance(piece, pl.Series) for piece in pieces):
            return None
        typed = [piece for piece in pieces if piece.dtype != pl.Null] or pieces[:1]
        if len({str(piece.dtype) for piece in typed}) > 1:
            return None
        dtype: pl.DataType = typed[0].dtype if typed else pl.Null()
        parts = [pl.Series(name, [], dtype), *(piece.alias(name).cast(dtype) for piece in pieces)]
        joined: pl.Series = pl.concat(parts)
        return joined

    def _keep(self, name: str) -> pl.Series:
        """Return a column of groups or identifiers as it is; mixed types become texts."""
        series = self._series(name)
        if series is None:
            series = pl.Series(
                name,
                [
                    None if cell is None else str(cell)
                    for piece in self._pieces(name)
                    for cell in (piece.to_list() if isinstance(piece, pl.Series) else piece)
                ],
                dtype=pl.String,
            )
        if series.dtype.is_nested():
            raise ArgumentError(
                f"Column {name!r} must hold single values; got {series.dtype}. Take a part of it, "
                "or convert it to text."
            )
        if series.dtype in (pl.Categorical, pl.Enum):
            return series.cast(pl.String)
        if series.dtype == pl.Null:
            return series.cast(pl.String)
        return series.fill_nan(None) if series.dtype.is_float() else series

    def _numbers(self, name: str) -> pl.Series:
        series = self._series(name)
        if series is not None and series.dtype.is_numeric():
            return series.fill_nan(None) if series.dtype.is_float() else series
        return self._validate(name, "number", self._options)

    def _amounts(self, name: str) -> dict[str, pl.Series]:
        """Return amounts and, if they are texts with a currency, the currencies."""
        series = self._keep(name)
        if series.dtype != pl.String:
            return {name: self._numbers(name)}
        options = dataclasses.replace(self._options, currency=True)
        amounts = {name: self._validate(name, "number", options)}
        currencies = series.str.extract(_SIGN)
        if currencies.null_count() < len(currencies):
            amounts[_CURRENCY] = currencies.replace(_CODES)
        return amounts

    def _labels(self, name: str, pos_label: Any) -> pl.Series:
        series = self._keep(name)
        values = series.drop_nulls().unique()
        if pos_label is None:
            if (
                len(values) == 2
                and not {str(value).strip().lower() for value in values} < _BOOLEANS
            ):
                rare = series.drop_nulls().value_counts(sort=True)[name][-1]  # as fraud is
                raise ArgumentError(
                    f"Column {name!r} must be a label (true or false, 1 or 0, or missing); it "
                    f"holds {join_words([*map(repr, values.sort())])}. Say which one means fraud, "
                    f"such as pos_label={rare!r}."
                )
            return self._validate(name, "boolean", self._options)
        if isinstance(pos_label, str) and series.dtype != pl.String:  # as a command passes it
            series, values = series.cast(pl.String), values.cast(pl.String)
        elif series.dtype == pl.String:  # as a file holds it
            pos_label = str(pos_label)
        others = [value for value in values if value != pos_label]
        if len(others) > 1 or len(others) == len(values):
            is_none = len(others) == len(values)
            problem = "is none of them"
            if not is_none:
                problem = f"leaves {len(others):,} others: set those that are not known to missing"
            elif 0 < len(values) <= 2:
                problem += f": it holds {join_words([*map(repr, values.sort())])}"
            raise ArgumentError(
                f"`pos_label` must be one of two labels in column {name!r}; got {pos_label!r}, "
                f"which {problem}."
            )
        is_fraud: pl.Series = series == pos_label
        return is_fraud.alias(name)

    def _validate(self, name: str, kind: Kind, options: ReadOptions) -> pl.Series:
        """Return a column in the type of its kind.

        Raises
        ------
        ArgumentError
            Cells are not of this kind; the message has their rows.
        """
        spec = ColumnSpec(name, kind, _TYPES[kind])
        pieces = tuple(self._pieces(name))
        validated = validate_column(pieces, spec, options=options)
        series = validated.cells.alias(name)
        errors, n_texts = [], 0
        for mask, reason in validated.errors:
            if mask.any():
                cells = [
                    cell
                    for cell, wrong in zip(_cells(pieces), mask, strict=True)
                    if wrong
                ]  # fmt: skip
                texts = [cell for cell in cells if isinstance(cell, str)]
                n_texts += len(texts)
                rows = pl.Series(mask.arg_true())
                personal = name in self._personal or identifies_persons(
                    pl.Series(name, texts, dtype=pl.String)
                )
                errors.append(CellErrors.of_cells(name, reason, rows, cells, personal=personal))
        if errors:
            lines = "".join(f"\n  {problem}" for problem in summarize(errors))
            hint = _HINTS.get(kind, "") if n_texts else ""
            if kind == "timestamp" and isinstance(cells[0], int):
                hint = _SECONDS_HINT
            hint = hint and f"\n{hint}"
            raise ArgumentError(
                f"These rows of {self._place} cannot be used (rows count from 0):{lines}{hint}"
            )
        return series.fill_nan(None) if kind == "number" else series


_BOOLEANS = {"true", "t", "1", "1.0", "false", "f", "0", "0.0", ""}


def _cells(pieces: Sequence[Any]) -> list[Any]:
    return [
        cell
        for piece in pieces
        for cell in (piece.to_list() if isinstance(piece, pl.Series) else piece)
    ]


def _restrict(
    frame: pl.DataFrame, roles: Roles, period: tuple[dt.datetime | None, dt.datetime | None]
) -> pl.DataFrame:
    """Keep the rows of a period."""
    start, end = period
    if start is None and end is None:
        return frame
    if roles.timestamp is None:
        raise ArgumentError(
            "`start` and `end` need the column of times: pass its name as timestamp=."
        )
    moment = pl.col(roles.timestamp)
    conditions = [] if start is None else [moment >= start]
    conditions += [] if end is None else [moment < end]
    frame = frame.filter(*conditions)
    if not len(frame):
        raise ArgumentError("There are no rows to report on in this period.")
    return frame


def _check_scores(frame: pl.DataFrame, label: str, score: str, remarks: list[str]) -> pl.DataFrame:
    """Return the rows that have a score, or no label; scores are from 0 to 1."""
    missing = frame[label].is_not_null() & frame[score].is_null()
    n_missing = int(missing.sum())
    if frame[score].null_count() == len(frame):
        raise ArgumentError(f"Column {score!r} must hold scores; all of its values are missing.")
    if problem := describe_scores(frame[score], score):
        raise ArgumentError(problem)
    if n_missing:
        n_labelled = len(frame) - frame[label].null_count()
        remarks.append(
            f"{n_missing:,} of {pluralize(n_labelled, 'labelled row')} {has(n_missing)} no score "
            f"(missing or NaN in {score!r}) and {is_(n_missing)} left out of all numbers. If the "
            "model fails on such transactions, the report is too favourable."
        )
        frame = frame.filter(~missing)
    scores = frame[score].drop_nulls()
    if scores.n_unique() == 1:
        remarks.append(
            f"All scores are {format_number(float(scores[0]), 3)}: a constant does not rank "
            "transactions, so the metrics are those of a model that knows nothing."
        )
    return frame


def describe_scores(scores: pl.Series, name: str) -> str:
    """Return what is wrong with scores, and what to do; "" if they are from 0 to 1.

    Examples
    --------
    >>> print(describe_scores(pl.Series([12.5, 80.0]), "p"))
    Column 'p' must hold scores from 0 to 1; got 12.5 to 80. They look like percentages: divide \
them by 100.
    """
    low, high = (float(value) for value in (scores.min(), scores.max()))  # type: ignore[arg-type]
    if low >= 0 and high <= 1:
        return ""
    remedy = "Infinite scores cannot be ranked: replace or drop them."
    if np.isfinite([low, high]).all():
        remedy = score_remedy(scores.to_numpy())
    # Few digits would hide what is beyond 0 or 1 by rounding.
    write = repr if low > -1 and high < 2 else "{:g}".format
    return (
        f"Column {name!r} must hold scores from 0 to 1; got {write(low)} to {write(high)}. {remedy}"
    )


def _placeholder_years(times: pl.Series) -> pl.Series:
    """Return the years of times that stand for an unknown time, such as 9999-12-31."""
    years = times.drop_nulls().dt.year()
    return years.filter(~years.is_between(*_YEARS))


def _remark_amounts(frame: pl.DataFrame, roles: Roles, remarks: list[str]) -> None:
    """Add what is odd about the amounts."""
    if roles.amount is None:
        return
    if n_missing := frame[roles.amount].null_count():
        remarks.append(
            f"{pluralize(n_missing, 'row')} {has(n_missing)} no amount; a missing amount counts as "
            "0."
        )
    if n_negative := int((frame[roles.amount] < 0).sum()):
        remarks.append(
            f"{pluralize(n_negative, 'row')} {has(n_negative)} a negative amount, which is "
            "subtracted from sums and costs. If these are refunds, leave them out; if amounts are "
            "debits, change their sign."
        )


def _remark_times(frame: pl.DataFrame, roles: Roles, remarks: list[str]) -> None:
    """Add what is odd about the times."""
    if roles.timestamp is None:
        return
    times = frame[roles.timestamp]
    if roles.label_available_at is not None:
        n_early = int((frame[roles.label_available_at] < times).sum())
        if n_early:
            remarks.append(
                f"{pluralize(n_early, 'label')} {is_(n_early)} dated before the transaction "
                f"({roles.label_available_at!r} is earlier than {roles.timestamp!r})."
            )
    if n_missing := times.null_count():
        remarks.append(
            f"{pluralize(n_missing, 'row')} {has(n_missing)} no time in {roles.timestamp!r}, so "
            "what needs times is left out. Fill or drop these rows to have it."
        )
    elif n_placeholders := len(_placeholder_years(times)):
        remarks.append(
            f"{pluralize(n_placeholders, 'row')} {has(n_placeholders)} a time in "
            f"{roles.timestamp!r} before the year {_YEARS[0]} or after {_YEARS[1]}, as "
            "placeholders for unknown times are, so what needs times is left out. Fill or drop "
            "these rows to have it."
        )
    elif len(frame) > 1 and times.n_unique() == 1:
        remarks.append("All transactions have the same time.")
    if roles.customer is not None:
        keys = [name for name in (roles.customer, roles.timestamp, roles.amount) if name]
        n_repeated = len(frame) - frame.select(keys).n_unique()
        if n_repeated:
            remarks.append(
                f"{pluralize(n_repeated, 'row')} {has(n_repeated)} the same {join_words(keys)} as "
                "another row; each counts. If these are the same transactions, drop the copies."
            )


# -- Models ----------------------------------------------------------------------------------------


class FramePredictions:
    """Predictions of a model in the rows of a frame.

    Parameters
    ----------
    rows
        The rows.
    name, version
        The model.
    confidence_level
        Of all intervals.
    missing
        Sections to leave out, and the reason.
    importances
        Importances of the features, if the model has any.
    remarks
        Sentences on how the scores were obtained.
    """

    def __init__(
        self,
        rows: Rows,
        name: str,
        version: str,
        *,
        confidence_level: float,
        missing: Mapping[str, str],
        importances: pd.DataFrame | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        self.name, self.version = name, version
        self._rows, roles = rows, rows.roles
        self.day = roles.timestamp or "timestamp"
        self.entity = roles.entity or roles.customer or ""
        self._importances = importances
        self._options: Any = {"confidence_level": confidence_level}
        self._notes: list[str] = [*remarks, *rows.remarks]
        self._frame, self.cluster = self._with_cluster()
        self._evaluation: Evaluation = evaluate(
            self._frame,
            roles.label,
            roles.score or "",
            amount=roles.amount,
            weight=roles.weight,
            **self._options,
        )
        self.data = self._describe()
        self.missing = {**self._find_missing(), **missing}

    @property
    def remarks(self) -> list[str]:
        """What was noticed, as sentences."""
        return self._notes

    def _with_cluster(self) -> tuple[pl.DataFrame, str]:
        """Return the rows, and the column that the bootstrap resamples."""
        frame, roles = self._rows.frame, self._rows.roles
        cluster = roles.cluster or roles.customer
        if cluster is None:
            self._notes.append(
                "No column of customers was given (customer), so the bootstrap resamples single "
                "transactions. If a customer has several, its intervals are too narrow."
            )
            name = ROW
            while name in frame.columns:
                name += "_"
            return frame.with_row_index(name), name
        unknown = frame[cluster].is_null() & frame[roles.label].is_not_null()
        if unknown.any():
            n_unknown = int(unknown.sum())
            self._notes.append(
                f"{pluralize(n_unknown, 'labelled row')} {has(n_unknown)} no {cluster!r}; the "
                "bootstrap resamples each of them alone."
            )
            alone = pl.format("(row {})", pl.int_range(pl.len()))
            frame = frame.with_columns(pl.coalesce(pl.col(cluster).cast(pl.String), alone))
        return frame, cluster

    @property
    def cluster_noun(self) -> str:
        """What is resampled, in the singular."""
        roles = self._rows.roles
        if self._rows.frame.get_column(self.cluster, default=None) is None:
            return ROW
        nouns = {roles.timestamp: "day", roles.merchant: "merchant", roles.customer: "customer"}
        return nouns.get(self.cluster, cluster_noun(self.cluster))

    def _find_missing(self) -> dict[str, str]:
        """Return the sections that the rows have no column for."""
        roles = self._rows.roles
        missing: dict[str, str] = {}
        if no_time := self._rows.find_missing_times():
            missing |= {"stability": no_time, "cards": no_time, "budget": no_time}
        if not self.entity:
            missing["cards"] = "No column of customers or cards was given (customer, entity)."
        elif self._frame.filter(pl.col(roles.label).is_not_null())[self.entity].null_count():
            missing["cards"] = f"Labelled rows have no {self.entity!r}."
        if roles.weight is not None:
            reason = (
                f"Days and weeks need all transactions; those with a weight ({roles.weight!r}) "
            )
            reason += "are a sample."
            missing |= dict.fromkeys(("cards", "stability"), reason)
            self._notes.append(
                f"Counts are sums of the weights in {roles.weight!r}. They have no interval that "
                "assumes independent transactions; the bootstrap keeps each weight with its row."
            )
        if roles.amount is None:
            missing["cost"] = "No column of amounts was given (amount)."
        if self._rows.by is None and not self._rows.choose_groupings():
            missing["groups"] = (
                "No column to compare groups of was given (by), and none of "
                f"{join_words(list(DEFAULT_COLUMNS))} has 2 to {MAX_GROUPS} values."
            )
        if self._importances is None:
            missing["importances"] = (
                "A frame has no feature importances; model_report.from_estimator takes those of "
                "the model."
            )
        return missing

    def _describe(self) -> PredictionData:
        rows, roles, frame = self._rows, self._rows.roles, self._frame
        labelled = frame.filter(pl.col(roles.label).is_not_null())
        frauds = labelled.filter(roles.label)
        times = None if roles.timestamp is None else frame[roles.timestamp].drop_nulls()
        unsuccessful = rows.with_losses().filter(roles.label, ~pl.col("__successful"))
        cluster = self._cluster_values(labelled)
        return PredictionData(
            n_predictions=len(frame),
            n_labelled=len(labelled),
            n_frauds=len(frauds),
            n_customers=_count(frame, roles.customer),
            n_merchants=_count(frame, roles.merchant),
            n_days=0
            if roles.timestamp is None
            else labelled[roles.timestamp].drop_nulls().dt.date().n_unique(),
            first=None if times is None else times.min(),  # type: ignore[arg-type]
            last=None if times is None else times.max(),  # type: ignore[arg-type]
            first_stored=None,
            last_stored=None,
            delays=rows.label_delays(),
            n_stored_after_label=0,
            n_truth_outdated=0,
            lowest_alert=None,
            highest_pass=None,
            currencies=tuple(rows.currencies(labelled)),
            n_unsuccessful=len(unsuccessful),
            unsuccessful_amount=float(unsuccessful["__amount"].sum()),
            n_clusters=cluster.n_unique(),
            n_fraud_clusters=self._cluster_values(frauds).n_unique(),
        )

    def _cluster_values(self, frame: pl.DataFrame) -> pl.Series:
        """Return the values that are resampled; of times, their days."""
        values = frame[self.cluster].drop_nulls()
        return values.dt.date() if values.dtype.is_temporal() else values

    def infer_threshold(self) -> tuple[Threshold, str]:
        """Return the default threshold."""
        return Threshold(DEFAULT_THRESHOLD), "default"

    def evaluate(self) -> Evaluation:
        """Evaluate the labelled rows."""
        return self._evaluation

    def compare(self, threshold: Threshold) -> dict[str, Evaluation] | str | None:
        """Evaluate both scores on the rows that have both, at the same threshold."""
        roles = self._rows.roles
        other, score = roles.compare_with, roles.score or ""
        if other is None:
            return None
        frame = self._frame.filter(pl.col(other).is_not_null() & pl.col(score).is_not_null())
        if not len(frame):
            return f"No row has both {score!r} and {other!r}."
        if problem := describe_scores(frame[other], other):
            return problem
        name = " ".join(filter(None, (self.name, self.version)))
        return {
            column: evaluate(
                frame,
                roles.label,
                source,
                threshold=threshold,
                amount=roles.amount,
                weight=roles.weight,
                **self._options,
            )
            for column, source in ((other, other), (name, score))
        }

    def choose_groupings(self) -> list[Grouping]:
        """Return the columns to compare groups of."""
        return self._rows.choose_groupings()

    def evaluate_groups(self, by: Grouping, threshold: Threshold) -> GroupedEvaluation:
        """Evaluate each group."""
        roles = self._rows.roles
        names = [by] if isinstance(by, str) else list(by)
        return evaluate(
            self._frame, roles.label, roles.score or "", threshold=threshold, by=names,
            weight=roles.weight, **self._options,
        )  # fmt: skip

    def measure_drift(self, reference: Span, current: Span) -> Drift:
        """Measure the drift of the scores between two periods."""
        roles = self._rows.roles
        return measure_drift(
            self._frame,
            roles.score or "",
            reference=reference,
            current=current,
            timestamp=roles.timestamp or "",
            **self._options,
        )

    def read_weeks(self, threshold: float) -> pd.DataFrame:
        """Return scores and frauds of each week."""
        roles = self._rows.roles
        score, label = pl.col(roles.score or ""), pl.col(roles.label)
        week = pl.col(roles.timestamp or "").dt.truncate("1w").alias("timestamp")
        limit = self._evaluation.counts.cast_threshold(threshold)
        weeks = (
            self._frame.group_by(week)
            .agg(
                pl.len().cast(pl.Int64).alias("transactions"),
                label.count().cast(pl.Int64).alias("labelled"),
                label.cast(pl.Int64).sum().alias("frauds"),
                score.count().cast(pl.Int64).alias("scored"),
                score.cast(pl.Float64).mean().alias("mean_score"),
                *(
                    score.cast(pl.Float64).quantile(share, "linear").alias(name)
                    for name, share in QUANTILES.items()
                ),
                (score.cast(pl.Float64) >= limit).sum().cast(pl.Int64).alias("alerts"),
            )
            .sort("timestamp")
            .to_pandas()
        )
        rates = self._rows.fraud_rate(every="1w", with_amount=False, **self._options)
        for name in ("fraud_rate", "fraud_rate_low", "fraud_rate_high", "reliable"):
            weeks[name] = rates[name].to_numpy()
        weeks["alert_rate"] = ratio(weeks["alerts"], weeks["scored"])
        return weeks[list(WEEK_COLUMNS)]

    def read_importances(self) -> pd.DataFrame:
        """Return the importances of the model."""
        if self._importances is None:
            return pd.DataFrame(columns=["feature", "mean", "size", "predictions"])
        return self._importances


def _count(frame: pl.DataFrame, name: str | None) -> int | None:
    return None if name is None else frame[name].drop_nulls().n_unique()


# -- Transactions ----------------------------------------------------------------------------------


class FrameTransactions:
    """Transactions in the rows of a frame.

    Parameters
    ----------
    rows
        The rows.
    confidence_level
        Of all intervals.
    """

    def __init__(self, rows: Rows, confidence_level: float) -> None:
        self._rows, self._confidence_level = rows, confidence_level
        roles = rows.roles
        self.remarks: list[str] = [*rows.remarks]
        self.missing: dict[str, str] = {}
        if no_time := rows.find_missing_times():
            self.missing |= {"time": no_time, "labels": no_time}
        if roles.merchant is None:
            self.missing["merchants"] = "No column of merchants was given (merchant)."
        if roles.fraud_type is None:
            self.missing["types"] = "No column of fraud types was given (fraud_type)."
        if roles.amount is None:
            self.missing["amounts"] = "No column of amounts was given (amount)."
        if not rows.clusters:
            self.remarks.append(
                "No column of customers or merchants was given (customer, merchant), so intervals "
                "treat all transactions as independent. If a customer has several, they are too "
                "narrow."
            )

    def fraud_rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        """Return the fraud rate by columns, periods or bins."""
        columns = list(by) if isinstance(by, tuple) else by
        return self._rows.fraud_rate(columns, confidence_level=self._confidence_level, **options)

    def read_extent(self) -> dict[str, Any]:
        """Return the times of the first and the last transaction, and the delays of labels."""
        name = self._rows.roles.timestamp
        times = None if name is None else self._rows.frame[name]
        return {
            "first": None if times is None else times.min(),
            "last": None if times is None else times.max(),
            "delays": self._rows.label_delays(),
        }

    def read_statistics(self) -> TransactionStatistics:
        """Return counts and amounts; amounts are NaN if there are none, and anomalies unknown."""
        roles, frame = self._rows.roles, self._rows.frame
        labels = frame[roles.label]
        n_labelled, n_frauds = labels.count(), int(labels.sum() or 0)
        nothing = pl.Series([], dtype=pl.Float64)
        amounts = nothing if roles.amount is None else frame[roles.amount].cast(pl.Float64)
        mean, low, high = (
            float("nan") if value is None else float(value)  # type: ignore[arg-type]
            for value in (amounts.mean(), amounts.min(), amounts.max())
        )
        return {
            "total_count": len(frame),
            "total_amount": float("nan") if roles.amount is None else float(amounts.sum()),
            "avg_amount": mean,
            "min_amount": low,
            "max_amount": high,
            "labelled_count": n_labelled,
            "fraud_count": n_frauds,
            "anomaly_count": 0,
            "fraud_rate": float(ratio(n_frauds, n_labelled)),
        }

    def read_amounts(self) -> pd.DataFrame:
        """Return sums of amounts by currency; no row if there are no amounts."""
        roles = self._rows.roles
        names = ("transactions", "amount", "labelled_amount", "fraud_amount", "lost_amount",
                 "unsuccessful", "returned")  # fmt: skip
        if roles.amount is None:
            return pd.DataFrame(columns=["currency", *names]).astype(
                dict.fromkeys(names, "float64")
            )
        label, amount = pl.col(roles.label), pl.col("__amount")
        fraud, successful = label.fill_null(value=False), pl.col("__successful")
        return (
            self._rows.with_losses()
            .group_by(pl.col("__currency_name").alias("currency"))
            .agg(
                pl.len().cast(pl.Int64).alias("transactions"),
                amount.sum().alias("amount"),
                amount.filter(label.is_not_null()).sum().alias("labelled_amount"),
                amount.filter(fraud).sum().alias("fraud_amount"),
                amount.filter(fraud & successful).sum().alias("lost_amount"),
                (fraud & ~successful).sum().cast(pl.Int64).alias("unsuccessful"),
                (fraud & pl.col("__status").is_in(RETURNED)).sum().cast(pl.Int64).alias("returned"),
            )
            .sort("transactions", "currency", descending=[True, False])
            .to_pandas()
        )

    def choose_groupings(self) -> list[Grouping]:
        """Return the columns to compare groups of."""
        return self._rows.choose_groupings()

    def read_losses(self, column: str) -> pd.DataFrame:
        """Return frauds and their losses by a column."""
        roles = self._rows.roles
        name = roles.fraud_type if column == "fraud_type" else roles.merchant
        amount = pl.col("__amount")
        return (
            self._rows.with_losses()
            .filter(roles.label)
            .group_by(pl.col(name or "").alias(column))
            .agg(
                pl.len().cast(pl.Int64).alias("frauds"),
                amount.sum().alias("fraud_amount"),
                amount.filter("__successful").sum().alias("lost_amount"),
            )
            .sort("frauds", column, descending=[True, False])
            .to_pandas()
        )

    def rate_merchants(self) -> pd.DataFrame:
        """Return the fraud rate by merchant."""
        merchant = self._rows.roles.merchant or ""
        return self.fraud_rate(merchant).rename(columns={merchant: "merchant_id"})

    def name_merchants(self, merchants: Sequence[Any]) -> list[str]:
        """Return no names: a frame has identifiers only."""
        return ["" for _ in merchants]

    def read_label_maturity(self) -> pd.DataFrame:
        """Return how many transactions of each week are labelled."""
        roles = self._rows.roles
        label, moment = pl.col(roles.label), pl.col(roles.timestamp or "")
        delay = pl.lit(None, dtype=pl.Duration("us"))
        if roles.label_available_at is not None:
            delay = pl.col(roles.label_available_at) - moment
        known = pl.col("__delay").filter(label.is_not_null()).drop_nulls()
        weeks = (
            self._rows.frame.with_columns(delay.alias("__delay"))
            .group_by(moment.dt.truncate("1w").alias("timestamp"))
            .agg(
                pl.len().cast(pl.Int64).alias("transactions"),
                label.count().cast(pl.Int64).alias("labelled"),
                known.len().cast(pl.Int64).alias("recorded"),
                known.median().alias("median_delay"),
            )
            .sort("timestamp")
            .to_pandas()
        )
        weeks.insert(3, "labelled_share", ratio(weeks["labelled"], weeks["transactions"]))
        return weeks
