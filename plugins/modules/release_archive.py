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
  delegate_to: localhost
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

import fnmatch
import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

MARKER = ".release"


def members(source: Path, exclude: list[str]) -> Iterator[Path]:
    """Files, links and directories below source in a fixed order, without what is excluded."""
    for entry in sorted(source.iterdir(), key=lambda path: path.name):
        if entry.name == MARKER or any(fnmatch.fnmatch(entry.name, pattern) for pattern in exclude):
            continue
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from members(entry, exclude)


def normalised(source: Path, path: Path) -> tarfile.TarInfo:
    """Archive member without owner, time and umask, which are not content."""
    info = tarfile.TarInfo(str(path.relative_to(source)))
    if path.is_symlink():
        target = Path(os.path.normpath(path.parent / path.readlink()))
        if not target.is_relative_to(source):
            raise ValueError(f"{path} is a link that leads outside of {source}: remove it or list its name in exclude.")
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif path.is_file():
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
    else:
        raise ValueError(f"{path} is neither a file, a directory nor a link: remove it or list its name in exclude.")
    return info


def digest(source: Path, entries: list[Path]) -> str:
    """Digest of names, kinds, modes and contents."""
    result = hashlib.sha256()
    for path in entries:
        info = normalised(source, path)
        result.update(repr((info.name, info.type, info.mode, info.linkname, info.size)).encode())
        if info.isfile():
            result.update(path.read_bytes())
    return result.hexdigest()[:16]


def write(source: Path, entries: list[Path], archive: Path, release: str) -> None:
    """Write the archive beside its place and move it there, so that nobody sees half of it."""
    partial = archive.with_suffix(f".{os.getpid()}")
    with partial.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed, tarfile.open(
        fileobj=packed, mode="w", format=tarfile.PAX_FORMAT
    ) as tar:
        for path in entries:
            info = normalised(source, path)
            if info.isfile():
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
        marker = tarfile.TarInfo(MARKER)
        marker.size, marker.mode = len(release), 0o644
        tar.addfile(marker, io.BytesIO(release.encode()))
    partial.replace(archive)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    source = Path(module.params["source"]).resolve()
    if not source.is_dir():
        module.fail_json(
            msg=f"source: {source} is not a directory on the control node: name the application's directory."
        )
    try:
        entries = list(members(source, module.params["exclude"]))
        release = digest(source, entries)
        archive = Path(module.params["dest"]).resolve() / f"{release}.tar.gz"
        changed = not archive.exists()
        if changed and not module.check_mode:
            archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(source, entries, archive, release)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"source: {error}")
    module.exit_json(changed=changed, id=release, archive=str(archive))


if __name__ == "__main__":
    main()
