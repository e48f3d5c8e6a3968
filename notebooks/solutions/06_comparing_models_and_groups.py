# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 06: comparing models and groups
#
# A vendor offers a new model. It looks better. Is it, or is the difference due to chance? And does
# it protect customers who pay online as well as those who pay in shops?
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

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
# One curve is above the other, but the distance varies.
#
# ## 1. How large is the difference?
#
# **By how much is the average precision of the new model higher?**

# %% exercise="06.1"
# A number: new minus old.
old, new = (evaluate(payments, score=name) for name in ("old", "new"))
difference = new.average_precision - old.average_precision
check("06.1", difference)

# %% [markdown]
# ## 2. Is it larger than chance?
#
# The payments of a customer are not independent, and both models scored the same customers. **What
# is the difference of exercise 1, and its interval when customers are resampled?** Use 1,000
# resamples. Other resamples give slightly different ends, which is fine.

# %% exercise="06.2"
# Three numbers: (difference, low, high).
comparison = compare_models(payments, {"old": "old", "new": "new"}, metrics=["average_precision"])
row = comparison.to_frame().iloc[-1]
difference_interval = (row["difference"], row["difference_low"], row["difference_high"])
check("06.2", difference_interval)

# %% [markdown]
# If the interval contains 0, these days do not show which model is better.
#
# ## 3. Recall by channel
#
# From `data.threshold` on, a score of the new model is an alert. **What share of the frauds of each
# channel does it detect**, with the Wilson interval?

# %% exercise="06.3"
# A table with the columns channel, recall, recall_low and recall_high.
grouped = evaluate(payments, score="new", threshold=threshold, by="channel")
metrics = grouped.to_frame()
recall_by_channel = metrics[metrics["metric"] == "recall"].rename(
    columns={"value": "recall", "value_low": "recall_low", "value_high": "recall_high"}
)
check("06.3", recall_by_channel)

# %% [markdown]
# ## 4. Unfair or chance?
#
# Consider the channels with at least 10 frauds. **What is the difference between the best and the
# worst recall, and the interval of that difference?** (Newcombe's, for two independent shares.)

# %% exercise="06.4"
# Three numbers: (value, low, high).
recall_gap = grouped.difference("recall")
check("06.4", recall_gap)
