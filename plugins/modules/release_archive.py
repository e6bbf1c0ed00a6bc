#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack a directory into an archive that is named after its content."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_archive
short_description: Pack a directory into an archive named after its content
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Packs O(source) into C(<id>.tar.gz) below O(dest), where the id is a digest of names, modes and contents.
  - The same content gives the same id on any machine and at any time, so that a release is new exactly when
    something in it is.
  - The archive holds a file C(.release) with the id.
  - Runs on the control node, whatever the host of the task.
options:
  source:
    description: Directory to pack.
    type: path
    required: true
  dest:
    description: Directory that keeps the archives; created with mode C(0700) if absent.
    type: path
    required: true
  exclude:
    description: Patterns, as in a shell, of file and directory names to leave out.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports the id and whether the archive would be written.
    support: full
  diff_mode:
    description: There is nothing to show but the id.
    support: none
"""

EXAMPLES = r"""
- name: Pack the release
  pentad.webstack.release_archive:
    source: ./application
    dest: ./.webstack/releases
    exclude: [.git, "*.pyc"]
"""

RETURN = r"""
id:
  description: Digest of the content, 16 hexadecimal digits.
  returned: success
  type: str
  sample: 6b1f0c9a2d3e4f50
archive:
  description: Path of the archive.
  returned: success
  type: str
  sample: /srv/stack/.webstack/releases/6b1f0c9a2d3e4f50.tar.gz
"""
