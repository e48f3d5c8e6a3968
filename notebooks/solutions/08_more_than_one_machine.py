# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 08: more than one machine
#
# The payments lie on five machines, a file on each. None may send its payments away, but each may
# send what it has counted. What can be answered from that?
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

# %%
import polars as pl

from synfin_analytics import evaluate, fraud_rate, proportion_interval
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("08", seed=1)
data

# %%
folder, counts = data.folder, data.counts
counts

# %% [markdown]
# The machines have unequal parts, and the last has payments whose case is not closed yet: they have
# no label.
#
# ## 1. One answer from five files
#
# **For each channel: how many frauds are there on all machines, and what is the fraud rate?** Let
# an engine go through the files, without reading them into memory first.

# %% exercise="08.1"
# A table with the columns channel, frauds and fraud_rate.
everything = pl.scan_parquet(folder / "*.parquet")
by_channel = fraud_rate(everything, by="channel")
check("08.1", by_channel)

# %% [markdown]
# ## 2. From the counts alone
#
# `data.counts` is what each machine sent. **What is the fraud rate of all together, and its Wilson
# interval?** The files are not needed for that.

# %% exercise="08.2"
# Three numbers from 0 to 1, (rate, low, high).
frauds, labelled = counts["frauds"].sum(), counts["labelled"].sum()
pooled = (frauds / labelled, *map(float, proportion_interval(frauds, labelled)))
check("08.2", pooled)

# %% [markdown]
# ## 3. Not everything adds up
#
# **How many different customers paid, over all machines?**

# %% exercise="08.3"
# A whole number.
customers = everything.select(pl.col("customer_id").n_unique()).collect().item()
check("08.3", customers)

# %% [markdown]
# ## 4. Some things do, with a thought
#
# Each machine sent the number of its payments, their amounts added up, and the squares of the
# amounts added up. **What are mean and standard deviation of all amounts?**

# %% exercise="08.4"
# Two numbers, (mean, deviation).
total = counts[["payments", "amount", "amount_squared"]].sum()
mean = total["amount"] / total["payments"]
squares = total["amount_squared"] - total["payments"] * mean**2
spread = (mean, (squares / (total["payments"] - 1)) ** 0.5)
check("08.4", spread)

# %% [markdown]
# ## 5. A model on five machines
#
# Each payment has a `score`. **What is the area under the ROC curve of all labelled payments?**

# %% exercise="08.5"
# A number from 0 to 1.
area = evaluate(everything, score="score").roc_auc
check("08.5", area)
