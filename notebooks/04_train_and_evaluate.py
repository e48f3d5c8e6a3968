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
# A model's life in a bank has four steps: it learns from the past, it scores payments, its scores
# are kept, and later, when the truth is known, somebody asks what they were worth. In twenty
# minutes you will go through all four, with scikit-learn for the first two and the database for the
# others.

# %%
# %load_ext synfin_analytics
import os

os.environ["OMP_NUM_THREADS"] = "1"  # for so few rows one core is fastest

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from synfin_analytics import (
    DatabaseConfig,
    MLFeaturesRepository,
    ModelPredictionRepository,
    evaluate,
    get_db_manager,
    get_db_session,
    load_df,
    plot_calibration,
    plot_confusion,
    plot_precision_recall,
    plot_topk,
    prequential_folds,
    read_df,
    simulate,
    time_split,
)

# %% [markdown]
# ## Payments and features in the database

# %%
config = DatabaseConfig(database="train_and_evaluate", data_dir=os.getenv("DB_DATA_DIR"))
manager = get_db_manager(config)
manager.drop_all_tables()  # what an earlier run left
manager.create_all_tables()

world = simulate(customers=1000, merchants=300, days=120, seed=7)
for table, frame in world._asdict().items():
    load_df(frame, table, on_conflict="skip")
with get_db_session() as session:
    MLFeaturesRepository(session).engineer()
    session.commit()

# %% [markdown]
# One query joins what a model needs: the features, the label, and when the label was known.

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
# ## 1. Learn from the past
#
# Fraud changes. What counts is how a model does on payments that come *after* those it learnt from.
# So cut by time: seventy days to learn from, a week for the labels to come in, five weeks to be
# tested on. What else is left out, and why, is in the last line.

# %%
periods = {"train": "70d", "delay": "7d", "test": "35d", "label_available_at": "label_available_at"}
split = time_split(rows, **periods)
split

# %% [markdown]
# Cards known to be compromised are left out of the test because the bank would have blocked them:
# to find them again would be no achievement.
#
# Gradient-boosted trees are what most banks use for such tables. They ask a series of yes-or-no
# questions, and each tree mends what those before got wrong; a missing value is an answer, too. Of
# the genuine payments each tenth is enough, if it counts ten times.


# %%
def learn(train: pd.DataFrame) -> HistGradientBoostingClassifier:
    """Train gradient-boosted trees on all frauds and each tenth genuine payment."""
    kept = train[train["is_fraud"] | (train.index % 10 == 0)]
    weight = kept["is_fraud"].map({True: 1.0, False: 10.0}).astype(float)
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, min_samples_leaf=10, l2_regularization=10, random_state=0
    )
    return model.fit(kept[names].astype(float), kept["is_fraud"].astype(bool), weight)


model = learn(split.train)

# %% [markdown]
# ## 2. Score payments
#
# A score is the model's probability that a payment is fraud. An alert is a score at or above a
# *threshold*. For now it is 0.3; lesson 5 is about choosing it.

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
# ## 3. Store what was said
#
# Predictions go into their table, under the model's name and version. Never overwrite a version's
# predictions by those of another: in a year, somebody will ask what the model said on that day.
#
# At work `ground_truth` is empty at first. When the label arrives, load the same rows once more
# with it and `on_conflict="update"`.

# %%
load_df(predictions, "model_predictions", on_conflict="update")

# %% [markdown]
# ## 4. What was it worth?
#
# The database counts, and only counts leave it.

# %%
with get_db_session() as session:
    result = ModelPredictionRepository(session).evaluate("trees", "1.0", THRESHOLD, amount=True)
result

# %% [markdown]
# Each line has the value, its interval, the two numbers it is made of (*k* of *n*), and a
# *baseline*: what somebody would get who raises as many alerts, but at random. The first two answer
# the questions that a team of investigators asks:
#
# - **precision**: of our alerts, how many are fraud? (or: how often do we bother an honest
#   customer?)
# - **recall**: of all frauds, how many do we find?
#
# Do not look at *accuracy*. Who never raises an alert is right on more than 99 in 100 payments, and
# useless.

# %%
picture = plot_confusion(result)

# %% [markdown]
# **What to see.** All payments of the test, in four fields. Upper row: the frauds, found or missed.
# Lower row: the genuine ones, alerted or left alone. The field at the lower right is so large that
# the others vanish beside it; that is why the shading goes by row.

# %%
picture = plot_precision_recall({"trees 1.0": result})

# %% [markdown]
# **What to see.** The line shows every threshold at once: from left to right it sinks, more frauds
# are found and more alerts are wrong. The mark is the threshold 0.3, with its intervals. The area
# below the line is the *average precision*; the dashed line at the bottom is a model that knows
# nothing.

# %% [markdown]
# ### Is a score of 0.3 a chance of 30 %?

# %%
picture = plot_calibration(result)

# %% [markdown]
# **What to see.** Each dot is the payments of about one score. On the dashed diagonal, the scores
# mean what they say: of the payments with a score of 0.3, three in ten are fraud. A bar that
# crosses the diagonal is compatible with that. Up to 0.4 the dots are above it, the one from 0.1 to
# 0.2 by more than its bar: there the model is too modest. Nearly all payments are in the first bin,
# as the columns below show (in powers of ten), and few in each of the others, so the bars are long.
#
# This matters as soon as somebody multiplies a score by an amount.

# %% [markdown]
# ### How sure is that?
#
# The intervals above treat payments as independent. They are not: a thief uses one card several
# times. Draw whole customers again and again instead, with replacement (a *bootstrap*), and see how
# the value scatters:

# %%
with get_db_session() as session:
    result = ModelPredictionRepository(session).evaluate("trees", "1.0", THRESHOLD, amount=True)
    by_customer = result.bootstrap("recall", "customer_id", n_resamples=500)
    cards = result.card_precision_at_k(10)
low, high = result.confidence_interval("recall")
print(f"as if independent:   recall {result.recall:.3f}, from {low:.3f} to {high:.3f}")
low, high = by_customer.low, by_customer.high
print(f"customers together:  recall {by_customer.value:.3f}, from {low:.3f} to {high:.3f}")

# %% [markdown]
# The second interval is wider, and the one to believe.

# %% [markdown]
# ### What a team would find
#
# A team calls ten customers a day, those with the highest scores. Which share had been robbed? A
# card that is found is blocked, and does not count again.

# %%
picture = plot_topk(cards)
cards

# %% [markdown]
# **What to see.** A dot for each day. What is hatched nobody could reach: there are fewer than ten
# robbed cards on every day. So compare with the ceiling, not with 100 %. On many days the dot
# touches it: all robbed cards were among the ten.

# %% [markdown]
# ## Was it luck?
#
# One test period is one sample. *Prequential* folds go back in time: each learns from what was
# known then, and is tested on the three weeks after.

# %%
folds = prequential_folds(
    rows, 3, train="42d", label_delay="7d", test="21d", label_available_at="label_available_at"
)
lines = []
for fold in folds:
    score = learn(fold.train).predict_proba(fold.test[names].astype(float))[:, 1]
    one = evaluate(fold.test.assign(score=score), score="score", threshold=THRESHOLD)
    lines.append(
        {
            "tested from": fold.test_start.date(),
            "frauds": one.n_frauds,
            "average precision": one.average_precision,
            "precision": one.precision,
            "recall": one.recall,
        }
    )
table = pd.DataFrame(lines)
table

# %%
spread = table["average precision"]
print(f"average precision: {spread.mean():.2f}, give or take {spread.std():.2f} from fold to fold")

# %% [markdown]
# So a difference of that size between two models, each measured on one period, means nothing yet.
# How to compare models properly is lesson 6.

# %% [markdown]
# ## Your turn
#
# 1. Train with `max_iter=20` and with 200, store them as versions 1.1 and 1.2. Is more better?
# 2. Evaluate only the second half of the test: `evaluate(..., start="2025-04-15")`.
# 3. Which feature matters? Shuffle one column of the test (`rng.permutation`), score again, and see
#    how far the average precision falls.

# %%
rng = np.random.default_rng(0)
shuffled = split.test[names].astype(float)
shuffled["amount_zscore"] = rng.permutation(shuffled["amount_zscore"])
evaluate(split.test.assign(score=model.predict_proba(shuffled)[:, 1]), score="score", threshold=0.3)

# %% [markdown]
# ## Tidy up
#
# This drops the tables of `train_and_evaluate`.

# %%
manager.drop_all_tables()
manager.close()
