"""What the server refuses, in words."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg2
from sqlalchemy.exc import DBAPIError

from synfin_analytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def refusals_in_words() -> Iterator[None]:
    """Say in words what the server refuses; never with the row that it refused."""
    try:
        yield
    except (DBAPIError, psycopg2.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "pgcode", None)
        # The detail, which may show a row of the table, is left out. What has no code comes from
        # the driver, as a refused connection does, and shows none.
        said = cause.diag.message_primary if code and isinstance(cause, psycopg2.Error) else cause
        raise SchemaError(
            f"The server refused: {' '.join(str(said).split())}. Nothing was changed."
            + _ADVICE.get(code or "", "")
        ) from None


_ADVICE = {
    "42501": " The user of this connection lacks a right: use the owner of the tables for upgrades "
    "(DB_USER), or let an administrator GRANT CREATE ON SCHEMA to it; `synfin db grant` lets a "
    "user read.",
    "25006": " This server only reads: connect to the primary server instead of a replica.",
    "2BP01": " Views or tables of others are built on ours: drop them first, or let them stay.",
    "3F000": " Create the schema that the search_path of this connection names first.",
    "42P07": " It was not made by this package: move it out of the way, or use another database.",
    "42723": " It was not made by this package: drop it, or use another database.",
}
