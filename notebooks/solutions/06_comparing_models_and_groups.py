# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 06: comparing models and groups
#
# A vendor offers a new model. It looks better. Is it, or were it just lucky customers? And does it
# protect those who pay online as well as those who pay in shops?
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

# %%
from synfin_analytics import compare_models, evaluate, plot_precision_recall
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("06", seed=1)
data

# %%
payments, threshold = data.payments, data.threshold
payments.head()

# %% [markdown]
# Both models scored the same payments. The cases of the last two weeks are not closed yet: these
# payments have no label.

# %%
picture = plot_precision_recall({name: evaluate(payments, score=name) for name in ("old", "new")})

# %% [markdown]
# One curve lies above the other, but not everywhere by the same.
#
# ## 1. By how much?
#
# **How much higher is the average precision of the new model?**

# %% exercise="06.1"
# A number: new minus old.
old, new = (evaluate(payments, score=name) for name in ("old", "new"))
better_by = new.average_precision - old.average_precision
check("06.1", better_by)

# %% [markdown]
# ## 2. By more than chance?
#
# The payments of a customer belong together, and both models met the same customers. **What is the
# difference of exercise 1, and its interval if customers are drawn again?** Take 1,000 draws. Other
# draws give slightly other ends, which is fine.

# %% exercise="06.2"
# Three numbers, (difference, low, high).
comparison = compare_models(payments, {"old": "old", "new": "new"}, metrics=["average_precision"])
line = comparison.to_frame().iloc[-1]
interval = (line["difference"], line["difference_low"], line["difference_high"])
check("06.2", interval)

# %% [markdown]
# If the interval holds 0, these days do not tell which model is better.
#
# ## 3. For whom?
#
# From `data.threshold` on, a score of the new model is an alert. **For each channel, what share of
# its frauds does it find**, with the Wilson interval?

# %% exercise="06.3"
# A table with the columns channel, recall, recall_low and recall_high.
grouped = evaluate(payments, score="new", threshold=threshold, by="channel")
lines = grouped.to_frame()
recall_by_channel = lines[lines["metric"] == "recall"].rename(
    columns={"value": "recall", "value_low": "recall_low", "value_high": "recall_high"}
)
check("06.3", recall_by_channel)

# %% [markdown]
# ## 4. Is that unfair, or chance?
#
# Among the channels with at least 10 frauds: **how far apart are the best recall and the worst, and
# what is the interval of that difference?** (Newcombe's, for two independent shares.)

# %% exercise="06.4"
# Three numbers, (difference, low, high).
gap = grouped.difference("recall")
check("06.4", gap)
