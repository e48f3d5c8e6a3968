"""What was known on a day: the rows before it, with the labels that had become known by then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.dataframes import (
    coerce_object_columns,
    column_names,
    is_empty_by_type,
    label_to_float,
    time_literal,
    to_utc,
)
from synfin_analytics._core.dates import Bound, parse_time
from synfin_analytics.exceptions import ArgumentError, nearest_names

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from synfin_analytics._core.dataframes import Frame

_PURPOSE = "to be compared with `as_of`"


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """The labels of a frame that were known at a time.

    A row is one of those before the time. Its label was known if it became known by then, at the
    latest in that very moment; where it is missing when that was, the label was known immediately.
    Any other label is replaced by a missing one.

    Parameters
    ----------
    as_of
        In UTC.
    label, timestamp, available_at
        Column names: the label, the time of the row, and when the label became known.

    Examples
    --------
    >>> import datetime as dt
    >>> import polars as pl
    >>> days = [dt.datetime(2026, 1, day) for day in (1, 2, 9)]
    >>> df = pl.DataFrame({"timestamp": days, "known": [None, days[2], None], "is_fraud": True})
    >>> known = KnownLabels.parse("2026-01-03", df, "is_fraud", "timestamp", "known", "fraud_rate")
    >>> known.select(nw.from_native(df))["is_fraud"].to_list()
    [1.0, None]
    """

    as_of: dt.datetime
    label: str
    timestamp: str
    available_at: str

    @classmethod
    def parse(
        cls, as_of: Bound, df: Any, label: str, timestamp: str, available_at: str, caller: str
    ) -> KnownLabels | None:
        """Check the arguments of a caller; None without ``as_of``.

        Raises
        ------
        ArgumentError
            ``as_of`` is not a date or time, or the frame does not have the times of the labels.
        """
        time = parse_time(as_of, "as_of")
        check_column_name(timestamp, "timestamp")
        check_column_name(available_at, "label_available_at")
        if time is None:
            return None
        check_label_times(column_names(df, caller), available_at, "`as_of`")
        return cls(time, label, timestamp, available_at)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that :meth:`select` reads besides the label."""
        return self.timestamp, self.available_at

    def rename(self, names: Mapping[str, str]) -> KnownLabels:
        """Return the same for a frame whose columns have other names."""
        label, *times = (names[name] for name in (self.label, *self.columns))
        return KnownLabels(self.as_of, label, *times)

    def select(self, frame: Frame) -> Frame:
        """Leave later rows out, and replace labels that were not known yet by missing ones.

        Raises
        ------
        ArgumentError
            A column holds no timestamps, or the label neither booleans nor numbers.
        """
        frame = coerce_object_columns(frame, [self.label, *self.columns])
        schema = frame.collect_schema()
        as_of = time_literal(frame, self.as_of)
        label = label_to_float(schema[self.label], self.label)
        if not is_empty_by_type(frame, self.available_at, _PURPOSE):
            available_at = to_utc(frame, self.available_at, _PURPOSE)
            label = nw.when(available_at.is_null() | (available_at <= as_of)).then(label)
        if is_empty_by_type(frame, self.timestamp, _PURPOSE):
            earlier = nw.col(self.timestamp).is_null() & nw.lit(False)
        else:
            earlier = to_utc(frame, self.timestamp, _PURPOSE) < as_of
        return frame.filter(earlier).with_columns(label.alias(self.label))


def check_label_times(names: Sequence[str], available_at: str, caller: str) -> None:
    """Raise an ArgumentError, with the remedies, if no column has the times of the labels."""
    if available_at in names:
        return
    nearest = nearest_names(available_at, names)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ArgumentError(
        f"{caller} needs the time at which each label became known; the frame has no column "
        f"{available_at!r}{hint}. Pass its name as `label_available_at`, or add such a "
        "column: for labels that take a week, the timestamp plus 7 days."
    )
