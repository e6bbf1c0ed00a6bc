# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pending reloads and restarts: noted on the node before anything is changed, and removed when they are done.

A run may end anywhere in between. The next one finds the note, and at worst reloads or restarts once more.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# A file for each unit, which holds what is to be done with it.
NOTES = Path("/var/lib/webstack/pending")
RELOAD, RESTART, DEFERRED = "reload", "restart", "deferred"
# Each includes those before it; a deferred one is a restart in the turn of the node in a rollout.
ACTIONS = (RELOAD, RESTART, DEFERRED)


def noted() -> dict[str, str]:
    """The pending action of each unit."""
    found = {path.name: path.read_text().strip() for path in sorted(NOTES.glob("[!.]*"))} if NOTES.is_dir() else {}
    # A note that was written by hand or cut off counts as a restart.
    return {unit: action if action in ACTIONS else RESTART for unit, action in found.items()}


def stronger(before: str | None, action: str, immediate: bool) -> str:
    """The stronger of a noted action and a new one; immediate turns a deferred restart into one in this run."""
    if before is None:
        return action
    return max(RESTART if before == DEFERRED and immediate else before, action, key=ACTIONS.index)


def note(unit: str, action: str, immediate: bool = True) -> None:
    """Note what is to be done with a unit, so that not even a power cut loses it."""
    before = noted().get(unit)
    wanted = stronger(before, action, immediate)
    if wanted == before:
        return
    NOTES.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=NOTES, prefix=".")
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{wanted}\n")
        file.flush()
        os.fsync(file.fileno())
    Path(fresh).chmod(0o644)
    Path(fresh).replace(NOTES / unit)
    directory = os.open(NOTES, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def remove(unit: str) -> None:
    """Remove the note on a unit."""
    (NOTES / unit).unlink(missing_ok=True)
