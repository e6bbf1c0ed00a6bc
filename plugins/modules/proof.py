#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: proof
short_description: Judge what the proof found on every part of the stack
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Puts together what P(pentad.webstack.proof#role) has registered on every host, shows what is right as a table, and
    fails with each point that is wrong, its host, fact and remedy.
  - Runs on the control node.
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
- name: Judge the findings
  pentad.webstack.proof:
  run_once: true
"""

RETURN = r"""
findings:
  description: Every point that was checked. Those that are wrong are in the message of the failure.
  returned: success
  type: list
  elements: dict
  sample: [{"host": "web1", "check": "services", "ok": true, "fact": "all services listen", "remedy": ""}]
"""
