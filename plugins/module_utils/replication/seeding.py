# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server needs a copy of its source's data, for either engine."""

from __future__ import annotations

from typing import Sequence


class SeedError(Exception):
    """The data cannot be copied, in words: what happened and what to do."""


def needs_copy(
    channels: int, schemas: Sequence[str], catch_up: bool, overwrite: bool, related: bool = True
) -> tuple[bool, str]:
    """Whether to copy, and why; raises where that would destroy data nobody gave up."""
    if overwrite:
        return True, "overwriting was asked for"
    if channels:
        return False, "the server already has a replication channel"
    if catch_up:
        return False, "the server can catch up from the source's binary logs"
    if not schemas:
        return True, "the server is empty"
    if not related:
        raise SeedError(
            f"The server holds data ({', '.join(schemas)}) and the source has none of its transactions; they are left "
            "alone. Find out first which of the two has the data: a source that is new must not be the primary."
        )
    raise SeedError(
        f"The server holds data ({', '.join(schemas)}) that the source does not account for; they are left alone. "
        "To give them up, name this host in mysql_replica_rebuild."
    )
