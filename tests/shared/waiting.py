# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what a test relies on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait(what: str, condition: Callable[[], Found], seconds: float = 60) -> Found:
    """Wait for a condition and return what it gave; a failure says what was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.2)
    return found
