#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have a database server show the certificate that is in its file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_tls
short_description: Have a MySQL or MariaDB server show the certificate that is in its file
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - Compares the certificate that a running server shows with the one in the file, has the server read its files again
    where they differ (C(ALTER INSTANCE RELOAD TLS), C(FLUSH SSL)), and checks that it shows the new one.
  - Open connections keep the certificate that they began with.
  - A server that cannot read the new files keeps the old certificate.
options:
  certificate:
    description: File that the server's C(ssl_cert) names. Its first certificate counts.
    type: path
    required: true
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Reports whether the files would be read again.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Show the new certificate
  pentad.webstack.mysql_tls:
    login_unix_socket: /run/mysqld/mysqld.sock
    certificate: /etc/mysql/tls/server.pem
"""

RETURN = r"""
fingerprint:
  description: SHA-256 of the certificate in the file.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

import hashlib
import re
import ssl
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import (
    ConnectionOptions,
    DatabaseError,
    argument_spec,
    connect_to_starting,
    shown_certificate,
)

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificate_of(path: Path) -> bytes:
    """The first certificate in a file."""
    try:
        found = CERTIFICATE.search(path.read_text(encoding="ascii", errors="replace"))
        if found:
            return ssl.PEM_cert_to_DER_cert(found[0])
    except (OSError, ValueError) as error:
        raise DatabaseError(f"{path} cannot be read: {error}.") from error
    raise DatabaseError(f"{path} holds no certificate in PEM format.")


def reload(options: ConnectionOptions) -> None:
    """Have the server read its files again."""
    with connect_to_starting(options) as connection:
        connection.rows(connection.dialect["reload_tls"])


def ensure_shown(options: ConnectionOptions, wanted: bytes, path: Path, dry: bool) -> bool:
    """Have the server show the wanted certificate; returns whether it showed another one."""
    connect_to_starting(options).close()
    if shown_certificate(options) == wanted:
        return False
    if not dry:
        reload(options)
        if shown_certificate(options) != wanted:
            raise DatabaseError(
                f"{options.where} has read its files again and still shows another certificate than {path}: "
                "its ssl_cert names another file; correct its configuration and restart it."
            )
    return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**argument_spec(), "certificate": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    path = Path(module.params["certificate"])
    try:
        wanted = certificate_of(path)
        changed = ensure_shown(ConnectionOptions.from_params(module.params), wanted, path, module.check_mode)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, fingerprint=hashlib.sha256(wanted).hexdigest())


if __name__ == "__main__":
    main()
