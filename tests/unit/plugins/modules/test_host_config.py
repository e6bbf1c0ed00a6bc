# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, files and units of a service are kept: what differs is changed, and what is refused stays as it was."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.pentad.webstack.plugins.module_utils import pending, systemd
from ansible_collections.pentad.webstack.plugins.modules import host_config
from fake_systemd import install, unit


@pytest.fixture(autouse=True)
def notes(tmp_path, monkeypatch):
    """Where the node notes what is pending, and its masked units."""
    monkeypatch.setattr(pending, "NOTES", tmp_path / "notes")
    monkeypatch.setattr(systemd, "MASKS", (tmp_path / "masks",))
    return tmp_path / "notes"


@pytest.fixture
def keep(run_module, tmp_path):
    """Keep files in a directory of the test, as the account that runs it."""
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}

    def run(*files: dict[str, Any], directories: tuple[dict[str, Any], ...] = (), check: bool = False):
        return run_module(
            host_config,
            check=check,
            files=[{**owner, **file, "dest": str(tmp_path / file["dest"])} for file in files],
            directories=[
                {**owner, **directory, "path": str(tmp_path / directory["path"])} for directory in directories
            ],
        )

    return run


def mode(path: Path) -> int:
    """Mode of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_made_and_then_left_alone(keep, tmp_path):
    files = {"dest": "etc/app/one.conf", "content": "1\n"}, {"dest": "two", "content": "zwei äöü\n", "mode": "0600"}
    directories = ({"path": "etc/app", "mode": "0750"},)
    made = keep(*files, directories=directories)
    assert (made["changed"], made["changed_files"]) == (
        True,
        [str(tmp_path / "etc/app/one.conf"), str(tmp_path / "two")],
    )
    assert (tmp_path / "two").read_text() == "zwei äöü\n"
    assert [mode(tmp_path / path) for path in ("etc/app", "etc/app/one.conf", "two")] == [0o750, 0o644, 0o600]
    again = keep(*files, directories=directories)
    assert (again["changed"], again["changed_files"], again["diff"]) == (False, [], [])


def test_only_what_differs_is_told(keep, tmp_path):
    keep({"dest": "a", "content": "1"}, {"dest": "b", "content": "1"})
    changed = keep({"dest": "a", "content": "1"}, {"dest": "b", "content": "2"})
    assert changed["changed_files"] == [str(tmp_path / "b")]
    assert [(each["before"], each["after"]) for each in changed["diff"]] == [("1", "2")]


def test_a_file_that_is_only_to_be_there_is_made_once(keep, tmp_path):
    first = {"dest": "a", "content": "off", "force": False}
    assert keep(first)["changed"] is True
    (tmp_path / "a").write_text("on")
    assert (keep(first)["changed"], (tmp_path / "a").read_text()) == (False, "on")
    assert keep({**first, "mode": "0600"})["changed_files"] == [str(tmp_path / "a")]
    assert keep({**first, "force": True})["changed"] is True


def test_a_mode_alone_is_a_change(keep, tmp_path):
    keep({"dest": "a", "content": "1", "mode": "0600"})
    changed = keep({"dest": "a", "content": "1", "mode": "0640"})
    assert (changed["changed_files"], mode(tmp_path / "a")) == ([str(tmp_path / "a")], 0o640)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("echo why >&2", "why"),
        ("echo why", "why"),
        ("echo 1 file >&2; echo why", "1 file why"),
        ("echo why >&2; seq 9999", "why"),
        ("seq 600", "\n600"),
    ],
)
def test_the_reason_of_a_program_is_told_wherever_it_says_it(keep, tmp_path, told, reason):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{told}\nexit 1\n")
    program.chmod(0o755)
    refused = keep({"dest": "a", "content": "bad\n", "validate": f"{program} %s"})
    assert refused["msg"].partition("refuses the new content: ")[2].endswith(reason)
    assert len(refused["msg"]) < 5000


@pytest.mark.parametrize("old", [None, "good\n"])
def test_what_its_program_refuses_is_not_written(keep, tmp_path, old):
    if old:
        keep({"dest": "a", "content": old})
    refused = keep({"dest": "a", "content": "bad\n", "validate": "grep good %s"})
    assert refused["failed"] is True
    assert f"{tmp_path / 'a'} was not changed, because 'grep good %s' refuses the new content" in refused["msg"]
    assert ((tmp_path / "a").read_text() if old else (tmp_path / "a").exists()) == (old or False)


def test_what_its_program_accepts_is_written(keep, tmp_path):
    assert keep({"dest": "a", "content": "good\n", "validate": "grep good %s"})["changed"] is True
    assert (tmp_path / "a").read_text() == "good\n"


def test_what_a_killed_run_left_of_a_file_is_removed_and_nothing_else(keep, tmp_path):
    (tmp_path / ".a.x8_k2f1z.new").write_text("half")
    others = [".a.conf.x8_k2f1z.new", ".b.x8_k2f1z.new", ".a.new"]
    for name in others:
        (tmp_path / name).write_text("another's")
    keep({"dest": "a", "content": "1"})
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set(others)


def test_a_write_that_fails_leaves_nothing_behind(keep, tmp_path, monkeypatch):
    def fail(*_words: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(host_config.DiscreetModule, "atomic_move", fail)
    with pytest.raises(OSError, match="no space left"):
        keep({"dest": "a", "content": "1"})
    assert list(tmp_path.glob("*a*")) == []


def test_a_command_that_judges_nothing_is_refused(keep, tmp_path):
    refused = keep({"dest": "a", "content": "1", "validate": "true"})
    assert f"validate of {tmp_path / 'a'} has no %s" in refused["msg"]
    assert not (tmp_path / "a").exists()


def test_check_mode_writes_nothing_and_needs_no_program(keep, tmp_path):
    file = {"dest": "etc/a", "content": "1", "validate": "/nowhere/program %s"}
    told = keep(file, directories=({"path": "etc"},), check=True)
    assert (told["changed"], told["changed_files"]) == (True, [str(tmp_path / "etc/a")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("there", "message"),
    [("directory", "is a directory and a file is to be written there"), ("file", "not a directory")],
)
def test_what_is_in_the_way_is_named(keep, tmp_path, there, message):
    if there == "directory":
        (tmp_path / "a").mkdir()
        answer = keep({"dest": "a", "content": "1"})
    else:
        (tmp_path / "a").touch()
        answer = keep({"dest": "a/b", "content": "1"}, directories=({"path": "a"},))
    assert message in answer["msg"]


def test_a_missing_directory_is_named(keep, tmp_path):
    answer = keep({"dest": "etc/a", "content": "1"})
    assert (
        f"{tmp_path / 'etc/a'} cannot be written: its directory is not there; list it in directories." == answer["msg"]
    )


@pytest.fixture
def state(tmp_path, monkeypatch):
    """States of the service, with a systemctl that keeps them."""
    return install(tmp_path, monkeypatch)


def calls(state: Path) -> list[str]:
    """Commands that systemctl was given."""
    return [line.split()[0] for line in (state / "calls").read_text().splitlines()]


def test_what_does_not_run_is_started_and_enabled_and_then_left_alone(run_module, state):
    unit(state, "a.service")
    unit(state, "b.socket", active="active")
    unit(state, "c.service", active="failed", enabled="enabled")
    done = run_module(host_config, started=["a.service", "b.socket", "c.service"])
    assert (done["newly_started"], done["newly_enabled"]) == (["a.service", "c.service"], ["a.service", "b.socket"])
    assert done["changed"] is True
    assert "active=active" in (state / "c.service").read_text()
    assert "enabled=enabled" in (state / "b.socket").read_text()
    assert calls(state) == ["show", "enable", "start", "show"]
    assert run_module(host_config, started=["a.service", "b.socket", "c.service"])["changed"] is False
    assert calls(state)[4:] == ["show"]


def test_what_is_only_to_be_enabled_is_not_started(run_module, state):
    unit(state, "a.service")
    done = run_module(host_config, enabled=["a.service"])
    assert (done["newly_started"], done["newly_enabled"]) == ([], ["a.service"])
    assert "active=inactive" in (state / "a.service").read_text()


@pytest.mark.parametrize("active", ["active", "activating", "reloading"])
@pytest.mark.parametrize("enabled", ["enabled", "static", "generated"])
def test_what_runs_is_left_alone(run_module, state, active, enabled):
    unit(state, "a.service", active, enabled)
    assert run_module(host_config, started=["a.service"])["changed"] is False


def test_unit_files_that_changed_are_read_again_before_a_unit_is_started(run_module, state, tmp_path, monkeypatch):
    monkeypatch.setattr(host_config, "UNITS", tmp_path / "system")
    file = {"owner": str(os.getuid()), "group": str(os.getgid()), "content": "[Unit]\n"}
    file["dest"] = str(tmp_path / "system" / "a.service.d" / "more.conf")
    directory = {"path": str(Path(file["dest"]).parent), "owner": file["owner"], "group": file["group"]}
    unit(state, "a.service")
    arguments = {"files": [file], "directories": [directory], "started": ["a.service"]}
    assert run_module(host_config, **arguments)["changed_files"] == [file["dest"]]
    assert calls(state) == ["daemon-reload", "show", "enable", "start", "show"]
    assert run_module(host_config, **arguments)["changed"] is False
    assert calls(state)[5:] == ["show"]


def test_units_that_the_service_no_longer_has_are_stopped_and_removed(run_module, state, tmp_path, monkeypatch):
    units = tmp_path / "system"
    units.mkdir()
    monkeypatch.setattr(host_config, "UNITS", units)
    mark = "X-Webstack-Application=shop"
    for name in ("shop.service", "shop-old.service", "shop-old.timer"):
        (units / name).write_text(f"[Unit]\n{mark}\n")
    (units / "shop-admin.service").write_text(f"[Unit]\n{mark}-admin\n# {mark}\n")
    owner = {"owner": str(os.getuid()), "group": str(os.getgid())}
    kept = {**owner, "dest": str(units / "shop.service"), "content": f"[Unit]\n{mark}\n"}
    assert run_module(host_config, check=True, files=[kept], label=mark)["changed"] is True
    assert not (state / "calls").exists()
    assert run_module(host_config, files=[kept], label=mark)["changed"] is True
    assert (state / "calls").read_text().splitlines() == [
        "disable --now shop-old.service shop-old.timer",
        "daemon-reload",
    ]
    assert sorted(path.name for path in units.iterdir()) == ["shop-admin.service", "shop.service"]
    assert run_module(host_config, files=[kept], label=mark)["changed"] is False


def test_what_there_was_is_remembered_and_comes_back(run_module, state, tmp_path, monkeypatch):
    units = tmp_path / "system"
    units.mkdir()
    monkeypatch.setattr(host_config, "UNITS", units)
    mark, settings = "X-Webstack-Application=shop", tmp_path / "shop.env"
    was = {settings: "A=1\n", units / "shop.service": f"[Unit]\n{mark}\n", units / "shop-old.service": f"{mark}\n"}
    for path, content in was.items():
        path.write_text(content)
        path.chmod(0o640)
    unit(state, "shop.service")
    unit(state, "shop-old.service", "active", "enabled")
    owner = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
    wanted = [
        {**owner, "dest": f"{tmp_path}//shop.env", "content": "A=2\n"},
        {**owner, "dest": str(units / "shop.service"), "content": f"[Unit]\n{mark}\n[Service]\n"},
        {**owner, "dest": str(units / "shop-new.service"), "content": f"{mark}\n"},
    ]
    seen = run_module(host_config, check=True, files=wanted, label=mark, return_previous=True)
    assert seen["removed"] == [str(units / "shop-old.service")]
    assert seen["previous"]["started"] == ["shop-old.service"]
    assert wanted[0]["dest"] in [file["dest"] for file in seen["previous"]["files"]]
    assert {path: path.read_text() for path in was} == was
    assert run_module(host_config, files=wanted, label=mark, return_previous=True)["previous"] == seen["previous"]
    assert "previous" not in run_module(host_config, files=wanted, label=mark)
    run_module(host_config, files=seen["previous"]["files"], label=mark)
    assert {path: path.read_text() for path in (settings, *units.iterdir())} == was
    assert {path.stat().st_mode & 0o777 for path in was} == {0o640}


@pytest.fixture
def accounts(tmp_path, monkeypatch):
    """Accounts of the node, with a program that makes those it is told to."""
    known = tmp_path / "known"
    known.write_text("")
    program = tmp_path / "bin" / "systemd-sysusers"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\nsed -n 's/^u \\([^ ]*\\).*/\\1/p' \"$1\" >>{known}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(host_config, "ACCOUNTS", tmp_path / "sysusers.d")
    monkeypatch.setattr(host_config, "exists", lambda name: name in known.read_text().split())
    return known


ACCOUNT = {"dest": "sysusers.d/app.conf", "content": '# Comment\nu app - "The application" /srv/app\n'}


def test_accounts_are_made_before_anything_else_and_then_left_alone(keep, accounts, tmp_path, monkeypatch):
    seen = []
    written = host_config.Configurator.file
    monkeypatch.setattr(
        host_config.Configurator,
        "file",
        lambda keeper, wanted: (seen.append((wanted["dest"], accounts.read_text())), written(keeper, wanted))[1],
    )
    assert keep({"dest": "a", "content": "1"}, ACCOUNT)["changed"] is True
    assert seen == [(str(tmp_path / "sysusers.d/app.conf"), ""), (str(tmp_path / "a"), "app\n")]
    assert keep({"dest": "a", "content": "1"}, ACCOUNT)["changed"] is False
    assert accounts.read_text() == "app\n"


def test_an_account_that_was_removed_is_made_again(keep, accounts):
    keep(ACCOUNT)
    accounts.write_text("")
    told = keep(ACCOUNT, check=True)
    assert (told["changed"], told["diff"][-1]["after"], accounts.read_text()) == (True, "account app\n", "")
    assert keep(ACCOUNT)["changed"] is True
    assert accounts.read_text() == "app\n"


def test_an_account_that_cannot_be_made_is_told(keep, accounts, tmp_path):
    program = tmp_path / "bin" / "systemd-sysusers"
    program.write_text("#!/bin/sh\necho no room >&2; exit 1\n")
    assert keep(ACCOUNT)["msg"].endswith("failed: no room")


def test_check_mode_tells_the_same_and_does_nothing(run_module, state):
    unit(state, "a.service")
    told = run_module(host_config, check=True, started=["a.service"])
    assert calls(state) == ["show"]
    done = run_module(host_config, started=["a.service"])
    for key in ("changed", "newly_started", "newly_enabled", "diff"):
        assert told[key] == done[key]


def test_a_unit_that_does_not_exist_is_named(run_module, state):
    answer = run_module(host_config, started=["a.service"])
    assert answer["msg"] == "systemd has no unit a.service: its package or unit file is not installed."


def test_check_mode_does_not_miss_a_unit_whose_package_it_did_not_install(run_module, state):
    assert run_module(host_config, check=True, started=["a.service"])["changed"] is True


def test_a_unit_that_does_not_start_is_named_with_its_journal(run_module, state):
    unit(state, "bad.service")
    answer = run_module(host_config, started=["bad.service"])
    assert answer["failed"] is True
    assert "systemctl start bad.service: Job for bad.service failed." in answer["msg"]
    assert "it hurts" in answer["msg"]


def test_nothing_asked_for_is_nothing_done(run_module, state):
    assert run_module(host_config)["changed"] is False
    assert not (state / "calls").exists()


def test_a_unit_is_known_by_each_of_its_names():
    found = systemd.parse("Id=mysql.service\nNames=mysql.service mysqld.service\nActiveState=active\n\nId=b\nNames=b\n")
    assert found["mysqld.service"]["ActiveState"] == "active"
    assert set(found) == {"mysql.service", "mysqld.service", "b"}


@pytest.mark.parametrize(("account", "expected"), [("root", True), ("no-such-account-here", False)])
def test_accounts_of_the_node_are_known(account, expected):
    assert host_config.exists(account) is expected


# --- masked, looping and unread units -------------------------------------------------------------------------------


def mask(tmp_path: Path, name: str) -> None:
    """Mask a unit."""
    (tmp_path / "masks").mkdir(exist_ok=True)
    (tmp_path / "masks" / name).symlink_to(os.devnull)


@pytest.mark.parametrize("check", [False, True])
def test_a_unit_that_is_masked_is_refused_although_it_runs(run_module, keep, state, tmp_path, check):
    unit(state, "a.service", "active", "masked")
    mask(tmp_path, "a.service")
    answer = run_module(host_config, check=check, started=["a.service"])
    assert answer["msg"] == (
        "a.service is masked, so that nothing can start it: run 'systemctl unmask a.service' on this node."
    )
    assert not (state / "calls").exists()


def test_a_unit_file_does_not_take_the_place_of_a_mask(run_module, state, tmp_path, monkeypatch):
    monkeypatch.setattr(host_config, "unit_of", lambda path: path.name)
    mask(tmp_path, "a.service")
    dest = tmp_path / "masks" / "a.service"
    assert "a.service is masked" in run_module(host_config, files=[{"dest": str(dest), "content": "[Unit]\n"}])["msg"]
    assert dest.is_symlink()


LOOPS = {
    "auto-restart": "SubState=auto-restart\nNRestarts=1\n",
    "queued": "SubState=auto-restart-queued\n",
    "young": "SubState=running\nNRestarts=7\nExecMainStartTimestampMonotonic={now}\n",
}


@pytest.mark.parametrize("more", LOOPS.values(), ids=LOOPS)
def test_a_crash_loop_is_started_anew_and_told_with_its_journal(run_module, state, monkeypatch, more):
    monkeypatch.setattr(host_config, "LOOP_SECONDS", 1.2)
    unit(state, "a.service", "activating" if "auto" in more else "active", "enabled")
    more = more.format(now=int(time.monotonic() * 1e6))
    (state / "a.service.more").write_text(more)
    (state / "a.service.after").write_text("SubState=auto-restart\nNRestarts=1\nType=notify\n")
    answer = run_module(host_config, started=["a.service"])
    assert answer["msg"] == "a.service ends as soon as it is started. The journal ends with:\nit hurts\n"
    (state / "a.service.more").write_text(more)
    (state / "a.service.after").write_text("SubState=running\nNRestarts=0\nType=notify\n")
    assert run_module(host_config, started=["a.service"])["newly_started"] == ["a.service"]
    assert calls(state).count("restart") == 2
    assert run_module(host_config, started=["a.service"])["changed"] is False


@pytest.mark.parametrize(
    "more",
    [
        "SubState=running\nNRestarts=1\nExecMainStartTimestampMonotonic=999999999999999\n",
        "SubState=running\nNRestarts=9\nExecMainStartTimestampMonotonic=1\n",
        "SubState=listening\n",
    ],
    ids=["restarted once", "long ago", "no service"],
)
def test_what_was_restarted_and_stays_is_no_crash_loop(run_module, state, more):
    unit(state, "a.service", "active", "enabled")
    (state / "a.service.more").write_text(more)
    assert run_module(host_config, started=["a.service"])["changed"] is False


def test_a_service_that_ends_at_once_is_no_success(run_module, state):
    unit(state, "a.service")
    (state / "a.service.after").write_text("Type=exec\nSubState=auto-restart\n")
    assert "a.service ends as soon as it is started" in run_module(host_config, started=["a.service"])["msg"]


def test_unit_files_that_an_earlier_run_left_unread_are_read(run_module, state, tmp_path, monkeypatch):
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    unit(state, "a.service", "active", "enabled")
    unit(state, "timed.service", "inactive", "static")
    (state / "timed.service.more").write_text("NeedDaemonReload=yes\n")
    dest = tmp_path / "timed.service.d" / "more.conf"
    dest.parent.mkdir()
    dest.write_text("[Unit]\n")
    file = {"owner": str(os.getuid()), "group": str(os.getgid()), "dest": str(dest), "content": "[Unit]\n"}
    assert run_module(host_config, check=True, files=[file], started=["a.service"])["changed"] is True
    assert "daemon-reload" not in calls(state)
    assert run_module(host_config, files=[file], started=["a.service"])["changed"] is True
    assert "daemon-reload" in calls(state)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/etc/systemd/system/a.service", "a.service"),
        ("/etc/systemd/system/a.service.d/b.conf", "a.service"),
        ("/etc/systemd/system/prometheus-.service.d/b.conf", ""),
        ("/etc/systemd/system/user@.service", ""),
        ("/etc/nginx/nginx.conf", ""),
    ],
)
def test_a_unit_file_is_known_by_its_unit(path, name):
    assert systemd.unit_of(Path(path)) == name


# --- secrets --------------------------------------------------------------------------------------------------------

SECRET = "tell-nobody-7f3a"  # noqa: S105 - of a test


@pytest.fixture
def journal(monkeypatch):
    """What the module writes into the journal of its node."""
    written = []
    module = host_config.DiscreetModule
    monkeypatch.setattr(module, "log", lambda _module, text, **more: written.append(f"{text} {more}"))
    return written


def test_the_journal_and_the_invocation_have_no_content(keep, journal, tmp_path):
    answer = keep({"dest": "a", "content": f"password {SECRET}\n"}, {"dest": "b", "content": "open\n"})
    assert SECRET not in str(answer["invocation"])
    assert [str(tmp_path / "a") in line and SECRET not in line for line in journal] == [True]
    assert SECRET in str(answer["diff"]), "whoever asks for a difference sees what is no secret"


@pytest.mark.parametrize("check", [False, True])
def test_a_secret_is_in_nothing_that_the_module_says(keep, journal, tmp_path, check):
    (tmp_path / "a").write_text("old-secret-1\n")
    answer = keep({"dest": "a", "content": f"password {SECRET}\n", "secret": True}, check=check)
    assert (SECRET in str(answer), "old-secret-1" in str(answer)) == (False, False)
    (difference,) = answer["diff"]
    assert difference["before"].startswith("(secret) sha256:")
    assert difference["before"] != difference["after"]
    assert SECRET not in str(journal)


def test_a_secret_is_not_in_the_reason_of_a_refusal(keep, tmp_path):
    program = tmp_path / "judge"
    program.write_text('#!/bin/sh\necho "line 1: cannot parse: $(cat "$1")" >&2; exit 1\n')
    program.chmod(0o755)
    file = {"dest": "a", "content": f'receiver: "{SECRET}"\n', "secret": True, "validate": f"{program} %s"}
    answer = keep(file)
    assert SECRET not in str(answer)
    assert "line 1: cannot parse: ********" in answer["msg"]


def test_an_argument_that_is_refused_shows_no_content(run_module, journal):
    answer = run_module(host_config, files=[{"dest": "/a", "content": SECRET, "force": "perhaps"}])
    assert answer["failed"] is True
    assert SECRET not in str(answer) + str(journal)


def test_a_secret_is_never_open_to_others_not_even_for_a_moment(keep, tmp_path, monkeypatch):
    seen = []
    kept = host_config.Configurator.attributes
    monkeypatch.setattr(
        host_config.Configurator,
        "attributes",
        lambda *words, **named: (seen.append(mode(Path(words[1]))), kept(*words, **named))[1],
    )
    keep({"dest": "a", "content": SECRET, "secret": True, "mode": "0600"})
    assert seen == [0o600]


def test_what_is_remembered_of_a_secret_stays_one(run_module, state, tmp_path):
    (tmp_path / "a").write_text("old\n")
    file = {"dest": str(tmp_path / "a"), "content": "new\n", "secret": True}
    seen = run_module(host_config, check=True, files=[file], return_previous=True)
    assert seen["previous"]["files"][0]["secret"] is True
