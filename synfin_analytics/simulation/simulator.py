"""Simulate card payments: :func:`simulate`."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    overload,
)

import polars as pl

from synfin_analytics._core.arguments import argument_error, check_integer, check_number
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.html import table_html
from synfin_analytics._core.output import Output, from_polars
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.simulation._folder import simulate_to_folder
from synfin_analytics.simulation._generate import WorldOptions, simulate_tables
from synfin_analytics.simulation._tables import Taken
from synfin_analytics.simulation._world import Calendar
from synfin_analytics.simulation.patterns import select_anomalies, select_patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    import pyarrow as pa

    from synfin_analytics.simulation.genuine import Anomaly
    from synfin_analytics.simulation.pattern import Pattern

    PatternChoice: TypeAlias = (
        str | Iterable[str | Pattern] | Mapping[str, Mapping[str, Any] | Pattern]
    )
    AnomalyChoice: TypeAlias = (
        str | Iterable[str | Anomaly] | Mapping[str, Mapping[str, Any] | Anomaly]
    )

FrameT = TypeVar("FrameT")
_MAX_FRAUD_RATE = 0.1
#: Years that the calendars of Python and of PostgreSQL both support.
_YEARS = (1900, 2200)


class Simulation(NamedTuple, Generic[FrameT]):
    """Three tables, ready for :func:`synfin_analytics.load_df` in this order.

    Attributes
    ----------
    customers, merchants, transactions
        DataFrames of the kind that ``output`` names; of a folder, polars LazyFrames.

    Examples
    --------
    >>> from synfin_analytics import simulate
    >>> world = simulate(customers=50, merchants=20, days=30, seed=1)
    >>> world.to_frame()["table"].tolist()
    ['customers', 'merchants', 'transactions']
    """

    customers: FrameT
    merchants: FrameT
    transactions: FrameT

    @overload
    def to_frame(self, output: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["arrow"]) -> pa.Table: ...
    @overload
    def to_frame(self, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def to_frame(self, output: Output = "pandas") -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return the size of each table.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            ``table``, and its numbers of ``rows`` and ``columns``.

        Examples
        --------
        >>> from synfin_analytics import simulate
        >>> world = simulate(customers=50, merchants=20, days=30, seed=1)
        >>> world.to_frame()[["table", "rows"]].head(2).values.tolist()
        [['customers', 50], ['merchants', 20]]
        """
        schema = ["table", "rows", "columns"]
        return from_polars(pl.DataFrame(self._sizes(), schema=schema, orient="row"), output)

    def to_dict(self) -> dict[str, FrameT]:
        """Return the tables by name, in the order in which they can be loaded.

        Examples
        --------
        >>> from synfin_analytics import simulate
        >>> list(simulate(customers=50, merchants=20, days=30, seed=1).to_dict())
        ['customers', 'merchants', 'transactions']
        """
        return self._asdict()

    def __repr__(self) -> str:
        sizes = (f"{rows:,} {table}" for table, rows, _ in self._sizes())
        return f"Simulation({', '.join(sizes)})"

    def _repr_html_(self) -> str:
        rows = [[f".{table}", f"{rows:,}", f"{columns}"] for table, rows, columns in self._sizes()]
        return table_html(["frame", "rows", "columns"], rows, caption=repr(self))

    def _sizes(self) -> list[tuple[str, int, int]]:
        tables: dict[str, Any] = self._asdict()
        return [(name, *_shape(frame)) for name, frame in tables.items()]


@overload
def simulate(
    customers: int = ...,
    merchants: int = ...,
    days: int = ...,
    seed: int = ...,
    *,
    fraud_rate: float = ...,
    patterns: PatternChoice = ...,
    anomalies: AnomalyChoice = ...,
    drift: float = ...,
    start: dt.date = ...,
    output: Literal["pandas"] = ...,
) -> Simulation[pd.DataFrame]: ...
@overload
def simulate(
    customers: int = ...,
    merchants: int = ...,
    days: int = ...,
    seed: int = ...,
    *,
    fraud_rate: float = ...,
    patterns: PatternChoice = ...,
    anomalies: AnomalyChoice = ...,
    drift: float = ...,
    start: dt.date = ...,
    output: Literal["polars"],
) -> Simulation[pl.DataFrame]: ...
@overload
def simulate(
    customers: int = ...,
    merchants: int = ...,
    days: int = ...,
    seed: int = ...,
    *,
    fraud_rate: float = ...,
    patterns: PatternChoice = ...,
    anomalies: AnomalyChoice = ...,
    drift: float = ...,
    start: dt.date = ...,
    output: Literal["arrow"],
) -> Simulation[pa.Table]: ...
@overload
def simulate(
    customers: int = ...,
    merchants: int = ...,
    days: int = ...,
    seed: int = ...,
    *,
    fraud_rate: float = ...,
    patterns: PatternChoice = ...,
    anomalies: AnomalyChoice = ...,
    drift: float = ...,
    start: dt.date = ...,
    output: Path,
) -> Simulation[pl.LazyFrame]: ...
@overload
def simulate(
    customers: int = ...,
    merchants: int = ...,
    days: int = ...,
    seed: int = ...,
    *,
    fraud_rate: float = ...,
    patterns: PatternChoice = ...,
    anomalies: AnomalyChoice = ...,
    drift: float = ...,
    start: dt.date = ...,
    output: Output | Path,
) -> Simulation[Any]: ...
def simulate(
    customers: int = 500,
    merchants: int = 200,
    days: int = 90,
    seed: int = 0,
    *,
    fraud_rate: float = 0.008,
    patterns: PatternChoice = "all",
    anomalies: AnomalyChoice = "all",
    drift: float = 0.0,
    start: dt.date = dt.date(2025, 1, 1),
    output: Output | Path = "pandas",
) -> Simulation[Any]:
    """Simulate card payments with labelled fraud; the same seed gives the same payments.

    All customers and merchants are invented. The guide describes how they live and pay, and what
    each fraud pattern does.

    Parameters
    ----------
    customers, merchants
        Number of customers and of merchants.
    days
        Length of the period; a customer pays a little more than once a day.
    seed
        Seed of the random numbers: the same rows on every machine.
    fraud_rate
        Upper limit of the share of transactions that is fraud, from 0 to 0.1. The share is close to
        it, but less in worlds so small that no whole episode fits.
    patterns
        Fraud patterns to simulate: ``"all"``, names, or a mapping of names to parameters that
        differ from their defaults, such as ``{"card_testing": {"amount": (1, 2)}}``; ``[]`` for
        none. A pattern that the world is too small for is left out, as is impossible travel without
        merchants abroad.
    anomalies
        Genuine payments that resemble fraud, in the same way: holiday_travel, large_purchase.
    drift
        How much changes during the period, from 0 (nothing) to 1: online fraud increases and fraud
        with a card in hand decreases, purchases move online, and prices rise.
    start
        First day (UTC).
    output
        Kind of the DataFrames: ``"pandas"``, ``"polars"`` or ``"arrow"``. Or a new or empty folder,
        as a ``pathlib.Path`` or a text with a slash such as ``"./world"``, to write Parquet files
        to ``customers/``, ``merchants/`` and ``transactions/``, in memory that does not depend on
        the number of rows. The folder exists when all of them are written, and not at all after
        an error. A world of more than about 500,000 transactions has parts in it, each with an
        equal number of customers who pay at merchants of their part, so its rows are others than in
        memory; a smaller one has the same rows.

    Returns
    -------
    Simulation
        ``customers``, ``merchants`` and ``transactions``, the last in the order of time. Of a
        folder, LazyFrames of its files; each file is in the order of time.

    Raises
    ------
    ArgumentError
        A value is outside its range, ``output`` contains files or cannot be written, or a world
        of several parts has fewer than 20 merchants for each.
    NotFoundError
        A pattern, anomaly or parameter is unknown; the message suggests the closest name.

    Examples
    --------
    >>> world = simulate(customers=50, merchants=20, days=30, seed=1, output="polars")
    >>> len(world.customers), len(world.merchants)
    (50, 20)
    >>> world.transactions["is_fraud"].mean() < 0.01
    True
    >>> spikes = simulate(50, 20, 30, patterns={"amount_spike": {"amount_ratio": (20, 30)}})
    >>> spikes.transactions["fraud_type"].dropna().unique().tolist()
    ['amount_spike']

    A world of any size, 100 million transactions too, as Parquet files:

    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp(), "world")
    >>> simulate(customers=50, merchants=20, days=30, seed=1, output=folder)
    Simulation(50 customers, 20 merchants, 1,437 transactions)
    >>> sorted(path.name for path in folder.iterdir())
    ['customers', 'merchants', 'transactions']
    """
    require_thread_pool()
    n_customers = check_integer(customers, "customers", minimum=1)
    n_merchants = check_integer(merchants, "merchants", minimum=1)
    days, seed = check_integer(days, "days", minimum=1), check_integer(seed, "seed")
    fraud_rate = _check_rate(fraud_rate, "fraud_rate", _MAX_FRAUD_RATE)
    drift = _check_rate(drift, "drift", 1)
    _check_start(start)
    target = _parse_output(output)
    options = WorldOptions(
        n_customers,
        n_merchants,
        seed,
        Calendar.build(start, days),
        fraud_rate,
        select_patterns(patterns),
        select_anomalies(anomalies),
        drift,
    )
    if isinstance(target, Path):
        return Simulation(**simulate_to_folder(options, target))
    tables, _ = simulate_tables(options, Taken())
    return Simulation(**{name: from_polars(frame, target) for name, frame in tables.items()})


def _shape(frame: Any) -> tuple[int, int]:
    if not isinstance(frame, pl.LazyFrame):
        n_rows, n_columns = frame.shape
        return n_rows, n_columns
    return frame.select(pl.len()).collect().item(), len(frame.collect_schema())


def _parse_output(output: object) -> Output | Path:
    """Return a kind of DataFrame, or a folder; raise an error for a misspelt kind."""
    for kind in get_args(Output):
        if isinstance(output, str) and output == kind:
            return cast("Output", kind)
    if isinstance(output, Path):
        return output
    if isinstance(output, str) and any(mark in output for mark in (os.sep, os.altsep) if mark):
        return Path(output)
    must_be = (
        '"pandas", "polars" or "arrow", or a folder: a pathlib.Path, or a text with a slash such '
        'as "./world"'
    )
    raise argument_error("output", must_be, output)


def _check_rate(value: float, name: str, maximum: float) -> float:
    must_be = f"a number from 0 to {maximum}"
    number = check_number(value, name, must_be, minimum=0)
    if number > maximum:
        raise ArgumentError(f"`{name}` must be {must_be}; got {value!r}.")
    return number


def _check_start(start: object) -> None:
    if isinstance(start, dt.datetime) or not isinstance(start, dt.date):
        raise ArgumentError(
            f"`start` must be a date, such as datetime.date(2025, 1, 1); got {start!r}."
        )
    if not _YEARS[0] <= start.year <= _YEARS[1]:
        raise ArgumentError(
            f"`start` must be in the years {_YEARS[0]} to {_YEARS[1]}; got {start}."
        )
