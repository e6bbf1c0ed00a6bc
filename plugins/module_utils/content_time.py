# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of files that follow from their content.

nginx makes its validators, C(ETag) and C(Last-Modified), of a file's time and size. With a time that follows from the
content they are the same on every node, change whenever the content does, and go back with a rollback.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

# From 1980, before which zip archives have no time, to 2014, so that files made from these are newer.
EARLIEST = 315532800
SPAN = 2**30
PIECE = 2**20


def content_time(path: Path) -> int:
    """Seconds since 1970 that stand for what the file holds."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return EARLIEST + int.from_bytes(digest.digest()[:8], "big") % SPAN
