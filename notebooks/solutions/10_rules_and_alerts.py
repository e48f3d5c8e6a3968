# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 10: rules and their alerts
#
# A team has six rules and a model. Each alert takes time: which rules are worth it?
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

# %%
from synfin_analytics import evaluate_rules, plot_rules
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("10", seed=1)
data

# %%
payments, rules, threshold = data.payments, data.rules, data.threshold
rules

# %%
picture = plot_rules(evaluate_rules(payments, rules))

# %% [markdown]
# All of these payments have a label. Times are in UTC.
#
# ## 1. A rule of your own
#
# Write a rule for payments above 200 euros whose channel is online or mobile. **How many alerts
# does it raise, and how many of them are frauds?**

# %% exercise="10.1"
# Two numbers: (alerts, frauds).
large_remote = {"large remote": "channel IN ('online', 'mobile') AND amount > 200"}
own_rule = evaluate_rules(payments, large_remote).rules.loc[0, ["alerts", "frauds"]].tolist()
check("10.1", own_rule)

# %% [markdown]
# ## 2. What would be lost?
#
# The team wants fewer rules. **How many frauds would the six rules miss without each of them?**

# %% exercise="10.2"
# A table with the columns rule and lost_frauds.
team_rules = evaluate_rules(payments, rules, cost_per_alert=8, recovery_rate=0.6)
lost_frauds = team_rules.rules[["rule", "lost_frauds"]]
check("10.2", lost_frauds)

# %% [markdown]
# ## 3. Overlap
#
# **What share of the alerts of "night abroad" does "night" raise as well?**

# %% exercise="10.3"
# A number between 0 and 1.
pairs = team_rules.overlap.set_index(["rule", "other"])
shared_alerts = pairs.loc[("night abroad", "night"), "share_of_rule"]
check("10.3", shared_alerts)

# %% [markdown]
# ## 4. The rules that pay
#
# An alert costs 8 euros, and 60% of a caught fraud is recovered. Choose rules in the greedy order:
# each adds more net benefit than any other would, until none adds any. **What is the net benefit of
# the chosen rules together, in euros?**

# %% exercise="10.4"
# An amount in euros.
best_benefit = team_rules.greedy["net_benefit"].max()
check("10.4", best_benefit)

# %% [markdown]
# ## 5. A changed threshold
#
# A colleague wants "night" to fire above 100 euros instead of 50. **By how much does its precision
# change, and what is the 95% interval of the difference?** Customers are the clusters.

# %% exercise="10.5"
# Three numbers: (difference, low, high), new minus old.
versions = {"old": rules["night"], "new": rules["night"].replace("50", "100")}
changes = evaluate_rules(payments, versions, cluster="customer_id").compare("old", "new")
precision_row = changes.set_index("measure").loc["precision"]
precision_difference = precision_row[["difference", "difference_low", "difference_high"]].tolist()
check("10.5", precision_difference)

# %% [markdown]
# If the interval contains 0, these payments do not show that the precision changes.
#
# ## 6. Beside the model
#
# From `data.threshold` on, a score of the model is an alert. **How many frauds does each of the six
# rules catch that the model does not?**

# %% exercise="10.6"
# A table with the columns rule and frauds_only_rule.
with_model = evaluate_rules(payments, {**rules, "model": f"score >= {threshold}"})
found_by_rule_only = with_model.beside("model")[["rule", "frauds_only_rule"]]
check("10.6", found_by_rule_only)
