#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch a symbolic link in one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: atomic_symlink
short_description: Switch a symbolic link in one step
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Makes O(path) a symbolic link to O(target) by renaming a new link over the old one, so that there is no moment
    without a link. M(ansible.builtin.file) unlinks first.
  - Removes the oldest neighbours of the target beyond O(keep), never the target, never the one switched from, and never
    one that another link beside O(path) leads to.
options:
  path:
    description: The link.
    type: path
    required: true
  target:
    description: Directory that the link leads to.
    type: path
    required: true
  keep:
    description: How many directories beside the target, itself included, are kept; V(0) keeps all.
    type: int
    default: 0
attributes:
  check_mode:
    description: Reports what would change.
    support: full
  diff_mode:
    description: Shows the link before and after.
    support: full
"""

EXAMPLES = r"""
- name: Switch to the new release
  pentad.webstack.atomic_symlink:
    path: /srv/app/current
    target: /srv/app/releases/6b1f0c9a2d3e4f50
    keep: 5
"""

RETURN = r"""
previous:
  description: Where the link led before; empty if there was none.
  returned: success
  type: str
  sample: /srv/app/releases/5a0e0c9a2d3e4f50
removed:
  description: Directories that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def switch(path: Path, target: Path) -> None:
    """Rename a new link over the old one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.symlink_to(target)
    try:
        fresh.replace(path)
    except OSError:
        fresh.unlink()
        raise


def linked(path: Path) -> set[Path]:
    """Where path and the links beside it lead to."""
    if not path.parent.is_dir():
        return set()
    return {link.parent / link.readlink() for link in path.parent.iterdir() if link.is_symlink()}


def superfluous(path: Path, target: Path, keep: int) -> list[Path]:
    """Neighbours of the target beyond keep to which no link leads or led, the oldest first."""
    if not keep or not target.parent.is_dir():
        return []
    needed = linked(path) | {target}
    others = [each for each in target.parent.iterdir() if each.is_dir() and each not in needed]
    others.sort(key=lambda each: each.stat().st_mtime)
    here = sum(each.parent == target.parent for each in needed)
    return others[: max(len(others) - max(keep - here, 0), 0)]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "target": {"type": "path", "required": True},
            "keep": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    path, target = Path(module.params["path"]), Path(module.params["target"])
    if path.exists() and not path.is_symlink():
        module.fail_json(msg=f"path: {path} exists and is not a symbolic link: move it away first.")
    previous = str(path.readlink()) if path.is_symlink() else ""
    changed = previous != str(target)
    removed = superfluous(path, target, module.params["keep"]) if changed else []
    if changed and not module.check_mode:
        if not target.is_dir():
            module.fail_json(msg=f"target: {target} is not a directory.")
        try:
            switch(path, target)
            for directory in removed:
                shutil.rmtree(directory)
        except OSError as error:
            module.fail_json(msg=f"path: {error}")
    module.exit_json(
        changed=changed,
        previous=previous,
        removed=[str(directory) for directory in removed],
        diff={"before": f"{path} -> {previous}\n", "after": f"{path} -> {target}\n"},
    )


if __name__ == "__main__":
    main()
