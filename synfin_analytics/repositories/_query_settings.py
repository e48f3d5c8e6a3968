"""Settings for the planner of PostgreSQL in queries that aggregate."""

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

    from synfin_analytics._core.dates import Period

#: Slices of time: enough for a few processors, and few enough, as each one may scan the table.
N_SLICES = 4
#: Count each slice with one processor and in memory. By default several share a slice, whose counts
#: must then be merged.
BY_SLICE = {
    "hash_mem_multiplier": "8",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "1TB",
    "min_parallel_index_scan_size": "1TB",
}
#: Hash joins. PostgreSQL has no statistics about rows that have just been loaded: it assumes few,
#: would compare each row with every other.
HASH_JOINS = {"enable_nestloop": "off"}


@contextlib.contextmanager
def query_settings(session: Session, settings: dict[str, str]) -> Iterator[None]:
    """Run the queries of a block with other settings of the server."""
    before = session.execute(select(*map(func.current_setting, settings))).one()
    _set(session, settings)
    yield  # an error ends the transaction, and the settings with it
    _set(session, dict(zip(settings, before, strict=True)))


def _set(session: Session, settings: dict[str, str]) -> None:
    session.execute(select(*(func.set_config(*setting, True) for setting in settings.items())))


def time_slices(
    session: Session,
    timestamp: InstrumentedAttribute[dt.datetime],
    period: Period,
    where: Sequence[ColumnElement[bool]],
) -> list[list[ColumnElement[bool]]]:
    """Conditions that divide rows into slices of time at boundaries of periods.

    No group by time spans two slices. Each slice is therefore counted separately, by another
    processor, with a hash table that is small enough for its cache.
    """
    ends = (func.timezone("UTC", end) for end in (func.min(timestamp), func.max(timestamp)))
    first, last = session.execute(select(*ends).where(*where)).one()
    if first is None:
        return [[]]
    cuts = _cuts(np.datetime64(first, "us"), np.datetime64(last, "us"), period)
    conditions: list[list[ColumnElement[bool]]] = [[] for _ in range(len(cuts) + 1)]
    for index, cut in enumerate(cuts):
        conditions[index].append(timestamp < cut)
        conditions[index + 1].append(timestamp >= cut)
    return conditions


def _cuts(first: np.datetime64, last: np.datetime64, period: Period) -> list[dt.datetime]:
    """Choose starts of periods between two times, approximately equidistant.

    Examples
    --------
    >>> from synfin_analytics._core.dates import Period
    >>> ends = np.array(["2026-01-01T10:00", "2026-01-05T09:00"], "datetime64[us]")
    >>> [f"{cut:%d %H:%M}" for cut in _cuts(*ends, Period.parse("1d"))]
    ['02 00:00', '03 00:00', '04 00:00']
    """
    steps = first + (last - first) * np.arange(1, N_SLICES) // N_SLICES
    starts: Any = np.unique(period.start(steps))
    return [start.replace(tzinfo=dt.UTC) for start in starts[starts > first].tolist()]
