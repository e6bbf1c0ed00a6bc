# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server needs a copy of its source's data, for either engine."""

from __future__ import annotations

from typing import Sequence


class SeedError(Exception):
    """The data cannot be copied; the text says why and what to do."""


def needs_copy(
    channels: int, schemas: Sequence[str], catch_up: bool, overwrite: bool, related: bool = True
) -> tuple[bool, str]:
    """Whether to copy, and why; raises SeedError where a copy would destroy data that was not given up."""
    if overwrite:
        return True, "overwriting was requested"
    if channels:
        return False, "the server already has a replication channel"
    if catch_up:
        return False, "the server can catch up from the source's binary logs"
    if not schemas:
        return True, "the server is empty"
    if not related:
        raise SeedError(
            f"The server holds data ({', '.join(schemas)}) and the source has none of its transactions; nothing "
            "was changed. Find out first which of the two has the data: a source that is new must not be the primary."
        )
    raise SeedError(
        f"The server holds data ({', '.join(schemas)}) and cannot catch up from the source; nothing was changed. "
        "Run rejoin.yml with -e mysql_rejoin and the name of this host, which saves what only it has; to replace the "
        "data by a copy, name the host in mysql_replica_rebuild as well."
    )
