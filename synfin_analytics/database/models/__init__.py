"""The seven tables as typed models of SQLAlchemy."""

from synfin_analytics.database.models.base import Base
from synfin_analytics.database.models.customers import Customer
from synfin_analytics.database.models.merchants import Merchant
from synfin_analytics.database.models.ml_features import MLFeatures
from synfin_analytics.database.models.patterns import AnomalyPattern, FraudPattern
from synfin_analytics.database.models.predictions import ModelPrediction
from synfin_analytics.database.models.transactions import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError

#: Model of each table; parents come before the tables that refer to them.
TABLES: dict[str, type[Base]] = {
    model.__tablename__: model
    for model in (
        Customer,
        Merchant,
        Transaction,
        MLFeatures,
        ModelPrediction,
        FraudPattern,
        AnomalyPattern,
    )
}


def model_of(table: str | type[Base]) -> type[Base]:
    """Return the model of a table, given its name or the model itself.

    Raises
    ------
    NotFoundError
        No table has that name; the message suggests the nearest one.
    ArgumentError
        ``table`` is neither a name nor one of the seven models.

    Examples
    --------
    >>> model_of("transactions")
    <class 'synfin_analytics.database.models.transactions.Transaction'>
    >>> model_of("transaction")
    Traceback (most recent call last):
    synfin_analytics.exceptions.NotFoundError: There is no table 'transaction'. Did you mean ...
    """
    if isinstance(table, str):
        try:
            return TABLES[table]
        except KeyError:
            raise NotFoundError("table", table, TABLES) from None
    if isinstance(table, type) and table in TABLES.values():
        return table
    raise ArgumentError(
        "`table` must be the name of a table or one of the package's models; "
        f"got {table.__name__ if isinstance(table, type) else type(table).__name__}."
    )


__all__ = [
    "TABLES",
    "AnomalyPattern",
    "Base",
    "Customer",
    "FraudPattern",
    "MLFeatures",
    "Merchant",
    "ModelPrediction",
    "Transaction",
    "model_of",
]
