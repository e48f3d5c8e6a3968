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
# A model learns from numbers about a payment: its *features*. Good features are most of a good
# model. They can also be too good: a feature that knows the future makes a model that shines in the
# test and fails on its first day at work. That is called *leakage*. In twenty minutes you will make
# features, train a model on them, spoil it in two ways, and see in numbers what happens.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows one core is fastest

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
# ## Payments, and 69 features of each
#
# Four months of payments, in a database of this notebook's own. `engineer` computes the features of
# all of them and stores them in the table `ml_features`. Each is defined in docs/features.md.

# %%
config = DatabaseConfig(database="features_and_leakage", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, frame in world._asdict().items():
    load_df(frame, table, on_conflict="skip")
with get_db_session() as session:
    report = MLFeaturesRepository(session).engineer()
    session.commit()
report

# %% [markdown]
# What a payment is, and what the features say about it, side by side:

# %%
payments = read_df("SELECT * FROM transactions ORDER BY timestamp, transaction_id")
features = read_df("ml_features")
names = [name for name in features.columns if name in MLFeaturesRepository.model.feature_names()]
about = ["transaction_id", "customer_id", "timestamp", "amount", "is_fraud", "label_available_at"]
rows = payments[about].merge(features[["transaction_id", *names]], on="transaction_id")

burst = payments[payments["fraud_type"] == "velocity_burst"]
own = rows[rows["customer_id"] == burst["customer_id"].iloc[0]]
first = own.index[own["transaction_id"].isin(burst["transaction_id"])][0]
shown = ["timestamp", "amount", "is_fraud", "tx_velocity_1h", "tx_velocity_24h", "is_new_merchant"]
own.loc[own.index >= own.index[own.index < first][-3:].min(), shown].head(10)

# %% [markdown]
# A stolen card, used as fast as possible. Look at `tx_velocity_1h`, the customer's payments in the
# last hour, the row itself included: it climbs from one fraud to the next. At the first fraud it is
# still ordinary: a feature knows only what was before, and at that moment nothing was odd. That is
# as it should be.
#
# Does such a number tell frauds from others? Ask for the fraud rate in bands of it:

# %%
bands = fraud_rate(rows, bins={"tx_velocity_1h": [2, 3, 4, 6]})
picture = plot_fraud_rate(bands)

# %% [markdown]
# **What to see.** Hardly any payment is the sixth or a later one within an hour, but of those that
# are, a quarter is fraud, thirty times the rate of all (the dashed line). The first band holds nine
# in ten payments, at a low rate, and yet more than half of the frauds: no feature finds all. Models
# exist to weigh many together.

# %% [markdown]
# ## When a label is known
#
# Whether a payment was fraud is known only when somebody complains, or an inquiry ends.
# `label_available_at` says when that was.

# %%
delay = (rows["label_available_at"] - rows["timestamp"])[rows["is_fraud"]] / pd.Timedelta(days=1)
days = [1, 3, 7, 14, 30, 60]
pd.DataFrame({"days": days, "share of frauds known": [f"{(delay <= d).mean():.0%}" for d in days]})

# %% [markdown]
# Half of the frauds are known after a few days, some after months. On a Monday morning, the bank
# does not know which of Sunday's payments were fraud. A feature such as the merchant's fraud rate
# must not know either; `engineer_features` counts a label from that moment on, and no earlier.

# %% [markdown]
# ## An honest model
#
# Learn from seventy days, wait a week for labels to come in, test on the five weeks after that.
# `time_split` also leaves out what would not have been known, and cards that would have been
# blocked.

# %%
periods = {"train": "70d", "delay": "7d", "test": "35d", "label_available_at": "label_available_at"}
honest = time_split(rows, **periods)
honest


# %% [markdown]
# Of a hundred payments, ninety-nine are genuine and much alike. Learning from each tenth of them,
# which then counts ten times, takes a tenth of the time and gives nearly the same model.


# %%
def learn(train: pd.DataFrame, columns: list[str]) -> HistGradientBoostingClassifier:
    """Train gradient-boosted trees on all frauds and each tenth genuine payment."""
    kept = train[train["is_fraud"] | (train.index % 10 == 0)]
    weight = kept["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
    )
    return model.fit(kept[columns].astype(float), kept["is_fraud"].astype(bool), weight)


def judge(model: HistGradientBoostingClassifier, test: pd.DataFrame, columns: list[str]):
    """Evaluate its scores on the test rows."""
    score = model.predict_proba(test[columns].astype(float))[:, 1]
    return evaluate(test.assign(score=score), score="score", threshold=0.3)


bare = ["amount_log", "hour_sin", "hour_cos", "is_weekend"]
results = {
    "amount and time": judge(learn(honest.train, bare), honest.test, bare),
    "69 features": judge(learn(honest.train, names), honest.test, names),
}
pd.DataFrame(
    {
        name: {"average precision": one.average_precision, "ROC AUC": one.roc_auc}
        for name, one in results.items()
    }
).T

# %% [markdown]
# *Average precision* is the mean precision over all frauds, if each in turn is where you stop
# looking. A model that knows nothing has the share of fraud, below 0.01. The second line is what
# the features are worth.
#
# Beware of ROC AUC: both are above 0.9, which sounds alike, and one of these models is several
# times as useful as the other. Where fraud is rare, look at precision.

# %% [markdown]
# ## First leak: a table that was written later
#
# The table of customers has a column `fraud_history_count`. Surely a customer's past frauds are a
# good feature? Join it, train again, test again:

# %%
customers = read_df("SELECT customer_id, fraud_history_count FROM customers")
spoilt = time_split(rows.merge(customers, on="customer_id"), **periods)
columns = [*names, "fraud_history_count"]
model = learn(spoilt.train, columns)
results["leak 1, in the test"] = judge(model, spoilt.test, columns)
print(f"average precision {results['leak 1, in the test'].average_precision:.3f}")

# %% [markdown]
# A giant leap, for one column! Time to celebrate, or to be suspicious. The customers table is of
# *today*: it counts all frauds until the end of the data, the very frauds of the test period too. A
# customer who will be robbed next week has a 1 there already.
#
# On its first day at work the model gets what is known that day. The honest count is
# `customer_prior_fraud_count`. So put that into the column:

# %%
as_known = spoilt.test.assign(fraud_history_count=spoilt.test["customer_prior_fraud_count"])
results["leak 1, at work"] = judge(model, as_known.fillna({"fraud_history_count": 0}), columns)
print(f"average precision {results['leak 1, at work'].average_precision:.3f}")

# %% [markdown]
# The same model, the same payments, and worse than the honest one by far: it had learnt to lean on
# that one column, and let the others go.

# %% [markdown]
# ## Second leak: labels that come at once
#
# The first leak was a column. This one is a clock. Somebody computes the same 69 features, but as
# if each label were known at the moment of its payment:

# %%
at_once = engineer_features(
    payments.drop(columns="label_available_at"), world.customers, world.merchants, label_delay="0d"
)
early = time_split(rows[about].merge(at_once, on="transaction_id"), **periods)
model = learn(early.train, names)
results["leak 2, in the test"] = judge(model, early.test, names)
results["leak 2, at work"] = judge(model, honest.test, names)

pd.DataFrame(
    {
        name: {
            "average precision": one.average_precision,
            "precision": one.precision,
            "recall": one.recall,
        }
        for name, one in results.items()
    }
).T

# %% [markdown]
# No feature was added, none is wrong by its definition, and no row was seen twice. Still the test
# promised much, and work keeps half of it: features such as `customer_prior_fraud_count` and the
# fraud rates of merchants saw the first frauds of a series at once, while the bank hears of them
# days later. This is the leak that slips through most reviews.

# %%
shown = {name: one for name, one in results.items() if name != "amount and time"}
picture = plot_precision_recall(shown)

# %% [markdown]
# **What to see.** The two leaky lines *in the test* are the highest over most of the width. The
# same two models *at work* fall below the honest one (69 features): the first at once, the second
# as soon as it shall find more than the easiest fifth. The picture that looks best is the one that
# is wrong: only the line of the honest model shows what you will get.

# %% [markdown]
# ## How to smell a leak
#
# 1. It is too good. Ask of each leap: which feature made it?
# 2. Ask of each feature: at the moment of the payment, in which table stood that number, and who
#    had written it? Columns such as `fraud_type`, `fraud_reason` or `is_anomaly` are written
#    afterwards.
# 3. Leave no row of the future in the training, and no label that had not arrived. `time_split`
#    does that.
# 4. Test as you will work: features stored on the day itself are safe, features computed later are
#    not. `engineer(start=...)` adds those of each new day.
#
# The tests of this package change later rows and labels at random, and check that no earlier
# feature changes.

# %% [markdown]
# ## Your turn
#
# 1. Leave out `customer_prior_fraud_count` and the features whose names contain `fraud_rate`. What
#    is the honest model worth then? And the one of the second leak?
# 2. Split at random instead of by time (`rows.sample(frac=0.7, random_state=0)`). How far is that
#    from the honest test?
# 3. Add `rows.groupby("customer_id")["amount"].transform("max")` as a feature. Is that a leak?

# %%
without = [n for n in names if "fraud" not in n]
judge(learn(honest.train, without), honest.test, without)

# %% [markdown]
# ## Tidy up
#
# This drops the tables of `features_and_leakage`.

# %%
manager.drop_all_tables()
manager.close()
