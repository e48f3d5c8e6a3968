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
# # A model report that one can sign
#
# Before a model may stop payments, somebody who did not build it reads about it and signs. What
# does that person need? Not a slide with one number. In a quarter of an hour you will make a report
# of a model, read it as a validator does, follow its numbers back to where they come from, and save
# it as one file to send.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows one core is fastest

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from synfin_analytics import (
    DatabaseConfig,
    engineer_features,
    fit_baseline,
    fraud_report,
    get_db_manager,
    load_df,
    model_report,
    plot_importances,
    plot_score_drift,
    simulate,
    time_split,
)

# %% [markdown]
# ## What is in the database
#
# Payments, and the predictions of two models for the same five weeks: *trees* as in lesson 4, and
# the simple *baseline* that comes with the package, which every model should beat.

# %%
config = DatabaseConfig(database="model_report", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, frame in world._asdict().items():
    load_df(frame, table, on_conflict="skip")

features = engineer_features(world.transactions, world.customers, world.merchants)
names = [name for name in features.columns if name != "transaction_id"]
about = ["transaction_id", "customer_id", "timestamp", "is_fraud", "label_available_at"]
rows = world.transactions[about].merge(features, on="transaction_id")
split = time_split(
    rows, train="70d", label_delay="7d", test="35d", label_available_at="label_available_at"
)
kept = split.train[split.train["is_fraud"] | (split.train.index % 10 == 0)]
trees = HistGradientBoostingClassifier(
    max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
)
weight = kept["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
trees.fit(kept[names].astype(float), kept["is_fraud"].astype(bool), weight)
scores = trees.predict_proba(split.test[names].astype(float))[:, 1]

# %% [markdown]
# With each prediction one may store how much each feature mattered. Then the report can tell. A
# simple measure that works for any model: shuffle one feature, and see how far the scores of the
# frauds fall.

# %%
rng = np.random.default_rng(0)
frauds = split.test.loc[split.test["is_fraud"], names].astype(float)
others = split.test[names].astype(float).sample(len(frauds), random_state=0)
usual = trees.predict_proba(frauds)[:, 1]
importance = {}
for name in names:
    shuffled = frauds.assign(**{name: rng.permutation(others[name])})
    importance[name] = float((usual - trees.predict_proba(shuffled)[:, 1]).mean())
ten = dict(sorted(importance.items(), key=lambda item: -abs(item[1]))[:10])
said = pl.DataFrame(
    {
        "transaction_id": split.test["transaction_id"].to_list(),
        "prediction": scores >= 0.05,
        "fraud_probability": scores,
        "ground_truth": split.test["is_fraud"].to_list(),
    }
).with_columns(
    model_name=pl.lit("trees"), model_version=pl.lit("1.0"), feature_importance=pl.lit(ten)
)
load_df(said, "model_predictions", on_conflict="update")

# %%
baseline = fit_baseline(pl.from_pandas(world.transactions), train_fraction=0.6)
load_df(baseline.predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# ## The report
#
# One call. `by` names columns in which to look for weak groups; the last line says what the numbers
# themselves cannot: how the model came about.

# %%
report = model_report(
    "trees",
    "1.0",
    compare_with=("baseline", "1.0"),
    by=["channel", "merchant_category"],
    cost_per_alert=5,
    recovery_rate=0.8,
    alerts_per_day=20,
    draws=300,
    notes=["Gradient-boosted trees on 69 features, trained on 70 days that ended a week before."],
)
report

# %% [markdown]
# A whole page, within the notebook. Scroll through it now, then come back.

# %% [markdown]
# ## How to read it
#
# **Summary.** Sentences, each of which follows from a number further down. Here they are again, as
# text:

# %%
for sentence in report.summary_text():
    print("-", sentence)

# %% [markdown]
# **Data.** Which payments, of what period, and when their labels were known. Ask: is it *after*
# what the model learnt from? How many had no label?
#
# **Metrics with intervals, and a baseline.** A number without an interval is an anecdote; a number
# without a baseline has no scale.
#
# **Thresholds, costs and budget.** What each choice of a threshold would have meant. Lines that
# were chosen on these same payments are marked, for they flatter.
#
# **Weakest groups.** Where the model finds least. Ask whether the groups are large enough to say
# so.
#
# **Drift.** Scores and frauds week by week, here once more on their own:

# %%
picture = plot_score_drift(report.weeks)

# %% [markdown]
# **What to see.** Half of all scores lie below the lowest line, ninety-nine in a hundred below the
# highest. As long as these lines keep their height, payments and model fit each other as they did
# at first. Here the highest sinks to a quarter. Has the model grown blind? Look at the table: the
# fraud rate sank in the same weeks, to a quarter as well. There was less to find, and the scores
# say so. A line that moves while the fraud rate does not, or the other way round, is a reason to
# ask. The first and the last week have few days: look at how many payments each has before you
# worry.

# %%
report.weeks[["timestamp", "scored", "frauds", "fraud_rate", "mean_score"]]

# %% [markdown]
# **Feature importances.** What we stored above:

# %%
picture = plot_importances(report.importances)

# %% [markdown]
# **What to see.** One feature stands out: how much the customer spent within the last hour. The
# others compare an amount with what is usual for merchant or customer, or ask how long ago
# something was. That fits what thieves do (lesson 2). Ask of each whether it can know what it
# claims to know at the moment of the payment (lesson 3), and whether a customer may be judged by it
# at all.

# %% [markdown]
# **Limits.** What this evaluation cannot tell. A report without this section is advertising:

# %%
for sentence in report.caveats:
    print("-", sentence)

# %% [markdown]
# ## Trust, and check
#
# Every number of the page is an attribute of the report, and equals what `evaluate` gives. Take
# one, and count it yourself:

# %%
one = report.evaluation
alerts = said.filter(pl.col("fraud_probability") >= one.threshold.value)
print("precision in the report:", round(one.precision, 4))
print("counted by hand:        ", round(alerts["ground_truth"].mean(), 4))

# %% [markdown]
# The last section of the page has the query and the call that compute it again, and the versions of
# all that took part. So a report can be made anew in a year, and compared.
#
# ## One file to send
#
# Pictures and tables are inside; it needs no network, prints on A4, and can be read on a phone and
# by a screen reader. On the command line: `synfin report model trees 1.0`.

# %%
with tempfile.TemporaryDirectory() as folder:
    file = report.save(Path(folder) / "trees_1.0.html")
    print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## The fraud of a period
#
# Not every reader asks about a model. The head of a department asks how much fraud there was:

# %%
overview = fraud_report()
print(overview)

# %% [markdown]
# ## Your turn
#
# 1. You are the validator. Write down three questions to whoever built this model, and where in the
#    page each arose.
# 2. Which sentence of the summary would change if an alert cost 20 euros? Make that report, and
#    look.
# 3. Type `overview` alone into a cell: it shows itself as a page, too.

# %%
dear = model_report("trees", "1.0", cost_per_alert=20, recovery_rate=0.8, by=[], draws=100)
print(dear)

# %% [markdown]
# ## Tidy up
#
# This drops the tables of `model_report`.

# %%
manager.drop_all_tables()
manager.close()
