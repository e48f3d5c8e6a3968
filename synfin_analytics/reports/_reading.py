"""The rows of a report, read from a frame of any engine or from a file, and checked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, join_words, pluralize
from synfin_analytics._core.validation.numeric import has_decimal_points
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.outcome import CellErrors, printable, summarize
from synfin_analytics._core.validation.spec import ColumnSpec
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.layouts import suggest_columns
from synfin_analytics.metrics._known import KnownLabels
from synfin_analytics.metrics._score_counts import score_remedy
from synfin_analytics.reports._cells import read_cells
from synfin_analytics.reports._columns import PERSONAL, ReportColumns
from synfin_analytics.reports._groups import MAX_GROUPS, has, is_, personal_grouping
from synfin_analytics.reports._remarks import Oddities, describe_oddities
from synfin_analytics.reports._rows import Rows, placeholder_years
from synfin_analytics.reports._sources import Knowledge, format_as_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from synfin_analytics._core.validation.spec import Kind
    from synfin_analytics.reports._cells import Cells
    from synfin_analytics.reports._groups import By
    from synfin_analytics.reports._rows import Roles

#: Rows from which the content of a column is recognized.
_SAMPLE_ROWS = 1000
#: Currencies that the texts of amounts name.
_CURRENCY = "__currency"
_SIGN = r"([A-Z]{3}|\p{Sc})"
_CODES = {"€": "EUR", "£": "GBP"}
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


def read_rows(
    data: Any,
    roles: Roles,
    *,
    by: By,
    bins: Sequence[str] = (),
    keep: Sequence[str] = (),
    period: tuple[dt.datetime | None, dt.datetime | None] = (None, None),
    as_of: dt.datetime | None = None,
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
    keep
        Further columns; texts that are all numbers, booleans or times become that.
    period
        Start and end of the transactions.
    as_of
        Keep only what was known at this time.
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
    columns = ReportColumns.parse(
        data, roles, by=by, bins=bins, keep=keep, period=period, as_of=as_of, options=options,
        caller=caller,
    )  # fmt: skip
    roles, grouped = columns.roles, columns.grouped
    encoded = roles.identifiers - {*grouped, *bins, *keep}
    cells = read_cells(data, columns.names, encoded, options, caller, is_path=columns.is_path)
    if not cells.pieces(roles.label):
        raise no_rows_error(columns.place)
    frame = CellReader(cells, columns.place, options).read(roles, bins, keep, pos_label)
    texts = {name: codes.texts for name, codes in cells.codes.items()}
    for name in grouped:
        check_persons(frame[name])
    if roles.currency is None and _CURRENCY in frame.columns:
        roles = dataclasses.replace(roles, currency=_CURRENCY)
    frame = _restrict(frame, roles, period)
    knowledge = None
    if as_of is not None:
        frame, knowledge = _restrict_to_known(frame, roles, as_of)
    remarks: list[str] = []
    if roles.score is not None:
        frame = _check_scores(frame, roles.label, roles.score, remarks)
    remarks += describe_oddities(_count_oddities(frame, roles), roles)
    return Rows(
        frame,
        roles,
        columns.groupings,
        columns.candidates,
        columns.currency,
        tuple(remarks),
        knowledge,
        texts,
    )


def identifies_persons(cells: pl.Series, n_distinct: int | None = None) -> bool:
    """Whether cells are IBANs or card numbers, or many values of a column of identifiers.

    Of cells that are a part of a column, ``n_distinct`` is the number of distinct ones in all of
    it.

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
    if (cells.n_unique() if n_distinct is None else n_distinct) <= MAX_GROUPS:
        cells = cells.alias("values")  # a name alone, such as "client", does not make a person
    targets = suggest_columns(cells.head(_SAMPLE_ROWS).to_frame()).mapping.values()
    return not {"customer_id", "card_id", "transaction_id"}.isdisjoint(targets)


def check_persons(cells: pl.Series, n_distinct: int | None = None) -> None:
    """Raise an ArgumentError for a column to group by that identifies persons."""
    if identifies_persons(cells, n_distinct):
        raise ArgumentError(personal_grouping(cells.name))


class CellReader:
    """Converts the cells of columns to the types of their roles."""

    def __init__(self, cells: Cells, place: str, options: ReadOptions) -> None:
        self._cells, self._place, self._options = cells, place, options
        self._personal: set[str] = set(PERSONAL)

    def read(
        self, roles: Roles, bins: Sequence[str], keep: Sequence[str], pos_label: Any
    ) -> pl.DataFrame:
        """Return all columns under their names."""
        self._personal |= {name for name in (roles.customer, roles.entity) if name is not None}
        frame = {name: self._keep(name) for name in self._cells}
        for name in keep:
            frame[name] = self._infer(name, frame[name])
        for name in {*bins} - {roles.amount}:
            frame[name] = self._numbers(name)
        for time in (roles.timestamp, roles.label_available_at):
            if time is not None:
                frame[time] = self.validate(time, "timestamp", self._options)
        for score in (roles.score, roles.compare_with):
            if score is not None:
                frame[score] = self._scores(score)
        if roles.weight is not None:
            frame[roles.weight] = self._numbers(roles.weight)
        if roles.amount is not None:
            frame |= self._amounts(roles.amount)
        frame[roles.label] = self.labels(roles.label, pos_label)
        return pl.DataFrame(frame)

    def _series(self, name: str) -> pl.Series | None:
        """Return a column whose cells all have one type."""
        pieces = self._cells.pieces(name)
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
        if name in self._cells.codes:
            return self._cells.take_codes(name)
        series = self._series(name)
        if series is None:
            series = pl.Series(
                name,
                [
                    None if cell is None else str(cell)
                    for piece in self._cells.pieces(name)
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

    def _infer(self, name: str, series: pl.Series) -> pl.Series:
        """Return texts that are all numbers, booleans or times as such."""
        if series.dtype == pl.String:
            pieces = tuple(self._cells.pieces(name))
            for kind in ("number", "boolean", "timestamp"):
                spec = ColumnSpec(name, kind, _TYPES[kind])
                validated = validate_column(pieces, spec, options=self._options)
                if not any(mask.any() for mask, _ in validated.errors):
                    return validated.cells.alias(name)
        return series

    def _numbers(self, name: str, options: ReadOptions | None = None) -> pl.Series:
        series = self._series(name)
        if series is not None and series.dtype.is_numeric():
            return series.fill_nan(None) if series.dtype.is_float() else series
        return self.validate(name, "number", options or self._options)

    def _scores(self, name: str) -> pl.Series:
        series = self._series(name)
        options = self._options
        if series is not None and series.dtype == pl.String and has_decimal_points(series):
            options = dataclasses.replace(options, decimal=".", thousands=None)
        return self._numbers(name, options)

    def _amounts(self, name: str) -> dict[str, pl.Series]:
        """Return amounts and, if they are texts with a currency, the currencies."""
        series = self._keep(name)
        if series.dtype != pl.String:
            return {name: self._numbers(name)}
        options = dataclasses.replace(self._options, currency=True)
        amounts = {name: self.validate(name, "number", options)}
        currencies = series.str.extract(_SIGN)
        if currencies.null_count() < len(currencies):
            amounts[_CURRENCY] = currencies.replace(_CODES)
        return amounts

    def labels(self, name: str, pos_label: Any) -> pl.Series:
        """Return a column of labels as booleans; ``pos_label`` means fraud, if it is given."""
        series = self._keep(name)
        values = series.drop_nulls().unique()
        if pos_label is None:
            if (
                len(values) == 2
                and not {str(value).strip().lower() for value in values} < _BOOLEANS
            ):
                counts = series.drop_nulls().value_counts(sort=True, name="__count")
                rare = counts[name][-1]  # as fraud is
                raise ArgumentError(
                    f"Column {name!r} must be a label (true or false, 1 or 0, or missing); it "
                    f"holds {join_words([*map(repr, values.sort())])}. Say which one means fraud, "
                    f"such as pos_label={rare!r}."
                )
            return self.validate(name, "boolean", self._options)
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

    def validate(self, name: str, kind: Kind, options: ReadOptions) -> pl.Series:
        """Return a column in the type of its kind.

        Raises
        ------
        ArgumentError
            Cells are not of this kind; the message has their rows.
        """
        spec = ColumnSpec(name, kind, _TYPES[kind])
        pieces = tuple(map(_fill_nan, self._cells.pieces(name)))
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
                texts = [cell for cell in cells if type(cell) is str]  # no printed time
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


def _fill_nan(piece: Any) -> Any:
    """Return a part of a column, in which NaN of a type of numbers is missing."""
    if isinstance(piece, pl.Series) and piece.dtype.is_float():
        return piece.fill_nan(None)
    return piece


_BOOLEANS = {"true", "t", "1", "1.0", "false", "f", "0", "0.0", ""}


def _cells(pieces: Sequence[Any]) -> list[Any]:
    """Return cells as Python objects; times as what prints them, since Python lacks some."""
    return [
        cell
        for piece in pieces
        for cell in (_to_list(piece) if isinstance(piece, pl.Series) else piece)
    ]


def _to_list(cells: pl.Series) -> Iterable[Any]:
    return printable(cells) if cells.dtype.is_temporal() else cells.to_list()


def no_rows_error(place: str) -> ArgumentError:
    """Return the error of a report on a place without rows."""
    return ArgumentError(f"There are no rows to report on in {place}.")


def nothing_known_error(as_of: dt.datetime) -> ArgumentError:
    """Return the error of a report as of a time before all rows."""
    return ArgumentError(f"There are no rows to report on before `as_of`, {format_as_of(as_of)}.")


def _restrict(
    frame: pl.DataFrame, roles: Roles, period: tuple[dt.datetime | None, dt.datetime | None]
) -> pl.DataFrame:
    """Keep the rows of a period."""
    start, end = period
    if start is None and end is None:
        return frame
    moment = pl.col(roles.timestamp or "")
    conditions = [] if start is None else [moment >= start]
    conditions += [] if end is None else [moment < end]
    frame = frame.filter(*conditions)
    if not len(frame):
        raise no_rows_error("this period")
    return frame


def _restrict_to_known(
    frame: pl.DataFrame, roles: Roles, as_of: dt.datetime
) -> tuple[pl.DataFrame, Knowledge]:
    """Keep the rows before a time with the labels known by then, and count the other labels."""
    label, final = roles.label, "__final"
    known = KnownLabels(as_of, label, roles.timestamp or "", roles.label_available_at or "")
    rows: pl.DataFrame = known.select(
        nw.from_native(frame.with_columns(pl.col(label).alias(final)), eager_only=True)
    ).to_native()
    if not len(rows):
        raise nothing_known_error(as_of)
    later = rows.filter(pl.col(label).is_null())[final]
    rows = rows.drop(final).with_columns(pl.col(label).cast(pl.Boolean))
    return rows, Knowledge(as_of, later.count(), int(later.sum() or 0))


def _check_scores(frame: pl.DataFrame, label: str, score: str, remarks: list[str]) -> pl.DataFrame:
    """Return the rows that have a score, or no label; scores are from 0 to 1."""
    missing = frame[label].is_not_null() & frame[score].is_null()
    n_missing, n_labelled = int(missing.sum()), len(frame) - frame[label].null_count()
    low, high = _score_range(frame[score])
    remarks += remark_scores(score, low, high, n_missing, n_labelled)
    return frame.filter(~missing) if n_missing else frame


def remark_scores(
    name: str, low: float | None, high: float | None, n_missing: int, n_labelled: int
) -> list[str]:
    """Return what is odd about scores.

    Parameters
    ----------
    name
        Column of the scores.
    low, high
        The lowest and the highest; None if all are missing.
    n_missing, n_labelled
        Labelled rows without a score, and all labelled rows.

    Raises
    ------
    ArgumentError
        All scores are missing, or one is not from 0 to 1.
    """
    if low is None or high is None:
        raise ArgumentError(f"Column {name!r} must hold scores; all of its values are missing.")
    if problem := describe_score_range(low, high, name):
        raise ArgumentError(problem)
    remarks = []
    if n_missing:
        remarks.append(
            f"{n_missing:,} of {pluralize(n_labelled, 'labelled row')} {has(n_missing)} no score "
            f"(missing or NaN in {name!r}) and {is_(n_missing)} left out of all numbers. If the "
            "model fails on such transactions, the report is too favourable."
        )
    if low == high:
        remarks.append(
            f"All scores are {format_number(low, 3)}: a constant does not rank "
            "transactions, so the metrics are those of a model that knows nothing."
        )
    return remarks


def describe_scores(scores: pl.Series, name: str) -> str:
    """Return what is wrong with scores, and what to do; "" if they are from 0 to 1.

    Examples
    --------
    >>> print(describe_scores(pl.Series([12.5, 80.0]), "p"))
    Column 'p' must hold scores from 0 to 1; got 12.5 to 80. They look like percentages: divide \
them by 100.
    """
    low, high = _score_range(scores)
    return "" if low is None or high is None else describe_score_range(low, high, name)


def _score_range(scores: pl.Series) -> tuple[float | None, float | None]:
    """Return the lowest and the highest score; None if there is none."""
    low, high = (
        None if value is None else float(value)  # type: ignore[arg-type]
        for value in (scores.min(), scores.max())
    )
    return low, high


def describe_score_range(low: float, high: float, name: str) -> str:
    """Return what is wrong with scores from one number to another; "" if they are from 0 to 1."""
    if low >= 0 and high <= 1:
        return ""
    remedy = "Infinite scores cannot be ranked: replace or drop them."
    if np.isfinite([low, high]).all():
        remedy = score_remedy(np.array([low, high]))
    # Few digits would hide what is beyond 0 or 1 by rounding.
    write = repr if low > -1 and high < 2 else "{:g}".format
    return (
        f"Column {name!r} must hold scores from 0 to 1; got {write(low)} to {write(high)}. {remedy}"
    )


def _count_oddities(frame: pl.DataFrame, roles: Roles) -> Oddities:
    """Count what is odd about amounts and times."""
    counts: dict[str, Any] = {}
    if roles.amount is not None:
        counts["missing_amounts"] = frame[roles.amount].null_count()
        counts["negative_amounts"] = int((frame[roles.amount] < 0).sum())
    if roles.timestamp is not None:
        times = frame[roles.timestamp]
        if roles.label_available_at is not None:
            counts["early_labels"] = int((frame[roles.label_available_at] < times).sum())
        counts["missing_times"] = times.null_count()
        counts["placeholder_times"] = len(placeholder_years(times))
        counts["same_time"] = len(frame) > 1 and times.n_unique() == 1
        if keys := roles.repeated:
            counts["repeated"] = _count_repeated(frame.select(keys))
    return Oddities(**counts)


def _count_repeated(frame: pl.DataFrame) -> int:
    """Count the rows that repeat an earlier one; only rows of equal hashes are compared."""
    similar = frame.filter(frame.hash_rows().is_duplicated())
    return len(similar) - similar.n_unique()
