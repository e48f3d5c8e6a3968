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
# # The last weeks always look better
#
# A fraud is not known on the day of the payment: the customer must notice it and complain. Many
# frauds of last week are therefore still unknown, and every report shows that things are getting
# better. In twenty minutes you will see how large this effect is, measure how fast labels arrive,
# estimate what is still to come, and find out whether a new rule reduced fraud.

# %%
# %load_ext synfin_analytics
import os

import numpy as np
import pandas as pd

from synfin_analytics import (
    DatabaseConfig,
    TransactionRepository,
    fraud_rate,
    get_db_manager,
    get_db_session,
    load_df,
    plot_fraud_rate,
    plot_label_maturity,
    simulate,
)

# %% [markdown]
# ## A rule that seems to work
#
# The bank changed a rule on Monday, 5 May. Today is Monday, 2 June, and a colleague shows the fraud
# rate by week. `as_of` restores what was known on a day: payments before it, with the labels that
# were known by then.

# %%
config = DatabaseConfig(database="label_maturity", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=180, seed=1)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")

NEW_RULE, TODAY, MONTH_LATER = (
    pd.Timestamp(day, tz="UTC") for day in ("2025-05-05", "2025-06-02", "2025-06-30")
)
with get_db_session() as session:
    today = TransactionRepository(session).fraud_rate(every="1w", as_of=TODAY)
picture = plot_fraud_rate(today)

# %% [markdown]
# **What to see.** The rate goes up and down, as in lesson 1, and falls at the end. The rate of the
# last week is 0.3%, less than half of the overall rate. "The new rule works," says the colleague.
# The band of that week still contains the dashed line, so even these numbers do not prove it.
#
# ## The same weeks, one month later
#
# Wait four weeks, and compute the rate of the same weeks again:

# %%
with get_db_session() as session:
    later = TransactionRepository(session).fraud_rate(every="1w", as_of=MONTH_LATER)
later = later[later["timestamp"] < TODAY]  # the same weeks
both = pd.concat([today.assign(report="2 June"), later.assign(report="30 June")])
picture = plot_fraud_rate(both[both["timestamp"] >= "2025-03-03"])

# %% [markdown]
# **What to see.** The two lines are the same payments. In March they are close together; in May the
# later line is above the earlier one, most of all in the last week. No payment was added. Frauds
# became known.

# %%
counts = today[["timestamp", "transactions", "frauds"]].merge(
    later[["timestamp", "frauds"]], on="timestamp", suffixes=("_today", "_month_later")
)
counts["change"] = counts["frauds_month_later"] / counts["frauds_today"] - 1
counts.tail(8)

# %% [markdown]
# In the last week, 26 frauds became 57: more than twice as many. If nobody looks back, nobody
# notices, because next month's report will show a new last week, which looks good as well.

# %% [markdown]
# ## The triangle
#
# `label_maturity` counts the frauds of each week by the *age* of their label: 0 for a label that
# became known in the same week as the payment, 1 for the next week, and so on. By the end of age 1,
# two weeks have passed since the beginning of the week of the payment.

# %%
with get_db_session() as session:
    maturity = TransactionRepository(session).label_maturity(as_of=TODAY)
picture = plot_label_maturity(maturity, kind="heatmap")

# %% [markdown]
# **What to see.** Each row is a week, and its numbers grow from left to right as frauds become
# known. The lower right is empty, because it is in the future: what is known is a triangle. The
# last number of a grey row is the one in the report. A report compares an old week at a high age
# with a new week at age 0. A fair comparison stays within one column.
#
# A week is *mature* when it has reached the last column, the age by which 95% of the frauds are
# known, as estimated from all weeks. For these weeks, the share that was known at each age can be
# computed:

# %%
picture = plot_label_maturity(maturity)

# %% [markdown]
# **What to see.** The line is the share of the frauds that is known by the end of each age, and the
# band its confidence interval. It is wide, although there are hundreds of frauds: the frauds of a
# stolen card become known together, and those of a dishonest merchant late. The thin lines are
# single weeks: by the end of age 0, a third of the frauds are known in one of them and four fifths
# in another. What you need to remember of this plot is four numbers:

# %%
curve = maturity.curve.set_index("age").loc[[0, 1, 3, 7]]
curve.index = ["1 week", "2 weeks", "4 weeks", "8 weeks"]
curve[["frauds", "final_frauds", "share", "share_low", "share_high", "amount_share"]]

# %% [markdown]
# About half of the frauds are known at the end of their week, 80% after two weeks, and 90% after
# four. The 100% after eight weeks is not a finding: the frauds known by then are *defined* as the
# final number, and some become known even later. Compare with `amount_share`, the same by value:
# after two weeks, 68% of the money is known. Large frauds become known later than small ones, so
# that the fraud rate by value is even more incomplete.
#
# These delays are those of the simulation. At a bank where most frauds are reported by chargeback,
# half of them may take a month. Measure yours.

# %% [markdown]
# ## Nowcast
#
# If older weeks show that half of the frauds are known at age 0, then 26 known frauds suggest
# about 52. This is the *chain ladder* of insurance actuaries. `nowcast_fraud_rate` combines it with
# the level of the other weeks, because the known frauds of a single new week are few, and dividing
# them by a small share multiplies their chance variation. It also returns an interval:

# %%
with get_db_session() as session:
    nowcast = TransactionRepository(session).nowcast_fraud_rate(as_of=TODAY)
picture = plot_fraud_rate(nowcast)

# %% [markdown]
# **What to see.** The dotted line is what is known, the dashed line the estimated final rate, and
# the band its 90% *prediction interval*. To the left the lines meet: little is still to come. The
# further to the right, the wider the band. The dotted line falls at the end, the dashed line does
# not.
#
# What became known in the meantime? The simulation knows all frauds, so `final` is the truth:

# %%
final = fraud_rate(world.transactions, every="1w").set_index("timestamp")["frauds"]
columns = ["cohort", "known_frauds", "estimated_frauds"]
ends = ["estimated_frauds_low", "estimated_frauds_high"]
newest = nowcast.to_frame()[columns + ends].tail(8)
newest["month_later"] = newest["cohort"].map(later.set_index("timestamp")["frauds"])
newest["final"] = newest["cohort"].map(final)
newest["contains_final"] = newest["final"].between(newest[ends[0]], newest[ends[1]])
newest

# %% [markdown]
# All eight intervals contain the final number. But eight weeks of one day prove little, and they
# are not independent: if the delays are wrong, all are wrong. Test a forecast on more days of the
# past, here on ten Mondays, with the four newest weeks of each:

# %%
predictions = []
with get_db_session() as session:
    repository = TransactionRepository(session)
    for monday in pd.date_range(end=TODAY, periods=10, freq="7D"):
        frame = repository.nowcast_fraud_rate(as_of=monday).to_frame()
        predictions.append(frame[frame["observed_ages"].between(1, 4)])
backtest = pd.concat(predictions)
backtest["final"] = backtest["cohort"].map(final)
backtest["contained"] = backtest["final"].between(backtest[ends[0]], backtest[ends[1]])
totals = backtest.groupby("observed_ages")[["known_frauds", "estimated_frauds", "final"]].sum()
totals["error_of_known"] = totals["known_frauds"] / totals["final"] - 1
totals["error_of_nowcast"] = totals["estimated_frauds"] / totals["final"] - 1
print(f"{backtest['contained'].sum()} of {len(backtest)} intervals contain the final number")
totals

# %% [markdown]
# All forty intervals contain the final number. Of 90% intervals one would expect 36 of 40, but
# these are of one world and share most of their weeks: they are too few to tell whether the
# intervals are too wide (`docs/guide/labels.md` has the results of many simulated worlds). The
# known number of the newest week is 58% too low, the nowcast 14%. All four errors of the nowcast
# have the same sign, for the same reason: a week with many late frauds is counted on several
# Mondays. Before its labels arrive, no method knows such a week; this is what the interval is for.

# %% [markdown]
# ## Did the new rule reduce fraud?
#
# Compare eight weeks before the rule with the four weeks after it. First as the colleague did, with
# what is known today, then a month later, then with all labels:

# %%
payments = world.transactions
is_compared = payments["timestamp"].between(
    NEW_RULE - pd.Timedelta(weeks=8), TODAY, inclusive="left"
)
compared = payments[is_compared].copy()
compared["period"] = np.where(compared["timestamp"] < NEW_RULE, "before", "after")


def change(rates: pd.DataFrame, measure: str = "fraud_rate") -> float:
    """Return the relative change of the rate from before to after."""
    rate = rates.set_index("period")[measure]
    return rate["after"] / rate["before"] - 1


states = {
    name: fraud_rate(compared, by="period", as_of=day)
    for name, day in (("today", TODAY), ("a month later", MONTH_LATER), ("all labels", None))
}
pd.DataFrame(
    {
        "fraud rate": {name: change(rates) for name, rates in states.items()},
        "by value": {name: change(rates, "fraud_bps") for name, rates in states.items()},
    }
).map("{:+.0%}".format)

# %% [markdown]
# Today's numbers say that the fraud rate fell by 30% and the lost money by half. A month later the
# fall is 9%, and with all labels 2%. In fact the simulation has no rule at all: nothing changed on
# 5 May. Nearly all of the effect was labels that had not arrived.
#
# What could you have said on 2 June? One correct comparison needs no model: **compare at the same
# age.** Take the four weeks before the rule as they were known on the day when *they* were the last
# four weeks:

# %%
is_previous = compared["timestamp"].between(
    NEW_RULE - pd.Timedelta(weeks=4), NEW_RULE, inclusive="left"
)
same_age = pd.concat(
    [
        fraud_rate(compared[is_previous], by="period", as_of=NEW_RULE),
        fraud_rate(compared[compared["period"] == "after"], by="period", as_of=TODAY),
    ]
)
print(f"at the same age: {change(same_age):+.0%}")
same_age[["period", "transactions", "frauds", "fraud_rate", "fraud_rate_low", "fraud_rate_high"]]

# %% [markdown]
# At the same age the rate did not fall: it is 10% higher after the rule. Is this an effect? The
# intervals overlap widely, so these weeks do not show that it rose either. Four weeks of a thousand
# customers cannot show a small effect, at any age.
#
# Both the comparison at the same age and the nowcast assume that labels arrive as fast as before. A
# new rule can change this: if it makes the bank call customers at once, their frauds become known
# earlier, and both methods report too much fraud after the rule. And even with all labels, a
# difference between before and after may have other causes. Only a comparison with customers
# without the new rule, at the same time, excludes them.

# %% [markdown]
# ## How much history is needed?
#
# A new bank has no mature weeks. These are the nowcasts of 3 February, 10 February and 31 March:

# %%
with get_db_session() as session:
    repository = TransactionRepository(session)
    early = [
        repository.nowcast_fraud_rate(as_of=day)
        for day in ("2025-02-03", "2025-02-10", "2025-03-31")
    ]
for early_nowcast in early:
    print(early_nowcast, *early_nowcast.caveats, "", sep="\n")

# %% [markdown]
# Five weeks give no estimate, six give one. Be careful with the second: it takes three weeks as
# mature, at age 3, although the curve above shows that a tenth of the frauds comes later. Six weeks
# cannot contain a delay of seven. On 31 March late labels have arrived: no week counts as mature,
# and the caveat says that nobody knows what is still to come. Read `caveats` before you show a
# nowcast to anyone, and do not take their absence for proof.

# %% [markdown]
# ## Your turn
#
# 1. Which frauds are known early, and which late? Compute `label_maturity` with `by="channel"`, or
#    the quantiles of `label_available_at - timestamp` by `fraud_type`.
# 2. Nowcast the rate by value: the columns `known_fraud_bps` and `estimated_fraud_bps`. How many
#    weeks contain the truth?
# 3. Pretend that the rule was changed on another Monday. How often does the naive comparison find
#    an improvement?

# %%
with get_db_session() as session:
    by_channel = TransactionRepository(session).label_maturity(by="channel", as_of=TODAY)
by_channel

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `label_maturity`.

# %%
manager.drop_all_tables()
manager.close()
