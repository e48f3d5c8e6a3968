"""Tables as people read them: money with cents, rates in percent, times without their zone."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.formatting import format_percent, pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from narwhals.typing import IntoFrame

#: Columns that hold shares, and the suffixes of the ends of their intervals.
_SHARES = frozenset({"precision", "recall", "specificity", "accuracy", "prevalence"})
_ENDS = ("_low", "_high")
#: Last words of the names of whole numbers that name something, and count nothing.
_IDENTIFIERS = re.compile(
    "account|bin|card|code|customer|device|iban|id|ids|key|mcc|merchant|nr|pan|postcode|seed|"
    "terminal|user|version|year|zip"
)
#: Words that end as "custid" does.
_NO_IDENTIFIERS = frozenset({"bid", "invalid", "paid", "prepaid", "unpaid", "valid", "void"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COORDINATES = frozenset({"latitude", "longitude"})
_WIDEST = 60
_COLUMNS = 20


class FormattedTable:
    """A table to look at; :func:`show` makes it. ``df`` has the values as they are."""

    def __init__(self, df: pd.DataFrame, rows: int, total: int) -> None:
        self.df = df
        self._rows = rows
        self._total = total
        zone = _zones(df.iloc[:, :_COLUMNS])
        columns = df.shape[1]
        parts = [
            f"the first {rows:,} of {pluralize(total, 'row')}" if total > rows else "",
            f"the first {_COLUMNS} of {columns} columns" if columns > _COLUMNS else "",
            f"times in {zone}" if zone else "",
        ]
        self._note = "; ".join(part for part in parts if part)

    def _cells(self) -> tuple[list[tuple[str, bool]], list[list[str]]]:
        """Give the head, with what stands to the right, and the rows."""
        import pandas as pd

        frame = self.df.iloc[:, :_COLUMNS]
        if frame.index.names != [None] or not pd.api.types.is_integer_dtype(frame.index.dtype):
            frame = _index_first(frame)
        names = [_name(name) for name in frame.columns]
        columns = [_column(name, frame.iloc[:, at], names) for at, name in enumerate(names)]
        head = [(name, right) for name, (_, right) in zip(names, columns, strict=True)]
        return head, [list(row) for row in zip(*(cells for cells, _ in columns), strict=True)]

    def __repr__(self) -> str:
        head, rows = self._cells()
        lines = [[name for name, _ in head], *([_oneline(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        sides = ["rjust" if right else "ljust" for _, right in head]
        text = [
            "  ".join(
                getattr(cell, side)(width)
                for cell, side, width in zip(line, sides, widths, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*text, *([f"({self._note})"] if self._note else [])])

    def _repr_html_(self) -> str:
        head, rows = self._cells()
        table = table_html(
            [name for name, _ in head],
            rows,
            text_columns=[position for position, (_, right) in enumerate(head) if not right],
            row_headers=False,
            wrap=False,
        )
        note = f"<p>{html.escape(self._note)}</p>" if self._note else ""
        return f"{table}{note}"


def show(df: IntoFrame, rows: int = 20) -> FormattedTable:
    """Show a table with sensible formats; its values stay as they are.

    Money has two decimals, shares are in percent, other numbers have four digits. Counts have
    thousands separators; identifiers (``customer_id``, ``zip_code``, ``year``) have none. Times are
    in UTC and days without hours. NULL is not the same as ``""`` or NaN.
    ``%load_ext synfin_analytics`` does this for each DataFrame of pandas in a notebook.

    Parameters
    ----------
    df
        Of pandas, polars or pyarrow, lazy ones too.
    rows
        How many to show.

    Returns
    -------
    Shown
        It shows itself in a notebook, and printed.

    Examples
    --------
    >>> import pandas as pd
    >>> sums = {"channel": ["pos", "atm"], "amount": [1234.5, 20.0], "fraud_rate": [0.00837, 0.25]}
    >>> show(pd.DataFrame(sums))
    channel    amount  fraud_rate
    pos      1,234.50       0.84%
    atm         20.00      25.00%
    """
    import pandas as pd

    rows = check_integer(rows, "rows", minimum=1)
    if isinstance(df, pd.DataFrame):  # narwhals would lose its index
        return FormattedTable(df.head(rows), rows, len(df))
    try:
        native = nw.from_native(df)
    except TypeError:
        raise ArgumentError(f"`df` must be a DataFrame; got {type(df).__name__}.") from None
    whole = native.collect() if isinstance(native, nw.LazyFrame) else native
    first = whole.head(rows).to_arrow().to_pandas(types_mapper=pd.ArrowDtype)  # NULL stays NULL
    return FormattedTable(first, rows, len(whole))


def load_formatter(shell: Any) -> None:
    """Show each DataFrame of pandas so, in an IPython shell or a notebook."""
    import pandas as pd

    formatters = shell.display_formatter.formatters
    formatters["text/html"].for_type(pd.DataFrame, lambda frame: show(frame)._repr_html_())
    formatters["text/plain"].for_type(
        pd.DataFrame, lambda frame, printer, _: printer.text(repr(show(frame)))
    )


def unload_formatter(shell: Any) -> None:
    """Show them as pandas does, again."""
    import pandas as pd

    for kind in ("text/html", "text/plain"):
        shell.display_formatter.formatters[kind].pop(pd.DataFrame, None)


def _index_first(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    levels = frame.index.to_frame(index=False)
    levels.columns = pd.Index(["" if name is None else name for name in frame.index.names])
    return pd.concat([levels, frame.reset_index(drop=True).set_axis(frame.columns, axis=1)], axis=1)


def _name(name: Any) -> str:
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _oneline(cell: str) -> str:
    return " ".join(cell.split())


def _zones(frame: pd.DataFrame) -> str:
    """Say the zone of the times that are shown with their hours."""
    moments = (frame.iloc[:, at] for at, dtype in enumerate(frame.dtypes) if _moments(dtype))
    zones = {str(column.dt.tz) for column in moments if column.dt.tz and not _days(column)}
    return " and ".join(sorted(zones))


def _moments(dtype: Any) -> bool:
    """Whether a type, pandas' own or Arrow's, is one of moments; days are none."""
    return str(dtype).startswith(("datetime64", "timestamp"))


def _days(column: pd.Series) -> bool:
    return bool((column.dropna().dt.normalize() == column.dropna()).all())


def _column(name: str, column: pd.Series, names: list[str]) -> tuple[list[str], bool]:
    """Write the cells of a column, and say whether they stand to the right."""
    import pandas as pd

    kinds = pd.api.types
    write: Callable[[Any], str] = _text
    right = False
    if kinds.is_bool_dtype(column.dtype):
        write = str
    elif _moments(column.dtype):
        pattern = "%Y-%m-%d" if _days(column) else "%Y-%m-%d %H:%M:%S"
        write = lambda moment: moment.strftime(pattern)  # noqa: E731
    elif kinds.is_numeric_dtype(column.dtype):
        write, right = _numbers(name, column, names), True
    return [_missing(value, right) or write(value) for value in column], right


def _missing(value: Any, number: bool) -> str:
    """Say what is there instead of a value, or nothing if there is one."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT:
        return "NULL"
    if isinstance(value, float) and math.isnan(value):  # in a column of texts it stands for NULL
        return "NaN" if number else "NULL"
    return ""


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _numbers(name: str, column: pd.Series, names: list[str]) -> Callable[[Any], str]:
    """Choose how to write the numbers of a column: all with as many decimals."""
    import pandas as pd

    known = [abs(float(value)) for value in column.dropna() if math.isfinite(value)]
    whole = pd.api.types.is_integer_dtype(column.dtype)
    # An identifier with NULLs is a float in pandas, and is still an identifier.
    if _identifier(name, names) and (whole or all(value.is_integer() for value in known)):
        return lambda value: f"{value:.0f}" if isinstance(value, float) else str(value)
    if whole:
        return lambda value: f"{value:,}"
    if _share(name) and all(value <= 1 for value in known):
        return lambda value: format_percent(value, 2)
    digits = 4 if name in _COORDINATES else 2
    if digits == 2 and not all(math.isclose(value, round(value, 2)) for value in known):
        digits = min(max(4 - math.ceil(math.log10(max(known))), 2), 6)
    least = 10.0**-digits / 2
    return lambda value: f"{value:.1e}" if 0 < abs(value) < least else f"{value:,.{digits}f}"


def _identifier(name: str, names: list[str]) -> bool:
    """Whether whole numbers of a column name something; an index without a name does."""
    if not name:
        return True
    words = [word.lower() for word in _WORDS.findall(name)]
    if words == ["k"]:  # of precision@k, unless it is the k of "k of n"
        return "n" not in names
    last = words[-1] if words else ""
    return (
        _IDENTIFIERS.fullmatch(last) is not None
        or (last == "number" and len(words) > 1)  # card_number
        or (last.endswith("id") and last not in _NO_IDENTIFIERS)
    )


def _share(name: str) -> bool:
    for end in _ENDS:
        name = name.removesuffix(end)
    return (name.endswith("_rate") and name != "exchange_rate") or name in _SHARES
