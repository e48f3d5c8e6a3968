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
# # Train, predict, store and evaluate a model
#
# A model in a bank goes through four steps: it is trained on the past, it scores payments, its
# scores are stored, and later, when the labels are known, they are evaluated. In twenty minutes you
# will carry out all four, with scikit-learn for the first two and the database for the others.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows, one core is fastest

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from synfin_analytics import (
    DatabaseConfig,
    MLFeaturesRepository,
    ModelPredictionRepository,
    PrequentialSplit,
    evaluate,
    get_db_manager,
    get_db_session,
    load_df,
    plot_calibration,
    plot_confusion,
    plot_precision_recall,
    plot_topk,
    read_df,
    simulate,
    time_split,
)

# %% [markdown]
# ## Payments and features in the database

# %%
config = DatabaseConfig(database="train_and_evaluate", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # from an earlier run
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, df in world._asdict().items():
    load_df(df, table, on_conflict="skip")
with get_db_session() as session:
    MLFeaturesRepository(session).engineer()
    session.commit()

# %% [markdown]
# One query joins what a model needs: the features, the label, and the time at which the label
# became known.

# %%
rows = read_df(
    """
    SELECT f.*, t.timestamp, t.customer_id, t.amount, t.is_fraud, t.label_available_at
    FROM ml_features AS f
    JOIN transactions AS t USING (transaction_id)
    ORDER BY t.timestamp, transaction_id
    """
)
names = [name for name in MLFeaturesRepository.model.feature_names() if name in rows.columns]
print(f"{len(rows):,} payments with {len(names)} features; {rows['is_fraud'].mean():.2%} are fraud")

# %% [markdown]
# ## 1. Train on the past
#
# Fraud changes. What matters is how a model performs on payments *after* those that it was trained
# on. Split by time: 70 days of training, a week for the labels to become known, and five weeks of
# test. The last row of the output lists what else was excluded, and why.

# %%
periods = {
    "train": "70d",
    "label_delay": "7d",
    "test": "35d",
    "label_available_at": "label_available_at",
}
split = time_split(rows, **periods)
split

# %% [markdown]
# Cards that were known to be compromised are excluded from the test, because the bank would have
# blocked them: to detect them again would be no achievement.
#
# Gradient-boosted trees are a common choice for such tables. A tree is a series of yes-or-no
# questions, and each tree corrects the errors of the previous ones; it can also ask whether a value
# is missing. Of the genuine payments, every tenth is sufficient if it has a weight of ten.


# %%
def train_model(train: pd.DataFrame) -> HistGradientBoostingClassifier:
    """Train gradient-boosted trees on all frauds and every tenth genuine payment."""
    sample = train[train["is_fraud"] | (train.index % 10 == 0)]
    weight = sample["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
    )
    return model.fit(sample[names].astype(float), sample["is_fraud"].astype(bool), weight)


model = train_model(split.train)

# %% [markdown]
# ## 2. Score payments
#
# A score is the probability of fraud that the model assigns to a payment. A score of at least the
# *threshold* raises an alert. For now it is 0.3; lesson 5 shows how to choose it.

# %%
THRESHOLD = 0.3
scores = model.predict_proba(split.test[names].astype(float))[:, 1]
predictions = pd.DataFrame(
    {
        "transaction_id": split.test["transaction_id"],
        "model_name": "trees",
        "model_version": "1.0",
        "prediction": scores >= THRESHOLD,
        "fraud_probability": scores,
        "ground_truth": split.test["is_fraud"],
    }
)
predictions.sort_values("fraud_probability", ascending=False).head()

# %% [markdown]
# ## 3. Store the predictions
#
# Predictions are stored in their own table, with the name and version of the model. Never overwrite
# the predictions of one version with those of another: in a year, someone will ask what the model
# predicted on a given day.
#
# In production, `ground_truth` is empty at first. When the labels arrive, load the same rows again
# with labels and `on_conflict="update"`.

# %%
load_df(predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# ## 4. Evaluate the predictions
#
# The database aggregates the counts, and only counts leave it.

# %%
with get_db_session() as session:
    result = ModelPredictionRepository(session).evaluate(
        "trees", "1.0", threshold=THRESHOLD, amount=True
    )
result

# %% [markdown]
# Each row contains a metric, its interval, its numerator and denominator (*k* of *n*), and a
# *baseline*: the value for the same number of random alerts. Precision and recall answer the
# questions of a team of investigators:
#
# - **precision**: what share of our alerts is fraud? (Or: how often do we disturb a genuine
#   customer?)
# - **recall**: what share of all frauds do we detect?
#
# Do not use *accuracy*. A model that never raises an alert is correct for more than 99% of the
# payments, and useless.

# %%
picture = plot_confusion(result)

# %% [markdown]
# **What to see.** All payments of the test, in a table. Upper row: the frauds, detected or missed.
# Lower row: the genuine payments, with or without an alert. The number at the lower right is so
# much larger than the others that the shading is relative to each row.

# %%
picture = plot_precision_recall({"trees 1.0": result})

# %% [markdown]
# **What to see.** The curve shows all thresholds at once: from left to right it falls, because more
# frauds are detected and more alerts are false. The mark is the threshold 0.3, with its intervals.
# The area below the curve is the *average precision*; the dashed line at the bottom is a random
# score.

# %% [markdown]
# ### Does a score of 0.3 mean a probability of 30%?

# %%
picture = plot_calibration(result)

# %% [markdown]
# **What to see.** Each dot represents the payments with similar scores. On the dashed diagonal,
# scores are correct probabilities: of the payments with a score of 0.3, 30% are fraud. If a bar
# crosses the diagonal, the scores are consistent with the labels. Up to 0.4 the dots are above the
# diagonal, and from 0.1 to 0.2 the whole bar is: there the scores are too low. Nearly all payments
# are in the first bin, as the columns below show (on a logarithmic scale), and few are in each of
# the others, so their bars are long.
#
# Calibration matters whenever a score is multiplied by an amount.

# %% [markdown]
# ### How certain are the results?
#
# The intervals above assume independent payments. This assumption is wrong: a fraudster uses one
# card several times. Instead, resample whole customers many times, with replacement (a
# *bootstrap*), and compute the metric for each resample:

# %%
with get_db_session() as session:
    result = ModelPredictionRepository(session).evaluate(
        "trees", "1.0", threshold=THRESHOLD, amount=True
    )
    by_customer = result.bootstrap("recall", "customer_id", n_resamples=500)
    cards = result.card_precision_at_k(10)
low, high = result.confidence_interval("recall")
print(f"independent payments:  recall {result.recall:.3f}, from {low:.3f} to {high:.3f}")
low, high = by_customer.low, by_customer.high
print(f"resampled customers:   recall {by_customer.value:.3f}, from {low:.3f} to {high:.3f}")

# %% [markdown]
# The interval of the bootstrap is wider, and it is the valid one.

# %% [markdown]
# ### Results for a team
#
# A team calls ten customers per day: those with the highest scores. What share of them are victims?
# A detected card is blocked and does not count again.

# %%
picture = plot_topk(cards)
cards

# %% [markdown]
# **What to see.** Each dot is a day. The hatched area cannot be reached: on every day there are
# fewer than ten compromised cards. Compare the dots with the maximum, not with 100%. On many days
# they are equal: all compromised cards were among the ten.

# %% [markdown]
# ## Was it chance?
#
# A single test period is one sample. *Prequential* folds follow each other in time: each trains on
# the labels that were known at its time, and tests on the following three weeks.

# %%
splitter = PrequentialSplit(
    3, train="42d", delay="7d", test="21d", label_available_at="label_available_at"
)
table = []
for fold in splitter.folds(rows):
    score = train_model(fold.train).predict_proba(fold.test[names].astype(float))[:, 1]
    evaluation = evaluate(fold.test.assign(score=score), score="score", threshold=THRESHOLD)
    table.append(
        {
            "test start": fold.test_start.date(),
            "frauds": evaluation.n_frauds,
            "average precision": evaluation.average_precision,
            "precision": evaluation.precision,
            "recall": evaluation.recall,
        }
    )
table = pd.DataFrame(table)
table

# %%
by_fold = table["average precision"]
print(f"average precision: mean {by_fold.mean():.2f}, standard deviation {by_fold.std():.2f}")

# %% [markdown]
# If two models, each evaluated on one period, differ by an amount of this size, the difference is
# not significant. How to compare models is the subject of lesson 6.

# %% [markdown]
# ## Your turn
#
# 1. Train with `max_iter=20` and with 200, and store the predictions as versions 1.1 and 1.2. Are
#    more iterations better?
# 2. Evaluate only the second half of the test: `evaluate(..., start="2025-04-15")`.
# 3. Which features matter? Shuffle one column of the test (`rng.permutation`), score again, and see
#    how far the average precision falls.

# %%
rng = np.random.default_rng(0)
shuffled = split.test[names].astype(float)
shuffled["amount_zscore"] = rng.permutation(shuffled["amount_zscore"])
evaluate(split.test.assign(score=model.predict_proba(shuffled)[:, 1]), score="score", threshold=0.3)

# %% [markdown]
# ## Tidy up
#
# This cell drops the tables of `train_and_evaluate`.

# %%
manager.drop_all_tables()
manager.close()
