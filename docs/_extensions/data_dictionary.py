"""The directive ``data-dictionary``: a table's columns, read from its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sqlalchemy.dialects import postgresql

from synfin_analytics import TABLES

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx
    from sqlalchemy import Column

_DIALECT = postgresql.dialect()


def _default(column: Column[Any]) -> str:
    if column.info.get("derived"):
        return "computed from `timestamp`"
    if not column.nullable and column.server_default is None and not column.autoincrement:
        return "required"
    if column.primary_key and column.autoincrement is True:
        return "numbered by the database"
    if column.server_default is not None:
        return "set by the database"
    return "required" if not column.nullable else "NULL"


def _notes(column: Column[Any], comment: str) -> str:
    notes = [comment] if comment else []
    if column.primary_key:
        notes.append("Primary key.")
    notes += [
        f"Must exist in `{key.column.table.name}.{key.column.name}`." for key in column.foreign_keys
    ]
    rule = column.info.get("rule")
    if rule is not None:
        notes.append(f"Must be {rule}.")
    if column.info.get("pii"):
        notes.append("Personal data.")
    return " ".join(notes).replace("|", "\\|").replace("``", "`")


class DataDictionary(SphinxDirective):
    """Columns of a table: name, type, default of a missing value, and the rule for a value."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Write the table as Markdown, and parse the Markdown."""
        model = TABLES[self.arguments[0]]
        comments: dict[tuple[str, str], list[str]] = {}
        for base in model.__mro__:
            if base.__module__.startswith("synfin_analytics."):
                analyzer = ModuleAnalyzer.for_module(base.__module__)
                comments |= analyzer.find_attr_docs()
                self.env.note_dependency(analyzer.srcname)
        lines = ["| column | type | if missing | notes |", "| --- | --- | --- | --- |"]
        for column in model.__table__.columns:
            kind = column.type.compile(dialect=_DIALECT).lower()
            comment = " ".join(comments.get((model.__name__, column.name), [])).strip()
            notes = _notes(column, comment)
            lines.append(f"| `{column.name}` | {kind} | {_default(column)} | {notes} |")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("data-dictionary", DataDictionary)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
