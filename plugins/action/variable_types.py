# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse variables of the collection that are not of their type, where nothing has converted them."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils import role_arguments
from ..plugin_utils.value_types import refused, sentence

ENABLE = "Or have them converted: callbacks_enabled = pentad.webstack.typed_variables in ansible.cfg."


class ActionModule(ActionBase):
    """Runs on the control node alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the variables of the host as they were given; results of templates are checked where they are used."""
        result = super().run(tmp, task_vars)
        given = task_vars or {}
        found = [
            f"{given.get('inventory_hostname')}: {sentence(name, misfit)}"
            for name, option in role_arguments.options().items()
            for misfit in refused(given.get(name), option, given.get(name))
        ]
        result["changed"] = False
        if found:
            result.update(failed=True, problems=found, msg="\n".join([*found, ENABLE]))
        return result
