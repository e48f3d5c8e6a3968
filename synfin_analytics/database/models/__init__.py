"""The seven tables, as SQLAlchemy 2 typed models."""

from synfin_analytics.database.models.base import Base
from synfin_analytics.database.models.ml import MLFeatures, ModelPrediction
from synfin_analytics.database.models.parties import Customer, Merchant
from synfin_analytics.database.models.patterns import AnomalyPattern, FraudPattern
from synfin_analytics.database.models.transactions import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError

#: Model of each table; parents stand before the tables that refer to them.
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
    """Model of a table, given by its name or as the model itself.

    Raises
    ------
    NotFoundError
        No table has that name; the message has the nearest.
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
        "A table is named by a text or given as a model, as Transaction; "
        f"got {type(table).__name__}."
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
