#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep accounts, directories, files and units of a host as described, in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_config
short_description: Keep accounts, directories, files and units of a host as described
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Creates directories, writes files, each validated by its own program before it replaces the old one, and enables and
    starts units, in this order.
  - Does in one round trip what M(ansible.builtin.template) and M(ansible.builtin.systemd_service) do in one for each
    file and each unit.
  - A file below C(/etc/sysusers.d) creates the accounts that it describes, before anything else is touched.
  - Unit files below C(/etc/systemd/system) that changed are read by systemd before a unit is started.
  - A file names the units to O(files[].reload) or O(files[].restart) when it changes. This is noted on the node before
    the file is written, and is RV(pending) until M(pentad.webstack.host_pending), run by a handler, has done it. What
    an interrupted run left is RV(pending) in the next one, and counts as a change. A unit that is started here needs
    neither.
  - A unit that is masked is refused before anything is written. One that ends as often as systemd starts it is started
    anew, and refused with the end of its journal if it does not stay.
  - The content of files is neither in the journal nor in the invocation that C(-vvv) shows. The content of
    O(files[].secret) ones is shown nowhere.
  - With O(observed) the node is not connected to where the survey of this run has already found everything as wanted.
options:
  directories:
    description: Directories to keep, created before the files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory; its parents are created as needed.
        type: path
        required: true
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Mode.
        type: str
        default: "0755"
  files:
    description: Files to keep.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: The file.
        type: path
        required: true
      content:
        description: What it holds; this, O(files[].template) or O(files[].src).
        type: str
      src:
        description: >-
          File on the control node that is copied as it is, looked for as M(ansible.builtin.copy) does; of UTF-8 text.
        type: str
        version_added: 0.1.0
      template:
        description:
          - Template that the file is rendered from on the control node, looked for as M(ansible.builtin.template) does.
          - All variables of the host are given to it uncopied, so that it must not change them.
        type: str
        version_added: 0.1.0
      vars:
        description: Variables for O(files[].template), beside those of the host.
        type: dict
        default: {}
        version_added: 0.1.0
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      mode:
        description: Mode.
        type: str
        default: "0644"
      force:
        description: Whether to replace what the file holds; V(false) only creates it where there is none.
        type: bool
        default: true
        version_added: 0.1.0
      validate:
        description: >-
          Command that checks the new file, C(%s) standing for its path; if it fails, the old file stays. The new one is
          in the same directory meanwhile, which a confined program may read, as C(.<name>.<random>.new).
        type: str
      reload:
        description: Units that have to be reloaded when the file changes; one that cannot be is restarted.
        type: list
        elements: str
        default: []
        version_added: 0.1.0
      restart:
        description: Units that have to be restarted when the file changes.
        type: list
        elements: str
        default: []
        version_added: 0.1.0
      secret:
        description: Whether its content is secret; a difference then shows digests.
        type: bool
        default: false
        version_added: 0.1.0
  label:
    description: >-
      Managed label, a line that all unit files of one service below C(/etc/systemd/system) have, as
      C(X-Webstack-Application=shop). One that has it and is not in O(files) is stopped, disabled and removed.
    type: str
  started:
    description: Units, with their suffix, that are to run and to be enabled.
    type: list
    elements: str
    default: []
  enabled:
    description: Units that are to be enabled only, because something else starts them.
    type: list
    elements: str
    default: []
  deferred:
    description:
      - Whether restarts are deferred to the turn of the node in a rollout. RV(pending) has them then as V(deferred),
        and M(pentad.webstack.host_pending) does them only for units that are named.
    type: bool
    default: false
    version_added: 0.1.0
  return_previous:
    description: Whether to return RV(previous), by which another run restores what this one replaces or removes.
    type: bool
    default: false
  observed:
    description:
      - RV(pentad.webstack.host_survey#module:state) of this node. If it shows everything as wanted, there is nothing to
        do and the node is not connected to; anything else is checked on the node.
      - It has to be of the same run, and nothing may have changed the node since; empty for checking on the node.
      - A play gives it to all its tasks by C(module_defaults).
    type: str
    default: ""
attributes:
  check_mode:
    description: Reports what would change; nothing is validated, as the program need not be there yet.
    support: full
  diff_mode:
    description: Shows each file and each unit's state before and after.
    support: full
"""

EXAMPLES = r"""
- name: Configure and run HAProxy
  pentad.webstack.host_config:
    files:
      - dest: /etc/haproxy/haproxy.cfg
        template: haproxy.cfg.j2
        validate: haproxy -c -f %s
        reload: [haproxy.service]
    started: [haproxy.service]
  notify: Reload or restart what has changed
"""

RETURN = r"""
changed_files:
  description: Files whose content or attributes changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/haproxy/haproxy.cfg]
removed:
  description: Unit files that had the label and are not wanted any more.
  returned: success
  type: list
  elements: str
  sample: []
pending:
  description:
    - What is pending for the units of O(files) and O(started), noted by this run or an earlier one; V(reload),
      V(restart), or V(deferred) for a restart that a rollout does.
  returned: success
  type: dict
  sample: {haproxy.service: reload}
previous:
  description:
    - The O(files) that were there, and the unit files that had the label, as C(files); of those the units that ran, as
      C(started). Both are values of the options of these names.
    - What files hold may be secret; set C(no_log).
  returned: with O(return_previous), where the node was checked
  type: dict
  sample: {"files": [{"dest": "/etc/shop.env", "content": "A=1\n", "owner": "root", "group": "root", "mode": "0600"}],
           "started": []}
newly_started:
  description: Units that did not run before.
  returned: success
  type: list
  elements: str
  sample: [haproxy.service]
newly_enabled:
  description: Units that were not enabled before.
  returned: success
  type: list
  elements: str
  sample: []
"""

import glob
import grp
import hashlib
import os
import pwd
import re
import stat
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import pending
from ..module_utils.systemd import LOOP_SECONDS, RUNNING, UNITS, Systemd, loops, masked, runs, unit_of

ENABLED = {"enabled", "enabled-runtime", "static", "alias", "indirect", "generated"}
ACCOUNTS = Path("/etc/sysusers.d")
LONGEST_REASON = 2000
OWNED = {"owner": {"type": "str", "default": "root"}, "group": {"type": "str", "default": "root"}}
ARGUMENTS: dict[str, Any] = {
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            **OWNED,
            "mode": {"type": "str", "default": "0755"},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "dest": {"type": "path", "required": True},
            "content": {"type": "str"},
            "src": {"type": "str"},
            "template": {"type": "str"},
            "vars": {"type": "dict", "default": {}},
            **OWNED,
            "mode": {"type": "str", "default": "0644"},
            "force": {"type": "bool", "default": True},
            "validate": {"type": "str"},
            "reload": {"type": "list", "elements": "str", "default": []},
            "restart": {"type": "list", "elements": "str", "default": []},
            "secret": {"type": "bool", "default": False},
        },
        "required_one_of": [("content", "src", "template")],
        "mutually_exclusive": [("content", "src", "template")],
    },
    "label": {"type": "str"},
    "started": {"type": "list", "elements": "str", "default": []},
    "enabled": {"type": "list", "elements": "str", "default": []},
    "deferred": {"type": "bool", "default": False},
    "return_previous": {"type": "bool", "default": False},
    # The action plugin compares with it before this module runs.
    "observed": {"type": "str", "default": ""},
}


class DiscreetModule(AnsibleModule):
    """A module that keeps the content of files out of the journal and of its result."""

    def _log_invocation(self) -> None:
        """Log the arguments of the module."""
        arguments = " ".join(f"{name}={value}" for name, value in self.loggable().items() if value)
        self.log(f"Invoked with {arguments}")

    def loggable(self) -> dict[str, Any]:
        """The arguments, with digests for what files hold."""
        files = self.params.get("files") or []
        # Invalid arguments may be of any type.
        shown = [{**file, "content": digest(str(file.get("content")))} for file in files if isinstance(file, dict)]
        return {**self.params, "files": shown, "observed": ""}

    def exit_json(self, **answer: Any) -> NoReturn:
        """End the module."""
        super().exit_json(invocation={"module_args": self.loggable()}, **answer)

    def fail_json(self, msg: str, **answer: Any) -> NoReturn:
        """End the module with an error."""
        super().fail_json(msg, invocation={"module_args": self.loggable()}, **answer)


class Configurator:
    """Configures directories, files and units, and records what changed."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.systemctl = Systemd(module)
        self.changed_files: list[str] = []
        self.removed: list[str] = []
        self.changed = False
        self.diff: list[dict[str, str]] = []
        # What this call has noted; in check mode, what it would note.
        self.noted: dict[str, str] = {}

    def attributes(self, path: str, wanted: dict[str, Any], only_check: bool = False) -> bool:
        """Owner, group and mode; a path that is not there yet gets them when it is created."""
        if not Path(path).exists():
            return False
        arguments = self.module.load_file_common_arguments(
            {**self.module.params, "path": path, **{key: wanted[key] for key in ("owner", "group", "mode")}}
        )
        check_mode, self.module.check_mode = self.module.check_mode, only_check or self.module.check_mode
        try:
            return self.module.set_fs_attributes_if_different(arguments, False)
        finally:
            self.module.check_mode = check_mode

    def directory(self, wanted: dict[str, Any]) -> None:
        """One directory."""
        path = Path(wanted["path"])
        if path.exists() and not path.is_dir():
            self.module.fail_json(msg=f"{path} exists and is not a directory: move it away first.")
        created = not path.exists()
        if created and not self.module.check_mode:
            path.mkdir(parents=True)
        self.changed |= self.attributes(str(path), wanted) or created

    def file(self, wanted: dict[str, Any]) -> None:
        """One file."""
        dest = wanted["dest"]
        old = self.current(Path(dest))
        differs = old is None or (wanted["force"] and old != wanted["content"])
        if differs:
            self.show(dest, old or "", wanted)
            if not self.module.check_mode:
                self.replace(dest, wanted)
        elif self.attributes(dest, wanted, only_check=True):
            self.note(wanted)
        if self.attributes(dest, wanted) or differs:
            self.changed = True
            self.changed_files.append(dest)
            if self.module.check_mode:
                self.note(wanted)

    def show(self, dest: str, old: str, wanted: dict[str, Any]) -> None:
        """Add the difference to the diff, with digests in place of a secret."""
        before, after = old, wanted["content"]
        if wanted["secret"]:
            before, after = (f"(secret) {digest(text)}\n" if text else "" for text in (before, after))
        self.diff.append({"before_header": dest, "after_header": dest, "before": before, "after": after})

    def note(self, wanted: dict[str, Any]) -> None:
        """Note the reloads and restarts that a file needs, before it is written."""
        deferred = self.module.params["deferred"]
        consequences = [(unit, pending.RELOAD) for unit in wanted["reload"]]
        consequences += [(unit, pending.RESTART) for unit in wanted["restart"]]
        for unit, action in consequences:
            due = pending.DEFERRED if deferred else action
            self.noted[unit] = pending.stronger(self.noted.get(unit), due, not deferred)
            if not self.module.check_mode:
                pending.note(unit, self.noted[unit], not deferred)

    def pending(self) -> dict[str, str]:
        """What is pending for the units of the files and options, noted by this run or an earlier one."""
        params = self.module.params
        units = dict.fromkeys([*params["started"], *params["enabled"], *consequent(params["files"])])
        there = pending.noted()
        if not params["deferred"]:
            # Without deferring, this run also does the restarts that an earlier run deferred to a rollout.
            for unit in [each for each in units if there.get(each) == pending.DEFERRED]:
                there[unit] = pending.RESTART
                if not self.module.check_mode:
                    pending.note(unit, pending.RESTART)
        there.update(self.noted if self.module.check_mode else {})
        return {unit: there[unit] for unit in units if unit in there}

    def current(self, path: Path) -> str | None:
        """What the file holds; None where there is none."""
        if path.is_dir():
            self.module.fail_json(msg=f"{path} is a directory and a file is to be written there: move it away first.")
        return path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else None

    def replace(self, dest: str, wanted: dict[str, Any]) -> None:
        """Validate the new content beside the old and move it into place."""
        path = Path(dest)
        if not path.parent.is_dir():
            self.module.fail_json(msg=f"{dest} cannot be written: its directory is not there; list it in directories.")
        # A confined program can read this directory, but not Ansible's; no program includes files of such a name.
        prefix, suffix = f".{path.name}.", ".new"
        # Left by a killed run; tempfile puts eight characters between the two.
        for left in path.parent.glob(f"{glob.escape(prefix)}????????{suffix}"):
            left.unlink(missing_ok=True)
        descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(wanted["content"].encode("utf-8", "surrogateescape"))
            if wanted["validate"]:
                self.validate(wanted, fresh)
            self.note(wanted)
            if wanted["secret"] and not path.exists():
                # A moved file is readable by everybody until its mode is set.
                os.close(os.open(dest, os.O_WRONLY | os.O_CREAT, 0o600))
            self.module.atomic_move(fresh, dest)
        finally:
            Path(fresh).unlink(missing_ok=True)

    def validate(self, wanted: dict[str, Any], fresh: str) -> None:
        """Have the program of a file check the new content."""
        dest, command = wanted["dest"], wanted["validate"]
        if "%s" not in command:
            self.module.fail_json(msg=f"validate of {dest} has no %s for the path of the file: {command}")
        code, out, err = self.module.run_command(command.replace("%s", fresh))
        if code:
            # The reason may be on either; a very long output is a listing.
            outputs = [err, out if len(out) < LONGEST_REASON or not err else ""]
            said = " ".join(each.strip() for each in outputs if each.strip()).replace(fresh, dest)
            said = without(wanted["content"], said) if wanted["secret"] else said
            self.module.fail_json(msg=f"{dest} was not changed, because '{command}' refuses the new content: {said}")

    def accounts(self, wanted: dict[str, Any]) -> None:
        """The file that describes system accounts, and those accounts."""
        if not self.module.check_mode:
            ACCOUNTS.mkdir(exist_ok=True)
        self.file(wanted)
        missing = [name for name in account_names(wanted["content"]) if not exists(name)]
        if missing:
            self.changed = True
            self.diff.append({"before": "", "after": "".join(f"account {name}\n" for name in missing)})
            if not self.module.check_mode:
                self.run("systemd-sysusers", wanted["dest"])

    def previous(self, label: str, files: list[dict[str, Any]]) -> dict[str, Any]:
        """What there is now of these files and of the units that have the label."""
        # Under the paths that were given, by which the caller finds them.
        wanted = {Path(file["dest"]): file for file in files if Path(file["dest"]).is_file()}
        there = {**{path: {"dest": str(path)} for path in labelled(label)}, **wanted}
        units = [path.name for path in there if path.parent == UNITS]
        states = self.systemctl.show(units)
        return {
            "files": [
                {"dest": file["dest"], **described(path), **({"secret": True} if file.get("secret") else {})}
                for path, file in there.items()
            ],
            "started": [name for name in units if states.get(name, {}).get("ActiveState") in RUNNING],
        }

    def remove_obsolete(self, label: str, wanted: set[str]) -> None:
        """Stop, disable and remove the units that have the label and are no longer wanted."""
        held = {path: content for path, content in labelled(label).items() if str(path) not in wanted}
        gone = list(held)
        if not gone:
            return
        self.changed = True
        self.removed = [str(path) for path in gone]
        self.diff += [{"before_header": str(path), "before": held[path], "after": ""} for path in gone]
        if not self.module.check_mode:
            self.systemctl("disable", "--now", *[path.name for path in gone])
            for path in gone:
                path.unlink()
                pending.remove(path.name)
            self.systemctl("daemon-reload")

    def refuse_masked(self) -> None:
        """Refuse masked units: nothing starts them, and our unit file would replace the mask."""
        params = self.module.params
        names = [*params["started"], *params["enabled"], *unit_files(params["files"])]
        for name in masked(names):
            self.module.fail_json(
                msg=f"{name} is masked, so that nothing can start it: run 'systemctl unmask {name}' on this node."
            )

    def units(self, started: list[str], enabled: list[str]) -> dict[str, list[str]]:
        """Enable and start the units that are not enabled or not running, with one query for all."""
        wanted = list(dict.fromkeys(started + enabled))
        described_here = [name for name in unit_files(self.module.params["files"]) if name not in wanted]
        written = any(Path(name).is_relative_to(UNITS) for name in self.changed_files)
        if written and not self.module.check_mode:
            self.systemctl("daemon-reload")
        before = self.systemctl.show([*wanted, *described_here])
        # Left by an interrupted run.
        if any(unit.get("NeedDaemonReload") == "yes" for unit in before.values()):
            self.changed = True
            if not self.module.check_mode:
                self.systemctl("daemon-reload")
                before = self.systemctl.show(wanted)
        missing = [name for name in wanted if before.get(name, {}).get("LoadState") == "not-found"]
        if missing and not self.module.check_mode:
            self.module.fail_json(
                msg=f"systemd has no unit {', '.join(missing)}: its package or unit file is not installed."
            )
        now = time.monotonic()
        looping = [name for name in started if loops(before.get(name, {}), now)]
        enable = [name for name in wanted if before.get(name, {}).get("UnitFileState") not in ENABLED]
        start = [name for name in started if not runs(before.get(name, {}), now)]
        if not self.module.check_mode:
            if enable:
                self.systemctl("enable", *enable)
            self.start(start, looping)
        self.record_units(before, start, enable)
        return {"newly_started": start, "newly_enabled": enable}

    def start(self, start: list[str], looping: list[str]) -> None:
        """Start units; these read all files then, so that nothing is pending for them."""
        fresh = [name for name in start if name not in looping]
        if fresh:
            self.systemctl("start", *fresh)
        if looping:
            self.systemctl("restart", *looping)
        for name in start:
            pending.remove(name)
        self.systemctl.check_started(fresh)
        self.systemctl.check_started(looping, LOOP_SECONDS)

    def record_units(self, before: dict[str, dict[str, str]], start: list[str], enable: list[str]) -> None:
        """Record the changes of units, and add them to the diff."""
        if not start + enable:
            return
        self.changed = True
        was = [(name, before.get(name, {}).get("ActiveState", "")) for name in start] + [
            (name, before.get(name, {}).get("UnitFileState", "")) for name in enable
        ]
        becomes = [(name, "active") for name in start] + [(name, "enabled") for name in enable]
        self.diff.append(
            {
                side: "".join(f"{name} {state}\n" for name, state in of)
                for side, of in (("before", was), ("after", becomes))
            }
        )

    def run(self, *words: str) -> None:
        """Run a command that must succeed."""
        code, out, err = self.module.run_command(list(words))
        if code:
            self.module.fail_json(msg=f"'{' '.join(words)}' failed: {(err or out).strip()}")


def labelled(label: str) -> dict[Path, str]:
    """Unit files that have the label, and what they hold."""
    found = sorted(path for path in UNITS.glob("*.*") if path.is_file() and not path.is_symlink())
    held = {path: path.read_text(errors="replace") for path in found} if label else {}
    return {path: content for path, content in held.items() if label in content.split("\n")}


def consequent(files: list[dict[str, Any]]) -> list[str]:
    """Units that are reloaded or restarted when one of the files changes."""
    return [unit for file in files for unit in [*file["reload"], *file["restart"]]]


def unit_files(files: list[dict[str, Any]]) -> list[str]:
    """Units that the files describe."""
    return list(dict.fromkeys(unit for file in files if (unit := unit_of(Path(file["dest"])))))


def digest(text: str) -> str:
    """A digest to show in place of a secret text."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def without(content: str, said: str) -> str:
    """The output of a program on a secret file, with every word of that file blotted out."""
    for word in sorted(set(re.findall(r"[^\s\"']{6,}", content)), key=len, reverse=True):
        said = said.replace(word, "********")
    return said


def described(path: Path) -> dict[str, str]:
    """Content and owner of a file, as the option C(files) has them."""
    state = path.stat()
    return {
        "content": path.read_bytes().decode("utf-8", "surrogateescape"),
        "owner": pwd.getpwuid(state.st_uid).pw_name,
        "group": grp.getgrgid(state.st_gid).gr_name,
        "mode": f"{stat.S_IMODE(state.st_mode):04o}",
    }


def account_names(description: str) -> list[str]:
    """Accounts that a file in the format of sysusers.d describes."""
    lines = [line.split() for line in description.splitlines()]
    return [words[1] for words in lines if len(words) > 1 and words[0] == "u"]


def exists(account: str) -> bool:
    """Whether the account exists on the node."""
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def main() -> None:
    """Run the module."""
    module = DiscreetModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    configurator = Configurator(module)
    configurator.refuse_masked()
    label, files = module.params["label"] or "", module.params["files"]
    previous = {"previous": configurator.previous(label, files)} if module.params["return_previous"] else {}
    accounts = [file for file in files if Path(file["dest"]).parent == ACCOUNTS]
    for file in accounts:
        configurator.accounts(file)
    for directory in module.params["directories"]:
        configurator.directory(directory)
    for file in files:
        if file not in accounts:
            configurator.file(file)
    if label:
        configurator.remove_obsolete(label, {file["dest"] for file in files})
    units = configurator.units(module.params["started"], module.params["enabled"])
    left = configurator.pending()
    module.exit_json(
        changed=configurator.changed or any(action != pending.DEFERRED for action in left.values()),
        pending=left,
        changed_files=configurator.changed_files,
        removed=configurator.removed,
        diff=configurator.diff,
        **previous,
        **units,
    )


if __name__ == "__main__":
    main()
