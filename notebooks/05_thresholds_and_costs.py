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
# A model gives scores. Somebody must decide from which score on a payment is stopped, or a customer
# is called. That is a decision about money and people, and no model can take it. In a quarter of an
# hour you will take it in three ways: by a rate, by cost, and by how many alerts a team can look
# at; and you will see why a threshold must be chosen on one period and judged on another.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows one core is fastest

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
# ## A model that has worked for two months
#
# Trees as in lesson 4, trained on payments until the middle of February. Their scores for March and
# April are in the database.

# %%
config = DatabaseConfig(database="thresholds_and_costs", data_dir=os.getenv("DB_DATA_DIR"))
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
    rows, train="45d", label_delay="14d", test="61d", label_available_at="label_available_at"
)
kept = split.train[split.train["is_fraud"] | (split.train.index % 10 == 0)]
model = HistGradientBoostingClassifier(
    max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
)
weight = kept["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
model.fit(kept[names].astype(float), kept["is_fraud"].astype(bool), weight)
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
# The rule of this lesson: **choose in March, judge in April.** The two evaluations are of the same
# model, on payments of these months. `amount=True` adds up the money as well.

# %%
with get_db_session() as session:
    repository = ModelPredictionRepository(session)
    march = repository.evaluate("trees", "1.0", amount=True, end="2025-03-31")
    april = repository.evaluate("trees", "1.0", amount=True, start="2025-04-01")
pd.DataFrame(
    {one: evaluation.summary().set_index("metric")["value"]
     for one, evaluation in (("March", march), ("April", april))}
)  # fmt: skip

# %% [markdown]
# ## What a threshold does

# %%
picture = plot_thresholds(march)

# %% [markdown]
# **What to see.** From right to left the threshold sinks: more frauds are found (recall rises),
# more alerts are wrong (precision falls), and below, the share of payments that become alerts
# grows. On the far right alerts are so few that the band of the precision is all one can say. The
# lines cross somewhere; nothing recommends that place. And 0.5, where the dashed line stands, is
# where software begins, and no decision: seven in eight frauds are missed there.
#
# ## By a rate
#
# Suppose the bank has promised that of a thousand honest payments at most two are stopped: a
# *false-positive rate* of 0.002.

# %%
curve = march.curve()
allowed = curve[curve["false_positive_rate"] <= 0.002].iloc[-1]
by_rate = float(allowed["threshold"])
print(f"threshold {by_rate:.3f}: finds {march.recall_at_fpr(0.002):.0%} of the frauds of March")

# %% [markdown]
# Simple to promise, simple to check. But it does not ask what a fraud costs.
#
# ## By cost
#
# Two prices. An alert costs the time of whoever looks at it, and the patience of a customer: say 5
# euros. A fraud that is not found costs its amount. One that is found is not saved entirely, for
# some of the money has gone: say 80 % is saved. Then each threshold has a cost.

# %%
COST_PER_ALERT, SAVED = 5.0, 0.8
picture = plot_cost(march.cost_curve(COST_PER_ALERT, SAVED))

# %% [markdown]
# **What to see.** On the right there are no alerts, and all fraud is lost. Towards the left less
# fraud is lost, and alerts begin to cost. The lowest place of the sum is marked, far to the left: a
# fraud costs much more than an alert, so it pays to look at payments of which most are honest. What
# happens around the mark cannot be seen at this scale. So come nearer:

# %%
picture = plot_cost(
    march.cost_curve(COST_PER_ALERT, SAVED), title="Cost by threshold, near the best"
)
_ = picture.set(xlim=(0, 0.05), ylim=(0, 70_000))

# %% [markdown]
# **What to see.** Between 0.006 and 0.015 the floor is nearly flat: the second digit of a threshold
# is not worth a quarrel. Left of it stands a wall, where every payment becomes an alert. Right of
# it is a step: there a few large frauds slip through. Where such a step lies is chance, and a
# reason not to go to the edge of the flat part.

# %%
by_cost = march.best_threshold(COST_PER_ALERT, SAVED)
print(by_cost)


# %% [markdown]
# How much do the guesses matter? Other prices, other thresholds:


# %%
def month(evaluation, threshold) -> dict[str, float]:
    """Say what a threshold did in a month, at the prices of this lesson."""
    one = evaluation.at_threshold(threshold)
    costs = one.cost_curve(COST_PER_ALERT, SAVED)
    here = costs[costs["threshold"] >= float(threshold)].iloc[-1]
    return {
        "alerts": one.alerts,
        "precision": one.precision,
        "recall": one.recall,
        "euros lost": here["cost"],
    }


lines = {
    f"{price} euros per alert": march.best_threshold(price, SAVED)
    for price in (1, 2, 5, 10, 20, 50)
}
pd.DataFrame(
    {
        "threshold": [float(best) for best in lines.values()],
        "alerts": [march.at_threshold(best).alerts for best in lines.values()],
        "recall": [march.at_threshold(best).recall for best in lines.values()],
    },
    index=lines,
)

# %% [markdown]
# The cheaper an alert, the more of them pay. If you do not know the price, show this table to
# whoever pays, and let them choose the line.
#
# ## By a budget
#
# A team can look at twenty alerts a day, and not at more. So take the twenty highest scores of a
# day:

# %%
DAYS = 31
by_budget = march.threshold_for_alerts(20 * DAYS)
print(by_budget)

# %% [markdown]
# That threshold gives twenty a day *on average*. Days differ:

# %%
scored = predictions.merge(rows[["transaction_id", "timestamp"]], on="transaction_id")
in_march = scored["timestamp"] < pd.Timestamp("2025-04-01", tz="UTC")
alerts = scored[in_march & (scored["fraud_probability"] >= float(by_budget))]
a_day = alerts.groupby(alerts["timestamp"].dt.date).size()
print(f"{a_day.mean():.0f} a day: from {a_day.min()} to {a_day.max()}, on most days "
      f"{a_day.quantile(0.25):.0f} to {a_day.quantile(0.75):.0f}")  # fmt: skip

# %% [markdown]
# On a busy day some alerts wait until tomorrow, and with them the thief. A team that works through
# a list from the top each day needs no threshold at all: its measure is the *precision at k*.

# %%
with get_db_session() as session:
    april_rows = ModelPredictionRepository(session).evaluate("trees", "1.0", start="2025-04-01")
    print(april_rows.precision_at_k(20))
    print(april_rows.card_precision_at_k(20))

# %% [markdown]
# The first is of payments, the second of cards: a card that was found is blocked and does not come
# back. In brackets is what a perfect list would reach.
#
# ## Judged in April
#
# All these thresholds were chosen on March. What did they do in April, which nobody had seen?

# %%
chosen = {"software's 0.5": 0.5, "by rate": by_rate, "by cost": by_cost, "by budget": by_budget}
table = pd.DataFrame(
    {
        (name, when): month(evaluation, threshold)
        for name, threshold in chosen.items()
        for when, evaluation in (("March", march), ("April", april))
    }
).T
table.astype({"alerts": int})

# %% [markdown]
# Compare the two lines of each threshold. What it does in April is near, and not equal: frauds
# differ from month to month. The budget of twenty alerts a day became thirteen, since fewer
# payments looked suspicious; another April it might be thirty. And the threshold of the lowest cost
# was the best of all for March *by construction*. So its cost in March flatters, and only April's
# may be promised to anybody. The package remembers where a threshold was chosen, and says so:

# %%
for name, evaluation in (("March", march), ("April", april)):
    print(name, "·", evaluation.at_threshold(by_cost).summary().loc[0, "note"] or "(no remark)")

# %% [markdown]
# How far is April's cost from the best that a threshold could have done there?

# %%
best = april.cost_curve(COST_PER_ALERT, SAVED)["cost"].min()
own = month(april, by_cost)["euros lost"]
nothing = april.cost_curve(COST_PER_ALERT, SAVED)["cost"].iloc[0]
print(
    f"no alerts {nothing:,.0f}, March's threshold {own:,.0f}, best in hindsight {best:,.0f} euros"
)

# %% [markdown]
# Nearly as good as hindsight: the floor of the cost is flat, and a threshold that was chosen well
# in one month lies on it in the next.

# %% [markdown]
# ## Your turn
#
# 1. Your bank saves only 40 % of a fraud that is found. Which threshold, and how many alerts?
# 2. A team of forty alerts a day instead of twenty: what do the additional twenty save, and what do
#    they cost?
# 3. Draw `plot_cost` for April. Is the lowest place the same?

# %%
picture = plot_cost(april.cost_curve(COST_PER_ALERT, 0.4))

# %% [markdown]
# ## Tidy up
#
# This drops the tables of `thresholds_and_costs`.

# %%
manager.drop_all_tables()
manager.close()
