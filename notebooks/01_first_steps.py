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
# In a quarter of an hour: put card payments into a database, ask for some of them again, and say
# how much of them is fraud, and how sure that is.
#
# Run the cells from top to bottom (Shift+Enter). Nothing has to be installed or switched on, and
# nobody in the data exists: the payments are simulated. The first line below makes tables easier to
# read (money with cents, rates in percent); it changes no value.

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
# ## A database of your own
#
# This is a real PostgreSQL server. It came with the package, starts when it is first used and stops
# when this notebook ends; nobody else can connect to it. The notebook works in a database of its
# own, called `first_steps`, so that nothing of yours is touched.

# %%
config = DatabaseConfig(database="first_steps", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()
manager.health_check()

# %% [markdown]
# ## Two months of payments
#
# `simulate` invents customers, merchants and what they pay each other. The same seed gives the same
# payments, so your numbers are those of your neighbour.

# %%
world = simulate(customers=300, merchants=150, days=60, seed=1)
world.transactions[["transaction_id", "customer_id", "timestamp", "amount", "is_fraud"]].head()

# %% [markdown]
# ## In: `load_df`
#
# One call for each table. Customers and merchants come first, because each payment refers to one of
# each. `on_conflict="skip"` leaves rows alone that are there already, so that you may run the cell
# twice.

# %%
load_df(world.customers, "customers", on_conflict="skip")
load_df(world.merchants, "merchants", on_conflict="skip")
load_df(world.transactions, "transactions", on_conflict="skip")

# %% [markdown]
# Every cell is checked first. If one is wrong, nothing is loaded, and the message lists all that is
# wrong, not only the first:

# %%
wrong = pd.DataFrame(
    {
        "transaction_id": ["A1", "A2", "A3"],
        "customer_id": ["C000001", "C000001", "nobody"],
        "merchant_id": world.merchants["merchant_id"].iloc[0],
        "amount": [12.5, -3.0, 12.345],
        "timestamp": pd.Timestamp("2025-02-01 10:00"),
    }
)
try:
    load_df(wrong, "transactions")
except InvalidDataError as error:
    print(error)

# %% [markdown]
# ## Out: repositories and `read_df`
#
# Each table has a repository with the questions that are asked most. Each answer is a DataFrame.

# %%
with get_db_session() as session:
    transactions = TransactionRepository(session)
    large = transactions.get_high_value_transactions(500, limit=5)
    statistics = transactions.get_statistics()
large[["transaction_id", "timestamp", "amount", "merchant_category", "is_fraud"]]

# %%
pd.DataFrame([statistics])

# %% [markdown]
# For all else there is SQL. A value goes into `params` and never into the text of the query.

# %%
read_df(
    """
    SELECT customer_id, count(*) AS payments, sum(amount) AS spent
    FROM transactions
    WHERE amount > :least
    GROUP BY customer_id
    ORDER BY spent DESC
    LIMIT 5
    """,
    {"least": 20},
)

# %% [markdown]
# ## How much of it is fraud?
#
# The fraud rate is the number of frauds divided by the number of payments of which we know whether
# they were fraud.

# %%
payments = read_df("transactions")
fraud_rate(payments)[
    ["labelled", "frauds", "fraud_clusters", "fraud_rate", "fraud_rate_low", "fraud_rate_high"]
]

# %% [markdown]
# `fraud_rate_low` and `fraud_rate_high` are its *interval*. These two months are a sample: had
# other people paid in other shops, the rate would be a little different. A 95 % interval is made to
# hold the true rate in 95 of 100 such samples. For that it must know that payments are not
# independent: one stolen card makes a dozen frauds. So `fraud_rate` counts the customers with a
# fraud, `fraud_clusters`, and the merchants, and its interval is as wide as these few ask for. In
# 200 worlds like this one, such intervals held the true rate of a category 98 times in 100, and
# that of a week 97 times; intervals that took payments as independent did so 72 and 63 times
# (`docs/fraud_rates.md` has the table).
#
# Not all payments are alike. By what was bought:

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
# `fraud_bps` weighs by value: how many of 10,000 euros were stolen. In restaurants one payment in a
# hundred is fraud, and yet 16 % of the money: the frauds are not meals of the usual price.
#
# A picture says it faster:

# %%
picture = plot_fraud_rate(by_category)

# %% [markdown]
# **What to see.** The dot is the rate and the bar its interval; the dashed line is the rate of all.
# Where two bars lie apart, the rates differ by more than chance. Here all of them overlap: two
# months of 300 customers do not tell which category is the riskiest, whatever the dots say. A
# hollow dot has a rough interval, since fewer than ten customers had a fraud there. Jewellery
# stands second from the top, with one fraud in 24 payments: its bar reaches from below the dashed
# line to beyond the picture (that is what an arrow means), and says nothing yet. Hotels show the
# same from the other side: 0 of 44 is no proof that there is no fraud.
#
# Over time, week by week; PostgreSQL counts here, and no payment leaves the database:

# %%
with get_db_session() as session:
    by_week = TransactionRepository(session).fraud_rate(every="1w")
picture = plot_fraud_rate(by_week)

# %% [markdown]
# **What to see.** The rate moves between almost nothing and one and a half in a hundred: thieves
# come in waves, and one stolen card makes a dozen frauds. The band knows that, and is wide: a line
# at the rate of all would fit into it from end to end, so that the weeks may all have been alike.
# The columns below, the payments of each week, are nearly equal, so it is not that people paid
# less. One good week proves nothing, and one bad week neither.
#
# How a card was read may matter, too:

# %%
picture = plot_fraud_rate(fraud_rate(payments, by="entry_mode"))

# %% [markdown]
# **What to see.** A card number that was typed in (`manual`) or read from a magnetic stripe is
# fraud many times as often as one whose chip was read, and these bars lie apart: that is more than
# chance. A stripe can be copied, a chip cannot. But look at the counts at the right: more frauds
# are made with a chip, for that is how most people pay. A rate says how suspicious one payment is;
# a count says how much work there is.

# %% [markdown]
# ## Your turn
#
# 1. Is a payment riskier online? Group by `is_online`, or by `channel`.
# 2. Which customers lost most? `fraud_rate(payments, by="customer_id")` has a `fraud_amount`.
# 3. Simulate a year instead of two months: do the intervals become narrower?

# %%
fraud_rate(payments, by="is_online")

# %% [markdown]
# ## Tidy up
#
# The tables stay until you drop them, so that you can go on tomorrow. This cell drops those of
# `first_steps`.

# %%
with get_db_session() as session:
    print(CustomerRepository(session).count(), "customers are in the database")

manager.drop_all_tables()
manager.close()
