# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 05: thresholds, costs and alert budgets
#
# A model gives each payment a score. Somebody has to decide from which score on a payment is looked
# at: that is the threshold, and it is a question of people and money.
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

# %%
from synfin_analytics import evaluate, plot_cost, plot_thresholds
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("05", seed=1)
data

# %%
validation, test = data.validation, data.test
validation.head()

# %% [markdown]
# The two periods follow each other. On `validation` a threshold may be chosen, with all that is
# known there; on `test` we report what it gives in days that it has not seen. All of these payments
# have a label.

# %%
picture = plot_thresholds(evaluate(validation, score="score"))

# %% [markdown]
# The further to the left, the more alerts: recall grows, and precision falls.
#
# ## 1. A team of two
#
# Two people can look at 12 alerts a day. **What is the lowest threshold on `validation` that raises
# at most 12 alerts a day, on average over its days?** The lowest, because each alert that the team
# has time for may be a fraud.

# %% exercise="05.1"
# A score.
days = validation["timestamp"].dt.date.nunique()
for_budget = evaluate(validation, score="score").threshold_for_alerts(12 * days)
check("05.1", for_budget)

# %% [markdown]
# ## 2. What it costs
#
# To look at an alert costs 6 euros. When a fraud is caught, half of its value comes back; when it
# is missed, all of it is lost. **Which threshold is the cheapest on `validation`?**

# %% exercise="05.2"
# A score.
model = evaluate(validation, score="score", amount="amount")
cheapest = model.best_threshold(cost_per_alert=6, recovery_rate=0.5)
check("05.2", cheapest)

# %% [markdown]
# ## 3. What it really costs
#
# On the rows on which it was chosen, a threshold flatters. **What does the threshold of exercise 2
# cost on `test`, in euros?**

# %% exercise="05.3"
# A number of euros.
tested = evaluate(test, score="score", amount="amount")
costs = tested.cost_curve(cost_per_alert=6, recovery_rate=0.5)
cost_on_test = costs.loc[costs["threshold"] >= float(cheapest), "cost"].iloc[-1]
check("05.3", cost_on_test)

# %% [markdown]
# ## 4. Ten calls a day
#
# The team calls customers: each day the ten with the highest score of that day. Who has been found
# to be a victim gets a new card, and is not called again. **On `test`, what share of the ten calls
# of a day reaches a victim, on average over the days?** (card precision@10)

# %% exercise="05.4"
# A number from 0 to 1.
hits_a_day = tested.card_precision_at_k(10, entity="customer_id").value
check("05.4", hits_a_day)

# %% [markdown]
# ## 5. At another bank
#
# Another bank wants the same model with the threshold of exercise 2, but there one payment in 1,000
# is fraud. **What precision can it expect**, if recall and false-positive rate are those of `test`?

# %% exercise="05.5"
# A number from 0 to 1.
at_the_other_bank = tested.at_threshold(cheapest).precision_at_prevalence(0.001)
check("05.5", at_the_other_bank)
