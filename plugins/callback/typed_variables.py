# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give the variables of the collection the types of their argument specs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: typed_variables
type: aggregate
short_description: Give the variables of pentad.webstack the types of their argument specs
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - C(-e name=value) and truth values of an INI inventory are text, and extra variables win over all others. With this
    plugin they are what the argument spec of their role says, wherever they are used and wherever they come from.
  - C(-e upkeep_only_when_required=true) is a truth value then, C(-e mysql_replica_rebuild=db2) the list of one host,
    and C(-e webstack_app_workers=8) a number.
  - Variables of others are left as they are, and so is what cannot be read as its type, which preflight refuses.
  - It is loaded by itself with the playbooks of the collection, also where they are imported. For its roles alone it is
    enabled in ansible.cfg; without it they refuse what is not of its type.
requirements:
  - For roles that are used alone, C(callbacks_enabled = pentad.webstack.typed_variables) in ansible.cfg.
"""

EXAMPLES = r"""
callbacks_enabled: >
  [defaults]
  callbacks_enabled = pentad.webstack.typed_variables
"""

import gc
import pkgutil
from importlib import import_module
from typing import Any

from ansible.plugins.callback import CallbackBase

from ..plugin_utils.typed_variables import TypedVariables


def load_plugins() -> None:
    """Import filters and actions of the collection once; the process of each task would read and compile them anew."""
    plugins = __package__.rpartition(".")[0]
    for kind in ("filter", "action"):
        package = import_module(f"{plugins}.{kind}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(found.name)


class CallbackModule(CallbackBase):
    """Runs in the main process, before the first play."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "pentad.webstack.typed_variables"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Type the variables of this run; all its plays have the same variable manager."""
        for play in playbook.get_plays():
            TypedVariables.install(play.get_variable_manager())
        load_plugins()
        # Every task of a host forks this process; a garbage collection in the child would copy all of its memory.
        gc.freeze()
