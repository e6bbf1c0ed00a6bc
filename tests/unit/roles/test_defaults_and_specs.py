# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role promises: documented variables with the defaults that it has, no secrets, validated files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import OUR_GROUPS
from ansible_collections.pentad.webstack.plugins.plugin_utils.role_arguments import tables
from places import TOP

ROLES = sorted(path for path in (TOP / "roles").iterdir() if (path / "tasks").is_dir() or (path / "defaults").is_dir())
# Its variables have their defaults in the role topology.
OF_TOPOLOGY = TOP / "roles" / "variables"


def text(path: Path) -> str:
    """What a file holds, if it is there."""
    return path.read_text() if path.exists() else ""


SECRET = re.compile(r"password|secret|token|private|credential", re.IGNORECASE)
# Files that no program of their own judges before they are used.
WITHOUT_VALIDATOR = {
    "acme/certbot.conf.j2": "an addition to a unit",
    "app_server/background.j2": "a unit",
    "app_server/build-environment.j2": "variables for systemd, which takes any text",
    "app_server/environment.j2": "variables for systemd, which takes any text",
    "app_server/fpm-unit.conf.j2": "an addition to a unit",
    "app_server/run.j2": "a part of units",
    "app_server/sandbox.j2": "a part of units",
    "app_server/service.j2": "a unit, which systemd judges when it reads it",
    "app_server/socket.j2": "a unit",
    "app_server/timed-service.j2": "a unit",
    "app_server/timed-timer.j2": "a unit",
    "exporters/my.cnf.j2": "an account for the exporter, which only reads it",
    "exporters/options.j2": "options of the exporters, which have no test mode",
    "haproxy/certificates.j2": "a list for HAProxy, which judges it with haproxy.cfg",
    "haproxy/error.html.j2": "a page, which HAProxy judges with haproxy.cfg",
    "haproxy/page.html.j2": "a page, which HAProxy judges with haproxy.cfg",
    "haproxy/reload.conf.j2": "an addition to a unit",
    "keepalived/keepalived-check.service.j2": "a unit",
    "keepalived/unit.conf.j2": "an addition to a unit",
    "monitoring/options.j2": "options of Prometheus and Alertmanager",
    "mysql_health/mysql-health.json.j2": "JSON made by a filter",
    "mysql_health/mysql-health.service.j2": "a unit",
    "mysql_health/mysql-health.socket.j2": "a unit",
    "mysql_health/mysql-resume.service.j2": "a unit",
    "mysql_health/mysql-fence.service.j2": "a unit",
    "mysql_health/mysql-verdict.service.j2": "a unit",
    "mysql_health/mysql-verdict.timer.j2": "a unit",
    "mysql_health/verdict.json.j2": "JSON made by a filter",
    "nginx/restart.conf.j2": "an addition to a unit",
    "packages/preferences.j2": "apt has no test mode for it",
    "packages/webstack.sources.j2": "apt has no test mode for it",
}


def of_roles(wanted: Iterable[Path]) -> pytest.MarkDecorator:
    """One case for each of the roles."""
    found = list(wanted)
    return pytest.mark.parametrize("role", found, ids=[role.name for role in found])


roles = of_roles(ROLES)


def load(path: Path) -> Any:
    """Content of a YAML file, empty where there is none."""
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def options(role: Path) -> dict[str, Any]:
    """Documented options of a role."""
    documents = role.with_name("variables") if role.name == "topology" else role
    [documented] = load(documents / "meta" / "argument_specs.yml")["argument_specs"].values()
    return documented.get("options", {})


def is_template(value: Any) -> bool:
    """Whether a default is computed."""
    return "{{" in str(value)


def is_flat(value: Any) -> bool:
    """Whether a default is short enough to be repeated in the documentation: no structure inside of a structure."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return not any(isinstance(each, (dict, list)) for each in inside)


def nested(documented: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All options with those inside of them, by their path."""
    for name, option in documented.items():
        yield path + name, option
        yield from nested(option.get("options", {}), f"{path}{name}.")


def entries(node: Any) -> Iterator[dict[str, Any]]:
    """All mappings inside of YAML, each merged with the module arguments that it is an item of."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from entries(value)
    elif isinstance(node, list):
        for value in node:
            yield from entries(value)


@of_roles(role for role in ROLES if role != OF_TOPOLOGY)
def test_every_default_is_documented_and_nothing_else(role):
    assert load(role / "defaults" / "main.yml").keys() == options(role).keys()


@of_roles(role for role in ROLES if role != OF_TOPOLOGY)
def test_documented_defaults_are_those_that_the_role_has(role):
    defaults, documented = load(role / "defaults" / "main.yml"), options(role)
    told = {name: option["default"] for name, option in documented.items() if "default" in option}
    assert {name: defaults[name] for name in told} == told
    untold = [name for name, value in defaults.items() if not is_template(value) and is_flat(value)]
    assert [name for name in untold if name not in told] == []


@roles
def test_defaults_are_what_their_documentation_asks_for(role):
    documented = options(role)
    literal = {name: value for name, value in load(role / "defaults" / "main.yml").items() if not is_template(value)}
    spec = {name: documented[name] for name in literal}
    assert ArgumentSpecValidator(spec).validate(literal).error_messages == []


def test_servers_of_a_site_are_described_as_all_others_are():
    sites, servers = (
        options(TOP / "roles" / role)[name]["options"]
        for role, name in (("variables", "webstack_sites"), ("haproxy", "haproxy_servers"))
    )
    assert sites["servers"]["options"] == servers


@roles
def test_a_computed_default_is_no_required_argument(role):
    assert [name for name, option in options(role).items() if option.get("required")] == []


@roles
def test_every_option_says_what_it_is(role):
    for path, option in nested(options(role)):
        assert option.get("description"), path
        assert "type" in option, path
        assert option["type"] != "list" or "elements" in option, path


@roles
def test_variables_carry_the_name_of_their_role(role):
    prefix = "webstack_" if role.name == "topology" else f"{role.name}_"
    assert [name for name in load(role / "defaults" / "main.yml") if not name.startswith(prefix)] == []


@roles
def test_what_users_cannot_set_begins_with_two_underscores(role):
    """Variables of a role win over the inventory, so a public name among them would be ignored in silence."""
    assert [name for path in (role / "vars").glob("*.yml") for name in load(path) if not name.startswith("__")] == []


@roles
def test_no_secret_has_a_literal_default(role):
    for file in ("defaults/main.yml", "vars/main.yml"):
        for entry in entries(load(role / file)):
            for name, value in entry.items():
                if SECRET.search(name) and isinstance(value, str) and value:
                    assert is_template(value), f"{role.name}/{file}: {name}"


# Used by the playbooks alone, which have values converted.
ONLY_IN_PLAYBOOKS = {"mysql_failover", "mysql_switchover", "topology", "proof", "rollout", "upkeep"}
# These begin with the whole of another role.
AFTER_ANOTHER = {"mysql_primary": "mysql_server", "mysql_replica": "mysql_server"}
# These install no packages of their own, and need no certificate.
WITHOUT_PACKAGES = {"dns": "topology", "packages": "topology"}


@of_roles(role for role in ROLES if role.name not in {*ONLY_IN_PLAYBOOKS, "variables"})
def test_what_the_roles_share_is_loaded_first(role):
    # Imported and not included: core evaluates the role's variables before its first task.
    first = load(role / "tasks" / "main.yml")[0]["ansible.builtin.import_role"]
    before = {**AFTER_ANOTHER, **WITHOUT_PACKAGES}
    assert first["name"] == f"pentad.webstack.{before.get(role.name, 'variables')}"


@of_roles(role for role in ROLES if role.name not in ONLY_IN_PLAYBOOKS)
def test_a_role_by_itself_refuses_values_that_are_not_of_their_type(role):
    assert first_task(role, "main") == {"pentad.webstack.variable_types": None}


def first_task(role: Path, name: str) -> dict[str, Any]:
    """What is done first of a file of tasks, by whatever role, without its name and variables."""
    task = load(role / "tasks" / f"{name}.yml")[0]
    included = task.get("ansible.builtin.import_role", task.get("ansible.builtin.include_role"))
    if included:
        other = role.with_name(included["name"].removeprefix("pentad.webstack."))
        return first_task(other, included.get("tasks_from", "main"))
    return {key: value for key, value in task.items() if key not in ("name", "vars")}


def described(role: Path) -> dict[str, list[dict[str, Any]]]:
    """For each template of a role, the entries of its tasks and variables that write a file from it."""
    found: dict[str, list[dict[str, Any]]] = {path.name: [] for path in sorted((role / "templates").glob("*.j2"))}
    files = [load(path) for folder in ("tasks", "vars") for path in sorted((role / folder).glob("*.yml"))]
    for entry in entries(files):
        text = " ".join(str(entry[key]) for key in ("src", "content", "template") if key in entry)
        for template in found:
            if template in text:
                found[template].append(entry)
    return found


TEMPLATES = {f"{path.parts[-3]}/{path.name}": path for role in ROLES for path in (role / "templates").glob("*.j2")}


def entries_of(template: str) -> list[dict[str, Any]]:
    """The entries that write a file from a template."""
    path = TEMPLATES[template]
    return described(path.parents[1])[path.name]


@pytest.mark.parametrize("template", sorted(TEMPLATES.keys() - WITHOUT_VALIDATOR.keys()))
def test_what_a_program_can_judge_is_judged_before_it_is_used(template):
    written = entries_of(template)
    assert written, "no task writes a file from it"
    assert [entry for entry in written if not entry.get("validate")] == []


@pytest.mark.parametrize("template", sorted(WITHOUT_VALIDATOR))
def test_only_templates_that_no_program_judges_are_excused(template):
    assert [entry for entry in entries_of(template) if entry.get("validate")] == []


def test_validating_commands_name_the_file_that_they_judge():
    commands = [
        entry["validate"]
        for role in ROLES
        for folder in ("tasks", "vars")
        for path in (role / folder).glob("*.yml")
        for entry in entries(load(path))
        if isinstance(entry.get("validate"), str)
    ]
    assert commands
    assert [command for command in commands if "%s" not in command and not is_template(command)] == []


@roles
def test_a_role_by_itself_does_not_rely_on_what_was_observed_before_it(role):
    """Only the playbooks know that nobody came in between, and give it to all tasks of a play."""
    assert [path for path in (role / "tasks").glob("*.yml") if "observed:" in path.read_text()] == []


def test_each_role_is_brought_by_a_group_of_the_contract():
    brought = tables()["__webstack_group_roles"]
    assert set(brought) == {"all", *OUR_GROUPS}
    assert {name for names in brought.values() for name in names} | {"topology"} == {role.name for role in ROLES}
