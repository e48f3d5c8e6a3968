# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 08: more than one machine
#
# The payments are stored on five machines, one file on each. The machines must not transfer their
# payments, but they may transfer counts. What can you compute from these?
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

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
# The machines have different numbers of payments, and the last one has payments whose case is not
# closed yet: they have no label.
#
# ## 1. One result from five files
#
# **How many frauds are there in each channel on all machines, and what is the fraud rate?** Use an
# engine that scans the files without reading them into memory first.

# %% exercise="08.1"
# A table with the columns channel, frauds and fraud_rate.
payments = pl.scan_parquet(folder / "*.parquet")
by_channel = fraud_rate(payments, by="channel")
check("08.1", by_channel)

# %% [markdown]
# ## 2. From the counts alone
#
# `data.counts` contains what each machine transferred. **What is the fraud rate of all machines
# together, and its Wilson interval?** You do not need the files for this.

# %% exercise="08.2"
# Three numbers between 0 and 1: (rate, low, high).
frauds, labelled = counts["frauds"].sum(), counts["labelled"].sum()
pooled_rate = (frauds / labelled, *map(float, proportion_interval(frauds, labelled)))
check("08.2", pooled_rate)

# %% [markdown]
# ## 3. Not everything can be summed
#
# **How many distinct customers paid, over all machines?**

# %% exercise="08.3"
# An integer.
n_customers = payments.select(pl.col("customer_id").n_unique()).collect().item()
check("08.3", n_customers)

# %% [markdown]
# ## 4. Some statistics follow from sums
#
# Each machine transferred the number of its payments, the sum of their amounts, and the sum of the
# squared amounts. **What are the mean and the standard deviation of all amounts?**

# %% exercise="08.4"
# Two numbers: (mean, std).
total = counts[["payments", "amount", "amount_squared"]].sum()
mean = total["amount"] / total["payments"]
squared_deviations = total["amount_squared"] - total["payments"] * mean**2
mean_and_std = (mean, (squared_deviations / (total["payments"] - 1)) ** 0.5)
check("08.4", mean_and_std)

# %% [markdown]
# ## 5. Evaluate a model on five machines
#
# Each payment has a `score`. **What is the area under the ROC curve of all labelled payments?**

# %% exercise="08.5"
# A number between 0 and 1.
roc_auc = evaluate(payments, score="score").roc_auc
check("08.5", roc_auc)
