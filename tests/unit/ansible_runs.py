# SPDX-License-Identifier: GPL-3.0-or-later
"""How ansible-playbook is run in tests that need no node."""

from __future__ import annotations

import os

from places import TOP


def environment(**changed: str) -> dict[str, str]:
    """Environment of ansible-playbook with the collection and its settings, and nothing remembered."""
    return {
        **os.environ,
        "ANSIBLE_CACHE_PLUGIN": "memory",
        # It loads the plugins once, and not for every task.
        "ANSIBLE_CALLBACKS_ENABLED": "pentad.webstack.typed_variables",
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        # Molecule, which other tests import, asks for colours.
        "ANSIBLE_FORCE_COLOR": "0",
        **changed,
    }
