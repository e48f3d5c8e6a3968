"""What all repositories do: one entity as an object, many as a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from sqlalchemy import Table, delete, func, select

from synfin_analytics._core.output import Output, check_output
from synfin_analytics._core.validation.spec import TableSpec, spec_of
from synfin_analytics.database.connection import check_driver
from synfin_analytics.database.models import Base
from synfin_analytics.database.schema._search_path import check_table_is_visible
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories._arguments import row_of, value_of, window
from synfin_analytics.repositories._errors import savepoint, told

if TYPE_CHECKING:
    from typing import TypeAlias

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy import ColumnElement, CompoundSelect, Select
    from sqlalchemy.orm import Session

    from synfin_analytics.io.load.report import LoadReport

    Rows: TypeAlias = pd.DataFrame | pl.DataFrame | pa.Table

ModelT = TypeVar("ModelT", bound=Base)


class BaseRepository(Generic[ModelT]):
    """One table, in the words of the field.

    A method that returns one entity returns the ORM object, or None where there is none. One that
    returns many returns a DataFrame with every column of the table in the model's order, typed the
    same when it is empty; its rows have a stated order that ends in the primary key, and ``limit``
    is all rows unless it is given.

    What is read is what the session sees: objects added to it are flushed first, what others have
    not committed is not there. Nothing is committed here; that is the session's owner's to do.

    Parameters
    ----------
    session
        Session to work in.
    output
        Kind of the DataFrames: ``"pandas"``, ``"polars"`` or ``"arrow"``.
    use_decimal
        Money as decimals rather than as float64, as in :func:`synfin_analytics.read_df`.
    """

    model: ClassVar[type[Base]]

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

    # -- One entity -----------------------------------------------------------------------------

    def create(self, **kwargs: Any) -> ModelT:
        """Create an entity and write it to the session's transaction.

        Parameters
        ----------
        **kwargs
            Values by column name. A naive datetime is read as UTC.

        Raises
        ------
        NotFoundError
            The table has no such column.
        InvalidDataError
            The table does not accept the values; the session stays usable.
        """
        entity = self.model(**row_of(kwargs, self._spec, whole=True))
        self._check_table_is_visible()
        with savepoint(self.session):
            self.session.add(entity)
            self.session.flush()
        return entity  # type: ignore[return-value]  # `model` is ModelT, which ClassVar cannot say

    def get_by_id(self, id: Any) -> ModelT | None:  # noqa: A002 - name of the primary key
        """Entity with this primary key."""
        self._flush()
        key = value_of(id, self._spec.columns[self._spec.primary_key])
        with told():
            return self.session.get(self.model, key)  # type: ignore[return-value]  # as in create

    def update(self, id: Any, **kwargs: Any) -> ModelT | None:  # noqa: A002 - as above
        """Change columns of the entity with this primary key; None where there is none.

        Parameters and errors are those of :meth:`create`.
        """
        values = row_of(kwargs, self._spec, whole=False)
        entity = self.get_by_id(id)
        if entity is not None:
            with savepoint(self.session):
                for name, value in values.items():
                    setattr(entity, name, value)
                self.session.flush()
        return entity

    def delete(self, id: Any) -> bool:  # noqa: A002 - as above
        """Delete the entity with this primary key; say whether there was one.

        Raises
        ------
        ArgumentError
            Rows of another table refer to it.
        """
        self._flush()
        key = value_of(id, self._spec.columns[self._spec.primary_key])
        with savepoint(self.session):
            deleted = self.session.execute(delete(self.model).where(self._key == key))
        return bool(deleted.rowcount)  # type: ignore[attr-defined]  # of a DELETE it is there

    # -- Many -----------------------------------------------------------------------------------

    def get_all(self, limit: int | None = None, offset: int = 0) -> Rows:
        """All entities, by primary key."""
        return self._many(limit=limit, offset=offset)

    def count(self) -> int:
        """Return the number of entities."""
        self._flush()
        with told():
            counted = self.session.execute(select(func.count()).select_from(self.model))
            return int(counted.scalar_one())

    def bulk_create(self, entities: Any, **options: Any) -> LoadReport:
        """Load many entities at once, by COPY, in the session's transaction.

        Parameters
        ----------
        entities
            ORM objects, dicts or a DataFrame.
        **options
            As for :func:`synfin_analytics.load_df`.
        """
        from synfin_analytics.io.load import load_df

        self._flush()
        return load_df(entities, self.model, session=self.session, **options)

    # -- For the repositories of the tables -------------------------------------------------------

    @property
    def _spec(self) -> TableSpec:
        return spec_of(self.model)

    @property
    def _table(self) -> Table:
        table = self.model.__table__
        if not isinstance(table, Table):
            raise TypeError(f"{self.model.__name__} does not map a table")
        return table

    @property
    def _key(self) -> ColumnElement[Any]:
        return self._column(self._spec.primary_key)

    def _column(self, name: str) -> ColumnElement[Any]:
        column: ColumnElement[Any] = self._table.c[name]
        return column

    def _is(self, **values: Any) -> list[ColumnElement[bool]]:
        """Conditions that columns equal values."""
        return [
            self._column(name) == value_of(value, self._spec.columns[name])
            for name, value in values.items()
        ]

    def _one(self, **values: Any) -> ModelT | None:
        """Entity by a unique column."""
        self._flush()
        with told():
            found = self.session.scalars(select(self.model).where(*self._is(**values)))
            return found.one_or_none()  # type: ignore[return-value]  # as in create

    def _many(
        self,
        *where: ColumnElement[bool],
        order: tuple[ColumnElement[Any], ...] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> Rows:
        """Rows under all conditions, in ``order`` and then by primary key."""
        limit, offset = window(limit, offset)
        query = select(*self._table.c).where(*where).order_by(*order, self._key)
        return self._read(query.limit(limit).offset(offset or None))

    def _read(self, query: Select[Any] | CompoundSelect[Any]) -> Rows:
        self._flush()
        return read_df(
            query, session=self.session, output=self.output, use_decimal=self.use_decimal
        )

    def _flush(self) -> None:
        """Write what is pending, so that it is read too: not every session autoflushes."""
        self._check_table_is_visible()
        with told():
            self.session.flush()

    def _check_table_is_visible(self) -> None:
        """Refuse a session in which our table's name, which the ORM writes, is of another one."""
        with told():
            check_table_is_visible(self.session.connection(), self._table.name)
