# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Exercises to lesson 07: a model report
#
# You validate models. A report lies on your desk: do its numbers hold, and which sentences would
# you sign?
#
# Put your answer where the three dots are and run the cell. `check` says what is wrong with it;
# `hint` helps, a step at a time.

# %%
from synfin_analytics import model_report, read_df
from synfin_analytics.course import check, hint, start_lesson

data = start_lesson("07", seed=1)
data

# %%
name, version = data.model
report = model_report(name, version, by="channel", draws=200)
print(report)

# %% [markdown]
# ## 1. Does it promise too much?
#
# If scores are honest probabilities, the scores of 100 payments add up to the number of frauds
# among them. **How many frauds do the scores promise for each one that came**, on the labelled
# payments? Take the rows from the table `model_predictions`: `fraud_probability` is the score,
# `ground_truth` the label.

# %% exercise="07.1"
# A number.
sums = read_df(
    """
    SELECT sum(fraud_probability) AS promised, count(*) FILTER (WHERE ground_truth) AS came
    FROM model_predictions WHERE ground_truth IS NOT NULL
    """
)
promised = (sums["promised"] / sums["came"]).item()
check("07.1", promised)

# %% [markdown]
# ## 2. Does it drift?
#
# If the scores rise while the frauds do not, something has changed. **For each week, by its Monday:
# the mean score of all predicted payments, and the fraud rate of the labelled ones.** Leave weeks
# without any label out.

# %% exercise="07.2"
# A table with the columns week, mean_score and fraud_rate.
by_week = report.weeks[report.weeks["labelled"] > 0].rename(columns={"timestamp": "week"})
check("07.2", by_week)

# %% [markdown]
# ## 3. Ten calls a day
#
# The team has time for ten customers a day; the report assumes more. **What card precision does it
# reach with ten, and what would a perfect ranking have reached?**

# %% exercise="07.3"
# Two numbers from 0 to 1, (reached, ceiling).
ten = model_report(name, version, by=[], draws=200, alerts_per_day=10).cards
calls = (ten.value, ten.max_achievable)
check("07.3", calls)

# %% [markdown]
# ## 4. What would you sign?
#
# Somebody has written about this model, at the threshold that its stored predictions follow:

# %%
for letter, sentence in data.statements.items():
    print(letter, sentence)

# %% [markdown]
# **Which of these sentences follow from the report?**

# %% exercise="07.4"
# A list of letters, as ["A", "B"].
one = report.evaluation
low, high = one.confidence_interval("recall")
facts = {
    "Of the alerts": one.precision,
    "Of the frauds": one.recall,
    "Alerts at random": one.prevalence,
}


def follows(sentence):
    """A share must be the one that its words name; a reading must be the right one."""
    for start, value in facts.items():
        if sentence.startswith(start):
            return f"{value:.1%}"[:-2] in sentence.replace("\N{NO-BREAK SPACE}", "")
    return not any(
        wrong in sentence
        for wrong in ("judges", "of 100 customers", "count as genuine", "costs the same")
    )


to_sign = [letter for letter, sentence in data.statements.items() if follows(sentence)]
check("07.4", to_sign)
