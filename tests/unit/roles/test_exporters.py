# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from each row of the table of exporters: what may be set, what is written, and what is scraped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pentad.webstack.plugins.plugin_utils.role_arguments import defaults, options, tables
from inputs import GROUPS
from rendering import ADDRESSES, Case, render

EXPORTERS: dict[str, dict[str, Any]] = tables()["__webstack_exporters"]
OF_THE_USER, OTHER_PORT = "--of-the-user", 19999

exporters = pytest.mark.parametrize("name", EXPORTERS)


@pytest.fixture(scope="module")
def rendered(top: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The configuration of Prometheus, and the options and the list of the files of each exporter."""
    work = tmp_path_factory.mktemp("exporters")
    listing = work / "files.j2"
    listing.write_text("{{ __exporters_files | to_json }}")
    cases: dict[str, Case] = {"prometheus.yml": ("monitoring", "prometheus.yml.j2", {})}
    for name in EXPORTERS:
        given = {f"exporters_{name}_options": [OF_THE_USER], f"exporters_{name}_port": OTHER_PORT}
        cases[f"options of {name}"] = ("exporters", "options.j2", {"exporter": name, **given})
        cases[f"files of {name}"] = ("exporters", str(listing), {"exporters_enabled": [name]})
    return render(top, work, {"lb1": cases})["lb1"]


@pytest.mark.parametrize("variable", ["webstack_exporters", "exporters_enabled"])
def test_the_exporters_that_may_be_chosen_are_those_of_the_table(variable: str) -> None:
    assert options()[variable]["choices"] == list(EXPORTERS)


@exporters
def test_the_port_is_that_of_the_table_and_options_may_be_added(name: str) -> None:
    assert {EXPORTERS[name]["port"], f"exporters_{name}_port", f"exporters_{name}_options"} <= options().keys()
    assert defaults()[f"exporters_{name}_port"] == f"{{{{ {EXPORTERS[name]['port']} }}}}"
    assert defaults()[f"exporters_{name}_options"] == []


@exporters
def test_processes_are_named_as_the_kernel_cuts_them(name: str) -> None:
    assert [each for each in EXPORTERS[name]["processes"] if len(each) > 15] == []


@exporters
def test_the_unit_gets_what_is_added_to_those_of_all_exporters(name: str) -> None:
    assert EXPORTERS[name]["unit"].startswith("prometheus-")


@exporters
def test_every_file_restarts_the_unit_and_the_first_has_its_options(rendered: dict[str, str], name: str) -> None:
    unit = EXPORTERS[name]["unit"]
    files = json.loads(rendered[f"files of {name}"])
    assert [file["restart"] for file in files] == [[unit]] * len(files)
    assert (files[0]["dest"], files[0]["template"]) == (f"/etc/default/{unit.removesuffix('.service')}", "options.j2")
    assert files[0]["vars"] == {"exporter": name}


@exporters
def test_an_exporter_listens_where_the_user_says_with_options_of_his_own(rendered: dict[str, str], name: str) -> None:
    _managed, _name, words = rendered[f"options of {name}"].partition('\nARGS="')
    assert words.startswith(f"--web.listen-address={ADDRESSES['lb1']}:{OTHER_PORT} \\\n")
    assert words.rstrip().endswith(f' {OF_THE_USER}"')


@exporters
def test_prometheus_scrapes_it_on_the_nodes_of_its_group(rendered: dict[str, str], name: str) -> None:
    port = defaults()[EXPORTERS[name]["port"]]
    jobs = yaml.safe_load(rendered["prometheus.yml"])["scrape_configs"]
    [scraped] = [job["static_configs"] for job in jobs if job["job_name"] == EXPORTERS[name]["job"]]
    assert {each["labels"]["instance"]: each["targets"] for each in scraped} == {
        host: [f"{ADDRESSES[host]}:{port}"] for host in GROUPS[EXPORTERS[name]["group"]]
    }
