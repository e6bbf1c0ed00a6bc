# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a value was written in, it becomes what its option says, or stays as it is and is refused in a sentence."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.plugin_utils import role_arguments, value_types
from ansible_collections.pentad.webstack.plugins.plugin_utils.value_types import misfits, refused, sentence, typed

INT, BOOL, TEXT = {"type": "int"}, {"type": "bool"}, {"type": "str"}
HOSTS = {"type": "list", "elements": "str"}
PORTS = {"type": "list", "elements": "int"}
SERVERS = {
    "type": "list",
    "elements": "dict",
    "options": {"port": INT, "tls": BOOL, "names": HOSTS, "limits": {"type": "dict", "options": {"memory": TEXT}}},
}
READ: list[tuple[Any, dict[str, Any], Any]] = [
    ("true", BOOL, True),
    ("false", BOOL, False),
    ("No", BOOL, False),
    ("on", BOOL, True),
    (" yes ", BOOL, True),
    (1, BOOL, True),
    (0, BOOL, False),
    ("8", INT, 8),
    (" -8 ", INT, -8),
    (8.0, INT, 8),
    ("0.5", {"type": "float"}, 0.5),
    (8080, TEXT, "8080"),
    (8.4, TEXT, "8.4"),
    (datetime.date(2026, 11, 28), TEXT, "2026-11-28"),
    (1, {"type": "path"}, "1"),
    ("db2", HOSTS, ["db2"]),
    ("db1,db2", HOSTS, ["db1", "db2"]),
    ("db1, db2", HOSTS, ["db1", "db2"]),
    ('["db1", "db2"]', HOSTS, ["db1", "db2"]),
    ("['db1']", HOSTS, ["db1"]),
    ("", HOSTS, []),
    ([7], HOSTS, ["7"]),
    (7, HOSTS, ["7"]),
    ("80,81", PORTS, [80, 81]),
    ("", {"type": "dict"}, {}),
    ('{"a": 1}', {"type": "dict"}, {"a": 1}),
    (
        [{"port": "80", "tls": "no", "names": "a,b", "limits": {"memory": 512}, "other": "1"}],
        SERVERS,
        [{"port": 80, "tls": False, "names": ["a", "b"], "limits": {"memory": "512"}, "other": "1"}],
    ),
]
KEPT: list[tuple[Any, dict[str, Any]]] = [
    ("eight", INT),
    ("8.5", INT),
    ("inf", INT),
    ("8 ", TEXT),
    ("", INT),
    (True, INT),
    (8.5, INT),
    ("maybe", BOOL),
    ("", BOOL),
    (2, BOOL),
    (["db1"], TEXT),
    (True, TEXT),
    ({"a": 1}, HOSTS),
    (True, HOSTS),
    ("[db1", HOSTS),
    ("a=1", {"type": "dict"}),
    ("{1, 2}", {"type": "dict"}),
    (7, {"type": "dict"}),
    (None, INT),
    ("{{ 8 }}", INT),
    ("{% if true %}8{% endif %}", INT),
    ("anything", {"type": "raw"}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "option", "wanted"), READ)
def test_what_can_be_read_as_the_type_becomes_it(value, option, wanted):
    found = typed(value, option)
    assert (found, type(found)) == (wanted, type(wanted))
    assert list(misfits(found, option)) == []


@pytest.mark.parametrize(("value", "option"), KEPT)
def test_what_cannot_stays_the_same_object(value, option):
    assert typed(value, option) is value


def test_what_is_right_already_stays_the_same_object():
    for value, option in (([{"port": 80, "names": ["a"]}], SERVERS), (["a"], HOSTS), ({"a": "1"}, {"type": "dict"})):
        assert typed(value, option) is value


def test_templates_inside_of_a_structure_are_left_to_be_evaluated():
    assert typed([{"port": "{{ here }}", "tls": "yes"}], SERVERS) == [{"port": "{{ here }}", "tls": True}]


class Vaulted:
    """A vaulted string as ansible-core 2.18 has it: no text, but something that can be made text."""

    __ENCRYPTED__ = True

    def __init__(self, data: str) -> None:
        self.data = data

    def __repr__(self) -> str:
        return repr(self.data)


def test_a_vaulted_string_of_the_oldest_core_is_no_template():
    found = typed(Vaulted("se{{ x }}cret"), TEXT)
    assert (found, isinstance(found, str)) == ("se{{ x }}cret", True)
    assert value_types.typed([{"port": Vaulted("80"), "other": Vaulted("x")}], SERVERS) == [{"port": 80, "other": "x"}]
    assert typed({"KEY": {"a": [Vaulted("x")]}}, {"type": "dict"}) == {"KEY": {"a": ["x"]}}


def said(value: Any, option: dict[str, Any], name: str = "web_size") -> list[str]:
    """Sentences about a value that was given as it is."""
    return [sentence(name, misfit, value) for misfit in refused(value, option, value)]


def test_a_refusal_says_how_to_write_it():
    assert said("8", {**INT, "default": 2}) == [
        "web_size = '8' is text, not a whole number: write web_size: 8 in the inventory, "
        "or -e '{\"web_size\": 8}' on the command line."
    ]
    assert said("eight", {**INT, "default": 2}) == [
        "web_size = 'eight' is text, not a whole number: give it a whole number, as 2."
    ]
    assert said(["a"], TEXT) == ["web_size = ['a'] is not text: give it text."]
    assert said([{"port": "http", "names": "a"}], SERVERS) == [
        "web_size[0].port = 'http' is text, not a whole number: give it a whole number.",
        "web_size[0].names = 'a' is text, not a list: write [\"a\"].",
    ]


def test_a_secret_is_not_shown():
    for value, name in ((["hidden"], "webstack_app_password"), (Vaulted("hidden"), "web_size")):
        [told] = said(value, INT, name)
        assert "hidden" not in told
        assert told.startswith(f"{name} = the given value is not a whole number")
    [told] = [sentence("web_size", one, Vaulted("hidden")) for one in refused("hidden", INT, Vaulted("hidden"))]
    assert "hidden" not in told


def test_numbers_as_text_are_harmless_in_structures_and_as_text():
    assert said([{"port": "80", "limits": {"memory": 512}}], SERVERS) == []
    assert said(8080, TEXT) == []
    assert len(said([{"tls": "yes"}], SERVERS)) == 1


@pytest.mark.parametrize("old", [True, False])
def test_a_number_of_a_template_can_only_be_text_with_the_oldest_core(monkeypatch, old):
    monkeypatch.setattr(value_types, "NUMBERS_COME_AS_TEXT", old)
    assert len(list(refused("8", INT, "{{ 8 }}"))) == (0 if old else 1)
    assert len(list(refused("8", INT, "8"))) == 1
    assert len(list(refused("eight", INT, "{{ 'eight' }}"))) == 1
    assert len(list(refused("db1", HOSTS, "{{ 'db1' }}"))) == 1


def test_every_type_of_the_argument_specs_can_be_read():
    def kinds(option: dict[str, Any]) -> set[str]:
        found = {value_types.type_of(option), option.get("elements", "str")}
        return found.union(*(kinds(inside) for inside in (option.get("options") or {}).values()))

    assert set().union(*(kinds(option) for option in role_arguments.options().values())) <= set(value_types.READERS)
