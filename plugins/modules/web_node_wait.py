#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a web node answers requests as a balancer sends them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: web_node_wait
short_description: Wait until a web node answers
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Sends requests to a web node over TLS, as a balancer does, until every path answers 200. Its certificate and name
    are verified.
  - Run it on a balancer, so that the network between the two is checked as well.
options:
  name:
    description: Name of the node, for which its certificate has to be valid.
    type: str
    required: true
  address:
    description: Address of the node.
    type: str
    required: true
  port:
    description: Port of nginx on the node.
    type: int
    required: true
  host:
    description: What clients send as C(Host), with the port where that is not the usual one.
    type: str
    required: true
  paths:
    description: Paths that have to answer 200, all of them in the same pass.
    type: list
    elements: str
    required: true
  ca_path:
    description: PEM file on this node with the internal authority.
    type: path
    required: true
  timeout:
    description: Seconds to wait, all attempts together.
    type: int
    default: 60
attributes:
  check_mode:
    description: Waits for nothing, because nothing was changed.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Wait until the node answers
  pentad.webstack.web_node_wait:
    name: web1
    address: 192.0.2.21
    port: 8080
    host: www.example.com
    paths: [/livez, /readyz]
    ca_path: /etc/ssl/webstack/ca.pem
  delegate_to: lb1
"""

RETURN = r"""
waited:
  description: Seconds until it answered.
  returned: success, outside of check mode
  type: float
  sample: 1.4
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.site_client import Place, request, tls_context

PAUSE = 0.5
LONGEST_ANSWER = 5.0


def trouble(place: Place, paths: list[str], deadline: float) -> str:
    """The answer of the first path that does not answer 200; empty if all do."""
    for path in paths:
        patience = min(LONGEST_ANSWER, max(1.0, deadline - time.monotonic()))
        answer = request(place, path, patience)
        if answer.status != 200:
            return f"{path} {answer.told}"
    return ""


def wait(place: Place, params: dict[str, Any]) -> tuple[float, str]:
    """Repeat until all paths answer or the time is over; returns the seconds, and what was wrong last."""
    begun = time.monotonic()
    deadline = begun + params["timeout"]
    while True:
        wrong = trouble(place, params["paths"], deadline)
        if not wrong or time.monotonic() >= deadline:
            return round(time.monotonic() - begun, 1), wrong
        time.sleep(PAUSE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "host": {"type": "str", "required": True},
            "paths": {"type": "list", "elements": "str", "required": True},
            "ca_path": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        module.exit_json(changed=False)
    try:
        context = tls_context(params["ca_path"])
    except OSError as error:
        module.fail_json(msg=f"ca_path: {params['ca_path']}: {error}: run site.yml, which writes it.")
    place = Place(params["address"], params["port"], params["host"], params["name"], context)
    waited, wrong = wait(place, params)
    if wrong:
        module.fail_json(
            msg=f"{params['name']} is not healthy after {waited:.0f} s, {wrong}: "
            "check the journal of the application there, and its database endpoints."
        )
    module.exit_json(changed=False, waited=waited)


if __name__ == "__main__":
    main()
