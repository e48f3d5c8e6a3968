# ruff: noqa: E501  # an expression of a notebook is one line
"""The figures in the text of the lessons, and how to compute them in the notebook.

tests/test_notebooks.py compares each figure with the data: it evaluates ``value`` in the notebook
after its last lesson cell. A number in the text that does not come from the data, such as the length
of a list or the parameter of a call, is covered by a phrase in ``GIVEN``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A phrase in the text, and the limits for the value that it states.

    Attributes
    ----------
    words
        The phrase, as in the text.
    value
        Expression in the notebook's variables: a number, or true or false.
    low, high
        Limits that are consistent with the phrase.
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
_BAD_WEEKS = "at_merchant[at_merchant['timestamp'].between(at_merchant.loc[copies, 'timestamp'].min(), at_merchant.loc[copies, 'timestamp'].max())]"
_PRECISION = "(lambda name, recall: (lambda c: c[c['recall'] >= recall]['precision'].max())(results[name].curve()))"
_BINS = "plot_calibration(result).to_frame()"
_DIFFERENCE = "(lambda name: comparison.to_frame().query('model == @name'))"
_CHANNEL = "(lambda name: by_channel.by_group.query('metric == @name').set_index('channel'))"
_AGE = "(lambda name: by_age.by_group.query('metric == @name').set_index('age group'))"
_RULE = "evaluation.rules.set_index('rule')"
_BESIDE = "beside.set_index('rule')"

FIGURES: dict[str, list[Figure]] = {
    "01_first_steps": [
        Figure(
            "In restaurants, 1% of the payments are fraud",
            f"{_CATEGORY}.loc['restaurant', 'fraud_rate']",
            0.008,
            0.012,
        ),
        Figure("16% of the money", f"{_CATEGORY}.loc['restaurant', 'fraud_bps']", 1550, 1650),
        Figure(
            "Here all bars overlap",
            "by_category['fraud_rate_low'].max() < by_category['fraud_rate_high'].min()",
        ),
        Figure(
            "Jewellery has the second-highest rate",
            f"list({_CATEGORY}['fraud_rate'].nlargest(2).index).index('jewellery')",
        ),
        Figure(
            "one fraud in 24 payments",
            f"tuple({_CATEGORY}.loc['jewellery', ['frauds', 'labelled']]) == (1, 24)",
        ),
        Figure(
            "0 of 44 does not prove",
            f"tuple({_CATEGORY}.loc['hotel', ['frauds', 'labelled']]) == (0, 44)",
        ),
        Figure("between almost 0", "by_week['fraud_rate'].min()", 0, 0.001),
        Figure("and 1.5%", "by_week['fraud_rate'].max()", 0.014, 0.0165),
        Figure(
            "a horizontal line at the overall rate would lie within it everywhere",
            "by_week['fraud_rate_low'].max() < fraud_rate(payments)['fraud_rate'].iloc[0] < by_week['fraud_rate_high'].min()",
        ),
        Figure(
            "one stolen card causes a dozen frauds",
            "payments[payments['is_fraud'] == True].groupby('card_id').size().max()",
            11,
            13,
        ),
        Figure(
            "They are nearly equal",
            "by_week['transactions'][1:].max() / by_week['transactions'][1:].min()",
            1,
            1.2,
        ),
        Figure(
            "is many times that of chip payments",
            f"{_ENTRY}.loc[['manual', 'magstripe'], 'fraud_rate'].min() "
            f"/ {_ENTRY}.loc['chip', 'fraud_rate']",
            10,
            100,
        ),
        Figure(
            "these bars do not overlap",
            f"{_ENTRY}.loc[['manual', 'magstripe'], 'fraud_rate_low'].min() > {_ENTRY}.loc['chip', 'fraud_rate_high']",
        ),
        Figure(
            "more frauds use the chip",
            f"{_ENTRY}.loc['chip', 'frauds'] > {_ENTRY}.loc[['manual', 'magstripe'], 'frauds'].sum()",
        ),
    ],
    "02_fraud_patterns": [
        Figure(
            "has a detector for each of the eleven patterns",
            "frauds['fraud_type'].nunique()",
            11,
            11,
        ),
        Figure("diamonds between 0.50 and", f"{_TESTED}['amount'].min()", 0.45, 0.55),
        Figure("3 euros, so close in time", f"{_TESTED}['amount'].nlargest(2).iloc[1]", 2.5, 3.2),
        Figure(
            "one large payment two hours later",
            f"{_TESTED}['timestamp'].diff().max() / pd.Timedelta(hours=1)",
            1.5,
            2.5,
        ),
        Figure(
            "all payments of a spree are made before 5 am",
            f"{_SPREE}['timestamp'].dt.hour.max()",
            0,
            4,
        ),
        Figure(
            "more than 1,000 times as many genuine payments as spree payments",
            f"(~payments['is_fraud']).sum() / len({_SPREE})",
            1000,
            3000,
        ),
        Figure(
            "nearly all alerts would be false",
            "payments[payments['timestamp'].dt.hour < 5]['is_fraud'].mean()",
            0,
            0.05,
        ),
        Figure(
            "no payment for nearly six weeks",
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
            "no frauds for the first three weeks",
            "(at_merchant.loc[copies, 'timestamp'].min() - at_merchant['timestamp'].min()) / pd.Timedelta(days=7)",
            2.7,
            3.5,
        ),
        Figure(
            "on most days of three weeks",
            "(per_day['frauds'] > 0).sum()",
            12,
            21,
        ),
        Figure(
            "3% of the payments there are fraud", "at_merchant['is_fraud'].mean()", 0.025, 0.035
        ),
        Figure("over the three weeks 12%", f"{_BAD_WEEKS}['is_fraud'].mean()", 0.115, 0.125),
        Figure(
            "two or three small merchants",
            "ring.loc[ring['city'] == city, 'merchant_id'].nunique()",
            2,
            3,
        ),
        Figure("several hundred euros each time", "ring['amount'].median()", 200, 800),
        Figure("Most merchants have no refunds at all", "(refunds['refunds'] == 0).mean()", 0.5, 1),
        Figure("refunds are between 7% and", f"{_ABUSED}.min()", 6.5, 7.5),
        Figure("10% of the payments", f"{_ABUSED}.max()", 9, 10.5),
        Figure(
            "at clothing shops 5% is normal",
            f"100 * {_CLOTHES}['refunds'].sum() / {_CLOTHES}['payments'].sum()",
            4.5,
            5.5,
        ),
        Figure("There are more anomalies than frauds", "len(anomalies) > len(frauds)"),
        Figure(
            "Some detectors have high precision and high recall",
            "((table['precision'] > 0.95) & (table['recall'] > 0.95)).sum()",
            2,
            6,
        ),
    ],
    "03_features_and_leakage": [
        Figure("Payments with 69 features each", "len(names)", 69, 69),
        Figure("25% of these are fraud", "bands['fraud_rate'].iloc[-1]", 0.22, 0.28),
        Figure(
            "thirty times the overall rate",
            "bands['fraud_rate'].iloc[-1] / rows['is_fraud'].mean()",
            27,
            33,
        ),
        Figure(
            "90% of the payments",
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
        Figure("Half of the frauds are known after three days", "(delay <= 3).mean()", 0.45, 0.55),
        Figure("some only after months", "(delay > 60).mean()", 0.01, 0.1),
        Figure(
            "99% of the payments are genuine",
            "1 - valid.train['is_fraud'].mean()",
            0.985,
            0.995,
        ),
        Figure("the share of fraud, which is below 0.01", "valid.test['is_fraud'].mean()", 0, 0.01),
        Figure(
            "for both models it is above 0.9",
            "min(results[name].roc_auc for name in ('amount and time', '69 features'))",
            0.9,
            1,
        ),
        Figure(
            "the average precision of one model is several times that of the other",
            "results['69 features'].average_precision / results['amount and time'].average_precision",
            3,
            9,
        ),
        Figure(
            "far worse than the valid one",
            "results['leak 1, in production'].average_precision / results['69 features'].average_precision",
            0,
            0.5,
        ),
        Figure(
            "production delivers only half of the average precision of the test",
            "results['leak 2, in production'].average_precision"
            " / results['leak 2, in the test'].average_precision",
            0.45,
            0.57,
        ),
        Figure(
            "fall below the valid model (69 features): the first from the start",
            f"{_PRECISION}('leak 1, in production', 0.05) < {_PRECISION}('69 features', 0.05)",
        ),
        Figure(
            "the second from a recall between 20% and 30% on",
            f"{_PRECISION}('leak 2, in production', 0.2) > {_PRECISION}('69 features', 0.2)"
            f" and {_PRECISION}('leak 2, in production', 0.3) < {_PRECISION}('69 features', 0.3)",
        ),
    ],
    "04_train_and_evaluate": [
        Figure(
            "correct for more than 99% of the payments",
            "1 - split.test['is_fraud'].mean()",
            0.99,
            1,
        ),
        Figure(
            "Up to 0.4 the dots are above the diagonal",
            f"{_BINS}.query('score_to <= 0.401').eval('fraud_rate > mean_score').all()",
        ),
        Figure(
            "from 0.1 to 0.2 the whole bar is",
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
            "The interval of the bootstrap is wider",
            "(by_customer.high - by_customer.low)"
            " / (result.confidence_interval('recall')[1] - result.confidence_interval('recall')[0])",
            1.2,
            3,
        ),
        Figure(
            "on every day there are fewer than ten compromised cards",
            "plot_topk(cards).to_frame()['compromised'].max()",
            1,
            9,
        ),
        Figure(
            "On many days they are equal",
            "(plot_topk(cards).to_frame()['precision'] == plot_topk(cards).to_frame()['max_achievable']).mean()",
            0.5,
            1,
        ),
    ],
    "05_thresholds_and_costs": [
        Figure("there, recall is only one eighth", "march.at_threshold(0.5).recall", 0.115, 0.135),
        Figure(
            "Between 0.006 and 0.015 the cost is nearly constant",
            "(lambda cost: cost.max() / cost.min())(march.cost_curve(COST_PER_ALERT, RECOVERY_RATE)"
            ".query('0.006 <= threshold <= 0.015')['cost'])",
            1,
            1.08,
        ),
        Figure(
            "The budget of twenty alerts per day became thirteen",
            "april.at_threshold(by_budget).alerts / 30",
            12.5,
            13.5,
        ),
        Figure("The cost is close to the lowest possible one", "cost / costs.min()", 1, 1.06),
    ],
    "06_comparing_models_and_groups": [
        Figure(
            "The logit is significantly worse by both metrics",
            f"{_DIFFERENCE}('logit 1.0')['difference_high'].max()",
            -1,
            0,
        ),
        Figure(
            "The difference between *trees2* and *trees* is not significant",
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
            "With twenty alerts per day each, *trees* detects 85% of the frauds",
            "results['trees'].at_threshold(float(thresholds['trees'])).recall",
            0.845,
            0.855,
        ),
        Figure(
            "and *logit* 71%",
            "results['logit'].at_threshold(float(thresholds['logit'])).recall",
            0.705,
            0.715,
        ),
        Figure(
            "With ten frauds at cash machines (atm)",
            f"{_CHANNEL}('recall').loc['atm', 'frauds']",
            10,
            10,
        ),
        Figure("fifteen by mobile", f"{_CHANNEL}('recall').loc['mobile', 'frauds']", 15, 15),
        Figure("that difference is significant", "by_channel.difference('recall')[1]", 0, 1),
        Figure("By phone there was no fraud", f"{_CHANNEL}('recall').loc['phone', 'frauds'] == 0"),
        Figure(
            "by phone there are only 50",
            f"{_CHANNEL}('recall').loc['phone', 'transactions']",
            50,
            50,
        ),
        Figure(
            "is nearly three times that of payments in shops",
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
            "a difference of 10 percentage points could remain undetected",
            f"({_AGE}('recall')['value_high'] - {_AGE}('recall')['value_low']).min()",
            0.1,
            1,
        ),
    ],
    "07_model_report": [
        Figure(
            "the highest line falls to a quarter of its initial level",
            "report.weeks['p99'].iloc[-1] / report.weeks['p99'].iloc[0]",
            0.2,
            0.3,
        ),
        Figure(
            "the fraud rate fell to a quarter in the same weeks as well",
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
            "One feature is by far the most important: the amount that the customer spent within the last hour",
            "(report.importances['feature'].iloc[0] == 'amount_velocity_1h')"
            " * report.importances['size'].iloc[0] / report.importances['size'].iloc[1]",
            2,
            10,
        ),
    ],
    "08_more_than_one_machine": [
        Figure("All counts are equal", "True"),
    ],
    "09_label_maturity": [
        Figure("last week is 0.3%", "today['fraud_rate'].iloc[-1]", 0.0025, 0.0035),
        Figure(
            "less than half of the overall rate",
            "today['fraud_rate'].iloc[-1] / (today['frauds'].sum() / today['labelled'].sum())",
            0.4,
            0.5,
        ),
        Figure(
            "The band of that week still contains the dashed line",
            "today['fraud_rate_low'].iloc[-1] < today['frauds'].sum() / today['labelled'].sum() < today['fraud_rate_high'].iloc[-1]",
        ),
        Figure(
            "In March they are close together",
            "counts[counts['timestamp'].dt.month == 3]['change'].max()",
            0,
            0.07,
        ),
        Figure(
            "in May the later line is above the earlier one, most of all in the last week",
            "(counts[counts['timestamp'].dt.month == 5]['change'] > 0).all() and counts['change'].idxmax() == counts.index[-1]",
        ),
        Figure(
            "In the last week, 26 frauds became 57: more than twice as many",
            "tuple(counts[['frauds_today', 'frauds_month_later']].iloc[-1]) == (26, 57)",
        ),
        Figure("there are hundreds of frauds", "curve['final_frauds'].iloc[0]", 300, 999),
        Figure(
            "by the end of age 0, a third of the frauds are known in one of them",
            "maturity.to_frame().query('age == 0')['share'].min()",
            0.3,
            0.35,
        ),
        Figure(
            "four fifths in another",
            "maturity.to_frame().query('age == 0')['share'].max()",
            0.78,
            0.85,
        ),
        Figure(
            "The last number of a grey row is the one in the report",
            "(maturity.cohorts.query('not mature').set_index('cohort')['frauds'] == maturity.to_frame().groupby('cohort')['frauds'].last()[lambda last: last.index > maturity.cohorts.query('mature')['cohort'].max()]).all()",
        ),
        Figure(
            "About half of the frauds are known at the end of their week",
            "curve['share'].iloc[0]",
            0.45,
            0.55,
        ),
        Figure("80% after two weeks", "curve['share'].iloc[1]", 0.795, 0.805),
        Figure("and 90% after four", "curve['share'].iloc[2]", 0.895, 0.905),
        Figure("The 100% after eight weeks", "curve['share'].iloc[3]"),
        Figure(
            "after two weeks, 68% of the money is known",
            "curve['amount_share'].iloc[1]",
            0.675,
            0.685,
        ),
        Figure(
            "half of the frauds are known at age 0, then 26 known frauds suggest about 52",
            "today['frauds'].iloc[-1] / 0.5",
            52,
            52,
        ),
        Figure(
            "The dotted line falls at the end",
            "newest['known_frauds'].iloc[-1] < 0.6 * newest['known_frauds'].iloc[-2]",
        ),
        Figure(
            "the dashed line does not",
            "newest['estimated_frauds'].iloc[-1] / newest['estimated_frauds'].iloc[-2]",
            0.99,
            1.2,
        ),
        Figure(
            "All eight intervals contain the final number",
            "newest['contains_final'].sum() if len(newest) == 8 else 0",
            8,
            8,
        ),
        Figure(
            "All forty intervals contain the final number",
            "backtest['contained'].sum() if len(backtest) == 40 else 0",
            40,
            40,
        ),
        Figure(
            "newest week is 58% too low",
            "totals['error_of_known'].iloc[0]",
            -0.585,
            -0.575,
        ),
        Figure("the nowcast 14%", "totals['error_of_nowcast'].iloc[0]", -0.145, -0.135),
        Figure(
            "All four errors of the nowcast have the same sign",
            "(totals['error_of_nowcast'] < 0).sum()",
            4,
            4,
        ),
        Figure("the fraud rate fell by 30%", "change(states['today'])", -0.305, -0.295),
        Figure("the lost money by half", "change(states['today'], 'fraud_bps')", -0.53, -0.47),
        Figure("A month later the fall is 9%", "change(states['a month later'])", -0.095, -0.085),
        Figure("with all labels 2%", "change(states['all labels'])", -0.025, -0.015),
        Figure("it is 10% higher after the rule", "change(same_age)", 0.095, 0.105),
        Figure(
            "The intervals overlap widely",
            "same_age['fraud_rate_low'].max() < same_age['fraud_rate'].min() and same_age['fraud_rate'].max() < same_age['fraud_rate_high'].min()",
        ),
        Figure(
            "Five weeks give no estimate, six give one",
            "early[0].cohorts['estimated_frauds'].isna().all() and early[1].cohorts['estimated_frauds'].notna().all() and [len(nowcast.cohorts) for nowcast in early[:2]] == [5, 6]",
        ),
        Figure(
            "it takes three weeks as mature, at age 3",
            "early[1].mature_age if early[1].cohorts['mature'].sum() == 3 and not early[1].caveats else 0",
            3,
            3,
        ),
        Figure("a tenth of the frauds comes later", "1 - curve['share'].iloc[2]", 0.095, 0.105),
        Figure(
            "no week counts as mature",
            "not early[2].cohorts['mature'].any() and len(early[2].caveats) == 1",
        ),
    ],
    "10_rules_and_alerts": [
        Figure(
            "Half of the alerts of *keyed or swiped at night* are fraud: the highest precision of all",
            f"{_RULE}.loc['keyed or swiped at night', 'precision'] * ({_RULE}['precision'].idxmax() == 'keyed or swiped at night')",
            0.5,
            0.5,
        ),
        Figure(
            "It has only 26 alerts", f"{_RULE}.loc['keyed or swiped at night', 'alerts']", 26, 26
        ),
        Figure(
            "from 24% to", f"{_RULE}.loc['keyed or swiped at night', 'precision_low']", 0.235, 0.245
        ),
        Figure("76%.", f"{_RULE}.loc['keyed or swiped at night', 'precision_high']", 0.755, 0.765),
        Figure(
            "has the highest recall, 22%",
            f"{_RULE}.loc['keyed or swiped', 'recall'] * ({_RULE}['recall'].idxmax() == 'keyed or swiped')",
            0.215,
            0.225,
        ),
        Figure("never fired", "evaluation.never_fired == ('online jewellery',)"),
        Figure(
            "loses nothing: all 13 of its frauds",
            f"tuple({_RULE}.loc['keyed or swiped at night', ['frauds', 'lost_frauds', 'lost_net_benefit']]) == (13, 0, 0)",
        ),
        Figure(
            "catches 102 frauds that no other rule does",
            f"{_RULE}.loc['four in an hour', 'lost_frauds']",
            102,
            102,
        ),
        Figure(
            "still its lost net benefit is negative",
            f"{_RULE}.loc['four in an hour', 'lost_net_benefit'] < 0",
        ),
        Figure(
            "these frauds are small, 38 euros on average",
            f"{_RULE}.loc['four in an hour', 'lost_value'] / {_RULE}.loc['four in an hour', 'lost_frauds']",
            37.5,
            38.5,
        ),
        Figure(
            "Here there is no such payment",
            "not (payments['is_online'] & (payments['merchant_category'] == 'jewellery')).any()",
        ),
        Figure(
            "most alerts come from one rule alone",
            "evaluation.combinations.query('n_rules == 1')['alerts'].sum() / evaluation.overall['alerts'].iloc[0]",
            0.8,
            1,
        ),
        Figure(
            "the share of fraud, the dark part, tends to be higher",
            "(lambda share: share[True] / share[False])((lambda t: t['frauds'] / t['alerts'])(evaluation.combinations.groupby(evaluation.combinations['n_rules'] > 1)[['frauds', 'alerts']].sum()))",
            1.5,
            20,
        ),
        Figure(
            "shares 23% of its alerts with *night*",
            "pairs.loc[('night abroad', 'night'), 'share_of_rule']",
            0.225,
            0.235,
        ),
        Figure(
            "but 54 of its 83 frauds",
            f"(pairs.loc[('night abroad', 'night'), 'frauds_both'], {_RULE}.loc['night abroad', 'frauds']) == (54, 83)",
        ),
        Figure(
            "Its net benefit alone is positive; what it adds is negative",
            f"{_RULE}.loc['night abroad', 'net_benefit'] > 0 > {_RULE}.loc['night abroad', 'lost_net_benefit']",
        ),
        Figure(
            "Four of the ten rules are chosen",
            "(evaluation.greedy['position'].count(), len(evaluation.greedy)) == (4, 10)",
        ),
        Figure(
            "Two of them, *night abroad* and *four in an hour*, would have a positive net benefit alone",
            f"set({_RULE}.loc[evaluation.greedy.query('position.isna() and gained_net_benefit < 0')['rule'], 'net_benefit'].loc[lambda b: b > 0].index) == {{'night abroad', 'four in an hour'}}",
        ),
        Figure(
            "finds fraud in every week",
            "weeks[weeks['rule'] == 'keyed or swiped']['frauds'].min()",
            1,
            100,
        ),
        Figure(
            "31 of 34 are in four consecutive weeks",
            "(at_merchant['frauds'].iloc[3:7].sum(), at_merchant['frauds'].sum()) == (31, 34)",
        ),
        Figure(
            "more than 60 times in nearly every week",
            "(at_merchant['alerts'].iloc[7:] > 60).mean()",
            0.7,
            0.99,
        ),
        Figure("found 2 frauds", "at_merchant['frauds'].iloc[7:].sum()", 2, 2),
        Figure(
            "its precision of 2.7%",
            f"{_RULE}.loc['merchant M000057', 'precision']",
            0.0265,
            0.0275,
        ),
        Figure(
            "The interval of most weeks without fraud reaches 15% or more",
            "(at_merchant.query('frauds == 0')['precision_high'] >= 0.15).mean()",
            0.5,
            1,
        ),
        Figure(
            "the intervals of these differences do not contain 0",
            "changes.iloc[:3].eval('difference_low * difference_high > 0').all()",
        ),
        Figure(
            "For net benefit the interval does contain 0",
            "changes.iloc[3]['difference_low'] < 0 < changes.iloc[3]['difference_high']",
        ),
        Figure(
            "they overlap, although the difference is significant",
            "(lambda t: t['precision_high'].min() > t['precision_low'].max())(evaluate_rules(payments, versions, **COSTS).rules)",
        ),
        Figure(
            "The model comes first and has the highest net benefit",
            "with_model.greedy['rule'].iloc[0] == with_model.rules.set_index('rule')['net_benefit'].idxmax() == 'model'",
        ),
        Figure(
            "It misses 68 of the 97 frauds of *keyed or swiped*",
            f"({_BESIDE}.loc['keyed or swiped', 'frauds_only_rule'], {_BESIDE}.loc['keyed or swiped', ['frauds_both', 'frauds_only_rule']].sum()) == (68, 97)",
        ),
        Figure(
            "which therefore adds most to it",
            "with_model.greedy['rule'].iloc[1] == 'keyed or swiped'",
        ),
        Figure(
            "finds 2 frauds that the model misses",
            f"{_BESIDE}.loc['large online', 'frauds_only_rule']",
            2,
            2,
        ),
        Figure(
            "*Large online*, the best rule above",
            f"{_RULE}['net_benefit'].idxmax() == 'large online'",
        ),
    ],
}

#: Phrases with a number that does not come from the data, but from a call or the text itself.
GIVEN: dict[str, list[str]] = {
    "01_first_steps": [
        "Two months of payments",
        "These two months are",
        "A 95% interval is designed to contain the true rate in 95 of 100 such samples",
        # Measured by benchmarks/coverage.py.
        "In 200 simulated worlds like this one",
        "of a category in 98% of cases and that of a week in 97%",
        "did so in 72% and 63%",
        "10,000 euros",
        "If two bars do not overlap",
        "two months of 300 customers",
        "fewer than ten customers had a fraud in the category",
    ],
    "02_fraud_patterns": [
        "four months of payments",
        "of a thousand customers",
        "defines two helper functions",
        "ten times the one below",
        "in one or two hours is",
        "payments of 500 euros or more are reviewed pays 495 euros",
        "50, 100, 250 and 500 euros",
        "The last three patterns are not visible",
        "on most days of three weeks",
        "Over all four months",
        "At these four merchants",
        "ten times the usual amount",
        "Two patterns of the same people",
    ],
    "03_features_and_leakage": [
        "four months of payments",
        "the sixth or a later one",
        "Train on 70 days",
        "the following five weeks",
        "every tenth of them with a weight of ten takes a tenth of the time",
        "already has a count of 1",
        "the same 69 features",
        "no row was used twice",
        "The two lines of the leaks",
        "the same two models",
    ],
    "04_train_and_evaluate": [
        "70 days of training",
        "five weeks of test",
        "every tenth is sufficient if it has a weight of ten",
        "For now it is 0.3",
        "The mark is the threshold 0.3",
        "Does a score of 0.3 mean a probability of 30%?",
        "with a score of 0.3, 30% are fraud",
        "A team calls ten customers per day",
        "not with 100%",
        "were among the ten",
        "the following three weeks",
        "If two models",
    ],
    "05_thresholds_and_costs": [
        "A model with two months of predictions",
        "The dashed line marks 0.5",
        "at most 2 of 1,000 genuine payments",
        "of 0.002",
        "There are two costs",
        "suppose 5 euros",
        "suppose 80% is recovered",
        "at most twenty alerts per day",
        "gives twenty alerts per day",
        "it might be thirty",
    ],
    "06_comparing_models_and_groups": [
        "Three models",
        "500 times",
        "does not contain 0",
        "two separate intervals",
        "A score of 0.3 of one model does not mean the same as a score of 0.3 of another",
        "fewer than ten frauds are marked",
        "may cause ten alerts",
    ],
    "07_model_report": [
        "of two models for the same five weeks",
        "Half of the scores are below the lowest line, and 99% are below the highest",
    ],
    "08_more_than_one_machine": [
        "two months of payments",
        "A sum over a billion payments",
        "each payment 40 times",
        "We compute three results",
        "the five most suspicious cards",
    ],
    "09_label_maturity": [
        "Monday, 5 May. Today is Monday, 2 June",
        "one month later",
        "Wait four weeks",
        "The two lines are the same payments",
        "0 for a label that became known in the same week as the payment, 1 for the next week",
        "By the end of age 1, two weeks have passed",
        "a new week at age 0",
        "within one column",
        "by which 95% of the frauds are known, as estimated",
        "four numbers",
        "half of them may take a month",
        "its 90% *prediction interval*",
        "eight weeks of one day prove little",
        "on ten Mondays, with the four newest weeks of each",
        "Of 90% intervals one would expect 36 of 40",
        "are of one world",
        "eight weeks before the rule with the four weeks after it",
        "nothing changed on 5 May",
        "said on 2 June? One correct comparison",
        "Take the four weeks before the rule as they were known on the day when *they* were the last four weeks",
        "Four weeks of a thousand customers cannot show a small effect",
        "3 February, 10 February and 31 March",
        "Six weeks cannot contain a delay of seven",
        "On 31 March late labels",
    ],
    "10_rules_and_alerts": [
        "columns of one payment",
        "looks for one kind of fraud",
        "80% and 5 euros here",
        "have one dot",
        "Two caveats",
        "by one bad week",
        "the last ten together",
        "better from 100 euros on",
        "of the two precisions",
        "is one more rule",
        "on the first half of the payments; on the second half it may raise 20 alerts per day",
        "*four in an hour*",
        "*Four in an hour*",
        "*merchant M000057*",
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
    """Join text into one line, without code and the numbers of lists and lessons."""
    return normal(" ".join(_STRUCTURE.sub(" ", normal_lesson(source)) for source in sources))


def normal_lesson(text: str) -> str:
    """Join the word "lesson" and its number where a line breaks between them."""
    return re.sub(r"\b(lessons?)\n(\d)", r"\1 \2", text)


def normal(text: str) -> str:
    """Join text into one line."""
    return re.sub(r"\s+", " ", text)
