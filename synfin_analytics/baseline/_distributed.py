"""The baseline model on frames of PySpark and Dask: sums are collected, and no rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from synfin_analytics.baseline._features import (
    EPOCH,
    FEATURES,
    LABEL,
    REQUIRED,
    CustomerFeatures,
    MerchantFeatures,
)
from synfin_analytics.baseline._regression import Part

if TYPE_CHECKING:
    import datetime as dt

    from synfin_analytics._core.distributed import DistributedFrame
    from synfin_analytics._core.types import Floats
    from synfin_analytics.baseline._regression import Split, Summary, Weights

_ID = "transaction_id"


def append_features(df: DistributedFrame, label_delay: dt.timedelta) -> DistributedFrame:
    """Append the features, the time and the label to the required columns, lazily."""
    df.require(REQUIRED, "the transactions")
    df.check_time("timestamp")
    of_customers, of_merchants = CustomerFeatures(), MerchantFeatures(label_delay)
    rows = df.select(REQUIRED).append_columns("customer_id", of_customers, of_customers.types)
    rows = rows.append_columns("merchant_id", of_merchants, of_merchants.types)
    return rows.select((_ID, EPOCH, LABEL, *FEATURES))


class DistributedRows:
    """Rows of an engine with their features."""

    def __init__(self, frame: DistributedFrame) -> None:
        self._frame = frame

    def _summarize(self, summary: Summary) -> DistributedFrame:
        schema = pa.schema([(name, pa.float64()) for name in summary.names])
        return self._frame.map_partitions(_Summarizer(summary), schema)

    def collect(self, summary: Summary) -> Floats:
        """Return the rows of numbers of all parts."""
        return _to_array(self._summarize(summary).to_arrow(), summary)

    def sum(self, summary: Summary) -> Floats:
        """Return the sums of the numbers over all parts."""
        sums: Floats = _to_array(self._summarize(summary).sum(), summary)[0]
        return sums

    def sum_by_first(self, summary: Summary) -> Floats:
        """Return the first number, and the sums of the others for each value of it."""
        return _to_array(self._summarize(summary).sum(by=summary.names[0]), summary)


def _to_array(table: pa.Table, summary: Summary) -> Floats:
    return np.column_stack([table[name].to_numpy() for name in summary.names])


@dataclass(frozen=True)
class _Summarizer:
    """Applies a summary to rows of pandas or pyarrow."""

    summary: Summary

    def __call__(self, rows: Any) -> pa.Table:
        values = self.summary(_to_part(rows))
        return pa.table(dict(zip(self.summary.names, values.T, strict=True)))


def _to_part(rows: Any) -> Part:
    frame: Any = nw.from_native(rows, eager_only=True)
    features = np.column_stack([frame[name].to_numpy() for name in FEATURES])
    return Part(frame[EPOCH].to_numpy(), frame[LABEL].to_numpy(), features)


@dataclass(frozen=True)
class _Predictor:
    """Returns rows of ``model_predictions`` for the payments of the last part."""

    split: Split
    weights: Weights
    threshold: float
    name: str
    version: str

    def __call__(self, rows: Any) -> pa.Table:
        part = _to_part(rows)
        is_test = self.split.in_test(part)
        scores = self.weights.score(part.features[is_test])
        label = part.label[is_test]
        ids: Any = nw.from_native(rows, eager_only=True)[_ID]
        return pa.table(
            {
                _ID: ids.to_arrow().filter(pa.array(is_test)),
                "model_name": pa.repeat(self.name, len(scores)),
                "model_version": pa.repeat(self.version, len(scores)),
                "prediction": scores >= self.threshold,
                "fraud_probability": scores,
                "ground_truth": pa.array(label == 1, mask=np.isnan(label)),
            }
        )


def predict(
    frame: DistributedFrame,
    split: Split,
    weights: Weights,
    threshold: float,
    name: str,
    version: str,
) -> Any:
    """Return a lazy frame of predictions, from one with features."""
    schema = pa.schema(
        {
            _ID: frame.arrow_type(_ID),
            "model_name": pa.large_string(),
            "model_version": pa.large_string(),
            "prediction": pa.bool_(),
            "fraud_probability": pa.float64(),
            "ground_truth": pa.bool_(),
        }
    )
    return frame.map_partitions(_Predictor(split, weights, threshold, name, version), schema).native
