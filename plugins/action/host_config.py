# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a host as described, without a connection where the survey of this run has found it so."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ..module_utils.node_state import unpacked
from ..module_utils.systemd import RUNNING
from ..modules.host_config import ACCOUNTS, ARGUMENTS, ENABLED, account_names, consequent, unit_files

NOTHING: dict[str, Any] = {
    "changed": False,
    "changed_files": [],
    "removed": [],
    "pending": {},
    "newly_started": [],
    "newly_enabled": [],
}


class Uncopied(dict[str, Any]):
    """Variables whose deep copy is a shallow one.

    The lookup of ansible-core copies all variables of the host in depth for each template, which took a sixth of the
    time of all task processes of a run.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


class ActionModule(ActionBase):
    """Renders and compares on the control node, and leaves everything else to the module."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, unless there is nothing to do for it."""
        result = super().run(tmp, task_vars)
        _spec, wanted = self.validate_argument_spec(argument_spec=ARGUMENTS)
        wanted["files"] = [self.rendered(file, task_vars or {}) for file in wanted["files"]]
        if wanted["observed"] and settled(wanted, unpacked(wanted["observed"])):
            return {**result, **NOTHING}
        arguments = {**self._task.args, "files": wanted["files"], "observed": ""}
        return {**result, **self._execute_module("pentad.webstack.host_config", arguments, task_vars=task_vars)}

    def rendered(self, file: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """A file with its content: as given, copied, or as its template renders."""
        sources = ("content", "src", "template", "vars")
        others = {option: value for option, value in file.items() if option not in sources}
        return {**others, "content": self.content(file, task_vars)}

    def content(self, file: dict[str, Any], task_vars: dict[str, Any]) -> str:
        """What a file is to hold."""
        if file["content"] is not None:
            return file["content"]
        if file["src"]:
            return self.lookup("ansible.builtin.file", file["src"], task_vars, rstrip=False)
        if file["template"]:
            return self.lookup("ansible.builtin.template", file["template"], task_vars, template_vars=file["vars"])
        raise AnsibleActionFail(f"{file['dest']} has none of content, src and template: give it one of them.")

    def lookup(self, plugin: str, term: str, task_vars: dict[str, Any], **options: Any) -> str:
        """What a lookup of ansible-core finds for one term."""
        lookup = lookup_loader.get(plugin, loader=self._loader, templar=self._templar)
        [found] = lookup.run([term], variables=Uncopied(task_vars), **options)
        return found


def settled(wanted: dict[str, Any], observed: dict[str, Any]) -> bool:
    """Whether the survey shows everything as it is wanted."""
    return (
        all(same_directory(each, observed["paths"].get(each["path"])) for each in wanted["directories"])
        and all(same_file(each, observed["paths"].get(each["dest"])) for each in wanted["files"])
        and set(observed["accounts"]) >= accounts(wanted["files"])
        and not obsolete(wanted, observed)
        and all(unit_is(observed, name, "ActiveState", RUNNING) for name in wanted["started"])
        and all(enabled(observed, name) for name in wanted["started"] + wanted["enabled"])
        and not concerned(wanted) & unsettled(observed)
    )


def concerned(wanted: dict[str, Any]) -> set[str]:
    """Units that are wanted, that the files describe, or that the files have reloaded or restarted."""
    return {*wanted["started"], *wanted["enabled"], *consequent(wanted["files"]), *unit_files(wanted["files"])}


def unsettled(observed: dict[str, Any]) -> set[str]:
    """Units for which something is pending or wrong."""
    return {unit for state in ("pending", "unread", "looping", "masked") for unit in observed[state]}


def attributes(wanted: dict[str, Any]) -> list[str]:
    """Owner, group and mode as the survey has them; a symbolic mode equals none of them."""
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


def obsolete(wanted: dict[str, Any], observed: dict[str, Any]) -> set[str]:
    """Unit files that have the label and are no longer wanted."""
    labelled = {path for path, lines in observed["labels"].items() if wanted["label"] in lines}
    return labelled - {file["dest"] for file in wanted["files"]}


def unit_is(observed: dict[str, Any], name: str, key: str, states: set[str]) -> bool:
    """Whether a state of the unit is among the given ones."""
    return observed["units"].get(name, {}).get(key) in states


def enabled(observed: dict[str, Any], name: str) -> bool:
    """Whether something starts the unit; systemd shows the state of a unit only while it is loaded."""
    return name in observed["wanted"] or unit_is(observed, name, "UnitFileState", ENABLED)
