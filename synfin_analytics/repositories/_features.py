"""Features of what is in the table: read, computed and stored, a part of the period at a time."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from synfin_analytics.database.models import Customer, Merchant, MLFeatures, Transaction
from synfin_analytics.features import INPUT_COLUMNS, engineer_features
from synfin_analytics.io.load import load_df
from synfin_analytics.io.load.report import LoadReport
from synfin_analytics.io.read import read_df

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from synfin_analytics.database.models import Base

#: Rows whose features are held at a time, some 0.5 kB each. Their history is as much again.
MOST_ROWS = 2_000_000

_AT = Transaction.timestamp


def engineer(
    session: Session,
    start: dt.datetime | None,
    end: dt.datetime | None,
    label_delay: dt.timedelta | None,
) -> LoadReport:
    """Compute and store the features of the transactions of a period; say what was loaded.

    With ``label_delay`` the column ``label_available_at`` is not read.
    """
    started = time.perf_counter()
    customers, merchants = (
        _columns(session, Customer, INPUT_COLUMNS["customers"]),
        _columns(session, Merchant, INPUT_COLUMNS["merchants"]),
    )
    names, delay = [*INPUT_COLUMNS["transactions"]], {}
    if label_delay is not None:
        names.remove("label_available_at")
        delay = {"label_delay": label_delay}
    reports = []
    for part_start, part_end in _parts(session, start, end):
        query = _history(names, part_start, part_end)
        rows = read_df(query, session=session, output="polars")
        features = engineer_features(
            rows, customers, merchants, start=part_start, end=part_end, **delay
        )
        reports.append(load_df(features, MLFeatures, on_conflict="update", session=session))
    return LoadReport(
        table=reports[0].table,
        inserted=sum(report.inserted for report in reports),
        updated=sum(report.updated for report in reports),
        skipped=0,
        rejected=reports[0].rejected,
        seconds=time.perf_counter() - started,
    )


def _parts(
    session: Session, start: dt.datetime | None, end: dt.datetime | None
) -> list[tuple[dt.datetime | None, dt.datetime | None]]:
    """Cut the period into parts of about as many rows, none of more than ``MOST_ROWS``."""
    inside = _within(start, end)
    count = session.execute(
        select(func.count()).select_from(Transaction).where(*inside)
    ).scalar_one()
    parts = -(-count // MOST_ROWS)
    shares = [part / parts for part in range(1, parts)]
    cuts: list[dt.datetime] = []
    if shares:
        cut = select(func.percentile_disc(shares).within_group(_AT.asc())).where(*inside)
        cuts = session.execute(cut).scalar_one()
    return list(pairwise([start, *dict.fromkeys(cuts), end]))


def _within(start: dt.datetime | None, end: dt.datetime | None) -> list[ColumnElement[bool]]:
    return [
        *([] if start is None else [start <= _AT]),
        *([] if end is None else [end > _AT]),
    ]


def _history(
    names: Sequence[str], start: dt.datetime | None, end: dt.datetime | None
) -> Select[tuple[object, ...]]:
    """Rows of a period, and what was before of their customers and their merchants."""
    query = select(*(Transaction.__table__.c[name] for name in names))
    if start is None:
        return query.where(*_within(None, end))
    named = (
        key.in_(select(key).where(*_within(start, end)))
        for key in (Transaction.customer_id, Transaction.merchant_id)
    )
    return query.where(*_within(None, end), or_(start <= _AT, *named))


def _columns(session: Session, model: type[Base], names: tuple[str, ...]) -> Any:
    return read_df(
        select(*(model.__table__.c[name] for name in names)), session=session, output="polars"
    )
