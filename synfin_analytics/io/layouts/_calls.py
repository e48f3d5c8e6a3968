"""Python code and commands that read data as suggested."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: From this number of columns to leave out on, a layout is shorter than a mapping.
_MANY_COLUMNS = 8
_WIDTH = 88


@dataclasses.dataclass(frozen=True)
class MappedSource:
    """Where the values of a column of the table come from: a column, or an expression."""

    columns: tuple[str, ...]
    #: The expression, as code and as polars has it; None for the column itself.
    code: str | None = None
    expression: pl.Expr | None = None

    @property
    def value(self) -> str | pl.Expr:
        """The source in a layout."""
        return self.columns[0] if self.expression is None else self.expression

    @property
    def literal(self) -> str:
        """The source in the code of a layout."""
        return literal(self.columns[0]) if self.code is None else self.code


def literal(value: object) -> str:
    """Return a value as Python code; texts in double quotes.

    Examples
    --------
    >>> print(literal("it's"), literal(True), literal(None))
    "it's" True None
    """
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


@dataclasses.dataclass(frozen=True)
class Calls:
    """What the calls are written from.

    Parameters
    ----------
    data, source
        The data as code, and the data.
    separator
        Separator of a CSV file.
    names
        Columns of the data.
    sources
        Where each column of ``transactions`` comes from.
    layout
        Name of the known layout that the data have.
    missing
        Columns that the table requires, and that the data lack.
    options
        Options for reading the cells.
    opening
        Those among them that open the file; a known layout knows how its cells are written.
    rejected_rows
        Number of rows that the load leaves out.
    counts_steps
        Whether times count from a first day.
    score_of_another
        Column with the scores of another model.
    """

    data: str
    source: Any
    separator: str
    names: Sequence[str]
    sources: Mapping[str, MappedSource]
    layout: str | None
    missing: Sequence[str]
    options: Mapping[str, str | bool]
    opening: Mapping[str, str | bool]
    rejected_rows: int
    counts_steps: bool
    score_of_another: str | None

    def write(self) -> dict[str, str]:
        """Return the calls by function, those for a terminal as ``command``."""
        calls = {
            "load_df": self._load_df(),
            "read_layout": self._read_layout(),
            "command": self._command(),
            "fraud_rate": self._on_frame("fraud_rate", {"is_fraud": "label", "amount": "amount"}),
            "evaluate": self._on_frame("evaluate", {"is_fraud": "label", "fraud_score": "score"}),
        }
        return {function: code for function, code in calls.items() if code}

    @property
    def _unmapped(self) -> list[str]:
        used = {name for source in self.sources.values() for name in source.columns}
        return [name for name in self.names if name not in used]

    @property
    def _has_expressions(self) -> bool:
        return any(source.code for source in self.sources.values())

    @property
    def _loads_columns(self) -> bool:
        """Whether ``load_df`` can load the columns as they are."""
        several = isinstance(self.source, list | tuple) and self.data != "df"
        return not (self.layout or self.missing or self._has_expressions or several)

    def _load_df(self) -> str:
        if not self._loads_columns or len(self._unmapped) > _MANY_COLUMNS:
            return ""
        columns = {
            source.columns[0]: target
            for target, source in self.sources.items()
            if source.columns[0] != target
        }
        mapping: dict[str, str | None] = columns | dict.fromkeys(self._unmapped)
        arguments = [self.data, literal("transactions")]
        if mapping:
            arguments.append(f"columns={_mapping(mapping, indent=8)}")
        arguments.append('on_missing_parent="create"')
        arguments += self._on_invalid() + _keywords(self.options)
        return "from synfin_analytics import load_df\n\n" + _call("load_df", arguments)

    def _read_layout(self) -> str:
        if set(self.missing) - {"transaction_id"}:
            return ""
        start = ['start="2020-01-01"'] if self.counts_steps else []
        load = f".load({', '.join(self._on_invalid())})"
        if self.layout is not None:
            arguments = [self.data, literal(self.layout), *start, *_keywords(self.opening)]
            return (
                "from synfin_analytics import read_layout\n\n"
                f"{_call('read_layout', arguments)}{load}"
            )
        lines = [f"        {literal(to)}: {source.literal}," for to, source in self.sources.items()]
        arguments = [self.data, "layout", *start, *_keywords(self.options)]
        polars = "import polars as pl\n\n" if self._has_expressions else ""
        return "\n".join(
            [
                f"{polars}from synfin_analytics import Layout, read_layout",
                "",
                "layout = Layout(",
                "    {",
                *lines,
                "    }",
                ")",
                f"{_call('read_layout', arguments)}{load}",
            ]
        )

    def _command(self) -> str:
        if not isinstance(self.source, str | Path):
            return ""
        words = ["synfin", "load", str(self.source)]
        if self.layout is not None:
            words += ["--layout", self.layout]
        elif self._loads_columns:
            words += ["transactions", "--on-missing-parent", "create"]
            for target, source in self.sources.items():
                if source.columns[0] != target:
                    words += ["--column", f"{source.columns[0]}={target}"]
            words += [word for name in self._unmapped for word in ("--ignore", name)]
        else:
            return ""
        if self.rejected_rows:
            words += ["--on-invalid", "reject"]
        for name, value in (self.options if self.layout is None else self.opening).items():
            words += [f"--{name.replace('_', '-')}", "any" if value is True else str(value)]
        return shlex.join(words)

    # -- Functions of a frame ----------------------------------------------------------------------

    def _on_frame(self, function: str, parameters: Mapping[str, str]) -> str:
        """Write a call of a function that takes a frame with any columns."""
        if not {"customer_id", "merchant_id"} & set(self.missing):
            return ""
        needed = [target for target in parameters if target != "amount"]
        if not set(needed) <= self.sources.keys():
            return ""
        opened = self._open_frame()
        if opened is None:
            return ""
        arguments, converted = ["df"], []
        for target, parameter in parameters.items():
            source = self.sources.get(target)
            if source is None:
                arguments.append(f"{parameter}=None")
                continue
            name = source.columns[0] if source.code is None else target
            arguments.append(f"{parameter}={literal(name)}")
            if source.code is not None:
                converted.append(f"{target}={source.code}")
        lines = [opened] if opened else []
        if converted:
            lines.append(f"df = {_call('pl.DataFrame(df).with_columns', converted)}")
        head = ["import polars as pl", ""] if lines else []
        head += [f"from synfin_analytics import {function}", ""]
        return "\n".join([*head, *lines, _call(function, arguments)])

    def _open_frame(self) -> str | None:
        """Return the code that reads the data as a frame; None if polars cannot by itself."""
        if self.data == "df":
            is_lazy = isinstance(self.source, pl.LazyFrame)
            return None if self.options else "df = df.collect()" if is_lazy else ""
        suffix = Path(self.source).suffix.lower() if isinstance(self.source, str | Path) else ""
        if suffix in (".parquet", ".pq") and not self.options:
            return f"df = pl.read_parquet({self.data})"
        if suffix in (".csv", ".tsv", ".txt") and not set(self.options) - {"separator"}:
            separator = "" if self.separator == "," else f", separator={literal(self.separator)}"
            return f"df = pl.read_csv({self.data}{separator})"
        return None

    # -- Arguments ---------------------------------------------------------------------------------

    def _on_invalid(self) -> list[str]:
        return ['on_invalid="reject"'] if self.rejected_rows else []


def _keywords(options: Mapping[str, str | bool]) -> list[str]:
    return [f"{name}={literal(value)}" for name, value in options.items()]


def _mapping(mapping: Mapping[str, str | None], *, indent: int) -> str:
    """Write a dict, on several lines if it is long."""
    items = [f"{literal(name)}: {literal(target)}" for name, target in mapping.items()]
    line = f"{{{', '.join(items)}}}"
    if len(line) + indent < _WIDTH:
        return line
    margin = " " * indent
    return "{\n" + "".join(f"{margin}{item},\n" for item in items) + margin[4:] + "}"


def _call(function: str, arguments: Sequence[str]) -> str:
    """Write a call, on several lines if it is long."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    return f"{function}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"
