"""Common to all repositories: one entity as an object, many as a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast

import psycopg2
from sqlalchemy import ClauseElement, ColumnElement, Table, Text, delete, func, inspect, select
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.orm.util import identity_key

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.output import Output, check_output
from synfin_analytics._core.validation.spec import TableSpec, spec_of
from synfin_analytics.database._set_config import set_config
from synfin_analytics.database.connection import check_driver, is_lost, message_of
from synfin_analytics.database.models import Base, column_of
from synfin_analytics.database.schema import check_table_is_visible
from synfin_analytics.exceptions import ArgumentError, QueryError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories._cached import PERSONAL_COLUMNS, cached_query
from synfin_analytics.repositories._validation import (
    check_page,
    convert_row,
    convert_value,
    savepoint,
    translate_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from psycopg2.extensions import connection as DriverConnection  # noqa: N812 - a class
    from sqlalchemy import CompoundSelect, Select
    from sqlalchemy.orm import Session
    from typing_extensions import TypeVar as TypeVarWithDefault

    from synfin_analytics._core.types import DataFrameLike, Records
    from synfin_analytics.io.load.types import BatchedLoadOptions, LoadReport

    #: What rows are sorted by: a column, its name, or an expression such as `column.desc()`.
    SortKey: TypeAlias = str | ColumnElement[Any] | QueryableAttribute[Any]
    #: Kind of DataFrame that a repository returns; pandas if an annotation has no argument.
    RowsT = TypeVarWithDefault(
        "RowsT", bound=pd.DataFrame | pl.DataFrame | pa.Table, default=pd.DataFrame
    )
else:
    RowsT = TypeVar("RowsT")

ModelT = TypeVar("ModelT", bound=Base)
Answer = TypeVar("Answer")
#: Setting of the transaction with the value of a lookup.
_LOOKUP = "synfin.lookup"
_List = list  # in the class below, `list` is a method


class BaseRepository(Generic[ModelT, RowsT]):
    """Queries about one table.

    A method that returns one entity returns the ORM object, or None if there is none. A method that
    returns many returns a DataFrame with every column of the table in the model's order, with the
    same types if it is empty. Its rows have a documented order that ends in the primary key, and
    ``limit=None`` means all rows.

    A repository reads what its session sees: pending objects are flushed first, and uncommitted
    changes of others are not visible. It never commits; that is up to the owner of the session.

    Parameters
    ----------
    session
        Session to work in.
    output
        Kind of DataFrame: ``"pandas"``, ``"polars"`` or ``"arrow"``.
    use_decimal
        Return money as decimals instead of float64, as in :func:`synfin_analytics.read_df`.

    Raises
    ------
    ArgumentError
        ``output`` is another word, or the session does not use psycopg2.

    Examples
    --------
    >>> from synfin_analytics.database.manager import get_db_manager, get_db_session
    >>> from synfin_analytics.repositories import CustomerRepository
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     CustomerRepository(session, output="polars")
    CustomerRepository(output='polars', use_decimal=False)
    """

    model: type[ModelT]

    # The subclasses overload it, so that a type checker infers RowsT from `output`. Overloads here
    # would not be enough: mypy only applies them to the class that defines them.
    def __init__(
        self, session: Session, output: Output = "pandas", *, use_decimal: bool = False
    ) -> None:
        check_output(output)
        check_driver(session.get_bind(self.model).dialect)
        self.session = session
        self.output: Output = output
        self.use_decimal = use_decimal

    def __repr__(self) -> str:
        return f"{type(self).__name__}(output={self.output!r}, use_decimal={self.use_decimal})"

    # -- One entity -------------------------------------------------------------------------------

    def create(self, **values: object) -> ModelT:
        """Create an entity and write it to the session's transaction.

        Parameters
        ----------
        **values
            Values by column name. A datetime without a time zone is UTC.

        Returns
        -------
        object
            The entity, an instance of the repository's model.

        Raises
        ------
        NotFoundError
            The table has no such column.
        InvalidDataError
            The table does not accept the values; the session remains usable.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     MerchantRepository(session).create(merchant_id="M9", name="Corner shop")
        Merchant(merchant_id='M9')
        """
        entity = self.model(**convert_row(values, self._spec, complete=True))
        self._check_table_is_visible()
        with savepoint(self.session):
            self.session.add(entity)
            self.session.flush()
        return entity

    def get_by_id(self, id: str | int) -> ModelT | None:  # noqa: A002 - the seed's name
        """Return the entity with this primary key.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     MerchantRepository(session).get_by_id("no such merchant") is None
        True
        """
        self._flush()
        key = convert_value(id, self._spec.columns[self._spec.primary_key])
        entity = self.session.identity_map.get(identity_key(self.model, key))
        if isinstance(entity, self.model) and not inspect(entity).expired:
            return entity
        with translate_errors():
            query = select(self.model).where(self._equals_apart(self._key, key))
            return self.session.scalars(query).one_or_none()

    def update(self, id: str | int, **values: object) -> ModelT | None:  # noqa: A002 - as above
        """Change columns of the entity with this primary key; return None if there is none.

        Parameters
        ----------
        id
            Primary key.
        **values
            New values by column name.

        Raises
        ------
        NotFoundError
            The table has no such column.
        InvalidDataError
            The table does not accept the values; the session remains usable.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     merchants = MerchantRepository(session)
        ...     merchant = merchants.create(merchant_id="M9")
        ...     merchants.update("M9", category="grocery").category
        'grocery'
        """
        row = convert_row(values, self._spec, complete=False)
        entity = self.get_by_id(id)
        if entity is not None:
            with savepoint(self.session):
                for name, value in row.items():
                    setattr(entity, name, value)
                self.session.flush()
        return entity

    def delete(self, id: str | int) -> bool:  # noqa: A002 - as above
        """Delete the entity with this primary key; return whether there was one.

        Raises
        ------
        ArgumentError
            Rows of another table refer to it.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     MerchantRepository(session).delete("no such merchant")
        False
        """
        self._flush()
        key = convert_value(id, self._spec.columns[self._spec.primary_key])
        with savepoint(self.session):
            condition = self._equals_apart(self._key, key)
            result = self.session.execute(delete(self.model).where(condition))
        return bool(result.rowcount)  # type: ignore[attr-defined]  # a DELETE's result has it

    # -- Many entities ----------------------------------------------------------------------------

    def list(
        self,
        *where: ColumnElement[bool],
        order_by: SortKey | Sequence[SortKey] | None = None,
        limit: int | None = None,
    ) -> RowsT:
        """Return the rows that satisfy all conditions.

        Parameters
        ----------
        *where
            Conditions of SQLAlchemy on columns of this table, such as ``Transaction.amount > 100``.
            A condition on another table goes into a subquery:
            ``Transaction.customer_id.in_(select(Customer.customer_id).where(...))``.
        order_by
            What to sort by: a column, its name, or an expression such as
            ``Transaction.amount.desc()``; or a sequence of these. Ties are sorted by primary key,
            which is the default.
        limit
            Maximum number of rows; all by default.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            Every column of the table, in the model's order.

        Raises
        ------
        ArgumentError
            A condition is not one of SQLAlchemy, or is about another table; or ``limit`` is not a
            number of rows.
        NotFoundError
            The table has no column of a name in ``order_by``.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.database.models import Merchant
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     merchants = MerchantRepository(session)
        ...     report = merchants.bulk_create([
        ...         {"merchant_id": "M8", "category": "grocery"},
        ...         {"merchant_id": "M9", "category": "travel"},
        ...     ])
        ...     rows = merchants.list(Merchant.category == "travel", order_by="name", limit=10)
        >>> rows["merchant_id"].tolist()
        ['M9']
        """
        for condition in where:
            self._check_condition(condition)
        keys: Sequence[object] = order_by if isinstance(order_by, tuple | _List) else [order_by]
        order = tuple(self._sort_key(key) for key in keys if order_by is not None)
        return self._select(*where, order=order, limit=limit)

    def get_all(self, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return all rows, by primary key.

        Parameters
        ----------
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     rows = MerchantRepository(session).get_all(limit=10)
        >>> list(rows.columns[:2])
        ['merchant_id', 'name']
        """
        return self._select(limit=limit, offset=offset)

    def count(self) -> int:
        """Return the number of rows.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import FraudPatternRepository
        >>> with get_db_session() as session:
        ...     FraudPatternRepository(session).count()
        0
        """
        self._flush()
        with translate_errors():
            result = self.session.execute(select(func.count()).select_from(self.model))
            return int(result.scalar_one())

    def bulk_create(
        self, entities: DataFrameLike | Records, **options: Unpack[BatchedLoadOptions]
    ) -> LoadReport:
        """Load many entities at once with COPY, in the session's transaction.

        Parameters
        ----------
        entities
            ORM objects, dicts or a DataFrame.
        **options
            Options of :func:`synfin_analytics.load_df`.

        Returns
        -------
        LoadReport
            Counts, duration and rejected cells.

        Raises
        ------
        InvalidDataError
            A row is invalid; nothing was loaded.

        Examples
        --------
        >>> from synfin_analytics.database.manager import get_db_session
        >>> from synfin_analytics.repositories import MerchantRepository
        >>> with get_db_session() as session:
        ...     MerchantRepository(session).bulk_create([{"merchant_id": "M9"}]).inserted
        1
        """
        self._flush()
        return load_df(entities, self.model, session=self.session, **options)

    # -- For the repositories of the tables -------------------------------------------------------

    @property
    def _spec(self) -> TableSpec:
        return spec_of(self.model)

    @property
    def _table(self) -> Table:
        return Base.metadata.tables[self.model.__tablename__]

    @property
    def _key(self) -> ColumnElement[Any]:
        return self._column(self._spec.primary_key)

    def _column(self, name: str) -> ColumnElement[Any]:
        return column_of(self.model, name)

    def _equals(self, **values: object) -> Sequence[ColumnElement[bool]]:
        """Conditions that columns equal values."""
        return [
            self._column(name) == convert_value(value, self._spec.columns[name])
            for name, value in values.items()
        ]

    def _equals_apart(self, column: ColumnElement[Any], value: object) -> ColumnElement[bool]:
        """Condition that a column equals a value, which the text of the statement does not contain.

        So that the server's log does not show whose row was read. Numbers are keys that say
        nothing about a person.
        """
        driver = cast("DriverConnection", self.session.connection().connection.driver_connection)
        # Without a transaction, the setting would end before the statement.
        if not isinstance(value, str) or driver.autocommit or driver.encoding != "UTF8":
            return column == value
        try:
            set_config(driver, {_LOOKUP: value})
        except psycopg2.Error as error:
            if not is_lost(error, driver):  # otherwise, the statement has the error
                raise QueryError(f"PostgreSQL rejects the value: {message_of(error)}.") from None
        return column == func.current_setting(_LOOKUP, type_=Text)

    def _find(self, name: str, value: object) -> ModelT | None:
        """Entity with this value of a unique column."""
        self._flush()
        key = convert_value(value, self._spec.columns[name])
        with translate_errors():
            query = select(self.model).where(self._equals_apart(self._column(name), key))
            return self.session.scalars(query).one_or_none()

    def _select(
        self,
        *where: ColumnElement[bool],
        order: tuple[ColumnElement[Any], ...] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> RowsT:
        """Rows that satisfy all conditions, in ``order`` and then by primary key."""
        limit, offset = check_page(limit, offset)
        query = select(*self._table.c).where(*where).order_by(*order, self._key)
        return self._read(query.limit(limit).offset(offset or None))

    def _check_condition(self, condition: object) -> None:
        if not isinstance(condition, ClauseElement | QueryableAttribute):
            raise ArgumentError(
                "`where` must be conditions of SQLAlchemy, such as "
                f"{self.model.__name__}.{self._spec.primary_key} == ...; "
                f"got {format_value(condition)}."
            )
        other_tables = self._other_tables(
            select(self._key).where(cast("ColumnElement[bool]", condition))
        )
        if other_tables:
            raise ArgumentError(
                f"`where` must be conditions on the table {self._table.name!r}; got one on "
                f"{other_tables}. Put it into a subquery: column.in_(select(...))."
            )

    def _sort_key(self, key: object) -> ColumnElement[Any]:
        if isinstance(key, str):
            return self._column(key)
        if not isinstance(key, ClauseElement | QueryableAttribute):
            raise ArgumentError(
                "`order_by` must be columns, names of columns, or expressions such as "
                f"{self.model.__name__}.{self._spec.primary_key}.desc(); got {format_value(key)}."
            )
        expression = cast("ColumnElement[Any]", key)
        other_tables = self._other_tables(select(self._key, expression))
        if other_tables:
            raise ArgumentError(
                f"`order_by` must be columns of the table {self._table.name!r}; got one of "
                f"{other_tables}."
            )
        return expression

    def _other_tables(self, query: Select[Any]) -> str:
        """Names of the tables that a query selects from besides this one."""
        froms = [source for source in query.get_final_froms() if source is not self._table]
        return ", ".join(repr(getattr(source, "name", "a subquery")) for source in froms)

    def _read(self, query: Select[Any] | CompoundSelect[Any]) -> RowsT:
        self._flush()
        rows = read_df(
            query, session=self.session, output=self.output, use_decimal=self.use_decimal
        )
        return cast("RowsT", rows)  # the overloads of the subclasses' __init__ connect them

    def _cached(
        self,
        name: str,
        query: Select[Any] | CompoundSelect[Any],
        compute: Callable[[], Answer],
        *,
        groups: Iterable[str] = (),
        enabled: bool,
    ) -> Answer:
        """Answer of an aggregate from the cache, unless it is grouped by personal data.

        Parameters
        ----------
        name
            Name of the method.
        query
            What is counted.
        compute
            Computes the answer.
        groups
            Columns of ``transactions`` whose values are in the answer.
        enabled
            The caller's argument ``cache``.
        """
        self._flush()
        settings = (self.output, self.use_decimal)
        enabled = enabled and not PERSONAL_COLUMNS.intersection(groups)
        with translate_errors():
            return cached_query(self.session, name, query, compute, settings, enabled=enabled)

    def _flush(self) -> None:
        """Write pending objects, so that they are read too: not every session autoflushes."""
        self._check_table_is_visible()
        with translate_errors():
            self.session.flush()

    def _check_table_is_visible(self) -> None:
        """Check that the table's name, which the ORM writes, means this table in the session."""
        with translate_errors():
            check_table_is_visible(self.session.connection(), self._table.name)
