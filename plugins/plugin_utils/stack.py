# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack as the running play sees it: the variables of every host, with the defaults of all roles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError

from . import role_arguments
from .inventory_contract import OUR_GROUPS, Stack


class Variables(Mapping):
    """Variables of one host, evaluated once as in its roles when they are read; those that cannot be are noted."""

    def __init__(self, host: str, templar: Any, raw: Mapping[str, Any], broken: list[str]) -> None:
        self._host, self._raw, self._broken = host, raw, broken
        self._templar = templar.copy_with_new_env(available_variables=raw)
        self._evaluated: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._evaluated:
            return self._evaluated[name]
        value = self._raw[name]
        try:
            self._evaluated[name] = self._templar.template(value)
        except AnsibleError as error:
            reason = " ".join(str(error).split())
            self._broken.append(f"{self._host}: {name} = {value!r} cannot be evaluated: {reason}")
            raise KeyError(name) from error
        return self._evaluated[name]

    def __contains__(self, name: object) -> bool:
        # Without reading the value: a template may generate a password.
        return name in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def load_templates(loader: Any, path: str) -> dict[str, Any]:
    """A file of variables whose strings are templates."""
    try:
        return loader.load_from_file(path, trusted_as_template=True) or {}
    except TypeError:
        # Before ansible-core 2.19 every string was a template.
        return loader.load_from_file(path) or {}


def our_hosts(groups: Mapping[str, list[str]]) -> list[str]:
    """Hosts of the stack, in the order of the inventory."""
    ours = {host for group in OUR_GROUPS for host in groups.get(group, [])}
    return [host for host in groups["all"] if host in ours]


def stack_of(templar: Any, loader: Any, task_vars: Mapping[str, Any], broken: list[str]) -> Stack:
    """The stack of the running play; notes in broken which variables cannot be evaluated."""
    hostvars, groups = task_vars["hostvars"], task_vars["groups"]
    defaults: dict[str, Any] = {}
    for role in sorted(path for path in role_arguments.ROLES.iterdir() if path.is_dir()):
        for kind in ("defaults", "vars"):
            if (role / kind / "main.yml").exists():
                defaults.update(load_templates(loader, str(role / kind / "main.yml")))
    ours = our_hosts(groups)
    given = {host: hostvars.raw_get(host) for host in ours}
    variables = {
        host: Variables(host, templar, {**defaults, **given[host], "hostvars": hostvars}, broken) for host in ours
    }
    extra, made = sources(hostvars)
    named = {host: [name for name in given[host] if name not in extra and name not in made(host)] for host in given}
    return Stack(
        groups={**groups, "all": ours},
        variables=variables,
        given=given,
        specs=role_arguments.specs(),
        named=named,
        extra=extra,
        away=set(ours) - set(task_vars["ansible_play_hosts_all"]),
    )


def sources(hostvars: Any) -> tuple[Collection[str], Callable[[str], Collection[str]]]:
    """Names of the command line, and per host those that tasks of the run have set: facts and registered results."""
    manager = hostvars._variable_manager
    caches = (manager._nonpersistent_fact_cache, manager._vars_cache)
    return list(manager.extra_vars), lambda host: {name for cache in caches for name in cache.get(host, {})}
