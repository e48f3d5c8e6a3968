# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 03: features and leakage
#
# A feature says what was known of a payment at its moment. If it knows more, the model looks
# brilliant in the test and fails in the bank.
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

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
# ## 1. How busy is the card?
#
# **For each payment: how many payments did the customer make in the 24 hours up to it**, the
# payment itself counted?

# %% exercise="03.1"
# A column: a number for each payment, in the order of payments.
in_24_hours = window_features(payments, by="customer_id", windows=["24h"])["count_24h"]
check("03.1", in_24_hours)

# %% [markdown]
# ## 2. Is the amount unusual?
#
# **For each payment: its amount, divided by the mean of the customer's earlier amounts.** NaN for
# the customer's first payment: there is nothing before it.

# %% exercise="03.2"
# A column: a number for each payment, in the order of payments.
of_customer = payments.groupby("customer_id")["amount"]
sum_before = of_customer.cumsum() - payments["amount"]
against_usual = payments["amount"] / (sum_before / of_customer.cumcount())
check("03.2", against_usual)

# %% [markdown]
# ## 3. Find the leaks
#
# A colleague has written `build`, which makes eight features. You cannot see how. But you can try
# it: give it fewer payments, and look at what changes.

# %%
data.build(payments).head()

# %% [markdown]
# **Which of its features leak**, that is: which change for a payment when later payments are taken
# away?

# %% exercise="03.3"
# A list of names, as ["feature_1", "feature_2"].
early = payments[payments["timestamp"] < payments["timestamp"].min() + pd.Timedelta(days=30)]
with_later, without = data.build(payments).loc[early.index], data.build(early)
leaking = [
    name for name in without if not np.allclose(with_later[name], without[name], equal_nan=True)
]
check("03.3", leaking)

# %% [markdown]
# ## 4. Mend one
#
# The fraud share of a merchant is a good feature and a famous leak: it is often computed over all
# payments, also later ones, and with labels that nobody knew yet.

# %%
leaking_risk = payments["is_fraud"].astype(float).groupby(payments["merchant_id"]).transform("mean")

# %% [markdown]
# A label is known 7 days after its payment. **For each payment: the fraud share among the
# merchant's payments that are at least 7 days back.** NaN where there are none yet.

# %% exercise="03.4"
# A column: a number for each payment, in the order of payments.
always = window_features(payments, "merchant_id", "is_fraud", ["3650d"], lag="7d")
known_risk = always["mean_3650d"]
check("03.4", known_risk)

# %% [markdown]
# ## 5. What the leak promises
#
# Take both shares as scores of the payments of the last 30 days (30 dates, the last day's the
# last), 0 where the mended one is NaN.
# **What average precision does the leaking one have, and what the mended one?** The difference is
# what the leak promises, and the bank will never see.

# %% exercise="03.5"
# Two numbers from 0 to 1, (leaking, mended).
scored = payments.assign(leaking=leaking_risk, mended=known_risk.fillna(0))
last_day = scored["timestamp"].max().normalize()
late = scored[scored["timestamp"] >= last_day - pd.Timedelta(days=29)]
flattery = tuple(evaluate(late, score=s).average_precision for s in ("leaking", "mended"))
check("03.5", flattery)
