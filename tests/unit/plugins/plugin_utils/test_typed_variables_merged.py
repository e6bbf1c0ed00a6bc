# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables are typed when they are merged: each value once, templates when they can be told, others not at all."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.pentad.webstack.plugins.plugin_utils import role_arguments, stack, typed_variables


class Manager:
    """A variable manager that answers with what it is told to."""

    _hostvars = None

    def __init__(self) -> None:
        self._loader = DataLoader()
        self.variables: dict[str, Any] = {"inventory_hostname": "web1"}

    def get_vars(self, **_asked: Any) -> dict[str, Any]:
        """A new dictionary of the same values, as Ansible does."""
        return {**self.variables, "vars": dict(self.variables)}


@pytest.fixture
def manager(monkeypatch) -> Manager:
    """A manager whose variables are typed; evaluations are counted."""
    found = Manager()
    typed_variables.TypedVariables.install(found)
    found.evaluated = []
    real = typed_variables.evaluate

    def counted(template: Any, value: Any) -> Any:
        found.evaluated.append(str(value))
        return real(template, value)

    monkeypatch.setattr(typed_variables, "evaluate", counted)
    return found


def template(tmp_path, text: str) -> Any:
    """Text that every version takes for a template."""
    (tmp_path / "value.yml").write_text(f'value: "{text}"\n')
    return stack.load_templates(DataLoader(), str(tmp_path / "value.yml"))["value"]


def test_variables_are_typed_in_both_places_and_those_of_others_left(manager):
    manager.variables.update(webstack_app_workers="8", others="8", haproxy_balance="leastconn")
    found = manager.get_vars()
    for merged in (found, found["vars"]):
        assert (merged["webstack_app_workers"], merged["others"], merged["haproxy_balance"]) == (8, "8", "leastconn")


def test_a_manager_is_changed_once(manager):
    before = manager.get_vars
    typed_variables.TypedVariables.install(manager)
    assert manager.get_vars is before


def test_what_was_converted_stays_the_same_object(manager):
    manager.variables["upkeep_downtime"] = "db1,lb1"
    first = manager.get_vars()["upkeep_downtime"]
    assert first == ["db1", "lb1"]
    assert manager.get_vars()["upkeep_downtime"] is first


def test_what_is_kept_is_bounded(manager, monkeypatch):
    monkeypatch.setattr(typed_variables, "MOST", 3)
    for number in range(1000, 1020):
        manager.variables["webstack_app_workers"] = str(number)
        assert manager.get_vars()["webstack_app_workers"] == number
    assert len(manager.get_vars._conversions) <= 4


def test_a_template_is_evaluated_again_only_while_it_gives_text(manager, tmp_path):
    right, text = template(tmp_path, "{{ number | int > 4 }}"), template(tmp_path, "{{ names }}")
    manager.variables.update(upkeep_only_when_required=right, upkeep_downtime=text)
    assert manager.get_vars()["upkeep_only_when_required"] is right
    manager.variables.update(number="8", names="db1,lb1")
    for _time in range(3):
        found = manager.get_vars()
        assert found["upkeep_only_when_required"] is right
        assert (found["upkeep_downtime"], found["vars"]["upkeep_downtime"]) == (["db1", "lb1"], ["db1", "lb1"])
    assert (manager.evaluated.count(right), manager.evaluated.count(text)) == (2, 4)


def test_defaults_structures_and_text_are_not_evaluated(manager, tmp_path):
    default = role_arguments.defaults()["haproxy_site_port"]
    manager.variables.update(
        haproxy_site_port=template(tmp_path, default),
        webstack_sites=template(tmp_path, "{{ my_sites }}"),
        webstack_app_password=template(tmp_path, "{{ my_password }}"),
    )
    manager.get_vars()
    assert manager.evaluated == []
