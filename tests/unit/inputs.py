# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack as those who judge its variables get it: as it should be, but for what a test changes."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import Stack
from places import TOP

GROUPS = {
    "all": ["lb1", "web1", "web2", "db1", "db2"],
    "haproxy": ["lb1"],
    "monitoring": ["lb1"],
    "web": ["web1", "web2"],
    "mysql": ["db1", "db2"],
    "mysql_primary": ["db1"],
    "mysql_replica": ["db2"],
}
DEFAULTS = {
    name: value
    for name, value in yaml.safe_load((TOP / "roles/topology/defaults/main.yml").read_text()).items()
    if "{{" not in str(value)
}
SPECS = {
    path.parts[-3]: next(iter(yaml.safe_load(path.read_text())["argument_specs"].values())).get("options", {})
    for path in TOP.glob("roles/*/meta/argument_specs.yml")
}
REPOSITORY = {"name": "mysql", "deb822": {"URIs": "https://packages.example.com", "Suites": "stable"}}
SITE = {"name": "shop", "domains": ["shop.example.com"], "servers": []}


def stack(changes: dict[str, dict[str, Any]] | None = None, **groups: list[str]) -> Stack:
    """The five nodes as they should be, with changed variables of some hosts and changed groups."""
    members = {**GROUPS, **groups}
    given = {
        host: {
            "webstack_address": f"192.0.2.{10 + number}",
            "mysql_server_repositories": [REPOSITORY],
            **(changes or {}).get(host, {}),
        }
        for number, host in enumerate(members["all"])
    }
    found = {
        "app_server_source": str(TOP),
        "ansible_facts": {"distribution": "Debian", "distribution_version": "13.1"},
        "__webstack_survey": {"listeners": [], "database": {}},
    }
    variables = {host: {**DEFAULTS, **found, **given[host]} for host in members["all"]}
    return Stack(groups=members, variables=variables, given=given, specs=SPECS)


def everywhere(**changes: Any) -> dict[str, dict[str, Any]]:
    """The same change for every host."""
    return dict.fromkeys(GROUPS["all"], changes)
