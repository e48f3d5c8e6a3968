"""What is taken for transactions, although it is not a DataFrame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


class TransactionSource(ABC):
    """An object that is taken for its transactions wherever a DataFrame is expected.

    Examples
    --------
    >>> import polars as pl
    >>> from synfin_analytics._core.dataframes import open_frame
    >>> class Two(TransactionSource):
    ...     transactions = pl.LazyFrame({"amount": [1.5, 2.5]})
    >>> open_frame(Two(), "fraud_rate").collect_schema().names()
    ['amount']
    """

    __slots__ = ()

    @property
    @abstractmethod
    def transactions(self) -> pl.LazyFrame:
        """The transactions."""
