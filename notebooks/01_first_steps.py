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
# # First steps: from a DataFrame to a fraud rate
#
# In a quarter of an hour you load card payments into a database, query them, and compute how many
# of them are fraud, with confidence intervals.
#
# Run the cells from top to bottom (Shift+Enter). There is nothing to install or to configure, and
# all persons are fictitious: the payments are simulated. The first line below formats tables (money
# with cents, rates in percent); it does not change any value.

# %%
# %load_ext synfin_analytics
import os

import pandas as pd

from synfin_analytics import (
    CustomerRepository,
    DatabaseConfig,
    InvalidDataError,
    TransactionRepository,
    fraud_rate,
    get_db_manager,
    get_db_session,
    load_df,
    plot_fraud_rate,
    read_df,
    simulate,
)

# %% [markdown]
# ## Your own database
#
# This is a real PostgreSQL server. It comes with the package, starts on first use and stops when
# this notebook ends; no one else can connect to it. The notebook uses a separate database named
# `first_steps`, so that your own data is not affected.

# %%
config = DatabaseConfig(database="first_steps", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()
manager.health_check()

# %% [markdown]
# ## Two months of payments
#
# `simulate` generates customers, merchants and payments. The same seed gives the same payments, so
# you see the same numbers as everyone else.

# %%
world = simulate(customers=300, merchants=150, days=60, seed=1)
world.transactions[["transaction_id", "customer_id", "timestamp", "amount", "is_fraud"]].head()

# %% [markdown]
# ## Load DataFrames with `load_df`
#
# Call it once per table. Customers and merchants come first, because each payment refers to one of
# each. With `on_conflict="skip"`, existing rows are kept unchanged, so you can run the cell again.

# %%
load_df(world.customers, "customers", on_conflict="skip")
load_df(world.merchants, "merchants", on_conflict="skip")
load_df(world.transactions, "transactions", on_conflict="skip")

# %% [markdown]
# Every cell is validated first. If any value is invalid, nothing is loaded, and the message lists
# all problems, not only the first one:

# %%
invalid = pd.DataFrame(
    {
        "transaction_id": ["A1", "A2", "A3"],
        "customer_id": ["C000001", "C000001", "nobody"],
        "merchant_id": world.merchants["merchant_id"].iloc[0],
        "amount": [12.5, -3.0, 12.345],
        "timestamp": pd.Timestamp("2025-02-01 10:00"),
    }
)
try:
    load_df(invalid, "transactions")
except InvalidDataError as error:
    print(error)

# %% [markdown]
# ## Query with repositories and `read_df`
#
# Each table has a repository with the most common queries. Each result is a DataFrame.

# %%
with get_db_session() as session:
    transactions = TransactionRepository(session)
    large = transactions.get_high_value_transactions(500, limit=5)
    statistics = transactions.get_statistics()
large[["transaction_id", "timestamp", "amount", "merchant_category", "is_fraud"]]

# %%
pd.DataFrame([statistics])

# %% [markdown]
# For everything else there is SQL. Pass values as parameters; never insert them into the text of
# the query.

# %%
read_df(
    """
    SELECT customer_id, count(*) AS payments, sum(amount) AS spent
    FROM transactions
    WHERE amount > :min_amount
    GROUP BY customer_id
    ORDER BY spent DESC
    LIMIT 5
    """,
    {"min_amount": 20},
)

# %% [markdown]
# ## The fraud rate
#
# The fraud rate is the number of frauds divided by the number of labelled payments, that is, of
# payments for which it is known whether they were fraud.

# %%
payments = read_df("transactions")
fraud_rate(payments)[
    ["labelled", "frauds", "fraud_clusters", "fraud_rate", "fraud_rate_low", "fraud_rate_high"]
]

# %% [markdown]
# `fraud_rate_low` and `fraud_rate_high` are the ends of a *confidence interval*. These two months
# are a sample: if other people had paid in other shops, the rate would be slightly different. A 95%
# interval is designed to contain the true rate in 95 of 100 such samples. To achieve this, it must
# account for the fact that payments are not independent: one stolen card causes a dozen frauds.
# `fraud_rate` therefore counts the customers with a fraud (`fraud_clusters`) and the merchants, and
# widens its interval accordingly. In 200 simulated worlds like this one, such intervals contained
# the true rate of a category in 98% of cases and that of a week in 97%; intervals that assume
# independent payments did so in 72% and 63% (`docs/explanation/intervals.md` explains the method).
#
# Payments differ. By merchant category:

# %%
by_category = fraud_rate(payments, by="merchant_category")
columns = [
    "merchant_category",
    "labelled",
    "frauds",
    "fraud_clusters",
    "fraud_rate",
    "fraud_rate_low",
    "fraud_rate_high",
]
by_category[[*columns, "fraud_bps"]]

# %% [markdown]
# `fraud_bps` is weighted by value: the euros lost per 10,000 euros paid. In restaurants, 1% of the
# payments are fraud, but 16% of the money: these frauds are much larger than the usual bill.
#
# A plot shows this faster:

# %%
picture = plot_fraud_rate(by_category)

# %% [markdown]
# **What to see.** The dot is the rate and the bar its interval; the dashed line is the overall
# rate. If two bars do not overlap, the difference between the rates is larger than chance explains.
# Here all bars overlap: two months of 300 customers do not show which category is the riskiest,
# whatever the dots suggest. A hollow dot marks an unreliable interval, because fewer than ten
# customers had a fraud in the category. Jewellery has the second-highest rate, from one fraud in 24
# payments: its bar extends from below the dashed line to beyond the plot (this is what the arrow
# means) and is not informative yet. Hotels show the opposite case: 0 of 44 does not prove that
# there is no fraud.
#
# Over time, week by week. PostgreSQL aggregates the counts, and no payment leaves the database:

# %%
with get_db_session() as session:
    by_week = TransactionRepository(session).fraud_rate(every="1w")
picture = plot_fraud_rate(by_week)

# %% [markdown]
# **What to see.** The rate varies between almost 0 and 1.5%: fraud comes in waves, because one
# stolen card causes a dozen frauds. The band accounts for this and is wide: a horizontal line at
# the overall rate would lie within it everywhere, so the true rate may have been the same in all
# weeks. The columns below show the number of payments per week. They are nearly equal, so the
# variation is not due to fewer payments. One good week proves nothing, and neither does one bad
# week.
#
# The way a card was read may matter, too:

# %%
picture = plot_fraud_rate(fraud_rate(payments, by="entry_mode"))

# %% [markdown]
# **What to see.** The fraud rate of payments with a typed card number (`manual`) or a magnetic
# stripe is many times that of chip payments, and these bars do not overlap: the difference is
# larger than chance explains. A stripe can be copied, a chip cannot. But look at the counts on the
# right: more frauds use the chip, because most payments do. A rate shows how suspicious a single
# payment is; a count shows how much work there is.

# %% [markdown]
# ## Your turn
#
# 1. Are online payments riskier? Group by `is_online`, or by `channel`.
# 2. Which customers lost most? `fraud_rate(payments, by="customer_id")` has a column
#    `fraud_amount`.
# 3. Simulate a year instead of two months: do the intervals become narrower?

# %%
fraud_rate(payments, by="is_online")

# %% [markdown]
# ## Tidy up
#
# The tables remain until you drop them, so that you can continue tomorrow. This cell drops the
# tables of `first_steps`.

# %%
with get_db_session() as session:
    print(CustomerRepository(session).count(), "customers are in the database")

manager.drop_all_tables()
manager.close()
