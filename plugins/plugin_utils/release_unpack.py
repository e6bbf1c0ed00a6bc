# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives as a source: downloaded, verified, checked as a whole, and only then unpacked."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.urls import open_url

from .release_pack import SourceError

CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})", re.IGNORECASE)
BLOCK = 1 << 20
# Errors of the readers for an archive that is damaged.
DAMAGED = (
    tarfile.TarError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file, directory or link of an archive, with its path in parts."""

    parts: tuple[str, ...]
    kind: str
    size: int = 0
    executable: bool = False
    link: str = ""
    content: Callable[[], IO[bytes]] = io.BytesIO

    @property
    def name(self) -> str:
        """Its path."""
        return "/".join(self.parts)


def is_url(source: str) -> bool:
    """Whether the source is a URL."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source))


def without_credentials(url: str) -> str:
    """The URL as it may be shown."""
    try:
        split = urlsplit(url)
    except ValueError:
        return "the URL"
    return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2])) if is_url(url) else url


def sha256_of(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wanted_digest(checksum: str | None) -> str | None:
    """The digest that a checksum names."""
    if not checksum:
        return None
    found = CHECKSUM.fullmatch(checksum)
    if not found:
        raise SourceError(f"checksum {checksum!r} is none: write it as sha256: and 64 hexadecimal digits.")
    return found[1].lower()


def verify(path: Path, wanted: str | None, shown: str) -> None:
    """Refuse a file that has another digest than wanted."""
    if wanted and (found := sha256_of(path)) != wanted:
        raise SourceError(
            f"{shown} has the checksum sha256:{found} and not sha256:{wanted}: "
            "it is not the archive that was meant; correct checksum only once you know why."
        )


def fetched(url: str, checksum: str | None, cache: Path, timeout: int) -> Path:
    """The archive that the URL names, from the cache if it has been downloaded before."""
    shown, wanted = without_credentials(url), wanted_digest(checksum)
    if urlsplit(url).scheme.lower() != "https":
        raise SourceError(f"{shown} is not an https URL: an archive is downloaded over https alone.")
    if not wanted:
        raise SourceError(f"{shown} needs a checksum: write sha256: and what 'sha256sum' says of the archive.")
    path = cache / wanted
    if path.exists() and sha256_of(path) == wanted:
        return path
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        download(url, partial, timeout)
        verify(partial, wanted, shown)
        partial.replace(path)
    except (OSError, HTTPException) as error:
        said = str(error).replace(url, shown)
        raise SourceError(f"{shown} could not be downloaded: {said}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def download(url: str, path: Path, timeout: int) -> None:
    """Download, within the timeout as a whole."""
    end = time.monotonic() + timeout
    with open_url(url, timeout=timeout, follow_redirects="safe") as answer, path.open("wb") as file:
        while block := answer.read1(BLOCK):
            file.write(block)
            if time.monotonic() > end:
                raise TimeoutError(f"it took longer than {timeout} s: raise timeout")


def parts_of(name: str, shown: str) -> tuple[str, ...]:
    """Path of a member in parts; refuses one that leads outside."""
    if "\\" in name or "\0" in name:
        raise SourceError(f"{shown} has the member {name!r}, whose path is not separated by '/': pack it again.")
    if name.startswith("/"):
        raise SourceError(f"{shown} has the absolute path {name!r} in it: pack it again with relative paths.")
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    if ".." in parts:
        raise SourceError(f"{shown} has the path {name!r} in it, which leads outside: pack it again without '..'.")
    return parts


def tar_members(tar: tarfile.TarFile, shown: str) -> Iterable[Member]:
    """What a tar archive holds."""
    for info in tar:
        parts = parts_of(info.name, shown)
        if info.isreg():
            yield Member(
                parts, "file", info.size, bool(info.mode & stat.S_IXUSR),
                content=lambda info=info: tar.extractfile(info) or unreadable(info.name),
            )  # fmt: skip
        elif info.isdir():
            yield Member(parts, "directory")
        elif info.issym():
            yield Member(parts, "link", link=info.linkname)
        elif info.islnk():
            yield Member(parts, "hard link", link="/".join(parts_of(info.linkname, shown)))
        else:
            raise SourceError(device(shown, info.name))


def unreadable(name: str) -> IO[bytes]:
    """A member that has no content where it should have one."""
    raise tarfile.ReadError(f"{name} cannot be read")


def device(shown: str, name: str) -> str:
    """The refusal of a member that is no part of an application."""
    return f"{shown} has {name!r} in it, which is neither a file, a directory nor a link: pack it again without."


def zip_members(archive: zipfile.ZipFile, shown: str) -> Iterable[Member]:
    """What a zip archive holds."""
    for info in archive.infolist():
        # The name as the archive has it; zipfile cuts it at its first NUL.
        parts = parts_of(info.orig_filename, shown)
        if info.flag_bits & 1:
            raise SourceError(f"{shown} is encrypted: pack it again without a password.")
        mode = info.external_attr >> 16
        kind = stat.S_IFMT(mode)
        if info.is_dir():
            yield Member(parts, "directory")
        elif kind == stat.S_IFLNK:
            yield Member(parts, "link", link=archive.read(info).decode("utf-8", "surrogateescape"))
        elif kind in (0, stat.S_IFREG):
            executable = bool(mode & stat.S_IXUSR)
            yield Member(parts, "file", info.file_size, executable, content=lambda info=info: archive.open(info))
        else:
            raise SourceError(device(shown, info.filename))


def stripped(found: list[Member]) -> list[Member]:
    """Without the one directory that everything is in, if that is so."""
    if len({member.parts[0] for member in found}) != 1 or any(
        member.kind != "directory" for member in found if len(member.parts) == 1
    ):
        return found
    top = found[0].parts[0] + "/"
    return [
        replace(
            member,
            parts=member.parts[1:],
            link=member.link.removeprefix(top) if member.kind == "hard link" else member.link,
        )
        for member in found
        if len(member.parts) > 1
    ]


def check(found: dict[str, Member], shown: str, room: int) -> None:
    """Refuse the archive as a whole if anything of it would be written through something else, or not fit."""
    for name, member in found.items():
        for depth in range(1, len(member.parts)):
            above = found.get("/".join(member.parts[:depth]))
            if above and above.kind != "directory":
                raise SourceError(f"{shown} has {name!r} below the {above.kind} {above.name!r}: pack it again.")
        if member.kind == "hard link" and getattr(found.get(member.link), "kind", "") != "file":
            raise SourceError(
                f"{shown} has the hard link {name!r} in it to {member.link!r}, which is no file of the archive: "
                "pack it again."
            )
    size = sum(member.size for member in found.values())
    if size > room:
        raise SourceError(
            f"{shown} holds {size >> 20} MiB and the control node has {room >> 20} MiB free: free some, or pack less."
        )


def unpack(path: Path, into: Path, strip: bool, shown: str) -> None:
    """Unpack the archive into an empty directory, unless anything in it is wrong."""
    try:
        # A zip archive is recognised by its end, which may also be that of a tar archive with a zip archive in it.
        if zipfile.is_zipfile(path) and not tarfile.is_tarfile(path):
            with zipfile.ZipFile(path) as archive:
                place(list(zip_members(archive, shown)), into, strip, shown)
        else:
            with tarfile.open(path) as tar:
                place(list(tar_members(tar, shown)), into, strip, shown)
    except DAMAGED as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(
            f"{shown} is no .tar.gz, .tar.xz, .tar.bz2 or .zip that can be read ({why}): pack it again."
        ) from error


def place(found: list[Member], into: Path, strip: bool, shown: str) -> None:
    """Check what an archive holds, and write it."""
    found = [member for member in found if member.parts]
    if found and strip:
        found = stripped(found)
    # The last of several members of one name counts, as for tar.
    named = {member.name: member for member in found}
    check(named, shown, shutil.disk_usage(into).free)
    # Links come last, so that nothing is written through one.
    for member in sorted(named.values(), key=lambda member: member.kind == "link"):
        write(member, named, into)


def write(member: Member, named: dict[str, Member], into: Path) -> None:
    """Write one member."""
    path = into.joinpath(*member.parts)
    if member.kind == "directory":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.kind == "link":
        path.symlink_to(member.link)
        return
    origin = named[member.link] if member.kind == "hard link" else member
    with origin.content() as content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o755 if origin.executable else 0o644)
