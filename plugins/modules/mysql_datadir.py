#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the data directory of a new database server."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_datadir
short_description: Make the data directory of a new MySQL or MariaDB server
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Packages make theirs in C(/var/lib/mysql), with the settings of the distribution. This module makes it where the
    data are to be elsewhere, or for a setting that can be chosen only when the directory is made.
  - The administrator, root, logs in by the socket, as with the packages.
  - A directory with schemas that are not the server's own is left alone. One without such schemas, as the
    package makes it, is made anew if its settings are not O(settings).
  - What was made is noted in O(note), so that an interrupted run begins again, and so that an unmounted disk is not
    taken for a new server.
options:
  path:
    description: The data directory. A mount point may hold C(lost+found).
    type: path
    required: true
  engine:
    description: The engine.
    type: str
    choices: [mysql, mariadb]
    required: true
  settings:
    description: Settings that can be chosen only when the directory is made, as in its option file.
    type: dict
    default: {}
  running:
    description: Variables of the running server, with its C(datadir), which O(settings) are compared with.
    type: dict
    default: {}
  service:
    description: Unit of the server, which is stopped before its directory is made anew.
    type: str
    required: true
  note:
    description: File that notes which directory was made, and with which settings.
    type: path
    default: /etc/mysql/webstack-datadir
  owner:
    description: Account of the server.
    type: str
    default: mysql
attributes:
  check_mode:
    description: Reports whether it would be made.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Make the data directory on another disk
  pentad.webstack.mysql_datadir:
    path: /srv/mysql
    engine: mysql
    settings:
      lower_case_table_names: 1
    service: mysql.service
"""

RETURN = r"""
reason:
  description: Why it was made, or was not.
  returned: success
  type: str
  sample: there is no server in it
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.values import same

OWN = {"mysql", "sys", "performance_schema"}
# A file by which the data directory of each engine is recognised.
FILES = {"mysql": "mysql.ibd", "mariadb": "aria_log_control"}
# Its AppArmor profile lets MySQL read files in this directory, which the package makes.
INIT_FILES = Path("/var/lib/mysql-files")
# As the package does it: root, and the account of the distribution's scripts, which is root on the system.
ACCOUNTS = """INSTALL PLUGIN auth_socket SONAME 'auth_socket.so';
ALTER USER 'root'@'localhost' IDENTIFIED WITH auth_socket;
CREATE USER 'debian-sys-maint'@'localhost' IDENTIFIED WITH auth_socket AS 'root';
GRANT ALL ON *.* TO 'debian-sys-maint'@'localhost' WITH GRANT OPTION;
"""


class DirectoryError(Exception):
    """The directory cannot be made; the text says why."""


def content(path: Path) -> list[Path]:
    """Entries of a directory, without those of the file system itself."""
    return [entry for entry in sorted(path.iterdir()) if entry.name != "lost+found"] if path.is_dir() else []


def schemas(path: Path) -> list[str]:
    """Schemas that are not the server's own."""
    return [
        entry.name
        for entry in content(path)
        if entry.is_dir() and not entry.name.startswith(("#", ".")) and entry.name not in OWN
    ]


def settings_differ(path: Path, settings: dict[str, Any], running: dict[str, Any], noted: dict[str, Any]) -> bool:
    """Whether a directory was made with other settings; if its settings cannot be read, any setting counts."""
    if running and os.path.normpath(running.get("datadir", "")) == str(path):
        current = running
    elif noted.get("made"):
        current = noted["settings"]
    else:
        return bool(settings)
    return any(not same(current.get(name, ""), value) for name, value in settings.items())


def decide(
    path: Path, engine: str, settings: dict[str, Any], running: dict[str, Any], noted: dict[str, Any]
) -> tuple[bool, str]:
    """Whether to make it, and why; raises DirectoryError where neither is right.

    C(noted) is what an earlier run noted of this directory.
    """
    held = schemas(path)
    if held:
        return False, f"it holds data ({', '.join(held)})"
    if noted and not noted["made"]:
        return True, "an earlier run was interrupted"
    if (path / FILES[engine]).exists():
        replace = settings_differ(path, settings, running, noted)
        return replace, "it was made with other settings" if replace else "a server was made in it"
    if noted:
        raise DirectoryError(
            f"{path} is empty, and a server was made in it before: mount its disk again. "
            "If its data are really gone, remove the note of it (option note) and run this again."
        )
    if content(path):
        names = ", ".join(entry.name for entry in content(path)[:5])
        raise DirectoryError(f"{path} is no data directory of {engine} and not empty ({names}): name an empty one.")
    return True, "there is no server in it"


def note_of(note: Path, path: Path) -> dict[str, Any]:
    """What was noted of the directory; empty where there is nothing, or it is about another one."""
    if not note.exists():
        return {}
    found = json.loads(note.read_text(encoding="utf-8"))
    return found if found.get("path") == str(path) else {}


def write_note(note: Path, path: Path, settings: dict[str, Any], made: bool) -> None:
    """Note which directory is being made, with which settings, and whether that is complete."""
    note.write_text(json.dumps({"path": str(path), "made": made, "settings": settings}) + "\n", encoding="utf-8")


def run(module: AnsibleModule, *words: str) -> None:
    """Run a program that has to succeed."""
    code, out, err = module.run_command(list(words))
    if code:
        said = [line for line in (err or out).strip().splitlines() if "[System]" not in line]
        raise DirectoryError(f"{words[0]} failed (exit status {code}): {' | '.join(said[-6:]) or 'it said nothing.'}")


def empty(path: Path) -> None:
    """Remove what a server without data left."""
    for entry in content(path):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def as_options(settings: dict[str, Any]) -> list[str]:
    """Settings as options of the server program."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def make_mysql(module: AnsibleModule, path: Path, options: list[str]) -> None:
    """Have MySQL make its data directory."""
    owner = module.params["owner"]
    descriptor, name = tempfile.mkstemp(dir=INIT_FILES)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(ACCOUNTS)
        shutil.chown(name, owner, owner)
        words = [
            "--no-defaults",
            "--initialize-insecure",
            f"--user={owner}",
            f"--datadir={path}",
            f"--init-file={name}",
        ]
        run(module, "mysqld", *words, *options)
    finally:
        Path(name).unlink()


def make_mariadb(module: AnsibleModule, path: Path, options: list[str]) -> None:
    """Have MariaDB make its data directory."""
    words = ["--no-defaults", f"--user={module.params['owner']}", f"--datadir={path}", "--skip-test-db"]
    run(module, "mariadb-install-db", *words, "--auth-root-authentication-method=socket", *options)


def make(module: AnsibleModule) -> dict[str, Any]:
    """Decide and, outside check mode, make it."""
    params = module.params
    path, note, owner = Path(os.path.normpath(params["path"])), Path(params["note"]), params["owner"]
    settings = params["settings"]
    needed, reason = decide(path, params["engine"], settings, params["running"], note_of(note, path))
    if needed and not module.check_mode:
        # The package may have started the server already.
        run(module, "systemctl", "stop", params["service"])
        write_note(note, path, settings, made=False)
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.chown(path, owner, owner)
        path.chmod(0o700)
        empty(path)
        {"mysql": make_mysql, "mariadb": make_mariadb}[params["engine"]](module, path, as_options(settings))
        write_note(note, path, settings, made=True)
    return {"changed": needed, "reason": reason}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "engine": {"type": "str", "choices": list(FILES), "required": True},
            "settings": {"type": "dict", "default": {}},
            "running": {"type": "dict", "default": {}},
            "service": {"type": "str", "required": True},
            "note": {"type": "path", "default": "/etc/mysql/webstack-datadir"},
            "owner": {"type": "str", "default": "mysql"},
        },
        supports_check_mode=True,
    )
    try:
        result = make(module)
    except (DirectoryError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
