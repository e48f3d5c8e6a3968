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
# # Comparing models and groups
#
# Is the new model better than the old one? And does it treat all customers alike? Both questions
# require the comparison of metrics, and metrics differ by chance. In twenty minutes you will
# compare three models on the same payments, then one model on different groups, and learn when a
# difference is significant.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows, one core is fastest

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
# *logit* is a logistic regression, *trees* are the gradient-boosted trees of lesson 4, and *trees2*
# are the same with other parameters. All are trained on the same payments and score the same later
# payments. This matters: on different payments, the model with the easier frauds would look better.

# %%
config = DatabaseConfig(database="comparing_models", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")
features = engineer_features(world.transactions, world.customers, world.merchants)
names = [name for name in features.columns if name != "transaction_id"]
keys = ["transaction_id", "customer_id", "timestamp", "channel", "is_fraud", "label_available_at"]
rows = world.transactions[keys].merge(features, on="transaction_id")
split = time_split(
    rows, train="70d", label_delay="7d", test="35d", label_available_at="label_available_at"
)
sample = split.train[split.train["is_fraud"] | (split.train.index % 10 == 0)]
weight = sample["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)

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
    parameter = "logisticregression__sample_weight" if name == "logit" else "sample_weight"
    label = sample["is_fraud"].astype(bool)
    model.fit(sample[names].astype(float), label, **{parameter: weight})
    test[name] = model.predict_proba(test[names].astype(float))[:, 1]
    predictions = pd.DataFrame(
        {
            "transaction_id": test["transaction_id"],
            "model_name": name,
            "model_version": "1.0",
            "prediction": test[name] >= 0.3,
            "fraud_probability": test[name],
            "ground_truth": test["is_fraud"],
        }
    )
    print(load_df(predictions, "model_predictions", on_conflict="update"))

# %%
with get_db_session() as session:
    repository = ModelPredictionRepository(session)
    results = {name: repository.evaluate(name, "1.0", threshold=0.3) for name in models}
picture = plot_precision_recall(results)

# %% [markdown]
# **What to see.** The curves of *trees* and *trees2* are above that of *logit* nearly everywhere.
# They cross each other: each is higher in some places. The plot does not show whether one of them
# is better.

# %% [markdown]
# ## The interval of a difference
#
# Resample the customers with replacement, 500 times, and compute the difference between the models
# *on the same resample* each time. This is a *paired* bootstrap: whatever makes a resample
# difficult makes it difficult for all models, and cancels in the difference.

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
# **What to see.** Each bar is the interval of the difference from *trees*, the reference. A filled
# dot means that the interval does not contain 0: the difference is significant. The logit is
# significantly worse by both metrics. The difference between *trees2* and *trees* is not
# significant; its sign is unknown. In ROC AUC the bar of *trees2* is so short that its dot hides
# it: the difference is at most 0.002. Whatever its sign, it is too small to be a reason to change
# models. The interval shows how certain a difference is; its size shows whether it matters.
#
# Now look at the intervals of the metrics themselves, in the table: those of *trees* and *logit*
# are wide and overlap. Still, the difference is significant. Never assess a difference from two
# separate intervals.

# %% [markdown]
# ## Which threshold?
#
# A score of 0.3 of one model does not mean the same as a score of 0.3 of another. To compare
# precision and recall, let each model raise the same number of alerts.

# %%
ALERTS = 20 * 35
thresholds = {name: result.threshold_for_alerts(ALERTS) for name, result in results.items()}
same_alerts = compare_models(
    test, {name: name for name in models}, threshold=thresholds, metrics=["precision", "recall"],
    n_resamples=500,
)  # fmt: skip
same_alerts

# %% [markdown]
# With twenty alerts per day each, *trees* detects 85% of the frauds and *logit* 71%. The head of a
# team can use this statement.

# %% [markdown]
# ## One model, different groups
#
# A model that is good overall may be poor in a group that matters. Evaluate it by channel:

# %%
with get_db_session() as session:
    by_channel = ModelPredictionRepository(session).evaluate(
        "trees", "1.0", threshold=thresholds["trees"], by="channel"
    )
by_channel


# %% [markdown]
# Plot the share of the frauds that are detected (recall) and the share of the genuine payments that
# raise an alert (false positive rate), both with their intervals.


# %%
def plot_groups(result, title: str) -> None:
    """Plot recall and false positive rate of each group."""
    _, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained", sharey=True)
    for ax, metric in zip(axes, ("recall", "specificity"), strict=True):
        table = result.by_group[result.by_group["metric"] == metric]
        labels = [
            f"{group} ({frauds} frauds)"
            for group, frauds in zip(table[result.by[0]], table["frauds"], strict=True)
        ]
        value, low, high = table["value"], table["value_low"], table["value_high"]
        if metric == "specificity":  # the share of genuine payments without an alert
            value, low, high = 1 - value, 1 - high, 1 - low
        ax.errorbar(
            value, labels, xerr=[value - low, high - value],
            fmt="o", color="#1b4965", ecolor="#7f9bad", elinewidth=3,
        )  # fmt: skip
        ax.set_xlim(left=0)
        ax.margins(y=0.15)
        ax.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    axes[0].set(title=f"{title}: detected frauds", xlabel="recall")
    axes[1].set(title="genuine payments with an alert", xlabel="false positive rate")


plot_groups(by_channel, "By channel")

# %% [markdown]
# **What to see.** Left: the fewer frauds, the longer the bar. With ten frauds at cash machines
# (atm) and fifteen by mobile, these recalls are uncertain. Recall is higher online than in shops
# (pos), and that difference is significant. By phone there was no fraud, so its recall is not
# defined. Right: the bars are short where there are thousands of genuine payments (by phone there
# are only 50), and they do not overlap: the false positive rate of mobile payments is nearly three
# times that of payments in shops. You need both sides: alerts for all payments of a channel would
# detect all of its frauds.
#
# Precision is deliberately not shown. It depends on the prevalence of fraud in a group: the same
# model has a lower precision wherever fraud is rarer.

# %%
print("lowest recall:", *by_channel.group_min("recall").group)
difference, low, high = by_channel.difference("recall")
print(f"largest difference of recall {difference:.2f}, from {low:.2f} to {high:.2f}")

# %% [markdown]
# A caveat: the largest of many differences is large by chance, too. Its interval does not account
# for this selection, so it is too narrow. Treat it as a hypothesis for the data of the next month,
# not as a result. Groups with fewer than ten frauds are marked as small and excluded from the
# selection.

# %% [markdown]
# ## Groups of people
#
# Unequal treatment of customers has legal consequences: may a model raise alerts for one age group
# more often than for others? Age is not a feature of the model, but habits depend on age. Evaluate
# by age group:

# %%
ages = world.customers[["customer_id", "age"]]
people = test.merge(ages, on="customer_id")
people["age group"] = pd.cut(
    people["age"], [0, 30, 45, 60, 120], right=False, labels=["18-29", "30-44", "45-59", "60+"]
).astype(str)
by_age = evaluate(people, score="trees", threshold=thresholds["trees"], by="age group")
plot_groups(by_age, "By age")

# %% [markdown]
# **What to see.** Compare the bars on each side: they overlap, so these five weeks do not show that
# any age group is treated differently. They do not show the opposite either: with so few frauds in
# each group, a difference of 10 percentage points could remain undetected. The intervals on the
# right are even too narrow, because they assume independent payments, and one traveller may cause
# ten alerts.
#
# The prevalence of fraud is a different question, and it does vary between the groups:

# %%
people.groupby("age group").agg(
    customers=("customer_id", "nunique"), payments=("is_fraud", "size"), frauds=("is_fraud", "sum")
).assign(per_1000=lambda table: (1000 * table["frauds"] / table["payments"]).round(1))

# %% [markdown]
# Some groups are victims more often than others, and with such small numbers, a single fraudster
# with one card changes the result. What to do about a difference is not a question that data can
# answer. But whether there is one, whom it concerns, and how certain it is: these questions you can
# answer, and you must.

# %% [markdown]
# ## Your turn
#
# 1. Use 10 alerts per day instead of 20. Does the logit come closer?
# 2. Evaluate by the feature `is_night`: day and night.
# 3. Combine two columns: `by=["channel", "is_weekend"]`. How many groups are small?

# %%
evaluate(test, score="trees", threshold=thresholds["trees"], by="is_night")

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `comparing_models`.

# %%
manager.drop_all_tables()
manager.close()
