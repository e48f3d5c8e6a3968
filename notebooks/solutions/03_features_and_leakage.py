# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 03: features and leakage
#
# A feature describes what was known about a payment at its time. If it knows more than that, the
# model looks excellent in the test and fails in production.
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

# %%
import numpy as np
import pandas as pd

from synfin_analytics import evaluate, window_features
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("03", seed=1)
data

# %%
payments = data.payments
payments.head()

# %% [markdown]
# ## 1. Recent activity
#
# **How many payments did the customer make in the 24 hours up to and including each payment?**

# %% exercise="03.1"
# A column: one number per payment, in the order of the payments.
count_24h = window_features(payments, by="customer_id", windows=["24h"])["count_24h"]
check("03.1", count_24h)

# %% [markdown]
# ## 2. Unusual amounts
#
# **For each payment: what is its amount divided by the mean of the customer's earlier amounts?** It
# is NaN for the first payment of a customer, which has no earlier ones.

# %% exercise="03.2"
# A column: one number per payment, in the order of the payments.
amounts = payments.groupby("customer_id")["amount"]
earlier_sum = amounts.cumsum() - payments["amount"]
amount_ratio = payments["amount"] / (earlier_sum / amounts.cumcount())
check("03.2", amount_ratio)

# %% [markdown]
# ## 3. Find the leaks
#
# A colleague wrote the function `build`, which computes eight features. You cannot see its code,
# but you can test it: pass fewer payments, and look at what changes.

# %%
data.build(payments).head()

# %% [markdown]
# **Which of its features leak**, that is, which values change when later payments are removed?

# %% exercise="03.3"
# A list of names, such as ["feature_1", "feature_2"].
early = payments[payments["timestamp"] < payments["timestamp"].min() + pd.Timedelta(days=30)]
with_later, without = data.build(payments).loc[early.index], data.build(early)
leaking = [
    name for name in without if not np.allclose(with_later[name], without[name], equal_nan=True)
]
check("03.3", leaking)

# %% [markdown]
# ## 4. Fix a leak
#
# The fraud share of a merchant is a useful feature and a common leak: it is often computed over all
# payments, including later ones, and with labels that were not known yet.

# %%
leaking_risk = payments["is_fraud"].astype(float).groupby(payments["merchant_id"]).transform("mean")

# %% [markdown]
# A label is known 7 days after its payment. **For each payment: what is the fraud share of the
# merchant's payments that are at least 7 days old?** It is NaN where there are none.

# %% exercise="03.4"
# A column: one number per payment, in the order of the payments.
history = window_features(payments, "merchant_id", "is_fraud", ["3650d"], lag="7d")
merchant_risk = history["mean_3650d"]
check("03.4", merchant_risk)

# %% [markdown]
# ## 5. What the leak promises
#
# Use both shares as scores of the payments of the last 30 days (the 30 dates up to the last one),
# with 0 where the fixed share is NaN. **What is the average precision of the leaking share, and of
# the fixed one?** The difference is what the leak promises and production does not deliver.

# %% exercise="03.5"
# Two numbers between 0 and 1: (leaking, fixed).
scored = payments.assign(leaking=leaking_risk, fixed=merchant_risk.fillna(0))
last_day = scored["timestamp"].max().normalize()
late = scored[scored["timestamp"] >= last_day - pd.Timedelta(days=29)]
average_precisions = tuple(
    evaluate(late, score=score).average_precision for score in ("leaking", "fixed")
)
check("03.5", average_precisions)
