"""The same model on the handbook's 15 inputs and on our 69: python benchmarks/features_model.py

On the handbook's own split, with intervals over customers, and on other weeks as well; then what
each feature is worth to the model, and which ones these data say nothing of.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import click
import handbook
import numpy as np
import polars as pl

from synfin_analytics.features import FEATURES, engineer_features
from synfin_analytics.metrics.evaluation import evaluate
from synfin_analytics.metrics.splits import prequential_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.splits import TimeSplit

K, SHUFFLES = 100, 5
#: A feature is weak that is worth less average precision.
WEAK = 0.001
#: Ours are marked, since ``amount`` and others might be called the same.
OURS = tuple(f"f_{name}" for name in FEATURES)
INPUTS = {"15": handbook.FEATURES, "69": OURS}
METRICS = ("average precision", f"card precision@{K}")


def read(path: Path) -> pl.DataFrame:
    """Rows of the file with the handbook's features and ours."""
    rows = pl.read_parquet(path, columns=list(handbook.COLUMNS)).rename(handbook.COLUMNS)
    rows = handbook.add_features(rows.with_columns(pl.col("is_fraud") == 1))
    ours = engineer_features(rows, label_delay="7d").drop("transaction_id")
    return rows.hstack(ours.rename(dict(zip(FEATURES, OURS, strict=True))))


def boosted() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Gradient boosting: of XGBoost as the authors set it, and of scikit-learn as it comes."""
    next(handbook.models())  # which says what to install
    if importlib.util.find_spec("xgboost") is not None:
        yield "XGBoost", lambda: dict(handbook.models())["XGBoost"]
    from sklearn.ensemble import HistGradientBoostingClassifier

    yield "scikit-learn's", lambda: HistGradientBoostingClassifier(random_state=0)


def known(rows: pl.DataFrame, inputs: Sequence[str]) -> list[str]:
    """Those inputs of which anything is known in the rows."""
    return [name for name in inputs if rows[name].null_count() < len(rows)]


def values(rows: pl.DataFrame, inputs: Sequence[str]) -> np.ndarray:
    """Inputs as numbers, NaN where they are NULL: both libraries read it as missing."""
    return rows.select(pl.col(inputs).cast(pl.Float64)).to_numpy()


def fitted(make: Callable[[], Any], sets: TimeSplit[pl.DataFrame], inputs: Sequence[str]) -> Any:
    return make().fit(values(sets.train, inputs), sets.train["is_fraud"].to_numpy())


def evaluated(model: Any, rows: pl.DataFrame, inputs: np.ndarray) -> Evaluation:
    score = model.predict_proba(inputs)[:, 1].astype(np.float64)
    return evaluate(rows.with_columns(fraud_probability=score))


def drawn(result: Evaluation, metric: str, draws: int) -> Bootstrap:
    """Draws of customers, the same for each model."""
    name = "average_precision" if metric == METRICS[0] else "card_precision_at_k"
    return result.bootstrap(name, cluster="customer_id", n_resamples=draws, k=K)


def side_by_side(sets: TimeSplit[pl.DataFrame], names: dict[str, list[str]], draws: int) -> None:
    """Both sets of inputs on the handbook's split, and their paired difference."""
    click.echo(f"{'':16}{'metric':22}{'15':>24}{'69':>24}{'difference':>28}")
    for name, make in boosted():
        results = {
            which: evaluated(fitted(make, sets, inputs), sets.test, values(sets.test, inputs))
            for which, inputs in names.items()
        }
        for metric in METRICS:
            of = {which: drawn(result, metric, draws) for which, result in results.items()}
            one, other = of.values()
            apart = other.difference(one)
            cells = "".join(
                f"{each.value:{sign}.3f} ({each.low:{sign}.3f} to {each.high:{sign}.3f})".rjust(
                    width
                )
                for each, sign, width in ((one, "", 24), (other, "", 24), (apart, "+", 28))
            )
            click.echo(f"{name:16}{metric:22}{cells}")


def other_weeks(rows: pl.DataFrame, names: dict[str, list[str]], folds: int) -> None:
    """The same on the last weeks of the file: how often 69 are better, and by how much."""
    name, make = next(boosted())
    found = []
    for sets in prequential_folds(rows, folds, train="7d", label_delay="7d", test="7d"):
        line = []
        for inputs in names.values():
            model = fitted(make, sets, inputs)
            result = evaluated(model, sets.test, values(sets.test, inputs))
            line.append((result.average_precision, result.card_precision_at_k(K).value))
        found.append(line)
    both = np.array(found)
    click.echo(
        f"\n{name} on the last {folds} weeks, each trained on the week that ended a week before:"
    )
    for at, metric in enumerate(METRICS):
        less, more = both[:, 0, at], both[:, 1, at]
        click.echo(
            f"  {metric}: {less.mean():.3f} with 15, {more.mean():.3f} with 69, "
            f"better in {(more > less).sum()} of {folds}"
        )


def worth(sets: TimeSplit[pl.DataFrame], inputs: list[str]) -> None:
    """Say how much average precision is lost when one feature's values change places."""
    name, make = next(boosted())
    model, table = fitted(make, sets, inputs), values(sets.test, inputs)
    whole = evaluated(model, sets.test, table).average_precision
    rng = np.random.default_rng(0)
    lost = {}
    for at, feature in enumerate(inputs):
        kept, shuffled = table[:, at].copy(), []
        for _ in range(SHUFFLES):
            table[:, at] = rng.permutation(kept)
            shuffled.append(evaluated(model, sets.test, table).average_precision)
        table[:, at] = kept
        lost[feature.removeprefix("f_")] = whole - np.mean(shuffled)
    order = sorted(lost, key=lambda feature: -lost[feature])
    best = ", ".join(f"{one} {lost[one]:.3f}" for one in order if lost[one] >= WEAK)
    weak = [feature for feature in order if lost[feature] < WEAK]
    unknown = [feature for feature in FEATURES if feature not in lost]
    click.echo(f"\nAverage precision that {name} loses when a feature is shuffled: {best}")
    click.echo(f"Less than {WEAK} ({len(weak)}): {', '.join(weak)}")
    click.echo(f"Nothing known in these data ({len(unknown)}): {', '.join(unknown) or 'none'}")


@click.command()
@handbook.data_option
@click.option("--folds", default=8, show_default=True, help="Weeks to try besides the split's.")
@click.option("--draws", default=1000, show_default=True, help="Of customers, for intervals.")
def main(data: Path, folds: int, draws: int) -> None:
    """Print both models' figures with intervals, and what each feature is worth."""
    found = handbook.find(data)
    if not found:
        raise click.ClickException(f"There is no handbook/transactions.parquet below {data}.")
    rows = read(found[0])
    names = {which: known(rows, inputs) for which, inputs in INPUTS.items()}
    sets = handbook.split(rows)
    click.echo(f"{sets}\n")
    side_by_side(sets, names, draws)
    if folds:
        other_weeks(rows, names, folds)
    worth(sets, names["69"])


if __name__ == "__main__":
    main()
