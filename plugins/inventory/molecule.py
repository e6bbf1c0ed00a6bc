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
  - C(${NAME}) and C(${NAME:-default}) are filled in from the environment, as Molecule does.
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
  connection:
    description: Connection plugin by which the platforms are reached.
    type: str
    default: community.docker.docker
"""

EXAMPLES = r"""
# inventories/lab/lab.molecule.yml
plugin: pentad.webstack.molecule
scenario: ../../molecule/default
"""

import os
import re
from pathlib import Path

import yaml
from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin


def expand(text: str, environment: dict[str, str]) -> str:
    """Fill in ${NAME} and ${NAME:-default}; an unset name without a default becomes the empty string."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: environment.get(m[1]) or m[2] or "", text)


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
        scenario = Path(path).parent / self.get_option("scenario") / "molecule.yml"
        try:
            platforms = yaml.safe_load(expand(scenario.read_text(), dict(os.environ)))["platforms"]
            machines = [(platform["name"], list(platform.get("groups") or [])) for platform in platforms]
        except (OSError, AttributeError, KeyError, TypeError, yaml.YAMLError) as error:
            raise AnsibleParserError(
                f"{path}: option scenario: {scenario} has no readable list of platforms ({error})."
            ) from error
        for name, groups in machines:
            inventory.add_host(name)
            inventory.set_variable(name, "ansible_connection", self.get_option("connection"))
            for group in groups:
                inventory.add_group(group)
                inventory.add_host(name, group=group)
