#!/usr/bin/python
# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tables of a MySQL server a clone of it would leave empty."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mysql_clone_donor_info
short_description: Which tables of a MySQL server a clone of it would leave empty
version_added: 0.1.0
author: The pentad.webstack contributors (@pentad)
description:
  - MySQL's clone plugin copies what is in InnoDB. Tables of MyISAM, CSV, ARCHIVE, MEMORY and other engines that keep
    rows arrive without them, and without any message.
  - Run it on the donor, as an account that sees all tables; the account that copies does not.
extends_documentation_fragment:
  - pentad.webstack.mysql
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Find the tables that a copy would leave empty
  pentad.webstack.mysql_clone_donor_info:
    login_unix_socket: /run/mysqld/mysqld.sock
  delegate_to: db1
  register: donor
"""

RETURN = r"""
not_cloned:
  description: Tables and their engines, for M(pentad.webstack.mysql_clone).
  returned: success
  type: list
  elements: str
  sample: ["shop.log (MyISAM)"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.mysql.connection import SYSTEM_SCHEMAS, Connection, ConnectionOptions, DatabaseError, argument_spec

# Engines without rows of their own, and InnoDB, whose rows are copied.
HARMLESS = ("InnoDB", "BLACKHOLE", "FEDERATED", "MRG_MYISAM")


def not_cloned(connection: Connection) -> list[str]:
    """Tables whose rows are not copied."""
    schemas, engines = ", ".join(["%s"] * len(SYSTEM_SCHEMAS)), ", ".join(["%s"] * len(HARMLESS))
    rows = connection.rows(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ' (', ENGINE, ')') AS name FROM information_schema.TABLES "
        f"WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ({schemas}) AND ENGINE NOT IN ({engines}) ORDER BY 1",
        [*SYSTEM_SCHEMAS, *HARMLESS],
    )
    return [row["name"] for row in rows]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        with Connection(ConnectionOptions.from_params(module.params)) as connection:
            found = not_cloned(connection)
    except DatabaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, not_cloned=found)


if __name__ == "__main__":
    main()
