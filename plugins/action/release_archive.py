# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack an application, wherever it comes from, into an archive that is named after its content."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ansible.plugins.action import ActionBase

from ..plugin_utils import release_git, release_unpack
from ..plugin_utils.release_pack import SourceError, pack

EMPTY = "source is empty: name the application; for the role app_server in app_server_source."


class ActionModule(ActionBase):
    """Runs on the control node alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Pack, unless that has been done."""
        result = super().run(tmp, task_vars)
        _spec, wanted = self.validate_argument_spec(
            argument_spec={
                "type": {"type": "str", "choices": ["directory", "archive", "git", "package"], "default": "directory"},
                "source": {"type": "str", "required": True},
                "dest": {"type": "path", "required": True},
                "keep": {"type": "int", "default": 0},
                "cache": {"type": "path"},
                "exclude": {"type": "list", "elements": "str", "default": []},
                "links": {"type": "dict", "default": {}},
                "recipe": {"type": "str", "default": ""},
                "checksum": {"type": "str"},
                "strip": {"type": "bool", "default": True},
                "version": {"type": "str"},
                "submodules": {"type": "bool", "default": False},
                "ssh_key": {"type": "path"},
                "known_hosts": {"type": "path"},
                "timeout": {"type": "int", "default": 300},
            }
        )
        if not wanted["source"].strip():
            return {**result, "failed": True, "msg": EMPTY}
        if wanted["cache"] is None:
            wanted["cache"] = str(Path(wanted["dest"]).resolve().parent / "sources")
        try:
            return {**result, **SOURCES[wanted["type"]](wanted, self._task.check_mode)}
        except (OSError, ValueError) as error:
            return {**result, "failed": True, "msg": f"source: {error}"}


def local(source: str) -> Path:
    """A path of the control node."""
    return Path(os.path.expandvars(source)).expanduser().resolve()


def packed(tree: Path, shown: str, wanted: dict[str, Any], check_mode: bool, prefix: str = "") -> dict[str, Any]:
    """The tree as an archive."""
    try:
        return pack(
            tree,
            Path(wanted["dest"]),
            wanted["exclude"],
            check_mode,
            prefix,
            wanted["recipe"],
            wanted["links"],
            wanted["keep"],
        )
    except SourceError as error:
        raise SourceError(f"{shown}: {error}") from error


def from_directory(wanted: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """A directory of the control node."""
    source = local(wanted["source"])
    if not source.is_dir():
        raise SourceError(f"{source} is not a directory on the control node: name the application's directory.")
    return packed(source, str(source), wanted, check_mode)


def from_archive(wanted: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """An archive of the control node, or of an https server."""
    source, cache = wanted["source"], Path(wanted["cache"])
    shown = release_unpack.without_credentials(source)
    if release_unpack.is_url(source):
        path = release_unpack.fetched(source, wanted["checksum"], cache, wanted["timeout"])
    else:
        path = local(source)
        if not path.is_file():
            raise SourceError(f"{path} is not a file on the control node: name the application's archive.")
        release_unpack.verify(path, release_unpack.wanted_digest(wanted["checksum"]), str(path))
        shown = str(path)
    with aside(cache) as tree:
        release_unpack.unpack(path, Path(tree), wanted["strip"], shown)
        return packed(Path(tree), shown, wanted, check_mode)


def from_git(wanted: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """A version of a git repository."""
    version = wanted["version"]
    origin = release_git.repository(wanted["source"])
    if not version:
        raise SourceError(f"{origin.address} has many versions: name a tag, a branch or a commit in version.")
    release_git.check_version(version)
    access = release_git.Access(
        cache=Path(wanted["cache"]),
        ssh_key=local(wanted["ssh_key"]) if wanted["ssh_key"] else None,
        known_hosts=local(wanted["known_hosts"]) if wanted["known_hosts"] else None,
        timeout=wanted["timeout"],
        end=time.monotonic() + wanted["timeout"],
    )
    release_git.check_ssh(access)
    with aside(access.cache) as top:
        tree = Path(top) / "tree"
        tree.mkdir()
        commit = release_git.checked_out(origin, version, wanted["submodules"], tree, access)
        # A submodule has a file by which git finds its repository.
        wanted = {**wanted, "exclude": [*wanted["exclude"], ".git"]}
        # With its commit in the id, a release can be found in the history.
        release = packed(tree, origin.address, wanted, check_mode, f"{commit[:12]}-")
        return {**release, "version": version, "commit": commit}


def from_package(wanted: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """A package of the distribution: its file name, size and digest stand for what the nodes download and install."""
    name, file = wanted["source"], wanted["version"] or ""
    found = re.fullmatch(r"\S+_(?P<version>\S+)_\S+\.deb \d+ (SHA256|SHA512):[0-9a-f]{64,128}", file)
    if not found:
        raise SourceError(
            f"{name}: version is {file!r} and not a file, its size and its digest, "
            "as 'apt-get download --print-uris' shows them behind the address."
        )
    with aside(Path(wanted["cache"])) as tree:
        Path(tree, "PACKAGE").write_text(f"{file}\n")
        version = re.sub(r"[^A-Za-z0-9.+~-]", "-", unquote(found["version"]))
        return packed(Path(tree), name, wanted, check_mode, f"{version}-")


def aside(cache: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary directory that others cannot read."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=cache.resolve(), prefix="tree.")


SOURCES = {"directory": from_directory, "archive": from_archive, "git": from_git, "package": from_package}
