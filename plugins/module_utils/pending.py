# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What units have yet to be told: noted on the node before anything is changed, and forgotten when it is done.

A run may end anywhere in between. The next one finds the note, and at worst does once more what was done.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# A file for each unit, which holds what is to be done with it.
NOTES = Path("/var/lib/webstack/pending")
RELOAD, RESTART, DEFERRED = "reload", "restart", "deferred"
# The later one includes the earlier ones; a deferred one is a restart in the turn of the node in a rollout.
ACTIONS = (RELOAD, RESTART, DEFERRED)


def noted() -> dict[str, str]:
    """What is to be done, by unit."""
    found = {path.name: path.read_text().strip() for path in sorted(NOTES.glob("[!.]*"))} if NOTES.is_dir() else {}
    # A note that was written by hand or cut off still means something.
    return {unit: action if action in ACTIONS else RESTART for unit, action in found.items()}


def stronger(before: str | None, action: str, mine: bool) -> str:
    """What to note where something is noted already; who sees to the unit itself takes it from a rollout."""
    if before is None:
        return action
    return max(RESTART if before == DEFERRED and mine else before, action, key=ACTIONS.index)


def note(unit: str, action: str, mine: bool = True) -> None:
    """Note what is to be done with a unit, so that not even a power cut loses it."""
    before = noted().get(unit)
    wanted = stronger(before, action, mine)
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


def forget(unit: str) -> None:
    """Nothing is to be done with the unit any more."""
    (NOTES / unit).unlink(missing_ok=True)
