#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack an application, wherever it comes from, into an archive that is named after its content."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_archive
short_description: Pack an application into an archive named after its content
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Takes a directory, an archive or a version of a git repository and packs what is in it into C(<id>.tar.gz) below
    O(dest), where the id is a digest of names, modes and contents.
  - The same content gives the same id on any machine and at any time, so that a release is new exactly when
    something in it is. With O(type=git) the commit is part of the id, too, and with O(type=package) the version.
  - The archive holds a file C(.release) with the id.
  - Runs on the control node, whatever the host of the task.
  - Links that lead out of the application, and what is neither a file, a directory nor a link, are refused.
options:
  type:
    description: What O(source) is.
    type: str
    choices: [directory, archive, git, package]
    default: directory
  source:
    description:
      - With O(type=directory), a directory of the control node.
      - With O(type=archive), a C(.tar.gz), C(.tar.xz), C(.tar.bz2) or C(.zip) of the control node, or its https URL.
        It is checked as a whole before anything is unpacked, and refused for a path that leads outside.
      - With O(type=git), a repository; its https or ssh URL, C(user@host:path), or a directory of the control node.
      - With O(type=package), the name of a package of the distribution. Nodes download it themselves; what is packed is
        a file C(PACKAGE) that says which file of which digest that is.
      - A user and password in an https URL reach neither output nor a process list.
    type: str
    required: true
  dest:
    description: Directory that keeps the archives; created with mode C(0700) if absent.
    type: path
    required: true
  keep:
    description:
      - Releases whose archives are kept in O(dest) when a new one comes, itself included; those that were used longest
        ago are removed, with what is named C(<id>.built.tar.gz). With V(0) all are kept.
    type: int
    default: 0
  cache:
    description:
      - Directory that keeps what was downloaded and mirrors of repositories, so that the second run is cheap; created
        with mode C(0700) if absent.
      - By default C(sources) beside O(dest).
    type: path
  exclude:
    description: Patterns, as in a shell, of file and directory names to leave out.
    type: list
    elements: str
    default: []
  links:
    description:
      - Links to add, by their path in the release and with where they lead on the nodes, as to a directory that all
        releases share. What the application has at such a path itself is left out.
    type: dict
    default: {}
  recipe:
    description: Further text that is part of the id, such as the commands that build the release on a node.
    type: str
    default: ""
  checksum:
    description:
      - Checksum that the archive has to have, as C(sha256:) and 64 hexadecimal digits.
      - Required where O(source) is a URL. An archive that has it is not downloaded again.
    type: str
  strip:
    description: Whether to leave out the one directory that everything in an archive is in, if there is one.
    type: bool
    default: true
  version:
    description:
      - Tag, branch or commit of the repository; a tag before a branch of the same name.
      - A full commit id is fetched alone; for the beginning of one the whole history is fetched.
      - With O(type=package) the file of the package, its size and its digest, as C(apt-get download --print-uris) shows
        them behind the address.
      - Required with O(type=git) and O(type=package).
    type: str
  submodules:
    description: Whether to take the submodules of the repository along, and theirs.
    type: bool
    default: false
  ssh_key:
    description: Private key by which the repository is reached, a file for its owner alone; by default those of ssh.
    type: path
  known_hosts:
    description:
      - File of the host keys that are accepted, and no others.
      - By default the key of a host that is not in the user's C(known_hosts) is noted in O(cache) at the first
        contact, and another key is refused later.
    type: path
  timeout:
    description: Seconds that all downloads together may take.
    type: int
    default: 300
attributes:
  check_mode:
    description: >-
      Reports the id and whether the archive would be written. Nothing is packed, but what is needed to compute the id
      is downloaded to O(cache).
    support: full
  diff_mode:
    description: There is nothing to show but the id.
    support: none
"""

EXAMPLES = r"""
- name: Pack a directory
  pentad.webstack.release_archive:
    source: ./application
    dest: ./.webstack/releases
    exclude: [.git, "*.pyc"]

- name: Pack a version of a repository, with its submodules
  pentad.webstack.release_archive:
    type: git
    source: git@git.example.com:shop/frontend.git
    version: v2.4.1
    submodules: true
    ssh_key: ./deploy_key
    dest: ./.webstack/releases

- name: Pack what stands for a package
  pentad.webstack.release_archive:
    type: package
    source: hello
    version: >-
      hello_2.10-5_amd64.deb 53452 SHA256:52e1b6b2f5f3d3a2a3a52a9ed8bb6d0c7f1c6b2f0c9a2d3e4f506b1f0c9a2d3e
    dest: ./.webstack/releases

- name: Pack what an archive holds
  pentad.webstack.release_archive:
    type: archive
    source: https://downloads.example.com/frontend-2.4.1.tar.gz
    checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    dest: ./.webstack/releases
"""

RETURN = r"""
id:
  description: >-
    Digest of the content, 16 hexadecimal digits; of a repository after 12 of the commit and a hyphen, of a package
    after its version and a hyphen.
  returned: success
  type: str
  sample: 6b1f0c9a2d3e4f50
archive:
  description: Path of the archive.
  returned: success
  type: str
  sample: /srv/stack/.webstack/releases/6b1f0c9a2d3e4f50.tar.gz
removed:
  description: Files that were removed from O(dest).
  returned: success
  type: list
  elements: str
  sample: [5a0e0c9a2d3e4f50.built.tar.gz, 5a0e0c9a2d3e4f50.tar.gz]
version:
  description: The version that was wanted.
  returned: with O(type=git)
  type: str
  sample: v2.4.1
commit:
  description: The commit that it stands for.
  returned: with O(type=git)
  type: str
  sample: 1f0c9a2d3e4f506b1f0c9a2d3e4f506b1f0c9a2d
"""
