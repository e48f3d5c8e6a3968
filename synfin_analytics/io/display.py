"""Tables for reading: money with cents, rates in percent, times without their zone."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any, Protocol

import narwhals as nw
import pandas as pd

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.dataframes import collect, native_frame
from synfin_analytics._core.formatting import format_percent, pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from narwhals.typing import IntoFrame

    from synfin_analytics._core.transaction_source import TransactionSource

#: Columns of shares.
_SHARES = frozenset({"precision", "recall", "specificity", "accuracy", "prevalence"})
#: Last words of the names of integer columns that are identifiers, not counts.
_IDENTIFIER_WORDS = re.compile(
    "account|bin|card|code|customer|device|iban|id|ids|key|mcc|merchant|nr|pan|postcode|seed|"
    "terminal|user|version|year|zip"
)
#: Words that end in "id" but are not identifiers, unlike "custid".
_NOT_IDENTIFIERS = frozenset({"bid", "invalid", "paid", "prepaid", "unpaid", "valid", "void"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COORDINATES = frozenset({"latitude", "longitude"})
_MAX_CHARACTERS = 60
_MAX_COLUMNS = 20


class IPythonShell(Protocol):
    """An IPython shell."""

    display_formatter: Any


class FormattedTable:
    """The first rows of a table with formatted values; :func:`show` returns it.

    Attributes
    ----------
    df
        The rows, with their values unchanged.
    """

    def __init__(self, df: pd.DataFrame, n_rows: int, n_total: int) -> None:
        self.df = df
        self._visible = df.iloc[:, :_MAX_COLUMNS]
        time_zones = _time_zones(self._visible)
        n_columns = df.shape[1]
        notes = []
        if n_total > n_rows:
            notes.append(f"the first {n_rows:,} of {pluralize(n_total, 'row')}")
        if n_columns > _MAX_COLUMNS:
            notes.append(f"the first {_MAX_COLUMNS} of {n_columns} columns")
        if time_zones:
            notes.append(f"times in {time_zones}")
        self._note = "; ".join(notes)

    def _format(self) -> tuple[list[tuple[str, bool]], list[list[str]]]:
        """Return each column's name and whether it is aligned right, and the rows."""
        frame = self._visible
        if frame.index.names != [None] or not pd.api.types.is_integer_dtype(frame.index.dtype):
            frame = _index_to_columns(frame)
        names = [_format_name(name) for name in frame.columns]
        columns = [
            _format_column(name, frame.iloc[:, position], names)
            for position, name in enumerate(names)
        ]
        head = [(name, is_number) for name, (_, is_number) in zip(names, columns, strict=True)]
        return head, [list(row) for row in zip(*(cells for cells, _ in columns), strict=True)]

    def __repr__(self) -> str:
        head, rows = self._format()
        lines = [[name for name, _ in head]]
        lines += [[" ".join(cell.split()) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, (_, right) in zip(line, widths, head, strict=True)
            ]
            for line in lines
        ]
        texts = ["  ".join(line).rstrip() for line in aligned]
        return "\n".join([*texts, *([f"({self._note})"] if self._note else [])])

    def _repr_html_(self) -> str:
        head, rows = self._format()
        table = table_html(
            [name for name, _ in head],
            rows,
            text_columns=[position for position, (_, right) in enumerate(head) if not right],
            row_headers=False,
            wrap=False,
        )
        note = f"<p>{html.escape(self._note)}</p>" if self._note else ""
        return f"{table}{note}"


def show(df: IntoFrame | TransactionSource, rows: int = 20) -> FormattedTable:
    """Show a table with formatted values; the values themselves stay unchanged.

    Money has two decimals, shares are in percent, other numbers have four digits. Counts have
    thousands separators; identifiers (``customer_id``, ``zip_code``, ``year``) have none. Times are
    without their zone, and dates without hours. NULL is not the same as ``""`` or NaN.
    ``%load_ext synfin_analytics`` formats every pandas DataFrame of a notebook in this way.

    Parameters
    ----------
    df
        A frame of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark. Of a lazy frame
        only these rows are collected, and the engine counts all.
    rows
        Maximum number of rows.

    Returns
    -------
    FormattedTable
        Displayed as a table in a notebook, and when printed.

    Examples
    --------
    >>> import pandas as pd
    >>> sums = {"channel": ["pos", "atm"], "amount": [1234.5, 20.0], "fraud_rate": [0.00837, 0.25]}
    >>> show(pd.DataFrame(sums))
    channel    amount  fraud_rate
    pos      1,234.50       0.84%
    atm         20.00      25.00%
    """
    rows = check_integer(rows, "rows", minimum=1)
    if isinstance(df, pd.DataFrame):  # narwhals would lose its index
        return FormattedTable(df.head(rows), rows, len(df))
    if nw.dependencies.is_dask_dataframe(df):
        head = df.head(rows, npartitions=-1, compute=True)
        return FormattedTable(head, rows, len(df))
    try:
        native: Any = nw.from_native(native_frame(df))
    except TypeError:
        raise ArgumentError(f"`df` must be a DataFrame; got {type(df).__name__}.") from None
    n_total = collect(native.select(nw.len())).item()  # not len: the engine of a lazy frame counts
    head = collect(native.head(rows)).to_arrow().to_pandas(types_mapper=pd.ArrowDtype)  # keeps NULL
    return FormattedTable(head, rows, int(n_total))


def load_formatter(shell: IPythonShell) -> None:
    """Format every pandas DataFrame in an IPython shell or a notebook."""
    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(pd.DataFrame, lambda df: show(df)._repr_html_())
    formatters["text/plain"].for_type(
        pd.DataFrame, lambda df, printer, _: printer.text(repr(show(df)))
    )


def unload_formatter(shell: IPythonShell) -> None:
    """Display DataFrames as pandas does again."""
    for media_type in ("text/html", "text/plain"):
        shell.display_formatter.formatters[media_type].pop(pd.DataFrame, None)


def _index_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    levels = frame.index.to_frame(index=False)
    levels.columns = pd.Index(["" if name is None else name for name in frame.index.names])
    return pd.concat([levels, frame.reset_index(drop=True).set_axis(frame.columns, axis=1)], axis=1)


def _format_name(name: Any) -> str:
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _time_zones(frame: pd.DataFrame) -> str:
    """Return the zones of the times that are formatted with hours."""
    columns = [
        frame.iloc[:, position]
        for position, dtype in enumerate(frame.dtypes)
        if _is_timestamp(dtype)
    ]
    zones = {str(column.dt.tz) for column in columns if column.dt.tz and not _are_dates(column)}
    return " and ".join(sorted(zones))


def _is_timestamp(dtype: Any) -> bool:
    """Whether a type, of pandas or Arrow, is one of timestamps; dates are not."""
    return str(dtype).startswith(("datetime64", "timestamp"))


def _are_dates(timestamps: pd.Series) -> bool:
    timestamps = timestamps.dropna()
    return bool((timestamps.dt.normalize() == timestamps).all())


def _format_column(name: str, column: pd.Series, names: Sequence[str]) -> tuple[list[str], bool]:
    """Format the cells of a column; return also whether they are numbers."""
    types = pd.api.types
    format_cell: Callable[[Any], str] = _format_text
    is_number = False
    if types.is_bool_dtype(column.dtype):
        format_cell = str
    elif _is_timestamp(column.dtype):
        pattern = "%Y-%m-%d" if _are_dates(column) else "%Y-%m-%d %H:%M:%S"
        format_cell = lambda timestamp: timestamp.strftime(pattern)  # noqa: E731
    elif types.is_numeric_dtype(column.dtype):
        format_cell, is_number = _number_format(name, column, names), True
    return [_format_missing(value, is_number) or format_cell(value) for value in column], is_number


def _format_missing(value: Any, is_number: bool) -> str:
    """Format a missing value; return "" if it is not missing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return "NULL"
    if isinstance(value, float) and math.isnan(value):  # in a column of texts it means NULL
        return "NaN" if is_number else "NULL"
    return ""


def _format_text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"


def _number_format(name: str, column: pd.Series, names: Sequence[str]) -> Callable[[Any], str]:
    """Return the format of a column's numbers, with the same number of decimals for all."""
    sizes = [abs(float(value)) for value in column.dropna() if math.isfinite(value)]
    is_integer = pd.api.types.is_integer_dtype(column.dtype)
    # In pandas an identifier with NULLs is a float.
    if _is_identifier(name, names) and (is_integer or all(size.is_integer() for size in sizes)):
        return lambda value: f"{value:.0f}" if isinstance(value, float) else str(value)
    if is_integer:
        return lambda value: f"{value:,}"
    if _is_share(name) and all(size <= 1 for size in sizes):
        return lambda value: format_percent(value, 2)
    decimals = 4 if name in _COORDINATES else 2
    if decimals == 2 and not all(math.isclose(size, round(size, 2)) for size in sizes):
        decimals = min(max(4 - math.ceil(math.log10(max(sizes))), 2), 6)
    smallest = 10.0**-decimals / 2
    return lambda value: f"{value:.1e}" if 0 < abs(value) < smallest else f"{value:,.{decimals}f}"


def _is_identifier(name: str, names: Sequence[str]) -> bool:
    """Whether integers of a column are identifiers; those of an index without a name are."""
    if not name:
        return True
    words = [word.lower() for word in _WORDS.findall(name)]
    if words == ["k"]:  # as in precision@k, unless the table has k of n
        return "n" not in names
    last = words[-1] if words else ""
    return (
        _IDENTIFIER_WORDS.fullmatch(last) is not None
        or (last == "number" and len(words) > 1)  # card_number
        or (last.endswith("id") and last not in _NOT_IDENTIFIERS)
    )


def _is_share(name: str) -> bool:
    name = name.removesuffix("_low").removesuffix("_high")  # an end of an interval
    return (name.endswith("_rate") and name != "exchange_rate") or name in _SHARES
