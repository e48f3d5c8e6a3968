"""Logging of the database layer, with the standard :mod:`logging`.

The logger is ``synfin_analytics.database``; each of its records has the attribute
``category == "DATABASE"``. To see connections come and go::

    logging.basicConfig(format="%(asctime)s %(category)s %(message)s")
    logging.getLogger("synfin_analytics.database").setLevel(logging.DEBUG)
"""

from __future__ import annotations

import logging
import re

CATEGORY = "DATABASE"
_LITERAL = re.compile(
    r"""
    \$(?P<tag>\w*)\$ .*? \$(?P=tag)\$          # $tag$ text $tag$
    | \b[eE]' (?: [^'\\] | \\. | '' )* (?:'|\Z)  # E'text' with backslashes
    | ' (?: [^'] | '' )* (?:'|\Z)                # 'text', also one that is cut off
    """,
    re.VERBOSE | re.DOTALL,
)


class _CategoryFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.category = CATEGORY
        return True


def _database_logger() -> logging.Logger:
    logging.getLogger("synfin_analytics").addHandler(logging.NullHandler())
    named = logging.getLogger("synfin_analytics.database")
    named.addFilter(_CategoryFilter())
    return named


logger = _database_logger()


def without_values(statement: str, *, most: int = 2000) -> str:
    """Blank the text literals of a statement, for they may be a card holder's data.

    Examples
    --------
    >>> without_values("SELECT 1 FROM customers WHERE email = 'ana@example.org'")
    "SELECT 1 FROM customers WHERE email = '…'"
    """
    blanked = " ".join(_LITERAL.sub("'…'", statement).split())
    return blanked if len(blanked) <= most else blanked[: most - 1] + "…"
