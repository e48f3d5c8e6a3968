"""Split SQL text into tokens like PostgreSQL's own lexer.

CONTRIBUTING says why neither sqlglot nor SQLAlchemy's ``text()`` does it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["blank", "comment", "text", "name", "number", "word", "parameter", "other"]

#: A string that follows another one after a line break continues it, with the same escapes.
_CONTINUED = r"'[ \t\f]*(?:--[^\n\r]*)?[\n\r](?:\s|--[^\n\r]*[\n\r])*'"
# A token that is not closed extends to the end of the text, as a statement may be truncated.
_TOKENS = rf"""
    (?P<blank>     \s+ )
  | (?P<comment>   --[^\n\r]* | /\* )
  | (?P<text>      [eE]'(?:[^'\\]|\\.|''|{_CONTINUED})*(?:'|\\?\Z)
                 | (?:[bBxXnN]|[uU]&)?'(?:[^']|''|{_CONTINUED})*(?:'|\Z)
                 | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z) )
  | (?P<name>      (?:[uU]&)?"(?:[^"]|"")*(?:"|\Z) )
  | (?P<parameter> {{parameter}} )
  | (?P<word>      [^\W\d][\w$]* | \$\d+ )
  | (?P<number>    \.?\d[\w.]* )
  | (?P<other>     ::+ | . )
"""


def _grammar(parameter: str) -> re.Pattern[str]:
    return re.compile(_TOKENS.format(parameter=parameter), re.VERBOSE | re.DOTALL)


#: SQL without parameters.
PLAIN = _grammar("(?!)")
#: Parameters as ``:name``.
NAMED = _grammar(r"(?<![\w:]):(?P<parameter_name>[^\W\d]\w*)")
#: Parameters as psycopg2 writes them: ``%(name)s``.
PYFORMAT = _grammar(r"%\((?P<parameter_name>[^)]+)\)s")


class Token(NamedTuple):
    """A part of the text; ``name`` is the name of a parameter."""

    kind: Kind
    start: int
    stop: int
    name: str = ""


def tokens(text: str, grammar: re.Pattern[str] = PLAIN) -> Iterator[Token]:
    """Split SQL into tokens that together are the whole text.

    Examples
    --------
    >>> [token.kind for token in tokens("SELECT 'it''s' -- ok")]
    ['word', 'blank', 'text', 'blank', 'comment']
    """
    position = 0
    while match := grammar.match(text, position):
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # each alternative is a kind
        start, position = match.span()
        if kind == "comment" and match[0] == "/*":
            position = _end_of_comment(text, start)
        name = match["parameter_name"] if kind == "parameter" else ""
        yield Token(kind, start, position, name)


def without_values(statement: str, *, max_length: int = 2000) -> str:
    """Replace the literals of a statement, which may be personal data, and drop its comments.

    Examples
    --------
    >>> without_values("SELECT 1 FROM customers WHERE email = 'ana@example.org' -- Ana's")
    "SELECT … FROM customers WHERE email = '…'"
    """
    masks = {"text": "'…'", "number": "…", "comment": " "}
    pieces = (
        masks.get(token.kind, statement[token.start : token.stop]) for token in tokens(statement)
    )
    masked = " ".join("".join(pieces).split())
    return masked if len(masked) <= max_length else masked[: max_length - 1] + "…"


def _end_of_comment(text: str, start: int) -> int:
    """Position after a comment, which may contain others."""
    depth = 0
    for edge in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return start + edge.end()
    return len(text)
