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
#: First day of data that count time in steps.
_START = "2020-01-01"
_NUMBER_OPTIONS = {"decimal", "thousands", "currency"}
#: Parameters of `fraud_report` and of `model_report` by the column of the table.
_FRAUD_PARAMETERS = {
    "is_fraud": "label",
    "timestamp": "timestamp",
    "amount": "amount",
    "customer_id": "customer",
    "merchant_id": "merchant",
    "currency": "currency",
    "status": "status",
    "label_available_at": "label_available_at",
}
PARAMETERS = {"is_fraud": "label", "fraud_score": "score"} | _FRAUD_PARAMETERS


@dataclasses.dataclass(frozen=True)
class MappedSource:
    """Where the values of a column of the table come from: a column, or an expression."""

    columns: tuple[str, ...]
    #: The expression, as code and as polars has it; None for the column itself.
    code: str | None = None
    expression: pl.Expr | None = None
    #: Whether reports read the column as it is, without the expression.
    is_read_by_reports: bool = False

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
    >>> print(literal("it's"), literal(["a", "b"]), literal(None))
    "it's" ["a", "b"] None
    """
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """Data for a call: the code before it, the columns by those of the table, and options."""

    lines: list[str]
    data: str
    names: Mapping[str, str]
    options: Mapping[str, str | bool]
    keeps_names: bool = True

    def arguments(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Return the columns as arguments."""
        return {
            parameter: self.names[target]
            for target, parameter in parameters.items()
            if target in self.names
        }

    def imports(self, function: str) -> list[str]:
        """Return the lines that import what the code uses."""
        text = "\n".join(self.lines)
        names = [name for name in ("Layout", "read_layout") if f"{name}(" in text]
        polars = ["import polars as pl", ""] if "pl." in text else []
        return [
            *polars,
            f"from synfin_analytics import {', '.join(sorted([*names, function]))}",
            "",
        ]


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
    compare_with
        Column with the scores of another model.
    pos_label
        The text that means fraud, if labels are two words.
    by
        Columns to compare groups of.
    unreadable
        Columns of ``transactions`` with cells that a report cannot read.
    repeated
        Names that the header of a CSV file has more than once.
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
    compare_with: str | None
    pos_label: str | None
    by: Sequence[str]
    unreadable: frozenset[str]
    repeated: frozenset[str]

    def write(self) -> dict[str, str]:
        """Return the calls by function or command."""
        calls = {
            "load_df": self._load_df(),
            "read_layout": self._read_layout(),
            "synfin load": self._command(),
            **self._reports(),
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
        return not (
            self.layout
            or self.missing
            or self._has_expressions
            or (self._is_list and self.data != "df")
        )

    @property
    def _has_layout(self) -> bool:
        """Whether a layout has all that it needs, and names the columns that repeat a name."""
        second = {f"{name}.1" for name in self.repeated}
        named = not second & set(self._unmapped) or self.layout is not None
        return named and not set(self.missing) - {"transaction_id"}

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
        if not self._has_layout:
            return ""
        start = [f"start={literal(_START)}"] if self.counts_steps else []
        load = f".load({', '.join(self._on_invalid())})"
        if self.layout is not None:
            arguments = [self.data, literal(self.layout), *start, *_keywords(self.opening)]
            call = _call("read_layout", arguments, load)
            return f"from synfin_analytics import read_layout\n\n{call}"
        arguments = [self.data, "layout", *start, *_keywords(self.options)]
        polars = "import polars as pl\n\n" if self._has_expressions else ""
        return "\n".join(
            [
                f"{polars}from synfin_analytics import Layout, read_layout",
                "",
                *self._layout(),
                _call("read_layout", arguments, load),
            ]
        )

    def _layout(self) -> list[str]:
        lines = [f"        {literal(to)}: {source.literal}," for to, source in self.sources.items()]
        return ["layout = Layout(", "    {", *lines, "    }", ")"]

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
        return shlex.join([*words, *_flags(self.options if self.layout is None else self.opening)])

    # -- Reports -----------------------------------------------------------------------------------

    def _reports(self) -> dict[str, str]:
        """Return the calls of the reports that the data suffice for, in Python and as commands."""
        calls = {}
        for name, parameters, needed in (
            ("model", PARAMETERS, ("is_fraud", "fraud_score")),
            ("fraud", _FRAUD_PARAMETERS, ("is_fraud", "timestamp")),
        ):
            prepared = self._prepare(parameters, needed=needed)
            if prepared is None:
                continue
            arguments = self._report_arguments(prepared, parameters)
            page = {"model": "report.html", "fraud": "fraud.html"}[name]
            call = _call(f"report = {name}_report", [prepared.data, *_keywords(arguments)])
            lines = [*prepared.imports(f"{name}_report"), *prepared.lines, call]
            calls[f"{name}_report"] = "\n".join([*lines, f"report.save({literal(page)})"])
            if isinstance(self.source, str | Path) and not prepared.lines:
                words = ["synfin", "report", name, str(self.source), *_flags(arguments)]
                calls[f"synfin report {name}"] = shlex.join(words)
        return calls

    def _report_arguments(
        self, prepared: _Prepared, parameters: Mapping[str, str]
    ) -> dict[str, str | bool | list[str]]:
        arguments: dict[str, str | bool | list[str]] = {**prepared.arguments(parameters)}
        if prepared.keeps_names:
            if self.compare_with is not None and "fraud_score" in parameters:
                arguments["compare_with"] = self.compare_with
            if self.by:
                arguments["by"] = list(self.by)
            if self.pos_label is not None:
                arguments["pos_label"] = self.pos_label
        return {**arguments, **prepared.options}

    def _prepare(
        self, parameters: Mapping[str, str], *, needed: tuple[str, ...]
    ) -> _Prepared | None:
        """Return how a report reads the data: as they are, or converted before."""
        sources = {
            target: self.sources[target]
            for target in parameters
            if target in self.sources and target not in self.unreadable
        }
        if not set(needed) <= sources.keys():
            return None
        converted = {
            target: source
            for target, source in sources.items()
            if source.code and not source.is_read_by_reports
        }
        if self.pos_label is not None:
            converted.pop("is_fraud", None)
        names = {target: source.columns[0] for target, source in sources.items()}
        # Reports accept any currency sign.
        options = {name: value for name, value in self.options.items() if name != "currency"}
        if not converted and not self._is_list:
            return _Prepared([], self.data, names, options)
        lines = self._convert(converted)
        if lines is not None:
            return _Prepared(lines, "df", names | {name: name for name in converted}, options)
        if self._has_layout and not (self.layout or self.rejected_rows):
            start = [f"start={literal(_START)}"] if self.counts_steps else []
            arguments = [self.data, "layout", *start, *_keywords(self.options)]
            call = _call("df = read_layout", arguments, ".transactions.collect()")
            lines = [*self._layout(), call]
            return _Prepared(lines, "df", {name: name for name in names}, {}, keeps_names=False)
        if set(needed) & converted.keys() or self._is_list:
            return None
        for target in converted:
            del names[target]
        return _Prepared([], self.data, names, options)

    def _convert(self, converted: Mapping[str, MappedSource]) -> list[str] | None:
        """Return the code of a frame with converted columns; None if polars needs more for that."""
        opened = self._open_frame()
        if opened is None or ("fraud_score" in converted and _NUMBER_OPTIONS & self.options.keys()):
            return None
        codes = {target: source.code for target, source in converted.items()}
        if self.counts_steps and "timestamp" in codes:
            codes["timestamp"] = f"pl.datetime(2020, 1, 1) + {codes['timestamp']}"
        columns = [f"{target}={code}" for target, code in codes.items()]
        lines = [opened] if opened else []
        return lines + ([_call("df = pl.DataFrame(df).with_columns", columns)] if columns else [])

    # -- Functions of a frame ----------------------------------------------------------------------

    def _on_frame(self, function: str, parameters: Mapping[str, str]) -> str:
        """Write a call of a function that takes a frame, and does not parse its texts."""
        needed = [target for target in parameters if target != "amount"]
        opened = None if _NUMBER_OPTIONS & self.options.keys() else self._open_frame()
        if (
            opened is None
            or not {"customer_id", "merchant_id"} & set(self.missing)
            or not set(needed) <= self.sources.keys()
            or set(parameters) & self.unreadable
        ):
            return ""
        sources = {name: self.sources[name] for name in parameters if name in self.sources}
        converted = {target: source for target, source in sources.items() if source.code}
        names = {target: source.columns[0] for target, source in sources.items()}
        lines = self._convert(converted) if converted else [opened] if opened else []
        prepared = _Prepared(lines or [], "df", names | {name: name for name in converted}, {})
        absent = [f"{parameters[name]}=None" for name in parameters if name not in sources]
        arguments = ["df", *_keywords(prepared.arguments(parameters)), *absent]
        return "\n".join([*prepared.imports(function), *prepared.lines, _call(function, arguments)])

    def _open_frame(self) -> str | None:
        """Return the code that reads the data as a frame; None if polars cannot by itself."""
        if self.data == "df":
            if self._is_list:
                return "df = pl.DataFrame(df)"
            return "df = df.collect()" if isinstance(self.source, pl.LazyFrame) else ""
        suffix = Path(self.source).suffix.lower() if isinstance(self.source, str | Path) else ""
        if suffix in (".parquet", ".pq") and Path(self.source).is_file():
            return f"df = pl.read_parquet({self.data})"
        if suffix in (".csv", ".tsv", ".txt") and not {"encoding", "currency"} & set(self.options):
            separator = "" if self.separator == "," else f", separator={literal(self.separator)}"
            return f"df = pl.read_csv({self.data}{separator})"
        return None

    @property
    def _is_list(self) -> bool:
        """Whether the data are several files, or objects."""
        return isinstance(self.source, list | tuple)

    def _on_invalid(self) -> list[str]:
        return ['on_invalid="reject"'] if self.rejected_rows else []


def _keywords(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{name}={literal(value)}" for name, value in arguments.items()]


def _flags(arguments: Mapping[str, Any]) -> list[str]:
    """Return arguments as those of a command."""
    words = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list) else [value]:
            words += [flag, "any" if item is True else str(item)]
    return words


def _mapping(mapping: Mapping[str, str | None], *, indent: int) -> str:
    """Write a dict, on several lines if it is long."""
    items = [f"{literal(name)}: {literal(target)}" for name, target in mapping.items()]
    line = f"{{{', '.join(items)}}}"
    if len(line) + indent < _WIDTH:
        return line
    margin = " " * indent
    return "{\n" + "".join(f"{margin}{item},\n" for item in items) + margin[4:] + "}"


def _call(function: str, arguments: Sequence[str], suffix: str = "") -> str:
    """Write a call, on several lines if it is long."""
    line = f"{function}({', '.join(arguments)}){suffix}"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"{function}(\n{lines}){suffix}"
