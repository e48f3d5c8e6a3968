"""Precision-recall and ROC curves: one model, or several on one Axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics._core.formatting import UNDEFINED, format_decimal, format_percent
from synfin_analytics.plots import style
from synfin_analytics.plots._validation import (
    at_threshold,
    curves,
    interval_words,
    missing_class,
    named,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.metrics.evaluation import Evaluation


#: Letters in a line of a model's name.
_NAME = 40


def plot_precision_recall(
    evaluations: Evaluation | Mapping[str, Evaluation],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Display:
    """Draw precision against recall, over all thresholds.

    Each step stands at what its threshold reaches, so that the area below the line is the average
    precision (AP). The dashed line is what alerts at random would reach: the share of fraud. A
    mark stands at the model's own threshold, its bars are the intervals.

    Parameters
    ----------
    evaluations
        What ``evaluate`` returned; or up to five of these, by name.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame is ``curve()`` of the evaluation, at the thresholds that are drawn; of several
        models with the column ``model``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.evaluation import evaluate
    >>> frame = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_precision_recall({"mine": evaluate(frame, "fraud", "p")})
    >>> display.to_frame()[["model", "recall", "precision"]].values.tolist()[-1]
    ['mine', 1.0, 0.5]
    """
    models = named(evaluations)
    numbers = curves(models)

    def draw(ax: Axes) -> None:
        colours = style.palette(ax)
        style.dress(ax, "Precision-recall curve" if title is None else title, grid="both")
        levels = sorted({one.prevalence for one in models.values() if one.n})
        for level in levels:
            ax.axhline(level, color=colours.grey, linewidth=1, linestyle=style.DASHES, zorder=1)
        ends = dict.fromkeys(format_percent(level) for level in levels[:1] + levels[-1:])
        chance = f"at random: {' to '.join(ends) or UNDEFINED}"
        _lines(ax, models, numbers, ("recall", "precision"), "AP", chance)
        ax.set_ylabel("precision: share of the alerts that are fraud")
        _caption(ax, "recall: share of the frauds that are found", models)
        _say_what_is_missing(ax, models, genuine=False)

    return style.drawn(ax, _size(models), numbers, draw)


def plot_roc(
    evaluations: Evaluation | Mapping[str, Evaluation],
    ax: Axes | None = None,
    *,
    title: str | None = None,
) -> Display:
    """Draw the share of frauds found against the share of false alarms, over all thresholds.

    The area below the line is the AUC; the dashed line is what alerts at random would reach. A
    mark stands at the model's own threshold, its bars are the intervals. Where fraud is rare, the
    precision-recall curve tells more: a tiny share of false alarms can be many alarms.

    Parameters
    ----------
    evaluations
        What ``evaluate`` returned; or up to five of these, by name.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame is ``curve()`` of the evaluation, at the thresholds that are drawn; of several
        models with the column ``model``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.evaluation import evaluate
    >>> frame = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> plot_roc(evaluate(frame, "fraud", "p")).ax.get_legend().get_texts()[0].get_text()
    'AUC 0.750'
    """
    models = named(evaluations)
    numbers = curves(models)

    def draw(ax: Axes) -> None:
        colours = style.palette(ax)
        style.dress(ax, "ROC curve" if title is None else title, grid="both")
        ax.plot([0, 1], [0, 1], color=colours.grey, linewidth=1, linestyle=style.DASHES, zorder=1)
        _lines(ax, models, numbers, ("false_positive_rate", "recall"), "AUC", "at random: 0.500")
        ax.set_ylabel("recall: share of the frauds that are found")
        _caption(ax, "share of genuine transactions that are alerts", models)
        _say_what_is_missing(ax, models, genuine=True)

    return style.drawn(ax, _size(models), numbers, draw)


def _lines(
    ax: Axes,
    models: Mapping[str, Evaluation],
    numbers: pd.DataFrame,
    axes: tuple[str, str],
    area: str,
    chance: str,
) -> None:
    """Draw a line for each model, the mark at its threshold, and the legend."""
    from matplotlib.lines import Line2D

    colours = style.palette(ax)
    x, y = axes
    handles: list[Any] = []
    for (name, one), (line, mark, colour) in zip(models.items(), style.styles(ax), strict=False):
        curve = numbers[numbers["model"] == name] if "model" in numbers else numbers
        look: dict[str, Any] = {"linestyle": line, "color": colour, "linewidth": 1.6}
        steps = "steps-pre" if area == "AP" else "default"
        ax.plot(curve[x], curve[y], drawstyle=steps, clip_on=False, zorder=3, **look)
        at = {axis: getattr(one.confusion, axis) for axis in axes}
        bar: dict[str, Any] = {"color": colour, "linewidth": 2.4, "alpha": 0.55, "zorder": 4}
        ax.hlines(at[y], *one.confidence_interval(x), clip_on=False, **bar)
        ax.vlines(at[x], *one.confidence_interval(y), clip_on=False, **bar)
        ax.plot(at[x], at[y], mark, color=colour, markersize=6, zorder=5, clip_on=False)
        value = one.average_precision if area == "AP" else one.roc_auc
        known = f"{area} {format_decimal(value)}"
        handles.append(
            Line2D(
                [],
                [],
                marker=mark,
                label=style.wrapped(f"{name}: {known}" if name else known, _NAME),
                **look,
            )
        )
    handles.append(
        Line2D([], [], color=colours.grey, linewidth=1, linestyle=style.DASHES, label=chance)
    )
    style.legend_beside(ax, handles)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(style.percent_ticks())
        axis.set_ticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_box_aspect(1)
    ax.set_anchor("W")


def _size(models: Mapping[str, Evaluation]) -> tuple[float, float]:
    """Square Axes, and room for the longest name beside them."""
    longest = max(min(len(name), _NAME) for name in models)
    return 5.2 + 0.06 * (10 + max(12 if len(models) == 1 else 17, longest)), 4.8


def _caption(ax: Axes, text: str, models: Mapping[str, Evaluation]) -> None:
    places = {at_threshold(one) for one in models.values()}
    place = places.pop() if len(places) == 1 else "each at its own threshold"
    mark = "mark" if len(models) == 1 else "marks"
    ax.set_xlabel(f"{text}\n{mark}: {place}, bars: {interval_words(models)}")


def _say_what_is_missing(ax: Axes, models: Mapping[str, Evaluation], *, genuine: bool) -> None:
    """Say why there is no line at all."""
    reasons = [missing_class(one, genuine=genuine) for one in models.values()]
    if all(reasons):
        style.say(ax, "\n".join(dict.fromkeys(reasons)))
