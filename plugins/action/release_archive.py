# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack a directory into an archive that is named after its content."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

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
    with (
        partial.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
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


class ActionModule(ActionBase):
    """Runs on the control node alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Pack, unless that has been done."""
        result = super().run(tmp, task_vars)
        _spec, wanted = self.validate_argument_spec(
            argument_spec={
                "source": {"type": "path", "required": True},
                "dest": {"type": "path", "required": True},
                "exclude": {"type": "list", "elements": "str", "default": []},
            }
        )
        source = Path(wanted["source"]).resolve()
        if not source.is_dir():
            said = f"source: {source} is not a directory on the control node: name the application's directory."
            return {**result, "failed": True, "msg": said}
        try:
            return {**result, **pack(source, Path(wanted["dest"]), wanted["exclude"], self._task.check_mode)}
        except (OSError, ValueError) as error:
            return {**result, "failed": True, "msg": f"source: {error}"}


def pack(source: Path, dest: Path, exclude: list[str], check_mode: bool) -> dict[str, Any]:
    """Pack the directory; returns the id and the path of the archive, and whether it is new."""
    entries = list(members(source, exclude))
    release = digest(source, entries)
    archive = dest.resolve() / f"{release}.tar.gz"
    changed = not archive.exists()
    if changed and not check_mode:
        archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(source, entries, archive, release)
    return {"changed": changed, "id": release, "archive": str(archive)}
