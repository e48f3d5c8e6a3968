"""Aggregates of stored rows from the cache that processes share, if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.sql import visitors

from synfin_analytics._core.codec import Codec
from synfin_analytics.database.cache import cached
from synfin_analytics.database.models import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import CompoundSelect, Select
    from sqlalchemy.orm import Session

Answer = TypeVar("Answer")

#: Columns of the transactions that identify a person.
PERSONAL_COLUMNS = {
    name for name, column in Transaction.__table__.c.items() if column.info.get("pii")
} | {"transaction_id", "customer_id"}
_CODEC = Codec()


def cached_query(
    session: Session,
    name: str,
    query: Select[Any] | CompoundSelect[Any],
    compute: Callable[[], Answer],
    settings: object = None,
    *,
    enabled: bool,
) -> Answer:
    """Return the answer to an aggregating query from the cache, or compute it.

    Parameters
    ----------
    session
        Session that computes it, without pending objects.
    name
        Name of the method, for the log.
    query
        What is counted.
    compute
        Runs the query. The answer must not contain personal data.
    settings
        What the answer depends on besides the query.
    enabled
        Whether the cache may be used.
    """
    connection = session.connection()
    if not enabled:
        return compute()
    compiled = query.compile(dialect=connection.dialect)
    question = (str(compiled), sorted(compiled.params.items()), settings)
    answer: Answer = cached(connection, name, question, tables_of(query), compute, _CODEC)
    return answer


def tables_of(query: Select[Any] | CompoundSelect[Any]) -> set[str]:
    """Return the names of all tables that a query reads.

    Examples
    --------
    >>> from sqlalchemy import select
    >>> tables_of(select(select(Transaction.amount).subquery()))
    {'transactions'}
    """
    return {part.name for part in visitors.iterate(query) if isinstance(part, Table)}
