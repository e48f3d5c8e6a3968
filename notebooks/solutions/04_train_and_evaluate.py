# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 04: train, predict, store and evaluate
#
# A model is judged on days that it has not seen, with labels that were known by then, and against
# chance.
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

# %%
from synfin_analytics import (
    ModelPredictionRepository,
    fit_baseline,
    get_db_session,
    load_df,
    plot_precision_recall,
    proportion_interval,
    read_df,
    time_split,
)
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("04", seed=1)
data

# %%
payments = data.payments
payments.select("transaction_id", "timestamp", "amount", "is_fraud", "label_available_at").tail()

# %% [markdown]
# This bank closes a case six days after the payment. Younger payments have no label yet.
#
# ## 1. Cut by time
#
# Train on 28 days, wait 7 days for their labels, test on the 14 days after: the test ends with the
# last day. **How many rows are there to train on, and to test on?** Leave cards out of the test
# that were known to be compromised by then, as the bank would have blocked them.

# %% exercise="04.1"
# Two whole numbers, (train, test).
split = time_split(payments, train="28d", label_delay="7d", test="14d")
rows = (len(split.train), len(split.test))
check("04.1", rows)

# %% [markdown]
# ## 2. Predict and store
#
# `fit_baseline(payments)` trains a simple model on the first part of the period and predicts
# the last. **Store its predictions in the table `model_predictions`. How many are there, and how
# many say fraud?** Ask the database. (`on_conflict="update"` lets you store them a second time.)

# %% exercise="04.2"
# Two whole numbers, (stored, alerts).
model = fit_baseline(payments)
load_df(model.predictions, "model_predictions", on_conflict="update")
found = read_df("SELECT count(*) AS n, sum(prediction::int) AS alerts FROM model_predictions")
counted = (found["n"].item(), found["alerts"].item())
check("04.2", counted)

# %% [markdown]
# ## 3. What it is worth
#
# The model is stored as `baseline`, version `1.0`. **What are its precision and recall at its own
# threshold?** Payments whose label is not known yet count neither way.

# %% exercise="04.3"
# Two numbers from 0 to 1, (precision, recall).
with get_db_session() as session:
    predictions = ModelPredictionRepository(session)
    evaluation = predictions.evaluate("baseline", "1.0", threshold=model.threshold)
quality = (evaluation.precision, evaluation.recall)
check("04.3", quality)

# %% [markdown]
# ## 4. Against chance
#
# **How many times as high as that of chance is the average precision?** Chance gives every payment
# of the test the same score.

# %% exercise="04.4"
# A number.
times_chance = evaluation.average_precision / evaluation.baseline("average_precision")
check("04.4", times_chance)

# %% [markdown]
# ## 5. How sure is that?
#
# The test has few frauds. **What is the Wilson interval (95 %) of the recall of exercise 3?**

# %% exercise="04.5"
# Two numbers from 0 to 1, (low, high).
how_sure = evaluation.confidence_interval("recall")
check("04.5", how_sure)
