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
# # Fraud patterns: what thieves leave behind in the data
#
# A thief who has a card must do something with it, and quickly. What can be done is limited, and so
# frauds look alike: there are *patterns*. In twenty minutes you will see eleven of them, one by
# one, then let detectors search for them, and count how often these are right.
#
# A pattern tells a colleague why a payment is suspicious. A score alone does not.

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
# Four months of payments of a thousand customers, in a database of this notebook's own. All of it
# is invented, and so we know for each fraud which pattern it follows: `fraud_type` says it. In a
# bank nobody fills that column in for you.

# %%
config = DatabaseConfig(database="fraud_patterns", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, frame in world._asdict().items():
    load_df(frame, table, on_conflict="skip")
payments = read_df("SELECT * FROM transactions ORDER BY timestamp, transaction_id")
frauds = payments[payments["is_fraud"]]

(
    frauds.groupby("fraud_type")
    .agg(
        payments=("amount", "size"),
        customers=("customer_id", "nunique"),
        merchants=("merchant_id", "nunique"),
        typical_amount=("amount", "median"),
        stolen=("amount", "sum"),
    )
    .sort_values("payments", ascending=False)
)

# %% [markdown]
# Read a line as a sentence: so many payments, with the cards of so many customers, at so many
# merchants. Where payments are many more than customers, one card is used again and again. Where
# they are about equal, it is one blow and gone.
#
# Two small helpers. `victim` picks the customer from whom most was taken in one way; `portrait`
# draws what was paid with that customer's cards, with the frauds as red diamonds. The scale of
# amounts is logarithmic: each line is ten times the one below.


# %%
def victim(kind: str) -> str:
    """Return the customer with most frauds of a kind."""
    return frauds.loc[frauds["fraud_type"] == kind, "customer_id"].value_counts().idxmax()


def portrait(kind: str, before: str, after: str, ax) -> None:
    """Draw payments of a victim, from some time before the first fraud until some time after."""
    own = payments[payments["customer_id"] == victim(kind)]
    first = own.loc[own["fraud_type"] == kind, "timestamp"].min()
    shown = own[own["timestamp"].between(first - pd.Timedelta(before), first + pd.Timedelta(after))]
    in_hours = pd.Timedelta(before) < pd.Timedelta(days=7)
    unit = pd.Timedelta(hours=1 if in_hours else 24)
    when = (shown["timestamp"] - first) / unit
    fraud = shown["is_fraud"]
    ax.scatter(when[~fraud], shown["amount"][~fraud], color="#9aa5b1", label="genuine")
    ax.scatter(when[fraud], shown["amount"][fraud], color="#c8553d", marker="D", label="fraud")
    ax.set(title=kind, yscale="log", ylim=(0.3, 5000), ylabel="euros")
    ax.set_xlim(-pd.Timedelta(before) / unit, pd.Timedelta(after) / unit)
    ax.set_xlabel(f"{'hours' if in_hours else 'days'} since the first fraud")
    ax.grid(axis="y", alpha=0.3)


def portraits(kinds: dict[str, tuple[str, str]]) -> None:
    """Draw several side by side."""
    _, axes = plt.subplots(
        1, len(kinds), figsize=(4.2 * len(kinds), 3.4), layout="constrained", sharey=True
    )
    for ax, (kind, (before, after)) in zip(axes, kinds.items(), strict=True):
        portrait(kind, before, after, ax)
    axes[0].legend(loc="upper left")


# %% [markdown]
# ## Too fast
#
# A stolen card will be blocked as soon as its owner notices. So the thief hurries.
#
# 1. **Card testing.** Card numbers are sold by the thousand, and many are dead. The buyer tries
#    each with payments so small that nobody looks, seconds apart. A number that works pays for
#    something large soon after.
# 2. **Velocity burst.** A card in hand is used as often as possible before it is blocked, at one
#    merchant after another.
# 3. **Night spree.** A card stolen in the evening works until its owner wakes up: cash machines,
#    fuel, bars.

# %%
portraits(
    {
        "card_testing": ("36h", "12h"),
        "velocity_burst": ("36h", "12h"),
        "night_spree": ("36h", "12h"),
    }
)

# %% [markdown]
# **What to see.** On the left a column of diamonds of half a euro to three, so close in time that
# they stand on one line, and one high above them, two hours later. In the middle the diamonds form
# a column too, but at the height of ordinary payments: no single one is odd, only their number in
# one or two hours is. On the right they spread over some hours, and nothing but the clock tells
# them apart:

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
ax.set(
    xlabel="hour (UTC)", ylabel="share of the payments", title="When people pay, and when thieves"
)
plt.show()

# %% [markdown]
# **What to see.** Genuine payments are made by day; every payment of a spree is made before five.
# But look at the grey bars there: they are low, not absent, and there are more than a thousand
# times as many genuine payments as spree payments. An alert for each payment at night would be
# wrong nearly always.

# %% [markdown]
# ## Out of habit
#
# People are creatures of habit. A thief does not know the habits of the customer.
#
# 4. **Amount spike.** One payment of many times the usual amount, for goods that can be sold.
# 5. **Dormant card.** A card that its owner forgot in a drawer wakes up. Nobody looks at its
#    statements, so it lasts.
# 6. **Account takeover.** Somebody got hold of the password: same account, but another device, and
#    a customer who hardly ever paid online now does so all day.

# %%
portraits(
    {
        "amount_spike": ("20D", "10D"),
        "dormant_card": ("60D", "15D"),
        "account_takeover": ("20D", "10D"),
    }
)

# %% [markdown]
# **What to see.** Left: a single diamond above everything that this customer pays. Middle: an empty
# stretch of nearly six weeks, and it is not the amounts but the silence before them that gives the
# frauds away. (When the owner is back, the grey dots go on.) Right: amounts that stand out little.
# Here the devices tell more:

# %%
own = payments[payments["customer_id"] == victim("account_takeover")]
first = own.index[own["fraud_type"] == "account_takeover"][0]
around = own.loc[own.index >= own.index[own.index < first][-5:].min()].head(10)
around[["timestamp", "amount", "merchant_category", "channel", "device_id", "is_fraud"]]

# %% [markdown]
# The device of the frauds is none of those before. NULL means that there was no device: a card at a
# till, or a subscription that is charged by itself.
#
# 7. **Impossible travel.** A copied card pays in another country while its owner pays at home. No
#    aeroplane is that fast.

# %%
own = payments[payments["customer_id"] == victim("impossible_travel")]
first = own.index[own["fraud_type"] == "impossible_travel"][0]
around = own.loc[own.index >= own.index[own.index < first][-3:].min()].head(8)
around[["timestamp", "amount", "city", "distance_from_last", "entry_mode", "is_fraud"]]

# %%
in_shops = payments[payments["distance_from_last"] > 0]
hours_since = in_shops["time_since_last_transaction"] / 3600
ax = plt.figure(figsize=(8, 4), layout="constrained").add_subplot()
for kind, colour, marker in (("genuine", "#9aa5b1", "."), ("impossible_travel", "#c8553d", "D")):
    chosen = ~in_shops["is_fraud"] if kind == "genuine" else in_shops["fraud_type"] == kind
    ax.scatter(
        hours_since[chosen], in_shops["distance_from_last"][chosen],
        s=12, color=colour, marker=marker, label=kind,
    )  # fmt: skip
ax.axline((1, 900), (2, 1800), color="black", linestyle="--", label="900 km/h, an aeroplane")
ax.set(xscale="log", yscale="log", xlim=(0.01, 1000), ylim=(1, 20000))
ax.set(xlabel="hours since the payment before", ylabel="km from the place before")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# **What to see.** The dashed line is as far as an aeroplane comes. Genuine payments lie below it,
# with few exceptions, about one in 650: a partner who pays elsewhere with a card of their
# own, or the terminal of a taxi that is registered in another city. The first payment of a copied
# card lies above. Its later ones need not: from the second on, the place before is abroad as well.

# %% [markdown]
# ## Around a rule
#
# 8. **Just below the limit.** Who knows that payments from 500 euros on are checked pays 495. The
#    rule itself makes the pattern.

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
# **What to see.** Genuine amounts fall off without a gap (the small teeth are round amounts, and
# notes from cash machines). The frauds stand in narrow towers, each ending at a limit: 50, 100,
# 250, 500. Why not only the last? Because different banks, shops and terminals have different
# limits.

# %% [markdown]
# ## At merchants
#
# The last three cannot be seen in the payments of one customer. One has to turn the table round,
# and ask for each merchant.
#
# 9. **Compromised merchant.** A terminal, or its software, copies cards. The copies are used later,
#    there or elsewhere. All victims have one thing in common: where they paid before.
# 10. **Collusion ring.** Some customers and merchants work together and pass money on as payments.
# 11. **Refund abuse.** Somebody at a till pays refunds to a friend's card, for things never bought.

# %%
copied = frauds[frauds["fraud_type"] == "compromised_merchant"]
worst = copied["merchant_id"].value_counts().idxmax()
there = payments[payments["merchant_id"] == worst]
copies = there["transaction_id"].isin(copied["transaction_id"])
per_day = there.assign(day=there["timestamp"].dt.floor("D"), fraud=copies.astype(int))
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
# **What to see.** For three weeks nothing, then copied cards on most days of three weeks, then
# nothing again: the terminal was found. Even on its bad days most payments there are genuine. Over
# all four months three payments in a hundred are fraud at this merchant, over the bad weeks twelve:
# a rate of the last days shows what the long one hides. And each victim gives little, so that no
# single account looks odd:

# %%
of_victims = copied.loc[copied["merchant_id"] == worst, "customer_id"].value_counts()
print(f"{len(of_victims)} victims, {of_victims.mean():.1f} frauds each, at most {of_victims.max()}")

# %% [markdown]
# A ring, as a table: who paid whom how often.

# %%
ring = frauds[frauds["fraud_type"] == "collusion_ring"]
city = ring["city"].value_counts().idxmax()
pd.crosstab(ring.loc[ring["city"] == city, "customer_id"], ring["merchant_id"])

# %% [markdown]
# A handful of customers, two or three small merchants, and most of them paid most of these, some
# again and again. Neighbours who share a bakery would look alike, but not at some hundred euros a
# time.
#
# Now the refunds of merchants, beside what they sold:

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
# `abused` is how many of them are frauds. Most merchants have no refunds at all, and these four
# have seven to ten in a hundred payments; but shops for clothes take back five in a hundred anyway.
# What gives it away is a card that gets refunds again and again, for things it never paid.

# %% [markdown]
# ## Not everything that looks odd is fraud
#
# The simulation has honest oddities as well: customers on holiday, and a sofa or a laptop now and
# then. They are marked as anomalies, and not as frauds.

# %%
odd = payments[payments["anomaly_type"].notna()]
odd.groupby("anomaly_type").agg(
    payments=("amount", "size"),
    customers=("customer_id", "nunique"),
    typical_amount=("amount", "median"),
    far_from_home=("distance_from_home", "median"),
    frauds=("is_fraud", "sum"),
)

# %% [markdown]
# There are more of these than of frauds. That is why rules such as "abroad" or "ten times the usual
# amount" annoy so many honest customers.

# %% [markdown]
# ## Let detectors search
#
# `detect_patterns` has a detector for each of the eleven. A detector looks at the payments alone,
# never at a label: it does not know what we know.

# %%
found = detect_patterns(payments)
found

# %% [markdown]
# Each line says what was found, in words. How often is it right? Of the payments that a detector
# named, which share was fraud (*precision*)? Of the frauds of its kind, which share did it name
# (*recall*)?

# %%
named = found.transactions().merge(
    payments[["transaction_id", "is_fraud", "fraud_type", "anomaly_type"]], on="transaction_id"
)
right = named.assign(hit=named["fraud_type"] == named["pattern_type"]).groupby("pattern_type")
table = pd.DataFrame(
    {
        "named": right.size(),
        "precision": right["is_fraud"].mean(),
        "recall": right["hit"].sum() / frauds["fraud_type"].value_counts(),
        "honest oddities": right["anomaly_type"].count(),
    }
)
table.sort_values("precision", ascending=False)

# %% [markdown]
# **What to see.** Some detectors are right nearly always and find nearly all: what they look for,
# honest people hardly ever do. Others are wrong more often, and miss more: a large purchase is as
# odd as an amount spike, and a busy afternoon in the shops is as fast as a short burst. A stricter
# threshold trades one fault for the other.
#
# Beware of one more thing: these detectors and this simulation were made by the same people. Real
# thieves read books, too. docs/patterns.md tells how each detector works and how it does on data
# that it was not made for.

# %% [markdown]
# ## Keep what was found
#
# A repository stores the patterns, so that tomorrow's search knows today's. Recording the same
# again adds nothing: a pattern that is known already is brought up to date. Two that are about the
# same people in the same days become one, so there may be fewer than were found.

# %%
with get_db_session() as session:
    repository = FraudPatternRepository(session)
    print("first: ", repository.upsert(found))
    print("second:", repository.upsert(found))
    session.commit()
    severe = repository.get_by_severity("critical", limit=5)
severe[["pattern_type", "description", "detection_count", "first_detected", "confidence_score"]]

# %% [markdown]
# ## Your turn
#
# 1. Draw other portraits: `portraits` takes any of the kinds that occur with one customer.
# 2. How early would an alert have come? For `velocity_burst`, which payment of a burst is the first
#    that is odd, if you allow three payments an hour?
# 3. `detect_anomalies(payments)` searches for the honest oddities. How many of the spikes does it
#    name as well?

# %%
detect_anomalies(payments).summary()

# %% [markdown]
# ## Tidy up
#
# This drops the tables of `fraud_patterns`.

# %%
manager.drop_all_tables()
manager.close()
