# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 01: first steps
#
# Put your answer where the three dots are and run the cell: `check` says whether it is right, and
# if not, what is wrong with it. The cell below it has a `hint`, and a further one each time. Try as
# often as you like. Your data are yours: another seed gives other numbers.

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
# ## 1. Labels come late
#
# This bank closes a case two weeks after the payment: fraud if it was reported by then, else
# genuine. So the youngest payments have no label yet: their `is_fraud` is missing.
#
# Load the three tables into the database: `data.customers` into `customers`, `data.merchants` into
# `merchants`, then `payments` into `transactions`. `on_conflict="skip"` lets you run the cell a
# second time, when the rows are there already. Then ask the database: **how many transactions have
# no label?**

# %% exercise="01.1"
# A whole number.
for table in ("customers", "merchants", "transactions"):
    frame = payments if table == "transactions" else getattr(data, table)
    load_df(frame, table, on_conflict="skip")
counted = read_df("SELECT count(*) AS n FROM transactions WHERE is_fraud IS NULL")
unlabelled = counted["n"].item()
check("01.1", unlabelled)

# %% [markdown]
# ## 2. The best customers
#
# **Which five customers spent most in payments above 20 euros, and how much?** Ask the database:
# a table with `customer_id` and `spent`, the sum of these payments.

# %% exercise="01.2"
# A table with the columns customer_id and spent, five rows.
top_five = read_df(
    """
    SELECT customer_id, sum(amount) AS spent FROM transactions
    WHERE amount > :least GROUP BY customer_id ORDER BY spent DESC LIMIT 5
    """,
    {"least": 20},
)
check("01.2", top_five)

# %% [markdown]
# ## 3. The fraud rate
#
# **What share of the labelled payments is fraud?** Of the others nobody can tell yet.

# %% exercise="01.3"
# A number from 0 to 1.
rate = fraud_rate(payments)["fraud_rate"].item()
check("01.3", rate)

# %% [markdown]
# ## 4. By channel, and how sure
#
# Leave out the payments by `phone`, which are too few. **For each other channel: its fraud rate,
# and its interval**, which must allow for payments of one customer or merchant belonging together.
# Where two intervals lie apart, the channels differ by more than chance.

# %% exercise="01.4"
# A table with the columns channel, fraud_rate, fraud_rate_low and fraud_rate_high.
by_channel = fraud_rate(payments[payments["channel"] != "phone"], by="channel")
check("01.4", by_channel)

# %% [markdown]
# ## 5. By value
#
# A bank loses euros, not payments. **Of 10,000 euros that were paid, how many were stolen?** Take
# labelled payments only.

# %% exercise="01.5"
# A number.
stolen = fraud_rate(payments)["fraud_bps"].item()
check("01.5", stolen)
