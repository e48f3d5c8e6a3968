# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 04: train, predict, store and evaluate
#
# A model is evaluated on days that it was not trained on, with the labels that were known by then,
# and compared with a random score.
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

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
# This bank closes a case six days after the payment. More recent payments have no label yet.
#
# ## 1. Split by time
#
# Train on 28 days, wait 7 days for their labels, and test on the following 14 days, which end with
# the last day. **How many training rows and how many test rows are there?** Exclude cards from the
# test that were known to be compromised by then, because the bank would have blocked them.

# %% exercise="04.1"
# Two integers: (train, test).
split = time_split(payments, train="28d", label_delay="7d", test="14d")
split_sizes = (len(split.train), len(split.test))
check("04.1", split_sizes)

# %% [markdown]
# ## 2. Predict and store
#
# `fit_baseline(payments)` trains a simple model on the first part of the period and predicts the
# last part. **Store its predictions in the table `model_predictions`. How many are stored, and how
# many of them predict fraud?** Query the database. (With `on_conflict="update"` you can store them
# again.)

# %% exercise="04.2"
# Two integers: (stored, alerts).
model = fit_baseline(payments)
load_df(model.predictions, "model_predictions", on_conflict="update")
counts = read_df("SELECT count(*) AS n, sum(prediction::int) AS alerts FROM model_predictions")
prediction_counts = (counts["n"].item(), counts["alerts"].item())
check("04.2", prediction_counts)

# %% [markdown]
# ## 3. Evaluate the model
#
# The model is stored as `baseline`, version `1.0`. **What are its precision and recall at its own
# threshold?** Exclude payments whose label is not known yet.

# %% exercise="04.3"
# Two numbers between 0 and 1: (precision, recall).
with get_db_session() as session:
    predictions = ModelPredictionRepository(session)
    evaluation = predictions.evaluate("baseline", "1.0", threshold=model.threshold)
precision_recall = (evaluation.precision, evaluation.recall)
check("04.3", precision_recall)

# %% [markdown]
# ## 4. Compare with a random score
#
# **What is the ratio of the model's average precision to that of a random score?**

# %% exercise="04.4"
# A number.
lift = evaluation.average_precision / evaluation.baseline("average_precision")
check("04.4", lift)

# %% [markdown]
# ## 5. How certain is the recall?
#
# There are few frauds in the test. **What is the 95% Wilson interval of the recall of exercise 3?**

# %% exercise="04.5"
# Two numbers between 0 and 1: (low, high).
recall_interval = evaluation.confidence_interval("recall")
check("04.5", recall_interval)
