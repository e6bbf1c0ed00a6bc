# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application of somebody else: its page in a browser, what it wrote in the database, and both nodes answering."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from browser import PAGE, complaints, picture
from client import Client, ask
from nodes import WEB, Lab
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from waiting import wait


@dataclass(frozen=True)
class Application:
    """What is to be seen of an application."""

    path: str
    titled: str
    says: str
    written: str
    """A statement that counts what the application has in the database."""
    use: Callable[[Chrome], None] = lambda _page: None
    elsewhere: tuple[str, ...] = ()
    """Hosts of others that its pages take something from, which the lab does not reach."""


def make_a_budget(page: Chrome) -> None:
    """Create a project by the form, as a user does."""
    page.get(f"{PAGE}/create")
    fields = {"name": "Five nodes", "id": "fivenodes", "password": "five-nodes", "contact_email": "ada@example.com"}
    for name, value in fields.items():
        page.find_element(By.CSS_SELECTOR, f"form input[name={name}]").send_keys(value)
    page.find_element(By.CSS_SELECTOR, "form input[name=name]").submit()
    WebDriverWait(page, 20).until(lambda now: "/fivenodes" in now.current_url)


APPLICATIONS = {
    "wordpress": Application("/", "Five nodes", "Hello world!", "SELECT COUNT(*) FROM wordpress.wp_posts"),
    "ihatemoney": Application(
        "/fivenodes/", "Five nodes", "Five nodes", "SELECT COUNT(*) FROM ihatemoney.project", make_a_budget
    ),
    "ghost": Application(
        "/",
        "Ghost",
        "Coming soon",
        "SELECT COUNT(*) FROM ghost.posts",
        elsewhere=("https://cdn.jsdelivr.net/", "https://static.ghost.org/"),
    ),
}
NAME = os.environ["WEBSTACK_APPLICATION"]


@pytest.fixture(scope="module")
def application() -> Application:
    return APPLICATIONS[NAME]


def test_its_page_is_whole_in_a_browser(application: Application, page: Chrome) -> None:
    application.use(page)
    page.get(PAGE + application.path)
    assert application.titled in page.title
    assert application.says in page.find_element(By.TAG_NAME, "body").text
    assert page.execute_script("return document.styleSheets.length") > 0
    picture(page, NAME)
    assert [said for said in complaints(page) if not said.startswith(application.elsewhere)] == []


def test_its_data_are_in_the_database_and_on_the_replica(application: Application, lab: Lab) -> None:
    written = int(lab.sql("db1", application.written))
    assert written > 0
    wait("the replica to have it", lambda: int(lab.sql("db2", application.written)) == written)


def test_both_nodes_answer(lab: Lab) -> None:
    served = {ask("/")[1]["X-Served-By"] for _attempt in range(8)}
    assert served == set(map(lab.container, WEB))


def test_a_node_that_dies_costs_no_request(lab: Lab) -> None:
    with Client(rate=10, workers=10, paths=("/",)) as client:
        client.answered(30)
        lab.docker("kill", lab.container("web2"))
        client.answered(150)
    lab.docker("start", lab.container("web2"))
    assert client.failures == []


def test_it_is_released_again_and_changes_nothing(lab: Lab) -> None:
    wait("web2 to be back", lambda: "running" in lab.host("web2").run("systemctl is-system-running").stdout, 90)
    run = lab.playbook("deploy.yml")
    assert run.code == 0, run.output[-3000:]
    assert set(run.changed.values()) == {0}, run.output[-3000:]
