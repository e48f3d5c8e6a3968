"""How the texts of columns are written: candidates by their shape, decided by the loader's parser.

Numbers with the same digits in the same places are read alike, and so are times of the same date.
So a column of any length is represented by its distinct shapes, each with a count and an example.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics._core.validation.spec import ColumnSpec

#: A number as people write it, with or without marks, signs and a currency.
NUMBER_LIKE = (
    r"^\s*[-+(]?\s*(?:\p{Sc}|[A-Z]{3})?\s*[-+]?[0-9][0-9.,'\u2019_\s]*(?:[eE][-+]?[0-9]+)?"
    r"\s*(?:\p{Sc}|[A-Z]{3})?\s*[-)]?\s*$"
)
#: A date, perhaps with a time of day.
DATE_LIKE = (
    r"(?i)^\s*(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}|"
    r"[0-9]{1,2}[- ][a-z]{3,9}\.?[- ][0-9]{4}|[a-z]{3,9} [0-9]{1,2}, [0-9]{4}|"
    r"[0-9]{8}T[0-9]{4,6})(?:[T ,].*)?$"
)
_FRACTION = "^[^0-9]*0[.,]"
TIME_OF_DAY = r"^\s*[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?\s*$"
#: Distinct shapes that are remembered of a column; further ones are rarer.
_MAX_SHAPES = 20_000
#: The most frequent shapes, from which candidates are derived.
_MAX_EXAMPLES = 50

#: Decimal mark and separator of thousands, in order of preference.
_NUMBER_STYLES: tuple[tuple[str | None, str | None], ...] = (
    (None, None),
    (",", None),
    (None, ","),
    (",", "."),
    (None, " "),
    (",", " "),
    (None, "'"),
    (",", "'"),
    (None, "\u2019"),
    (",", "\u2019"),
    (None, "_"),
)
_TIME = re.compile(
    r"(?P<gap>T|, ?| )(?P<hour>\d{1,2}):\d{2}(?P<second>:\d{2})?(?P<fraction>\.\d+)?"
    r"(?P<half> ?[AaPp][Mm])?(?P<offset> ?(?:Z|[+-]\d{2}:?\d{2}))?$"
)
#: Dates by their pattern, and the formats that they may have: the day first, then the month.
_DATE_STYLES = (
    (r"\d{4}([-/.])\d{1,2}\1\d{1,2}", ("%Y{0}%m{0}%d",)),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{4}", ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")),
    (r"\d{1,2}([-/.])\d{1,2}\1\d{2}", ("%d{0}%m{0}%y", "%m{0}%d{0}%y")),
    (r"\d{1,2}([- ])[A-Za-z]{3}\1\d{4}", ("%d{0}%b{0}%Y",)),
    (r"\d{1,2}([- ])[A-Za-z]{4,9}\1\d{4}", ("%d{0}%B{0}%Y",)),
    (r"[A-Za-z]{3}( )\d{1,2}, \d{4}", ("%b %d, %Y",)),
    (r"[A-Za-z]{4,9}( )\d{1,2}, \d{4}", ("%B %d, %Y",)),
)


class Shapes:
    """The shapes of the texts of a column, with the number and an example of each.

    Parameters
    ----------
    spec
        The column of the table that the texts are to become.
    """

    def __init__(self, spec: ColumnSpec) -> None:
        # Whether a value is allowed does not depend on how it is written.
        self.spec = dataclasses.replace(spec, rule=None, required=False)
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, texts: pl.Series) -> Shapes:
        """Add texts of the column; NULL and empty ones have no shape."""
        texts = texts.drop_nulls().str.strip_chars()
        texts = texts.filter(texts != "")
        frame = pl.DataFrame({"text": texts, "shape": self._to_shape(texts)})
        grouped = frame.group_by("shape", maintain_order=True).agg(
            pl.len(), pl.col("text").first().alias("example")
        )
        for shape, count, example in grouped.iter_rows():
            if shape in self._examples or len(self._examples) < _MAX_SHAPES:
                self.counts[shape] += count
                self._examples.setdefault(shape, example)
        return self

    def _to_shape(self, texts: pl.Series) -> pl.Series:
        if self.spec.kind not in ("timestamp", "date"):
            # Of "0,125" the zero counts: no separator of thousands follows it.
            shapes, is_fraction = texts.str.replace_all("[0-9]", "1"), texts.str.contains(_FRACTION)
            return shapes.zip_with(~is_fraction, shapes.str.replace("1", "0"))
        time = texts.str.extract(r"([T ,]+[0-9]{1,2}:[0-9]{2}.*)$").fill_null("")
        date = texts.str.head(
            texts.str.len_chars().cast(pl.Int64) - time.str.len_chars().cast(pl.Int64)
        )
        return date + time.str.replace_all("[0-9]", "1")

    @property
    def total(self) -> int:
        """Number of texts."""
        return self.counts.total()

    def example(self, pattern: str = "") -> str:
        """Return a frequent text whose shape matches a pattern."""
        shapes = [shape for shape, _ in self.counts.most_common() if re.search(pattern, shape)]
        return self._examples[shapes[0]] if shapes else ""

    def count_valid(self, options: ReadOptions) -> int:
        """Count the texts that the loader reads with these options."""
        texts = pl.Series(list(self.counts), dtype=pl.String)
        valid = validate_column(texts, self.spec, options=options).cells.is_not_null()
        return sum(itertools.compress(self.counts.values(), valid))


def detect_numbers(columns: Sequence[Shapes], given: ReadOptions) -> ReadOptions:
    """Return the options with which most texts are read as numbers, the plainest first.

    Parameters
    ----------
    columns
        Columns that become numbers.
    given
        Options of the caller, which are not changed.

    Examples
    --------
    >>> from synfin_analytics._core.validation.options import ReadOptions
    >>> from synfin_analytics._core.validation.spec import spec_of
    >>> from synfin_analytics.database.models import Transaction
    >>> amounts = Shapes(spec_of(Transaction).columns["amount"])
    >>> found = detect_numbers([amounts.add(pl.Series(["EUR 1.234,56", "7,90"]))], ReadOptions())
    >>> found.decimal, found.thousands, found.currency
    (',', '.', True)
    """
    best, most = given, _count(columns, given)
    total = sum(column.total for column in columns)
    for currency, (decimal, thousands) in itertools.product((False, True), _NUMBER_STYLES):
        if most == total:
            break
        changes = {"decimal": decimal, "thousands": thousands, "currency": currency}
        if any(getattr(given, name) not in (None, False, value) for name, value in changes.items()):
            continue
        options = dataclasses.replace(given, **changes)  # type: ignore[arg-type]  # by name
        valid = _count(columns, options)
        if valid > most:
            best, most = options, valid
    return best


def detect_dates(column: Shapes, given: ReadOptions) -> list[str | None]:
    """Return the formats with which most texts are read as dates; None is ISO 8601.

    Several formats are returned if they read the same number of texts.

    Examples
    --------
    >>> from synfin_analytics._core.validation.options import ReadOptions
    >>> from synfin_analytics._core.validation.spec import spec_of
    >>> from synfin_analytics.database.models import Transaction
    >>> times = Shapes(spec_of(Transaction).columns["timestamp"])
    >>> detect_dates(times.add(pl.Series(["01/02/2026 9:30 PM"])), ReadOptions())
    ['%d/%m/%Y %I:%M %p', '%m/%d/%Y %I:%M %p']
    >>> detect_dates(times.add(pl.Series(["13/02/2026 9:30 PM"])), ReadOptions())
    ['%d/%m/%Y %I:%M %p']
    """
    if given.date_format is not None or not column.total:
        return [given.date_format]
    valid: dict[str | None, int] = {None: column.count_valid(given)}
    if valid[None] < column.total:
        shapes = [shape for shape, _ in column.counts.most_common(_MAX_EXAMPLES)]
        for date_format in _date_formats(shapes):
            try:
                options = dataclasses.replace(given, date_format=date_format)
            except ArgumentError:  # a format of other texts, such as one without a year
                continue
            valid[date_format] = column.count_valid(options)
    most = max(valid.values())
    return [date_format for date_format, count in valid.items() if count == most]


def _date_formats(texts: Iterable[str]) -> list[str]:
    """Return the formats that texts may have, in order of preference."""
    formats: dict[str, None] = {}
    for text in texts:
        time = _TIME.search(text)
        date = text[: time.start()] if time else text
        for pattern, styles in _DATE_STYLES:
            match = re.fullmatch(pattern, date)
            if match:
                suffix = _time_format(time) if time else ""
                formats |= dict.fromkeys(style.format(match[1]) + suffix for style in styles)
    return sorted(formats, key=lambda date_format: date_format.startswith("%m"))


def _time_format(time: re.Match[str]) -> str:
    parts = [time["gap"], "%I" if time["half"] else "%H", ":%M"]
    parts += [":%S"] if time["second"] else []
    parts += [".%f"] if time["fraction"] else []
    parts += [time["half"][:-2] + "%p"] if time["half"] else []
    parts += [" %z" if time["offset"].startswith(" ") else "%z"] if time["offset"] else []
    return "".join(parts)


def _count(columns: Sequence[Shapes], options: ReadOptions) -> int:
    return sum(column.count_valid(options) for column in columns)
