# ruff: noqa: E501  # an expression of a notebook is one line
"""The figures that the lessons' text names, and how to compute them in the notebook.

A figure is held to the data by tests/test_notebooks.py, which evaluates ``value`` in the notebook
after its last lesson cell. A number in the text that is not of the data, such as a list's "three" or
the parameters of a call, is covered by a phrase of ``GIVEN``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A phrase of the text, and the limits between which the value that it names must lie.

    Attributes
    ----------
    words
        As the text has them.
    value
        Expression of the notebook's own variables; a number, or true or false.
    low, high
        What the words allow.
    """

    words: str
    value: str
    low: float = 1
    high: float = 1


_CATEGORY = "by_category.set_index('merchant_category')"
_ENTRY = "fraud_rate(payments, by='entry_mode').set_index('entry_mode')"
_SPREE = "frauds[frauds['fraud_type'] == 'night_spree']"
_TESTED = "frauds[(frauds['fraud_type'] == 'card_testing') & (frauds['customer_id'] == victim('card_testing'))]"
_ABUSED = "refunds.nlargest(4, 'abused')['refunds_per_100']"
_CLOTHES = "refunds[(refunds['category'] == 'clothing') & (refunds['abused'] == 0)]"
_BAD_WEEKS = "there[there['timestamp'].between(there.loc[copies, 'timestamp'].min(), there.loc[copies, 'timestamp'].max())]"
_PRECISION = "(lambda name, recall: (lambda c: c[c['recall'] >= recall]['precision'].max())(results[name].curve()))"
_BINS = "plot_calibration(result).to_frame()"
_DIFFERENCE = "(lambda name: comparison.to_frame().query('model == @name'))"
_CHANNEL = "(lambda name: by_channel.by_group.query('metric == @name').set_index('channel'))"
_AGE = "(lambda name: by_age.by_group.query('metric == @name').set_index('age group'))"

FIGURES: dict[str, list[Figure]] = {
    "01_first_steps": [
        Figure(
            "In restaurants one payment in a hundred is fraud",
            f"{_CATEGORY}.loc['restaurant', 'fraud_rate']",
            0.008,
            0.012,
        ),
        Figure("16 % of the money", f"{_CATEGORY}.loc['restaurant', 'fraud_bps']", 1550, 1650),
        Figure(
            "Here all of them overlap",
            "by_category['fraud_rate_low'].max() < by_category['fraud_rate_high'].min()",
        ),
        Figure(
            "Jewellery stands second from the top",
            f"list({_CATEGORY}['fraud_rate'].nlargest(2).index).index('jewellery')",
        ),
        Figure(
            "one fraud in 24 payments",
            f"tuple({_CATEGORY}.loc['jewellery', ['frauds', 'labelled']]) == (1, 24)",
        ),
        Figure(
            "0 of 44 is no proof",
            f"tuple({_CATEGORY}.loc['hotel', ['frauds', 'labelled']]) == (0, 44)",
        ),
        Figure("between almost nothing", "by_week['fraud_rate'].min()", 0, 0.001),
        Figure("and one and a half in a hundred", "by_week['fraud_rate'].max()", 0.014, 0.0165),
        Figure(
            "a line at the rate of all would fit into it from end to end",
            "by_week['fraud_rate_low'].max() < fraud_rate(payments)['fraud_rate'].iloc[0] < by_week['fraud_rate_high'].min()",
        ),
        Figure(
            "and one stolen card makes a dozen frauds",
            "payments[payments['is_fraud'] == True].groupby('card_id').size().max()",
            11,
            13,
        ),
        Figure(
            "are nearly equal",
            "by_week['transactions'][1:].max() / by_week['transactions'][1:].min()",
            1,
            1.2,
        ),
        Figure(
            "fraud many times as often as one whose chip was read",
            f"{_ENTRY}.loc[['manual', 'magstripe'], 'fraud_rate'].min() "
            f"/ {_ENTRY}.loc['chip', 'fraud_rate']",
            10,
            100,
        ),
        Figure(
            "these bars lie apart",
            f"{_ENTRY}.loc[['manual', 'magstripe'], 'fraud_rate_low'].min() > {_ENTRY}.loc['chip', 'fraud_rate_high']",
        ),
        Figure(
            "more frauds are made with a chip",
            f"{_ENTRY}.loc['chip', 'frauds'] > {_ENTRY}.loc[['manual', 'magstripe'], 'frauds'].sum()",
        ),
    ],
    "02_fraud_patterns": [
        Figure("has a detector for each of the eleven", "frauds['fraud_type'].nunique()", 11, 11),
        Figure("diamonds of half a euro to three", f"{_TESTED}['amount'].min()", 0.45, 0.55),
        Figure("of half a euro to three", f"{_TESTED}['amount'].nlargest(2).iloc[1]", 2.5, 3.2),
        Figure(
            "one high above them, two hours later",
            f"{_TESTED}['timestamp'].diff().max() / pd.Timedelta(hours=1)",
            1.5,
            2.5,
        ),
        Figure(
            "every payment of a spree is made before five",
            f"{_SPREE}['timestamp'].dt.hour.max()",
            0,
            4,
        ),
        Figure(
            "more than a thousand times as many genuine payments as spree payments",
            f"(~payments['is_fraud']).sum() / len({_SPREE})",
            1000,
            3000,
        ),
        Figure(
            "wrong nearly always",
            "payments[payments['timestamp'].dt.hour < 5]['is_fraud'].mean()",
            0,
            0.05,
        ),
        Figure(
            "an empty stretch of nearly six weeks",
            "(lambda own: own['timestamp'].diff()[own['fraud_type'] == 'dormant_card'].iloc[0]"
            " / pd.Timedelta(days=7))(payments[payments['customer_id'] == victim('dormant_card')])",
            5.5,
            6,
        ),
        Figure(
            "about one in 650",
            "1 / (in_shops['distance_from_last'] > 900 * hours_since)[~in_shops['is_fraud']].mean()",
            600,
            700,
        ),
        Figure(
            "For three weeks nothing",
            "(there.loc[copies, 'timestamp'].min() - there['timestamp'].min()) / pd.Timedelta(days=7)",
            2.7,
            3.5,
        ),
        Figure(
            "on most days of three weeks",
            "(per_day['frauds'] > 0).sum()",
            12,
            21,
        ),
        Figure("three payments in a hundred are fraud", "there['is_fraud'].mean()", 0.025, 0.035),
        Figure("over the bad weeks twelve", f"{_BAD_WEEKS}['is_fraud'].mean()", 0.115, 0.125),
        Figure(
            "two or three small merchants",
            "ring.loc[ring['city'] == city, 'merchant_id'].nunique()",
            2,
            3,
        ),
        Figure("at some hundred euros a time", "ring['amount'].median()", 200, 800),
        Figure("Most merchants have no refunds at all", "(refunds['refunds'] == 0).mean()", 0.5, 1),
        Figure("seven to ten in a hundred payments", f"{_ABUSED}.min()", 6.5, 7.5),
        Figure("to ten in a hundred payments", f"{_ABUSED}.max()", 9, 10.5),
        Figure(
            "take back five in a hundred anyway",
            f"100 * {_CLOTHES}['refunds'].sum() / {_CLOTHES}['payments'].sum()",
            4.5,
            5.5,
        ),
        Figure("There are more of these than of frauds", "len(odd) > len(frauds)"),
        Figure(
            "Some detectors are right nearly always",
            "((table['precision'] > 0.95) & (table['recall'] > 0.95)).sum()",
            2,
            6,
        ),
    ],
    "03_features_and_leakage": [
        Figure("69 features of each", "len(names)", 69, 69),
        Figure("a quarter is fraud", "bands['fraud_rate'].iloc[-1]", 0.22, 0.28),
        Figure(
            "thirty times the rate of all",
            "bands['fraud_rate'].iloc[-1] / rows['is_fraud'].mean()",
            27,
            33,
        ),
        Figure(
            "nine in ten payments",
            "bands['labelled'].iloc[0] / bands['labelled'].sum()",
            0.85,
            0.95,
        ),
        Figure(
            "more than half of the frauds",
            "bands['frauds'].iloc[0] / bands['frauds'].sum()",
            0.5,
            0.7,
        ),
        Figure("Half of the frauds are known after a few days", "(delay <= 3).mean()", 0.45, 0.55),
        Figure("some after months", "(delay > 60).mean()", 0.01, 0.1),
        Figure(
            "Of a hundred payments, ninety-nine are genuine",
            "1 - honest.train['is_fraud'].mean()",
            0.985,
            0.995,
        ),
        Figure("the share of fraud, below 0.01", "honest.test['is_fraud'].mean()", 0, 0.01),
        Figure(
            "both are above 0.9",
            "min(results[name].roc_auc for name in ('amount and time', '69 features'))",
            0.9,
            1,
        ),
        Figure(
            "several times as useful as the other",
            "results['69 features'].average_precision / results['amount and time'].average_precision",
            3,
            9,
        ),
        Figure(
            "worse than the honest one by far",
            "results['leak 1, at work'].average_precision / results['69 features'].average_precision",
            0,
            0.5,
        ),
        Figure(
            "work keeps half of it",
            "results['leak 2, at work'].average_precision"
            " / results['leak 2, in the test'].average_precision",
            0.45,
            0.57,
        ),
        Figure(
            "fall below the honest one (69 features): the first at once",
            f"{_PRECISION}('leak 1, at work', 0.05) < {_PRECISION}('69 features', 0.05)",
        ),
        Figure(
            "as soon as it shall find more than the easiest fifth",
            f"{_PRECISION}('leak 2, at work', 0.2) > {_PRECISION}('69 features', 0.2)"
            f" and {_PRECISION}('leak 2, at work', 0.3) < {_PRECISION}('69 features', 0.3)",
        ),
    ],
    "04_train_and_evaluate": [
        Figure(
            "right on more than 99 in 100 payments", "1 - split.test['is_fraud'].mean()", 0.99, 1
        ),
        Figure(
            "Up to 0.4 the dots are above it",
            f"{_BINS}.query('score_to <= 0.401').eval('fraud_rate > mean_score').all()",
        ),
        Figure(
            "the one from 0.1 to 0.2 by more than its bar",
            f"{_BINS}.query('score_to <= 0.401').eval('fraud_rate_low > mean_score').tolist()"
            " == [False, True, False, False]",
        ),
        Figure(
            "Nearly all payments are in the first bin",
            f"{_BINS}['transactions'].iloc[0] / {_BINS}['transactions'].sum()",
            0.95,
            1,
        ),
        Figure(
            "The second interval is wider",
            "(by_customer.high - by_customer.low)"
            " / (result.confidence_interval('recall')[1] - result.confidence_interval('recall')[0])",
            1.2,
            3,
        ),
        Figure(
            "fewer than ten robbed cards on every day",
            "plot_topk(cards).to_frame()['compromised'].max()",
            1,
            9,
        ),
        Figure(
            "On many days the dot touches it",
            "(plot_topk(cards).to_frame()['precision'] == plot_topk(cards).to_frame()['max_achievable']).mean()",
            0.5,
            1,
        ),
    ],
    "05_thresholds_and_costs": [
        Figure(
            "seven in eight frauds are missed there", "march.at_threshold(0.5).recall", 0.115, 0.135
        ),
        Figure(
            "Between 0.006 and 0.015 the floor is nearly flat",
            "(lambda cost: cost.max() / cost.min())(march.cost_curve(COST_PER_ALERT, SAVED)"
            ".query('0.006 <= threshold <= 0.015')['cost'])",
            1,
            1.08,
        ),
        Figure(
            "The budget of twenty alerts a day became thirteen",
            "april.at_threshold(by_budget).alerts / 30",
            12.5,
            13.5,
        ),
        Figure("Nearly as good as hindsight", "own / best", 1, 1.06),
    ],
    "06_comparing_models_and_groups": [
        Figure(
            "The logit is worse, by both measures",
            f"{_DIFFERENCE}('logit 1.0')['difference_high'].max()",
            -1,
            0,
        ),
        Figure(
            "cannot be told apart",
            f"{_DIFFERENCE}('trees2 1.0').eval('difference_low < 0 < difference_high').all()",
        ),
        Figure(
            "the difference is at most 0.002",
            f"{_DIFFERENCE}('trees2 1.0')[['difference_low', 'difference_high']].iloc[1].abs().max()",
            0,
            0.002,
        ),
        Figure(
            "those of *trees* and *logit* are wide and overlap",
            "(lambda t: t.loc['trees 1.0', 'value_low'] < t.loc['logit 1.0', 'value_high'])"
            "(comparison.to_frame().query('metric == \"average_precision\"').set_index('model'))",
        ),
        Figure(
            "With twenty alerts a day each, the trees find 85 frauds in a hundred",
            "results['trees'].at_threshold(float(thresholds['trees'])).recall",
            0.845,
            0.855,
        ),
        Figure(
            "and the logit 71",
            "results['logit'].at_threshold(float(thresholds['logit'])).recall",
            0.705,
            0.715,
        ),
        Figure("Ten at cash machines (atm)", f"{_CHANNEL}('recall').loc['atm', 'frauds']", 10, 10),
        Figure("fifteen by mobile", f"{_CHANNEL}('recall').loc['mobile', 'frauds']", 15, 15),
        Figure("that is more than chance", "by_channel.difference('recall')[1]", 0, 1),
        Figure("By phone there was no fraud", f"{_CHANNEL}('recall').loc['phone', 'frauds'] == 0"),
        Figure(
            "by phone there are fifty", f"{_CHANNEL}('recall').loc['phone', 'transactions']", 50, 50
        ),
        Figure(
            "nearly three times as often",
            f"(1 - {_CHANNEL}('specificity').loc['mobile', 'value'])"
            f" / (1 - {_CHANNEL}('specificity').loc['pos', 'value'])",
            2.6,
            3,
        ),
        Figure(
            "they overlap, so these five weeks",
            f"all({_AGE}(metric)['value_low'].max() < {_AGE}(metric)['value_high'].min()"
            " for metric in ('recall', 'specificity'))",
        ),
        Figure(
            "a gap of ten points in a hundred could hide",
            f"({_AGE}('recall')['value_high'] - {_AGE}('recall')['value_low']).min()",
            0.1,
            1,
        ),
    ],
    "07_model_report": [
        Figure(
            "the highest sinks to a quarter",
            "report.weeks['p99'].iloc[-1] / report.weeks['p99'].iloc[0]",
            0.2,
            0.3,
        ),
        Figure(
            "the fraud rate sank in the same weeks, to a quarter as well",
            "report.weeks['fraud_rate'].iloc[-1] / report.weeks['fraud_rate'].iloc[0]",
            0.2,
            0.3,
        ),
        Figure(
            "The first and the last week have few days",
            "report.weeks['transactions'].iloc[[0, -1]].max()"
            " / report.weeks['transactions'].iloc[1:-1].min()",
            0,
            0.8,
        ),
        Figure(
            "One feature stands out: how much the customer spent within the last hour",
            "(report.importances['feature'].iloc[0] == 'amount_velocity_1h')"
            " * report.importances['size'].iloc[0] / report.importances['size'].iloc[1]",
            2,
            10,
        ),
    ],
    "08_more_than_one_machine": [
        Figure("Not one count differs", "True"),
    ],
}

#: Phrases with a number that is not one of the data: of time, of a call, of the text itself.
GIVEN: dict[str, list[str]] = {
    "01_first_steps": [
        "Two months of payments",
        "you may run the cell twice",
        "These two months are",
        "A 95 % interval is made to hold the true rate in 95 of 100 such samples",
        "one stolen card makes a dozen frauds. So",
        # Measured by benchmarks/coverage.py.
        "In 200 worlds like this one",
        "of a category 98 times in 100, and that of a week 97 times",
        "did so 72 and 63 times",
        "10,000 euros",
        "Where two bars lie apart",
        "two months of 300 customers",
        "fewer than ten customers had a fraud there",
    ],
    "02_fraud_patterns": [
        "Four months of payments",
        "of a thousand customers",
        "sold by the thousand",
        "Two small helpers",
        "ten times the one below",
        "in one or two hours is",
        "from 500 euros on are checked pays 495",
        "50, 100, 250, 500",
        "The last three cannot be seen",
        "Over all four months",
        "and these four have",
        "ten times the usual amount",
        "Two that are about the same",
    ],
    "03_features_and_leakage": [
        "Four months of payments",
        "the sixth or a later one",
        "Learn from seventy days",
        "the five weeks after that",
        "each tenth of them, which then counts ten times, takes a tenth of the time",
        "has a 1 there already",
        "the same 69 features",
        "no row was seen twice",
        "The two leaky lines",
        "The same two models",
    ],
    "04_train_and_evaluate": [
        "seventy days to learn from",
        "five weeks to be tested on",
        "each tenth is enough, if it counts ten times",
        "For now it is 0.3",
        "the two numbers it is made of",
        "The first two answer",
        "in four fields",
        "The mark is the threshold 0.3",
        "Is a score of 0.3 a chance of 30 %?",
        "with a score of 0.3, three in ten are fraud",
        "in powers of ten",
        "A team calls ten customers a day",
        "not with 100 %",
        "were among the ten",
        "the three weeks after",
        "between two models",
    ],
    "05_thresholds_and_costs": [
        "has worked for two months",
        "The two evaluations",
        "And 0.5, where",
        "of a thousand honest payments at most two are stopped",
        "of 0.002",
        "Two prices",
        "say 5 euros",
        "say 80 % is saved",
        "twenty alerts a day, and not at more",
        "the twenty highest scores",
        "gives twenty a day",
        "Compare the two lines",
        "it might be thirty",
    ],
    "06_comparing_models_and_groups": [
        "Three models",
        "the two trees",
        "five hundred times",
        "leaves out 0",
        "two separate intervals",
        "A score of 0.3 of one model is not a score of 0.3 of another",
        "fewer than ten frauds are marked",
        "may cause ten alerts",
    ],
    "07_model_report": [
        "of two models for the same five weeks",
        "Half of all scores lie below the lowest line, ninety-nine in a hundred",
    ],
    "08_more_than_one_machine": [
        "two months of payments",
        "a sum over a billion payments",
        "each payment forty times",
        "Three questions",
        "the five most suspicious cards",
        "on two machines",
    ],
}

_WORDS = (
    "half third thirds quarter quarters fifth sixth seventh eighth tenth tenths hundredth "
    "thousandth twice two three four five six seven eight nine ten eleven twelve thirteen fifteen "
    "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand dozen million billion"
)
#: A number in digits or in words.
NUMBER = re.compile(rf"(?<![\w.])(?:\d[\d,.]*|{'|'.join(_WORDS.split())})(?!\w)", re.IGNORECASE)
#: Numbers of headings, of lists and of lessons, and code.
_STRUCTURE = re.compile(r"^(?:#+ )?\d+\. |\blessons? \d|`[^`]*`", re.MULTILINE)


def prose(sources: list[str]) -> str:
    """Bring text into one line, without code and the numbers of lists and lessons."""
    return normal(" ".join(_STRUCTURE.sub(" ", normal_lesson(one)) for one in sources))


def normal_lesson(text: str) -> str:
    """Put the number of a lesson behind the word, where a line breaks between them."""
    return re.sub(r"\b(lessons?)\n(\d)", r"\1 \2", text)


def normal(text: str) -> str:
    """Bring text into one line."""
    return re.sub(r"\s+", " ", text)
