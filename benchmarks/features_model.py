"""The same model on the handbook's 15 inputs and on our 69: python benchmarks/features_model.py

On the handbook's own split, with intervals over customers, and on other weeks; then the permutation
importance of each feature, and the features that these data have no values for.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import click
import handbook
import numpy as np
import polars as pl

from synfin_analytics.features import FEATURES, engineer_features
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics.prequential import PrequentialSplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.splits import TimeSplit

K, SHUFFLES = 100, 5
#: A feature is weak if the model loses less average precision without it.
WEAK = 0.001
#: Our features have a prefix, since some names might be the same.
OURS = tuple(f"f_{name}" for name in FEATURES)
INPUTS = {"15": handbook.FEATURES, "69": OURS}
METRICS = ("average precision", f"card precision@{K}")


def read(path: Path) -> pl.DataFrame:
    """Rows of the file with the handbook's features and ours."""
    rows = pl.read_parquet(path, columns=list(handbook.COLUMNS)).rename(handbook.COLUMNS)
    rows = handbook.add_features(rows.with_columns(pl.col("is_fraud") == 1))
    features = engineer_features(rows, label_delay="7d").drop("transaction_id")
    return rows.hstack(features.rename(dict(zip(FEATURES, OURS, strict=True))))


def boosting_models() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Gradient boosting: XGBoost with the authors' settings, and scikit-learn with its defaults."""
    next(handbook.models())  # raises an error that names what to install
    if importlib.util.find_spec("xgboost") is not None:
        yield "XGBoost", lambda: dict(handbook.models())["XGBoost"]
    from sklearn.ensemble import HistGradientBoostingClassifier

    yield "scikit-learn's", lambda: HistGradientBoostingClassifier(random_state=0)


def available_columns(rows: pl.DataFrame, inputs: Sequence[str]) -> list[str]:
    """The inputs that have a value in any row."""
    return [name for name in inputs if rows[name].null_count() < len(rows)]


def to_matrix(rows: pl.DataFrame, inputs: Sequence[str]) -> np.ndarray:
    """Inputs as numbers, NaN where they are NULL, which both libraries treat as missing."""
    return rows.select(pl.col(inputs).cast(pl.Float64)).to_numpy()


def fit(make: Callable[[], Any], sets: TimeSplit[pl.DataFrame], inputs: Sequence[str]) -> Any:
    return make().fit(to_matrix(sets.train, inputs), sets.train["is_fraud"].to_numpy())


def evaluate_model(model: Any, rows: pl.DataFrame, inputs: np.ndarray) -> Evaluation:
    score = model.predict_proba(inputs)[:, 1].astype(np.float64)
    return evaluate(rows.with_columns(fraud_probability=score))


def bootstrap_metric(result: Evaluation, metric: str, draws: int) -> Bootstrap:
    """Bootstrap of a metric over customers, with the same draws for each model."""
    name = "average_precision" if metric == METRICS[0] else "card_precision_at_k"
    return result.bootstrap(name, cluster="customer_id", n_resamples=draws, k=K)


def compare_inputs(sets: TimeSplit[pl.DataFrame], names: dict[str, list[str]], draws: int) -> None:
    """Both sets of inputs on the handbook's split, and their paired difference."""
    click.echo(f"{'':16}{'metric':22}{'15':>24}{'69':>24}{'difference':>28}")
    for name, make in boosting_models():
        results = {
            label: evaluate_model(fit(make, sets, inputs), sets.test, to_matrix(sets.test, inputs))
            for label, inputs in names.items()
        }
        for metric in METRICS:
            bootstraps = {
                label: bootstrap_metric(result, metric, draws) for label, result in results.items()
            }
            first, second = bootstraps.values()
            difference = second.difference(first)
            cells = "".join(
                (
                    f"{estimate.value:{sign}.3f} "
                    f"({estimate.low:{sign}.3f} to {estimate.high:{sign}.3f})"
                ).rjust(width)
                for estimate, sign, width in (
                    (first, "", 24),
                    (second, "", 24),
                    (difference, "+", 28),
                )
            )
            click.echo(f"{name:16}{metric:22}{cells}")


def compare_weeks(rows: pl.DataFrame, names: dict[str, list[str]], folds: int) -> None:
    """The same on the last weeks of the file: how often the 69 are better, and by how much."""
    name, make = next(boosting_models())
    results = []
    for sets in PrequentialSplit(folds).folds(rows):
        metrics = []
        for inputs in names.values():
            model = fit(make, sets, inputs)
            result = evaluate_model(model, sets.test, to_matrix(sets.test, inputs))
            metrics.append((result.average_precision, result.card_precision_at_k(K).value))
        results.append(metrics)
    values = np.array(results)
    click.echo(
        f"\n{name} on the last {folds} weeks, each trained on the week that ended a week before:"
    )
    for number, metric in enumerate(METRICS):
        with_15, with_69 = values[:, 0, number], values[:, 1, number]
        click.echo(
            f"  {metric}: {with_15.mean():.3f} with 15, {with_69.mean():.3f} with 69, "
            f"better in {(with_69 > with_15).sum()} of {folds}"
        )


def permutation_importance(sets: TimeSplit[pl.DataFrame], inputs: list[str]) -> None:
    """Print the average precision that is lost when the values of a feature are shuffled."""
    name, make = next(boosting_models())
    model, table = fit(make, sets, inputs), to_matrix(sets.test, inputs)
    baseline = evaluate_model(model, sets.test, table).average_precision
    rng = np.random.default_rng(0)
    losses = {}
    for column, feature in enumerate(inputs):
        original, shuffled = table[:, column].copy(), []
        for _ in range(SHUFFLES):
            table[:, column] = rng.permutation(original)
            shuffled.append(evaluate_model(model, sets.test, table).average_precision)
        table[:, column] = original
        losses[feature.removeprefix("f_")] = baseline - np.mean(shuffled)
    order = sorted(losses, key=lambda feature: -losses[feature])
    best = ", ".join(
        f"{feature} {losses[feature]:.3f}" for feature in order if losses[feature] >= WEAK
    )
    weak_features = [feature for feature in order if losses[feature] < WEAK]
    missing = [feature for feature in FEATURES if feature not in losses]
    click.echo(f"\nAverage precision that {name} loses when a feature is shuffled: {best}")
    click.echo(f"Less than {WEAK} ({len(weak_features)}): {', '.join(weak_features)}")
    click.echo(f"No values in these data ({len(missing)}): {', '.join(missing) or 'none'}")


@click.command()
@handbook.data_option
@click.option("--folds", default=8, show_default=True, help="Weeks in addition to the split's.")
@click.option("--draws", default=1000, show_default=True, help="Bootstrap samples of customers.")
def main(data: Path, folds: int, draws: int) -> None:
    """Print the metrics of both models with intervals, and the importance of each feature."""
    files = handbook.find(data)
    if not files:
        raise click.ClickException(f"No handbook/transactions.parquet in {data}.")
    rows = read(files[0])
    names = {label: available_columns(rows, inputs) for label, inputs in INPUTS.items()}
    sets = handbook.split(rows)
    click.echo(f"{sets}\n")
    compare_inputs(sets, names, draws)
    if folds:
        compare_weeks(rows, names, folds)
    permutation_importance(sets, names["69"])


if __name__ == "__main__":
    main()
