# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What host_survey tells of a node, as both sides write it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import zlib
from typing import Any


def packed(state: dict[str, Any]) -> str:
    """The state as text that no template takes for a dictionary, as ansible-core 2.18 does with JSON."""
    return base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    """The state again."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def fingerprint(text: str) -> str:
    """SHA-256 of the first certificate in a text, whatever stands around it; empty where there is none."""
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0]) if found else b""
    except ValueError:
        der = b""
    return hashlib.sha256(der).hexdigest() if der else ""
