"""Reports from a frame of Spark."""

from __future__ import annotations

import pandas as pd
from engines import to_spark
from reported import predictions, transactions

from synfin_analytics.reports import fraud_report, model_report

ROLES = {"timestamp": "timestamp", "customer": "customer_id", "amount": "amount"}


def test_a_report_of_spark_is_that_of_polars(spark):
    rows = transactions().select(*ROLES.values(), "is_fraud", "channel")
    rows = rows.with_columns(p=predictions(transactions(), "m", 1, 0.3)["fraud_probability"])
    model, fraud = (
        {
            name: create(frame, label="is_fraud", by=["channel"], **ROLES, **options)
            for name, frame in (("spark", to_spark(spark, rows)), ("polars", rows))
        }
        for create, options in (
            (model_report, {"score": "p", "n_resamples": 2}),
            (fraud_report, {}),
        )
    )
    assert model["spark"].data == model["polars"].data
    pd.testing.assert_frame_equal(model["spark"].thresholds, model["polars"].thresholds)
    pd.testing.assert_frame_equal(model["spark"].weeks, model["polars"].weeks)
    pd.testing.assert_frame_equal(fraud["spark"].rates["channel"], fraud["polars"].rates["channel"])
