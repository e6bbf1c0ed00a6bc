# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of units, and commands to systemd."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

# Where the unit files of an administrator are.
UNITS = Path("/etc/systemd/system")
# Where units are masked, for good and until the next boot.
MASKS = (UNITS, Path("/run/systemd/system"))
PROPERTIES = (
    "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Type,CanReload,NeedDaemonReload,NRestarts,"
    "ExecMainStartTimestampMonotonic"
)
RUNNING = {"active", "activating", "reloading"}
# A service that systemd restarted this often, the last time less than so many seconds ago, does not run.
LOOP_RESTARTS = 3
LOOP_SECONDS = 15.0
# Their start returns as soon as there is a process, even if that ends at once.
EARLY_TYPES = {"simple", "exec", "idle"}
# Seconds within which a process that cannot run ends.
START_SECONDS = 1.0


def parse(output: str) -> dict[str, dict[str, str]]:
    """States of the units by each of their names, from C(systemctl show) with the above properties."""
    found = {}
    for block in output.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in unit.get("Names", "").split() or [unit.get("Id", "")]:
            found[name] = unit
    return found


def loops(unit: dict[str, str], now: float) -> bool:
    """Whether a service ends as often as it is started; now is the time of CLOCK_MONOTONIC."""
    if unit.get("SubState", "").startswith("auto-restart"):
        return True
    restarts, begun = unit.get("NRestarts", ""), unit.get("ExecMainStartTimestampMonotonic", "")
    young = begun.isdigit() and now - int(begun) / 1e6 < LOOP_SECONDS
    return young and restarts.isdigit() and int(restarts) >= LOOP_RESTARTS


def runs(unit: dict[str, str], now: float) -> bool:
    """Whether a unit runs, or comes up without having failed before."""
    return unit.get("ActiveState") in RUNNING and not loops(unit, now)


def masked(names: Collection[str]) -> list[str]:
    """Those of the units that are masked."""
    links = [(name, top / name) for name in names for top in MASKS]
    return list(dict.fromkeys(name for name, link in links if link.is_symlink() and os.readlink(link) == os.devnull))


def unit_of(path: Path) -> str:
    """The unit that a file below the above directory describes; empty where it describes none, or more than one."""
    if not path.is_relative_to(UNITS):
        return ""
    name = path.relative_to(UNITS).parts[0]
    name = name[: -len(".d")] if name.endswith(".d") else name
    return "" if "-." in name or "@." in name else name


class Systemd:
    """Runs systemctl for a module, which ends with an error when that fails."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, *words: str) -> str:
        """Run systemctl; a failure names the unit, what systemd said and the end of its journal."""
        code, out, err = self.module.run_command(["systemctl", *words])
        if code:
            units = [word for word in words[1:] if not word.startswith("-")]
            said = err.strip() or out.strip()
            self.module.fail_json(msg=f"systemctl {words[0]} {' '.join(units)}: {said}\n{self.journal(*units)}")
        return out

    def journal(self, *units: str) -> str:
        """The end of the journal of units."""
        of = [option for unit in units for option in ("-u", unit)]
        lines = self.module.run_command(["journalctl", "--no-pager", "-n", "10", "-o", "cat", *of])[1]
        return f"The journal ends with:\n{lines}"

    def show(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """States of units."""
        return parse(self("show", f"--property={PROPERTIES}", *names)) if names else {}

    def check_started(self, names: Collection[str], seconds: float = START_SECONDS) -> None:
        """Fail if a service that was started ends within so many seconds."""
        states = self.show(names)
        types = EARLY_TYPES if seconds <= START_SECONDS else None
        watched = [name for name in names if types is None or states.get(name, {}).get("Type") in types]
        begun = {name: states.get(name, {}).get("NRestarts", "") for name in watched}
        deadline = time.monotonic() + seconds
        while watched:
            for name, unit in states.items():
                ended = unit.get("ActiveState") not in RUNNING or unit.get("SubState", "").startswith("auto-restart")
                if name in watched and (ended or unit.get("NRestarts", "") != begun[name]):
                    self.module.fail_json(msg=f"{name} ends as soon as it is started. {self.journal(name)}")
            if time.monotonic() >= deadline:
                return
            time.sleep(0.2)
            states = self.show(watched)
