"""Features on PySpark and Dask: by customer and by merchant, joined by transaction."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.distributed import open_distributed
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.database.models import Customer, Merchant, Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features._compute import (
    FEATURES,
    MERCHANT_FEATURES,
    compute_parts,
    customer_parts,
    feature_types,
    merchant_features,
)
from synfin_analytics.features._payments import (
    CUSTOMER_COLUMNS,
    EXISTS,
    MERCHANT_COLUMNS,
    MERCHANT_HISTORY,
    OPTIONAL,
    REQUIRED,
    History,
    JoinedParents,
    Parents,
    Parties,
    Payments,
    Scope,
    check_unique,
    key_of,
)
from synfin_analytics.io.coerce import coerce_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from narwhals.typing import IntoFrame

    from synfin_analytics._core.distributed import DistributedFrame
    from synfin_analytics.database.models import Base

_ID = "transaction_id"
#: How many rows of a table of customers or merchants have the same key.
_N_ROWS = "__n_rows"


def engineer_distributed(
    df: DistributedFrame,
    customers: IntoFrame | None,
    merchants: IntoFrame | None,
    scope: Scope,
) -> Any:
    """Return a lazy frame of ``transaction_id`` and the features.

    Parameters
    ----------
    df
        Transactions on PySpark or Dask.
    customers, merchants
        Frames of the same engine, or in memory; or None.
    scope
        The period of the features; its delay counts only without ``label_available_at``.
    """
    df.require(REQUIRED, "the transactions")
    columns = [name for name in (*REQUIRED, *OPTIONAL) if name in df.columns]
    df.check_time("timestamp")
    rows = df.select(columns)
    tables = {
        model: parents
        for model, parents in ((Customer, customers), (Merchant, merchants))
        if parents is not None
    }
    computation = _Computation(
        None if "label_available_at" in columns else scope.label_delay,
        scope.start,
        scope.end,
        tables=frozenset(model.__tablename__ for model in tables),
    )
    joined = rows
    for model, parents in tables.items():
        joined = _join(joined, parents, model)
    of_merchants = rows.select(name for name in columns if name in MERCHANT_HISTORY)
    id_field, types = pa.field(_ID, df.arrow_type(_ID)), feature_types()
    customer_schema, merchant_schema = (
        pa.schema([id_field, *((name, types[name]) for name in names)])
        for names in (
            [name for name in FEATURES if name not in MERCHANT_FEATURES],
            [name for name in FEATURES if name in MERCHANT_FEATURES],
        )
    )
    merchant_part = of_merchants.map_groups(
        "merchant_id", computation.of_merchants, merchant_schema
    )
    customer_part = joined.map_groups("customer_id", computation.of_customers, customer_schema)
    return customer_part.join(merchant_part, _ID, "inner").select((_ID, *FEATURES)).native


_CUSTOMERS_AND_MERCHANTS: dict[type[Base], tuple[str, ...]] = {
    Customer: CUSTOMER_COLUMNS,
    Merchant: MERCHANT_COLUMNS,
}


def _joined_name(model: type[Base], name: str) -> str:
    return f"__{model.__tablename__}_{name}"


def _join(rows: DistributedFrame, parents: Any, model: type[Base]) -> DistributedFrame:
    """Join the attributes of customers or merchants under names of their own."""
    columns = _CUSTOMERS_AND_MERCHANTS[model]
    key = key_of(model)
    table = open_distributed(parents, "engineer_features")
    if table is None:
        values = Parents.read(parents, model, columns)
        table = rows.from_arrow(values.to_arrow())
    else:
        table.require([key], f"the {model.__tablename__}")
        table = table.select(name for name in (key, *columns) if name in table.columns)
        table = table.first_rows(key, _N_ROWS)  # repeated keys would repeat the transactions
    names = {name: _joined_name(model, name) for name in (*columns, EXISTS, _N_ROWS)}
    table = table.add_constant(EXISTS, value=True)
    table = table.rename({name: names[name] for name in names if name in table.columns})
    return rows.join(table, key, "left")


@dataclasses.dataclass(frozen=True)
class _Computation(Scope):
    """What the workers compute, without the data.

    Parameters
    ----------
    tables
        Those of customers and merchants whose attributes the rows have.
    """

    tables: frozenset[str]

    def of_customers(self, rows: Any) -> pa.Table:
        """Compute the features that depend on the customer's payments."""
        frame = _read(rows, (*REQUIRED, *OPTIONAL))
        parties = Parties(self._parents(rows, Customer), self._parents(rows, Merchant))
        payments = Payments.from_transactions(frame, parties, self)
        return _results(rows, payments, customer_parts(payments))

    def of_merchants(self, rows: Any) -> pa.Table:
        """Compute the features that depend on payments at the merchant."""
        history = History.from_columns(_read(rows, MERCHANT_HISTORY), self)
        return _results(rows, history, [lambda: merchant_features(history)])

    def _parents(self, rows: Any, model: type[Base]) -> Parents:
        """Return the attributes that were joined to the rows."""
        columns = _CUSTOMERS_AND_MERCHANTS[model]
        if model.__tablename__ not in self.tables:
            return Parents(model, columns, None)
        names = {_joined_name(model, name): name for name in (*columns, EXISTS, _N_ROWS)}
        values: Any = nw.from_native(rows, eager_only=True)
        available = {name: own for name, own in names.items() if name in values.columns}
        values = values.select(*available).rename(available)
        if _N_ROWS in values.columns:
            _check_one_row(values, model)
        is_known = ~values[EXISTS].is_null()  # NaN in pandas
        exists = pl.Series(EXISTS, is_known.to_list(), pl.Boolean).replace(False, None)
        return JoinedParents(
            model,
            columns,
            coerce_columns(values, model, columns, numbered=False).with_columns(exists),
        )


def _check_one_row(values: nw.DataFrame[Any], model: type[Base]) -> None:
    """Raise an ArgumentError unless each transaction has one customer, or merchant."""
    n_repeated = len(values.filter(nw.col(_N_ROWS) > 1))
    if n_repeated:
        table = model.__tablename__
        raise ArgumentError(
            f"`{table}` must have one row for each {key_of(model)}; "
            f"{pluralize(n_repeated, 'transaction')} of one group "
            f"{'has' if n_repeated == 1 else 'have'} several."
        )


def _read(rows: Any, columns: Sequence[str]) -> pl.DataFrame:
    frame = coerce_columns(
        nw.from_native(rows, eager_only=True), Transaction, columns, numbered=False
    )
    check_unique(frame[_ID], "transactions", numbered=False)
    return frame


def _results(rows: Any, history: History, parts: Sequence[Callable[[], Any]]) -> pa.Table:
    """Compute features, beside the ids as they are in the rows."""
    selected = history.row[history.selected]
    columns = compute_parts(parts, np.arange(len(selected)))
    ids: Any = nw.from_native(rows, eager_only=True)[_ID]
    return pa.table({_ID: ids.to_arrow().take(pa.array(selected)), **columns})
