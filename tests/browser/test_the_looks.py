"""Understanding the looks: gains, sweep, comparison."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import App, Visit, choose_example

pytestmark = pytest.mark.browser


def test_the_gain_of_every_candidate_is_plotted_and_the_chosen_marked(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.wait_for_selector(".dr-caption-text")
    chosen = page.locator("#views li.chosen").count()
    page.get_by_role("tab", name="Looks").click()
    expect(page.locator("#gains circle")).to_have_count(10)
    expect(page.locator("#gains .mark")).to_have_count(chosen - 1)


def test_the_sweep_asks_for_every_step_of_t(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.wait_for_selector(".dr-caption-text")
    page.get_by_role("tab", name="Looks").click()
    page.click("#sweep")
    expect(page.locator("#swept tbody tr")).to_have_count(11)
    asked = [question["coefficients"] for question in app.asked[-11:]]
    assert asked == [(0.0, step / 10) for step in range(11)]
    expect(page.locator("#swept figure")).to_have_count(2)


def test_two_settings_are_compared_side_by_side(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.wait_for_selector(".dr-caption-text")
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare")
    expect(page.locator("#comparison section")).to_have_count(2)
    assert app.asked[-2]["coefficients"] == (0.0,)
    assert app.asked[-1]["mode"] == "dynamic"
    expect(page.locator("#comparison section").nth(0).locator(".dr-looks img")).to_have_count(1)


def test_sweep_and_comparison_go_with_their_photograph(visit: Visit) -> None:
    page = visit()
    choose_example(page, "Puppy")
    page.wait_for_selector(".dr-caption-text")
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare")
    expect(page.locator("#comparison section")).to_have_count(2)
    page.get_by_role("tab", name="Looks").click()
    page.click("#sweep")
    expect(page.locator("#swept tbody tr")).not_to_have_count(0)
    choose_example(page, "Cup")
    expect(page.locator("#swept tbody tr")).to_have_count(0)
    expect(page.locator("#stop-sweep")).to_have_count(0)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#comparison section")).to_have_count(0)
