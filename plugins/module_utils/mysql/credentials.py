# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a password is the one a server has stored, without logging in and without changing it."""

from __future__ import annotations

import hashlib
import hmac
import re

_ALPHABET = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The order in which SHA256-crypt takes the bytes of the digest, three at a time.
_ORDER = ((0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14), (15, 25, 5), (6, 16, 26), (27, 7, 17),
          (18, 28, 8), (9, 19, 29))  # fmt: skip
_STORED = re.compile(rb"^\$A\$([0-9A-F]{3})\$(.{20})(.{43})$", re.DOTALL)


def _encode(value: int, length: int) -> bytes:
    out = bytearray()
    for _n in range(length):
        out.append(_ALPHABET[value & 0x3F])
        value >>= 6
    return bytes(out)


def _repeat(digest: bytes, length: int) -> bytes:
    return (digest * (length // 32 + 1))[:length]


def sha256_crypt(password: bytes, salt: bytes, rounds: int) -> bytes:
    """The 43 characters of SHA256-crypt. The server uses 20 bytes of salt where the C library cuts at 16."""
    second = hashlib.sha256(password + salt + password).digest()
    first = hashlib.sha256(password + salt + _repeat(second, len(password)))
    length = len(password)
    while length:
        first.update(second if length & 1 else password)
        length >>= 1
    digest = first.digest()
    p = _repeat(hashlib.sha256(password * len(password)).digest(), len(password))
    s = _repeat(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    for number in range(rounds):
        parts = [p if number & 1 else digest]
        if number % 3:
            parts.append(s)
        if number % 7:
            parts.append(p)
        parts.append(digest if number & 1 else p)
        digest = hashlib.sha256(b"".join(parts)).digest()
    out = b"".join(_encode(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER)
    return out + _encode(digest[31] << 8 | digest[30], 3)


def matches_caching_sha2(password: str, stored: bytes) -> bool:
    """Compare with what mysql.user holds: $A$<thousands of rounds in hex>$<salt><digest>."""
    found = _STORED.match(stored)
    if not found:
        return False
    rounds = int(found.group(1), 16) * 1000
    return hmac.compare_digest(sha256_crypt(password.encode(), found.group(2), rounds), found.group(3))


def native_hash(password: str) -> str:
    """The digest of mysql_native_password. The protocol prescribes SHA-1."""
    inner = hashlib.sha1(password.encode()).digest()  # noqa: S324 - prescribed
    return "*" + hashlib.sha1(inner).hexdigest().upper()  # noqa: S324 - prescribed


def matches_native(password: str, stored: str) -> bool:
    """Whether this password has this hash of mysql_native_password."""
    return hmac.compare_digest(native_hash(password).encode(), stored.upper().encode())
