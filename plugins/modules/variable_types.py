#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: variable_types
short_description: Refuse variables of the collection that are not of their type
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Fails if a variable of a role of this collection is text where its argument spec wants a number, a truth value or a
    list, with how to write it. Text would be repeated instead of multiplied, and count as true whatever it says.
  - The playbooks of the collection have such values converted by P(pentad.webstack.typed_variables#callback); a
    playbook of your own that uses a role alone does, too, once that plugin is enabled in ansible.cfg.
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
- name: Refuse what is not of its type
  pentad.webstack.variable_types:
"""

RETURN = r"""
problems:
  description: What is wrong, one sentence each.
  returned: failure
  type: list
  elements: str
  sample: ["web1: rollout_lease = '90' is text, not a whole number: write rollout_lease: 90 in the inventory."]
"""
