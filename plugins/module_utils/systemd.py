# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd tells of units."""

from __future__ import annotations

from pathlib import Path

# Where the unit files of an administrator are.
UNITS = Path("/etc/systemd/system")
PROPERTIES = "Id,Names,LoadState,ActiveState,UnitFileState"


def parse(output: str) -> dict[str, dict[str, str]]:
    """States of the units by each of their names, from C(systemctl show) with the above properties."""
    found = {}
    for block in output.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in unit.get("Names", "").split() or [unit.get("Id", "")]:
            found[name] = unit
    return found
