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
# # Do these rules earn their alerts?
#
# Most fraud teams work with rules: short conditions that someone wrote after an incident. Each
# rule raises alerts, each alert costs time, and rules are rarely tested against each other. In
# twenty minutes you will write rules in SQL, measure them with intervals, and find out what each
# adds to the others.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows, one core is fastest

from synfin_analytics import (
    DatabaseConfig,
    evaluate_rules,
    fit_baseline,
    get_db_manager,
    load_df,
    plot_rule_benefit,
    plot_rule_decay,
    plot_rule_overlap,
    plot_rules,
    read_df,
    simulate,
)

# %%
config = DatabaseConfig(database="rules_and_alerts", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")
payments = read_df("SELECT * FROM transactions ORDER BY transaction_id")

# %% [markdown]
# ## Rules
#
# A rule is a name and a condition, in the SQL of PostgreSQL. It uses only columns of one payment:
# what was known when the payment arrived. Times are in UTC.

# %%
rules = {
    "keyed or swiped": "entry_mode IN ('manual', 'magstripe')",
    "keyed or swiped at night": (
        "entry_mode IN ('manual', 'magstripe') AND EXTRACT(hour FROM timestamp) < 5"
    ),
    "night": "EXTRACT(hour FROM timestamp) < 5 AND amount > 50",
    "night abroad": "country <> 'BE' AND EXTRACT(hour FROM timestamp) < 6",
    "large online": "is_online AND amount > 300",
    "just below 500": "amount BETWEEN 470 AND 499.99",
    "four in an hour": "transactions_last_hour >= 4",
    "round amount": "amount >= 100 AND amount % 50 = 0",
    "merchant M000057": "merchant_id = 'M000057'",
    "online jewellery": "is_online AND merchant_category = 'jewellery'",
}
COSTS = {"cost_per_alert": 5, "recovery_rate": 0.8}
evaluation = evaluate_rules(payments, rules, **COSTS)
evaluation

# %%
picture = plot_rules(evaluation)

# %% [markdown]
# **What to see.** Each dot is a rule; the lines are its intervals, which account for several
# alerts of one customer or merchant. Half of the alerts of *keyed or swiped at night* are fraud:
# the highest precision of all. It has only 26 alerts, so its interval is wide, from 24% to 76%.
# *Keyed or swiped* has the highest recall, 22%. *Online jewellery* never fired: either there is
# no such fraud, or the condition is wrong. Here there is no such payment.
#
# No rule is good in both measures. That is normal: a rule looks for one kind of fraud, and recall
# compares it with all kinds.
#
# ## What a rule adds
#
# Precision is a property of a rule alone. The question is another one: *what would be lost
# without it?*

# %%
columns = [
    "rule",
    "alerts",
    "frauds",
    "precision",
    "net_benefit",
    "lost_frauds",
    "lost_net_benefit",
]
evaluation.rules[columns].round(3)

# %% [markdown]
# **Net benefit** is the value of the frauds caught that is recovered, less the cost of the
# alerts: 80% and 5 euros here. The columns that begin with "lost" count only payments on which no
# other rule fires. *Keyed or swiped at night*, the most precise rule, loses nothing: all 13 of
# its frauds are caught by other rules. It can be deleted without any change.
#
# *Four in an hour* catches 102 frauds that no other rule does, and still its lost net benefit is
# negative: these frauds are small, 38 euros on average. The number only contains the amounts of
# the payments themselves. If small payments test a stolen card and a large one follows, stopping
# the card early is worth more than this table says. Keep this in mind before you delete a rule.
#
# ## Overlap

# %%
picture = plot_rule_overlap(evaluation)

# %% [markdown]
# **What to see.** Each column is a set of rules that fire together, and no other rule does. The
# tallest columns have one dot: most alerts come from one rule alone. Where dots are joined,
# several rules raise an alert for the same payment, and the share of fraud, the dark part, tends
# to be higher.

# %%
pairs = evaluation.overlap.set_index(["rule", "other"])
pairs.loc[[("night abroad", "night"), ("keyed or swiped at night", "keyed or swiped")]]

# %% [markdown]
# *Night abroad* shares 23% of its alerts with *night*, but 54 of its 83 frauds: what remains to
# it are mostly false alerts. Its net benefit alone is positive; what it adds is negative.
#
# ## Which rules to keep
#
# Start with the rule of the highest net benefit, add the one that adds most to it, and go on
# until no rule adds anything.

# %%
picture = plot_rule_benefit(evaluation)

# %% [markdown]
# **What to see.** Four of the ten rules are chosen. Hatched, below the line, are the rules that
# add no net benefit to these. Two of them, *night abroad* and *four in an hour*, would have a
# positive net benefit alone.
#
# Two caveats. This order is not always the best set. And the rules were chosen on the same
# payments on which their net benefit is computed, so that it is optimistic: evaluate the chosen
# ones on later payments, as in lesson 5.
#
# ## A rule that decays
#
# *Merchant M000057* was written after an incident: card data were copied there. Is the rule still
# useful? Look at each week:

# %%
picture = plot_rule_decay(evaluation, rules=["merchant M000057", "keyed or swiped", "night"])

# %% [markdown]
# **What to see.** *Keyed or swiped* finds fraud in every week. Of the frauds of *merchant
# M000057*, 31 of 34 are in four consecutive weeks; since then it has fired more than 60 times in
# nearly every week, and found 2 frauds. Over the whole period its precision of 2.7% hides this.
# In single weeks there are few frauds, so do not judge a rule by one bad week:

# %%
weeks = evaluation.by_period
at_merchant = weeks[weeks["rule"] == "merchant M000057"]
at_merchant[["period", "alerts", "frauds", "precision", "precision_low", "precision_high"]]

# %% [markdown]
# The interval of most weeks without fraud reaches 15% or more. No single week shows that the rule
# is useless; the last ten together say more.
#
# ## A changed threshold
#
# Would *night* be better from 100 euros on? Evaluate both versions on the same payments.

# %%
versions = {"night, 50": rules["night"], "night, 100": rules["night"].replace("50", "100")}
changes = evaluate_rules(payments, versions, **COSTS).compare("night, 50", "night, 100")
changes

# %% [markdown]
# The new version has fewer alerts, a higher precision and a lower recall, and the intervals of
# these differences do not contain 0. For net benefit the interval does contain 0: these payments
# do not show which version is better. Compare with the intervals of the two precisions: they
# overlap, although the difference is significant. Both versions share many payments, so the
# difference is more certain than either precision.
#
# ## Rules beside a model
#
# A model at a threshold is one more rule. A simple model is trained on the first half of the
# payments; on the second half it may raise 20 alerts per day.

# %%
scores = fit_baseline(world.transactions, train_fraction=0.5).predictions.to_pandas()
scores = scores[["transaction_id", "fraud_probability"]]
scored = payments.merge(scores, on="transaction_id")
n_days = scored["timestamp"].dt.date.nunique()
threshold = scored["fraud_probability"].nlargest(20 * n_days).iloc[-1]
chosen = ["large online", "keyed or swiped", "just below 500", "night", "four in an hour"]
with_model = evaluate_rules(
    scored,
    {name: rules[name] for name in chosen} | {"model": f"fraud_probability >= {threshold}"},
    **COSTS,
)
beside = with_model.beside("model")
beside[["rule", "frauds_both", "frauds_only_rule", "frauds_only_other", "value_only_rule"]]

# %%
picture = plot_rule_benefit(with_model)

# %% [markdown]
# **What to see.** The model comes first and has the highest net benefit. It misses 68 of the 97
# frauds of *keyed or swiped*, which therefore adds most to it. *Large online*, the best rule
# above, finds 2 frauds that the model misses: beside this model it is nearly redundant. The value
# of a rule depends on what else is running, so evaluate rules and models together.
#
# The threshold was chosen on the payments on which it is evaluated: its alerts per day are
# exactly those that were allowed. In production they vary, see lesson 5.

# %% [markdown]
# ## Your turn
#
# 1. Write a rule of your own and add it to `rules`. What does it add to the others?
# 2. Let an alert cost 20 euros. Which rules remain?
# 3. Change the threshold of *large online* to 200. Is the new version better?

# %%
evaluate_rules(payments, rules, cost_per_alert=20, recovery_rate=0.8).greedy

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `rules_and_alerts`.

# %%
manager.drop_all_tables()
manager.close()
