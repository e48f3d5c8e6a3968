"""What a reader does with a report in a browser: explore, point, sort, fold, find."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest
from browser import OUT, chromium
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Page

from synfin_analytics import plots
from synfin_analytics._core.formatting import (
    format_amount,
    format_number,
    format_percent,
    format_threshold,
)
from synfin_analytics.reports import model_report

#: Thresholds in the order in which the slider is dragged to them, and the ends of the scores.
THRESHOLDS = (0.5, 0.12, 0.37, 0.0, 0.31)
DAYS = 40


@pytest.fixture(scope="module")
def report(world):
    with world.get_session() as session:
        return model_report(
            "forest", "1.0", compare_with=("logit", "1.0"), session=session, n_resamples=20
        )


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(report, tmp_path_factory):
    return report.save(tmp_path_factory.mktemp("report") / "model.html").as_uri()


@pytest.fixture(params=[1100])
def width(request):
    return request.param


@pytest.fixture
def opened(width, browser, address):
    """The report, just opened; it must ask for nothing, and nothing may fail."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    requested, complaints = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    yield page
    assert requested == [page.url.partition("#")[0]]
    assert complaints == []
    page.close()


@pytest.fixture
def page(opened):
    """The report with all its sections expanded."""
    opened.locator("main").get_by_role("button", name="Expand all sections").click()
    return opened


@pytest.fixture
def slider(page):
    return page.get_by_label("Threshold: drag")


def drag_to(page, slider, position: int, count: int) -> None:
    """Drag the knob of a slider to one of its positions, as nearly as a pixel allows."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    knob = 16  # px, in Chromium

    def x(at: float) -> float:
        return box["x"] + knob / 2 + at / (count - 1) * (box["width"] - knob)

    middle = box["y"] + box["height"] / 2
    page.mouse.move(x(float(slider.input_value())), middle)
    page.mouse.down()
    page.mouse.move(x(position), middle, steps=4)
    page.mouse.up()


def shown(page, name: str) -> list[str]:
    """Lines of a result, the first of them its value."""
    return page.locator(f"[data-result={name}]").inner_text().splitlines()


def expected(report, threshold: float) -> dict[str, str]:
    """What the explorer must show at a threshold."""
    one = report.evaluation.at_threshold(threshold)
    costs = report.costs
    row = costs[costs["threshold"] >= threshold].iloc[-1]
    confusion = one.confusion
    return {
        "precision": format_percent(one.precision),
        "recall": format_percent(one.recall),
        "rate": format_percent(confusion.false_positive_rate),
        "daily": format_number(one.alerts / DAYS, 1),
        "value": format_percent(row["caught_amount"] / costs["caught_amount"].iloc[-1]),
        "cost": format_amount(one.cost(5.0), "EUR"),
    } | {name: format_number(getattr(confusion, name)) for name in ("tp", "fp", "fn", "tn")}


def results(page) -> dict[str, str]:
    tiles = ("precision", "recall", "rate", "daily", "value", "cost")
    counts = ("tp", "fp", "fn", "tn")
    return {name: shown(page, name)[1] for name in tiles} | {
        name: shown(page, name)[0] for name in counts
    }


# -- The explorer ---------------------------------------------------------------------------------


def test_dragging_the_slider_shows_what_the_evaluation_gives_at_each_threshold(
    page, slider, report
):
    data = Page(report.html()).data["explorer-data"]
    thresholds = data["points"]["threshold"]
    for threshold in THRESHOLDS:
        position = sum(1 for value in thresholds[1:] if value >= threshold)
        drag_to(page, slider, len(thresholds) - 1 - position, len(thresholds))
        root = page.locator("#explorer")
        reached = float(root.get_attribute("data-threshold"))
        assert reached == pytest.approx(threshold, abs=0.01)  # a pixel is several thresholds
        assert results(page) == expected(report, reached)


def test_a_threshold_can_be_typed_and_is_exact(page, report):
    for threshold in THRESHOLDS:
        page.get_by_label("Threshold", exact=True).fill(str(threshold))
        page.keyboard.press("Tab")
        assert results(page) == expected(report, threshold)


def test_the_keyboard_moves_the_slider_and_a_screen_reader_hears_where_it_is(page, slider):
    before = slider.get_attribute("aria-valuetext")
    slider.press("ArrowLeft")
    after = slider.get_attribute("aria-valuetext")
    assert after != before
    assert re.fullmatch(r"threshold 0\.\d+, [\d.]+ alerts per day", after)
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "no alerts, 0.0 alerts per day"
    assert shown(page, "precision")[1] == "not defined"
    status = page.locator("#explorer .said")
    status.get_by_text("At no alerts").wait_for()
    assert "Recall 0.00%" in status.inner_text()


def test_the_alert_budget_selects_the_threshold_that_it_allows(page, report):
    page.get_by_label("Alert budget per day").fill("5")
    threshold = report.evaluation.threshold_for_alerts(5 * DAYS)
    assert results(page) == expected(report, threshold.value)


def test_costs_follow_from_what_is_typed_and_the_lowest_is_found(page, report):
    page.get_by_label("Cost per alert").fill("20")
    page.get_by_label("Recovery rate").fill("50")
    best = report.evaluation.best_threshold(20, 0.5)
    page.get_by_role("button", name="Lowest cost").click()
    one = report.evaluation.at_threshold(best)
    assert shown(page, "cost")[1] == format_amount(one.cost(20, 0.5), "EUR")
    assert results(page)["recall"] == format_percent(one.recall)
    page.get_by_role("button", name="Back to the start").click()
    one = report.evaluation
    assert shown(page, "cost")[1] == format_amount(one.cost(20, 0.5), "EUR")


def test_the_point_is_marked_on_every_curve(page, slider):
    marks = page.locator("#explorer .mark circle")
    places = "all => all.map(one => [one.getAttribute('cx'), one.getAttribute('cy')])"
    before = marks.evaluate_all(places)
    assert len(before) == 4
    slider.press("PageDown")
    after = marks.evaluate_all(places)
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_click_on_a_curve_selects_its_threshold(page):
    plot = page.locator("#explorer .plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = plot.locator(".tip").inner_text()
    threshold = page.locator("#explorer").get_attribute("data-threshold")
    assert tip.startswith(f"threshold {format_threshold(float(threshold))}: precision")


# -- The threshold on the other pictures ----------------------------------------------------------

#: Where a threshold is on a picture: a name, its axes in the file, and what is along x and y.
PLACES = (
    ("pr", 1, "recall", "precision"),
    ("roc", 1, "rate", "recall"),
    ("th", 1, "threshold", None),
    ("th", 1, "threshold", "precision"),
    ("th", 1, "threshold", "recall"),
    ("th", 2, "threshold", None),
    ("th", 2, "threshold", "share"),
    ("cost", 1, "threshold", None),
    ("cost", 1, "threshold", "cost"),
    ("cal", 1, "threshold", None),
    ("cal", 2, "threshold", None),
    ("scores", 1, None, "threshold"),
)
NAMES = tuple(dict.fromkeys(name for name, *_ in PLACES))
#: For each mark of a picture: where it is, as shares of the axes whose area is the nearest one.
_READ_MARKS = """([name, axes]) => {
  const {x, y, width, height} = document.querySelector(`#${name}-axes_${axes} > g path`).getBBox();
  return [...document.querySelectorAll(`svg:has(#${name}-axes_1) .mark > *`)].map(mark => {
    const box = mark.getBBox(), middle = [box.x + box.width / 2, box.y + box.height / 2];
    return [mark.tagName, (middle[0] - x) / width, 1 - (middle[1] - y) / height];
  });
}"""


@pytest.fixture(scope="module")
def limits(report):
    """Ends of the axes of the pictures, as the functions of plots draw them."""
    drawn = {
        "pr": plots.plot_precision_recall(report.evaluation).ax,
        "roc": plots.plot_roc(report.evaluation).ax,
        "th": plots.plot_thresholds(report.evaluation).ax,
        "cost": plots.plot_cost(report.costs).ax,
        "cal": plots.plot_calibration(report.evaluation).ax,
        "scores": plots.plot_score_drift(report.weeks).ax,
    }
    return {
        (name, place): (axes.get_xlim(), axes.get_ylim())
        for name, ax in drawn.items()
        for place, axes in enumerate((ax, *ax.child_axes), start=1)
    }


def expected_mark(report, limits, threshold, place):
    """Return a mark as the evaluation of a threshold gives it; None if it is off its axes."""
    name, axes, *along = place
    one = report.evaluation.at_threshold(threshold)
    values = {
        "threshold": threshold,
        "recall": one.recall,
        "precision": one.precision,
        "rate": one.confusion.false_positive_rate,
        "share": one.alerts / one.n,
        "cost": one.cost(5.0),
    }
    mark = []
    for value, (low, high) in zip(along, limits[name, axes], strict=True):
        if value is None:
            mark.append(0.5)  # the middle of a line across
            continue
        ends, at = np.array([low, high]), values[value]
        if value == "share":
            ends, at = np.log10(ends), np.log10(at)
        mark.append((at - ends[0]) / (ends[1] - ends[0]))
    if not all(0 <= part <= 1 for part in mark):
        return None
    return ["path" if None in along else "circle", *mark]


def assert_marks_are_where_the_evaluation_says(page, report, limits, threshold):
    for name in NAMES:
        marks = {axes: page.evaluate(_READ_MARKS, [name, axes]) for axes in (1, 2)
                 if (name, axes) in limits}  # fmt: skip
        places = [place for place in PLACES if place[0] == name]
        wanted = [expected_mark(report, limits, threshold, place) for place in places]
        shown = [(place, mark) for place, mark in zip(places, wanted, strict=True) if mark]
        assert len(marks[1]) == len(shown), (name, threshold)
        for index, (place, mark) in enumerate(shown):
            kind, *middle = marks[place[1]][index]
            assert kind == mark[0]
            # A picture has a tenth of a point: less than a thousandth of an axis, but for panels.
            assert middle == pytest.approx(mark[1:], abs=0.003), (place, threshold)


def test_dragging_the_slider_moves_the_point_on_every_picture_that_has_one(
    page, slider, report, limits
):
    assert page.locator("figure [data-marks]").count() == len(NAMES) == 6
    thresholds = Page(report.html()).data["explorer-data"]["points"]["threshold"]
    for threshold in THRESHOLDS:
        position = sum(1 for value in thresholds[1:] if value >= threshold)
        drag_to(page, slider, len(thresholds) - 1 - position, len(thresholds))
        reached = float(page.locator("#explorer").get_attribute("data-threshold"))
        assert_marks_are_where_the_evaluation_says(page, report, limits, reached)


def test_the_keyboard_moves_the_point_on_every_picture(page, slider, report, limits):
    for key in ("PageDown", "ArrowLeft", "Home"):
        slider.press(key)
        reached = float(page.locator("#explorer").get_attribute("data-threshold"))
        assert_marks_are_where_the_evaluation_says(page, report, limits, reached)
        captions = page.locator("figcaption .at").all_inner_texts()
        assert len(captions) == len(NAMES)
        named = f"threshold {format_threshold(reached)}, selected in Explore thresholds."
        assert all(named in text for text in captions)


def test_at_first_the_threshold_in_use_is_marked(page, report):
    in_use = format_threshold(report.evaluation.threshold.value)
    captions = page.locator("figcaption .at").all_inner_texts()
    assert all(f"Marked: threshold {in_use}, selected" in text for text in captions)


def test_without_alerts_a_line_of_the_threshold_is_beyond_the_axes(page, slider):
    slider.press("End")
    caption = page.locator("figure", has=page.get_by_label("Figure: Scores of each week"))
    assert "Beyond the axes: no alerts" in caption.locator(".at").inner_text()
    assert caption.locator(".mark > *").count() == 0
    # Curves end there: recall is 0 and the cost that of all fraud.
    assert page.locator("svg:has(#cost-axes_1) .mark circle").count() == 1
    assert page.locator("svg:has(#th-axes_1) .mark circle").count() == 1


def test_the_mark_of_the_cost_is_on_the_curve_that_is_drawn_whatever_cost_is_typed(page):
    marks = page.locator("svg:has(#cost-axes_1) .mark")
    before = marks.inner_html()
    page.get_by_label("Cost per alert").fill("20")
    assert marks.inner_html() == before


def test_paper_has_no_mark_of_the_explorer(page):
    marks = page.locator(".mark > *, .at")
    assert marks.first.is_visible()
    page.emulate_media(media="print")
    assert not any(mark.is_visible() for mark in marks.all())


NUMBERS = st.lists(
    st.floats(0, 1)
    | st.integers(0, 10_000).map(lambda part: part / 10_000)
    | st.tuples(st.integers(0, 99), st.integers(99, 300)).map(lambda pair: pair[0] / pair[1])
    | st.sampled_from([0.125, 0.0625, 0.03125, 0.00125, 1 - 1e-9, 1e-12, 0.5]),
    min_size=200, max_size=200,
)  # fmt: skip


@pytest.fixture(scope="module")
def written(browser, address):
    """Write numbers with the script of the page."""
    page = browser.new_page()
    page.goto(address)
    yield lambda name, values, *more: page.evaluate(
        f"([values, more]) => values.map(value => synfin.texts.{name}(value, ...more))",
        [values, more],
    )
    page.close()


@given(shares=NUMBERS, size=st.sampled_from([1.0, 1e3, 1e7]))
@settings(max_examples=25)
def test_the_browser_writes_numbers_as_python_does(written, shares, size):
    large = [size * share for share in shares]
    assert written("percent", shares) == [format_percent(share) for share in shares]
    assert written("score", shares) == [format_threshold(share) for share in shares]
    assert written("number", large) == [format_number(value) for value in large]
    assert written("amount", [0 - value for value in large], "EUR") == [
        format_amount(0 - value, "EUR") for value in large
    ]


# -- Pictures -------------------------------------------------------------------------------------


def test_every_picture_shows_the_value_at_the_pointer_and_by_keyboard(page):
    boxes = page.locator("figure .picture, #explorer .plot").all()
    assert len(boxes) == 14
    for box in boxes:
        box.scroll_into_view_if_needed()
        place = box.bounding_box()
        page.mouse.move(place["x"] + place["width"] * 0.4, place["y"] + place["height"] * 0.4)
        tip = box.locator(".tip")
        pointed = tip.inner_text()
        assert re.search(r": .*\d", pointed)
        page.mouse.move(0, 0)
        assert not tip.is_visible()
        box.focus()
        page.keyboard.press("End")
        last = tip.inner_text()
        page.keyboard.press("ArrowLeft")
        assert tip.inner_text() != last
        page.keyboard.press("Escape")
        assert not tip.is_visible()


def test_the_values_of_a_picture_are_those_of_the_report(page, report):
    box = page.get_by_label("Figure: Fraud rate by score")
    box.focus()
    page.keyboard.press("Home")
    row = report.evaluation.calibration().iloc[0]
    assert box.locator(".tip").inner_text() == (
        f"score 0.0 to 0.1: mean score {row['mean_score']:.3f}, fraud rate "
        f"{format_percent(row['fraud_rate'])}, frauds {row['frauds']:.0f}, transactions "
        f"{row['transactions']:,.0f}"
    )


def test_the_curves_of_ranking_are_side_by_side_where_there_is_room(page):
    first, second = (
        page.get_by_label(f"Figure: {name}").bounding_box()
        for name in ("Precision-recall curve", "ROC curve")
    )
    assert first["y"] == second["y"]
    assert second["x"] > first["x"] + first["width"] - 1


# -- Tables and sections --------------------------------------------------------------------------


def column(page, caption: str, place: int) -> list[str]:
    table = page.locator("table").filter(has=page.locator("caption").get_by_text(caption))
    return table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()


def test_a_table_is_sorted_by_mouse_and_by_keyboard(page):
    caption = "Fraud rate by score"
    table = page.locator("table").filter(has=page.locator("caption").get_by_text(caption))
    head = table.get_by_role("columnheader").nth(1)
    before = [int(text.replace(",", "")) for text in column(page, caption, 2)]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    after = [int(text.replace(",", "")) for text in column(page, caption, 2)]
    assert after == sorted(before, reverse=True)
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [int(text.replace(",", "")) for text in column(page, caption, 2)] == sorted(before)
    other = table.get_by_role("columnheader").first
    other.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") is None
    assert other.get_attribute("aria-sort") == "descending"


def test_the_row_of_all_groups_stays_last_and_undefined_values_follow_all_others(page):
    caption = "Recall and precision by channel"
    table = page.locator("table").filter(has=page.locator("caption").get_by_text(caption))
    for place in range(8):
        head = table.get_by_role("columnheader").nth(place)
        for _ in range(2):
            head.get_by_role("button").click()
            assert column(page, caption, 1)[-1] == "all"


def expanded(page) -> list[str]:
    """Titles of the sections that are expanded."""
    return page.locator("details.section[open] h2").all_inner_texts()


def test_a_page_starts_with_the_verdict_the_explorer_and_a_line_of_each_section(opened, report):
    assert expanded(opened) == ["Verdict", "Explore thresholds"]
    lines = opened.locator(".brief").all_inner_texts()
    assert len(lines) == opened.locator("details.section").count() - 2
    assert all(re.search(r"\w", line) for line in lines)
    assert f"recall: {format_percent(report.evaluation.recall)}" in lines[2]
    assert opened.evaluate("document.documentElement.scrollHeight") < 3500


def test_a_section_expands_by_mouse_and_by_keyboard(opened):
    text = opened.get_by_text("A score of at least 0.371 is an alert")
    summary = opened.locator("summary", has=opened.get_by_role("heading", name="Performance at"))
    brief = summary.locator(".brief")
    assert brief.is_visible()
    summary.click()
    assert text.is_visible()
    assert not brief.is_visible()
    summary.press("Enter")
    assert not text.is_visible()
    summary.press("Space")
    assert text.is_visible()


def test_a_screen_reader_hears_what_is_folded_and_the_line_about_it(opened):
    tree = opened.context.new_cdp_session(opened).send("Accessibility.getFullAXTree")["nodes"]
    states = {
        node["name"]["value"]: property_["value"]["value"]
        for node in tree
        for property_ in node.get("properties", ())
        if property_["name"] == "expanded"
    }
    assert states["Verdict"] is True
    name = next(name for name in states if name.startswith("Performance at the threshold recall:"))
    assert states[name] is False


def test_all_sections_expand_and_collapse_and_the_buttons_say_what_they_do(opened):
    buttons = opened.locator(".fold")
    text = opened.get_by_text("A score of at least 0.371 is an alert")
    assert buttons.all_inner_texts() == 2 * ["Expand all sections"]
    buttons.first.focus()
    opened.keyboard.press("Enter")
    opened.wait_for_function(
        "() => document.querySelector('.fold').innerText.startsWith('Collapse')"
    )
    assert text.is_visible()
    assert buttons.all_inner_texts() == 2 * ["Collapse all sections"]
    buttons.last.click()
    assert expanded(opened) == ["Verdict", "Explore thresholds"]


def test_a_link_expands_the_section_that_it_leads_to(opened):
    opened.get_by_role("navigation").get_by_role("link", name="Performance").click()
    assert expanded(opened) == ["Verdict", "Explore thresholds", "Performance at the threshold"]
    opened.locator(".concerns a[href='#calibration']").click()
    assert expanded(opened)[3:] == ["Calibration"]


@pytest.fixture
def open_at(browser, address):
    """Open the report at an anchor or at a text."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    yield lambda anchor: (page.goto(f"{address}#{anchor}"), page)[1]
    page.close()


def test_an_address_with_the_name_of_a_section_expands_it(open_at):
    page = open_at("calibration")
    assert expanded(page) == ["Verdict", "Explore thresholds", "Calibration"]
    page.wait_for_function(
        "() => document.getElementById('calibration').getBoundingClientRect().y < 300"
    )


def test_a_text_that_is_looked_for_is_found_in_a_folded_section(open_at):
    """A link to a text is resolved as Ctrl+F: Chromium expands the section that has it."""
    page = open_at(":~:text=assumes%20independent%20transactions")
    page.wait_for_function("() => document.querySelectorAll('.section[open]').length === 3")
    assert expanded(page)[2] == "Performance at the threshold"


def test_the_contents_stay_in_view_and_name_the_section(page):
    link = page.get_by_role("navigation").get_by_role("link", name="Calibration")
    link.click()
    page.locator("a[aria-current]").get_by_text("Calibration").wait_for()
    assert link.is_visible()
    place = link.bounding_box()
    assert 0 < place["y"] < 900


@pytest.mark.parametrize("width", [360], indirect=True)
def test_on_a_phone_the_contents_are_a_bar_that_unfolds(page):
    link = page.get_by_role("navigation").get_by_role("link", name="Calibration")
    assert not link.is_visible()
    page.get_by_text("Contents").click()
    link.click()
    assert not link.is_visible()
    heading = page.get_by_role("heading", name="Calibration")
    page.wait_for_function("() => scrollY > 1000")
    assert heading.is_visible()
    page.screenshot(path=OUT / "phone_calibration.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_paper_has_all_sections_and_all_rows_whatever_is_folded(opened):
    page = opened
    page.emulate_media(media="print")
    # A browser lays out what was folded in its next frame.
    page.wait_for_function(
        """() => {
          const tables = [...document.querySelectorAll('main table')]
            .filter(table => !table.closest('.explorer'));
          return tables.length > 8 && tables.every(
            table => table.checkVisibility({contentVisibilityAuto: true}) && table.offsetHeight);
        }"""
    )


# -- Without a script -----------------------------------------------------------------------------


def test_without_a_script_everything_can_be_read(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    for name in ("Verdict", "Performance at the threshold", "Reproducibility"):
        assert page.get_by_role("heading", name=name).is_visible()
    assert not page.get_by_text("Explore thresholds").first.is_visible()
    assert page.locator("details.section:not([open])").count() == 0
    assert not any(brief.is_visible() for brief in page.locator(".brief, .fold").all())
    assert page.locator(".mark").count() == 0
    table = page.locator("table").filter(has_text="compromised")
    assert not table.is_visible()
    page.get_by_text("table of 40 rows").click()
    assert table.is_visible()
    context.close()


def test_the_policy_refuses_every_request(browser, address):
    """What a page with a name from somewhere could do at worst."""
    page = browser.new_page()
    page.goto(address)
    refused = page.evaluate(
        """async () => {
          const refused = [];
          document.addEventListener("securitypolicyviolation",
            event => refused.push(event.effectiveDirective));
          const add = (name, values) => document.body.append(
            Object.assign(document.createElement(name), values));
          add("img", {src: "https://example.com/x.png"});
          add("iframe", {src: "https://example.com/"});
          add("script", {textContent: "document.title = 'run'"});
          add("style", {textContent: "body { background: red }"});
          await fetch("https://example.com/").catch(() => null);
          await new Promise(done => setTimeout(done, 200));
          return refused.sort();
        }"""
    )
    assert refused == ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"]
    assert page.title() != "run"
    page.close()


def test_the_verdict_comes_first_with_its_baseline_and_the_other_model(page, report):
    first = page.locator("main section").first
    assert first.get_by_role("heading", name="Verdict").is_visible()
    names = first.locator(".headlines .name").all_inner_texts()
    assert names == ["recall", "precision", "average precision"]
    tile = first.locator(".headlines li").first
    other = report.comparison.evaluations["logit 1.0"]
    assert tile.locator("b").inner_text() == format_percent(report.evaluation.recall)
    assert tile.locator("dd").all_inner_texts() == [
        format_percent(report.evaluation.baseline("recall")),
        format_percent(other.recall),
    ]
    worries = first.locator(".concerns li").all_inner_texts()
    assert any("90 frauds, so all intervals are wide" in text for text in worries)
    assert any("The scores are not probabilities" in text for text in worries)


def test_a_page_of_many_scores_weighs_less_than_a_megabyte():
    """Lines are thinned, so more rows add no byte: `benchmarks/report_page.py` has a million."""
    generator = np.random.default_rng(1)
    fraud = generator.random(60_000) < 0.02
    start = np.datetime64("2026-01-01", "us")
    frame = pl.DataFrame(
        {
            "when": start + generator.integers(0, 90 * 86_400_000_000, 60_000).astype("m8[us]"),
            "customer": generator.integers(0, 5_000, 60_000),
            "amount": generator.gamma(2, 30, 60_000),
            "isFraud": fraud,
            "p": 1 / (1 + np.exp(-generator.normal(-4 + 3 * fraud, 1.2))),
            "q": 1 / (1 + np.exp(-generator.normal(-4 + 2 * fraud, 1.2))),
        }
    )
    report = model_report(
        frame, label="isFraud", score="p", timestamp="when", customer="customer", amount="amount",
        compare_with="q", n_resamples=2,
    )  # fmt: skip
    data = Page(report.html()).data["explorer-data"]
    assert 300 < len(data["points"]["alerts"]) <= 1000
    assert data["distance"] < 0.001
    assert len(report.html().encode()) < 1_000_000


def test_the_page_carries_numbers_that_every_reader_of_json_accepts(report):
    data = Page(report.html()).data["explorer-data"]
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["n"] == report.evaluation.n
