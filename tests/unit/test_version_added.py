# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing was added in a version that is still to come."""

from __future__ import annotations

import re

import pytest
import yaml
from places import TOP

VERSION = yaml.safe_load((TOP / "galaxy.yml").read_text())["version"]
PLACES = ("plugins/**/*.py", "plugins/**/*.yml", "roles/*/meta/argument_specs.yml")
WORD = re.compile(r"^\s*version_added: *[\"']?([^\s\"']+)", re.MULTILINE)
FOUND = {path: WORD.findall(path.read_text()) for place in PLACES for path in sorted(TOP.glob(place))}
TOLD = {str(path.relative_to(TOP)): versions for path, versions in FOUND.items() if versions}


def numbers(version: str) -> tuple[int, ...]:
    """A version by which others can be compared."""
    return tuple(int(part) for part in version.split("."))


@pytest.mark.parametrize("file", TOLD)
def test_nothing_was_added_after_this_version(file):
    assert [version for version in TOLD[file] if numbers(version) > numbers(VERSION)] == []


def test_every_module_and_filter_tells_its_version():
    plugins = [*TOP.glob("plugins/modules/*.py"), *TOP.glob("plugins/filter/*.yml")]
    assert {str(path.relative_to(TOP)) for path in plugins} <= TOLD.keys()
