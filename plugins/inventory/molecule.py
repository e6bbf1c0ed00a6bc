# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory of the machines that a Molecule scenario describes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: molecule
short_description: Hosts and groups from the platforms of a Molecule scenario
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Reads C(platforms) of a C(molecule.yml), so that the machines of a lab are described in one place
    whether Molecule or C(ansible-playbook) drives them.
  - C(${NAME}), C(${NAME:-default}) and C(${NAME-default}) are filled in from the environment, as Molecule does.
  - A machine is reached by SSH at the first address that its platform names.
options:
  plugin:
    description: Marks the file as a source of this plugin.
    type: str
    required: true
    choices: [pentad.webstack.molecule]
  scenario:
    description: Directory of the scenario, relative to the inventory file.
    type: str
    required: true
  access:
    description:
      - Directory, relative to the inventory file, that C(tools/setup) fills for the operator.
      - C(key) is the private key, C(known_hosts) has the key of the hosts, and C(password) is the one for C(sudo).
    type: str
    required: true
  user:
    description: Account on the machines.
    type: str
    default: deploy
  environment:
    description: Values for names that are not in the environment.
    type: dict
    default: {}
  groups:
    description:
      - Names of machines by the groups that they are in besides those that their platforms name; filled in as the
        scenario is.
    type: dict
    default: {}
"""

EXAMPLES = r"""
# inventories/lab/lab.molecule.yml
plugin: pentad.webstack.molecule
scenario: ../../molecule/default
access: ../../.cache/lab-access
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Fill in ${NAME}, ${NAME:-default} and, where an empty value counts, ${NAME-default}."""

    def value(found: re.Match[str]) -> str:
        name, operator, default = found.groups()
        given = environment.get(name)
        return (default or "") if given is None or (operator == ":-" and not given) else given

    return re.sub(r"\$\{(\w+)(?:(:?-)([^}]*))?\}", value, text)


def address_of(platform: Mapping[str, Any]) -> str:
    """The first address that a platform names; its name where it names none."""
    for network in platform.get("networks") or []:
        for kind in ("ipv4_address", "ipv6_address"):
            if network.get(kind):
                return network[kind]
    return platform["name"]


def access(directory: Path, user: str) -> dict[str, Any]:
    """Variables by which a machine is reached."""
    password = directory / "password"
    return {
        "ansible_connection": "ssh",
        "ansible_user": user,
        "ansible_ssh_private_key_file": str(directory / "key"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={directory / 'known_hosts'} -o StrictHostKeyChecking=yes",
        "ansible_become": True,
        # Not there before the set-up, which the unit tests and a syntax check do without.
        "ansible_become_password": password.read_text().strip() if password.exists() else "",
    }


class InventoryModule(BaseInventoryPlugin):
    """Adds one host per platform, in the groups that the platform names."""

    NAME = "pentad.webstack.molecule"

    def verify_file(self, path: str) -> bool:
        """Accept files named like C(lab.molecule.yml)."""
        return super().verify_file(path) and path.endswith((".molecule.yml", ".molecule.yaml"))

    def parse(self, inventory, loader, path, cache=True) -> None:
        """Read the scenario and fill the inventory."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        # Molecule links to the file; paths are relative to the file itself.
        base = Path(path).resolve().parent
        scenario = base / self.get_option("scenario") / "molecule.yml"
        try:
            environment = {**self.get_option("environment"), **os.environ}
            text = expand(scenario.read_text(), environment)
            platforms = yaml.safe_load(text)["platforms"]
            machines = [(each["name"], address_of(each), list(each.get("groups") or [])) for each in platforms]
        except (OSError, AttributeError, KeyError, TypeError, yaml.YAMLError) as error:
            raise AnsibleParserError(
                f"{path}: option scenario: {scenario} has no readable list of platforms ({error})."
            ) from error
        more = {
            group: [expand(name, environment) for name in names] for group, names in self.get_option("groups").items()
        }
        variables = access((base / self.get_option("access")).resolve(), self.get_option("user"))
        for name, address, groups in machines:
            inventory.add_host(name)
            for key, value in {"ansible_host": address, **variables}.items():
                inventory.set_variable(name, key, value)
            for group in [*groups, *(group for group, names in more.items() if name in names)]:
                inventory.add_group(group)
                inventory.add_host(name, group=group)
