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
# A year of a large bank's payments fits into no laptop. Does all that you have learnt end there?
# No: a fraud rate is made of counts, and counts can be made anywhere and added up. In a quarter of
# an hour you will read and load more than memory holds, put payments into files that a cluster
# reads, and ask the same questions of PostgreSQL, Dask and Spark. The answers will be the same
# numbers.
#
# The payments here are few, so that you need not wait, and the clusters run on your own machine. At
# work only an address changes.

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
# ## Payments, and a model's scores
#
# A database of this notebook's own, two months of payments, and what a simple model says of them.

# %%
config = DatabaseConfig(database="more_than_one_machine", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()

world = simulate(customers=400, merchants=150, days=60, seed=7, output="polars")
for table, frame in world._asdict().items():
    load_df(frame, table, on_conflict="skip")
scored = fit_baseline(world.transactions, train_fraction=0.5)
load_df(scored.predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# ## Out, a piece at a time
#
# `read_df` brings all rows into memory at once. `read_batches` brings one batch after the other,
# and the next one only when you ask for it. Whoever keeps none of them needs memory for one,
# however many rows there are. So a sum over a billion payments needs no more than this one, over
# each payment forty times:

# %%
rows = largest = 0
total = 0.0
with read_batches("SELECT amount FROM transactions, generate_series(1, 40)") as batches:
    for batch in batches:
        rows += batch.num_rows
        largest = max(largest, batch.num_rows)
        total += pc.sum(batch["amount"]).as_py()
print(f"{rows:,} rows worth {total:,.2f} euros; never more than {largest:,} of them at once")

# %% [markdown]
# Adding up is a job for the database, of course: `SELECT sum(amount)` would have done. Batches are
# for what must leave it, as in the next step.
#
# ## Into files that a cluster reads
#
# A cluster cannot ask one PostgreSQL: all its machines would stand in one queue. It reads files,
# and the best are *Parquet* files: column by column, so that who asks for amounts reads no city
# names; with types; and cut by month (*partitioned*), so that who asks for January does not open
# February. Here batches go straight from the database into such files:


# %%
def export(query: str, target: Path) -> None:
    """Write rows as Parquet, a folder for each period; batch by batch, in little memory."""
    with read_batches(query) as batches:
        ds.write_dataset(
            batches,
            target,
            schema=batches.schema,
            format="parquet",
            partitioning=["period"],
            partitioning_flavor="hive",
        )


scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
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
# The month stands in the folder's name. The predictions are in one folder, because all of them were
# made just now. At work one command does this: `synfin export transactions FOLDER --partition-by
# month`. On a cluster the folder lies where all machines reach it, as in an object store.
#
# ## In, a piece at a time
#
# The other direction: `load_df` takes a *lazy* frame, of which nothing has been read yet, checks
# and loads it in pieces, and is still all or nothing: one transaction. Here the files go into a
# second database on the same server.

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
# ## What PostgreSQL says
#
# Three questions: how much of it is fraud in each channel, what is the model worth, and how often
# were the five most suspicious cards of a day rightly suspected? First the database, which counts
# where the rows are:

# %%
THRESHOLD = 0.05
answers = {}
with get_db_session() as session:
    model = ModelPredictionRepository(session).evaluate("baseline", "1.0", THRESHOLD)
    answers["PostgreSQL"] = {
        "rates": TransactionRepository(session).fraud_rate(by="channel"),
        "average precision": model.average_precision,
        "recall": model.recall,
        "5 cards a day": model.card_precision_at_k(5).value,
    }
answers["PostgreSQL"]["rates"][
    ["channel", "transactions", "frauds", "fraud_rate", "fraud_rate_low", "fraud_rate_high"]
]

# %% [markdown]
# ## The same on Dask
#
# Dask is pandas on many machines: a *client* (you) asks a *scheduler*, which gives each *worker* a
# few files. `LocalCluster` is all of it within this notebook; at work you write
# `Client("tcp://address:8786")`.
#
# `dd.read_parquet` reads nothing yet. `fraud_rate` and `evaluate` take the frame as they take one
# of pandas: each worker counts its part, and only the counts travel to you.

# %%
from dask import dataframe as dd
from dask.distributed import Client, LocalCluster


def asked(transactions, scores) -> dict:
    """Ask the three questions of an engine's frames."""
    model = evaluate(scores, label="ground_truth", score="fraud_probability", threshold=THRESHOLD)
    return {
        "rates": fraud_rate(transactions, by="channel"),
        "average precision": model.average_precision,
        "recall": model.recall,
        "5 cards a day": model.card_precision_at_k(5).value,
    }


said = ["transaction_id", "ground_truth", "fraud_probability"]
known = ["transaction_id", "customer_id", "timestamp"]
with (
    LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as one,
    Client(one),
):
    transactions = dd.read_parquet(folder / "transactions")
    predictions = dd.read_parquet(folder / "model_predictions")
    scores = predictions[said].merge(transactions[known], on="transaction_id")
    answers["Dask"] = asked(transactions, scores)
answers["Dask"]["rates"][
    ["channel", "transactions", "frauds", "fraud_rate", "fraud_rate_low", "fraud_rate_high"]
]

# %% [markdown]
# Line by line the table from above.
#
# ## The same on Spark
#
# Spark is what most banks have. It runs on Java; where either is missing, the next cell says so and
# the rest goes on without. The session must count in UTC, else its days would begin at another hour
# than those of the database. (`fraud_rate` refuses to work if it does not.)


# %%
@contextlib.contextmanager
def without_chatter():
    """Leave out what Java says while it starts: it would stand here in red, and is harmless."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def on_spark() -> dict:
    """Ask Spark, which has two threads in this machine."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # else it looks for a network
    # What leaves Spark here is Arrow, whatever version pandas has.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    from pyspark.sql import SparkSession

    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": scratch.name,
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # These two make it start sooner; with many rows leave them out.
        "spark.sql.codegen.wholeStage": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    }
    with without_chatter():
        spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    try:
        transactions = spark.read.parquet(str(folder / "transactions"))
        predictions = spark.read.parquet(str(folder / "model_predictions"))
        scores = predictions.select(said).join(transactions.select(known), "transaction_id")
        return asked(transactions, scores)
    finally:
        spark.stop()


if find_spec("pyspark") and (shutil.which("java") or "JAVA_HOME" in os.environ):
    answers["Spark"] = on_spark()
    print("Spark has counted.")
else:
    print(
        "There is no Spark here, or no Java to run it: nothing is wrong, the rest goes on.\n"
        'To try it: pip install "synfin-analytics[spark]", and Java, as with '
        "apt-get install default-jre-headless or brew install openjdk."
    )

# %% [markdown]
# ## One number, whoever counts
#
# The model's numbers side by side, and the fraud rates less those of PostgreSQL:

# %%
pd.DataFrame(
    {
        engine: {question: value for question, value in found.items() if question != "rates"}
        for engine, found in answers.items()
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
reference = answers["PostgreSQL"]["rates"].set_index("channel")[columns].astype(float)
for engine, found in answers.items():
    rates = found["rates"].set_index("channel")[columns].astype(float)
    apart = (rates - reference).abs().max().max()
    print(f"{engine}: {'equal' if apart < 1e-9 else 'DIFFERENT'} (largest difference {apart:.1e})")

# %% [markdown]
# Not one count differs. What may differ is the fourteenth digit of a sum of money: PostgreSQL adds
# decimals, the others doubles, in an order of their own.
#
# Why does that work? A rate over all machines is *not* the mean of the machines' rates: a machine
# with few payments would weigh as much as one with many. But frauds and payments may be added up,
# and the rate, its interval, and even the area under a curve follow from such sums. What cannot be
# added up is, for example, the number of *different* customers, since one may pay on two machines.
# docs/distributed.md says what travels for each question.

# %% [markdown]
# ## Your turn
#
# 1. `fraud_rate(files, by="merchant_category")`: polars reads the files from disk itself. Which of
#    the engines here would you take for ten million rows? And for ten billion?
# 2. Take the mean of the channels' fraud rates, and compare it with the fraud rate of all.
# 3. Cut the export by day instead of by month (`YYYY-MM-DD`). How many files are there, and how
#    large is one? Many small files are slow to read: why?

# %%
fraud_rate(files, by="is_online").to_pandas()

# %% [markdown]
# ## Tidy up
#
# This drops the tables of both databases, and the files.

# %%
copy.drop_all_tables()
copy.close()
manager.drop_all_tables()
manager.close()
scratch.cleanup()
