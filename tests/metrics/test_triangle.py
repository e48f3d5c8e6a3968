"""Triangles of labels: counted by every engine as by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from engines import QUICK, a_third_of_engines, engines_for
from hypothesis import given, settings
from hypothesis import strategies as st
from labels import MONDAY, ROWS, TIMES, frame_of

from synfin_analytics._core.dates import Period
from synfin_analytics.metrics._triangle import Triangle, count_triangles

if TYPE_CHECKING:
    import datetime as dt

    import polars as pl


def by_hand(
    frame: pl.DataFrame, every: str, by: str | None, as_of: dt.datetime | None
) -> dict[Any, dict[Any, Any]]:
    """Count with loops: by group and cohort its size, and by age its frauds, labels and value."""
    period = Period.parse(every)

    def number(moment: dt.datetime) -> int:
        return int(period.numbers(np.array([moment.replace(tzinfo=None)], "M8[us]"))[0])

    groups: dict[Any, dict[Any, Any]] = {}
    for line in frame.iter_rows(named=True):
        if as_of is not None and line["timestamp"] >= as_of:
            continue
        cohort = number(line["timestamp"])
        group = groups.setdefault(() if by is None else (line[by],), {})
        sizes, cells = group.setdefault(cohort, ([0, 0.0], {}))
        sizes[0] += 1
        sizes[1] += float(line["amount"] or 0)
        known_at = line["label_available_at"] or line["timestamp"]
        if line["is_fraud"] is None or (as_of is not None and known_at > as_of):
            continue
        cell = cells.setdefault(number(known_at) - cohort, [0, 0, 0.0])
        cell[0] += line["is_fraud"]
        cell[1] += 1
        cell[2] += float(line["amount"] or 0) * line["is_fraud"]
    return groups


def counted(triangles: list[tuple[Any, Triangle]], every: str) -> dict[Any, dict[Any, Any]]:
    """Return triangles in the form of :func:`by_hand`."""
    period = Period.parse(every)
    groups: dict[Any, dict[Any, Any]] = {}
    for key, triangle in triangles:
        assert triangle.amounts is not None
        assert triangle.transaction_amount is not None
        groups[key] = {
            int(number): (
                [triangle.transactions[c], triangle.transaction_amount[c]],
                {
                    int(age): [
                        triangle.known[c, age], triangle.labelled[c, age], triangle.amounts[c, age]
                    ]
                    for age in np.flatnonzero(triangle.labelled[c])
                },
            )
            for c, number in enumerate(period.numbers(triangle.cohorts))
        }  # fmt: skip
    return groups


@a_third_of_engines
@settings(max_examples=4, phases=QUICK)
@given(
    rows=st.lists(ROWS, max_size=20),
    every=st.sampled_from(["1d", "1w", "2w", "1mo"]),
    by=st.sampled_from([None, "channel"]),
    as_of=st.none() | TIMES,
)
def test_every_engine_counts_as_by_hand(engines, rows, every, by, as_of):
    frame = frame_of(rows)
    if as_of is not None and as_of <= MONDAY:
        as_of = None
    expected = by_hand(frame, every, by, as_of)
    for engine, native in engines_for(frame, engines).items():
        triangles = count_triangles(native, every=every, by=by, as_of=as_of)
        assert counted(triangles, every) == expected, engine
