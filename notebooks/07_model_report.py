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
# # A model report for validation
#
# Before a model may stop payments, someone who did not build it must validate and approve it. That
# person needs more than a slide with a single number. In a quarter of an hour you will create a
# report of a model, read it as a validator does, trace its numbers back to the data, and save it as
# one file to send.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows, one core is fastest

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
# ## Payments and predictions
#
# The database contains payments, and the predictions of two models for the same five weeks: *trees*
# as in lesson 4, and the simple *baseline* of this package, which any model should outperform.

# %%
config = DatabaseConfig(database="model_report", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")

features = engineer_features(world.transactions, world.customers, world.merchants)
names = [name for name in features.columns if name != "transaction_id"]
keys = ["transaction_id", "customer_id", "timestamp", "is_fraud", "label_available_at"]
rows = world.transactions[keys].merge(features, on="transaction_id")
split = time_split(
    rows, train="70d", label_delay="7d", test="35d", label_available_at="label_available_at"
)
sample = split.train[split.train["is_fraud"] | (split.train.index % 10 == 0)]
trees = HistGradientBoostingClassifier(
    max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
)
weight = sample["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
trees.fit(sample[names].astype(float), sample["is_fraud"].astype(bool), weight)
scores = trees.predict_proba(split.test[names].astype(float))[:, 1]

# %% [markdown]
# A prediction may also contain feature importances, which the report then shows. A simple method
# that works for any model is permutation: shuffle one feature, and measure how far the scores of
# the frauds fall.

# %%
rng = np.random.default_rng(0)
frauds = split.test.loc[split.test["is_fraud"], names].astype(float)
sampled = split.test[names].astype(float).sample(len(frauds), random_state=0)
fraud_scores = trees.predict_proba(frauds)[:, 1]
importance = {}
for name in names:
    shuffled = frauds.assign(**{name: rng.permutation(sampled[name])})
    importance[name] = float((fraud_scores - trees.predict_proba(shuffled)[:, 1]).mean())
top_features = dict(sorted(importance.items(), key=lambda item: -abs(item[1]))[:10])
predictions = pl.DataFrame(
    {
        "transaction_id": split.test["transaction_id"].to_list(),
        "prediction": scores >= 0.05,
        "fraud_probability": scores,
        "ground_truth": split.test["is_fraud"].to_list(),
    }
).with_columns(
    model_name=pl.lit("trees"),
    model_version=pl.lit("1.0"),
    feature_importance=pl.lit(top_features),
)
load_df(predictions, "model_predictions", on_conflict="update")

# %%
baseline = fit_baseline(pl.from_pandas(world.transactions), train_fraction=0.6)
load_df(baseline.predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# ## The report
#
# One call creates it. `by` selects columns in which to search for weak groups; `notes` adds what
# the data do not contain: how the model was built.

# %%
report = model_report(
    "trees",
    "1.0",
    compare_with=("baseline", "1.0"),
    by=["channel", "merchant_category"],
    cost_per_alert=5,
    recovery_rate=0.8,
    alerts_per_day=20,
    n_resamples=300,
    notes=["Gradient-boosted trees on 69 features, trained on 70 days that ended a week before."],
)
report

# %% [markdown]
# The notebook shows the full report. Scroll through it now, then return here.

# %% [markdown]
# ## How to read it
#
# **Summary.** Each sentence follows from numbers further down. Here they are as text:

# %%
for sentence in report.summary_text():
    print("-", sentence)

# %% [markdown]
# **Data.** The payments, their period, and when their labels became known. Check that the period is
# *after* the training period, and how many payments had no label.
#
# **Metrics with intervals and a baseline.** Without an interval, it is not clear how certain a
# metric is; without a baseline, it is not clear whether it is good.
#
# **Thresholds, costs and budget.** The results of different thresholds. Rows whose threshold was
# chosen on the same payments are marked, because their results are optimistic.
#
# **Weakest groups.** The groups with the lowest recall. Check whether they are large enough to draw
# a conclusion.
#
# **Drift.** Scores and frauds by week. Here is the plot again:

# %%
picture = plot_score_drift(report.weeks)

# %% [markdown]
# **What to see.** Half of the scores are below the lowest line, and 99% are below the highest. As
# long as these lines remain at the same level, the payments still fit the model. Here the highest
# line falls to a quarter of its initial level. Does the model no longer detect fraud? The table
# below shows that the fraud rate fell to a quarter in the same weeks as well: there was less fraud
# to detect, and the scores reflect it. If a line moves but the fraud rate does not, or vice versa,
# investigate. The first and the last week have few days: check the number of payments per week
# before you draw conclusions.

# %%
report.weeks[["timestamp", "scored", "frauds", "fraud_rate", "mean_score"]]

# %% [markdown]
# **Feature importances.** The values that we stored above:

# %%
picture = plot_importances(report.importances)

# %% [markdown]
# **What to see.** One feature is by far the most important: the amount that the customer spent
# within the last hour. The others compare an amount with the usual amounts of the merchant or the
# customer, or measure the time since an event. This matches the behaviour of fraudsters (lesson 2).
# For each feature, ask whether its value is known at the time of the payment (lesson 3), and
# whether it is acceptable to assess customers by it.

# %% [markdown]
# **Caveats.** What this evaluation cannot show. A report without this section is advertising:

# %%
for sentence in report.caveats:
    print("-", sentence)

# %% [markdown]
# ## Verify the numbers
#
# Every number on the page is an attribute of the report and equals the result of `evaluate`.
# Compute one of them yourself:

# %%
evaluation = report.evaluation
alerts = predictions.filter(pl.col("fraud_probability") >= evaluation.threshold.value)
print("precision in the report:", round(evaluation.precision, 4))
print("computed manually:      ", round(alerts["ground_truth"].mean(), 4))

# %% [markdown]
# The last section of the page contains the query and the call that reproduce it, and the versions
# of all software. In a year, you can create the report again and compare.
#
# ## One file to send
#
# The file contains all plots and tables. It needs no network, prints on A4 paper, and is readable
# on a phone and with a screen reader. On the command line, use `synfin report model trees 1.0`.

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
# 1. You are the validator. Write down three questions for the developer of this model, and the
#    section of the report that raised each of them.
# 2. Which sentence of the summary would change if an alert cost 20 euros? Create that report and
#    compare.
# 3. Enter `overview` alone in a cell: it is displayed as a page, too.

# %%
expensive_alerts = model_report(
    "trees", "1.0", cost_per_alert=20, recovery_rate=0.8, by=[], n_resamples=100
)
print(expensive_alerts)

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `model_report`.

# %%
manager.drop_all_tables()
manager.close()
