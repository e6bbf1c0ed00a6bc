# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be true of the application of one web node before anything is changed.

Pure: variables in, problems out. Every problem is one sentence that names the variable, its value and the fix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from .release_pack import SourceError
from .release_unpack import is_url, wanted_digest, without_credentials

Value = Callable[[str], Any]
ENTRY_POINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\(.*\))?")
# As Debian's policy has it, section 5.6.1 and 5.6.12.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
PACKAGE_VERSION = re.compile(r"[0-9][A-Za-z0-9.+~:-]*")
UNIT_PART = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
# The types of source that an option is for.
OF_ONE_TYPE = {
    "app_server_version": ("git", "package"),
    "app_server_submodules": ("git",),
    "app_server_ssh_key": ("git",),
    "app_server_known_hosts": ("git",),
    "app_server_checksum": ("archive",),
}
# The runtimes that an option is for.
OF_ONE_RUNTIME = {
    "app_server_wsgi": ("python",),
    "webstack_app_asgi": ("python",),
    "app_server_requirements": ("python",),
    "app_server_lock": ("python",),
    "app_server_command": ("node", "command"),
    "app_server_php_settings": ("php",),
    "webstack_app_front_controller": ("php",),
}


def application_problems(value: Value, given: Collection[str]) -> Iterable[str]:
    """Everything that is wrong with the application of one host; given are the variables that the inventory sets."""
    yield from source_problems(value, given)
    yield from runtime_problems(value, given)
    yield from part_problems(value)
    yield from file_problems(value)


def source_problems(value: Value, given: Collection[str]) -> Iterable[str]:
    """The source is usable, as far as that can be checked without fetching it."""
    kind, source = value("app_server_source_type"), value("app_server_source")
    if source is None or kind not in (None, "directory", "archive", "git", "package"):
        # The argument specs, or the variables that it is made of, have reported that already.
        return
    kind, source = kind or "directory", str(source)
    if not source.strip():
        yield (
            "app_server_source is not set, so that there is nothing to deploy: name the application's directory on the "
            "control node, or, with app_server_source_type, its archive, repository or package."
        )
        return
    shown = f"app_server_source = {without_credentials(source)!r}"
    path = Path(source).expanduser()
    if kind == "directory" and not path.is_dir():
        yield f"{shown} is not a directory on the control node: name the application's."
    if kind == "archive":
        yield from archive_problems(value, source, shown)
    if kind == "git":
        if not value("app_server_version"):
            yield f"app_server_version is not set for the repository {shown}: name a tag, a branch or a commit."
        if source.startswith(("/", "~", ".")) and not path.is_dir():
            yield f"{shown} is not a directory on the control node: name the repository's URL or directory."
        for option in ("app_server_ssh_key", "app_server_known_hosts"):
            file = value(option)
            if file and not Path(str(file)).expanduser().is_file():
                yield f"{option} = {str(file)!r} is not a file on the control node: name the file."
    if kind == "package":
        yield from package_problems(value, source, shown)
    for option, types in OF_ONE_TYPE.items():
        if option in given and value(option) and kind not in types:
            yield (
                f"{option} = {value(option)!r} is of app_server_source_type = {' or '.join(map(repr, types))} "
                f"and that is {kind!r}: remove it, or set app_server_source_type."
            )


def archive_problems(value: Value, source: str, shown: str) -> Iterable[str]:
    """An archive is there, or comes over https with its checksum."""
    checksum = value("app_server_checksum")
    try:
        wanted_digest(checksum)
    except SourceError:
        yield f"app_server_checksum = {checksum!r} is none: write it as sha256: and 64 hexadecimal digits."
    if not is_url(source):
        if not Path(source).expanduser().is_file():
            yield f"{shown} is not a file on the control node: name the application's archive."
        return
    if not source.lower().startswith("https://"):
        yield f"{shown} is not an https URL: an archive is downloaded over https alone."
    if not checksum:
        yield f"app_server_checksum is not set for {shown}: write sha256: and what 'sha256sum' says of the archive."


def package_problems(value: Value, source: str, shown: str) -> Iterable[str]:
    """The name and the version of the package have the form that apt takes."""
    version = value("app_server_version")
    if not PACKAGE.fullmatch(source):
        yield f"{shown} is no name of a package: write it as apt shows it, as in wordpress."
    if version and not PACKAGE_VERSION.fullmatch(str(version)):
        yield f"app_server_version = {version!r} is no version of a package: write it as 'apt list -a' does."


def runtime_problems(value: Value, given: Collection[str]) -> Iterable[str]:
    """The runtime has a command or an entry point, and a place to listen on."""
    runtime, listen = value("webstack_app_runtime"), value("webstack_app_listen")
    for option, runtimes in OF_ONE_RUNTIME.items():
        if option in given and value(option) and runtime not in runtimes:
            yield (
                f"{option} = {value(option)!r} is of webstack_app_runtime = {' or '.join(map(repr, runtimes))} "
                f"and that is {runtime!r}: remove it, or set webstack_app_runtime."
            )
    if runtime in ("node", "command") and not value("app_server_command"):
        yield (
            f"app_server_command is not set, which webstack_app_runtime = {runtime!r} needs: "
            "name the command, word by word, as [node, server.js]."
        )
    if runtime == "python":
        yield from python_problems(value)
    if runtime == "php" and listen not in (None, "inherited"):
        yield f"webstack_app_listen = {listen!r} is not for webstack_app_runtime = 'php': use inherited."
    directory = f"/run/{value('webstack_app_name')}/"
    if listen == "socket" and not str(value("webstack_app_socket")).startswith(directory):
        yield (
            f"webstack_app_socket = {value('webstack_app_socket')!r} is where the application cannot listen: "
            f"use a path below {directory}."
        )


def python_problems(value: Value) -> Iterable[str]:
    """One entry point, and one list of what it needs."""
    if value("webstack_app_asgi") and value("app_server_wsgi"):
        yield (
            f"app_server_wsgi = {value('app_server_wsgi')!r} and webstack_app_asgi = {value('webstack_app_asgi')!r} "
            "are both set: keep the one that the application has."
        )
    if value("app_server_requirements") and value("app_server_lock"):
        yield (
            f"app_server_requirements = {value('app_server_requirements')!r} and app_server_lock = "
            f"{value('app_server_lock')!r} are both set: keep the lock, which has everything."
        )
    option = "webstack_app_asgi" if value("webstack_app_asgi") else "app_server_wsgi"
    entry = value(option)
    if entry == "":
        yield (
            "app_server_wsgi is not set, which webstack_app_runtime = 'python' needs: name the entry point, as in "
            "shop.wsgi:application, or that of ASGI in webstack_app_asgi."
        )
    elif entry is not None and not ENTRY_POINT.fullmatch(str(entry)):
        yield f"{option} = {str(entry)!r} is no entry point: write it as module:name, as in shop.wsgi:application."


def part_problems(value: Value) -> Iterable[str]:
    """Further units have usable names, and paths lie inside of the release."""
    names = [
        str(item.get("name")) if isinstance(item, dict) else ""
        for option in ("app_server_background", "app_server_timers")
        for item in value(option) or []
    ]
    for name, count in Counter(names).items():
        if not UNIT_PART.fullmatch(name):
            yield f"app_server_background and app_server_timers: {name!r} cannot name a unit: use a-z, 0-9 and '-'."
        if count > 1:
            yield f"app_server_background and app_server_timers have {name!r} {count} times: name each once."
    inside = [("webstack_app_shared_directories", str(path)) for path in value("webstack_app_shared_directories") or []]
    docroot = str(value("webstack_app_docroot") or ".")
    # A package installs its files at absolute paths.
    installed = (
        value("app_server_source_type") == "package" and docroot == str(Path("/", docroot)) and ".." not in docroot
    )
    for option, path in inside + ([] if installed else [("webstack_app_docroot", docroot)]):
        if path.startswith("/") or ".." in Path(path).parts or (path != "." and path != str(Path(path))):
            yield f"{option} = {path!r} is no path inside of the release: write it as uploads or public/uploads."
    paths = [Path(path) for _option, path in inside]
    for path in paths:
        if any(other in path.parents for other in paths) or paths.count(path) > 1:
            yield f"webstack_app_shared_directories has {str(path)!r} in another one: name the outer one alone."


def file_problems(value: Value) -> Iterable[str]:
    """Configuration files of the application lie in a directory below /etc."""
    for path in value("app_server_files") or {}:
        place = Path(str(path))
        if place.parts[:2] != ("/", "etc") or len(place.parts) < 4 or ".." in place.parts or str(place) != path:
            yield f"app_server_files has {path!r}, which is no file of an application: use /etc/shop/settings.py."
