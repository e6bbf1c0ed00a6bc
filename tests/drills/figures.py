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

TOP = Path(__file__).resolve().parents[2]
NOTES = TOP / ".cache" / "drill-figures"
DOCS = TOP / "docs"
HEADING = "## Measured\n"
# tools/drills gives an inventory, and the machine to these drills alone; beside other tests nothing is measured.
MEASURES = "WEBSTACK_DRILL_INVENTORY" in os.environ
ENGINES = {"mysql": "MySQL", "mariadb": "MariaDB"}


def figure(drill: str, measured: str) -> None:
    """Note what a drill has measured on the engine of this run."""
    if not MEASURES:
        return
    engine = os.environ.get("WEBSTACK_LAB_ENGINE", "mysql")
    place = "failover" if "/nothing_single/" in os.environ["PYTEST_CURRENT_TEST"] else "drills"
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("a") as file:
        note = {"engine": engine, "place": place, "drill": drill, "measured": measured}
        file.write(json.dumps(note) + "\n")


def within(measured: float, limit: float, told: object = "") -> None:
    """Hold what was measured against a limit, in seconds."""
    assert measured <= limit or not MEASURES, f"{measured:.2f} s, at most {limit} s: {told}"


def table(notes: list[dict[str, Any]]) -> str:
    """A row for each drill, a column for each engine; what was measured last counts."""
    found: dict[str, dict[str, str]] = {}
    for note in notes:
        found.setdefault(note["drill"], {})[note["engine"]] = note["measured"]
    rows = [["drill", *ENGINES.values()], ["---"] * 3]
    rows += [[drill, *(measured.get(engine, "") for engine in ENGINES)] for drill, measured in found.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def measured_before(page: str, place: str) -> list[dict[str, Any]]:
    """The figures of a page, as they were noted."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    after = rows[rows.index(["drill", *ENGINES.values()]) + 2 :] if ["drill", *ENGINES.values()] in rows else []
    return [
        {"engine": engine, "place": place, "drill": drill, "measured": measured}
        for drill, *cells in after
        for engine, measured in zip(ENGINES, cells, strict=True)
        if measured
    ]


def measured_by() -> str:
    """Where the figures are from."""
    day, cores = time.strftime("%Y-%m-%d"), os.cpu_count()
    return f"Written by `tools/drills`, the last on {day}, on one machine with {cores} cores for all of it."


def drills(_page: str, notes: list[dict[str, Any]]) -> str:
    """The page of the drills, written anew."""
    return f"""# Drills

{measured_by()}
Each file of [tests/drills](../tests/drills) begins with the same five deployed nodes. Requests come at 200 or 50 a
second over HTTPS, half of them on new connections; entries are written at 20 a second. What happens where nothing is
single is measured in [failover.md](failover.md#measured).

{table(notes)}
"""


def failover(page: str, notes: list[dict[str, Any]]) -> str:
    """The page of failovers, with its section of figures written anew."""
    before, _old, after = page.partition(HEADING)
    _figures, found, more = after.partition("\n## ")
    return f"""{before.rstrip()}

{HEADING}
{measured_by()}
By [tests/drills/nothing_single](../tests/drills/nothing_single): the five nodes of the lab with two balancers and
`webstack_semi_sync`. Rows are written at 200 a second, through the database endpoints of both web nodes; requests come
at 100 a second, by the virtual address. Web and database nodes note twenty times a second which servers take writes.
In the drills of the primary there were never two, unless it is said, and afterwards `site.yml` changed nothing and all
tables were equal.

{table(notes)}
{found}{more}"""


def write(everything: bool) -> None:
    """Write what was measured into the pages, beside what they have of drills that did not run now."""
    notes = [json.loads(line) for line in NOTES.read_text().splitlines()] if NOTES.exists() else []
    for place, page in {"drills": drills, "failover": failover}.items():
        path = DOCS / f"{place}.md"
        text = path.read_text()
        new = [note for note in notes if note["place"] == place]
        if new:
            path.write_text(page(text, new if everything else measured_before(text, place) + new))


if __name__ == "__main__":
    if sys.argv[1] == "forget":
        NOTES.unlink(missing_ok=True)
    else:
        write(sys.argv[1] == "write-all")
