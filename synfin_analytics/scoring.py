"""Scores of a fitted model of scikit-learn, appended to the rows of any engine: :func:`score`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, check_names
from synfin_analytics._core.classifiers import Classifier
from synfin_analytics._core.dataframes import (
    check_columns,
    coerce_object_columns,
    column_names,
    native_frame,
    open_frame,
)
from synfin_analytics._core.distributed import open_distributed
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError, require_unique_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from narwhals.typing import IntoDataFrameT, IntoLazyFrameT

    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Floats

#: Rows of DuckDB that are scored at a time.
_BATCH_ROWS = 100_000
#: Kinds of NumPy's types that scikit-learn takes as they are.
_PLAIN_KINDS = "biufM"


@overload
def score(
    df: TransactionSource,
    model: Any,
    *,
    features: Sequence[str] | None = ...,
    column: str = ...,
    pos_label: Any = ...,
) -> Any: ...
@overload
def score(
    df: IntoDataFrameT,
    model: Any,
    *,
    features: Sequence[str] | None = ...,
    column: str = ...,
    pos_label: Any = ...,
) -> IntoDataFrameT: ...
@overload
def score(
    df: IntoLazyFrameT,
    model: Any,
    *,
    features: Sequence[str] | None = ...,
    column: str = ...,
    pos_label: Any = ...,
) -> IntoLazyFrameT: ...
def score(
    df: Any,
    model: Any,
    *,
    features: Sequence[str] | None = None,
    column: str = "fraud_probability",
    pos_label: Any = None,
) -> Any:
    """Append the scores of a fitted classifier of scikit-learn to the rows of any engine.

    Parameters
    ----------
    df
        Rows with the features of the model: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask
        or PySpark.
    model
        A fitted classifier or pipeline of two classes with ``predict_proba``. One with a
        ``decision_function`` only is scored with 1 / (1 + exp(-x)); do not read that as a
        probability.
    features
        Columns of the features, in the order of those that the model was fitted on. Default: those
        of the same names, if it was fitted on a DataFrame (``model.feature_names_in_``).
    column
        Name of the new column.
    pos_label
        The class that means fraud; by default the second, unless classes are texts.

    Returns
    -------
    DataFrame
        ``df`` with a column of scores from 0 to 1, of the same kind and in the same order; pandas
        keeps its index. Of a lazy frame, a lazy one of its engine: nothing is computed or collected
        yet, and the model scores one batch of rows at a time where the rows are. A relation of
        DuckDB becomes one of a connection of its own, to which the rows stream from yours, each
        time that it is read; keep yours open, and join or filter before.

    Raises
    ------
    NotFoundError
        A column of the features is missing; the message suggests the closest name.
    ArgumentError
        ``model`` is not a fitted classifier of two classes, ``column`` exists, ``features`` are not
        as many as the model's, or it does not accept the rows: a missing value, for example. Those
        of a lazy frame are checked when they are computed.

    Notes
    -----
    The model receives a pandas DataFrame, or an array if it was fitted on one. Decimals become
    doubles, and missing values NaN. On PySpark and Dask, the workers need this package and that of
    the model.

    Examples
    --------
    >>> import polars as pl
    >>> from sklearn.linear_model import LogisticRegression
    >>> payments = pl.DataFrame({"amount": [5.0, 8.0, 300.0, 450.0], "is_fraud": [0, 0, 1, 1]})
    >>> model = LogisticRegression().fit(payments[["amount"]].to_numpy(), payments["is_fraud"])
    >>> score(payments, model, features=["amount"])["fraud_probability"].round(2).to_list()
    [0.0, 0.0, 1.0, 1.0]
    >>> score(payments.lazy(), model, features=["amount"]).collect_schema().names()
    ['amount', 'is_fraud', 'fraud_probability']
    """
    check_column_name(column, "column")
    classifier = Classifier.open(model, pos_label)
    df = native_frame(df)
    names = column_names(df, "score")
    require_unique_columns(names)  # relations of DuckDB may repeat one
    scorer = _Scorer.create(classifier, features, column)
    check_columns(scorer.columns, names)
    _check_new_column(df, column, names)
    distributed = open_distributed(df, "score")
    if distributed is not None:
        return distributed.append_by_partition(scorer, {column: pa.float64()}).native
    frame = open_frame(df, "score")
    if frame.implementation.is_duckdb():
        return _ScoredRelation(df, scorer).open()
    if frame.implementation.is_polars():
        return _score_polars(df, scorer)
    scores = scorer.score(frame)
    if frame.implementation.is_pandas():
        return df.assign(**{column: scores})
    if frame.implementation.is_pyarrow():
        return df.append_column(column, pa.array(scores))
    appended = nw.new_series(column, scores, nw.Float64, backend=frame.implementation)
    return frame.with_columns(appended).to_native()


def _check_new_column(df: Any, column: str, names: Sequence[str]) -> None:
    """Raise an ArgumentError if the column exists; for some engines, in upper or lower case."""
    is_sql = not nw.dependencies.is_dask_dataframe(df) and not nw.dependencies.is_into_dataframe(df)
    fold = str.casefold if is_sql and not nw.dependencies.is_polars_lazyframe(df) else str
    existing = [name for name in names if fold(name) == fold(column)]
    if existing:
        raise ArgumentError(
            f"`column` must be the name of a new column; the frame has a column {existing[0]!r}. "
            "Choose another name, or drop the column before."
        )


@dataclass(frozen=True)
class _Scorer:
    """Scores rows with a classifier, without knowing where they are.

    Parameters
    ----------
    classifier
        The classifier.
    columns
        Columns of the features in the rows.
    feature_names
        Their names for the model; None if it was fitted on an array.
    column
        Name of the scores.
    """

    classifier: Classifier
    columns: tuple[str, ...]
    feature_names: tuple[str, ...] | None
    column: str

    @classmethod
    def create(cls, classifier: Classifier, features: Sequence[str] | None, column: str) -> _Scorer:
        """Find the columns that a classifier needs."""
        known = getattr(classifier.model, "feature_names_in_", None)
        feature_names = None if known is None else tuple(map(str, known))
        if features is None:
            if feature_names is None:
                raise ArgumentError(
                    f"`features` must name the columns of the features: {classifier.name} was "
                    "fitted on an array, which has no names."
                )
            return cls(classifier, feature_names, feature_names, column)
        columns = tuple(check_names(features, "features"))
        n_known = getattr(classifier.model, "n_features_in_", len(columns))
        if len(columns) != n_known:
            raise ArgumentError(
                f"`features` must name the {pluralize(n_known, 'feature')} of {classifier.name}; "
                f"got {len(columns)}."
            )
        return cls(classifier, columns, feature_names, column)

    def __call__(self, rows: Any) -> Mapping[str, pa.Array]:
        """Score rows of pandas or pyarrow, as a column."""
        return {self.column: pa.array(self.score(nw.from_native(rows, eager_only=True)))}

    def score(self, frame: Any) -> Floats:
        """Score rows.

        Raises
        ------
        ArgumentError
            The model does not accept them, or a score is NaN.
        """
        if not len(frame):
            return np.empty(0)
        rows: Any = _to_pandas(frame.select(*self.columns), self.columns)
        if self.feature_names is None:
            rows = rows.to_numpy()
        else:
            rows.columns = list(self.feature_names)
        name = self.classifier.name
        scores = self.classifier.score(rows, "The columns that `score` reads")
        if n_missing := int(np.isnan(scores).sum()):
            raise ArgumentError(
                f"{name} gave no score (NaN) for {n_missing:,} of {pluralize(len(scores), 'row')}: "
                "correct their features, or the model."
            )
        return scores


def _to_pandas(frame: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Return features as a pandas frame in types that scikit-learn accepts, from 0 on."""
    frame = coerce_object_columns(frame, columns)
    values = {}
    for name in columns:
        native = frame[name].to_native()
        if isinstance(native, pd.Series) and _is_plain(native.dtype):
            values[name] = native.reset_index(drop=True)
        else:
            values[name] = _from_arrow(frame[name].to_arrow())
    return pd.DataFrame(values)


def _is_plain(dtype: Any) -> bool:
    if isinstance(dtype, np.dtype):
        return dtype.kind in _PLAIN_KINDS
    return isinstance(dtype, pd.CategoricalDtype) or dtype == "str"


def _from_arrow(values: Any) -> pd.Series[Any]:
    """Convert an Arrow array; missing numbers and booleans become NaN."""
    kind = values.type
    if pa.types.is_boolean(kind) and values.null_count:
        values = values.cast(pa.int8()).cast(pa.float64())
    elif pa.types.is_decimal(kind):  # Arrow's cast is not the nearest double
        return pd.Series(pl.Series(values).cast(pl.Float64).to_numpy())
    elif pa.types.is_null(kind):
        values = values.cast(pa.float64())
    elif pa.types.is_string_view(kind):
        values = values.cast(pa.large_string())
    series: pd.Series[Any] = values.to_pandas()
    return series


def _score_polars(df: Any, scorer: _Scorer) -> pl.DataFrame | pl.LazyFrame:
    def compute(rows: pl.Series) -> pl.Series:
        frame = nw.from_native(rows.struct.unnest(), eager_only=True)
        return pl.Series(scorer.score(frame), dtype=pl.Float64)

    if isinstance(df, pl.DataFrame):
        frame = nw.from_native(df, eager_only=True)
        return df.with_columns(pl.Series(scorer.column, scorer.score(frame), pl.Float64))
    rows = pl.struct(list(dict.fromkeys(scorer.columns)))
    scores = rows.map_batches(compute, return_dtype=pl.Float64, is_elementwise=True)
    lazy: pl.LazyFrame = df.with_columns(scores.alias(scorer.column))
    return lazy


class _ScoredRelation:
    """Rows of a relation of DuckDB with their scores, as a stream that can be read repeatedly.

    DuckDB holds a connection while it reads from Python, so another one must read this stream.

    Parameters
    ----------
    relation
        The rows.
    scorer
        What scores them.
    """

    def __init__(self, relation: Any, scorer: _Scorer) -> None:
        self._relation, self._scorer = relation, scorer
        zone = relation.query("rows", "SELECT current_setting('TimeZone')").fetchall()[0]
        self._zone: str = zone[0]

    def open(self) -> Any:
        """Return a relation of a new connection that reads this stream."""
        import duckdb

        connection = duckdb.connect()
        connection.execute(f"SET TimeZone = '{self._zone}'")
        return connection.from_arrow(self)

    def __arrow_c_schema__(self) -> Any:
        return self._extend(self._relation.limit(0).to_arrow_table().schema).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        rows = self._relation.to_arrow_reader(_BATCH_ROWS)
        schema = self._extend(rows.schema)

        def scored() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                scores = self._scorer(pa.Table.from_batches([batch]))
                yield pa.RecordBatch.from_arrays([*batch.columns, *scores.values()], schema=schema)

        return pa.RecordBatchReader.from_batches(schema, scored()).__arrow_c_stream__(
            requested_schema
        )

    def _extend(self, schema: pa.Schema) -> pa.Schema:
        return schema.append(pa.field(self._scorer.column, pa.float64()))
