# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs and defaults of all roles of the collection, as they are in its files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
# The parser in C takes a tenth of the time.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path) -> dict[str, Any]:
    """What a YAML file of a role holds; nothing where there is none."""
    return (yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER) or {}) if path.exists() else {}  # noqa: S506 - safe


def entry_point(path: Path) -> dict[str, Any]:
    """The one entry point that an argument_specs.yml documents."""
    [documented] = load(path)["argument_specs"].values()
    return documented


@lru_cache(maxsize=1)
def tables() -> dict[str, Any]:
    """Internal variables of the role topology, not evaluated; some are tables of the whole stack."""
    return load(ROLES / "topology" / "vars" / "main.yml")


@lru_cache(maxsize=1)
def specs() -> dict[str, dict[str, Any]]:
    """Options that users may set, by role."""
    return {
        path.parents[1].name: entry_point(path).get("options", {})
        for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))
    }


@lru_cache(maxsize=1)
def options() -> dict[str, Any]:
    """Options of all roles by their names, which begin with that of their role."""
    return {name: option for documented in specs().values() for name, option in documented.items()}


@lru_cache(maxsize=1)
def defaults() -> dict[str, Any]:
    """Defaults of all roles, not evaluated."""
    return {name: value for path in sorted(ROLES.glob("*/defaults/main.yml")) for name, value in load(path).items()}
