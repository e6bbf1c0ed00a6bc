# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs in a pipe: two with the exit status and the standard error of each, or one that is read."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a program ended: its exit status and its standard error."""

    code: int
    stderr: str


def pipeline(first: list[str], second: list[str]) -> tuple[Ended, Ended]:
    """Run first | second until both end.

    C(run_command) of a module runs one program and holds its whole output in memory; a database may be larger.
    """
    with tempfile.TemporaryFile("w+") as first_stderr, tempfile.TemporaryFile("w+") as second_stderr:
        writer = subprocess.Popen(first, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=first_stderr)
        reader = subprocess.Popen(second, stdin=writer.stdout, stderr=second_stderr)
        # Only the reader may hold the pipe, so that the writer notices when that ends.
        writer.stdout.close()
        codes = (reader.wait(), writer.wait())
        first_stderr.seek(0)
        second_stderr.seek(0)
        return Ended(codes[1], first_stderr.read()), Ended(codes[0], second_stderr.read())


def output_of(command: Sequence[str], stderr: Any) -> subprocess.Popen[str]:
    """Start a program whose output is read while it runs, because it may be long."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, errors="replace")
