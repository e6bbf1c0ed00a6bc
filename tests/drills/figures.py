# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drills measured: noted while they run, and a page of it at the end."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

NOTES = Path(__file__).resolve().parents[2] / ".cache" / "drill-figures"
ENGINES = {"mysql": "MySQL", "mariadb": "MariaDB"}


def figure(drill: str, measured: str) -> None:
    """Note what a drill has measured on the engine of this run."""
    engine = os.environ.get("WEBSTACK_LAB_ENGINE", "mysql")
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("a") as file:
        file.write(json.dumps({"engine": engine, "drill": drill, "measured": measured}) + "\n")


def table(notes: list[dict[str, Any]]) -> str:
    """A row for each drill, a column for each engine; what was measured last counts."""
    found: dict[str, dict[str, str]] = {}
    for note in notes:
        found.setdefault(note["drill"], {})[note["engine"]] = note["measured"]
    rows = [["drill", *ENGINES.values()], ["---"] * 3]
    rows += [[drill, *(measured.get(engine, "") for engine in ENGINES)] for drill, measured in found.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def page(notes: list[dict[str, Any]]) -> str:
    """The page for docs."""
    return f"""# Drills

Written by `make drills` on {time.strftime("%Y-%m-%d")}, on one machine with {os.cpu_count()} cores for all of it.
Each file of [tests/drills](../tests/drills) begins with the same five deployed nodes. Requests come at 200 or 50 a
second over HTTPS, half of them on new connections; entries are written at 20 a second.

{table(notes)}
"""


if __name__ == "__main__":
    if sys.argv[1] == "forget":
        NOTES.unlink(missing_ok=True)
    else:
        print(page([json.loads(line) for line in NOTES.read_text().splitlines()]), end="")
