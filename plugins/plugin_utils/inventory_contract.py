# Copyright (c) 2026, the pentad.webstack contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory contract: what has to be true of the whole input before anything is changed.

Pure: hosts, groups and variables in, problems out. Every problem is one sentence that names the host, the variable, its
value and the fix.
"""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.parsing.convert_bool import boolean

from . import certificates, participants, role_arguments, value_contract, value_types, variable_names
from .address_contract import address_problems
from .agreement_contract import check_proxies, check_shared
from .application_contract import application_problems
from .database_contract import CHECKS as DATABASE_CHECKS
from .node_limits import check_open_files
from .shared_state import git_problems, state_problems
from .traffic_contract import check_traffic
from .virtual_contract import check_virtual

SUPPORTED_SYSTEMS = {"Debian": ("12", "13"), "Ubuntu": ("22.04", "24.04", "26.04")}
# The first version that is supported and the first that is not.
SUPPORTED_ENGINES = {"mysql": ((8, 0), (10, 0)), "mariadb": ((10, 11), (12, 0))}
# Distributions that package the engine; elsewhere a package source has to be named.
PACKAGED_ENGINES = {"mysql": ("Ubuntu",), "mariadb": ("Debian", "Ubuntu")}
IDENTIFIER = {"webstack_app_database": 64, "webstack_app_user": 32, "webstack_app_reader_user": 32}
DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.I)
SITE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# Variables from which the default site has the paths of its certificate.
SITE_FIELDS = {
    "certificate": "webstack_certificate",
    "key": "webstack_certificate_key",
    "chain": "webstack_certificate_chain",
}
SYSTEM_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")


@dataclass(frozen=True)
class Claim:
    """A port that a service of the stack is going to listen on."""

    port_variable: str
    address: str
    processes: tuple[str, ...]
    # What its journal is under, with the names that vary in braces.
    unit: str


# They stand for addresses in the table below; ANY is every address of either protocol.
LOOPBACK, NODE, ANY, IPV4 = "127.0.0.1", "node", "*", "0.0.0.0"  # noqa: S104 - names
SERVICES: dict[str, tuple[Claim, ...]] = {
    "haproxy": (
        Claim("webstack_site_port", ANY, ("haproxy",), "haproxy"),
        Claim("webstack_https_port", ANY, ("haproxy",), "haproxy"),
        Claim("webstack_haproxy_admin_port", NODE, ("haproxy",), "haproxy"),
    ),
    "web": (
        Claim("webstack_web_port", NODE, ("nginx",), "nginx"),
        Claim("webstack_nginx_status_port", LOOPBACK, ("nginx",), "nginx"),
        Claim("webstack_primary_endpoint_port", LOOPBACK, ("haproxy",), "haproxy"),
        Claim("webstack_replica_endpoint_port", LOOPBACK, ("haproxy",), "haproxy"),
        Claim("webstack_haproxy_admin_port", NODE, ("haproxy",), "haproxy"),
    ),
    "mysql": (
        Claim("webstack_mysql_port", NODE, ("mysqld", "mariadbd"), "{engine}"),
        Claim("webstack_mysql_port", LOOPBACK, ("mysqld", "mariadbd"), "{engine}"),
        Claim("webstack_mysql_health_port", NODE, ("systemd", "mysql-health", "python3"), "mysql-health"),
    ),
    "monitoring": (
        Claim("webstack_prometheus_port", NODE, ("prometheus",), "prometheus"),
        Claim("webstack_alertmanager_port", NODE, ("prometheus-aler", "alertmanager"), "prometheus-alertmanager"),
    ),
}
# Units of database servers, which a failover masks.
FENCED_UNITS = ("mysql.service", "mariadb.service")
# Used only with an ACME authority, and only while certificates are ordered.
ACME_CLAIMS = (Claim("webstack_acme_port", NODE, ("certbot",), "certbot"),)
# Used only by several balancers that share what they count.
PEER_CLAIMS = (Claim("webstack_haproxy_peers_port", NODE, ("haproxy",), "haproxy"),)
# Its process may have any name.
APPLICATION = Claim("webstack_app_port", LOOPBACK, ("",), "{application}")
# Ends of names that the role haproxy gives to further backends of a site.
BESIDE = ("-streams", "-static")
ROLES_OF_GROUP: dict[str, list[str]] = role_arguments.tables()["__webstack_group_roles"]
# Hosts of the inventory that are in none of these do not belong to the stack. The playbook nodes.yml has them too.
OUR_GROUPS = tuple(group for group in ROLES_OF_GROUP if group != "all")
# Ports of a group's services and exporters.
CLAIMS: dict[str, tuple[Claim, ...]] = {
    group: SERVICES.get(group, ())
    + tuple(
        Claim(each["port"], NODE, tuple(each["processes"]), each["unit"].removesuffix(".service"))
        for each in role_arguments.tables()["__webstack_exporters"].values()
        if each["group"] == group
    )
    for group in ROLES_OF_GROUP
}


@dataclass
class Stack:
    """The whole input: groups, and per host the variables (defaults of the roles included) and which ones are set.

    The group C(all) has the hosts of the stack alone. Those that are away take no part in the run: a limit leaves them
    out, or the run goes on without them. Of these nothing is checked, and only their address has to be there.
    """

    groups: Mapping[str, list[str]]
    variables: Mapping[str, Mapping[str, Any]]
    given: Mapping[str, Collection[str]]
    specs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Names that the inventory gives a host, and names of the command line.
    named: Mapping[str, Collection[str]] = field(default_factory=dict)
    extra: Collection[str] = ()
    # Hosts that take no part in the run.
    away: Collection[str] = ()
    # Whether the run goes on without what is down.
    goes_on: bool = False
    # Per host, values to use in place of those that were refused.
    instead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Hosts of the stack that take part, in the order of the inventory."""
        return self.members("all")

    def members(self, group: str) -> list[str]:
        """Hosts of a group that take part."""
        return [host for host in self.everybody(group) if host not in self.away]

    def everybody(self, group: str) -> list[str]:
        """Hosts of a group, whether they take part or not."""
        return list(self.groups.get(group, []))

    def value(self, host: str, name: str) -> Any:
        """A variable of a host, or its default; None where there is neither."""
        instead = self.instead.get(host, {})
        return instead[name] if name in instead else self.variables[host].get(name)

    def facts(self, host: str) -> Mapping[str, Any]:
        """Facts of a host."""
        return self.variables[host].get("ansible_facts") or {}

    def survey(self, host: str) -> Mapping[str, Any]:
        """The survey of a host."""
        return self.variables[host].get("__webstack_survey") or {}

    def answered(self, host: str) -> bool:
        """Whether the host answered, both when its facts were gathered and in the survey after that."""
        surveyed = bool(self.survey(host)) and not self.survey(host).get("unreachable")
        return surveyed and "distribution" in self.facts(host)

    def address(self, host: str) -> str:
        """Address by which the others reach the host; empty if unknown."""
        return str(self.value(host, "webstack_address") or "")


def check_groups(stack: Stack) -> Iterable[str]:
    """The groups hold as many hosts as the topology needs."""
    for group, least in (("haproxy", 1), ("web", 2), ("mysql_primary", 1), ("mysql_replica", 1)):
        count = len(stack.everybody(group))
        if count < least:
            yield f"group {group} has {count} hosts and needs at least {least}: add hosts to it in the inventory."


def check_database_groups(stack: Stack) -> Iterable[str]:
    """There is one primary, and no host plays two parts that exclude each other."""
    primaries = stack.everybody("mysql_primary")
    if len(primaries) > 1:
        yield (
            f"group mysql_primary has {len(primaries)} hosts ({', '.join(primaries)}) and there can be one primary: "
            "keep one and move the others to mysql_replica."
        )
    for host in set(primaries) & set(stack.everybody("mysql_replica")):
        yield (
            f"{host}: is in mysql_primary and in mysql_replica: "
            "a server has one role, remove it from one of the groups."
        )
    parts = set(primaries) | set(stack.everybody("mysql_replica"))
    for host in sorted(parts ^ set(stack.everybody("mysql"))):
        yield f"{host}: group mysql has to be the parent of mysql_primary and mysql_replica, and of nothing else."


def check_arguments(stack: Stack) -> Iterable[str]:
    """Every variable that is set has the type and one of the values that its role documents."""
    for group, roles in ROLES_OF_GROUP.items():
        for host in stack.members(group):
            for role in roles:
                options = stack.specs.get(role, {})
                given = {name: value for name in options if name in stack.given[host]
                         and (value := stack.value(host, name)) is not None}  # fmt: skip
                for problem in argument_problems(given, options, stack.given[host]):
                    yield f"{host}: {problem} (see 'ansible-doc -t role pentad.webstack.{role}')."


def check_values(stack: Stack) -> Iterable[str]:
    """Every value that is set is one that its programs accept."""
    for group, roles in ROLES_OF_GROUP.items():
        for host in stack.members(group):
            options = {name: option for role in roles for name, option in stack.specs.get(role, {}).items()}
            for name in (name for name in options if name in stack.given[host]):
                try:
                    value = stack.variables[host][name]
                except KeyError:
                    # It cannot be evaluated, which is reported elsewhere.
                    continue
                raw = stack.given[host][name] if isinstance(stack.given[host], Mapping) else None
                value = value_types.typed(value, options[name])
                for problem in value_contract.value_problems(name, value, options[name], raw):
                    yield f"{host}: {problem}"
            if options.keys() & {"pki_days", "pki_renew_days"}:
                for problem in value_contract.pair_problems(lambda name, host=host: stack.value(host, name)):
                    yield f"{host}: {problem}"


def argument_problems(given: Mapping[str, Any], options: Mapping[str, Any], raw: Collection[str]) -> Iterable[str]:
    """What is wrong with values, by the options that they are of; raw are the same ones as they were given."""
    right = {}
    for name, value in given.items():
        written = raw[name] if isinstance(raw, Mapping) else None
        wrong = list(value_types.refused(value, options[name], written))
        yield from (value_types.sentence(name, misfit, written).rstrip(".") for misfit in wrong)
        if not wrong:
            right[name] = value_types.typed(value, options[name])
    spec = {name: validator_form(options[name]) for name in right}
    yield from ArgumentSpecValidator(spec).validate(right).error_messages


def refused_values(stack: Stack, host: str) -> dict[str, Any]:
    """Variables of a host that are not what their role documents, with the defaults that are documented."""
    found = {}
    roles = [role for group, roles in ROLES_OF_GROUP.items() if host in stack.members(group) for role in roles]
    for name, option in ((name, each) for role in roles for name, each in stack.specs.get(role, {}).items()):
        if name not in stack.given[host]:
            continue
        value = stack.value(host, name)
        wrong = value is None or any(argument_problems({name: value}, {name: option}, stack.given[host]))
        if wrong or value_contract.has_nothing(name, value, option):
            found[name] = option.get("default")
    return found


def without_refused(stack: Stack) -> Stack:
    """The stack with defaults in place of values that were refused, so that no later check fails on them."""
    instead, given = {host: refused_values(stack, host) for host in stack.hosts}, dict(stack.given)
    for host, refused in instead.items():
        raw = given[host]
        names = [name for name in raw if name not in refused]
        given[host] = {name: raw[name] for name in names} if isinstance(raw, Mapping) else names
    return replace(stack, instead=instead, given=given)


def check_unknown_names(stack: Stack) -> Iterable[str]:
    """Every variable whose name begins like those of the collection is one of them."""
    documented = {name for options in stack.specs.values() for name in options}
    found: dict[str, dict[str, None]] = {}
    for host in stack.hosts:
        others = stack.value(host, "webstack_other_variables") or []
        for source, names in ((host, stack.named.get(host, ())), ("-e", stack.extra)):
            for name, advice in variable_names.unknown_names(names, documented, stack.specs, others):
                found.setdefault(f"{name} {advice}", {})[source] = None
    for problem, sources in found.items():
        yield f"{', '.join(sources)}: {problem}"


def validator_form(option: Mapping[str, Any]) -> dict[str, Any]:
    """An option of an argument spec as the validator takes it, without texts and without requirements of the top."""
    form = {key: option[key] for key in ("type", "elements", "choices") if key in option}
    if option.get("options"):
        form["options"] = {
            name: {**validator_form(sub), "required": sub.get("required", False)}
            for name, sub in option["options"].items()
        }
    return form


def check_addresses(stack: Stack) -> Iterable[str]:
    """Nodes can reach each other by their addresses, which open nothing to others unless that was decided."""
    ports = {
        host: sorted({port for claim, port, _address in claims(stack, host) if claim.address == NODE})
        for host in stack.hosts
    }
    return address_problems(stack, ports)


def check_names(stack: Stack) -> Iterable[str]:
    """The domain is one, and names of accounts and databases are short enough and plain."""
    for host in stack.hosts:
        domain = str(stack.value(host, "webstack_domain"))
        if not DOMAIN.fullmatch(domain):
            yield (
                f"{host}: webstack_domain = {domain!r} is not a host name: "
                "use letters, digits, '-' and '.', as in www.example.com."
            )
        name = str(stack.value(host, "webstack_app_name"))
        if not SYSTEM_NAME.fullmatch(name):
            yield (
                f"{host}: webstack_app_name = {name!r} cannot name a system account: "
                "use a-z, 0-9, '_' and '-', at most 31."
            )
        for variable, longest in IDENTIFIER.items():
            value = str(stack.value(host, variable))
            if not re.fullmatch(r"[A-Za-z0-9_]+", value) or len(value) > longest:
                yield f"{host}: {variable} = {value!r} is not usable: letters, digits and '_', at most {longest}."


def sites(stack: Stack, host: str) -> list[Mapping[str, Any]]:
    """Sites of a balancer that have a name and domains; the argument specs report the others."""
    found = stack.value(host, "webstack_sites")
    found = found if isinstance(found, list) else []
    return [site for site in found if isinstance(site, Mapping) and site.get("name") and site.get("domains")]


def check_sites(stack: Stack) -> Iterable[str]:
    """Sites have names and domains that can be told apart."""
    for host in stack.members("haproxy"):
        owners: dict[str, str] = {}
        for site in sites(stack, host):
            name = str(site["name"])
            if not SITE_NAME.fullmatch(name):
                yield f"{host}: webstack_sites: name = {name!r} is not usable: letters, digits, '_', '-', '.'."
            if name.endswith(BESIDE):
                yield (
                    f"{host}: webstack_sites: name = {name!r} ends as the backends for streams and static files do: "
                    "choose another one."
                )
            for domain in certificates.site_names(site):
                if not DOMAIN.fullmatch(domain) and domain != str(stack.value(host, "webstack_domain")).lower():
                    yield (
                        f"{host}: webstack_sites: {domain!r} of {name} is not a host name: "
                        "use letters, digits, '-' and '.', as in www.example.com."
                    )
                if owners.setdefault(domain, name) != name:
                    owner = owners[domain]
                    yield f"{host}: webstack_sites: {domain} belongs to {owner} and to {name}: leave it to one."
        served = [str(domain).lower() for site in sites(stack, host) for domain in site["domains"]]
        domain = str(stack.value(host, "webstack_domain")).lower()
        if served and domain not in served:
            yield (
                f"{host}: webstack_domain = {domain!r} is in the domains of none of webstack_sites, and the proof asks "
                f"for it: set it to one of them, as {served[0]}."
            )


def check_site_templates(stack: Stack) -> Iterable[str]:
    """Every role that reads the sites can evaluate them: they are made of no default that one role alone has."""
    of_one_role = {name for role, options in stack.specs.items() if role != "variables" for name in options}
    for host in stack.members("haproxy"):
        given = stack.given[host]
        raw = given["webstack_sites"] if isinstance(given, Mapping) and "webstack_sites" in given else ""
        names = {name for part in re.findall(r"{{.*?}}", str(raw)) for name in re.findall(r"\w+", part)}
        for name in sorted(names & of_one_role - set(given)):
            yield (
                f"{host}: webstack_sites is made of {name}, which is not set, and its default exists in one role "
                f"alone: leave out what only repeats the default, or set {name}."
            )


def check_certificates(stack: Stack) -> Iterable[str]:
    """Certificates that are given as files can be shown to clients."""
    for host in stack.members("haproxy"):
        extra = str(stack.value(host, "webstack_certificate_authorities") or "")
        if extra and not Path(extra).expanduser().is_file():
            yield f"{host}: webstack_certificate_authorities = {extra!r} is not a file on the control node: name one."
            continue
        least = stack.value(host, "webstack_certificate_min_days")
        for site in sites(stack, host):
            if site.get("certificate_source", stack.value(host, "webstack_certificate_source")) != "files":
                continue
            for part, problem in certificates.problems(site, int(least), [extra] if extra else []):
                named = part if site.get(part) or part != "chain" else "certificate"
                variable = f"webstack_sites[{site['name']}].{named}"
                if site.get(named, "") == stack.value(host, SITE_FIELDS[named]):
                    variable = SITE_FIELDS[named]
                yield f"{host}: {variable} = {str(site.get(named) or '')!r} {problem}"


def acme_sites(stack: Stack, host: str) -> list[Mapping[str, Any]]:
    """Sites of a balancer whose certificates an ACME authority issues."""
    source = stack.value(host, "webstack_certificate_source")
    return [site for site in sites(stack, host) if site.get("certificate_source", source) == "acme"]


def check_acme(stack: Stack) -> Iterable[str]:
    """The ACME authority has an account and a URL, and issues certificates for such host names."""
    for host in stack.members("haproxy"):
        wanted = acme_sites(stack, host)
        if not wanted:
            continue
        url, email = (str(stack.value(host, name) or "") for name in ("acme_directory_url", "acme_email"))
        if not boolean(stack.value(host, "acme_terms_agreed"), strict=False):
            yield (
                f"{host}: acme_terms_agreed is not true, and {url} gives an account only to those who agree to its "
                "terms of service: read them, and set acme_terms_agreed to true."
            )
        if not url.startswith("https://"):
            yield f"{host}: acme_directory_url = {url!r} is not an https URL: name the authority's directory."
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
            yield f"{host}: acme_email = {email!r} is not an e-mail address: correct it, or leave it empty."
        bundle = str(stack.value(host, "acme_ca_bundle") or "")
        if bundle and not Path(bundle).expanduser().is_file():
            yield f"{host}: acme_ca_bundle = {bundle!r} is not a file on the control node: name one."
        for site in wanted:
            for name in certificates.site_names(site):
                if not re.fullmatch(r"[a-z0-9.-]+\.[a-z][a-z0-9-]*", name):
                    yield (
                        f"{host}: webstack_sites: {name!r} of {site['name']} is not a full host name, and an ACME "
                        "authority issues nothing for it: use one, or another certificate_source for the site."
                    )


def check_state(stack: Stack, directories: Iterable[Path]) -> Iterable[str]:
    """What all operators of the stack share is here, and closed to everybody else."""
    places = sorted(directories)
    yield from check_secrets(places)
    for directory in places:
        yield from git_problems(directory)
    if len(places) == 1:
        yield from state_problems(stack, places[0])


def check_secrets(directories: Iterable[Path]) -> Iterable[str]:
    """There is one place for what is generated, and nobody but its owner reads it but what ends in .pem."""
    places = sorted(directories)
    if len(places) > 1:
        yield (
            f"webstack_state_dir is {' and '.join(map(str, places))}, by hosts of several inventory sources, and there "
            f"is one authority for all: set it once, as -e webstack_state_dir={places[0]}"
        )
    for directory in places:
        for path in sorted(directory.rglob("*")) if directory.is_dir() else []:
            if path.is_file() and path.suffix != ".pem" and exposed(path, directory):
                mode = stat.S_IMODE(path.stat().st_mode)
                yield f"webstack_state_dir: {path} has mode {mode:04o} and others can read it: chmod -R go= {directory}"


def exposed(path: Path, top: Path) -> bool:
    """Whether others can read the file, because neither it nor a directory above it, up to top, is closed to them."""
    chain = [path, *(parent for parent in path.parents if parent == top or parent.is_relative_to(top))]
    return all(stat.S_IMODE(part.stat().st_mode) & 0o077 for part in chain)


def claims(stack: Stack, host: str) -> list[tuple[Claim, int, str]]:
    """Ports that the host's services are going to listen on, with the addresses."""
    result = []
    for group, fixed in {**CLAIMS, "application": (APPLICATION,)}.items():
        if host in (listeners_of_their_own(stack) if group == "application" else stack.members(group)):
            for claim in fixed + (sometimes(stack, host) if group == "haproxy" else ()):
                address = stack.address(host) if claim.address == NODE else claim.address
                try:
                    result.append((claim, int(stack.value(host, claim.port_variable)), address))
                except (TypeError, ValueError):
                    # The argument specs have said so already.
                    continue
    return result


def sometimes(stack: Stack, host: str) -> tuple[Claim, ...]:
    """Ports of a balancer that depend on its variables."""
    limited = str(stack.value(host, "haproxy_rate_limit") or 0) != "0" and len(stack.everybody("haproxy")) > 1
    return (ACME_CLAIMS if acme_sites(stack, host) else ()) + (PEER_CLAIMS if limited else ())


def listeners_of_their_own(stack: Stack) -> list[str]:
    """Hosts on which the application itself listens on a port."""
    return [host for host in stack.members("web") if stack.value(host, "webstack_app_listen") == "port"]


def overlap(one: str, other: str) -> bool:
    """Whether two listeners on the same port exclude each other."""
    if one == other or {ANY, "::"} & {one, other}:
        return True
    # All addresses of IPv4 are none of IPv6.
    return IPV4 in (one, other) and ":" not in one + other


def check_ports(stack: Stack) -> Iterable[str]:
    """No two services of a host use the same port, and no other program listens on it already."""
    for host in stack.hosts:
        wanted = claims(stack, host)
        for index, (claim, port, address) in enumerate(wanted):
            for other, other_port, other_address in wanted[:index]:
                named_twice = claim.port_variable == other.port_variable
                if port == other_port and not named_twice and overlap(address, other_address):
                    groups = " and ".join(dict.fromkeys(claiming(stack, host, each) for each in (claim, other)))
                    yield (
                        f"{host}: {claim.port_variable} and {other.port_variable} are both {port} on this host, as a "
                        f"member of {groups}: "
                        "give one of them another port, or move one of the services to another host."
                    )
        yield from strangers(stack, host, wanted)


def claiming(stack: Stack, host: str, claim: Claim) -> str:
    """The group by which a host has a claim."""
    further = {"haproxy": ACME_CLAIMS + PEER_CLAIMS, "web": (APPLICATION,)}
    groups = (group for group, fixed in CLAIMS.items() if claim in fixed + further.get(group, ()))
    return next((group for group in groups if host in stack.members(group)), "all")


def strangers(stack: Stack, host: str, wanted: list[tuple[Claim, int, str]]) -> Iterable[str]:
    """Ports that a process which is not the stack's has taken."""
    reported = set()
    for claim, port, address in wanted:
        for found in stack.survey(host).get("listeners", []):
            ours = found["process"].startswith(claim.processes)
            taken = found["port"] == port and overlap(address, found["address"]) and not ours
            if taken and (port, claim) not in reported:
                reported.add((port, claim))
                yield (
                    f"{host}: port {port} ({claim.port_variable}) is taken by "
                    f"{found['process'] or 'another process'} on {found['address']}: "
                    f"stop it, or set {claim.port_variable} to a free port."
                )


def check_units(stack: Stack) -> Iterable[str]:
    """Nothing that the stack runs has been masked, but a database server that was fenced."""
    for host in stack.hosts:
        for unit in (stack.survey(host).get("services") or {}).get("masked", []):
            if unit in FENCED_UNITS and not stack.goes_on:
                yield (
                    f"{host}: {unit} is masked, as a failover does with an old primary: "
                    f"run rejoin.yml with -e mysql_rejoin={host}, which takes it back."
                )
            elif unit not in FENCED_UNITS:
                yield (
                    f"{host}: {unit} is masked, so that nothing can start it, and the stack runs it there: "
                    f"run 'systemctl unmask {unit}' on {host}, or take the node out of the group that runs it."
                )


def check_systems(stack: Stack) -> Iterable[str]:
    """Every node runs a supported system."""
    supported = "; ".join(f"{name} {', '.join(versions)}" for name, versions in SUPPORTED_SYSTEMS.items())
    for host in stack.hosts:
        if not stack.answered(host):
            continue
        name, version = (
            stack.facts(host).get("distribution", ""),
            str(stack.facts(host).get("distribution_version", "")),
        )
        versions = SUPPORTED_SYSTEMS.get(name, ())
        if not any(version == each or version.startswith(each + ".") for each in versions):
            yield f"{host}: {name or 'the system'} {version} is not supported: use one of {supported}."


def check_applications(stack: Stack) -> Iterable[str]:
    """The application can be fetched, and run as configured."""
    found: dict[str, dict[str, None]] = {}
    for host in stack.members("web"):
        for problem in application_problems(lambda name, host=host: stack.value(host, name), stack.given[host]):
            found.setdefault(problem, {})[host] = None
    for problem, hosts in found.items():
        yield f"{', '.join(hosts)}: {problem}"


def version_tuple(text: str) -> tuple[int, ...]:
    """Numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def check_databases(stack: Stack) -> Iterable[str]:
    """The engine can be installed, is of a supported version, and finds no data of another one."""
    for host in stack.members("mysql"):
        engine = str(stack.value(host, "webstack_mysql_engine"))
        if engine not in SUPPORTED_ENGINES or not stack.answered(host):
            continue
        found = stack.survey(host).get("database", {})
        if found.get("engine") and found["engine"] != engine:
            yield (
                f"{host}: webstack_mysql_engine = {engine!r}, but {found['datadir']} holds data of "
                f"{found['engine']}: set webstack_mysql_engine to {found['engine']}, or move the data away."
            )
        version = found.get("version")
        first, beyond = SUPPORTED_ENGINES[engine]
        if version and found.get("engine") == engine and not first <= version_tuple(version) < beyond:
            low, high = ".".join(map(str, first)), ".".join(map(str, beyond))
            yield f"{host}: {engine} {version} is installed and versions from {low} up to but not {high} are supported."
        system = stack.facts(host).get("distribution", "")
        if (
            not version
            and system
            and system not in PACKAGED_ENGINES[engine]
            and not stack.value(host, "mysql_server_repositories")
        ):
            yield (
                f"{host}: webstack_mysql_engine = {engine!r}, which {system} does not package: "
                "name a source in mysql_server_repositories, or use mariadb."
            )


def duplicated_uuids(stack: Stack) -> tuple[list[str], list[str]]:
    """Hosts that need a new server UUID, and problems where one that holds data carries that of another."""
    uuids = {host: stack.survey(host).get("database", {}).get("server_uuid") for host in stack.members("mysql")}
    counts = Counter(uuid for uuid in uuids.values() if uuid)
    renew, problems = [], []
    for uuid, count in counts.items():
        if count < 2:
            continue
        hosts = [host for host in uuids if uuids[host] == uuid]
        filled = [host for host in hosts if stack.survey(host)["database"].get("schemas")]
        if len(filled) > 1:
            files = sorted({f"{stack.survey(host)['database']['datadir']}/auto.cnf" for host in filled})
            problems.append(
                f"{', '.join(filled)}: hold data and share the server UUID {uuid}: "
                f"stop the server on all but one of them, remove {' or '.join(files)} there and start it again."
            )
        keeper = filled[0] if filled else hosts[0]
        renew += [host for host in hosts if host != keeper and host not in filled]
    return renew, problems


def problems(stack: Stack, state_directories: Iterable[Path]) -> list[str]:
    """Everything that is wrong with the input, each sentence once."""
    found: list[str] = []
    for check in (
        check_groups, check_database_groups, participants.answer_problems, check_arguments, check_values,
    ):  # fmt: skip
        found += check(stack)
    stack = without_refused(stack)
    for check in (
        check_addresses, check_names, check_sites, check_site_templates, check_proxies, check_shared,
        check_certificates, check_acme, check_applications, check_ports, check_units, check_systems, check_open_files,
        check_databases, *DATABASE_CHECKS, check_traffic, check_virtual,
    ):  # fmt: skip
        found += check(stack)
    found += duplicated_uuids(stack)[1]
    found += check_unknown_names(stack)
    found += check_state(stack, state_directories)
    return list(dict.fromkeys(found))


def urgent_problems(stack: Stack, state_directories: Iterable[Path]) -> list[str]:
    """What is wrong with databases, addresses and shared values, for which an emergency is refused, too.

    Of nodes without a database only the variables that all roles share are checked.
    """
    nodes = replace(stack, specs={"variables": stack.specs.get("variables", {})})
    databases = participants.without(stack, set(stack.hosts) - set(stack.members("mysql")))
    found = [*check_database_groups(stack), *participants.answer_problems(stack), *check_units(databases)]
    for checked in (nodes, databases):
        found += [*check_arguments(checked), *check_values(checked)]
    stack = without_refused(stack)
    for check in (check_addresses, check_shared, check_databases, *DATABASE_CHECKS):
        found += check(stack)
    found += duplicated_uuids(stack)[1]
    for directory in sorted(state_directories):
        found += state_problems(stack, directory)
    return list(dict.fromkeys(found))
