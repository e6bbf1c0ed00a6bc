# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser that finds the site at the lab's published port and believes the lab's authority alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from client import AUTHORITY, DOMAIN, SITE, TOP
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

PAGE = f"https://{DOMAIN}:{urlsplit(SITE).port}"
PICTURES = TOP / ".cache" / "pictures"
ARGUMENTS = (
    "--headless=new",
    # The tests may be root's, whom Chromium's sandbox refuses.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--window-size=1200,1000",
    f"--host-resolver-rules=MAP {DOMAIN} 127.0.0.1",
)


@contextmanager
def browser(home: Path) -> Iterator[Chrome]:
    """A browser whose home is the given empty directory."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for words in (["-N", "--empty-password"], ["-A", "-n", "lab", "-t", "C,,", "-i", str(AUTHORITY)]):
        subprocess.run(["certutil", "-d", f"sql:{store}", *words], check=True, capture_output=True)
    options = ChromeOptions()
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ARGUMENTS, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(argument)
    service = ChromeService("/usr/bin/chromedriver", env={**os.environ, "HOME": str(home)})
    driver = Chrome(options, service)
    try:
        driver.set_page_load_timeout(60)
        yield driver
    finally:
        driver.quit()


def complaints(driver: Chrome) -> list[str]:
    """What the browser found wrong since it was asked last: blocked, missing or failing parts of a page."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def picture(driver: Chrome, name: str) -> Path:
    """Keep what the page looks like."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    assert driver.save_screenshot(str(path))
    return path
