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
# # Comparing models, and groups
#
# Two questions that sound easy. Is the new model better than the old one? And does it treat all
# customers alike? Both compare numbers, and numbers differ by chance. In twenty minutes you will
# compare three models on the same payments, then one model on different groups, and learn when a
# difference means something.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows one core is fastest

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from synfin_analytics import (
    DatabaseConfig,
    ModelPredictionRepository,
    compare_models,
    engineer_features,
    evaluate,
    get_db_manager,
    get_db_session,
    load_df,
    plot_comparison,
    plot_precision_recall,
    simulate,
    time_split,
)

# %% [markdown]
# ## Three models, one test
#
# A *logit* (logistic regression: it adds up weighted features), *trees* as in lesson 4, and
# *trees2*, the same with other settings. All learn from the same payments and score the same later
# ones. That matters: on different payments, the better model may be the one with the easier
# thieves.

# %%
config = DatabaseConfig(database="comparing_models", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, frame in world._asdict().items():
    load_df(frame, table, on_conflict="skip")
features = engineer_features(world.transactions, world.customers, world.merchants)
names = [name for name in features.columns if name != "transaction_id"]
about = ["transaction_id", "customer_id", "timestamp", "channel", "is_fraud", "label_available_at"]
rows = world.transactions[about].merge(features, on="transaction_id")
split = time_split(
    rows, train="70d", label_delay="7d", test="35d", label_available_at="label_available_at"
)
kept = split.train[split.train["is_fraud"] | (split.train.index % 10 == 0)]
weight = kept["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)

# %%
models = {
    "trees": HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
    ),
    "trees2": HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=8, min_samples_leaf=20, l2_regularization=10, random_state=0
    ),
    "logit": make_pipeline(
        SimpleImputer(add_indicator=True),
        QuantileTransformer(n_quantiles=100, random_state=0),
        LogisticRegression(C=0.1, max_iter=500),
    ),
}
test = split.test.reset_index(drop=True)
for name, model in models.items():
    weights = "logisticregression__sample_weight" if name == "logit" else "sample_weight"
    model.fit(kept[names].astype(float), kept["is_fraud"].astype(bool), **{weights: weight})
    test[name] = model.predict_proba(test[names].astype(float))[:, 1]
    said = pd.DataFrame(
        {
            "transaction_id": test["transaction_id"],
            "model_name": name,
            "model_version": "1.0",
            "prediction": test[name] >= 0.3,
            "fraud_probability": test[name],
            "ground_truth": test["is_fraud"],
        }
    )
    print(load_df(said, "model_predictions", on_conflict="update"))

# %%
with get_db_session() as session:
    repository = ModelPredictionRepository(session)
    results = {name: repository.evaluate(name, "1.0", 0.3) for name in models}
picture = plot_precision_recall(results)

# %% [markdown]
# **What to see.** The lines of the two trees lie above that of the logit nearly everywhere. With
# each other they cross: here one is higher, there the other. Is one of them better? The picture
# cannot say.

# %% [markdown]
# ## The interval of a difference
#
# Draw customers at random, with replacement, five hundred times, and compute each time how far
# apart the models are *on the same draw*. That is a *paired* bootstrap: whatever makes a draw hard
# makes it hard for all models, and drops out of the difference.

# %%
with get_db_session() as session:
    comparison = ModelPredictionRepository(session).compare_models(
        [(name, "1.0") for name in models],
        metrics=["average_precision", "roc_auc"],
        n_resamples=500,
    )
comparison

# %%
picture = plot_comparison(comparison)

# %% [markdown]
# **What to see.** Each bar is the interval of the difference to the first model, *trees*. Where it
# leaves out 0 the dot is full: these payments tell the models apart. The logit is worse, by both
# measures. *trees2* and *trees* cannot be told apart: maybe a little better, maybe a little worse.
# In ROC AUC the bar of *trees2* is so short that it hides behind its dot: the difference is at most
# 0.002. Whatever its sign, it is too small to be a reason to change models. An interval says how
# sure a difference is; its size says whether it matters.
#
# Now look at the intervals of the values themselves, in the table: those of *trees* and *logit* are
# wide and overlap. Still the difference is clear. Never judge a difference by two separate
# intervals.

# %% [markdown]
# ## At which threshold?
#
# A score of 0.3 of one model is not a score of 0.3 of another. To compare precision and recall,
# give each the same work: the same number of alerts.

# %%
ALERTS = 20 * 35
thresholds = {name: one.threshold_for_alerts(ALERTS) for name, one in results.items()}
same_work = compare_models(
    test, {name: name for name in models}, threshold=thresholds, metrics=["precision", "recall"],
    n_resamples=500,
)  # fmt: skip
same_work

# %% [markdown]
# With twenty alerts a day each, the trees find 85 frauds in a hundred and the logit 71. That is a
# sentence that the head of a team understands.

# %% [markdown]
# ## One model, different groups
#
# A model that is good on the whole may be poor where it matters. Evaluate it by channel:

# %%
with get_db_session() as session:
    by_channel = ModelPredictionRepository(session).evaluate(
        "trees", "1.0", thresholds["trees"], by="channel"
    )
by_channel


# %% [markdown]
# As a picture: of the frauds, how many are found (recall), and of the honest payments, how many are
# alerted (false-positive rate)? Both with their intervals.


# %%
def by_group(result, title: str) -> None:
    """Draw recall and false-positive rate of each group."""
    table = result.by_group
    _, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained", sharey=True)
    for ax, metric in zip(axes, ("recall", "specificity"), strict=True):
        lines = table[table["metric"] == metric]
        labels = [
            f"{group} ({frauds} frauds)"
            for group, frauds in zip(lines[result.by[0]], lines["frauds"], strict=True)
        ]
        value, low, high = lines["value"], lines["value_low"], lines["value_high"]
        if metric == "specificity":  # of the honest ones, those left alone
            value, low, high = 1 - value, 1 - high, 1 - low
        ax.errorbar(
            value, labels, xerr=[value - low, high - value],
            fmt="o", color="#1b4965", ecolor="#7f9bad", elinewidth=3,
        )  # fmt: skip
        ax.set_xlim(left=0)
        ax.margins(y=0.15)
        ax.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    axes[0].set(title=f"{title}: frauds that are found", xlabel="recall")
    axes[1].set(title="honest payments that are alerted", xlabel="false-positive rate")


by_group(by_channel, "By channel")

# %% [markdown]
# **What to see.** Left: the fewer frauds, the longer the bar. Ten at cash machines (atm) and
# fifteen by mobile say little; online more is found than at a till (pos), and that is more than
# chance. By phone there was no fraud, so nothing can be said of it. Right: the bars are short where
# there are thousands of honest payments (by phone there are fifty), and they lie apart: who pays by
# mobile is bothered nearly three times as often as who pays at a till. Both sides are needed: an
# alert for each payment of a channel would find all of its frauds.
#
# Precision is not in the picture, on purpose. It depends on how much fraud there is in a group: the
# same model is "less precise" wherever thieves are rarer.

# %%
print("worst recall:", *by_channel.group_min("recall").group)
difference, low, high = by_channel.difference("recall")
print(f"largest difference of recall {difference:.2f}, from {low:.2f} to {high:.2f}")

# %% [markdown]
# Mind the trap: the largest of many differences is large by chance, too. Its interval does not know
# that we went looking for it, so it is too narrow. Treat it as a question for the next month's
# data, not as an answer. Groups with fewer than ten frauds are marked as small, and left out of
# this search.

# %% [markdown]
# ## People
#
# Channels do not complain. Customers do, and the law is with them: may a model alert one age group
# more often than others? Age is no feature of the model, but habits depend on age. So look:

# %%
ages = world.customers[["customer_id", "age"]]
people = test.merge(ages, on="customer_id")
people["age group"] = pd.cut(
    people["age"], [0, 30, 45, 60, 120], right=False, labels=["18-29", "30-44", "45-59", "60 on"]
).astype(str)
by_age = evaluate(people, score="trees", threshold=thresholds["trees"], by="age group")
by_group(by_age, "By age")

# %% [markdown]
# **What to see.** Compare the bars of each side: they overlap, so these five weeks do not show that
# any age group is treated differently. They do not show the opposite either: with so few frauds in
# each, a gap of ten points in a hundred could hide. On the right the intervals are even too short,
# for they count payments as independent, and one traveller may cause ten alerts.
#
# How often fraud happens is another question, and there the groups do differ:

# %%
people.groupby("age group").agg(
    customers=("customer_id", "nunique"), payments=("is_fraud", "size"), frauds=("is_fraud", "sum")
).assign(per_1000=lambda table: (1000 * table["frauds"] / table["payments"]).round(1))

# %% [markdown]
# Some customers are robbed more often than others, and in such small numbers a single thief with
# one card moves a line. What to do about a difference is not a question that data answer. Whether
# there is one, whom it concerns, and how sure that is: this you can say, and must.

# %% [markdown]
# ## Your turn
#
# 1. Take 10 alerts a day instead of 20. Does the logit come nearer?
# 2. By day or night: `test["is_night"]` is a feature. Evaluate by it.
# 3. Two channels at once: `by=["channel", "is_weekend"]`. How many groups are small?

# %%
evaluate(test, score="trees", threshold=thresholds["trees"], by="is_night")

# %% [markdown]
# ## Tidy up
#
# This drops the tables of `comparing_models`.

# %%
manager.drop_all_tables()
manager.close()
