# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 02: fraud patterns
#
# You are the investigator. Four customers report payments that they did not make: what happened to
# each of them? Then you write a rule and evaluate it.
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

# %%
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("02", seed=1)
data

# %% [markdown]
# ## 1. Four customers
#
# Each of these tables starts with eight ordinary payments of a customer. Then follows a fraud, and
# the customer's payments after it. Distances are in kilometres.

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
# **Which pattern is each of them?** All four are different. The candidates are `card_testing`,
# `velocity_burst`, `impossible_travel`, `amount_spike`, `account_takeover`, `dormant_card`,
# `just_below_limit` and `night_spree`. Lesson 02 shows what each of them looks like.


# %% exercise="02.1"
# A dict: {"A": "…", "B": "…", "C": "…", "D": "…"}
def identify(rows):
    """Test the payments after the eight ordinary ones for the sign of each pattern."""
    before, after = rows[:8], rows[8:]
    first, next_four = after.iloc[0], after[1:5]
    hours = after["timestamp"].dt.hour[:4]
    devices = after["device_id"][:2]
    n_below_limit = [
        (after["amount"][:4] / limit).between(0.95, 0.9999).sum() for limit in (50, 100, 250, 500)
    ]
    if (after["amount"][:4] < 5).sum() >= 3:
        return "card_testing"
    if first["hours_since_last"] > 24 * 14:
        return "dormant_card"
    if first["distance_from_last"] / max(first["hours_since_last"], 0.01) > 900:
        return "impossible_travel"
    if max(n_below_limit) >= 3:
        return "just_below_limit"
    if ((hours < 6) | (hours > 21)).all() and (next_four["hours_since_last"] < 5).sum() >= 3:
        return "night_spree"
    if devices.notna().all() and not devices.isin(before["device_id"]).any():
        return "account_takeover"
    if (next_four["hours_since_last"] < 0.6).all():
        return "velocity_burst"
    return "amount_spike"


patterns = {letter: identify(rows) for letter, rows in episodes.items()}
check("02.1", patterns)

# %% [markdown]
# ## 2. The losses
#
# Now consider the whole quarter. **How many payments are of each `fraud_type`, and how much was
# lost?**

# %% exercise="02.2"
# A table with the columns fraud_type, frauds and lost.
frauds = payments[payments["is_fraud"]]
by_type = frauds.groupby("fraud_type").agg(frauds=("amount", "size"), lost=("amount", "sum"))
check("02.2", by_type)

# %% [markdown]
# ## 3. A rule
#
# Nobody travels faster than an airliner. `distance_from_last` is the distance to the customer's
# previous payment in kilometres, and `time_since_last_transaction` is the time since then in
# seconds. **How many payments are farther from the previous one than a speed of 900 km/h allows?**

# %% exercise="02.3"
# An integer.
speed = payments["distance_from_last"] / (payments["time_since_last_transaction"] / 3600)
is_too_fast = speed > 900
n_too_fast = is_too_fast.sum()
check("02.3", n_too_fast)

# %% [markdown]
# ## 4. Evaluate the rule
#
# **What share of the payments that the rule selects is fraud (of any type)? And what share of the
# `impossible_travel` frauds does it select?**

# %% exercise="02.4"
# Two numbers between 0 and 1: (precision, recall).
is_target = payments["fraud_type"] == "impossible_travel"
precision_recall = (payments.loc[is_too_fast, "is_fraud"].mean(), is_too_fast[is_target].mean())
check("02.4", precision_recall)

# %% [markdown]
# ## 5. Where were the cards copied?
#
# The victims of `compromised_merchant` are customers whose cards were copied at the same merchant,
# and used elsewhere later. **Which merchant is it?** Use genuine payments with `card_present`. Of
# the merchants where at least three victims had paid, it is the one with the highest share of
# victims among its customers; if several are equal, any of them.

# %% exercise="02.5"
# A merchant_id.
victims = payments.loc[payments["fraud_type"] == "compromised_merchant", "customer_id"].unique()
genuine = payments[payments["card_present"] & ~payments["is_fraud"]]
pairs = genuine[["merchant_id", "customer_id"]].drop_duplicates()
is_victim = pairs["customer_id"].isin(victims)
by_merchant = is_victim.groupby(pairs["merchant_id"]).agg(["sum", "mean"])
compromised_merchant = by_merchant[by_merchant["sum"] >= 3]["mean"].idxmax()
check("02.5", compromised_merchant)
