# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 01: first steps
#
# Replace the three dots with your answer and run the cell: `check` tells you whether the answer is
# correct and, if not, what is wrong with it. The cell below gives you a `hint`, and another one
# each time you run it. Try as often as you like. Another seed gives different data and different
# answers.

# %%
from synfin_analytics import fraud_rate, load_df, read_df
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("01", seed=1)
data

# %% [markdown]
# `start_lesson` created an empty database for these exercises, on the embedded server. Your own
# data is not affected. Look at the payments first:

# %%
payments = data.payments
payments[["transaction_id", "customer_id", "timestamp", "amount", "channel", "is_fraud"]].head()

# %% [markdown]
# ## 1. Labels arrive late
#
# This bank closes a case two weeks after the payment: as fraud if it was reported by then,
# otherwise as genuine. The most recent payments therefore have no label yet: their `is_fraud` is
# missing.
#
# Load the three tables into the database: `data.customers` into `customers`, `data.merchants` into
# `merchants`, then `payments` into `transactions`. With `on_conflict="skip"` you can run the cell
# again when the rows already exist. Then query the database: **how many transactions have no
# label?**

# %% exercise="01.1"
# An integer.
for table in ("customers", "merchants", "transactions"):
    df = payments if table == "transactions" else getattr(data, table)
    load_df(df, table, on_conflict="skip")
counts = read_df("SELECT count(*) AS n FROM transactions WHERE is_fraud IS NULL")
n_unlabelled = counts["n"].item()
check("01.1", n_unlabelled)

# %% [markdown]
# ## 2. The best customers
#
# **Which five customers spent most in payments above 20 euros, and how much did each spend?** Query
# the database for a table with `customer_id` and `spent`, the sum of these payments.

# %% exercise="01.2"
# A table with the columns customer_id and spent, and five rows.
top_five = read_df(
    """
    SELECT customer_id, sum(amount) AS spent FROM transactions
    WHERE amount > :limit GROUP BY customer_id ORDER BY spent DESC LIMIT 5
    """,
    {"limit": 20},
)
check("01.2", top_five)

# %% [markdown]
# ## 3. The fraud rate
#
# **What share of the labelled payments is fraud?** For the other payments this is not known yet.

# %% exercise="01.3"
# A number between 0 and 1.
rate = fraud_rate(payments)["fraud_rate"].item()
check("01.3", rate)

# %% [markdown]
# ## 4. Fraud rates by channel, with intervals
#
# Exclude the payments by `phone`, of which there are too few. **What is the fraud rate of each
# other channel, and its interval?** The interval must account for the fact that payments of the
# same customer or merchant are not independent. If two intervals do not overlap, the difference
# between the channels is larger than chance explains.

# %% exercise="01.4"
# A table with the columns channel, fraud_rate, fraud_rate_low and fraud_rate_high.
by_channel = fraud_rate(payments[payments["channel"] != "phone"], by="channel")
check("01.4", by_channel)

# %% [markdown]
# ## 5. By value
#
# A bank loses euros, not payments. **Per 10,000 euros paid, how many euros were lost to fraud?**
# Use labelled payments only.

# %% exercise="01.5"
# A number.
fraud_bps = fraud_rate(payments)["fraud_bps"].item()
check("01.5", fraud_bps)
