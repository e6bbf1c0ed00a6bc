# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node as one text, packed by host_survey and unpacked on the control node."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import zlib
from typing import Any


def packed(state: dict[str, Any]) -> str:
    """The state as text that a template does not turn into a dictionary, as ansible-core 2.18 does with JSON."""
    return base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    """The state that was packed into the text."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


def fingerprint(text: str) -> str:
    """SHA-256 of the first certificate in a text, whatever surrounds it; empty where there is none."""
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0]) if found else b""
    except ValueError:
        der = b""
    return hashlib.sha256(der).hexdigest() if der else ""
