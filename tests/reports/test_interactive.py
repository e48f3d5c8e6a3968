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
def page(request, browser, address):
    """The report, just opened; it must ask for nothing, and nothing may fail."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
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


def test_sections_fold_and_a_link_unfolds_its_own(page):
    text = page.get_by_text("A score of at least 0.371 is an alert")
    assert text.is_visible()
    page.get_by_role("button", name="Fold all sections").click()
    assert not text.is_visible()
    page.get_by_role("navigation").get_by_role("link", name="Performance").click()
    assert text.is_visible()
    page.get_by_role("button", name="Fold all sections").click()
    page.get_by_role("button", name="Unfold all sections").click()
    assert text.is_visible()


def test_the_contents_stay_in_view_and_name_the_section(page):
    link = page.get_by_role("navigation").get_by_role("link", name="Calibration")
    link.click()
    page.locator("a[aria-current]").get_by_text("Calibration").wait_for()
    assert link.is_visible()
    place = link.bounding_box()
    assert 0 < place["y"] < 900


@pytest.mark.parametrize("page", [360], indirect=True)
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


def test_paper_has_all_sections_and_all_rows_whatever_is_folded(page):
    page.get_by_role("button", name="Fold all sections").click()
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
    assert not page.get_by_role("button").first.is_visible()
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
