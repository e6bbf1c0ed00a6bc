# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the roles install on the nodes, with the collection's core where they look for it."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from places import TOP


def load(path: str) -> ModuleType:
    """A program by its path below the collection."""
    core = ModuleType("mysql_replication")
    core.__path__ = [str(TOP / "plugins" / "module_utils")]
    sys.modules.setdefault(core.__name__, core)
    loader = SourceFileLoader(Path(path).name.replace("-", "_"), str(TOP / path))
    program = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(program)
    return program
