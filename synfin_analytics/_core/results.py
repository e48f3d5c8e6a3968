"""Result objects: conversion to DataFrames and to plain Python objects, the same for all."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd

from synfin_analytics._core.output import from_pandas, from_polars

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from synfin_analytics._core.output import Output


def to_plain(value: Any) -> Any:
    """Convert a value to what ``json.dumps`` accepts.

    NaN, infinite and missing numbers become None, times ISO 8601 strings, frames lists of rows.

    Examples
    --------
    >>> to_plain({"k": np.int64(3), "value": float("nan"), "day": dt.date(2026, 1, 31)})
    {'k': 3, 'value': None, 'day': '2026-01-31'}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return [to_plain(row) for row in value.to_dict("records")]
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray | pd.Series):
        return [to_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dt.date):  # a datetime, too
        return value.isoformat()
    return str(value)


class Result:
    """Base class of result objects.

    Subclasses implement ``_table()``, the result as a new frame of pandas or polars, and
    ``_record()``, the result as a dictionary.
    """

    __slots__ = ()

    @overload
    def to_frame(self, output: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["arrow"]) -> pa.Table: ...
    @overload
    def to_frame(self, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def to_frame(self, output: Output = "pandas") -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return the result as a DataFrame; the class describes its columns.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table

        Raises
        ------
        ArgumentError
            ``output`` is none of these.

        Examples
        --------
        >>> from synfin_analytics import Confusion
        >>> Confusion(tp=3, fp=1, fn=2, tn=94).to_frame("polars").rows()
        [('fraud', 3, 2), ('genuine', 1, 94)]
        """
        table = self._table()  # a new frame, which needs no copy
        if not isinstance(table, pd.DataFrame):
            return from_polars(table, output)
        return table if output == "pandas" else from_pandas(table, output)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain Python objects that ``json.dumps`` accepts.

        Undefined (NaN), missing and infinite numbers are None; times are ISO 8601 strings.

        Examples
        --------
        >>> from synfin_analytics import Confusion
        >>> Confusion(tp=3, fp=1, fn=2, tn=94).to_dict()
        {'tp': 3, 'fp': 1, 'fn': 2, 'tn': 94}
        """
        plain: dict[str, Any] = to_plain(self._record())
        return plain

    def _table(self) -> pd.DataFrame | pl.DataFrame:
        raise NotImplementedError

    def _record(self) -> Mapping[str, Any]:
        raise NotImplementedError
