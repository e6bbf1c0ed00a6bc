# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration in a real browser: the form, what comes of it, and who answered."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from browser import PAGE, browser, complaints, picture
from nodes import Lab, wait_until_healthy
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from waiting import wait


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser that has the page open."""
    wait_until_healthy(lab)
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        driver.get(f"{PAGE}/")
        yield driver


def answered(page: Chrome) -> dict[str, str]:
    """Who did the work, as the page says."""
    strip = page.find_elements(By.CSS_SELECTOR, "dl.strip > div")
    return {
        row.find_element(By.TAG_NAME, "dt").text: row.find_element(By.TAG_NAME, "dd").text.split()[0] for row in strip
    }


def test_the_page_is_whole_and_styled(page: Chrome) -> None:
    assert page.title == "Guestbook"
    assert page.find_element(By.TAG_NAME, "h1").text == "Guestbook"
    button = page.find_element(By.CSS_SELECTOR, "button[type=submit]")
    assert button.is_displayed()
    assert page.execute_script("return [...document.styleSheets].every(sheet => sheet.cssRules.length > 5)")
    assert complaints(page) == []


def test_a_message_is_posted_and_listed_with_who_answered(lab: Lab, page: Chrome) -> None:
    message = f"Hello from a browser, {uuid.uuid4()}"
    page.find_element(By.ID, "name").send_keys("Ada <b>Lovelace</b>")
    page.find_element(By.ID, "message").send_keys(message)
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    wait("the page after the post", lambda: "Written to" in answered(page), 20)
    said = answered(page)
    assert said["Web node"] in {lab.container("web1"), lab.container("web2")}
    assert said["Written to"] == lab.container("db1")
    assert message in page.find_element(By.CSS_SELECTOR, "section[aria-labelledby=entries]").text
    # A name is text and no mark-up.
    assert "Ada <b>Lovelace</b>" in page.find_element(By.CSS_SELECTOR, "section[aria-labelledby=entries]").text
    picture(page, "guestbook")
    assert complaints(page) == []


def test_both_nodes_show_it_and_read_from_the_replica(lab: Lab, page: Chrome) -> None:
    seen: dict[str, str] = {}

    def both() -> bool:
        page.get(f"{PAGE}/")
        said = answered(page)
        seen[said["Web node"]] = said["Read from"]
        return seen == {lab.container(node): lab.container("db2") for node in ("web1", "web2")}

    wait("an answer of each web node, read from the replica", both, 30)


def test_an_empty_form_is_not_sent(page: Chrome) -> None:
    page.get(f"{PAGE}/")
    page.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
    assert page.execute_script("return document.querySelector('#name').matches(':invalid')")
    assert "Written to" not in answered(page)
