# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the state of a node travels from host_survey to the action plugin service."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any


def packed(state: dict[str, Any]) -> str:
    """The state as text that no template takes for a dictionary, as ansible-core 2.18 does with JSON."""
    return base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    """The state again."""
    return json.loads(zlib.decompress(base64.b64decode(text)))
