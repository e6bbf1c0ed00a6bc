# SPDX-License-Identifier: GPL-3.0-or-later
"""What is supported is told in one way: by preflight, by what Galaxy reads of every role, and in the README."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.inventory_contract import (
    SUPPORTED_ENGINES,
    SUPPORTED_SYSTEMS,
    version_tuple,
)
from places import TOP

ROLES = sorted(path.parents[1].name for path in TOP.glob("roles/*/meta/main.yml"))
# Galaxy knows versions of these by their code names alone.
CODE_NAMES = {
    "Debian": {"12": "bookworm", "13": "trixie"},
    "Ubuntu": {"22.04": "jammy", "24.04": "noble", "26.04": "resolute"},
}


def row(name: str) -> str:
    """What the README says is supported of a thing."""
    table = (TOP / "README.md").read_text().partition("## Supported versions")[2]
    (found,) = re.findall(rf"^\| {re.escape(name)} \| (.+?) \|", table, re.MULTILINE)
    return found


def bounds(requirement: str) -> tuple[str, str]:
    """The first version that a requirement takes and the first that it does not, of C(name>=1.0,<2)."""
    found = re.fullmatch(r"[a-z-]+>=([\d.]+),<([\d.]+)", requirement)
    assert found, requirement
    return found[1], found[2]


def required(name: str) -> tuple[str, str]:
    """The bounds of a tool of the control node."""
    lines = (TOP / "requirements.txt").read_text().splitlines()
    return bounds(next(line for line in lines if line.startswith(f"{name}>=")))


def test_every_role_is_looked_at():
    assert [path.name for path in sorted((TOP / "roles").iterdir())] == ROLES


@pytest.mark.parametrize("role", ROLES)
def test_galaxy_is_told_of_every_system_that_preflight_takes(role):
    told = yaml.safe_load((TOP / "roles" / role / "meta" / "main.yml").read_text())["galaxy_info"]
    assert {platform["name"]: platform["versions"] for platform in told["platforms"]} == {
        system: [CODE_NAMES[system][version] for version in versions] for system, versions in SUPPORTED_SYSTEMS.items()
    }
    assert told["min_ansible_version"] == required("ansible-core")[0]


def test_the_readme_names_every_system_that_preflight_takes():
    assert row("nodes") == "; ".join(f"{name} {', '.join(versions)}" for name, versions in SUPPORTED_SYSTEMS.items())


@pytest.mark.parametrize(("name", "engine"), [("MySQL", "mysql"), ("MariaDB", "mariadb")])
def test_the_readme_names_the_engines_that_preflight_takes(name, engine):
    first, beyond = SUPPORTED_ENGINES[engine]
    versions = [version_tuple(text) for text in row(name).split(", ")]
    assert versions[0] == first
    assert versions == sorted(versions)
    assert (versions[-1][0] + 1, 0) == beyond


def test_the_readme_names_the_ansible_that_is_required():
    oldest, beyond = required("ansible-core")
    major, minor = version_tuple(beyond)
    assert row("ansible-core") == f"{oldest} to {major}.{minor - 1}"
    assert yaml.safe_load((TOP / "meta" / "runtime.yml").read_text())["requires_ansible"] == f">={oldest}.0"
    (installed,) = re.findall(r"pip install '(ansible>=.+?)'", (TOP / "README.md").read_text())
    # 11 is 11.0.
    assert tuple(map(float, bounds(installed))) == tuple(map(float, required("ansible")))
