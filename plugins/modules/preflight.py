#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check the whole input before anything is changed
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Checks groups, addresses, ports, names, sources, secrets, systems and databases of all hosts together, and every
    variable that is set against the argument specs of the roles that use it.
  - Fails with all problems at once, each with the host, the variable, its value and the fix.
  - Runs on the control node; needs the result of M(pentad.webstack.host_survey) in C(__webstack_survey) of every host.
options:
  goes_on:
    description: >-
      Whether the run goes on without hosts that did not answer, as long as others did, and as long as a balancer
      answers where web nodes take part. Otherwise each of them is a problem. A database server that is masked, because
      it was fenced, is none then.
    type: bool
    default: false
  drains:
    description: Whether web nodes are taken out of the balancers, one of which has to answer for that.
    type: bool
    default: true
  urgent:
    description: >-
      Whether the run is an emergency, which is refused only for what concerns the databases, the addresses and the
      variables that nodes share. Every other problem is a warning.
    type: bool
    default: false
attributes:
  action:
    description: Runs on the control node.
    support: full
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  platform:
    platforms: posix
extends_documentation_fragment:
  - action_common_attributes
"""

EXAMPLES = r"""
- name: Check the whole input
  pentad.webstack.preflight:
  run_once: true
"""

RETURN = r"""
problems:
  description: What is wrong, one sentence each.
  returned: failure
  type: list
  elements: str
  sample: ["web1: haproxy_balance must be one of: roundrobin, leastconn, source, got: random"]
silent:
  description: Hosts of the run that did not answer, with the reason.
  returned: always
  type: dict
  sample: {db2: "connection timed out"}
new_uuid:
  description: Hosts that carry the server UUID of another host and hold no data, so that they are to make a new one.
  returned: always
  type: list
  elements: str
  sample: []
"""
