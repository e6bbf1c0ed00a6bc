#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the configuration files of a service in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Keep the configuration files of a service in one round trip
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Creates directories and writes files, each validated by its own program before it replaces the old one.
  - Does for several files at once what M(ansible.builtin.template) with C(validate) does for one; a service of five
    files costs one round trip where it would cost ten.
  - Render templates with the lookup P(ansible.builtin.template#lookup).
options:
  directories:
    description: Directories to keep, created before the files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory; its parents are created as needed.
        type: path
        required: true
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Mode.
        type: str
        default: "0755"
  files:
    description: Files to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: The file.
        type: path
        required: true
      content:
        description: What it holds.
        type: str
        required: true
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Mode.
        type: str
        default: "0644"
      validate:
        description: Command that judges the new file, C(%s) standing for its path; if it fails, the old file stays.
        type: str
attributes:
  check_mode:
    description: Reports what would change; nothing is validated, as the program need not be there yet.
    support: full
  diff_mode:
    description: Shows each file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Write the configuration
  pentad.webstack.config_files:
    files:
      - dest: /etc/haproxy/haproxy.cfg
        content: "{{ lookup('ansible.builtin.template', 'haproxy.cfg.j2') }}"
        validate: haproxy -c -q -f %s
  notify: Reload HAProxy
"""

RETURN = r"""
changed_files:
  description: Files whose content or attributes changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/haproxy/haproxy.cfg]
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule


class Keeper:
    """Brings directories and files in line, and notes what changed."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.changed_files: list[str] = []
        self.changed = False
        self.diff: list[dict[str, str]] = []

    def attributes(self, path: str, wanted: dict[str, Any]) -> bool:
        """Owner, group and mode; in check mode of a path that is not there yet they are part of its creation."""
        if not Path(path).exists():
            return False
        arguments = self.module.load_file_common_arguments(
            {**self.module.params, "path": path, **{key: wanted[key] for key in ("owner", "group", "mode")}}
        )
        return self.module.set_fs_attributes_if_different(arguments, False)

    def directory(self, wanted: dict[str, Any]) -> None:
        """One directory."""
        path = Path(wanted["path"])
        if path.exists() and not path.is_dir():
            self.module.fail_json(msg=f"{path} exists and is not a directory: move it away first.")
        created = not path.exists()
        if created and not self.module.check_mode:
            path.mkdir(parents=True)
        self.changed |= self.attributes(str(path), wanted) or created

    def file(self, wanted: dict[str, Any]) -> None:
        """One file."""
        dest = wanted["dest"]
        old = self.current(Path(dest))
        differs = old != wanted["content"]
        if differs:
            self.diff.append(
                {"before_header": dest, "after_header": dest, "before": old or "", "after": wanted["content"]}
            )
            if not self.module.check_mode:
                self.replace(dest, wanted)
        if self.attributes(dest, wanted) or differs:
            self.changed = True
            self.changed_files.append(dest)

    def current(self, path: Path) -> str | None:
        """What the file holds; None where there is none."""
        if path.is_dir():
            self.module.fail_json(msg=f"{path} is a directory and a file is to be written there: move it away first.")
        return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else None

    def replace(self, dest: str, wanted: dict[str, Any]) -> None:
        """Validate the new content beside the old and move it into place."""
        descriptor, fresh = tempfile.mkstemp(dir=self.module.tmpdir)
        with os.fdopen(descriptor, "wb") as file:
            file.write(wanted["content"].encode("utf-8", "surrogateescape"))
        if wanted["validate"]:
            command = wanted["validate"]
            if "%s" not in command:
                self.module.fail_json(msg=f"validate of {dest} has no %s for the path of the file: {command}")
            code, out, err = self.module.run_command(command.replace("%s", fresh))
            if code:
                said = (err or out).strip().replace(fresh, dest)
                self.module.fail_json(msg=f"{dest} is refused by '{command}' and stays as it was: {said}")
        if not Path(dest).parent.is_dir():
            self.module.fail_json(msg=f"{dest} cannot be written: its directory is not there; list it in directories.")
        self.module.atomic_move(fresh, dest)


def main() -> None:
    """Run the module."""
    attributes = {"owner": {"type": "str", "default": "root"}, "group": {"type": "str", "default": "root"}}
    module = AnsibleModule(
        argument_spec={
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    **attributes,
                    "mode": {"type": "str", "default": "0755"},
                },
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "dest": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    **attributes,
                    "mode": {"type": "str", "default": "0644"},
                    "validate": {"type": "str"},
                },
            },
        },
        supports_check_mode=True,
    )
    keeper = Keeper(module)
    for directory in module.params["directories"]:
        keeper.directory(directory)
    for file in module.params["files"]:
        keeper.file(file)
    module.exit_json(changed=keeper.changed, changed_files=keeper.changed_files, diff=keeper.diff)


if __name__ == "__main__":
    main()
