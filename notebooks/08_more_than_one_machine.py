# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # More data than one machine
#
# The payments of a large bank in a year do not fit on a laptop. Does everything you have learned
# still apply? Yes: a fraud rate is computed from counts, and counts can be aggregated anywhere and
# summed. In a quarter of an hour you will read and load more data than fits into memory, write
# payments to files that a cluster can read, and run the same queries on PostgreSQL, Dask and Spark.
# The results will be the same numbers.
#
# There are few payments here, so that you do not have to wait, and the clusters run on your own
# machine. In production, only an address changes.

# %%
# %load_ext synfin_analytics
import contextlib
import os
import shutil
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.compute as pc
import pyarrow.dataset as ds

from synfin_analytics import (
    DatabaseConfig,
    DatabaseManager,
    ModelPredictionRepository,
    TransactionRepository,
    evaluate,
    fit_baseline,
    fraud_rate,
    get_db_manager,
    get_db_session,
    load_df,
    read_batches,
    simulate,
)

# %% [markdown]
# ## Payments and scores
#
# The notebook uses a separate database with two months of payments and the scores of a simple
# model.

# %%
config = DatabaseConfig(database="more_than_one_machine", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=400, merchants=150, days=60, seed=7, output="polars")
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")
baseline = fit_baseline(world.transactions, train_fraction=0.5)
load_df(baseline.predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# ## Read in batches
#
# `read_df` reads all rows into memory at once. `read_batches` reads one batch after another, each
# only when you request it. If you keep none of them, you need memory for a single batch, however
# many rows there are. A sum over a billion payments needs no more memory than this one, which reads
# each payment 40 times:

# %%
n_rows = largest_batch = 0
total = 0.0
with read_batches("SELECT amount FROM transactions, generate_series(1, 40)") as batches:
    for batch in batches:
        n_rows += batch.num_rows
        largest_batch = max(largest_batch, batch.num_rows)
        total += pc.sum(batch["amount"]).as_py()
print(f"{n_rows:,} rows, {total:,.2f} euros; at most {largest_batch:,} rows at once")

# %% [markdown]
# For a sum, the database is the better place: `SELECT sum(amount)` would have been enough. Batches
# are for data that must leave the database, as in the next step.
#
# ## Write files for a cluster
#
# A cluster does not query a single PostgreSQL server, because all its machines would wait for the
# same server. It reads files, preferably *Parquet* files. These are stored by column, so that a
# query of amounts does not read city names; they contain types; and they can be *partitioned* by
# month, so that a query of January does not open the files of February. The batches are written
# from the database directly to such files:


# %%
def export(query: str, target: Path) -> None:
    """Write rows as Parquet with one folder per period, batch by batch."""
    with read_batches(query) as batches:
        ds.write_dataset(
            batches,
            target,
            schema=batches.schema,
            format="parquet",
            partitioning=["period"],
            partitioning_flavor="hive",
        )


temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
export(
    "SELECT *, to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM') AS period FROM transactions",
    folder / "transactions",
)
export(
    "SELECT *, to_char(predicted_at AT TIME ZONE 'UTC', 'YYYY-MM') AS period "
    "FROM model_predictions",
    folder / "model_predictions",
)
for file in sorted(folder.rglob("*.parquet")):
    print(f"{file.relative_to(folder)}: {file.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# The name of a folder contains the month. All predictions are in one folder, because they were made
# just now. In production, a single command does this: `synfin export transactions FOLDER
# --partition-by month`. On a cluster, the folder is in a place that all machines can access, such
# as an object store.
#
# ## Load in batches
#
# In the other direction, `load_df` accepts a *lazy* frame, which has not been read yet. It
# validates and loads it in batches, still in one transaction: all rows or none. Here it loads the
# files into a second database on the same server.

# %%
copy = DatabaseManager(
    DatabaseConfig(database="more_than_one_machine_copy", data_dir=os.getenv("DB_DATA_DIR"))
)
copy.drop_all_tables()
copy.create_all_tables()
load_df(world.customers, "customers", on_conflict="skip", manager=copy)
load_df(world.merchants, "merchants", on_conflict="skip", manager=copy)
files = pl.scan_parquet(folder / "transactions").drop("period")
load_df(files, "transactions", on_conflict="skip", manager=copy)

# %% [markdown]
# ## The results of PostgreSQL
#
# We compute three results: the fraud rate by channel, the metrics of the model, and the share of
# victims among the five most suspicious cards of each day. First in the database, which aggregates
# the rows where they are stored:

# %%
THRESHOLD = 0.05
results = {}
with get_db_session() as session:
    model = ModelPredictionRepository(session).evaluate("baseline", "1.0", threshold=THRESHOLD)
    results["PostgreSQL"] = {
        "fraud rates": TransactionRepository(session).fraud_rate(by="channel"),
        "average precision": model.average_precision,
        "recall": model.recall,
        "card precision@5": model.card_precision_at_k(5).value,
    }
rate_columns = [
    "channel",
    "transactions",
    "frauds",
    "fraud_rate",
    "fraud_rate_low",
    "fraud_rate_high",
]
results["PostgreSQL"]["fraud rates"][rate_columns]

# %% [markdown]
# ## The same on Dask
#
# Dask is pandas on many machines: a *client* (you) sends tasks to a *scheduler*, which assigns
# files to each *worker*. `LocalCluster` runs all of them within this notebook; in production, use
# `Client("tcp://address:8786")`.
#
# `dd.read_parquet` reads nothing yet. `fraud_rate` and `evaluate` accept a Dask DataFrame like a
# pandas DataFrame: each worker aggregates its part, and only the counts are transferred to you.

# %%
from dask import dataframe as dd
from dask.distributed import Client, LocalCluster


def compute_results(transactions, scores) -> dict:
    """Compute the three results from the DataFrames of an engine."""
    model = evaluate(scores, label="ground_truth", score="fraud_probability", threshold=THRESHOLD)
    return {
        "fraud rates": fraud_rate(transactions, by="channel"),
        "average precision": model.average_precision,
        "recall": model.recall,
        "card precision@5": model.card_precision_at_k(5).value,
    }


prediction_columns = ["transaction_id", "ground_truth", "fraud_probability"]
transaction_columns = ["transaction_id", "customer_id", "timestamp"]
with (
    LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster,
    Client(cluster),
):
    transactions = dd.read_parquet(folder / "transactions")
    predictions = dd.read_parquet(folder / "model_predictions")
    scores = predictions[prediction_columns].merge(
        transactions[transaction_columns], on="transaction_id"
    )
    results["Dask"] = compute_results(transactions, scores)
results["Dask"]["fraud rates"][rate_columns]

# %% [markdown]
# The table is the same as above.
#
# ## The same on Spark
#
# Many banks use Spark. It requires Java; if either is not installed, the next cell says so and the
# lesson continues without it. The time zone of the session must be UTC; otherwise its days would
# start at a different hour than those of the database. (`fraud_rate` raises an error if it is not.)


# %%
@contextlib.contextmanager
def hidden_stderr():
    """Hide the harmless messages that Java prints when it starts."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def run_on_spark() -> dict:
    """Compute the results on Spark with two threads on this machine."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # otherwise Spark searches for a network
    # Spark returns Arrow, whatever the version of pandas.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    from pyspark.sql import SparkSession

    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": temporary.name,
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # These two settings reduce the startup time; omit them for many rows.
        "spark.sql.codegen.wholeStage": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    }
    with hidden_stderr():
        spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    try:
        transactions = spark.read.parquet(str(folder / "transactions"))
        predictions = spark.read.parquet(str(folder / "model_predictions"))
        scores = predictions.select(prediction_columns).join(
            transactions.select(transaction_columns), "transaction_id"
        )
        return compute_results(transactions, scores)
    finally:
        spark.stop()


if find_spec("pyspark") and (shutil.which("java") or "JAVA_HOME" in os.environ):
    results["Spark"] = run_on_spark()
    print("Spark has finished.")
else:
    print(
        "Spark or Java is not installed; the lesson continues without Spark.\n"
        'To install it: pip install "synfin-analytics[spark]", and Java, for example with '
        "apt-get install default-jre-headless or brew install openjdk."
    )

# %% [markdown]
# ## Compare the results
#
# The metrics of the model side by side, and the differences of the fraud rates from those of
# PostgreSQL:

# %%
pd.DataFrame(
    {
        engine: {name: value for name, value in result.items() if name != "fraud rates"}
        for engine, result in results.items()
    }
).T

# %%
columns = [
    "transactions",
    "labelled",
    "frauds",
    "fraud_rate",
    "fraud_rate_low",
    "fraud_rate_high",
    "fraud_bps",
]
reference = results["PostgreSQL"]["fraud rates"].set_index("channel")[columns].astype(float)
for engine, result in results.items():
    rates = result["fraud rates"].set_index("channel")[columns].astype(float)
    difference = (rates - reference).abs().max().max()
    status = "equal" if difference < 1e-9 else "DIFFERENT"
    print(f"{engine}: {status} (largest difference {difference:.1e})")

# %% [markdown]
# All counts are equal. The last digits of a sum of amounts may differ: PostgreSQL sums decimals,
# the other engines sum floats, each in its own order.
#
# Why does this work? A rate over all machines is *not* the mean of the machines' rates: a machine
# with few payments would have the same weight as a machine with many. But frauds and payments can
# be summed, and the rate, its interval, and even the area under a curve follow from these sums. The
# number of *distinct* customers, for example, cannot be summed, because a customer may pay on
# several machines. `docs/guide/distributed.md` explains what is transferred for each computation.

# %% [markdown]
# ## Your turn
#
# 1. `fraud_rate(files, by="merchant_category")`: polars reads the files from disk. Which of these
#    engines would you use for ten million rows? And for ten billion?
# 2. Compute the mean of the channels' fraud rates, and compare it with the overall fraud rate.
# 3. Partition the export by day instead of by month (`YYYY-MM-DD`). How many files are there, and
#    how large are they? Reading many small files is slow: why?

# %%
fraud_rate(files, by="is_online").to_pandas()

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of both databases and removes the files.

# %%
copy.drop_all_tables()
copy.close()
manager.drop_all_tables()
manager.close()
temporary.cleanup()
