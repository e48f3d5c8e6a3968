# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises for lesson 07: a model report
#
# You validate models. You have received a report: do its numbers hold, and which statements does it
# support?
#
# Replace the three dots with your answer and run the cell. `check` tells you what is wrong with it;
# `hint` helps step by step.

# %%
from synfin_analytics import model_report, read_df
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("07", seed=1)
data

# %%
name, version = data.model
report = model_report(name, version, by="channel", n_resamples=200)
print(report)

# %% [markdown]
# ## 1. Are the scores calibrated?
#
# If scores are calibrated probabilities, the scores of 100 payments sum to the number of frauds
# among them. **What is the number of frauds that the scores predict, divided by the number of
# actual frauds**, on the labelled payments? Use the rows of the table `model_predictions`:
# `fraud_probability` is the score, `ground_truth` the label.

# %% exercise="07.1"
# A number.
sums = read_df(
    """
    SELECT sum(fraud_probability) AS expected, count(*) FILTER (WHERE ground_truth) AS actual
    FROM model_predictions WHERE ground_truth IS NOT NULL
    """
)
calibration_ratio = (sums["expected"] / sums["actual"]).item()
check("07.1", calibration_ratio)

# %% [markdown]
# ## 2. Do the scores drift?
#
# If the scores rise but the frauds do not, something has changed. **For each week, by its Monday:
# what are the mean score of all payments with a prediction, and the fraud rate of the labelled
# ones?** Exclude weeks without any label.

# %% exercise="07.2"
# A table with the columns week, mean_score and fraud_rate.
by_week = report.weeks[report.weeks["labelled"] > 0].rename(columns={"timestamp": "week"})
check("07.2", by_week)

# %% [markdown]
# ## 3. Ten calls per day
#
# The team can call ten customers per day; the report assumes more. **What is the card precision
# with ten calls, and what is its maximum, which a perfect ranking would achieve?**

# %% exercise="07.3"
# Two numbers between 0 and 1: (value, maximum).
ten_calls = model_report(name, version, by=[], n_resamples=200, alerts_per_day=10).cards
card_precision = (ten_calls.value, ten_calls.max_achievable)
check("07.3", card_precision)

# %% [markdown]
# ## 4. What would you sign?
#
# Someone wrote these statements about the model, at the threshold of its stored predictions:

# %%
for letter, statement in data.statements.items():
    print(letter, statement)

# %% [markdown]
# **Which of these statements does the report support?**

# %% exercise="07.4"
# A list of letters, such as ["A", "B"].
evaluation = report.evaluation
shares = {
    "of the alerts": evaluation.precision,
    "of the frauds are": evaluation.recall,
    "of random alerts": evaluation.prevalence,
}
wrong_interpretations = ("classifies", "of 100 customers", "they count as", "expect the same")


def is_supported(statement):
    """A share must be of what the statement names; an interpretation must be the correct one."""
    for denominator, value in shares.items():
        if denominator in statement:
            return f"{value:.1%}"[:-2] in statement
    return not any(phrase in statement for phrase in wrong_interpretations)


supported = [letter for letter, statement in data.statements.items() if is_supported(statement)]
check("07.4", supported)
