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
from typing import Any, NamedTuple

from ansible.template import Templar

from . import role_arguments
from .value_types import is_template, misfits, type_of, typed

# Values that are kept with what they became; more are there only if tasks make new ones all the time.
MOST = 20_000
# Types of which the value of a template may come as text: ansible-core 2.18 makes text of every number, and what a
# lookup or another variable brings is text everywhere. Structures that were written as text are left to preflight.
SCALARS = ("bool", "int", "float")


class Known(NamedTuple):
    """A value that was seen, what it is in its type, and whether it is a template whose value has to be looked at."""

    value: Any
    typed: Any
    evaluated: bool


class TypedVariables:
    """``get_vars`` of a variable manager, with the variables of the collection in their types."""

    def __init__(self, manager: Any) -> None:
        self._manager, self._get_vars = manager, manager.get_vars
        self._options, self._defaults = role_arguments.options(), role_arguments.defaults()
        self._templar = Templar(loader=manager._loader, variables={})
        # Variables are merged anew for every task and host, of the same values. Each is kept, so that no other one can
        # get its id.
        self._known: dict[tuple[str, int], Known] = {}
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
        changed, templates = {}, []
        for name in self._options.keys() & found.keys():
            value = found[name]
            known = self._known.get((name, id(value))) or self._see(name, value)
            if known.typed is not value:
                changed[name] = known.typed
            if known.evaluated:
                templates.append(name)
        found.update(changed)
        if templates and not self._evaluating:
            evaluated = self._evaluate(templates, found)
            found.update(evaluated)
            changed.update(evaluated)
        if isinstance(found.get("vars"), dict):
            found["vars"].update(changed)
        return found

    def _see(self, name: str, value: Any) -> Known:
        """Convert a value that has not been seen yet.

        Defaults of the roles are not evaluated: what uses them knows the text that ansible-core 2.18 makes of their
        numbers.
        """
        option = self._options[name]
        evaluated = is_template(value) and may_come_as_text(option) and value != self._defaults.get(name)
        if len(self._known) > MOST:
            self._known.clear()
        known = self._known[name, id(value)] = Known(value, typed(value, option), evaluated)
        return known

    def _evaluate(self, names: list[str], found: dict[str, Any]) -> dict[str, Any]:
        """Values of templates that users have set, where they come as text and are to be something else."""
        host = str(found.get("inventory_hostname"))
        wanted = [name for name in names if (host, name, found[name]) not in self._right]
        if not wanted:
            return {}
        hostvars = {} if "hostvars" in found else {"hostvars": getattr(self._manager, "_hostvars", None) or {}}
        self._templar.available_variables = {**found, **hostvars}
        changed = {}
        self._evaluating = True
        try:
            for name in wanted:
                value = evaluate(self._templar.template, found[name])
                if any(misfits(value, self._options[name])):
                    changed[name] = typed(value, self._options[name])
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
