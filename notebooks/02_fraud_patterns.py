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
# # Fraud patterns: the traces of fraud in the data
#
# A fraudster who has a stolen card must use it, and quickly. There are few ways to do so, and
# therefore frauds resemble each other: they form *patterns*. In twenty minutes you will see eleven
# of them one by one, run detectors that search for them, and measure how often these are right.
#
# A pattern explains to a colleague why a payment is suspicious. A score alone does not.

# %%
# %load_ext synfin_analytics
import os

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.dates import ConciseDateFormatter

from synfin_analytics import (
    DatabaseConfig,
    FraudPatternRepository,
    detect_anomalies,
    detect_patterns,
    get_db_manager,
    get_db_session,
    load_df,
    read_df,
    simulate,
)

# %% [markdown]
# The data are four months of payments of a thousand customers, in a separate database of this
# notebook. They are simulated, so the pattern of each fraud is known: it is in the column
# `fraud_type`. In a real bank, no one fills in that column for you.

# %%
config = DatabaseConfig(database="fraud_patterns", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")
payments = read_df("SELECT * FROM transactions ORDER BY timestamp, transaction_id")
frauds = payments[payments["is_fraud"]]

(
    frauds.groupby("fraud_type")
    .agg(
        payments=("amount", "size"),
        customers=("customer_id", "nunique"),
        merchants=("merchant_id", "nunique"),
        median_amount=("amount", "median"),
        total_amount=("amount", "sum"),
    )
    .sort_values("payments", ascending=False)
)

# %% [markdown]
# Each row gives the number of payments of a pattern, and the number of customers and merchants
# involved. If there are many more payments than customers, each card is used repeatedly. If there
# are about as many, each card is used once.
#
# The next cell defines two helper functions. `victim` returns the customer with the most frauds of
# a pattern; `draw_victim` draws the payments of that customer, with the frauds as red diamonds. The
# scale of the amounts is logarithmic: each grid line is ten times the one below.


# %%
def victim(pattern: str) -> str:
    """Return the customer with the most frauds of a pattern."""
    return frauds.loc[frauds["fraud_type"] == pattern, "customer_id"].value_counts().idxmax()


def draw_victim(pattern: str, before: str, after: str, ax) -> None:
    """Draw the payments of a victim, from some time before the first fraud to some time after."""
    own = payments[payments["customer_id"] == victim(pattern)]
    first = own.loc[own["fraud_type"] == pattern, "timestamp"].min()
    start, end = first - pd.Timedelta(before), first + pd.Timedelta(after)
    visible = own[own["timestamp"].between(start, end)]
    in_hours = pd.Timedelta(before) < pd.Timedelta(days=7)
    unit = pd.Timedelta(hours=1 if in_hours else 24)
    time = (visible["timestamp"] - first) / unit
    fraud = visible["is_fraud"]
    ax.scatter(time[~fraud], visible["amount"][~fraud], color="#9aa5b1", label="genuine")
    ax.scatter(time[fraud], visible["amount"][fraud], color="#c8553d", marker="D", label="fraud")
    ax.set(title=pattern, yscale="log", ylim=(0.3, 5000), ylabel="euros")
    ax.set_xlim(-pd.Timedelta(before) / unit, pd.Timedelta(after) / unit)
    ax.set_xlabel(f"{'hours' if in_hours else 'days'} since the first fraud")
    ax.grid(axis="y", alpha=0.3)


def draw_victims(periods: dict[str, tuple[str, str]]) -> None:
    """Draw a victim of each pattern side by side."""
    _, axes = plt.subplots(
        1, len(periods), figsize=(4.2 * len(periods), 3.4), layout="constrained", sharey=True
    )
    for ax, (pattern, (before, after)) in zip(axes, periods.items(), strict=True):
        draw_victim(pattern, before, after, ax)
    axes[0].legend(loc="upper left")


# %% [markdown]
# ## Unusual speed
#
# A stolen card is blocked as soon as its owner notices. The fraudster therefore acts fast.
#
# 1. **Card testing.** Card numbers are sold in bulk, and many no longer work. The buyer tests each
#    number with payments that are too small to attract attention, seconds apart. A number that
#    works is soon used for a large payment.
# 2. **Velocity burst.** A stolen card is used as often as possible before it is blocked, at one
#    merchant after another.
# 3. **Night spree.** A card stolen in the evening works until its owner wakes up: at cash machines,
#    petrol stations and bars.

# %%
draw_victims(
    {
        "card_testing": ("36h", "12h"),
        "velocity_burst": ("36h", "12h"),
        "night_spree": ("36h", "12h"),
    }
)

# %% [markdown]
# **What to see.** Left: a column of diamonds between 0.50 and 3 euros, so close in time that they
# lie on a vertical line, and one large payment two hours later. Middle: the diamonds form a column
# as well, but with ordinary amounts. No single payment is unusual, only their number in one or two
# hours is. Right: the frauds extend over several hours, and only the time of day distinguishes
# them:

# %%
hours = pd.DataFrame(
    {
        "genuine": payments.loc[~payments["is_fraud"], "timestamp"].dt.hour.value_counts(),
        "night_spree": frauds.loc[
            frauds["fraud_type"] == "night_spree", "timestamp"
        ].dt.hour.value_counts(),
    }
)
shares = (hours / hours.sum()).reindex(range(24)).fillna(0)
ax = shares.plot.bar(figsize=(8, 3), color=["#9aa5b1", "#c8553d"], width=0.8, rot=0)
ax.set(xlabel="hour (UTC)", ylabel="share of payments", title="Payments by time of day")
plt.show()

# %% [markdown]
# **What to see.** Genuine payments are made during the day; all payments of a spree are made before
# 5 am. But look at the grey bars at night: they are low, not absent, and there are more than 1,000
# times as many genuine payments as spree payments. If every payment at night raised an alert,
# nearly all alerts would be false.

# %% [markdown]
# ## Unusual behaviour
#
# People are creatures of habit. A fraudster does not know the habits of the customer.
#
# 4. **Amount spike.** One payment of many times the usual amount, for goods that can be resold.
# 5. **Dormant card.** A card that its owner has not used for a long time becomes active. No one
#    reads its statements, so the fraud remains undetected.
# 6. **Account takeover.** Someone obtained the password: the account is the same, but the device is
#    new, and a customer who hardly ever paid online now does so all day.

# %%
draw_victims(
    {
        "amount_spike": ("20D", "10D"),
        "dormant_card": ("60D", "15D"),
        "account_takeover": ("20D", "10D"),
    }
)

# %% [markdown]
# **What to see.** Left: a single diamond above all other payments of this customer. Middle: no
# payment for nearly six weeks. Not the amounts but the inactivity before them reveals the frauds.
# (When the owner is back, the grey dots continue.) Right: the amounts are hardly unusual. Here the
# devices are more informative:

# %%
own = payments[payments["customer_id"] == victim("account_takeover")]
first = own.index[own["fraud_type"] == "account_takeover"][0]
around = own.loc[own.index >= own.index[own.index < first][-5:].min()].head(10)
around[["timestamp", "amount", "merchant_category", "channel", "device_id", "is_fraud"]]

# %% [markdown]
# The device of the frauds did not occur before. NULL means that there was no device: a card payment
# in a shop, or a subscription that is charged automatically.
#
# 7. **Impossible travel.** A copied card is used in another country while its owner pays at home.
#    No aeroplane is that fast.

# %%
own = payments[payments["customer_id"] == victim("impossible_travel")]
first = own.index[own["fraud_type"] == "impossible_travel"][0]
around = own.loc[own.index >= own.index[own.index < first][-3:].min()].head(8)
around[["timestamp", "amount", "city", "distance_from_last", "entry_mode", "is_fraud"]]

# %%
in_shops = payments[payments["distance_from_last"] > 0]
hours_since = in_shops["time_since_last_transaction"] / 3600
ax = plt.figure(figsize=(8, 4), layout="constrained").add_subplot()
for group, colour, marker in (("genuine", "#9aa5b1", "."), ("impossible_travel", "#c8553d", "D")):
    selected = ~in_shops["is_fraud"] if group == "genuine" else in_shops["fraud_type"] == group
    ax.scatter(
        hours_since[selected], in_shops["distance_from_last"][selected],
        s=12, color=colour, marker=marker, label=group,
    )  # fmt: skip
ax.axline((1, 900), (2, 1800), color="black", linestyle="--", label="900 km/h, an aeroplane")
ax.set(xscale="log", yscale="log", xlim=(0.01, 1000), ylim=(1, 20000))
ax.set(xlabel="hours since the previous payment", ylabel="km from the previous payment")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# **What to see.** The dashed line is the distance that an aeroplane covers. Genuine payments are
# below it, with few exceptions, about one in 650: a partner with a second card who pays elsewhere,
# or the terminal of a taxi that is registered in another city. The first payment with a copied card
# is above the line. Its later payments may be below it: from the second one on, the previous
# payment is abroad as well.

# %% [markdown]
# ## Evading a rule
#
# 8. **Just below the limit.** A fraudster who knows that payments of 500 euros or more are reviewed
#    pays 495 euros. The rule itself creates the pattern.

# %%
limit = frauds[frauds["fraud_type"] == "just_below_limit"]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
edges = range(0, 520, 10)
axes[0].hist(payments.loc[~payments["is_fraud"], "amount"], bins=edges, color="#9aa5b1")
axes[0].set(title="genuine", yscale="log", xlabel="euros", ylabel="payments")
axes[1].hist(limit["amount"], bins=edges, color="#c8553d")
axes[1].set(title="just_below_limit", xlabel="euros")
plt.show()

# %% [markdown]
# **What to see.** The distribution of genuine amounts decreases without a gap (the small peaks are
# round amounts and cash withdrawals). The frauds form narrow peaks just below the limits 50, 100,
# 250 and 500 euros. There are several peaks because banks, shops and terminals have different
# limits.

# %% [markdown]
# ## Patterns at merchants
#
# The last three patterns are not visible in the payments of one customer. They become visible when
# you group the payments by merchant.
#
# 9. **Compromised merchant.** A terminal, or its software, copies cards. The copies are used later,
#    there or elsewhere. All victims have one thing in common: the merchant where they paid before.
# 10. **Collusion ring.** Several customers and merchants cooperate and disguise transfers as
#     payments.
# 11. **Refund abuse.** An employee refunds purchases that were never made to the card of a friend.

# %%
copied = frauds[frauds["fraud_type"] == "compromised_merchant"]
worst = copied["merchant_id"].value_counts().idxmax()
at_merchant = payments[payments["merchant_id"] == worst]
copies = at_merchant["transaction_id"].isin(copied["transaction_id"])
per_day = at_merchant.assign(day=at_merchant["timestamp"].dt.floor("D"), fraud=copies.astype(int))
per_day = per_day.groupby("day").agg(payments=("fraud", "size"), frauds=("fraud", "sum"))
per_day = per_day.reindex(pd.date_range(per_day.index.min(), per_day.index.max()), fill_value=0)
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.bar(per_day.index, per_day["payments"], color="#9aa5b1", width=1, label="all payments")
ax.bar(per_day.index, per_day["frauds"], color="#c8553d", width=1, label="with copied cards")
ax.set(title=f"Payments at {worst} by day", ylabel="payments")
ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
plt.show()

# %% [markdown]
# **What to see.** There are no frauds for the first three weeks, then copied cards on most days of
# three weeks, then none again: the terminal was found. Even in these weeks most payments at the
# merchant are genuine. Over all four months 3% of the payments there are fraud, over the three
# weeks 12%: a recent rate shows what a long-term rate hides. Each victim has few frauds, so no
# single account is conspicuous:

# %%
per_victim = copied.loc[copied["merchant_id"] == worst, "customer_id"].value_counts()
print(
    f"{len(per_victim)} victims, {per_victim.mean():.1f} frauds per victim, "
    f"at most {per_victim.max()}"
)

# %% [markdown]
# A ring as a table: how often each customer paid at each merchant.

# %%
ring = frauds[frauds["fraud_type"] == "collusion_ring"]
city = ring["city"].value_counts().idxmax()
pd.crosstab(ring.loc[ring["city"] == city, "customer_id"], ring["merchant_id"])

# %% [markdown]
# There is a small group of customers and two or three small merchants. Most of the customers paid
# at most of the merchants, some of them repeatedly. Neighbours who buy at the same bakery would
# look similar, but they would not pay several hundred euros each time.
#
# Now the refunds of the merchants, compared with their sales:

# %%
refunds = payments.assign(refund=payments["transaction_type"] == "refund").groupby("merchant_id")
refunds = refunds.agg(
    category=("merchant_category", "first"), payments=("refund", "size"), refunds=("refund", "sum")
)
refunds["refunds_per_100"] = 100 * refunds["refunds"] / refunds["payments"]
abused = frauds.loc[frauds["fraud_type"] == "refund_abuse", "merchant_id"].value_counts()
refunds["abused"] = abused.reindex(refunds.index).fillna(0).astype(int)
refunds.sort_values("abused", ascending=False).head(6)

# %% [markdown]
# `abused` is the number of fraudulent refunds. Most merchants have no refunds at all. At these four
# merchants, refunds are between 7% and 10% of the payments, but at clothing shops 5% is normal. The
# sign of abuse is a card that receives refunds repeatedly, for purchases that were never made.

# %% [markdown]
# ## Not everything unusual is fraud
#
# The simulation also contains genuine anomalies: customers on holiday, and now and then a sofa or a
# laptop. They are labelled as anomalies, not as frauds.

# %%
anomalies = payments[payments["anomaly_type"].notna()]
anomalies.groupby("anomaly_type").agg(
    payments=("amount", "size"),
    customers=("customer_id", "nunique"),
    median_amount=("amount", "median"),
    distance_from_home=("distance_from_home", "median"),
    frauds=("is_fraud", "sum"),
)

# %% [markdown]
# There are more anomalies than frauds. Rules such as "abroad" or "ten times the usual amount"
# therefore affect many genuine customers.

# %% [markdown]
# ## Run the detectors
#
# `detect_patterns` has a detector for each of the eleven patterns. A detector uses only the
# payments, never a label: it does not know `fraud_type`.

# %%
detected = detect_patterns(payments)
detected

# %% [markdown]
# Each row describes one detected case. How often are the detectors right? *Precision* is the share
# of the payments selected by a detector that are fraud; *recall* is the share of the frauds of its
# pattern that it selects.

# %%
selected = detected.transactions().merge(
    payments[["transaction_id", "is_fraud", "fraud_type", "anomaly_type"]], on="transaction_id"
)
is_hit = selected["fraud_type"] == selected["pattern_type"]
by_pattern = selected.assign(hit=is_hit).groupby("pattern_type")
table = pd.DataFrame(
    {
        "selected": by_pattern.size(),
        "precision": by_pattern["is_fraud"].mean(),
        "recall": by_pattern["hit"].sum() / frauds["fraud_type"].value_counts(),
        "genuine anomalies": by_pattern["anomaly_type"].count(),
    }
)
table.sort_values("precision", ascending=False)

# %% [markdown]
# Some detectors have high precision and high recall: genuine customers hardly ever behave in the
# way that they look for. Others have more false alerts and miss more frauds: a large purchase
# resembles an amount spike, and an afternoon of shopping resembles a short burst. A stricter
# threshold improves precision at the expense of recall.
#
# One more caveat: these detectors and this simulation have the same authors. Real fraudsters adapt.
# `docs/guide/patterns.md` explains how each detector works and how well it does on data that it was
# not designed for.

# %% [markdown]
# ## Store the results
#
# A repository stores the detected patterns, so that tomorrow's run can extend today's. Storing the
# same patterns again adds nothing: an existing pattern is updated. Two patterns of the same people
# in the same days are merged, so there may be fewer stored patterns than detected ones.

# %%
with get_db_session() as session:
    repository = FraudPatternRepository(session)
    print("first: ", repository.upsert(detected))
    print("second:", repository.upsert(detected))
    session.commit()
    severe = repository.get_by_severity("critical", limit=5)
severe[["pattern_type", "description", "detection_count", "first_detected", "confidence_score"]]

# %% [markdown]
# ## Your turn
#
# 1. Draw victims of other patterns: `draw_victims` accepts any pattern that concerns a single
#    customer.
# 2. How early would an alert have been raised? For `velocity_burst`, which payment of a burst is
#    the first unusual one if you allow three payments per hour?
# 3. `detect_anomalies(payments)` searches for the genuine anomalies. How many of the amount spikes
#    does it select as well?

# %%
detect_anomalies(payments).summary()

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `fraud_patterns`.

# %%
manager.drop_all_tables()
manager.close()
