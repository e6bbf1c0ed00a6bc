# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the whole input before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..plugin_utils.inventory_contract import Stack, duplicated_uuids, problems

ROLES = Path(__file__).resolve().parents[2] / "roles"


class Variables(Mapping):
    """Variables of one host, evaluated when asked for, as the roles will see them; notes those that cannot be."""

    def __init__(self, host: str, templar: Any, raw: Mapping[str, Any], broken: list[str]) -> None:
        self._host, self._raw, self._broken = host, raw, broken
        self._templar = templar.copy_with_new_env(available_variables=raw)

    def __getitem__(self, name: str) -> Any:
        value = self._raw[name]
        try:
            return self._templar.template(value)
        except AnsibleError as error:
            reason = " ".join(str(error).split())
            self._broken.append(f"{self._host}: {name} = {value!r} cannot be evaluated: {reason}")
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class ActionModule(ActionBase):
    """Runs on the control node alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect the input, judge it, and fail with every problem at once."""
        result = super().run(tmp, task_vars)
        hostvars, groups = task_vars["hostvars"], task_vars["groups"]
        defaults = self._of_all_roles("defaults/main.yml")
        broken: list[str] = []
        given = {host: hostvars.raw_get(host) for host in groups["all"]}
        stack = Stack(
            groups=groups,
            variables={
                host: Variables(host, self._templar, {**defaults, **given[host], "hostvars": hostvars}, broken)
                for host in groups["all"]
            },
            given=given,
            specs=self._specs(),
        )
        state = {Path(str(stack.value(host, "webstack_state_dir"))) for host in stack.hosts}
        found = list(dict.fromkeys(problems(stack, state) + broken))
        if found:
            listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(found, 1))
            result.update(failed=True, problems=found, msg=f"{len(found)} problem(s); nothing was changed.\n{listed}")
        result.update(changed=False, new_uuid=duplicated_uuids(stack)[0])
        return result

    def _of_all_roles(self, file: str) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for path in sorted(ROLES.glob(f"*/{file}")):
            merged.update(self._load_templates(str(path)) or {})
        return merged

    def _load_templates(self, path: str) -> dict[str, Any]:
        try:
            return self._loader.load_from_file(path, trusted_as_template=True)
        except TypeError:
            # Before ansible-core 2.19 every string was a template.
            return self._loader.load_from_file(path)

    def _specs(self) -> dict[str, dict[str, Any]]:
        return {
            path.parts[-3]: self._loader.load_from_file(str(path))["argument_specs"]["main"].get("options", {})
            for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))
        }
