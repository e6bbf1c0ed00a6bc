# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that the authority and the passwords on the control node are those that the nodes were deployed with.

A node stores a password only where a program needs it. For this comparison it stores a digest of each, keyed by the
authority's private key. That key never leaves the control node, so that nobody else can try passwords on the digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..module_utils.node_state import fingerprint

# ansible-core brings it; the tests of plugins import without it.
with contextlib.suppress(ImportError):
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_pem_private_key,
    )

if TYPE_CHECKING:
    from .inventory_contract import Stack

CERTIFICATE, KEY = "webstack_authority_certificate", "webstack_authority_key"
DIGESTS = "__webstack_passwords_path"
# Named after the file below "secrets" in which each is generated unless it is given.
PASSWORD = re.compile(r"(?:webstack|mysql_primary)_([a-z_]+)_password")
SHARED = "'One stack, several operators' in docs/operations.md"


class UnusableKey(Exception):
    """The key of the authority cannot be read."""


def private_key(text: str) -> PrivateKeyTypes:
    """The key of the authority."""
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise UnusableKey(
            "is encrypted by a password of its own: give it without one, and encrypt the variable."
        ) from error
    except ValueError as error:
        raise UnusableKey("is no key in PEM: give it from its line BEGIN PRIVATE KEY on, line by line.") from error


def password_digest(name: str, password: str, key: str) -> str:
    """The digest by which a node recognises a password; key is that of the authority, in PEM."""
    raw = private_key(key).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return hmac.new(raw, f"{name}\0{password}".encode(), hashlib.sha256).hexdigest()


def secret_file(state: Path, variable: str) -> Path:
    """The file in which a password is generated, unless it is given."""
    found = PASSWORD.fullmatch(variable)
    return state / "secrets" / (found[1] if found else variable)


def where(stack: Stack, host: str, variable: str, file: Path) -> str:
    """Where the value of a variable is from, for a message."""
    return variable if variable in stack.given[host] else str(file)


def short(digest: str) -> str:
    """The beginning of a fingerprint, for people to compare."""
    return f"SHA-256 {digest[:16]}"


def listed(hosts: Collection[str]) -> str:
    """Hosts as the subject of a sentence."""
    return ", ".join(hosts)


def authority_problems(stack: Stack, state: Path) -> Iterable[str]:
    """The authority that is here has a certificate and its key, the same for all hosts."""
    values = {
        (str(stack.value(host, CERTIFICATE) or "").strip(), str(stack.value(host, KEY) or "").strip())
        for host in stack.hosts
    }
    if len(values) > 1:
        yield f"{CERTIFICATE} and {KEY} differ between hosts, and there is one authority: set them for all hosts."
        return
    for certificate, key in values:
        host = stack.hosts[0]
        named = where(stack, host, CERTIFICATE, state / "pki" / "ca.pem")
        key_named = where(stack, host, KEY, state / "pki" / "ca.key")
        if bool(certificate) != bool(key):
            there, missing = (named, key_named) if certificate else (key_named, named)
            yield f"{there} is there and {missing} is not: the authority needs both, its certificate and its key."
        elif certificate:
            yield from pair_problems(certificate, key, named, key_named)


def pair_problems(certificate: str, key: str, named: str, key_named: str) -> Iterable[str]:
    """A certificate and its key belong together, and are those of an authority."""
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        yield f"{named} is no certificate in PEM: give it from its line BEGIN CERTIFICATE on, line by line."
        return
    try:
        loaded = private_key(key)
    except UnusableKey as error:
        yield f"{key_named} {error}"
        return
    plain = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*plain) != loaded.public_key().public_bytes(*plain):
        yield f"{key_named} is not the key of the certificate {named}: give those that belong together."
    try:
        signs = found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        signs = False
    if not signs:
        yield f"{named} is not the certificate of an authority: give the one that was made with the stack."
    if found.not_valid_after_utc < datetime.now(timezone.utc):
        yield f"{named} has ended on {found.not_valid_after_utc:%Y-%m-%d}: give one that is valid."


def deployed_passwords(stack: Stack) -> Mapping[str, Mapping[str, str]]:
    """Digests of the passwords that each node was deployed with."""
    return {host: (stack.survey(host).get("deployed") or {}).get("passwords") or {} for host in stack.hosts}


def is_here(stack: Stack, host: str, variable: str, state: Path) -> bool:
    """Whether a password is given or was generated here; reading the value would generate it."""
    return variable in stack.given[host] or secret_file(state, variable).is_file()


def foreign_authorities(stack: Stack) -> dict[str, list[str]]:
    """Hosts that trust another authority than the one here, by its fingerprint."""
    found = defaultdict(list)
    for host in stack.hosts:
        theirs = (stack.survey(host).get("deployed") or {}).get("authority")
        if theirs and theirs != fingerprint(str(stack.value(host, CERTIFICATE) or "")):
            found[theirs].append(host)
    return found


def state_problems(stack: Stack, state: Path) -> Iterable[str]:
    """What nodes were deployed with is here too, so that no run generates or replaces it by accident."""
    unusable = list(authority_problems(stack, state))
    yield from unusable
    foreign = foreign_authorities(stack)
    absent, other = defaultdict(list), defaultdict(list)
    for host, digests in deployed_passwords(stack).items():
        for variable, digest in digests.items():
            # A later version may have deployed passwords that this one does not have.
            if variable not in stack.variables[host]:
                continue
            if not is_here(stack, host, variable, state):
                absent[variable].append(host)
            elif not foreign and not unusable and differs(stack, host, variable, digest):
                other[variable].append(host)
    if foreign:
        yield from foreign_problems(stack, state, foreign, absent)
    elif absent:
        yield absent_problem(stack, state, absent)
    for variable, hosts in other.items():
        place = where(stack, hosts[0], variable, secret_file(state, variable))
        yield (
            f"{listed(hosts)}: deployed with another {variable} than is here ({place}): take over theirs or, to "
            f"""change it on all nodes, say so: -e '{{"webstack_changed_passwords": ["{variable}"]}}'"""
        )


def differs(stack: Stack, host: str, variable: str, digest: str) -> bool:
    """Whether a password here is not the one of the node, and is not meant to replace it."""
    key = str(stack.value(host, KEY) or "")
    if not key or variable in (stack.value(host, "webstack_changed_passwords") or []):
        return False
    return not hmac.compare_digest(password_digest(variable, str(stack.value(host, variable)), key), str(digest))


def absent_problem(stack: Stack, state: Path, absent: Mapping[str, list[str]]) -> str:
    """The problem of passwords that nodes were deployed with and that would be generated anew here."""
    hosts = [host for host in stack.hosts if any(host in those for those in absent.values())]
    return (
        f"{listed(hosts)}: deployed with {listed(absent)}, neither set nor below {state / 'secrets'}, and a new one "
        f"would lock the stack out of its databases: copy that directory from whoever deployed "
        f"them, or set the variables ({SHARED})."
    )


def foreign_problems(
    stack: Stack, state: Path, foreign: Mapping[str, list[str]], absent: Collection[str]
) -> Iterable[str]:
    """Nodes that were deployed with another authority than is here."""
    ca_path, digests_path = (stack.value(stack.hosts[0], name) for name in ("webstack_ca_path", DIGESTS))
    fix = (
        f"copy the state directory of whoever deployed them to {state}, or set {CERTIFICATE}, {KEY} and the passwords "
        f"to what is in it, encrypted by ansible-vault ({SHARED})"
    )
    passwords = f" and with passwords that are not here ({listed(absent)})" if absent else ""
    for theirs, hosts in foreign.items():
        mine = fingerprint(str(stack.value(hosts[0], CERTIFICATE) or ""))
        if not mine:
            yield f"{listed(hosts)}: deployed with an authority that is not here ({short(theirs)}){passwords}: {fix}."
            continue
        place = where(stack, hosts[0], CERTIFICATE, state / "pki" / "ca.pem")
        yield (
            f"{listed(hosts)}: deployed with another authority ({short(theirs)}) than is here ({short(mine)}, {place})"
            f"{passwords}: {fix}. From a machine that leaves another stack for this one, remove "
            f"{ca_path} and {digests_path} first."
        )


def in_git(state: Path) -> list[str]:
    """Keys and passwords of the state directory that a git repository has, but for those that a filter encrypts."""
    git = shutil.which("git")
    if not git or not state.is_dir():
        return []

    def git_values(*words: str) -> list[str]:
        done = subprocess.run([git, "-C", str(state), *words], capture_output=True, text=True, check=False)
        # Where it is in no repository, git fails.
        return [word for word in done.stdout.split("\0") if word] if done.returncode == 0 else []

    found = git_values("ls-files", "-z", "--", "secrets", "pki/*.key")
    filters = git_values("check-attr", "-z", "filter", "--", *found) if found else []
    # For each path, git prints the path, the attribute and its value.
    plain = ("unspecified", "unset", "set")
    encrypted = {path for path, value in zip(filters[::3], filters[2::3], strict=True) if value not in plain}
    return [path for path in found if path not in encrypted]


def git_problems(state: Path) -> Iterable[str]:
    """No repository has the keys and passwords."""
    found = in_git(state)
    if found:
        yield (
            f"webstack_state_dir: git tracks {listed(found)} in {state}, so whoever has the repository has them: run "
            f"'git -C {state} rm -r --cached .', and change what was given away."
        )


def close(directories: Iterable[Path]) -> None:
    """Close existing directories to everybody but their owner."""
    for directory in directories:
        if directory.is_dir():
            directory.chmod(0o700)


def keep_out_of_git(state: Path) -> None:
    """Create the directory for its owner alone, with a C(.gitignore) of its own."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignored = state / ".gitignore"
    if not ignored.exists():
        ignored.write_text("# Keys and passwords: never committed.\n*\n")
