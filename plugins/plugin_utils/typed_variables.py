# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of the collection in the types of their argument specs, where Ansible puts all variables together.

Extra variables win over everything that a play or a task can set, facts would win over the variables of plays and
tasks, and a playbook without preflight has no task that could set any. So values are converted where they are merged:
wherever they come from, and with their precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.template import Templar

from . import role_arguments
from .value_types import is_template, misfits, type_of, typed

# Types of which the value of a template may come as text: ansible-core 2.18 makes text of every number, and what a
# lookup or another variable brings is text everywhere. Structures that were written as text are left to preflight.
SCALARS = ("bool", "int", "float")


class TypedVariables:
    """``get_vars`` of a variable manager, with the variables of the collection in their types."""

    def __init__(self, manager: Any) -> None:
        self._manager, self._get_vars = manager, manager.get_vars
        self._options = role_arguments.options()
        self._evaluable = [name for name, option in self._options.items() if may_come_as_text(option)]
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}
        # Templates that were seen to become what they have to, by host.
        self._right: set[tuple[str, str, str]] = set()
        self._evaluating = False

    @classmethod
    def install(cls, manager: Any) -> None:
        """Have a variable manager answer with typed variables."""
        if not isinstance(manager.get_vars, cls):
            manager.get_vars = cls(manager)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The variables, converted."""
        found = self._get_vars(*args, **kwargs)
        changed = {
            name: new
            for name, option in self._options.items()
            if name in found and (new := self._typed(name, found[name], option)) is not found[name]
        }
        found.update(changed)
        if not self._evaluating:
            found.update(self._evaluated(found))
        if "vars" in found and isinstance(found["vars"], dict):
            found["vars"].update({name: found[name] for name in found["vars"] if name in self._options})
        return found

    def _typed(self, name: str, value: Any, option: Mapping[str, Any]) -> Any:
        """The value in its type; what takes time to convert is converted once."""
        if isinstance(value, (str, bool, int)):
            return typed(value, option)
        key = (name, id(value))
        # The value is kept, so that no other one can get its id.
        if key not in self._known:
            self._known[key] = (value, typed(value, option))
        return self._known[key][1]

    def _evaluated(self, found: dict[str, Any]) -> dict[str, Any]:
        """Values of templates that users have set, where they come as text and are to be something else."""
        host = str(found.get("inventory_hostname"))
        wanted = {
            name: self._options[name]
            for name in self._evaluable
            if is_template(found.get(name)) and (host, name, found[name]) not in self._right
        }
        if not wanted:
            return {}
        hostvars = {} if "hostvars" in found else {"hostvars": getattr(self._manager, "_hostvars", None) or {}}
        templar = Templar(loader=self._manager._loader, variables={**found, **hostvars})
        changed = {}
        self._evaluating = True
        try:
            for name, option in wanted.items():
                value = evaluate(templar.template, found[name])
                if any(misfits(value, option)):
                    changed[name] = typed(value, option)
                elif value is not None:
                    self._right.add((host, name, found[name]))
        finally:
            self._evaluating = False
        return changed


def may_come_as_text(option: Mapping[str, Any]) -> bool:
    """Whether the value of a template is evaluated early, because it may come as text and has to be something else."""
    kind = type_of(option)
    return kind in SCALARS or (kind == "list" and option.get("elements", "str") in ("str", "path", *SCALARS))


def evaluate(template: Callable[[Any], Any], value: Any) -> Any:
    """What a template becomes; nothing if it cannot be told yet."""
    try:
        return template(value)
    except Exception:
        # Whatever a filter or a lookup raises is told where the value is used, if it is.
        return None
