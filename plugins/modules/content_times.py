#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give files times that follow from their content."""

from __future__ import annotations

DOCUMENTATION = r"""
module: content_times
short_description: Give files times that follow from their content
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Sets the modification time of every file below some directories to one between 1980 and 2014 that its content
    determines. Web servers make validators of it, so that a cached file is fetched again after every change, also where
    the build gave all files the same time.
  - Symbolic links are left alone, and not followed.
options:
  paths:
    description: Directories; one that does not exist is skipped.
    type: list
    elements: path
    required: true
  exclude:
    description: Names of files that keep their time, with wildcards as shells have them.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports how many files would be set.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Give the files that nginx serves times of their content
  pentad.webstack.content_times:
    paths: [/srv/app/releases/6b1f0c9a2d3e4f50/public]
    exclude: ["*.php"]
"""

RETURN = r"""
files:
  description: How many files were set to another time.
  returned: success
  type: int
  sample: 12
"""

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.content_time import content_time


def files(directory: Path, exclude: list[str]) -> Iterator[Path]:
    """Files below a directory that are no links."""
    for where, _directories, names in os.walk(directory):
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink() and not any(fnmatch.fnmatch(name, each) for each in exclude):
                yield path


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    count = 0
    path = Path()
    try:
        for directory in module.params["paths"]:
            for path in files(Path(directory), module.params["exclude"]):
                wanted = content_time(path)
                if path.stat().st_mtime == wanted:
                    continue
                count += 1
                if not module.check_mode:
                    os.utime(path, (wanted, wanted))
    except OSError as error:
        module.fail_json(msg=f"paths: {path}: {error.strerror or error}: check who owns it, and run again.")
    module.exit_json(changed=count > 0, files=count)


if __name__ == "__main__":
    main()
