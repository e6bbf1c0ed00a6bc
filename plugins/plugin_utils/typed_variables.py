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

# Values whose conversion is cached; there are more only if tasks make new ones all the time.
MOST = 20_000
# Types of which the value of a template may come as text: ansible-core 2.18 makes text of every number, and what
# a lookup or another variable returns is text everywhere. Structures that were written as text are left to preflight.
SCALARS = ("bool", "int", "float")


class Conversion(NamedTuple):
    """A value, what it is in its type, and whether it is a template whose result has to be checked."""

    value: Any
    typed: Any
    evaluated: bool


class TypedVariables:
    """``get_vars`` of a variable manager, with the variables of the collection in their types."""

    def __init__(self, manager: Any) -> None:
        self._manager, self._get_vars = manager, manager.get_vars
        self._options, self._defaults = role_arguments.options(), role_arguments.defaults()
        self._templar = Templar(loader=manager._loader, variables={})
        # Variables are merged anew for every task and host, from the same values. Each value is held here, so that no
        # other one can get its id.
        self._conversions: dict[tuple[str, int], Conversion] = {}
        # Templates whose result is of the right type, by host.
        self._well_typed: set[tuple[str, str, str]] = set()
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
            conversion = self._conversions.get((name, id(value))) or self._convert(name, value)
            if conversion.typed is not value:
                changed[name] = conversion.typed
            if conversion.evaluated:
                templates.append(name)
        found.update(changed)
        if templates and not self._evaluating:
            evaluated = self._evaluate(templates, found)
            found.update(evaluated)
            changed.update(evaluated)
        if isinstance(found.get("vars"), dict):
            found["vars"].update(changed)
        return found

    def _convert(self, name: str, value: Any) -> Conversion:
        """Convert a value, and cache the result.

        Defaults of the roles are not evaluated: their users expect the text that ansible-core 2.18 makes of numbers.
        """
        option = self._options[name]
        evaluated = is_template(value) and may_come_as_text(option) and value != self._defaults.get(name)
        if len(self._conversions) > MOST:
            self._conversions.clear()
        conversion = self._conversions[name, id(value)] = Conversion(value, typed(value, option), evaluated)
        return conversion

    def _evaluate(self, names: list[str], found: dict[str, Any]) -> dict[str, Any]:
        """Results of templates that users have set, converted where they are text and must be something else."""
        host = str(found.get("inventory_hostname"))
        wanted = [name for name in names if (host, name, found[name]) not in self._well_typed]
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
                    self._well_typed.add((host, name, found[name]))
        finally:
            self._evaluating = False
        return changed


def may_come_as_text(option: Mapping[str, Any]) -> bool:
    """Whether the value of a template is evaluated early, because it may come as text and has to be something else."""
    kind = type_of(option)
    return kind in SCALARS or (kind == "list" and option.get("elements", "str") in ("str", "path", *SCALARS))


def evaluate(template: Callable[[Any], Any], value: Any) -> Any:
    """The result of a template; None if it cannot be evaluated yet."""
    try:
        return template(value)
    except Exception:
        # An error of a filter or a lookup is reported where the value is used, if it is.
        return None
