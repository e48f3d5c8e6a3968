# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 02: fraud patterns
#
# You are the investigator. Four customers say that payments were not theirs: what happened to each?
# Then you write a rule, and find out what it is worth.
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

# %%
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("02", seed=1)
data

# %% [markdown]
# ## 1. Four customers
#
# Each of these tables begins with eight ordinary payments of a customer. Then comes a fraud, and
# what the customer paid afterwards. Distances are in kilometres.

# %%
payments, episodes = data.payments, data.episodes
episodes["A"]

# %%
episodes["B"]

# %%
episodes["C"]

# %%
episodes["D"]

# %% [markdown]
# **Which pattern is each?** No two are the same; they are among `card_testing`, `velocity_burst`,
# `impossible_travel`, `amount_spike`, `account_takeover`, `dormant_card`, `just_below_limit` and
# `night_spree`. Lesson 02 shows what each looks like.


# %% exercise="02.1"
# A dict: {"A": "…", "B": "…", "C": "…", "D": "…"}
def what_happened(rows):
    """Look at what came after the eight ordinary payments, sign by sign."""
    before, after = rows[:8], rows[8:]
    first, next_four = after.iloc[0], after[1:5]
    hours = after["timestamp"].dt.hour[:4]
    devices = after["device_id"][:2]
    below = [
        (after["amount"][:4] / limit).between(0.95, 0.9999).sum() for limit in (50, 100, 250, 500)
    ]
    if (after["amount"][:4] < 5).sum() >= 3:
        return "card_testing"
    if first["hours_since_last"] > 24 * 14:
        return "dormant_card"
    if first["distance_from_last"] / max(first["hours_since_last"], 0.01) > 900:
        return "impossible_travel"
    if max(below) >= 3:
        return "just_below_limit"
    if ((hours < 6) | (hours > 21)).all() and (next_four["hours_since_last"] < 5).sum() >= 3:
        return "night_spree"
    if devices.notna().all() and not devices.isin(before["device_id"]).any():
        return "account_takeover"
    if (next_four["hours_since_last"] < 0.6).all():
        return "velocity_burst"
    return "amount_spike"


patterns = {letter: what_happened(rows) for letter, rows in episodes.items()}
check("02.1", patterns)

# %% [markdown]
# ## 2. What it did
#
# Now the whole quarter. **For each `fraud_type`: how many payments were it, and what was lost?**

# %% exercise="02.2"
# A table with the columns fraud_type, frauds and lost.
frauds = payments[payments["is_fraud"]]
by_type = frauds.groupby("fraud_type").agg(frauds=("amount", "size"), lost=("amount", "sum"))
check("02.2", by_type)

# %% [markdown]
# ## 3. A rule
#
# Nobody travels faster than an airliner. `distance_from_last` is the distance to the customer's
# payment before, in kilometres, and `time_since_last_transaction` the time since, in seconds. **How
# many payments are farther from the one before than 900 km/h allow?**

# %% exercise="02.3"
# A whole number.
speed = payments["distance_from_last"] / (payments["time_since_last_transaction"] / 3600)
found = speed > 900
too_fast = found.sum()
check("02.3", too_fast)

# %% [markdown]
# ## 4. What the rule is worth
#
# **Of the payments that it finds, what share is fraud (of any kind)? And of the frauds of
# `impossible_travel`, what share does it find?**

# %% exercise="02.4"
# Two numbers from 0 to 1, (precision, recall).
sought = payments["fraud_type"] == "impossible_travel"
worth = (payments.loc[found, "is_fraud"].mean(), found[sought].mean())
check("02.4", worth)

# %% [markdown]
# ## 5. Where were the cards copied?
#
# The victims of `compromised_merchant` are customers whose cards were copied in one and the same
# shop, and used elsewhere later. **In which shop?** Take genuine payments with `card_present`. Of
# the shops where at least three victims had paid, it is the one with the largest share of victims
# among its customers; if two are equal, either.

# %% exercise="02.5"
# A merchant_id.
victims = payments.loc[payments["fraud_type"] == "compromised_merchant", "customer_id"].unique()
genuine = payments[payments["card_present"] & ~payments["is_fraud"]]
pairs = genuine[["merchant_id", "customer_id"]].drop_duplicates()
by_shop = pairs["customer_id"].isin(victims).groupby(pairs["merchant_id"]).agg(["sum", "mean"])
copied_at = by_shop[by_shop["sum"] >= 3]["mean"].idxmax()
check("02.5", copied_at)
