# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 05: thresholds, costs and alert budgets
#
# A model gives each payment a score. The threshold decides which payments are reviewed, and depends
# on the available staff and on costs.
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

# %%
from synfin_analytics import evaluate, plot_cost, plot_thresholds
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("05", seed=1)
data

# %%
validation, test = data.validation, data.test
validation.head()

# %% [markdown]
# The two periods follow each other. Thresholds are chosen on `validation`, where all labels are
# known; their results are reported on `test`, for days that were not used to choose them. All of
# these payments have a label.

# %%
picture = plot_thresholds(evaluate(validation, score="score"))

# %% [markdown]
# A lower threshold raises more alerts: recall increases and precision decreases.
#
# ## 1. A team of two
#
# Two people can review 12 alerts per day. **What is the lowest threshold on `validation` that
# raises at most 12 alerts per day, on average over its days?** The lowest one, because every alert
# that the team has time for may be a fraud.

# %% exercise="05.1"
# A score.
n_days = validation["timestamp"].dt.date.nunique()
budget_threshold = evaluate(validation, score="score").threshold_for_alerts(12 * n_days)
check("05.1", budget_threshold)

# %% [markdown]
# ## 2. Costs
#
# Reviewing an alert costs 6 euros. When a fraud is detected, half of its value is recovered; when
# it is missed, everything is lost. **Which threshold is the cheapest on `validation`?**

# %% exercise="05.2"
# A score.
on_validation = evaluate(validation, score="score", amount="amount")
cheapest_threshold = on_validation.best_threshold(cost_per_alert=6, recovery_rate=0.5)
check("05.2", cheapest_threshold)

# %% [markdown]
# ## 3. The actual cost
#
# On the payments on which it was chosen, the result of a threshold is optimistic. **What does the
# threshold of exercise 2 cost on `test`, in euros?**

# %% exercise="05.3"
# An amount in euros.
on_test = evaluate(test, score="score", amount="amount")
costs = on_test.cost_curve(cost_per_alert=6, recovery_rate=0.5)
cost_on_test = costs.loc[costs["threshold"] >= float(cheapest_threshold), "cost"].iloc[-1]
check("05.3", cost_on_test)

# %% [markdown]
# ## 4. Ten calls per day
#
# The team calls customers: each day the ten with the highest score of that day. A customer who
# turns out to be a victim gets a new card and is not called again. **On `test`, what share of the
# ten calls of a day reaches a victim, on average over the days?** (card precision@10)

# %% exercise="05.4"
# A number between 0 and 1.
card_precision = on_test.card_precision_at_k(10, entity="customer_id").value
check("05.4", card_precision)

# %% [markdown]
# ## 5. At another bank
#
# Another bank wants to use the model with the threshold of exercise 2, but there one payment in
# 1,000 is fraud. **What precision can it expect** if recall and false positive rate are the same as
# on `test`?

# %% exercise="05.5"
# A number between 0 and 1.
precision_elsewhere = on_test.at_threshold(cheapest_threshold).precision_at_prevalence(0.001)
check("05.5", precision_elsewhere)
