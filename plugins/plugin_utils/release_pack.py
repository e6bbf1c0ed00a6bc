# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one form that every release takes: an archive of names, modes and contents, named after them."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..module_utils.content_time import content_time

MARKER = ".release"
PACKED = ".tar.gz"
# End of the name of what nodes have built of a release, which lies beside it.
BUILT = ".built"


class SourceError(ValueError):
    """A source cannot be used; the text is a sentence with the remedy."""


def members(source: Path, exclude: list[str], but: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Files, links and directories below source in a fixed order, without what is excluded and but for these paths."""
    for entry in sorted(source.iterdir(), key=lambda path: path.name):
        if entry.name == MARKER or entry in but or any(fnmatch.fnmatch(entry.name, pattern) for pattern in exclude):
            continue
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from members(entry, exclude, but)


def normalised(source: Path, path: Path) -> tarfile.TarInfo:
    """Archive member without owner, time and umask, which are not content."""
    name = path.relative_to(source)
    info = tarfile.TarInfo(str(name))
    if path.is_symlink():
        target = path.readlink()
        # A link back to where the source is now leads nowhere on a node, so only a relative one can stay inside.
        if target.is_absolute() or not Path(os.path.realpath(path)).is_relative_to(source):
            raise SourceError(f"{name} is a link that leads outside ({target}): remove it or list its name in exclude.")
        info.type, info.linkname = tarfile.SYMTYPE, str(target)
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif path.is_file():
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
    else:
        raise SourceError(f"{name} is neither a file, a directory nor a link: remove it or list its name in exclude.")
    return info


def added(links: dict[str, str]) -> Iterator[tarfile.TarInfo]:
    """Archive members of the links that are added to a release, with the directories that they are in."""
    made: set[str] = set()
    for name, target in sorted(links.items()):
        for above in reversed(PurePosixPath(name).parents[:-1]):
            if str(above) not in made:
                made.add(str(above))
                directory = tarfile.TarInfo(str(above))
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                yield directory
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, target
        yield link


def digest(source: Path, entries: list[Path], recipe: str, links: dict[str, str]) -> str:
    """Digest of names, kinds, modes, contents and added links, and of the recipe."""
    result = hashlib.sha256()
    if recipe or links:
        result.update(repr((recipe, sorted(links.items()))).encode())
    for path in entries:
        info = normalised(source, path)
        result.update(repr((info.name, info.type, info.mode, info.linkname, info.size)).encode())
        if info.isfile():
            result.update(path.read_bytes())
    return result.hexdigest()[:16]


def write(source: Path, entries: list[Path], archive: Path, release: str, links: dict[str, str]) -> None:
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
                # nginx makes validators of it; it follows from the content, and is no part of the digest.
                info.mtime = content_time(path)
                with path.open("rb") as content:
                    tar.addfile(info, content)
            else:
                tar.addfile(info)
        for info in added(links):
            tar.addfile(info)
        marker = tarfile.TarInfo(MARKER)
        marker.size, marker.mode = len(release), 0o644
        tar.addfile(marker, io.BytesIO(release.encode()))
    partial.replace(archive)


def check_links(links: dict[str, str]) -> None:
    """Refuse a link that would be made outside of the release."""
    for name in links:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or name != str(PurePosixPath(name)):
            raise SourceError(f"link {name!r} is no path inside of a release: write it as uploads or var/cache.")


def superfluous(directory: Path, release: str, keep: int) -> list[Path]:
    """Archives of the releases that were used longest ago, beyond keep with this one; 0 keeps all."""
    if keep < 1 or not directory.is_dir():
        return []
    used: dict[str, float] = {}
    archives = {path: path.name.removesuffix(PACKED).removesuffix(BUILT) for path in directory.glob(f"*{PACKED}")}
    for path, name in archives.items():
        used[name] = max(used.get(name, 0.0), path.stat().st_mtime)
    used.pop(release, None)
    gone = sorted(used, key=lambda name: (used[name], name), reverse=True)[keep - 1 :]
    return sorted(path for path, name in archives.items() if name in gone)


def pack(
    source: Path,
    dest: Path,
    exclude: list[str],
    check_mode: bool,
    prefix: str = "",
    recipe: str = "",
    links: dict[str, str] | None = None,
    keep: int = 0,
) -> dict[str, Any]:
    """Pack the directory; returns the id and the path of the archive, whether it is new, and what was removed."""
    links = links or {}
    check_links(links)
    entries = list(members(source, exclude, frozenset(source / name for name in links)))
    if not entries:
        raise SourceError("there is nothing in it to release: name another source, or exclude less.")
    release = prefix + digest(source, entries, recipe, links)
    archive = dest.resolve() / f"{release}{PACKED}"
    changed = not archive.exists()
    removed = superfluous(archive.parent, release, keep) if changed else []
    if not check_mode:
        if changed:
            archive.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(source, entries, archive, release, links)
        # So that the archive in use is not the next to be removed.
        os.utime(archive)
        for path in removed:
            path.unlink()
    return {"changed": changed, "id": release, "archive": str(archive), "removed": [path.name for path in removed]}
