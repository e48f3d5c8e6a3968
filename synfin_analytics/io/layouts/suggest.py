"""What the columns of a file are, how its cells are written, and the calls that read it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.validation.numeric import has_decimal_points
from synfin_analytics._core.validation.options import ReadOptions, format_example
from synfin_analytics._core.validation.outcome import summarize
from synfin_analytics.exceptions import ArgumentError, Problem
from synfin_analytics.io._csv import SEPARATORS
from synfin_analytics.io._formats import check_path, detect_file_encoding
from synfin_analytics.io.layouts._calls import PARAMETERS, Calls, MappedSource, literal
from synfin_analytics.io.layouts._detect import (
    DATE_LIKE,
    NUMBER_LIKE,
    Shapes,
    detect_dates,
    detect_numbers,
)
from synfin_analytics.io.layouts._guess import (
    LOADABLE,
    Sample,
    guess_columns,
    is_card_number,
    read_labels,
    score_scale,
    second_score,
    time_of_day,
    time_unit,
)
from synfin_analytics.io.layouts._mapping import columns_named
from synfin_analytics.io.layouts._read_layout import (
    build_transactions,
    detect_layout,
    read_layout,
)
from synfin_analytics.io.layouts._scan import scan, schema_of
from synfin_analytics.io.layouts.known import find_without_customers, get_layout, select_variant
from synfin_analytics.io.layouts.layout import spec_for
from synfin_analytics.io.layouts.suggestions import ColumnSuggestions, SuggestedColumn
from synfin_analytics.io.load._check import REPEATED_KEY, ROW, check_batches
from synfin_analytics.io.sources import is_rereadable, open_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from synfin_analytics._core.types import DataSource
    from synfin_analytics.io.layouts._guess import Guess
    from synfin_analytics.io.layouts._scan import Scan

#: Rows from which the columns are guessed.
_SAMPLE_ROWS = 10_000
_BATCH_ROWS = 65_536
#: Columns by which a report compares groups, and how many groups each may have.
_N_GROUPINGS, _MAX_GROUPS = 2, 12
#: Kinds of columns that hold numbers.
_NUMBERS = ("decimal", "number", "integer")
_MARKS = {**SEPARATORS, ".": "point"}


def suggest_columns(
    df: DataSource | Sequence[str | Path],
    *,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    currency: bool | str = False,
) -> ColumnSuggestions:
    """Suggest what the columns of a file or a frame are, and the calls that read it.

    Names are compared with the usual ones in English, German, French and Spanish, and the first
    10,000 rows must fit. Then all rows are checked as :func:`load_df` checks them. The database is
    not needed, and nothing is loaded.

    Parameters
    ----------
    df
        Path of a file, or any frame that :func:`load_df` accepts. A stream that can be read only
        once is read into memory.
    separator, encoding, decimal, thousands, date_format, timezone, currency
        How the cells are written, as in :func:`load_df`; what is left out is detected.

    Returns
    -------
    ColumnSuggestions
        The mapping with reasons, what would be rejected, and code to paste.

    Raises
    ------
    ArgumentError
        The file does not exist or cannot be read.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "Buchung": ["31.01.2026 10:00", "01.02.2026 11:30"],
    ...         "Betrag": ["EUR 1.234,56", "EUR 7,90"],
    ...         "Betrug": ["ja", "nein"],
    ...     }
    ... )
    >>> suggestions = suggest_columns(df)
    >>> suggestions.mapping
    {'Buchung': 'timestamp', 'Betrag': 'amount', 'Betrug': 'is_fraud'}
    >>> suggestions.options["date_format"], suggestions.options["decimal"]
    ('%d.%m.%Y %H:%M', ',')
    """
    given = ReadOptions(separator, encoding, decimal, thousands, date_format, timezone, currency)
    require_thread_pool()
    data: Any = native_frame(df)
    if not isinstance(data, str | Path) and not is_rereadable(data):
        if not hasattr(data, "__arrow_c_stream__") and not isinstance(data, Iterable):
            raise ArgumentError(
                "`df` must be a DataFrame, the path of a file, or a list of dicts; got "
                f"{format_value(data)}."
            )
        data = pl.DataFrame(data) if hasattr(data, "__arrow_c_stream__") else list(data)
    options = given
    if isinstance(data, str | Path) and encoding is None:
        options = dataclasses.replace(given, encoding=detect_file_encoding(check_path(data)))
    inspecting = (
        translate_engine_errors() if isinstance(data, pl.LazyFrame) else contextlib.nullcontext()
    )
    with inspecting:
        return _Inspection(data, given, options).suggest()


class _Inspection:
    """The steps of :func:`suggest_columns`: guess, detect, check, write the calls."""

    def __init__(self, df: Any, given: ReadOptions, options: ReadOptions) -> None:
        self._df = df
        self._given = given
        self._is_file = isinstance(df, str | Path) or (
            isinstance(df, list | tuple) and bool(df) and isinstance(df[0], str | Path)
        )
        self._opened: Scan = scan(df, options, ())
        self._schema = schema_of(self._opened)
        self._opening = self._options = options
        self._notes: list[str] = []
        head = self._opened.frame.head(_SAMPLE_ROWS).collect()
        self._samples = [
            Sample(series, textual=series.name in self._opened.texts) for series in head
        ]
        self._guesses, self._lost = guess_columns(self._samples)
        self._other_score = second_score(self._samples, self._guesses)
        self._sources: dict[str, MappedSource] = {}
        #: Columns that the table does not accept, and why.
        self._dropped: dict[str, str] = {}
        self._scale: str | None = None
        self._pos_label: str | None = None
        self._counts_steps = self._has_text_numbers = self._has_text_times = False

    def suggest(self) -> ColumnSuggestions:
        """Run all steps."""
        layout = detect_layout(self._schema.names())
        by_target = {guess.target: guess for guess in self._guesses.values()}
        for target in spec_for("transactions").columns:
            if target in by_target:
                self._sources[target] = self._source_of(by_target[target])
        self._detect()
        missing = tuple(
            name
            for name, column in spec_for("transactions").columns.items()
            if column.required and name not in self._sources
        )
        check = _Check(self._map(layout))
        if layout is None and self._drop_poor(check):
            check = _Check(self._map(layout))
        rows = check.rows or int(self._opened.frame.select(pl.len()).collect().item())
        problems, rejected = check.problems, len(check.rejected)
        if layout is not None:
            missing = ()
        unreadable = frozenset(filter(None, map(_unreadable, problems)))
        self._describe(check, missing, layout)
        self._describe_unreadable(unreadable)
        mapped = self._mapped_by(layout)
        columns = tuple(self._suggested(sample, layout, mapped) for sample in self._samples)
        options = _changed(self._options)
        return ColumnSuggestions(
            source=self._name,
            rows=rows,
            columns=columns,
            missing=missing,
            problems=problems,
            rejected_rows=rejected,
            options=options,
            detected=tuple(self._detected()),
            layout=layout,
            notes=tuple(self._notes),
            calls=Calls(
                data=self._literal,
                source=self._df,
                separator=self._opened.separator,
                names=self._schema.names(),
                sources=self._sources,
                layout=layout,
                missing=missing,
                options=options,
                opening=_changed(self._opening),
                rejected_rows=rejected,
                counts_steps=self._counts_steps,
                compare_with=self._compare_with(),
                pos_label=self._pos_label,
                by=self._groups(),
                unreadable=unreadable,
                repeated=self._opened.repeated,
            ).write(),
        )

    @property
    def _name(self) -> str:
        if not self._is_file:
            return "df"
        return ", ".join(map(str, [self._df] if isinstance(self._df, str | Path) else self._df))

    @property
    def _literal(self) -> str:
        """The data in code."""
        if not self._is_file:
            return "df"
        if isinstance(self._df, str | Path):
            return literal(str(self._df))
        return literal([str(path) for path in self._df])

    # -- What the columns are ----------------------------------------------------------------------

    def _source_of(self, guess: Guess) -> MappedSource:
        """Return the column, or the expression that converts it."""
        sample, name = guess.sample, guess.sample.name
        column = f"pl.col({literal(name)})"
        if guess.target == "is_fraud":
            return self._label_source(sample, column)
        if guess.target == "fraud_score" and sample.numbers is not None and len(sample.numbers):
            self._scale = score_scale(sample.numbers)
            if self._scale == "percent":
                return MappedSource((name,), f"{column} / 100", pl.col(name) / 100)
            if self._scale == "log-odds":
                expression = 1 / (1 + (-pl.col(name)).exp())
                return MappedSource((name,), f"1 / (1 + (-{column}).exp())", expression)
        if guess.target == "timestamp":
            return self._time_source(sample, column)
        return MappedSource((name,))

    def _label_source(self, sample: Sample, column: str) -> MappedSource:
        labels = sample.labels
        if labels is None or {text.casefold() for text in labels} <= LOADABLE:
            return MappedSource((sample.name,))
        spellings = self._opened.frame.select(pl.col(sample.name).cast(pl.String).unique())
        labels = read_labels(spellings.collect().to_series().drop_nulls().sort())
        labels = dict(sorted(labels.items(), key=lambda item: item[1]))  # genuine first
        if sorted(labels.values()) == [False, True]:
            self._pos_label = next(text for text, is_fraud in labels.items() if is_fraud)
        spelled = ", ".join(
            f"{text!r} is {str(is_fraud).lower()}" for text, is_fraud in labels.items()
        )
        self._notes.append(
            f"The labels in {sample.name!r} are words: {spelled}. load_df reads true, false, 1 and "
            "0 only; the call converts them."
        )
        code = "{" + ", ".join(f"{literal(text)}: {is_fraud}" for text, is_fraud in labels.items())
        return MappedSource(
            (sample.name,),
            f"{column}.replace_strict({code}}})",
            pl.col(sample.name).cast(pl.String).replace_strict(labels),
        )

    def _time_source(self, sample: Sample, column: str) -> MappedSource:
        name = sample.name
        unit = time_unit(sample) if not sample.is_time else ""
        integer = f"{column}.cast(pl.Int64)"
        if unit.endswith("1970"):
            code: Literal["s", "ms"] = "s" if unit.startswith("seconds") else "ms"
            times = pl.from_epoch(pl.col(name).cast(pl.Int64), code)
            return MappedSource((name,), f'pl.from_epoch({integer}, "{code}")', times)
        if unit:
            noun = unit.partition(" ")[0]
            self._counts_steps = True
            self._notes.append(
                f"{name!r} has no dates: it counts {noun}, as far as its name says. The calls "
                "count from 2020-01-01; write the true first day there."
            )
            steps = pl.col(name).cast(pl.Int64)
            duration = pl.duration(hours=steps) if noun == "hours" else pl.duration(seconds=steps)
            return MappedSource((name,), f"pl.duration({noun}={integer})", duration)
        time = time_of_day(sample, self._samples) if sample.is_time else None
        if time is None:
            return MappedSource((name,))
        parts = [f"pl.col({literal(part)}).cast(pl.String)" for part in (name, time.name)]
        return MappedSource(
            (name, time.name),
            f'pl.concat_str({", ".join(parts)}, separator=" ")',
            pl.concat_str(pl.col(name, time.name).cast(pl.String), separator=" "),
        )

    def _compare_with(self) -> str | None:
        """Return the column with the scores of another model, if all of them can be read."""
        if self._other_score is None:
            return None
        name = self._other_score.name
        source = MappedSource((name,))
        cells = self._other_score.cells
        if cells.dtype == pl.String and self._options.decimal == "," and has_decimal_points(cells):
            source = _cast_score(name)
        mapping: dict[str, str | pl.Expr] = {"fraud_score": source.value}
        check = _Check(build_transactions(mapping, self._opened, self._options))
        return None if check.problems else name

    def _groups(self) -> list[str]:
        """Return columns of texts with few values, which reports compare."""
        specs = spec_for("transactions").columns
        personal = {name for name, column in specs.items() if column.personal}
        names = []
        for sample in self._samples:
            guess = self._guesses.get(sample.name)
            is_free = guess is None or guess.target not in PARAMETERS.keys() | personal
            is_id = guess is not None and guess.target.endswith("_id")
            is_text = sample.is_text and max(map(sample.share, (NUMBER_LIKE, DATE_LIKE))) < 0.5
            if is_free and not is_id and is_text and 2 <= sample.n_distinct <= _MAX_GROUPS:
                names.append(sample.name)
            if len(names) == _N_GROUPINGS:
                break
        return names

    # -- How the cells are written -----------------------------------------------------------------

    def _detect(self) -> None:
        """Find the options with which most cells of all rows are read."""
        shapes = self._shapes()
        numbers = {name: shape for name, shape in shapes.items() if shape.spec.kind != "timestamp"}
        # Scores may have decimal points where amounts have commas, as a program writes them.
        score = numbers.pop("fraud_score", None)
        others = list(numbers.values())
        if score is not None and not (others and self._has_points(score, others)):
            others.append(score)
        self._options = detect_numbers(others, self._options)
        times = [shape for shape in shapes.values() if shape.spec.kind == "timestamp"]
        for column in times:
            formats = detect_dates(column, self._options)
            self._options = dataclasses.replace(self._options, date_format=formats[0])
            if len(formats) > 1 and formats[0] is not None:
                self._note_ambiguous(column, formats)
        self._note_thousands(others)
        self._has_text_numbers = any(column.total for column in others)
        self._has_text_times = any(column.total for column in times)
        self._opened = dataclasses.replace(self._opened, texts=self._texts())

    def _has_points(self, score: Shapes, others: Sequence[Shapes]) -> bool:
        """Whether scores have decimal points, and other numbers commas; their source casts them."""
        commas = detect_numbers(others, self._options).decimal == ","
        source = self._sources["fraud_score"]
        if not commas or source.code or not has_decimal_points(pl.Series(list(score.counts))):
            return False
        self._sources["fraud_score"] = _cast_score(source.columns[0])
        return True

    def _texts(self) -> frozenset[str]:
        """Return the columns whose texts are parsed; unless of CSV, an option must say so."""
        texts = self._opened.texts
        specs = spec_for("transactions").columns
        needs_option = any(
            self._schema[source.columns[0]] == pl.String
            and (specs[target].kind in _NUMBERS or (target == "is_fraud" and not source.code))
            for target, source in self._sources.items()
        )
        strings = {name for name, dtype in self._schema.items() if dtype == pl.String}
        if needs_option and not self._opened.separator and not self._options.has_text_options:
            self._options = dataclasses.replace(self._options, decimal=".")
        return texts | strings if self._options.has_text_options else texts

    def _shapes(self) -> dict[str, Shapes]:
        """Collect how the texts of numbers and times are written, in all rows."""
        specs = spec_for("transactions").columns
        expressions, shapes = [], {}
        for target, source in self._sources.items():
            kind = specs[target].kind
            if self._schema[source.columns[0]] != pl.String:
                continue
            if kind in _NUMBERS:
                expression = pl.col(source.columns[0])
            elif kind == "timestamp" and not (source.code or "").startswith(("pl.dur", "pl.from")):
                value = source.value
                expression = pl.col(value) if isinstance(value, str) else value
            else:
                continue
            shapes[target] = Shapes(
                dataclasses.replace(specs[target], kind="number", dtype=pl.Float64())
                if source.expression is not None and kind != "timestamp"
                else specs[target]
            )
            expressions.append(expression.alias(target))
        if expressions:
            frame = self._opened.frame.select(expressions)
            for batch in frame.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
                for target, shape in shapes.items():
                    shape.add(batch[target])
        return shapes

    def _note_ambiguous(self, column: Shapes, formats: Sequence[str | None]) -> None:
        other = next((text for text in formats[1:] if text is not None), None)
        if other is None:
            return
        self._notes.append(
            f"The dates may be {_order(formats[0])} or {_order(other)}: both fit, for example in "
            f"{column.example()!r}. The calls assume {_order(formats[0])}; otherwise pass "
            f"date_format={literal(other)}."
        )

    def _note_thousands(self, numbers: Sequence[Shapes]) -> None:
        """Say so if a mark before three digits could as well be a decimal mark."""
        thousands = self._options.thousands
        if self._given.thousands is not None or thousands not in (".", ","):
            return
        decimal = self._options.decimal_mark
        has_decimals = any(decimal in shape for column in numbers for shape in column.counts)
        examples = [text for column in numbers if (text := column.example(f"[{thousands}]"))]
        if not has_decimals and examples:
            name = _MARKS[thousands]
            self._notes.append(
                f"The {name} in numbers such as {examples[0]!r} was taken as a separator of "
                f"thousands, because three digits follow; if it is the decimal mark, pass "
                f"decimal={literal(thousands)}."
            )

    def _detected(self) -> list[str]:
        """Say how the data are written."""
        options, lines = self._options, []
        if self._opened.separator:
            mark = self._opened.separator
            lines.append(f"separator={mark!r} ({_MARKS.get(mark, 'as passed')})")
            lines.append(f"encoding={options.encoding or 'utf-8'!r}")
        if self._has_text_numbers:
            lines.append(f"decimal={options.decimal_mark!r}")
        if options.thousands:
            lines.append(f"thousands={options.thousands!r}")
        if options.currency:
            lines.append(f"currency={options.currency!r}: numbers have a currency sign or code")
        if options.date_format:
            example = format_example(options.date_format)
            lines.append(f"date_format={literal(options.date_format)}, as in {example}")
        elif self._has_text_times:
            lines.append("dates in ISO 8601, as in 2026-01-31 14:30:59")
        return lines

    # -- What would be rejected --------------------------------------------------------------------

    def _map(self, layout: str | None) -> pl.LazyFrame:
        """Return the transactions as a load would read them."""
        if layout is not None:
            return read_layout(self._df, layout, **self._opening.to_arguments()).transactions
        mapping = {target: source.value for target, source in self._sources.items()}
        return build_transactions(mapping, self._opened, self._options)

    def _drop_poor(self, check: _Check) -> bool:
        """Leave out optional columns of which the table would reject most cells."""
        columns = spec_for("transactions").columns
        for problem in check.problems:
            target, is_rare = problem.column, problem.count <= check.rows / 2
            if is_rare or target not in self._sources or columns[target].required:
                continue
            name = self._sources.pop(target).columns[0]
            self._dropped[name] = f"{target} would reject most of its cells: {problem.reason}"
        return bool(self._dropped)

    # -- In words ----------------------------------------------------------------------------------

    def _describe(self, check: _Check, missing: Sequence[str], layout: str | None) -> None:
        self._describe_header()
        score, label = self._sources.get("fraud_score"), self._sources.get("is_fraud")
        if score is not None and score.code and not score.is_read_by_reports:
            what = "percentages" if self._scale == "percent" else "log-odds"
            self._notes.append(
                f"The scores in {score.columns[0]!r} are {what}, not probabilities from 0 to 1; "
                f"the call converts them: {score.code}."
            )
        if score is not None and len(check.scores) == 1:
            self._notes.append(f"All scores in {score.columns[0]!r} are equal: they rank nothing.")
        if label is not None and len(check.labels) == 1:
            kind = "fraud" if True in check.labels else "genuine"
            self._notes.append(
                f"All labels in {label.columns[0]!r} mean {kind}: a model cannot be evaluated on "
                "one class."
            )
        amount, rule = self._sources.get("amount"), "must be above"
        rejected = [p.count for p in check.problems if p.column == "amount" and rule in p.reason]
        if amount is not None and sum(rejected) > check.rows / 2:
            name = amount.columns[0]
            self._notes.append(
                f"Most amounts in {name!r} are not above 0, and the table rejects them. If these "
                f"are payments, write pl.col({literal(name)}).abs() in the layout."
            )
        for sample in self._samples:
            if sample.name in self._guesses and is_card_number(sample):
                self._notes.append(
                    f"{sample.name!r} holds what looks like card numbers: replace them by tokens "
                    "before you load them. The tables must not hold card numbers."
                )
        if layout is None:
            self._describe_missing(missing)

    def _describe_unreadable(self, unreadable: Set[str]) -> None:
        """Say which columns the calls of reports leave out."""
        for target in sorted(unreadable & self._sources.keys() & PARAMETERS.keys()):
            name = self._sources[target].columns[0]
            needed = target in ("is_fraud", "fraud_score")
            outcome = "there is no call of a report" if needed else "their calls leave it out"
            self._notes.append(
                f"Reports cannot read all cells of {name!r} (see the rows above), so {outcome}. "
                "Correct the cells to have it."
            )

    def _describe_header(self) -> None:
        """Say so if the header may be none, or the separator another one."""
        names = pl.Series(self._schema.names(), dtype=pl.String)
        if not self._opened.separator or names.is_empty():
            return
        if names.str.contains(f"{NUMBER_LIKE}|{DATE_LIKE}").mean() >= 0.5:  # type: ignore[operator]
            self._notes.append(
                "The first line looks like data: a CSV file must begin with a line of column names."
            )
        if len(names) == 1:
            self._notes.append(
                "The file has one column. If another character than comma, semicolon, tab or "
                "vertical bar separates its fields, pass separator=."
            )
        if self._opened.repeated:
            repeated = ", ".join(sorted(map(repr, self._opened.repeated)))
            self._notes.append(
                f"The header repeats {repeated}: the later columns are numbered, as in 'name.1'. "
                "load_df and read_layout refuse the file unless these are named."
            )

    def _describe_missing(self, missing: Sequence[str]) -> None:
        if missing == ("transaction_id",):
            self._notes.append(
                "No column identifies a transaction: read_layout numbers the rows from 1."
            )
        parties = [name for name in ("customer_id", "merchant_id") if name in missing]
        if not parties:
            return
        known = find_without_customers(self._schema.names())
        subject = f"{known} names" if known is not None else "The data name"
        nouns = " and no ".join(f"{name.partition('_')[0]}s" for name in parties)
        self._notes.append(
            f"{subject} no {nouns}, so the rows cannot be loaded as transactions. fraud_rate, "
            "evaluate and the reports work directly on the frame: see the calls below."
        )

    def _mapped_by(self, layout: str | None) -> dict[str, dict[str, None]]:
        """Return, for columns of the data, the columns of the tables that a layout maps them to."""
        mapped: dict[str, dict[str, None]] = {}
        if layout is None:
            return mapped
        known = select_variant(get_layout(layout), self._schema.names())
        for mapping in (known.transactions, known.customers, known.merchants):
            for target, source in mapping.items():
                for name in [source] if isinstance(source, str) else columns_named(source):
                    mapped.setdefault(name, {})[target] = None
        return mapped

    def _suggested(
        self, sample: Sample, layout: str | None, mapped: Mapping[str, Iterable[str]]
    ) -> SuggestedColumn:
        """Return the suggestion for one column."""
        guess = self._guesses.get(sample.name)
        parameter = PARAMETERS.get(guess.target) if guess else None
        if layout is not None:
            if targets := mapped.get(sample.name):
                reason = f"the layout {layout!r} maps it"
                return SuggestedColumn(sample.name, ", ".join(targets), parameter, "high", reason)
            guess = None if parameter is None else guess
        if sample.name in self._dropped:
            return SuggestedColumn(sample.name, None, None, None, self._dropped[sample.name])
        if self._other_score is not None and sample.name == self._other_score.name:
            reason = "its values are scores, too: of another model"
            return SuggestedColumn(sample.name, None, "compare_with", "medium", reason)
        time = self._sources.get("timestamp")
        if time is not None and sample.name in time.columns[1:]:
            reason = f"it holds the times of day for the dates in {time.columns[0]!r}"
            return SuggestedColumn(sample.name, "timestamp", None, "high", reason)
        if guess is None:
            reason = self._lost.get(sample.name, "neither its name nor its cells are known")
            return SuggestedColumn(sample.name, None, None, None, reason)
        target = None if layout is not None else guess.target
        return SuggestedColumn(sample.name, target, parameter, guess.confidence, guess.reason)


def _cast_score(name: str) -> MappedSource:
    """Return scores that are texts with decimal points, whatever the options say."""
    return MappedSource(
        (name,), f"pl.col({literal(name)}).cast(pl.Float64)", pl.col(name).cast(pl.Float64),
        is_read_by_reports=True,
    )  # fmt: skip


def _changed(options: ReadOptions) -> dict[str, str | bool]:
    """Return the options that a call must pass on."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: value for name, value in values.items() if value not in (None, False)}


def _order(date_format: str | None) -> str:
    """Describe the order of a date."""
    return "mm/dd" if (date_format or "").startswith("%m") else "dd/mm"


def _unreadable(problem: Problem) -> str | None:
    """Return the column of a problem that keeps a report from reading it.

    A report takes amounts that the table does not, such as 0.
    """
    rules = ("must be", "has more than") if problem.column == "amount" else ()
    return None if problem.reason.startswith(("is required", *rules)) else problem.column


class _Check:
    """What ``load_df`` says to the cells of transactions.

    Attributes
    ----------
    rows
        Number of rows.
    problems, rejected
        What it would reject, and the positions of the rows.
    labels, scores
        Distinct labels, and some of the scores.
    """

    def __init__(self, frame: pl.LazyFrame) -> None:
        spec = spec_for("transactions")
        source = open_source(frame, _BATCH_ROWS)
        errors, keys = [], []
        self.rows = 0
        self.labels: set[bool] = set()
        self.scores: set[float] = set()
        for batch in check_batches(source, spec, {name: name for name in source.names}):
            self.rows += batch.frame.height
            errors += batch.errors
            if spec.primary_key in source.names:
                keys.append(batch.accepted.select(ROW, spec.primary_key))
            if "is_fraud" in source.names:
                self.labels |= set(batch.frame["is_fraud"].drop_nulls().unique())
            if "fraud_score" in source.names:
                self.scores |= set(batch.frame["fraud_score"].drop_nulls().unique().head(2))
        problems = summarize(errors)
        if keys:  # the check of a batch does not see the keys of the others
            accepted = pl.concat(keys)
            repeated = accepted.filter(~pl.col(spec.primary_key).is_first_distinct())[ROW]
            if len(repeated):
                rows = tuple(repeated.to_list())
                problems.append(Problem(spec.primary_key, REPEATED_KEY, len(rows), rows))
        self.problems = tuple(problems)
        self.rejected = {row for problem in problems for row in problem.rows}
