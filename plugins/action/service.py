# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a service; a node that a survey of the same run has found in line is not asked again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.node_state import unpacked
from ..module_utils.systemd import RUNNING
from ..modules.service import ACCOUNTS, ARGUMENTS, ENABLED, account_names, consequent, unit_files

NOTHING: dict[str, Any] = {
    "changed": False,
    "changed_files": [],
    "removed": [],
    "pending": {},
    "newly_started": [],
    "newly_enabled": [],
}


class ActionModule(ActionBase):
    """Compares on the control node and leaves everything else to the module."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, unless there is nothing to do for it."""
        result = super().run(tmp, task_vars)
        _spec, wanted = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if wanted["known"] and settled(wanted, unpacked(wanted["known"])):
            return {**result, **NOTHING}
        arguments = {**self._task.args, "known": ""}
        return {**result, **self._execute_module("pentad.webstack.service", arguments, task_vars=task_vars)}


def settled(wanted: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether the survey shows everything that is wanted, as it is wanted."""
    return (
        all(same_directory(each, known["paths"].get(each["path"])) for each in wanted["directories"])
        and all(same_file(each, known["paths"].get(each["dest"])) for each in wanted["files"])
        and set(known["accounts"]) >= accounts(wanted["files"])
        and not forgotten(wanted, known)
        and all(unit_is(known, name, "ActiveState", RUNNING) for name in wanted["started"])
        and all(enabled(known, name) for name in wanted["started"] + wanted["enabled"])
        and not concerned(wanted) & {*known["pending"], *known["unread"], *known["looping"], *known["masked"]}
    )


def concerned(wanted: dict[str, Any]) -> set[str]:
    """Units that are wanted, that the files describe, or that the files have reloaded or restarted."""
    return {*wanted["started"], *wanted["enabled"], *consequent(wanted["files"]), *unit_files(wanted["files"])}


def attributes(wanted: dict[str, Any]) -> list[str]:
    """Owner, group and mode as the survey tells them; a symbolic mode is none of them."""
    return [wanted["owner"], wanted["group"], wanted["mode"].zfill(4)]


def same_directory(wanted: dict[str, Any], found: list[str] | None) -> bool:
    """Whether the directory is there, with its attributes."""
    return found == ["", *attributes(wanted)]


def same_file(wanted: dict[str, Any], found: list[str] | None) -> bool:
    """Whether the file is there, with its attributes and, unless any will do, its content."""
    if not found or not found[0]:
        return False
    content = hashlib.sha256(wanted["content"].encode("utf-8", "surrogateescape")).hexdigest()
    return found[1:] == attributes(wanted) and (not wanted["force"] or found[0] == content)


def accounts(files: list[dict[str, Any]]) -> set[str]:
    """Accounts that the files describe."""
    return {name for file in files if Path(file["dest"]).parent == ACCOUNTS for name in account_names(file["content"])}


def forgotten(wanted: dict[str, Any], known: dict[str, Any]) -> set[str]:
    """Unit files that have the mark and are no longer wanted."""
    marked = {path for path, marks in known["marks"].items() if wanted["marked"] in marks}
    return marked - {file["dest"] for file in wanted["files"]}


def unit_is(known: dict[str, Any], name: str, key: str, states: set[str]) -> bool:
    """Whether a state of the unit is among the given ones."""
    return known["units"].get(name, {}).get(key) in states


def enabled(known: dict[str, Any], name: str) -> bool:
    """Whether something starts the unit; systemd tells the state of a unit only while it has it loaded."""
    return name in known["wanted"] or unit_is(known, name, "UnitFileState", ENABLED)
