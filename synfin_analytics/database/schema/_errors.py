"""Errors of the server while tables change."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psycopg2
from sqlalchemy.exc import DBAPIError

from synfin_analytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the server's errors, without the row that it rejected."""
    try:
        yield
    except (DBAPIError, psycopg2.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "pgcode", None)
        # The detail, which may show a row of the table, is left out. Errors without a code are the
        # driver's, such as a refused connection, and show no row.
        message = (
            cause.diag.message_primary if code and isinstance(cause, psycopg2.Error) else cause
        )
        raise SchemaError(
            f"The server refused: {' '.join(str(message).split())}. Nothing was changed."
            + _ADVICE.get(code or "", "")
        ) from None


_ADVICE = {
    "42501": " The user of this connection lacks a privilege: use the owner of the tables for "
    "upgrades (DB_USER), or have an administrator GRANT CREATE ON SCHEMA to it; `synfin db grant` "
    "lets a user read.",
    "25006": " This server is read-only: connect to the primary server instead of a replica.",
    "2BP01": " Views or tables of others depend on the package's tables: drop them first.",
    "3F000": " First create the schema that the search_path of this connection names.",
    "42P07": " This package did not create it: rename it, or use another database.",
    "42723": " This package did not create it: drop it, or use another database.",
}
