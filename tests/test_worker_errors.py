"""What workers of Dask and Spark lack, or cannot use, is said in one sentence without values."""

from __future__ import annotations

import functools
import pickle
import re
import subprocess
import sys

import dask
import dask.dataframe as dd
import polars as pl
import pytest
from dask.distributed import Client
from engines import ENGINES, in_order_of, to_spark
from feature_rows import world
from pyspark.errors import PythonException
from sklearn.linear_model import LogisticRegression

from synfin_analytics import (
    ArgumentError,
    ConfigurationError,
    detect_patterns,
    engineer_features,
    fit_baseline,
    fraud_rate,
    fraud_report,
    handbook_features,
    score,
    time_split,
    window_features,
)
from synfin_analytics.exceptions import (
    InvalidDataError,
    MissingDependencyError,
    NotFoundError,
    Problem,
    ProtectedDatabaseError,
)


@pytest.fixture(scope="module")
def payments():
    return world().transactions


@pytest.fixture(scope="module")
def model(payments):
    amounts = payments.select(pl.col("amount").cast(pl.Float64)).to_pandas()
    return LogisticRegression().fit(amounts, payments["is_fraud"])


# -- Packages that a worker lacks ------------------------------------------------------------------

#: A scheduler and a worker of Dask in a process that cannot import a package.
CLUSTER = """
import sys
sys.modules[sys.argv[1]] = None
from dask.distributed import LocalCluster
with LocalCluster(
    n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None,
    local_directory=sys.argv[2],
) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", params=["synfin_analytics", "polars"])
def cluster(request, tmp_path_factory):
    """A package, and the address of a cluster of Dask whose Python lacks it."""
    folder = tmp_path_factory.mktemp("cluster")
    command = [sys.executable, "-c", CLUSTER, request.param, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield request.param, process.stdout.readline().strip()
        process.stdin.close()


@pytest.fixture
def lacking(cluster):
    """A package that the workers of the current Client lack."""
    package, address = cluster
    with Client(address), dask.config.set(scheduler=None):
        yield package


def on_dask(payments):
    return dd.from_pandas(payments.to_pandas(), npartitions=2, sort=False)


def sentence(package):
    return (
        rf"^The Python of a worker \({re.escape(sys.executable)} on \S+\) cannot import {package}: "
        r".+\. Install the package for all workers, in the version of the client, and restart "
        r"them\.$"
    )


def test_a_worker_of_dask_without_a_package_says_what_to_do(lacking, payments):
    report = functools.partial(
        fraud_report, label="is_fraud", timestamp="timestamp", amount="amount"
    )
    # Without polars, workers can count what `fraud_rate` and `time_split` need.
    calls = [fraud_rate, time_split, report] if lacking == "synfin_analytics" else []
    for call in [detect_patterns, fit_baseline, *calls]:
        with pytest.raises(ConfigurationError, match=sentence(lacking)):
            call(on_dask(payments))


def test_a_lazy_frame_of_dask_says_it_when_it_is_computed(lacking, payments, model):
    for lazy in (window_features(on_dask(payments)), score(on_dask(payments), model)):
        with pytest.raises(RuntimeError, match=sentence(lacking)):
            lazy.compute()


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("column", "amuont", ["amount"], location="the frame"),
        InvalidDataError("transactions", [Problem("amount", "is missing", 1, (0,))]),
        ProtectedDatabaseError("must be confirmed", database="fraud", environment="production"),
        MissingDependencyError("pyspark", "spark", "This"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_way_from_a_worker(error):
    returned = pickle.loads(pickle.dumps(error))
    assert (type(returned), str(returned), vars(returned)) == (type(error), str(error), vars(error))


# -- Rows that a worker cannot use -----------------------------------------------------------------

SECRET = "4111111111111111"
IN_MIDDLE = pl.int_range(pl.len()) == 5
#: Mistakes, by the beginning of the message about them; each row has a secret somewhere.
MISTAKES = {
    "amount: is text, not a number": {
        "amount": pl.when(~IN_MIDDLE).then(pl.col("amount").cast(pl.String)).otherwise(
            pl.lit(SECRET + "x")
        )
    },
    "amount: must be from 0 to 1e+10": {"amount": -pl.lit(float(SECRET))},
    "customer_id: is required but missing": {
        "customer_id": pl.when(~IN_MIDDLE).then("customer_id"),
        "transaction_id": SECRET + pl.col("transaction_id"),
    },
    "transaction_id: repeats the key of an earlier row": {"transaction_id": pl.lit(SECRET)},
}  # fmt: skip
CASES = [
    *((engineer_features, reason) for reason in MISTAKES),
    *((call, next(iter(MISTAKES))) for call in (window_features, handbook_features)),
]


@pytest.mark.parametrize(("call", "reason"), CASES)
def test_dask_says_which_rows_features_cannot_use(payments, call, reason):
    features = call(ENGINES["dask with arrow"](payments.with_columns(**MISTAKES[reason])))
    with pytest.raises(ArgumentError) as caught:
        features.compute()
    assert_names_rows(str(caught.value), reason)


@pytest.mark.parametrize(("call", "reason"), CASES)
def test_spark_says_which_rows_features_cannot_use(spark, payments, call, reason):
    features = call(to_spark(spark, payments.with_columns(**MISTAKES[reason])))
    with pytest.raises(PythonException) as caught:
        features.toArrow()
    text = str(caught.value)
    _, header, message = text.partition("synfin_analytics.exceptions.ArgumentError: ")
    assert header
    assert_names_rows(message, reason)
    assert SECRET not in text
    assert text.count("\n  File ") == 1  # of the trace of Python


def assert_names_rows(message, reason):
    count = r"[\d,]+ rows? of one group"
    expected = rf"These transactions cannot be used:\n  {re.escape(reason)}: {count}\s*"
    assert re.fullmatch(expected, message)


UNUSABLE = {
    "NaN": (pl.when(~IN_MIDDLE).then(pl.col("amount").cast(pl.Float64)), "Input X contains NaN"),
    "text": (pl.lit(SECRET + "x"), "could not convert string to float"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_dask_says_which_features_a_model_cannot_use(payments, model, kind):
    amount, reason = UNUSABLE[kind]
    scored = score(ENGINES["dask with arrow"](payments.with_columns(amount=amount)), model)
    with pytest.raises(ArgumentError, match=message_of_score(reason)):
        scored.compute()


@pytest.mark.parametrize("kind", UNUSABLE)
def test_spark_says_which_features_a_model_cannot_use(spark, payments, model, kind):
    amount, reason = UNUSABLE[kind]
    scored = score(to_spark(spark, payments.with_columns(amount=amount)), model)
    with pytest.raises(PythonException, match=message_of_score(reason)) as caught:
        scored.toArrow()
    assert SECRET not in str(caught.value)
    assert str(caught.value).count("\n  File ") == 2  # of the trace of Python


def message_of_score(reason):
    return rf"The columns that `score` reads must be features .* it raises ValueError: {reason}\."


def test_customers_that_do_not_exist_are_counted_by_group(distribute, payments):
    features = engineer_features(distribute(payments), world().customers.head(3))
    reason = r"customer_id: is not in the table of customers \(.+\): [\d,]+ rows of one group\s*"
    with pytest.raises((ArgumentError, PythonException), match=rf"cannot be used:\n  {reason}$"):
        in_order_of(features, "transaction_id")
