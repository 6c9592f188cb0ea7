"""Understanding the looks: gains, sweep, comparison."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import App, Visit, choose_example, open_tab, settle

pytestmark = pytest.mark.browser


def test_a_view_pointed_at_lights_up_and_the_gain_of_every_candidate_is_plotted_and_the_chosen_marked(
    visit: Visit,
) -> None:
    page = visit()
    choose_example(page, "Puppy")
    for view in page.locator("#views li").all()[1:]:
        view.hover()
        expect(page.locator("#picker .view.pointed")).to_have_count(1)
    chosen = page.locator("#views li.chosen").count()
    open_tab(page, "Views")
    expect(page.locator("#gains circle")).to_have_count(10)
    expect(page.locator("#gains .mark")).to_have_count(chosen - 1)


def test_the_sweep_asks_for_every_step_of_t_with_own_class_names(visit: Visit, app: App) -> None:
    page = visit()
    page.click("#own-words button")
    settle(page)
    page.fill("#classes textarea", "dog, cat, teapot")
    choose_example(page, "Puppy")
    open_tab(page, "Views")
    page.click("#sweep")
    settle(page)
    expect(page.locator("#swept tbody tr")).to_have_count(11)
    asked = [question.question.coefficients for question in app.asked[-11:]]
    assert asked == [(0.0, step / 10) for step in range(11)]
    expect(page.locator("#swept figure").first.locator("li")).to_have_text(["dog", "cat", "teapot"])


def test_two_settings_are_compared_side_by_side_and_go_with_their_photograph(visit: Visit, app: App) -> None:
    page = visit()
    choose_example(page, "Puppy")
    open_tab(page, "Compare")
    page.click("#compare")
    settle(page)
    expect(page.locator("#comparison section")).to_have_count(2)
    assert app.asked[-2].question.coefficients == (0.0,)
    assert app.asked[-1].question.mode == "dynamic"
    expect(page.locator("#comparison section").nth(0).locator(".dr-looks img")).to_have_count(1)
    choose_example(page, "Cup")
    expect(page.locator("#comparison section")).to_have_count(0)
