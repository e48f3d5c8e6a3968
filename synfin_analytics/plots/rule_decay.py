"""Rules over time: the precision of each by period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from synfin_analytics._core.arguments import argument_error, check_integer
from synfin_analytics._core.formatting import format_confidence_level, pluralize
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.plots._style import (
    MAX_LINES,
    add_legend_right,
    annotate_empty,
    create_display,
    date_numbers,
    line_styles,
    palette,
    percent_formatter,
    set_date_ticks,
    style_axes,
    text_color,
    wrap_label,
)
from synfin_analytics.plots.rules import check_rules, name_rows, rule_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics.rules.result import RuleEvaluation

#: How rules are drawn over time.
DecayPlot: TypeAlias = Literal["heatmap", "lines"]
_LEGEND_WIDTH = 24
#: Periods whose numbers can be read in a heat map, and that are drawn at most.
_MAX_READABLE, _MAX_PERIODS = 20, 400
#: Periods that have a date each.
_MAX_DATES = 13


def plot_rule_decay(
    evaluation: RuleEvaluation,
    ax: Axes | None = None,
    *,
    kind: DecayPlot = "heatmap",
    rules: Sequence[str] | None = None,
    max_rules: int = 20,
    title: str | None = None,
) -> Display:
    """Draw the precision of rules by period, to see them decay.

    ``"heatmap"``: a row for each rule and a column for each period; the colour is the precision,
    the number its percentage. Cells are grey where a rule has alerts but none with a label, and
    empty where it has none. ``"lines"``: precision with a band for its interval, of at most 5
    rules.

    Parameters
    ----------
    evaluation
        Result of ``evaluate_rules``, with times.
    ax
        Where to draw; by default a new figure of a suitable size.
    kind
        ``"heatmap"`` or ``"lines"``.
    rules
        Names of the rules to draw; by default those with the most alerts.
    max_rules
        How many rules to draw at most; lines are at most 5.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``evaluation.by_period`` that are drawn.

    Raises
    ------
    NotFoundError
        A rule of ``rules`` was not evaluated.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate_rules
    >>> df = pd.DataFrame(
    ...     {
    ...         "is_fraud": [True, False, False],
    ...         "timestamp": pd.to_datetime(["2026-01-05", "2026-01-06", "2026-01-13"]),
    ...         "night": [True, True, True],
    ...     }
    ... )
    >>> plot_rule_decay(evaluate_rules(df, ["night"]))
    Display('Precision of rules by period', 2 rows)
    """
    evaluation = check_rules(evaluation)
    if kind not in get_args(DecayPlot):
        raise argument_error("kind", '"heatmap" or "lines"', kind)
    max_rules = check_integer(max_rules, "max_rules", minimum=1)
    names = _choose(evaluation, rules)
    drawn = names[: min(max_rules, MAX_LINES) if kind == "lines" else max_rules]
    by_period = rule_table(evaluation, "by_period")
    periods = np.sort(by_period["period"].unique())[-_MAX_PERIODS:]
    numbers = by_period[by_period["rule"].isin(drawn) & by_period["period"].isin(periods)]
    numbers = numbers.reset_index(drop=True)
    n_hidden = len(names) - len(drawn)
    hidden = f"; {pluralize(n_hidden, 'rule')} not shown" if n_hidden else ""
    heading = "Precision of rules by period" if title is None else title
    labels, rows_height = name_rows(drawn)

    def draw(ax: Axes) -> None:
        style_axes(ax, heading, grid="" if kind == "heatmap" else "y")
        if not numbers["alerts"].any():
            reason = "no alert of these rules" if len(by_period) else "no times"
            annotate_empty(ax, reason, ticks=False)
            ax.set_yticks([])
            return
        if kind == "heatmap":
            _draw_cells(ax, numbers, drawn, labels)
            readable = len(numbers["period"].unique()) <= _MAX_READABLE
            number = "number: precision in %; " if readable else ""
            ax.set_xlabel(f"{number}grey: no label; empty: no alert{hidden}")
        else:
            _draw_lines(ax, numbers, drawn)
            level = format_confidence_level(evaluation.confidence_level)
            ax.set_xlabel(f"band: {level} CI{hidden}")
            ax.set_ylabel("precision")

    height = 1.8 + rows_height if kind == "heatmap" else 4.0
    return create_display(ax, (8.4, height), numbers, draw)


def _choose(evaluation: RuleEvaluation, rules: Sequence[str] | None) -> list[str]:
    """Return the rules to draw: those that the caller names, or by number of alerts."""
    if rules is None:
        table = rule_table(evaluation, "rules")
        return [
            str(name)
            for name in table.sort_values("alerts", ascending=False, kind="stable")["rule"]
        ]
    names = [rules] if isinstance(rules, str) else list(dict.fromkeys(rules))
    for name in names:
        if name not in evaluation.names:
            raise NotFoundError("rule", str(name), evaluation.names)
    return names


def _draw_cells(
    ax: Axes, numbers: pd.DataFrame, rules: Sequence[str], labels: Sequence[str]
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = palette(ax)
    periods = np.sort(numbers["period"].unique())
    columns = np.searchsorted(periods, numbers["period"])
    rows = numbers["rule"].map({name: row for row, name in enumerate(rules)}).to_numpy()
    shape = len(rules), len(periods)
    precision, alerts = np.full(shape, np.nan), np.zeros(shape)
    precision[rows, columns], alerts[rows, columns] = numbers["precision"], numbers["alerts"]
    top = float(np.nanmax(precision, initial=0.0)) or 1.0
    colormap = LinearSegmentedColormap.from_list("precision", [colours.paper, colours.ink])
    grey = LinearSegmentedColormap.from_list("unlabelled", [colours.grid, colours.grid])
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
    unlabelled = (alerts > 0) & np.isnan(precision)
    ax.imshow(np.where(unlabelled, 1.0, np.nan), cmap=grey, vmin=0, vmax=1, **look)
    image = ax.imshow(precision, cmap=colormap, vmin=0, vmax=top, **look)
    if shape[1] <= _MAX_READABLE:
        for row, column in zip(*np.nonzero(np.isfinite(precision)), strict=True):
            ax.text(
                column, row, f"{100 * precision[row, column]:.0f}", ha="center", va="center",
                fontsize="x-small", color=text_color(colormap(precision[row, column] / top)),
            )  # fmt: skip
    ax.set_yticks(np.arange(shape[0]), labels)
    ax.set_yticks(np.arange(shape[0] + 1) - 0.5, minor=True)
    ax.grid(visible=True, which="minor", axis="y", color=colours.grid, linewidth=0.8)
    ax.tick_params(axis="both", which="both", length=0)
    step = -(-shape[1] // _MAX_DATES)
    ticks = np.arange(0, shape[1], step)
    turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if len(ticks) > 6 else {}
    texts = [_format_period(periods[tick]) for tick in ticks]
    ax.set_xticks(ticks, texts, fontsize="x-small", **turned)
    ax.spines["bottom"].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.02, format=percent_formatter())
    bar.outline.set_visible(False)
    bar.set_label("precision")


def _format_period(period: Any) -> str:
    return f"{period:%Y-%m-%d %H:%M}".removesuffix(" 00:00")


def _draw_lines(ax: Axes, numbers: pd.DataFrame, rules: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    for name, (pattern, marker, colour) in zip(rules, line_styles(ax), strict=False):
        rows = numbers[numbers["rule"] == name]
        x = date_numbers(rows["period"].dt.tz_localize(None).to_numpy())
        value, low, high = (
            rows[column].to_numpy(np.float64)
            for column in ("precision", "precision_low", "precision_high")
        )
        ax.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0, zorder=1.5)
        look: dict[str, Any] = {"linestyle": pattern, "marker": marker, "color": colour}
        look |= {"linewidth": 1.6, "markersize": 4}
        ax.plot(x, value, clip_on=False, zorder=3, **look)
        handles.append(Line2D([], [], label=wrap_label(name, _LEGEND_WIDTH), **look))
    if len(handles) > 1:
        add_legend_right(ax, handles)
    ax.set_ylim(0, 1.0)
    ax.yaxis.set_major_formatter(percent_formatter())
    periods = numbers["period"].dt.tz_localize(None).drop_duplicates()
    set_date_ticks(ax, periods)
