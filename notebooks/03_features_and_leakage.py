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
# # From transactions to features, and what leakage does to a model
#
# A model learns from *features*: numbers that describe a payment. Good features are most of what
# makes a good model. They can also be too good: a feature that uses information from the future
# gives a model that is excellent in the test and fails in production. This is called *leakage*. In
# twenty minutes you will compute features, train a model on them, introduce two leaks, and measure
# their effect.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows, one core is fastest

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from synfin_analytics import (
    DatabaseConfig,
    MLFeaturesRepository,
    engineer_features,
    evaluate,
    fraud_rate,
    get_db_manager,
    get_db_session,
    load_df,
    plot_fraud_rate,
    plot_precision_recall,
    read_df,
    simulate,
    time_split,
)

# %% [markdown]
# ## Payments with 69 features each
#
# The data are four months of payments in a separate database of this notebook. `engineer` computes
# the features of all payments and stores them in the table `ml_features`. `docs/guide/features.md`
# defines each feature.

# %%
config = DatabaseConfig(database="features_and_leakage", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")
with get_db_session() as session:
    report = MLFeaturesRepository(session).engineer()
    session.commit()
report

# %% [markdown]
# Payments and their features, side by side:

# %%
payments = read_df("SELECT * FROM transactions ORDER BY timestamp, transaction_id")
features = read_df("ml_features")
names = [name for name in features.columns if name in MLFeaturesRepository.model.feature_names()]
keys = ["transaction_id", "customer_id", "timestamp", "amount", "is_fraud", "label_available_at"]
rows = payments[keys].merge(features[["transaction_id", *names]], on="transaction_id")

burst = payments[payments["fraud_type"] == "velocity_burst"]
own = rows[rows["customer_id"] == burst["customer_id"].iloc[0]]
first = own.index[own["transaction_id"].isin(burst["transaction_id"])][0]
visible_columns = [
    "timestamp",
    "amount",
    "is_fraud",
    "tx_velocity_1h",
    "tx_velocity_24h",
    "is_new_merchant",
]
own.loc[own.index >= own.index[own.index < first][-3:].min(), visible_columns].head(10)

# %% [markdown]
# This is a stolen card that is used as fast as possible. `tx_velocity_1h` is the number of payments
# of the customer in the last hour, including the payment itself: it increases with each fraud. At
# the first fraud it is still ordinary, because a feature only uses earlier payments, and nothing
# was unusual by then. This is as it should be.
#
# Does this feature distinguish frauds from genuine payments? Compute the fraud rate for intervals
# of its values:

# %%
bands = fraud_rate(rows, bins={"tx_velocity_1h": [2, 3, 4, 6]})
picture = plot_fraud_rate(bands)

# %% [markdown]
# **What to see.** Hardly any payment is the sixth or a later one within an hour, but 25% of these
# are fraud, thirty times the overall rate (the dashed line). The first interval contains 90% of the
# payments. Its rate is low, but it contains more than half of the frauds: no single feature detects
# all of them. Models combine many features.

# %% [markdown]
# ## When a label becomes known
#
# It becomes known that a payment was fraud when the customer reports it, or when an investigation
# ends. `label_available_at` is the time at which this happened.

# %%
delay = (rows["label_available_at"] - rows["timestamp"])[rows["is_fraud"]] / pd.Timedelta(days=1)
days = [1, 3, 7, 14, 30, 60]
pd.DataFrame({"days": days, "share of frauds known": [f"{(delay <= d).mean():.0%}" for d in days]})

# %% [markdown]
# Half of the frauds are known after three days, but some only after months. On Monday morning, the
# bank does not know which of Sunday's payments were fraud. A feature such as the fraud rate of the
# merchant must not use this information either: `engineer_features` uses a label only from the time
# at which it became known.

# %% [markdown]
# ## A valid model
#
# Train on 70 days, wait a week for the labels, and test on the following five weeks. `time_split`
# also excludes labels that were not known in time, and cards that would have been blocked.

# %%
periods = {
    "train": "70d",
    "label_delay": "7d",
    "test": "35d",
    "label_available_at": "label_available_at",
}
valid = time_split(rows, **periods)
valid


# %% [markdown]
# 99% of the payments are genuine and similar to each other. Training on every tenth of them with a
# weight of ten takes a tenth of the time and gives nearly the same model.


# %%
def train_model(train: pd.DataFrame, columns: list[str]) -> HistGradientBoostingClassifier:
    """Train gradient-boosted trees on all frauds and every tenth genuine payment."""
    sample = train[train["is_fraud"] | (train.index % 10 == 0)]
    weight = sample["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
    )
    return model.fit(sample[columns].astype(float), sample["is_fraud"].astype(bool), weight)


def evaluate_model(model: HistGradientBoostingClassifier, test: pd.DataFrame, columns: list[str]):
    """Evaluate the scores of a model on the test rows."""
    score = model.predict_proba(test[columns].astype(float))[:, 1]
    return evaluate(test.assign(score=score), score="score", threshold=0.3)


basic = ["amount_log", "hour_sin", "hour_cos", "is_weekend"]
results = {
    "amount and time": evaluate_model(train_model(valid.train, basic), valid.test, basic),
    "69 features": evaluate_model(train_model(valid.train, names), valid.test, names),
}
pd.DataFrame(
    {
        name: {"average precision": result.average_precision, "ROC AUC": result.roc_auc}
        for name, result in results.items()
    }
).T

# %% [markdown]
# *Average precision* is the mean of the precision over all frauds, each taken as the point at which
# you stop reviewing. For a random score it equals the share of fraud, which is below 0.01. The
# second row shows what the features add.
#
# Be careful with ROC AUC: for both models it is above 0.9 and looks similar, but the average
# precision of one model is several times that of the other. Where fraud is rare, use precision.

# %% [markdown]
# ## First leak: a table that was written later
#
# The customers table has a column `fraud_history_count`. The earlier frauds of a customer should be
# a good feature. Join it, train again, and test again:

# %%
customers = read_df("SELECT customer_id, fraud_history_count FROM customers")
leaking = time_split(rows.merge(customers, on="customer_id"), **periods)
columns = [*names, "fraud_history_count"]
model = train_model(leaking.train, columns)
results["leak 1, in the test"] = evaluate_model(model, leaking.test, columns)
print(f"average precision {results['leak 1, in the test'].average_precision:.3f}")

# %% [markdown]
# A large improvement from a single column: this is a reason to be suspicious. The customers table
# is as of *today*: it counts all frauds up to the end of the data, including those of the test
# period. A customer who becomes a victim next week already has a count of 1.
#
# In production, the model gets the count that is known on the day. This valid count is
# `customer_prior_fraud_count`. Put it into the column:

# %%
in_production = leaking.test.assign(
    fraud_history_count=leaking.test["customer_prior_fraud_count"].fillna(0)
)
results["leak 1, in production"] = evaluate_model(model, in_production, columns)
print(f"average precision {results['leak 1, in production'].average_precision:.3f}")

# %% [markdown]
# With the same payments, the same model is now far worse than the valid one: it had learned to rely
# on this column and to ignore the others.

# %% [markdown]
# ## Second leak: labels without delay
#
# The first leak was a column. The second one is about time. Compute the same 69 features, but as if
# each label were known at the time of its payment:

# %%
without_delay = engineer_features(
    payments.drop(columns="label_available_at"), world.customers, world.merchants, label_delay="0d"
)
leaking = time_split(rows[keys].merge(without_delay, on="transaction_id"), **periods)
model = train_model(leaking.train, names)
results["leak 2, in the test"] = evaluate_model(model, leaking.test, names)
results["leak 2, in production"] = evaluate_model(model, valid.test, names)

pd.DataFrame(
    {
        name: {
            "average precision": result.average_precision,
            "precision": result.precision,
            "recall": result.recall,
        }
        for name, result in results.items()
    }
).T

# %% [markdown]
# No feature was added, each definition is correct, and no row was used twice. Still, production
# delivers only half of the average precision of the test. Features such as
# `customer_prior_fraud_count` and the fraud rates of merchants used the first frauds of a series
# immediately, but the bank learns of them days later. Most reviews miss this leak.

# %%
compared = {name: result for name, result in results.items() if name != "amount and time"}
picture = plot_precision_recall(compared)

# %% [markdown]
# **What to see.** The two lines of the leaks *in the test* are the highest for most recalls. *In
# production*, the same two models fall below the valid model (69 features): the first from the
# start, the second from a recall between 20% and 30% on. The curve that looks best is wrong: only
# the curve of the valid model shows what you will get in production.

# %% [markdown]
# ## How to detect a leak
#
# 1. The result is too good. For each large improvement, find the feature that caused it.
# 2. For each feature, ask: at the time of the payment, which table contained this number, and who
#    had written it? Columns such as `fraud_type`, `fraud_reason` or `is_anomaly` are written
#    afterwards.
# 3. The training data must not contain later rows, or labels that were not known yet. `time_split`
#    ensures this.
# 4. Test under production conditions: features that were stored on the day itself are safe,
#    features that were computed later are not. `engineer(start=...)` adds the features of each new
#    day.
#
# The tests of this package change later rows and labels at random, and verify that no earlier
# feature changes.

# %% [markdown]
# ## Your turn
#
# 1. Exclude `customer_prior_fraud_count` and the features whose names contain `fraud_rate`. How
#    good is the valid model then? And the model of the second leak?
# 2. Split at random instead of by time (`rows.sample(frac=0.7, random_state=0)`). How much does the
#    result differ from that of the valid test?
# 3. Add `rows.groupby("customer_id")["amount"].transform("max")` as a feature. Is it a leak?

# %%
without = [name for name in names if "fraud" not in name]
evaluate_model(train_model(valid.train, without), valid.test, without)

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `features_and_leakage`.

# %%
manager.drop_all_tables()
manager.close()
