"""Errors of calls on a read replica that the primary may answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics.exceptions import DatabaseConnectionError, QueryError

if TYPE_CHECKING:
    import psycopg2

#: Class of errors of a transaction that the server rolled back; on a standby, by replaying.
_ROLLED_BACK = "40"


def error_of_replica(
    error: BaseException | None, replica: str, *, is_lost: bool
) -> DatabaseConnectionError | QueryError | None:
    """Return the error to raise if a replica failed or cancelled a query; None for any other.

    Parameters
    ----------
    error
        The driver's error.
    replica
        Name of the replica.
    is_lost
        Whether the connection to it was lost.
    """
    translated: DatabaseConnectionError | QueryError
    if is_lost:
        translated = DatabaseConnectionError(
            f"The connection to the replica {replica} was lost in the middle of a query. Run it "
            "again, and the primary or another replica answers."
        )
    elif _code(error).startswith(_ROLLED_BACK):
        translated = QueryError(
            f"The replica {replica} cancelled the query, because it conflicts with changes that "
            "the replica has to replay. Run it again, or on the primary with session=. With "
            "hot_standby_feedback or a longer max_standby_streaming_delay on the replica, this is "
            "rarer."
        )
    else:
        return None
    translated.on_replica = True
    return translated


def _code(error: BaseException | psycopg2.Error | None) -> str:
    return getattr(error, "pgcode", None) or ""
