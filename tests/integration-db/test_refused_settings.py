"""A server that refuses its settings says which, before they replace the old ones."""

from __future__ import annotations

from pathlib import Path

import yaml

VARIABLES = Path(__file__).parents[2] / "roles" / "mysql_server" / "vars" / "main.yml"


def test_a_setting_that_the_server_does_not_know_is_named(pair):
    engine = yaml.safe_load(VARIABLES.read_text())["__mysql_server_engines"]["mariadb" if pair.mariadb else "mysql"]
    command = engine["validate"].replace("%s", "/tmp/refused.cnf")
    written = "printf '[mysqld]\\nno_such_setting = 1\\n' >/tmp/refused.cnf"
    said = pair.primary.exec("sh", "-c", f"{written}; {command} 2>&1 >/dev/null || echo refused")
    assert "unknown variable 'no_such_setting=1'" in said
    assert said.endswith("refused")
