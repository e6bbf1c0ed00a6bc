# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for what runs an application: its commands, units, files and directories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PIP_INSTALL = [".venv/bin/python", "-m", "pip", "install", "--no-input"]


def below(directory: str, docroot: str) -> str:
    """Path of the site at which a directory of the release is served, with a slash at both ends; empty if it is not."""
    inside = f"{directory}/".removeprefix(f"{docroot}/") if docroot else f"{directory}/"
    return f"/{inside}" if not docroot or f"{directory}/".startswith(f"{docroot}/") else ""


def relocated(paths: Iterable[str], source: str, target: str) -> list[str]:
    """Paths inside of a directory as they are in another one, each once; others are left out."""
    inside = [path.removeprefix(source) for path in paths if f"{path}/".startswith(f"{source}/")]
    return list(dict.fromkeys(f"{target}{path}" for path in inside))


def venv_commands(requirements: str, lock: str) -> list[list[str]]:
    """Commands that make the virtual environment of a release, by its lock if it has one; none without either file."""
    if lock:
        install = [[*PIP_INSTALL, "--no-deps", "-r", lock], [*PIP_INSTALL, "--no-deps", "."]]
    else:
        install = [[*PIP_INSTALL, "-r", requirements]] if requirements else []
    return [["python3", "-m", "venv", ".venv"], *install] if install else []


def transient_command(
    words: Iterable[Any], settings: Iterable[str], environment: Mapping[str, Any] | None = None
) -> list[str]:
    """A command that systemd runs as a unit with these settings and variables, and that ends when the unit does."""
    return [
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect"),
        *(f"--property={setting}" for setting in settings),
        *(f"--setenv={name}={value}" for name, value in (environment or {}).items()),
        "/usr/bin/env",
        *(str(word).replace("$", "$$") for word in words),
    ]


def exec_line(words: list[str], places: Mapping[str, Any] | None = None) -> str:
    """A command as systemd reads it, found by C(PATH), with C({name}) of each place replaced."""
    found = []
    for word in map(str, words):
        for name, value in (places or {}).items():
            word = word.replace(f"{{{name}}}", str(value))
        quoted = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        found.append('"' + quoted.replace("%", "%%").replace("$", "$$") + '"')
    return " ".join(["/usr/bin/env", *found])


def environment_lines(variables: Mapping[str, Any]) -> str:
    """Variables as systemd reads them from a file; the options of a list are on a line each."""
    return "\n".join(f'{name}="{_escaped(value)}"' for name, value in variables.items())


def _escaped(value: Any) -> str:
    """A value inside of double quotes."""
    if isinstance(value, list):
        return " \\\n  ".join(map(_escaped, value))
    return str(value).replace("\\", "\\\\").replace('"', '\\"')


def directories(paths: Iterable[str], settings: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Directories for the module M(pentad.webstack.host_config), all with the same settings."""
    return [{"path": path, **(settings or {})} for path in paths]


def copied_files(paths: Iterable[str], source: str, target: str) -> list[dict[str, Any]]:
    """Files for the module M(pentad.webstack.host_config), copied from a directory of the control node."""
    return [{"dest": f"{target}/{path}", "src": f"{source}/{path}"} for path in paths]


def moved_below(entries: Iterable[Mapping[str, Any]], directory: str) -> list[dict[str, Any]]:
    """Files and directories for the module M(pentad.webstack.host_config) below another directory than the root."""
    return [
        {name: f"{directory}{value}" if name in ("dest", "path") else value for name, value in entry.items()}
        for entry in entries
    ]


def mounted_from(paths: Iterable[str], directory: str) -> list[str]:
    """Settings that mount the files below a directory at their own paths in a unit; none without a directory."""
    return [f"BindReadOnlyPaths={directory}{path}:{path}" for path in paths] if directory else []


def background_units(items: Iterable[Mapping[str, Any]], application: str) -> list[dict[str, Any]]:
    """A unit for each instance of the application's background commands."""
    return [
        {
            "name": f"{item['name']}{number}",
            "unit": f"{application}-{item['name']}{number}.service",
            "command": item["command"],
        }
        for item in items
        for number in _numbers(int(item.get("instances") or 1))
    ]


def _numbers(count: int) -> list[str]:
    """Ends of the names of instances."""
    return [""] if count == 1 else [f"-{each}" for each in range(1, count + 1)]


def timed_units(items: Iterable[Mapping[str, Any]], application: str, kind: str) -> list[dict[str, Any]]:
    """Timers of the application, each with the name of its unit of this kind."""
    return [{**item, "unit": f"{application}-{item['name']}.{kind}"} for item in items]


def unit_files(units: Iterable[Mapping[str, Any]], template: str) -> list[dict[str, Any]]:
    """Files for the module M(pentad.webstack.host_config) of units, each of which the template gets as C(unit)."""
    return [
        {"dest": f"/etc/systemd/system/{unit['unit']}", "template": template, "vars": {"unit": unit}} for unit in units
    ]


def exporter_files(
    names: Iterable[str],
    exporters: Mapping[str, Mapping[str, Any]],
    template: str,
    others: Mapping[str, list[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Files for the module M(pentad.webstack.host_config) of exporters: options and others, which restart the unit.

    The template of the options gets the name as C(exporter).
    """
    return [
        {**file, "restart": [exporters[name]["unit"]]}
        for name in names
        for file in (_options_file(name, exporters[name]["unit"], template), *others.get(name, []))
    ]


def _options_file(name: str, unit: str, template: str) -> dict[str, Any]:
    """The file from which a unit of the distribution has its command line."""
    return {"dest": f"/etc/default/{unit.removesuffix('.service')}", "template": template, "vars": {"exporter": name}}


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters."""
        return {
            "background_units": background_units,
            "below": below,
            "copied_files": copied_files,
            "directories": directories,
            "environment_lines": environment_lines,
            "exec_line": exec_line,
            "exporter_files": exporter_files,
            "mounted_from": mounted_from,
            "moved_below": moved_below,
            "relocated": relocated,
            "timed_units": timed_units,
            "transient_command": transient_command,
            "unit_files": unit_files,
            "venv_commands": venv_commands,
        }
