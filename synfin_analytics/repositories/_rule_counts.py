"""Counts of rules on stored transactions, aggregated inside PostgreSQL in one statement.

The query has levels: columns, and what several conditions compute from them; the bits of the rules
that fire; and their counts. ``OFFSET 0`` keeps PostgreSQL from merging two levels, which would
compute an expression as often as it is used. The table is divided into slices of pages, each for
one processor. Several cells may therefore have the same keys, which does not matter to sums.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
from psycopg2 import errors, extensions
from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Numeric,
    and_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import aliased

from synfin_analytics._core.arguments import argument_error, check_number, format_value
from synfin_analytics._core.dataframes import to_numpy_float
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import ArgumentError, QueryError, SynfinError
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories._counting import (
    BY_SLICE,
    HASH_JOINS,
    N_SLICES,
    in_minor_units,
    minor_units,
    period_start,
    sum_where,
)
from synfin_analytics.repositories._validation import is_model
from synfin_analytics.rules._conditions import Condition
from synfin_analytics.rules._counts import (
    RULES_PER_WORD,
    TIME,
    RuleCounts,
    error_column,
    missing_column,
    n_words,
    word_column,
)
from synfin_analytics.rules._postgresql import quote_name
from synfin_analytics.rules._sources import ColumnRule, ConditionRule, reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Select, Subquery
    from sqlalchemy.orm import Session

    from synfin_analytics.rules._counts import Columns

    TableRule = ColumnRule | ConditionRule

#: Offset that keeps two levels of a query apart. PostgreSQL does not recognize a plain 0 as a
#: constant early enough to run the levels in parallel.
_FENCE: ColumnElement[int] = literal_column("CAST('0' AS bigint)")
_SAVEPOINT = "synfin_rules"
#: PostgreSQL's limit is 2**31 milliseconds.
_MAX_SECONDS = 2_000_000
_FRAUD, _AMOUNT, _UNSCORED = "__fraud", "__amount", "__unscored"


# -- Rules of a table ------------------------------------------------------------------------------


def table_types(models: Sequence[str] = ()) -> dict[str, nw.dtypes.DType]:
    """Return the types of the columns of ``transactions``, and of scores."""
    schema = {column.name: column.dtype for column in spec_of(Transaction).columns.values()}
    schema |= dict.fromkeys(models, pl.Float64())
    return dict(nw.from_native(pl.DataFrame(schema=schema)).schema)


def parse_table_rules(
    conditions: Mapping[str, Any], types: Mapping[str, nw.dtypes.DType]
) -> tuple[list[TableRule], dict[str, str]]:
    """Parse rules of a table.

    Parameters
    ----------
    conditions
        By name of the rule.
    types
        Types of the columns.

    Returns
    -------
    tuple
        The rules, and why others cannot be evaluated.

    Examples
    --------
    >>> rules, failed = parse_table_rules({"a": "x > 1", "b": "y > 1"}, {"x": nw.Float64()})
    >>> [rule.name for rule in rules], list(failed)
    (['a'], ['b'])
    """
    rules: list[TableRule] = []
    failed: dict[str, str] = {}
    for name, condition in conditions.items():
        try:
            rules.append(_parse(name, condition, types))
        except SynfinError as error:
            failed[name] = reason(name, error)
    return rules, failed


def _parse(name: str, condition: object, types: Mapping[str, nw.dtypes.DType]) -> TableRule:
    if not isinstance(condition, str):
        raise ArgumentError(
            "A rule of stored transactions must be a SQL condition or the name of a boolean "
            f"column; got {format_value(condition)}."
        )
    if condition not in types:
        return ConditionRule(name, Condition.parse(name, condition, types))
    dtype = types[condition]
    if dtype != nw.Boolean and not dtype.is_numeric():
        raise ArgumentError(
            f"Column {condition!r} must be true or false, 1 or 0, to be a rule; it is {dtype}."
        )
    return ColumnRule(name, condition)


def check_models(
    models: Mapping[str, tuple[str, str]] | None, columns: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Check models by the names of columns with their scores."""
    if models is None:
        return {}
    if not isinstance(models, Mapping) or not all(
        isinstance(name, str) and name.strip() and is_model(model) for name, model in models.items()
    ):
        raise ArgumentError(
            "`models` must be a dict of names and versions by the column that conditions use, such "
            f"as {{'score': ('forest', '1.0')}}; got {format_value(models)}."
        )
    for name in models:
        if name in columns:
            raise ArgumentError(
                f"`models` must name columns that 'transactions' does not have; got {name!r}."
            )
    return {name: (model[0], model[1]) for name, model in models.items()}


def check_timeout(timeout: float | None) -> float | None:
    """Check a number of seconds."""
    must_be = "a number of seconds, at least 0.001, or None"
    if timeout is None:
        return None
    seconds = check_number(timeout, "timeout", must_be, minimum=0.001)
    if seconds > _MAX_SECONDS:
        raise argument_error("timeout", f"at most {_MAX_SECONDS:,} seconds", timeout)
    return seconds


def describe_unscored(name: str, model: tuple[str, str], count: int) -> str:
    """Return a sentence on transactions that a model has not scored.

    Examples
    --------
    >>> describe_unscored("score", ("forest", "1.0"), 1)
    "forest 1.0 has no score for 1 transaction: 'score' is NULL there."
    """
    return (
        f"{' '.join(model)} has no score for {pluralize(count, 'transaction')}: "
        f"{name!r} is NULL there."
    )


# -- Counts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredRules:
    """Counts of rules on the transactions that a session sees.

    Parameters
    ----------
    session
        Session to count in, including its uncommitted transactions.
    columns
        Clusters and the unit of time.
    where
        Conditions on the transactions.
    label
        Label of a transaction, as it was known.
    models
        Names and versions of models, by the name of the column with the score.
    timeout
        Maximum number of seconds of a statement; None for the server's setting.
    """

    session: Session
    columns: Columns
    where: Sequence[ColumnElement[bool]]
    label: ColumnElement[Any]
    models: Mapping[str, tuple[str, str]]
    timeout: float | None

    def count(
        self, rules: Sequence[TableRule]
    ) -> tuple[nw.DataFrame[Any], list[TableRule], dict[str, str]]:
        """Count all rules in one statement, without those that PostgreSQL refuses.

        Returns
        -------
        tuple
            The cells, the rules that they count, and why other rules are refused.

        Raises
        ------
        QueryError
            The statement takes longer than ``timeout``, or is rejected whatever the rules are.
        """
        try:
            return self._count(rules), list(rules), {}
        except QueryError as error:
            if _is_timeout(error):
                raise
            failing = self._find_failing(rules)
            if not failing:
                raise
        left = [rule for rule in rules if rule.name not in failing]
        return self._count(left), left, failing

    def rule_counts(self, cells: nw.DataFrame[Any], n_rules: int) -> RuleCounts:
        """Convert cells."""
        return RuleCounts.from_cells(cells, n_rules, self.columns.clusters, self.columns.unit)

    def notes(self, cells: nw.DataFrame[Any]) -> list[str]:
        """Return a sentence for each model that has not scored all transactions."""
        notes = []
        for number, (name, model) in enumerate(self.models.items()):
            unscored = int(to_numpy_float(cells[f"{_UNSCORED}_{number}"]).sum())
            if unscored:
                notes.append(describe_unscored(name, model, unscored))
        return notes

    def _find_failing(self, rules: Sequence[TableRule]) -> dict[str, str]:
        """Return why PostgreSQL refuses rules, by name; each is evaluated alone."""
        failing = {}
        for rule in rules:
            try:
                self._count([rule])
            except QueryError as error:
                if _is_timeout(error):
                    raise
                failing[rule.name] = f"PostgreSQL does not evaluate it: {error}"
        return failing

    def _count(self, rules: Sequence[TableRule]) -> nw.DataFrame[Any]:
        settings = {**BY_SLICE, "jit": "off", "parallel_setup_cost": "0"}
        if self.models:
            settings |= HASH_JOINS
        # With one worker, PostgreSQL expects it to run all slices.
        workers = "max_parallel_workers_per_gather"
        if self.session.scalar(select(func.current_setting(workers))) == "1":
            settings[workers] = "2"
        with read_only(self.session, settings, timeout=self.timeout):
            slices = [self._cells(rules, pages) for pages in self._slices()]
            # Wrapped, since PostgreSQL runs the slices in parallel in a subquery only.
            query = select(union_all(*slices).subquery("slices"))
            cells = read_df(query, session=self.session, output="arrow")
        return nw.from_native(cells, eager_only=True)

    def _slices(self) -> list[list[ColumnElement[bool]]]:
        """Conditions that divide the table at boundaries of pages, the last one open."""
        pages = self.session.execute(
            text(
                f"SELECT pg_relation_size(CAST('{Transaction.__tablename__}' AS regclass)) "
                "/ CAST(current_setting('block_size') AS bigint)"
            )
        ).scalar_one()
        cuts = sorted({pages * number // N_SLICES for number in range(1, N_SLICES)} - {0})
        ends: list[int | None] = [None, *cuts, None]
        slices = []
        for first, after in itertools.pairwise(ends):
            bounds = [(">=", first), ("<", after)]
            slices.append([_page(sign, page) for sign, page in bounds if page is not None])
        return slices

    def _cells(
        self, rules: Sequence[TableRule], pages: Sequence[ColumnElement[bool]]
    ) -> Select[Any]:
        shared: dict[str, str] = {}
        fires, problems = [], {}
        for number, rule in enumerate(rules):
            fire, error, missing = _texts(rule, shared)
            fires.append(fire)
            if error is not None:
                problems[error_column(number)] = error
            if missing is not None:
                problems[missing_column(number)] = missing
        source = self._source(rules, pages)
        parts = [_sql(part).label(name) for part, name in shared.items()]
        base = select(source, *parts).offset(_FENCE).subquery("base")
        keys = self.columns.clusters.keys
        rows = select(
            *(base.c[key] for key in (*keys, TIME, _FRAUD)),
            base.c["amount"].label(_AMOUNT),
            *(base.c[name].is_(None).label(f"{_UNSCORED}_{number}")
              for number, name in enumerate(self.models)),
            *(_word(fires, word).label(word_column(word)) for word in range(n_words(len(fires)))),
            *(_sql(problem, Boolean()).label(name) for name, problem in problems.items()),
        )  # fmt: skip
        row = rows.offset(_FENCE).subquery("cells").c
        words = [row[word_column(word)] for word in range(n_words(len(fires)))]
        fraud = row[_FRAUD].is_(True)
        alert = or_(*(word != 0 for word in words))
        groups = [
            *(case((or_(alert, fraud), row[key])).label(key) for key in keys),
            row[TIME],
            *words,
        ]
        # Amounts of transactions without an alert matter to nothing.
        measures = {
            "transactions": func.count(),
            "labelled": func.count(row[_FRAUD]),
            "frauds": func.count().filter(fraud),
            "amount": sum_where(row[_AMOUNT], alert),
            "fraud_amount": sum_where(row[_AMOUNT], fraud),
            "fraud_squares": sum_where(row[_AMOUNT] * row[_AMOUNT], fraud),
        }
        flags = [*problems, *(f"{_UNSCORED}_{number}" for number in range(len(self.models)))]
        return select(
            *groups,
            *(measure.label(name) for name, measure in measures.items()),
            *(func.count().filter(row[name]).label(name) for name in flags),
        ).group_by(*groups)

    def _source(self, rules: Sequence[TableRule], pages: Sequence[ColumnElement[bool]]) -> Subquery:
        """Columns of the transactions and scores under their own names, and what is counted."""
        used = dict.fromkeys(["amount", *(name for rule in rules for name in rule.columns)])
        table, clusters = Transaction.__table__, self.columns.clusters
        pairs = zip(clusters.columns, clusters.keys, strict=True)
        source: Any = table
        known: dict[str, Any] = {**table.c, self.columns.label: self.label}
        columns = {name: _number(known[name]) for name in used if name not in self.models}
        for name, model in self.models.items():
            prediction = aliased(ModelPrediction)
            source = source.outerjoin(
                prediction,
                and_(
                    prediction.transaction_id == Transaction.transaction_id,
                    prediction.model_name == model[0],
                    prediction.model_version == model[1],
                ),
            )
            columns[name] = prediction.fraud_probability.expression
        columns |= {
            **{key: table.c[name] for name, key in pairs},
            TIME: period_start(table.c["timestamp"], self.columns.unit),
            _FRAUD: self.label,
        }
        labelled = (column.label(name) for name, column in columns.items())
        return select(*labelled).select_from(source).where(*self.where, *pages).subquery("source")


def _number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column, a decimal as a double: the same number, and three times as fast."""
    if isinstance(column.type, Numeric) and not isinstance(column.type, Double):
        money: Any = column
        number: ColumnElement[Any] = in_minor_units(money) / minor_units(money)
        return number
    return column


def _texts(rule: TableRule, shared: dict[str, str]) -> tuple[str, str | None, str | None]:
    """Return PostgreSQL's texts of where a rule fires, fails, and is missing."""
    types = table_types()
    if isinstance(rule, ConditionRule):
        # No number of the table is NaN (see `_core.validation.rules`).
        fires, error = (
            write(without_nan=rule.columns, shared=shared)
            for write in (rule.condition.sql, rule.condition.error_sql)
        )
        return str(fires), error, None
    column = quote_name(rule.column)
    missing = f"({column} IS NULL)"
    if types.get(rule.column) == nw.Boolean:
        return column, None, missing
    return f"({column} = 1)", f"({column} NOT IN (0, 1))", missing


def _sql(sql: str, sql_type: Any = None) -> ColumnElement[Any]:
    return literal_column(sql, sql_type)


def _word(fires: Sequence[str], word: int) -> ColumnElement[Any]:
    """Return the bits of the rules of a word."""
    bits: ColumnElement[Any] = cast(literal_column("0"), BigInteger)
    part = fires[word * RULES_PER_WORD : (word + 1) * RULES_PER_WORD]
    for bit, fire in enumerate(part):
        value = cast(literal_column(str(1 << bit)), BigInteger)
        zero = cast(literal_column("0"), BigInteger)
        bits = bits + case((_sql(fire, Boolean()), value), else_=zero)
    return bits


def _page(sign: str, page: int) -> ColumnElement[bool]:
    """Return a condition on the place of a row in the table."""
    return _sql(f"{Transaction.__tablename__}.ctid {sign} CAST('({page},0)' AS tid)", Boolean())


# -- The session -----------------------------------------------------------------------------------


def _is_timeout(error: QueryError) -> bool:
    """Whether a statement was cancelled, and no rule is to blame."""
    cause = error.__cause__ or error.__context__
    return isinstance(cause, errors.QueryCanceled)


@contextlib.contextmanager
def read_only(
    session: Session, settings: Mapping[str, str], *, timeout: float | None
) -> Iterator[None]:
    """Read in the session's transaction, with a savepoint to which it returns afterwards.

    The block sees what the session sees, and cannot write. The settings end with it; the session's
    own changes stay as they are.

    Parameters
    ----------
    session
        Session of the user, which may have changes that are not committed.
    settings
        Settings of the server.
    timeout
        Maximum number of seconds of a statement; None for the server's setting.

    Raises
    ------
    QueryError
        A statement took longer.
    """
    connection: Any = session.connection().connection.driver_connection
    # With autocommit, there is no transaction yet.
    idle = connection.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE
    own = connection.autocommit and idle
    settings = {**settings, "transaction_read_only": "on"}
    if timeout is not None:
        settings["statement_timeout"] = f"{max(1, round(timeout * 1000))}ms"
    values = ", ".join("set_config(%s, %s, true)" for _ in settings)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN" if own else f"SAVEPOINT {_SAVEPOINT}")
        started = time.monotonic()
        try:
            cursor.execute(
                f"SELECT {values}",
                [part for setting in settings.items() for part in setting],
            )
            started = time.monotonic()
            yield
        except QueryError as error:
            late = timeout is not None and time.monotonic() - started >= timeout
            if late and isinstance(error.__context__, errors.QueryCanceled):
                raise QueryError(
                    f"The rules were not evaluated within timeout={timeout:g} seconds: limit the "
                    "transactions with `start` and `end`, evaluate fewer rules at a time, or pass "
                    "a longer `timeout`."
                ) from error.__context__
            raise
        finally:
            if not connection.closed:
                if own:
                    cursor.execute("ROLLBACK")
                else:
                    cursor.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
                    cursor.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
