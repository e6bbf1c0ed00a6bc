# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads pentad.webstack.typed_variables with the playbooks beside it, without a word in ansible.cfg."""

from __future__ import annotations

from ansible_collections.pentad.webstack.plugins.callback import typed_variables


class CallbackModule(typed_variables.CallbackModule):
    """The same; a class of its own, because Ansible notes on it where it was loaded from."""
