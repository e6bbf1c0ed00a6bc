# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module documents is what it takes, and its examples are tasks that it would accept."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.pentad.webstack.plugins.action import preflight, release_archive
from ansible_collections.pentad.webstack.plugins.doc_fragments.mysql import ModuleDocFragment
from places import TOP

PLUGINS = "ansible_collections.pentad.webstack.plugins"
NAMES = sorted(path.stem for path in (TOP / "plugins" / "modules").glob("*.py"))
# Those that take options in place of the module.
ACTIONS = {"preflight": preflight, "release_archive": release_archive}
FRAGMENTS = {"pentad.webstack.mysql": ModuleDocFragment.DOCUMENTATION}
# What is told of an option besides its description; all else of it is documentation.
FACTS = ("type", "elements", "choices", "default", "required", "aliases")


class Asked(Exception):
    """In place of running: what the module takes."""


def module(name: str) -> ModuleType:
    """A module of the collection."""
    return import_module(f"{PLUGINS}.modules.{name}")


def documented(name: str) -> dict[str, Any]:
    """Options that a module documents, with those of the fragment that it extends."""
    page = yaml.safe_load(module(name).DOCUMENTATION)
    options = dict(page.get("options", {}))
    extended = page.get("extends_documentation_fragment", [])
    for fragment in [extended] if isinstance(extended, str) else extended:
        if fragment in FRAGMENTS:
            options.update(yaml.safe_load(FRAGMENTS[fragment])["options"])
    return options


def taken(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options that a module, or the action of its name, takes."""

    def ask(*_self: Any, argument_spec: dict[str, Any] | None = None, **_how: Any) -> Any:
        raise Asked(argument_spec)

    found = module(name)
    if hasattr(found, "main"):
        # A module may have a kind of its own.
        monkeypatch.setattr(AnsibleModule, "__init__", ask)
        run = found.main
    elif name in ACTIONS:
        action = ACTIONS[name].ActionModule
        monkeypatch.setattr(action, "validate_argument_spec", ask)
        monkeypatch.setattr(ActionBase, "run", lambda *_: {})
        run = object.__new__(action).run
    else:
        # The other actions take no options.
        return {}
    with pytest.raises(Asked) as asked:
        run()
    return asked.value.args[0]


def facts(options: dict[str, Any], inside: str) -> dict[str, Any]:
    """What is said of each option, those inside of it included, in one form."""
    found = {}
    for name, option in options.items():
        told = {fact: option[fact] for fact in FACTS if option.get(fact) not in (None, False, [], {})}
        told.setdefault("type", "str")
        # A false or empty default is one all the same.
        if option.get("default") is not None:
            told["default"] = option["default"]
        if option.get(inside):
            told["inside"] = facts(option[inside], inside)
        found[name] = told
    return found


modules = pytest.mark.parametrize("name", NAMES)


@modules
def test_a_module_takes_exactly_what_it_documents(name, monkeypatch):
    assert facts(documented(name), "suboptions") == facts(taken(name, monkeypatch), "options")


@modules
def test_everything_is_described(name):
    page = yaml.safe_load(module(name).DOCUMENTATION)
    assert page["module"] == name
    assert page["description"]
    assert all(option["description"] for option in documented(name).values())
    returned = yaml.safe_load(module(name).RETURN) or {}
    assert all(value["description"] and value["type"] for value in returned.values())


@modules
def test_an_example_is_a_task_that_the_module_accepts(name, monkeypatch):
    spec = taken(name, monkeypatch)
    tasks = yaml.safe_load(module(name).EXAMPLES)
    assert tasks
    for task in tasks:
        assert task["name"]
        checked = ArgumentSpecValidator(spec).validate(task[f"pentad.webstack.{name}"] or {})
        assert checked.error_messages == []
