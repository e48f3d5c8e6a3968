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
# # Thresholds, costs and alert budgets
#
# A model assigns scores. Someone must decide from which score on a payment is stopped, or a
# customer is called. This decision depends on costs and on the available staff, and the model
# cannot make it. In a quarter of an hour you will make it in three ways: by a rate, by cost, and by
# the number of alerts that a team can review. You will also see why a threshold must be chosen on
# one period and evaluated on another.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows, one core is fastest

import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from synfin_analytics import (
    DatabaseConfig,
    ModelPredictionRepository,
    engineer_features,
    get_db_manager,
    get_db_session,
    load_df,
    plot_cost,
    plot_thresholds,
    simulate,
    time_split,
)

# %% [markdown]
# ## A model with two months of predictions
#
# The model is gradient-boosted trees as in lesson 4, trained on payments up to the middle of
# February. Its scores for March and April are stored in the database.

# %%
config = DatabaseConfig(database="thresholds_and_costs", data_dir=os.getenv("DB_DATA_DIR"))
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
    rows, train="45d", label_delay="14d", test="61d", label_available_at="label_available_at"
)
sample = split.train[split.train["is_fraud"] | (split.train.index % 10 == 0)]
model = HistGradientBoostingClassifier(
    max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
)
weight = sample["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
model.fit(sample[names].astype(float), sample["is_fraud"].astype(bool), weight)
score = model.predict_proba(split.test[names].astype(float))[:, 1]
predictions = pd.DataFrame(
    {
        "transaction_id": split.test["transaction_id"],
        "model_name": "trees",
        "model_version": "1.0",
        "prediction": score >= 0.5,
        "fraud_probability": score,
        "ground_truth": split.test["is_fraud"],
    }
)
load_df(predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# The rule of this lesson: **choose on March, evaluate on April.** Both evaluations are of the same
# model, on the payments of each month. `amount=True` also computes the amounts of money. `end` is
# exclusive.

# %%
with get_db_session() as session:
    repository = ModelPredictionRepository(session)
    march = repository.evaluate("trees", "1.0", amount=True, end="2025-04-01")
    april = repository.evaluate("trees", "1.0", amount=True, start="2025-04-01")
months = {"March": march, "April": april}
pd.DataFrame(
    {
        month: evaluation.summary().set_index("metric")["value"]
        for month, evaluation in months.items()
    }
)

# %% [markdown]
# ## The effect of a threshold

# %%
picture = plot_thresholds(march)

# %% [markdown]
# **What to see.** From right to left the threshold decreases: more frauds are detected (recall
# rises), more alerts are false (precision falls), and below, the share of payments that raise an
# alert grows. On the far right there are so few alerts that the band of the precision is wide. The
# curves cross somewhere, but the crossing has no special meaning. The dashed line marks 0.5, the
# default of most software, which is not a reasoned choice: there, recall is only one eighth.
#
# ## By a rate
#
# Suppose the bank has committed to stop at most 2 of 1,000 genuine payments: a *false positive
# rate* of 0.002.

# %%
curve = march.curve()
allowed = curve[curve["false_positive_rate"] <= 0.002].iloc[-1]
by_rate = float(allowed["threshold"])
print(f"threshold {by_rate:.3f}: detects {march.recall_at_fpr(0.002):.0%} of the frauds of March")

# %% [markdown]
# This criterion is easy to state and to verify, but it ignores the cost of fraud.
#
# ## By cost
#
# There are two costs. An alert takes the time of an analyst and the patience of a customer: suppose
# 5 euros. A missed fraud costs its amount. A detected fraud is not recovered in full, because some
# of the money has already gone: suppose 80% is recovered. Then each threshold has a cost.

# %%
COST_PER_ALERT, RECOVERY_RATE = 5.0, 0.8
picture = plot_cost(march.cost_curve(COST_PER_ALERT, RECOVERY_RATE))

# %% [markdown]
# **What to see.** On the right there are no alerts, and all fraud is lost. Towards the left less
# fraud is lost, and alerts cost more. The minimum of the sum is marked, far to the left: a fraud
# costs much more than an alert, so it pays to review payments of which most are genuine. The
# details around the minimum are not visible at this scale. Zoom in:

# %%
picture = plot_cost(
    march.cost_curve(COST_PER_ALERT, RECOVERY_RATE), title="Cost by threshold, near the minimum"
)
_ = picture.set(xlim=(0, 0.05), ylim=(0, 70_000))

# %% [markdown]
# **What to see.** Between 0.006 and 0.015 the cost is nearly constant: the second digit of the
# threshold hardly matters. To the left the cost rises steeply, because every payment raises an
# alert. To the right there is a step, where a few large frauds are missed. The position of such a
# step is due to chance, so do not choose a threshold at the edge of the flat part.

# %%
by_cost = march.best_threshold(COST_PER_ALERT, RECOVERY_RATE)
print(by_cost)


# %% [markdown]
# How much do the assumptions matter? With other costs per alert, other thresholds are best:


# %%
def evaluate_at(evaluation, threshold) -> dict[str, float]:
    """Return the results of a threshold at the costs of this lesson."""
    at_threshold = evaluation.at_threshold(threshold)
    costs = at_threshold.cost_curve(COST_PER_ALERT, RECOVERY_RATE)
    cost = costs.loc[costs["threshold"] >= float(threshold), "cost"].iloc[-1]
    return {
        "alerts": at_threshold.alerts,
        "precision": at_threshold.precision,
        "recall": at_threshold.recall,
        "cost in euros": cost,
    }


thresholds = {
    f"{cost} euros per alert": march.best_threshold(cost, RECOVERY_RATE)
    for cost in (1, 2, 5, 10, 20, 50)
}
pd.DataFrame(
    {
        "threshold": [float(threshold) for threshold in thresholds.values()],
        "alerts": [march.at_threshold(threshold).alerts for threshold in thresholds.values()],
        "recall": [march.at_threshold(threshold).recall for threshold in thresholds.values()],
    },
    index=thresholds,
)

# %% [markdown]
# The cheaper an alert, the more alerts are worthwhile. If the cost is unknown, show this table to
# the person responsible for the budget and let them choose.
#
# ## By a budget
#
# A team can review at most twenty alerts per day. Choose the threshold that gives this number:

# %%
DAYS = 31
by_budget = march.threshold_for_alerts(20 * DAYS)
print(by_budget)

# %% [markdown]
# This threshold gives twenty alerts per day *on average*. The number varies by day:

# %%
scored = predictions.merge(rows[["transaction_id", "timestamp"]], on="transaction_id")
in_march = scored["timestamp"] < pd.Timestamp("2025-04-01", tz="UTC")
alerts = scored[in_march & (scored["fraud_probability"] >= float(by_budget))]
per_day = alerts.groupby(alerts["timestamp"].dt.date).size()
print(f"{per_day.mean():.0f} per day: from {per_day.min()} to {per_day.max()}, on half of the days "
      f"from {per_day.quantile(0.25):.0f} to {per_day.quantile(0.75):.0f}")  # fmt: skip

# %% [markdown]
# On a busy day, some alerts wait until tomorrow, and the fraud continues. A team that reviews a
# ranked list from the top each day needs no threshold at all: the metric for such a list is
# *precision at k*.

# %%
with get_db_session() as session:
    april_rows = ModelPredictionRepository(session).evaluate("trees", "1.0", start="2025-04-01")
    print(april_rows.precision_at_k(20))
    print(april_rows.card_precision_at_k(20))

# %% [markdown]
# The upper result counts payments, the lower one cards: a detected card is blocked and is not
# listed again. The maximum is what a perfect ranking would achieve.
#
# ## Evaluation on April
#
# All thresholds were chosen on March. What are their results on April, which was not used to choose
# them?

# %%
choices = {"default of 0.5": 0.5, "by rate": by_rate, "by cost": by_cost, "by budget": by_budget}
table = pd.DataFrame(
    {
        (name, month): evaluate_at(evaluation, threshold)
        for name, threshold in choices.items()
        for month, evaluation in months.items()
    }
).T
table.astype({"alerts": int})

# %% [markdown]
# Compare the rows of each threshold. The results on April are similar, but not equal: frauds differ
# from month to month. The budget of twenty alerts per day became thirteen, because fewer payments
# had high scores; in another month it might be thirty. The threshold with the lowest cost is the
# best of all on March *by construction*. Its cost on March is therefore optimistic, and only the
# cost on April may be reported. The package records where a threshold was chosen, and adds a note:

# %%
for month, evaluation in months.items():
    print(month, "·", evaluation.at_threshold(by_cost).summary().loc[0, "note"] or "(no note)")

# %% [markdown]
# How close is the cost on April to the lowest possible cost there?

# %%
costs = april.cost_curve(COST_PER_ALERT, RECOVERY_RATE)["cost"]
cost = evaluate_at(april, by_cost)["cost in euros"]
print(
    f"no alerts {costs.iloc[0]:,.0f}, threshold of March {cost:,.0f}, "
    f"best with hindsight {costs.min():,.0f} euros"
)

# %% [markdown]
# The cost is close to the lowest possible one: the cost curve is flat around its minimum, so a
# well-chosen threshold of one month is still good in the next.

# %% [markdown]
# ## Your turn
#
# 1. Your bank recovers only 40% of a detected fraud. Which threshold is best, and how many alerts
#    does it raise?
# 2. If the team could review forty alerts per day instead of twenty, how much would the additional
#    alerts save, and what would they cost?
# 3. Draw `plot_cost` for April. Is the minimum in the same place?

# %%
picture = plot_cost(april.cost_curve(COST_PER_ALERT, 0.4))

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `thresholds_and_costs`.

# %%
manager.drop_all_tables()
manager.close()
