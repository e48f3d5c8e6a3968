"""The text of a condition as sqlglot's tree, and the words for what is refused."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import nearest_names
from synfin_analytics.rules._tree import Refusal

#: Names that PostgreSQL or SQL has for what is refused, by class of sqlglot.
_REFUSED: dict[type[exp.Expr], str] = {
    exp.Window: "a window function; compute a column before",
    exp.AggFunc: "an aggregate; compute a column before",
    exp.Query: "a subquery; compute a column before",
    exp.Subquery: "a subquery; compute a column before",
    exp.Exists: "a subquery; compute a column before",
    exp.Placeholder: "a parameter; write the value",
    exp.Parameter: "a parameter; write the value",
    exp.Tuple: "a list of values, which only follows IN",
    exp.Array: "an array; use IN (…)",
    exp.Any: "ANY or ALL; use IN (…)",
    exp.All: "ANY or ALL; use IN (…)",
    exp.Star: "*; name a column",
    exp.Alias: "two expressions one after the other; join them with AND or OR",
    exp.Lambda: "an assignment; compare with =",
    exp.RegexpLike: "a regular expression; use LIKE",
    exp.RegexpILike: "a regular expression; use ILIKE",
    exp.SimilarTo: "SIMILAR TO; use LIKE",
    exp.Pow: "a power; multiply",
    exp.AtTimeZone: "AT TIME ZONE; all moments are in UTC",
    exp.CurrentDate: "the current date, which depends on when the rule runs; write the date",
    exp.CurrentTimestamp: "the current time, which depends on when the rule runs; write it",
    exp.CurrentTime: "the current time, which depends on when the rule runs; write it",
}
FUNCTIONS = (
    "abs, ceil, coalesce, date_part, date_trunc, extract, floor, greatest, least, left, length, "
    "ln, log, lower, mod, nullif, round, sign, sqrt, substring, trim, trunc, upper"
)


#: Characters that look like operators or quotes.
_LOOKALIKES = {
    "\uff1e": ">",
    "\uff1c": "<",
    "\uff1d": "=",
    "\u2265": ">=",
    "\u2264": "<=",
    "\u2260": "<>",
    "\u2212": "-",
    "\u00d7": "*",
    "\u00f7": "/",
    "\u2227": "AND",
    "\u2228": "OR",
    "\u00ac": "NOT",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": "'",
    "\u201d": "'",
}
_MAX_LENGTH, _MAX_DEPTH = 20_000, 60
_OPERATORS = {"(", ")", ",", ".", "+", "-", "*", "/", "%", "||", "::"}
_OPERATORS |= {"=", "<>", "!=", "<", "<=", ">", ">="}
_REMEDIES = {
    ";": "a semicolon; write one condition",
    "$": "a parameter; write the value",
    "?": "a parameter; write the value",
    ":": "a parameter; write the value",
    "==": "'=='; write =",
    "&&": "'&&'; write AND",
    "[": "an array; use IN (…)",
    "~": "a regular expression; use LIKE",
}


def parse_sql(text: Any) -> exp.Expr:
    """Parse one expression; refuse what is not made of an expression's words and operators.

    Raises
    ------
    Refusal
        The text is not one expression.
    RecursionError
        Its parentheses are nested too deeply.
    """
    _check_text(text)
    try:
        tokens = sqlglot.tokenize(text, read="postgres")
    except SqlglotError:
        raise Refusal("the condition cannot be read; a quote may be open") from None
    depth = 0
    for token in tokens:
        _check_token(token)
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth > _MAX_DEPTH:
            raise RecursionError
    try:
        trees = [tree for tree in sqlglot.parse(text, read="postgres") if tree is not None]
    except SqlglotError as error:
        raise Refusal(_syntax_problem(error)) from None
    if len(trees) != 1:
        raise Refusal("the condition must be one expression")
    return trees[0]


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise Refusal(f"the condition must be a text; got {format_value(text)}")
    if not text.strip():
        raise Refusal("the condition is empty; write for example amount > 500")
    if len(text) > _MAX_LENGTH:
        raise Refusal(
            f"the condition has {len(text):,} characters; at most {_MAX_LENGTH:,} are allowed"
        )
    for character in text:
        if not character.isprintable() and character not in "\n\r\t":
            raise Refusal(
                f"the condition contains the invisible character U+{ord(character):04X}; remove it"
            )


def _check_token(token: Any) -> None:
    """Refuse a token that no condition has, before the parser gives it a meaning."""
    written, kind = token.text, token.token_type.name
    if token.comments:
        raise Refusal("the condition contains a comment; use the rule's description")
    if kind in {"STRING", "NUMBER", "IDENTIFIER"} or written in _OPERATORS:
        return
    if kind.endswith("STRING"):
        raise Refusal("the condition contains a special kind of quotes; use 'text'")
    if re.fullmatch(r"[^\W\d]\w*( \w+)*", written):
        return
    reason = _REMEDIES.get(written, _REMEDIES.get(written[:1], repr(written)))
    if written in _LOOKALIKES:
        reason += f", which is not ASCII; write {_LOOKALIKES[written]}"
    raise Refusal(f"the condition contains {reason}")


def _syntax_problem(error: Any) -> str:
    details = (error.errors or [{}])[0] if hasattr(error, "errors") else {}
    near = str(details.get("highlight") or "").strip()
    return (
        f"the condition is not valid SQL near {near!r}"
        if near
        else "the condition is not valid SQL"
    )


def refusal(tree: exp.Expr) -> Refusal:
    """Return why a part of a tree is not allowed."""
    for refused, reason in _REFUSED.items():
        if isinstance(tree, refused):
            return Refusal(f"the condition contains {reason}")
    if isinstance(tree, exp.Func):
        name = tree.name if isinstance(tree, exp.Anonymous) else tree.sql_name()
        near = nearest_names(name, FUNCTIONS.split(", "))
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        return Refusal(
            f"the function {name.lower()!r} is not among those that a condition may use"
            f"{hint}; available: {FUNCTIONS}. A boolean column can contain any computation"
        )
    return Refusal(f"the condition contains {type(tree).__name__.upper()}, which is not supported")
