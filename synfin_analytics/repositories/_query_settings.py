"""How PostgreSQL is to go about a query that counts: what its statistics cannot tell it."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import func, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from synfin_analytics._core.frequency import Period

#: Slices of time: enough for a few processors, few enough to read a table in no order so often.
SLICES = 4
#: A slice is counted by one processor, in memory; without these, several share each slice, and
#: then count again what each has counted.
BY_SLICE = {
    "hash_mem_multiplier": "8",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "1TB",
    "min_parallel_index_scan_size": "1TB",
}
#: Joins by hashes: of rows that were loaded just now there are no statistics, PostgreSQL takes them
#: for few, and would compare each with each.
HASHED = {"enable_nestloop": "off"}


@contextlib.contextmanager
def planned(session: Session, settings: dict[str, str]) -> Iterator[None]:
    """Let queries of the block be planned under other settings of the server."""
    before = session.execute(select(*map(func.current_setting, settings))).one()
    _set(session, settings)
    yield  # an error ends the transaction, and the settings with it
    _set(session, dict(zip(settings, before, strict=True)))


def _set(session: Session, settings: dict[str, str]) -> None:
    session.execute(select(*(func.set_config(*one, True) for one in settings.items())))


def slices(
    session: Session,
    moment: InstrumentedAttribute[dt.datetime],
    period: Period,
    where: Sequence[ColumnElement[bool]],
) -> list[list[ColumnElement[bool]]]:
    """Conditions that cut rows into slices of time, none of which shares a period.

    Groups by time never reach from one slice into another: so each slice is counted for itself, by
    another processor, and what it counts into is small enough to be at hand.
    """
    ends = (func.timezone("UTC", end) for end in (func.min(moment), func.max(moment)))
    first, last = session.execute(select(*ends).where(*where)).one()
    if first is None:
        return [[]]
    cuts = _cuts(np.datetime64(first, "us"), np.datetime64(last, "us"), period)
    conditions: list[list[ColumnElement[bool]]] = [[] for _ in range(len(cuts) + 1)]
    for at, cut in enumerate(cuts):
        conditions[at].append(moment < cut)
        conditions[at + 1].append(moment >= cut)
    return conditions


def _cuts(first: np.datetime64, last: np.datetime64, period: Period) -> list[dt.datetime]:
    """Choose starts of periods between two moments, about evenly apart.

    Examples
    --------
    >>> from synfin_analytics._core.frequency import Period
    >>> ends = np.array(["2026-01-01T10:00", "2026-01-05T09:00"], "datetime64[us]")
    >>> [f"{cut:%d %H:%M}" for cut in _cuts(*ends, Period.parse("1d"))]
    ['02 00:00', '03 00:00', '04 00:00']
    """
    steps = first + (last - first) * np.arange(1, SLICES) // SLICES
    starts: Any = np.unique(period.start(steps))
    return [start.replace(tzinfo=dt.UTC) for start in starts[starts > first].tolist()]
