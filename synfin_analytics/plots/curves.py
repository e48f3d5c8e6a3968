"""Precision-recall and ROC curves of one model, or of several in one plot; calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import (
    UNDEFINED,
    format_compact,
    format_decimal,
    format_percent,
)
from synfin_analytics.plots._inputs import (
    check_evaluation,
    check_evaluations,
    describe_intervals,
    describe_threshold,
    explain_no_curve,
    thin_curve,
)
from synfin_analytics.plots._style import (
    DASHES,
    add_count_panel,
    add_legend_right,
    annotate_empty,
    create_display,
    line_styles,
    palette,
    percent_formatter,
    style_axes,
    wrap_label,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics._core.types import Floats
    from synfin_analytics.metrics.evaluation import Evaluation

#: Characters of a line of a model's name.
_NAME_WIDTH = 40
#: Bins whose count can be written above a bar.
_MAX_COUNTS = 12


def plot_precision_recall(
    evaluations: Evaluation | Mapping[str, Evaluation],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Display:
    """Draw precision against recall, over all thresholds.

    The area below the steps is the average precision (AP). The dashed line is the expected
    precision of random alerts: the share of fraud. The marker is the model at its threshold, its
    bars are confidence intervals.

    Parameters
    ----------
    evaluations
        Result of ``evaluate``; or a dict of up to five results by name.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are those of ``evaluation.curve()`` at the thresholds that are drawn; of
        several models with the column ``model``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_precision_recall({"forest": evaluate(df, "fraud", "p")})
    >>> display.to_frame()[["model", "recall", "precision"]].values.tolist()[-1]
    ['forest', 1.0, 0.5]
    """
    models = check_evaluations(evaluations)
    numbers = _thin_curves(models)

    def draw(ax: Axes) -> None:
        colours = palette(ax)
        style_axes(ax, "Precision-recall curve" if title is None else title, grid="both")
        shares = sorted({evaluation.prevalence for evaluation in models.values() if evaluation.n})
        for share in shares:
            ax.axhline(share, color=colours.muted, linewidth=1, linestyle=DASHES, zorder=1)
        ends = dict.fromkeys(format_percent(share) for share in shares[:1] + shares[-1:])
        random_label = f"random alerts: {' to '.join(ends) or UNDEFINED}"
        _draw_curves(ax, models, numbers, ("recall", "precision"), "AP", random_label)
        ax.set_ylabel("precision (share of alerts that are fraud)")
        _set_caption(ax, "recall (share of frauds that are detected)", models)
        _explain_missing_curves(ax, models, needs_genuine=False)

    return create_display(ax, _figure_size(models), numbers, draw)


def plot_roc(
    evaluations: Evaluation | Mapping[str, Evaluation],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Display:
    """Draw recall against the false positive rate, over all thresholds.

    The area below the line is the AUC; the dashed line is the expectation of random alerts. The
    marker is the model at its threshold, its bars are confidence intervals. Where fraud is rare,
    the precision-recall curve is more informative: a low false positive rate can still be many
    false alarms.

    Parameters
    ----------
    evaluations
        Result of ``evaluate``; or a dict of up to five results by name.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are those of ``evaluation.curve()`` at the thresholds that are drawn; of
        several models with the column ``model``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> plot_roc(evaluate(df, "fraud", "p")).ax.get_legend().get_texts()[0].get_text()
    'AUC 0.750'
    """
    models = check_evaluations(evaluations)
    numbers = _thin_curves(models)

    def draw(ax: Axes) -> None:
        style_axes(ax, "ROC curve" if title is None else title, grid="both")
        look: dict[str, Any] = {"color": palette(ax).muted, "linestyle": DASHES}
        ax.plot([0, 1], [0, 1], linewidth=1, zorder=1, **look)
        axes = ("false_positive_rate", "recall")
        _draw_curves(ax, models, numbers, axes, "AUC", "random alerts: 0.500")
        ax.set_ylabel("recall (share of frauds that are detected)")
        _set_caption(ax, "false positive rate (share of genuine transactions alerted)", models)
        _explain_missing_curves(ax, models, needs_genuine=True)

    return create_display(ax, _figure_size(models), numbers, draw)


def _thin_curves(models: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Return the curves of all models, one below the other, at as many points as needed."""
    import pandas as pd

    curves = []
    for name, evaluation in models.items():
        curve = thin_curve(evaluation, _rates, [1.0, 1.0, 1.0])
        if name or len(models) > 1:
            curve.insert(0, "model", name)
        curves.append(curve)
    return pd.concat(curves, ignore_index=True)


def _rates(curve: pd.DataFrame) -> list[Floats]:
    return [curve[rate].to_numpy() for rate in ("precision", "recall", "false_positive_rate")]


def _draw_curves(
    ax: Axes,
    models: Mapping[str, Evaluation],
    numbers: pd.DataFrame,
    axes: tuple[str, str],
    area: str,
    random_label: str,
) -> None:
    """Draw a line for each model, the marker at its threshold, and the legend."""
    from matplotlib.lines import Line2D

    x, y = axes
    handles: list[Any] = []
    for (name, evaluation), (pattern, marker, colour) in zip(
        models.items(), line_styles(ax), strict=False
    ):
        curve = numbers[numbers["model"] == name] if "model" in numbers else numbers
        look: dict[str, Any] = {"linestyle": pattern, "color": colour, "linewidth": 1.6}
        drawstyle = "steps-pre" if area == "AP" else "default"
        ax.plot(curve[x], curve[y], drawstyle=drawstyle, clip_on=False, zorder=3, **look)
        point = {axis: getattr(evaluation.confusion, axis) for axis in axes}
        bar: dict[str, Any] = {"color": colour, "linewidth": 2.4, "alpha": 0.55, "zorder": 4}
        ax.hlines(point[y], *evaluation.confidence_interval(x), clip_on=False, **bar)
        ax.vlines(point[x], *evaluation.confidence_interval(y), clip_on=False, **bar)
        ax.plot(point[x], point[y], marker, color=colour, markersize=6, zorder=5, clip_on=False)
        value = evaluation.average_precision if area == "AP" else evaluation.roc_auc
        label = f"{area} {format_decimal(value)}"
        label = wrap_label(f"{name}: {label}" if name else label, _NAME_WIDTH)
        handles.append(Line2D([], [], marker=marker, label=label, **look))
    look = {"color": palette(ax).muted, "linewidth": 1, "linestyle": DASHES}
    handles.append(Line2D([], [], label=random_label, **look))
    add_legend_right(ax, handles)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(percent_formatter())
        axis.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_box_aspect(1)
    ax.set_anchor("W")


def _figure_size(models: Mapping[str, Evaluation]) -> tuple[float, float]:
    """Return the size of square Axes with room for the longest name beside them."""
    longest = max(min(len(name), _NAME_WIDTH) for name in models)
    return 5.2 + 0.06 * (10 + max(16 if len(models) == 1 else 20, longest)), 4.8


def _set_caption(ax: Axes, text: str, models: Mapping[str, Evaluation]) -> None:
    thresholds = {describe_threshold(evaluation) for evaluation in models.values()}
    threshold = thresholds.pop() if len(thresholds) == 1 else "threshold of each model"
    markers = "marker" if len(models) == 1 else "markers"
    ax.set_xlabel(f"{text}\n{markers}: {threshold}; bars: {describe_intervals(*models.values())}")


def _explain_missing_curves(
    ax: Axes, models: Mapping[str, Evaluation], *, needs_genuine: bool
) -> None:
    reasons = [
        explain_no_curve(evaluation, needs_genuine=needs_genuine) for evaluation in models.values()
    ]
    if all(reasons):
        annotate_empty(ax, "\n".join(dict.fromkeys(reasons)))


def plot_calibration(
    evaluation: Evaluation, ax: Axes | None = None, *, bins: int = 10, title: str | None = None
) -> Display:
    """Draw the fraud rate among transactions of a similar score.

    A dot on the dashed line means that the scores are calibrated: as probabilities, scores are too
    high below the line and too low above it. The bars are confidence intervals; the panel below
    shows how many transactions there are, on a logarithmic scale.

    Parameters
    ----------
    evaluation
        Result of ``evaluate``.
    ax
        Where to draw; by default a new figure.
    bins
        Number of bins of equal width between 0 and 1.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are those of ``evaluation.calibration(bins)``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_calibration(evaluate(df, "fraud", "p"), bins=2)
    >>> display.to_frame()[["score_to", "transactions", "fraud_rate"]].values.tolist()
    [[0.5, 2.0, 0.5], [1.0, 2.0, 0.5]]
    """
    evaluation = check_evaluation(evaluation)
    numbers = evaluation.calibration(bins)

    def draw(ax: Axes) -> None:
        colours = palette(ax)
        style_axes(ax, "Calibration" if title is None else title)
        filled = numbers[numbers["transactions"] > 0]
        end = filled["score_to"].max() if len(filled) else 1.0
        ax.plot([0, end], [0, end], color=colours.muted, linewidth=1, linestyle=DASHES)
        top = 1.0
        if len(filled):
            _draw_calibration(ax, filled)
            highest = max(filled["fraud_rate"].max(), filled["fraud_rate_high"].fillna(0).max())
            top = min(max(1.06 * highest, end), 1.0)
        ax.set_xlim(0, end)
        ax.set_ylim(0, top)
        ax.yaxis.set_major_formatter(percent_formatter())
        ax.set_ylabel("fraud rate")
        panel = _add_bin_counts(ax, numbers)
        panel.set_xlabel(
            f"score (bars: {describe_intervals(evaluation)}; below: transactions, log scale)"
        )
        if not evaluation.n:
            annotate_empty(ax, explain_no_curve(evaluation))

    return create_display(ax, (6.4, 5.2), numbers, draw)


def _draw_calibration(ax: Axes, filled: pd.DataFrame) -> None:
    scores = filled["mean_score"]
    look: dict[str, Any] = {"color": palette(ax).ink, "clip_on": False}
    ax.vlines(
        scores, filled["fraud_rate_low"], filled["fraud_rate_high"], linewidth=2.4, alpha=0.55,
        **look,
    )  # fmt: skip
    ax.plot(scores, filled["fraud_rate"], "o-", markersize=6, linewidth=1, **look)


def _add_bin_counts(ax: Axes, numbers: pd.DataFrame) -> Axes:
    """Draw how many transactions each bin holds, and write it where there is room."""
    colours = palette(ax)
    panel = add_count_panel(ax, 0.6)
    counts = numbers["transactions"].to_numpy()
    heights = np.log10(1 + counts)
    centers = (numbers["score_from"] + numbers["score_to"]) / 2
    widths = numbers["score_to"] - numbers["score_from"]
    panel.bar(centers, heights, width=0.85 * widths, color=colours.bar)
    visible = centers < ax.get_xlim()[1]
    if visible.sum() <= _MAX_COUNTS:
        bars = zip(centers[visible], heights[visible], counts[visible], strict=True)
        for center, height, count in bars:
            panel.annotate(
                format_compact(count) if count else "", (center, height), xytext=(0, 1.5),
                textcoords="offset points", ha="center", fontsize="x-small", color=colours.muted,
            )  # fmt: skip
    panel.set_ylim(0, 1.5 * max(heights.max(initial=0.0), 1.0))
    panel.set_yticks([])
    return panel
