# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions judge the stack as the running play sees it: with the variables, facts and templates of every host."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.pentad.webstack.plugins.action import preflight, proof
from ansible_collections.pentad.webstack.plugins.plugin_utils import inventory_contract as contract
from ansible_collections.pentad.webstack.plugins.plugin_utils import stack
from places import TOP

GROUPS = {
    "haproxy": ["lb1"],
    "monitoring": ["lb1"],
    "web": ["web1", "web2"],
    "mysql": ["db1", "db2"],
    "mysql_primary": ["db1"],
    "mysql_replica": ["db2"],
}
HOSTS = ["lb1", "web1", "web2", "db1", "db2"]
REPOSITORY = {"name": "mysql", "deb822": {"URIs": "https://packages.example.com", "Suites": "stable"}}


class Play:
    """A play over five nodes, of which an action runs on the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, dict[str, Any]] = {
            # The default of its server_id is made by a filter as well, see below.
            host: {"webstack_address": f"192.0.2.{10 + number}", "mysql_server_id": 10 + number}
            for number, host in enumerate(HOSTS)
        }
        self.facts: dict[str, dict[str, Any]] = {
            host: {"__webstack_survey": {"listeners": [], "database": {}}} for host in HOSTS
        }
        self.common: dict[str, Any] = {
            "app_server_source": str(TOP),
            "app_server_wsgi": "shop.wsgi:app",
            "mysql_server_repositories": [REPOSITORY],
            "webstack_state_dir": str(folder / "state"),
            # The defaults of these are made by filters of the collection, which only a whole Ansible finds.
            "haproxy_maxconn": 20000,
            "webstack_sites": [{"name": "site", "domains": ["{{ webstack_domain }}"], "servers": []}],
        }
        self.limit = list(HOSTS)
        self.failed: list[str] = []
        self.others: dict[str, dict[str, Any]] = {}

    def task_vars(self) -> tuple[dict[str, Any], Templar, DataLoader]:
        """Variables of the play as Ansible makes them, with its templating."""
        source = self.folder / "hosts.yml"
        children = {group: {"hosts": dict.fromkeys(hosts)} for group, hosts in GROUPS.items()}
        children.update({group: {"hosts": hosts} for group, hosts in self.others.items()})
        whole = {"hosts": self.variables, "children": children, "vars": self.common}
        source.write_text(yaml.safe_dump({"all": whole}))
        loader = DataLoader()
        inventory = InventoryManager(loader=loader, sources=[str(source)])
        manager = VariableManager(loader=loader, inventory=inventory)
        HostVars(inventory, manager, loader)
        for host in HOSTS:
            manager.set_host_facts(host, {"distribution": "Debian", "distribution_version": "13.1"})
            manager.set_nonpersistent_facts(host, self.facts[host])
        found = manager.get_vars(host=inventory.get_host(HOSTS[0]))
        found["ansible_play_hosts_all"] = self.limit
        found["ansible_play_hosts"] = [host for host in self.limit if host not in self.failed]
        return found, Templar(loader=loader, variables=found), loader

    def run(self, action: Any, **arguments: Any) -> dict[str, Any]:
        """What an action answers."""
        found, templar, loader = self.task_vars()
        task = SimpleNamespace(args=arguments, check_mode=False, async_val=0, diff=False)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=""))
        return action.ActionModule(task, connection, None, loader, templar, None).run(None, found)


@pytest.fixture
def play(tmp_path) -> Play:
    """A play over nodes that are right."""
    return Play(tmp_path)


def built(play: Play, broken: list[str]) -> contract.Stack:
    """The stack of a play."""
    found, templar, loader = play.task_vars()
    return stack.stack_of(templar, loader, found, broken)


# --- the stack ------------------------------------------------------------------------------------------------------


def test_the_stack_has_the_groups_the_facts_and_what_is_set(play):
    play.variables["web1"]["webstack_web_port"] = 8081
    broken: list[str] = []
    found = built(play, broken)
    assert {name: found.members(name) for name in GROUPS} == GROUPS
    assert sorted(found.hosts) == sorted(HOSTS)
    assert (found.value("web1", "webstack_web_port"), found.address("db2")) == (8081, "192.0.2.14")
    assert found.facts("lb1")["distribution"] == "Debian"
    assert found.answered("web2")
    assert ("webstack_web_port" in found.given["web1"], "webstack_web_port" in found.given["web2"]) == (True, False)
    assert broken == []


def test_defaults_of_the_roles_stand_below_what_is_set(play):
    found = built(play, [])
    defaults = yaml.safe_load((TOP / "roles" / "topology" / "defaults" / "main.yml").read_text())
    assert found.value("web1", "webstack_web_port") == defaults["webstack_web_port"]
    assert "haproxy_balance" in found.specs["haproxy"]
    assert "haproxy_balance" in list(found.variables["lb1"])
    assert len(found.variables["lb1"]) == len(list(found.variables["lb1"]))


def test_hosts_that_are_in_no_group_of_the_contract_are_not_of_the_stack(play):
    play.others = {"mailservers": {"mail1": {"webstack_domain": "{{ nobody_said }}", "haproxy_balance": "random"}}}
    found = built(play, [])
    assert sorted(found.hosts) == sorted(HOSTS)
    assert sorted(found.variables) == sorted(found.given) == sorted(HOSTS)
    answer = play.run(preflight)
    assert (answer.get("problems"), answer.get("failed")) == (None, None)


def test_templates_are_evaluated_for_each_host_by_itself(play):
    play.common["webstack_domain"] = "{{ inventory_hostname_of_mine }}.{{ hostvars['db1'].webstack_address }}"
    for host in HOSTS:
        play.variables[host]["inventory_hostname_of_mine"] = host
    found = built(play, [])
    assert [found.value(host, "webstack_domain") for host in ("web1", "db2")] == ["web1.192.0.2.13", "db2.192.0.2.13"]


def test_a_template_that_cannot_be_evaluated_is_noted_and_absent(play):
    play.variables["web1"]["webstack_domain"] = "{{ nobody_said }}"
    broken: list[str] = []
    assert built(play, broken).value("web1", "webstack_domain") is None
    (note,) = broken
    assert note.startswith("web1: webstack_domain = ")
    assert "cannot be evaluated: " in note
    assert "nobody_said" in note.rpartition("cannot be evaluated")[2]


def test_names_of_the_inventory_are_told_from_those_that_tasks_set(play):
    play.common["haproxy_blance"] = "leastconn"
    play.facts["web1"]["nginx_result"] = {"changed": True}
    found = built(play, [])
    assert ("haproxy_blance" in found.named["web1"], "nginx_result" in found.given["web1"]) == (True, True)
    assert not {"nginx_result", "__webstack_survey"} & set(found.named["web1"])
    assert found.extra == []


def test_files_are_read_by_every_version_of_the_loader():
    class Old:
        """The loader before strings had to be trusted."""

        def load_from_file(self, path: str) -> Any:
            return {"path": path} if path else None

    assert stack.load_templates(Old(), "a.yml") == {"path": "a.yml"}
    assert stack.load_templates(Old(), "") == {}


# --- preflight ------------------------------------------------------------------------------------------------------


def test_the_input_of_right_nodes_has_no_problem(play):
    answer = play.run(preflight)
    assert answer.get("problems") is None
    assert (answer["changed"], answer["new_uuid"], answer.get("failed")) == (False, [], None)


def test_values_that_mean_nothing_are_refused_before_a_password_is_made(play):
    play.common.update(haproxy_check_interval=None, webstack_app_workers="{{ 3 - 3 }}", pki_renew_days=900)
    play.variables["db1"]["webstack_app_password"] = None
    problems = play.run(preflight)["problems"]
    for told in (
        "lb1: haproxy_check_interval = null is no value: give it one, or leave it out to have the default.",
        "web1: webstack_app_workers = 0 is out of range: use 1 or more.",
        "db1: webstack_app_password = null is no value: give it one, or leave it out to have the default.",
        "web2: pki_renew_days = 900 is not less than pki_days = 825, and every run would renew every certificate: "
        "make it smaller.",
    ):
        assert problems.count(told) == 1, problems
    assert not (play.folder / "state").exists()


def test_a_value_that_cannot_be_evaluated_is_told_once(play):
    play.variables["lb1"]["haproxy_check_interval"] = "{{ nobody_said }}"
    (problem,) = play.run(preflight)["problems"]
    assert problem.startswith("lb1: haproxy_check_interval = '{{ nobody_said }}' cannot be evaluated")


def test_a_run_that_goes_on_keeps_the_state_directory_out_of_git(play):
    play.run(preflight)
    assert [path.name for path in (play.folder / "state").iterdir()] == [".gitignore"]


def test_a_run_that_is_refused_creates_nothing(play):
    known = dict.fromkeys(("webstack_app_password", "webstack_replication_password"), "0" * 64)
    deployed = {"authority": "ab" * 32, "passwords": known}
    play.facts["web1"]["__webstack_survey"]["deployed"] = deployed
    answer = play.run(preflight)
    (problem,) = answer["problems"]
    assert problem.startswith(
        "web1: deployed with an authority that is not here (SHA-256 abababababababab) and with passwords that are not "
        "here (webstack_app_password, webstack_replication_password): "
    )
    assert not (play.folder / "state").exists()


SILENT = {"unreachable": True, "msg": "timed out."}


def test_a_host_that_does_not_answer_stops_a_run_over_all(play):
    play.facts["db2"]["__webstack_survey"] = SILENT
    # It needs a fact that could not be gathered.
    play.variables["db2"]["mysql_server_id"] = "{{ ansible_facts.default_ipv4.address }}"
    answer = play.run(preflight)
    (problem,) = answer["problems"]
    assert problem.startswith("db2: did not answer (timed out): start it, ")


@pytest.mark.parametrize("host", ["web1", "web2", "db1", "db2"])
def test_a_run_that_goes_on_leaves_out_a_host_that_does_not_answer(play, host):
    play.facts[host]["__webstack_survey"] = SILENT
    # What is wrong with it is of no concern now, and its address need not be known.
    play.variables[host].update(haproxy_balance="random", webstack_address="")
    answer = play.run(preflight, goes_on=True)
    assert (answer.get("problems"), answer.get("failed"), answer["silent"]) == (None, None, {host: "timed out"})


def test_a_run_that_goes_on_needs_a_balancer_for_its_web_nodes(play):
    play.facts["lb1"]["__webstack_survey"] = SILENT
    answer = play.run(preflight, goes_on=True)
    assert answer["problems"] == [
        "web1, web2: no balancer answers (lb1: timed out), and a web node is changed while the balancers send it "
        "nothing: start one of them, or leave the web nodes out by --limit '!web'."
    ]
    # Nobody is drained in a failover.
    assert play.run(preflight, goes_on=True, drains=False).get("problems") is None
    play.limit = ["lb1", "db1", "db2"]
    assert play.run(preflight, goes_on=True).get("problems") is None


def wrong_on_every_node(play: Play) -> list[str]:
    """Make something of each node wrong; the beginnings of what is told of it."""
    play.variables["lb1"].update(haproxy_balance="random", webstack_certificate_authorities="/nonexistent.pem")
    play.variables["web1"].update(webstack_app_name="No Name", nginx_worker_connections="{{ nobody_said }}")
    return ["lb1: value of haproxy_balance", "lb1: webstack_certificate", "web1: nginx_worker", "web1: webstack_app"]


def test_an_emergency_is_warned_of_what_has_nothing_to_do_with_it(play):
    wrong = wrong_on_every_node(play)
    problems = play.run(preflight)["problems"]
    assert all(any(problem.startswith(each) for problem in problems) for each in wrong), problems
    answer = play.run(preflight, urgent=True)
    assert (answer.get("problems"), answer.get("failed")) == (None, None)
    assert sorted(answer["warnings"]) == sorted(problems)


@pytest.mark.parametrize(
    ("host", "variables", "told"),
    [
        ("db1", {"mysql_server_max_connections": 0}, "db1: mysql_server_max_connections = 0 is out of range"),
        ("db2", {"mysql_server_settings": "{{ nobody_said }}"}, "db2: mysql_server_settings = '{{ nobody_said }}'"),
        ("web1", {"webstack_address": "nowhere"}, "web1: webstack_address = 'nowhere'"),
        ("web1", {"webstack_app_runtime": "cobol"}, "web1: value of webstack_app_runtime must be one of"),
        ("web2", {"webstack_mysql_port": 3307}, "webstack_mysql_port is 3306 on "),
    ],
)
def test_an_emergency_is_refused_for_databases_addresses_and_shared_values(play, host, variables, told):
    wrong_on_every_node(play)
    play.variables[host].update(variables)
    problems = play.run(preflight, urgent=True)["problems"]
    assert problems
    assert all(problem.startswith(told) for problem in problems), problems


def test_an_emergency_is_refused_where_the_passwords_would_be_made_anew(play):
    play.facts["web1"]["__webstack_survey"]["deployed"] = {"authority": "ab" * 32, "passwords": {}}
    assert "deployed with an authority that is not here" in play.run(preflight, urgent=True)["problems"][0]
    assert not (play.folder / "state").exists()


@pytest.mark.parametrize(
    ("unit", "goes_on", "told"),
    [
        (
            "mysql.service",
            False,
            [
                "db1: mysql.service is masked, as a failover does with an old primary: run rejoin.yml with"
                " -e mysql_rejoin=db1, which takes it back."
            ],
        ),
        ("mysql.service", True, []),
        (
            "mysql-health.socket",
            True,
            [
                "db1: mysql-health.socket is masked, so that nothing can start it, and the stack runs"
                " it there: run 'systemctl unmask mysql-health.socket' on db1, or take the node out of the group that"
                " runs it."
            ],
        ),
    ],
)
def test_a_run_goes_on_while_an_old_primary_is_fenced(play, unit, goes_on, told):
    play.facts["db1"]["__webstack_survey"] = {"listeners": [], "database": {}, "services": {"masked": [unit]}}
    assert play.run(preflight, goes_on=goes_on).get("problems", []) == told


def test_a_run_does_not_go_on_without_anybody(play):
    for host in HOSTS:
        play.facts[host]["__webstack_survey"] = SILENT
    assert len(play.run(preflight, goes_on=True)["problems"]) == len(HOSTS)


@pytest.mark.parametrize("host", HOSTS)
def test_a_limit_judges_nothing_but_what_is_in_it(play, host):
    play.limit = [host]
    for other in HOSTS:
        if other != host:
            del play.facts[other]["__webstack_survey"]
            play.variables[other].update(webstack_app_name="No Name", haproxy_balance="random")
    answer = play.run(preflight)
    assert (answer.get("problems"), answer["silent"]) == (None, {})
    play.variables[host]["webstack_app_name"] = "No Name"
    assert [problem.split(":")[0] for problem in play.run(preflight)["problems"]] == [host]


def test_a_limit_asks_for_the_addresses_that_it_needs_and_for_no_others(play):
    play.variables["db1"]["webstack_address"] = ""
    fix = "set webstack_address for db1, or start it."
    for limit, needing in ((["web1", "web2"], "web1, web2"), (["db2"], "db2"), (["lb1"], "lb1")):
        play.limit = limit
        assert play.run(preflight)["problems"] == [
            f"--limit leaves out db1, whose address is not known, and the configuration of {needing} needs it: {fix}"
        ]
    play.variables["db1"]["webstack_address"] = "192.0.2.13"
    play.variables["web2"]["webstack_address"] = ""
    play.limit = ["web1", "db2"]
    assert play.run(preflight).get("problems") is None


def test_the_proof_is_of_what_is_in_the_limit_and_says_so(proven, capsys):
    proven.limit = ["lb1", "web1"]
    answer = proven.run(proof)
    assert answer.get("failed") is None
    assert {one["host"] for one in answer["findings"]} == {"lb1", "web1", "site"}
    assert "Left out by --limit, and not checked: db1, db2, web2" in capsys.readouterr().out


def test_variables_that_roles_keep_for_themselves_are_known_too(play):
    found = built(play, [])
    assert found.value("lb1", "__webstack_authority") == f"{play.folder}/state/pki/ca.pem"


def test_the_site_of_the_stack_is_that_of_its_domain(play):
    del play.common["webstack_sites"]
    play.common.update(webstack_domain="www.foobar.com", webstack_redirect_from=["foobar.com"])
    [site] = built(play, []).value("lb1", "webstack_sites")
    assert (site["domains"], site["redirect_from"]) == (["www.foobar.com"], ["foobar.com"])


def test_certificates_are_judged_by_what_the_variables_become(play):
    play.common.update(webstack_certificate_source="files", webstack_certificate="/nowhere/site.pem")
    play.common["webstack_sites"][0].update(certificate="{{ webstack_certificate }}")
    answer = play.run(preflight)
    assert answer["problems"] == [
        "lb1: webstack_certificate = '/nowhere/site.pem' cannot be read (no such file or directory): "
        "name a PEM file on the control node.",
        "lb1: webstack_certificate_key = '' is not set: name the PEM file on the control node.",
    ]


def test_every_problem_is_told_once_and_at_once(play):
    play.variables["web1"]["webstack_address"] = "nonsense"
    play.common["haproxy_balance"] = "random"
    play.variables["db1"]["webstack_domain"] = "{{ nobody_said }}"
    answer = play.run(preflight)
    assert answer["failed"] is True
    assert len(set(answer["problems"])) == len(answer["problems"])
    for host, word in (("web1", "nonsense"), ("lb1", "haproxy_balance"), ("db1", "nobody_said")):
        assert [problem for problem in answer["problems"] if host in problem and word in problem], word
    first, *listed = answer["msg"].splitlines()
    assert first == f"{len(answer['problems'])} problem(s); nothing was changed."
    assert listed == [f"  {number}. {problem}" for number, problem in enumerate(answer["problems"], 1)]


def test_who_names_no_application_gets_none(play):
    del play.common["app_server_source"], play.common["app_server_wsgi"]
    source, entry_point = play.run(preflight)["problems"]
    assert source.startswith("web1, web2: app_server_source is not set, so that there is nothing to deploy: name ")
    assert entry_point.startswith("web1, web2: app_server_wsgi is not set, which webstack_app_runtime = 'python' needs")


def test_old_names_of_all_hosts_and_of_one_are_refused(play):
    play.common["app_server_threads"] = 4
    play.variables["web1"]["app_server_asgi"] = "pages:app"
    everywhere = ", ".join(sorted(HOSTS))
    assert play.run(preflight)["problems"] == [
        f"{everywhere}: app_server_threads is called webstack_app_threads now, and would be ignored: rename it.",
        "web1: app_server_asgi is called webstack_app_asgi now, and would be ignored: rename it.",
    ]


def test_an_unknown_name_and_a_value_of_the_wrong_type_are_refused(play):
    play.common["haproxy_blance"] = "leastconn"
    play.variables["web1"]["webstack_app_workers"] = "eight"
    answer = play.run(preflight)
    assert [problem for problem in answer["problems"] if ": haproxy_blance is no variable " in problem]
    assert [
        problem for problem in answer["problems"] if "webstack_app_workers = 'eight' is text, not a whole" in problem
    ]


def test_empty_servers_with_the_uuid_of_another_one_get_a_new_one(play):
    for host in GROUPS["mysql"]:
        database = {"server_uuid": "3e11fa47-71ca-11e1-9e33-c80aa9429562", "schemas": []}
        play.facts[host]["__webstack_survey"]["database"] = database
    answer = play.run(preflight)
    assert (answer["new_uuid"], answer.get("failed")) == (["db2"], None)


# --- proof ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def proven(play) -> Play:
    """A play in which everything was looked at and is right."""
    found = built(play, [])
    for host in HOSTS:
        listeners = [{"address": "0.0.0.0", "port": port, "process": "any"} for _c, port, _a in
                     contract.claims(found, host)]  # fmt: skip
        play.facts[host] = {"__webstack_survey": {"listeners": listeners, "database": {}}}
    target = {"health": "up", "labels": {"job": "node", "instance": "db1"}, "scrapeUrl": "http://x/"}
    canary = {"host": "site", "check": "write", "ok": True, "fact": "written", "remedy": ""}
    play.facts["lb1"].update(
        __proof_targets={"json": {"data": {"activeTargets": [target]}}}, __proof_site={"findings": [canary]}
    )
    for host, role in (("db1", "primary"), ("db2", "replica")):
        play.facts[host]["__proof_replication"] = {"verdict": "ok", "role": {"observed": role}, "summary": "ok: right"}
    return play


def test_a_right_stack_is_proven_and_shown(proven, capsys):
    answer = proven.run(proof)
    assert (answer["changed"], answer.get("failed")) == (False, None)
    assert answer["msg"] == f"All {len(answer['findings'])} points are right."
    assert {"host": "db2", "check": "replication (replica)", "ok": True, "fact": "ok: right", "remedy": ""} in (
        answer["findings"]
    )
    shown = capsys.readouterr().out
    assert all(host in shown for host in HOSTS)
    assert "WRONG" not in shown


def test_a_wrong_point_fails_with_its_remedy_and_the_rest_is_shown(proven, capsys):
    points = len(proven.run(proof)["findings"])
    capsys.readouterr()
    proven.facts["lb1"]["__proof_site"]["findings"][0].update(ok=False, fact="no canary", remedy="Look there.")
    answer = proven.run(proof)
    assert answer["failed"] is True
    assert answer["msg"].startswith(f"1 of {points} points are wrong.\n")
    assert ("no canary" in answer["msg"], "-> Look there." in answer["msg"], "web1" in answer["msg"]) == (
        True, True, False,
    )  # fmt: skip
    shown = capsys.readouterr().out
    # Everything is said once.
    assert ("web1" in shown, "no canary" in shown, "findings" in answer) == (True, False, False)


def test_a_host_that_failed_in_the_run_is_wrong_whatever_was_seen_of_it(proven):
    proven.failed = ["web2"]
    answer = proven.run(proof)
    lines = [line.split() for line in answer["msg"].splitlines()]
    assert [line[:3] for line in lines if "web2" in line] == [["WRONG", "web2", "run"]]
    assert answer["failed"] is True


def test_a_node_without_its_packages_is_named_and_not_judged(proven, capsys):
    proven.facts["web2"].update(__webstack_missing_packages=["nginx"])
    proven.facts["web2"]["__webstack_survey"]["listeners"] = []
    answer = proven.run(proof)
    assert answer.get("failed") is None
    assert [one for one in answer["findings"] if one["host"] == "web2"] == []
    assert "Without their packages, and not checked: web2" in capsys.readouterr().out


def test_where_no_node_has_its_packages_nothing_is_judged(proven):
    for host in HOSTS:
        proven.facts[host].update(__webstack_missing_packages=["nginx"])
    assert proven.run(proof)["skipped"] is True


@pytest.mark.parametrize("given", [False, True], ids=["made by a lookup", "of the user"])
def test_a_state_directory_that_a_password_made_is_closed(play, monkeypatch, given):
    state = play.folder / "state"
    if given:
        state.mkdir(mode=0o750)

    def generate(_stack: contract.Stack, _state: Any) -> list[str]:
        (state / "secrets").mkdir(mode=0o700, parents=True, exist_ok=True)
        return []

    monkeypatch.setattr(preflight, "problems", generate)
    play.run(preflight)
    assert state.stat().st_mode & 0o777 == (0o750 if given else 0o700)
