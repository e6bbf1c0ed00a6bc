# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a template without a copy of every variable."""

from __future__ import annotations

DOCUMENTATION = r"""
name: template
short_description: Render a template without a copy of every variable
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Does what the lookup P(ansible.builtin.template#lookup) does, with the same options.
  - That one copies all variables of the host in depth for each template, which was a sixth of what the task processes
    of a run of this collection did, whose roles render many small files. The copy protects variables from templates
    that change them, as those of this collection do not.
options:
  _terms:
    description: Templates, found as P(ansible.builtin.template#lookup) finds them.
    type: list
    elements: str
    required: true
seealso:
  - plugin: ansible.builtin.template
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Configure HAProxy
  pentad.webstack.service:
    files:
      - dest: /etc/haproxy/haproxy.cfg
        content: "{{ lookup('pentad.webstack.template', 'haproxy.cfg.j2') }}"
"""

RETURN = r"""
_raw:
  description: What each template renders to.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase


class Uncopied(dict[str, Any]):
    """Variables of which a deep copy is a dictionary of its own with the same values."""

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


class LookupModule(LookupBase):
    """Renders templates."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Have the lookup of ansible-core do it."""
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        return lookup.run(terms, variables=Uncopied(variables or {}), **kwargs)
