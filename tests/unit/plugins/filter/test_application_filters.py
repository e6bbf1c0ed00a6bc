# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands, units, files and directories of an application."""

from __future__ import annotations

import pytest
from ansible_collections.pentad.webstack.plugins.filter.application import (
    background_units,
    below,
    copied_files,
    directories,
    environment_lines,
    exec_line,
    exporter_files,
    mounted_from,
    moved_below,
    relocated,
    timed_units,
    transient_command,
    unit_files,
    venv_commands,
)

ODD = ["node", "a b", "100%", "$HOME", 'say "x"', "back\\slash", "{port}", 7]


def test_a_command_reaches_its_program_word_by_word_past_systemd():
    assert exec_line(ODD, {"port": 8000}) == (
        '/usr/bin/env "node" "a b" "100%%" "$$HOME" "say \\"x\\"" "back\\\\slash" "8000" "7"'
    )


def test_a_transient_unit_runs_each_word_as_it_is():
    command = transient_command(ODD, ["User=app", "PrivateTmp=yes"], {"HOME": "/tmp", "PATH": "/bin"})
    program, words = command[: command.index("/usr/bin/env")], command[command.index("/usr/bin/env") + 1 :]
    assert program == [
        "systemd-run", "--quiet", "--wait", "--pipe", "--collect",
        "--property=User=app", "--property=PrivateTmp=yes", "--setenv=HOME=/tmp", "--setenv=PATH=/bin",
    ]  # fmt: skip
    assert words == ["node", "a b", "100%", "$$HOME", 'say "x"', "back\\slash", "{port}", "7"]


def test_a_transient_unit_needs_no_variables():
    command = transient_command(["date"], [])
    assert " ".join(command) == "systemd-run --quiet --wait --pipe --collect /usr/bin/env date"


def test_a_virtual_environment_is_made_of_what_is_listed():
    assert [" ".join(words) for words in venv_commands("requirements.txt", "")] == [
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install --no-input -r requirements.txt",
    ]


def test_a_lock_has_everything_and_the_release_is_installed_with_it():
    assert [" ".join(words) for words in venv_commands("requirements.txt", "requirements.lock")] == [
        "python3 -m venv .venv",
        ".venv/bin/python -m pip install --no-input --no-deps -r requirements.lock",
        ".venv/bin/python -m pip install --no-input --no-deps .",
    ]


def test_what_needs_nothing_has_no_virtual_environment():
    assert venv_commands("", "") == []


def test_systemd_reads_each_variable_as_it_is():
    variables = {"MOTTO": 'say "no" \\ yes', "WORKERS": 3, "COST": "5 $ `x`", "LINES": "a\nb", "EMPTY": ""}
    assert (
        environment_lines(variables)
        == 'MOTTO="say \\"no\\" \\\\ yes"\nWORKERS="3"\nCOST="5 $ `x`"\nLINES="a\nb"\nEMPTY=""'
    )


def test_options_are_one_variable_with_a_line_for_each():
    assert environment_lines({"ARGS": ["--a=1", '--labels={x="y"}']}) == 'ARGS="--a=1 \\\n  --labels={x=\\"y\\"}"'


def test_no_variables_are_no_lines():
    assert environment_lines({}) == ""


def test_directories_share_their_settings():
    assert directories(["/a", "/b"], {"mode": "0700"}) == [
        {"path": "/a", "mode": "0700"},
        {"path": "/b", "mode": "0700"},
    ]
    assert directories(["/a"]) == [{"path": "/a"}]


def test_files_are_copied_to_the_same_paths_below_another_directory():
    assert copied_files(["a.py", "rules/b.py"], "/src", "/usr/local/lib/x") == [
        {"dest": "/usr/local/lib/x/a.py", "src": "/src/a.py"},
        {"dest": "/usr/local/lib/x/rules/b.py", "src": "/src/rules/b.py"},
    ]


def test_files_and_directories_are_moved_with_everything_that_they_have():
    entries = [{"dest": "/etc/a", "content": "/etc/b", "mode": "0600"}, {"path": "/etc"}]
    assert moved_below(entries, "/run/staged") == [
        {"dest": "/run/staged/etc/a", "content": "/etc/b", "mode": "0600"},
        {"path": "/run/staged/etc"},
    ]
    assert entries[1] == {"path": "/etc"}


def test_a_unit_sees_new_files_in_the_places_of_the_old():
    assert mounted_from(["/etc/a", "/etc/b"], "/run/staged") == [
        "BindReadOnlyPaths=/run/staged/etc/a:/etc/a",
        "BindReadOnlyPaths=/run/staged/etc/b:/etc/b",
    ]
    assert mounted_from(["/etc/a"], "") == []


def test_paths_inside_of_a_directory_are_found_in_another():
    paths = ["/srv/current", "/srv/current/a", "/srv/current/a", "/srv/currently/b", "", "/srv"]
    assert relocated(paths, "/srv/current", "/srv/releases/r1") == ["/srv/releases/r1", "/srv/releases/r1/a"]


def test_what_runs_in_the_background_is_a_unit_for_each_instance():
    items = [{"name": "mail", "command": ["a"]}, {"name": "jobs", "command": ["b"], "instances": 2}]
    assert background_units(items, "shop") == [
        {"name": "mail", "unit": "shop-mail.service", "command": ["a"]},
        {"name": "jobs-1", "unit": "shop-jobs-1.service", "command": ["b"]},
        {"name": "jobs-2", "unit": "shop-jobs-2.service", "command": ["b"]},
    ]


def test_what_runs_at_times_keeps_what_is_told_of_it():
    tidy = {"name": "tidy", "command": ["tidy"], "on_calendar": "hourly"}
    assert timed_units([tidy], "shop", "service") == [{**tidy, "unit": "shop-tidy.service"}]
    assert timed_units([tidy], "shop", "timer") == [{**tidy, "unit": "shop-tidy.timer"}]


def test_each_unit_has_a_file_by_one_template():
    units = [{"name": "a", "unit": "shop-a.service"}, {"name": "b", "unit": "shop-b.service"}]
    assert unit_files(units, "background.j2") == [
        {"dest": "/etc/systemd/system/shop-a.service", "template": "background.j2", "vars": {"unit": units[0]}},
        {"dest": "/etc/systemd/system/shop-b.service", "template": "background.j2", "vars": {"unit": units[1]}},
    ]


def test_files_of_exporters_restart_their_units():
    exporters = {"node": {"unit": "prometheus-node-exporter.service"}, "dns": {"unit": "a.service"}, "not": {}}
    others = {"dns": [{"dest": "/etc/dns.cnf", "template": "dns.j2"}], "not": [{"dest": "/etc/not"}]}
    options, own = {"template": "options.j2"}, {"restart": ["a.service"]}
    assert exporter_files(["dns", "node"], exporters, "options.j2", others) == [
        {"dest": "/etc/default/a", **options, "vars": {"exporter": "dns"}, **own},
        {"dest": "/etc/dns.cnf", "template": "dns.j2", **own},
        {
            "dest": "/etc/default/prometheus-node-exporter",
            **options,
            "vars": {"exporter": "node"},
            "restart": ["prometheus-node-exporter.service"],
        },
    ]


@pytest.mark.parametrize(
    ("directory", "docroot", "path"),
    [("public/up", "public", "/up/"), ("up", "public", ""), ("publicity", "public", ""), ("up", "", "/up/"),
     ("public", "public", "/")],
)  # fmt: skip
def test_a_directory_is_served_where_the_document_root_has_it(directory, docroot, path):
    assert below(directory, docroot) == path
