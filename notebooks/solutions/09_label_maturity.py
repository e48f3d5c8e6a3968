# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 09: the last weeks always look better
#
# Some frauds of the last weeks are not known yet. How many, and does a rule that was changed four
# weeks ago really help?
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

# %%
import pandas as pd

from synfin_analytics import fraud_rate, label_maturity, nowcast_fraud_rate, plot_fraud_rate
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("09", seed=1)
data

# %%
payments, today, new_rule = data.payments, data.today, data.new_rule
payments.head()

# %% [markdown]
# The data go on for four weeks after `today`, and have all labels, so that you can compare with
# what became known later. `label_available_at` is the time at which a label became known.

# %%
picture = plot_fraud_rate(fraud_rate(payments, every="1w", as_of=today))

# %% [markdown]
# This is what is known today.
#
# ## 1. Known today
#
# **What is the fraud rate of the last four weeks before `today`, with the labels known today?**

# %% exercise="09.1"
# A number between 0 and 1.
last_weeks = payments[payments["timestamp"] >= today - pd.Timedelta(weeks=4)]
known_rate = fraud_rate(last_weeks, as_of=today)["fraud_rate"].iloc[0]
check("09.1", known_rate)

# %% [markdown]
# ## 2. After one, two, four and eight weeks
#
# Take weeks that are mature today at age 8. **What share of their frauds was known one, two, four
# and eight weeks after the beginning of the week of the payment?**

# %% exercise="09.2"
# Four numbers between 0 and 1.
maturity = label_maturity(payments, as_of=today, mature_age=8)
known_shares = maturity.curve.set_index("age").loc[[0, 1, 3, 7], "share"].tolist()
check("09.2", known_shares)

# %% [markdown]
# ## 3. By channel
#
# **What share of the frauds of each channel was known after two weeks?** Again for weeks that are
# mature today at age 8.

# %% exercise="09.3"
# A table with the columns channel and share.
curve = label_maturity(payments, by="channel", as_of=today, mature_age=8).curve
share_by_channel = curve.loc[curve["age"] == 1, ["channel", "share"]]
check("09.3", share_by_channel)

# %% [markdown]
# ## 4. Chain ladder
#
# **How many frauds of the last week before `today` will there be in the end, according to the chain
# ladder?**

# %% exercise="09.4"
# A number of frauds, not rounded.
nowcast = nowcast_fraud_rate(payments, as_of=today)
final_frauds = nowcast.to_frame()["chain_ladder_frauds"].iloc[-1]
check("09.4", final_frauds)

# %% [markdown]
# ## 5. How wrong?
#
# Use the defaults of `nowcast_fraud_rate`, and sum the last four weeks. **By which part is the
# known number of frauds too low (negative) or too high, and the nowcast?** The truth is the number
# of frauds with all labels.

# %% exercise="09.5"
# Two numbers: (known, nowcast), such as -0.2 for 20% too low.
recent = nowcast.to_frame().tail(4)
is_recent = payments["timestamp"].between(today - pd.Timedelta(weeks=4), today, inclusive="left")
final = payments.loc[is_recent, "is_fraud"].sum()
errors = (recent["known_frauds"].sum() / final - 1, recent["estimated_frauds"].sum() / final - 1)
check("09.5", errors)

# %% [markdown]
# ## 6. At the same age
#
# The rule was changed on `new_rule`, four weeks before `today`. **By which part did the fraud rate
# change**, from the four weeks before the rule to the four weeks after it, if both are compared at
# the same age of their labels?

# %% exercise="09.6"
# A number, such as -0.1 for a fall by 10%.
before = payments[payments["timestamp"] >= new_rule - pd.Timedelta(weeks=4)]
after = payments[payments["timestamp"] >= new_rule]
rate_before = fraud_rate(before, as_of=new_rule)["fraud_rate"].iloc[0]
rate_after = fraud_rate(after, as_of=today)["fraud_rate"].iloc[0]
change = rate_after / rate_before - 1
check("09.6", change)
