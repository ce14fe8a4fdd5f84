"""From a text to the frozen stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestra.stack import model as m
from orchestra.stack.files import Loaded

Load = Callable[..., Loaded]


def service(loaded: Load, body: str, **request: Any) -> m.Service:
    text = f"services:\n  a: {{rootfs: host, {body}}}\n  b: {{rootfs: host, healthcheck: {{tcp: 1}}}}\n"
    text += "volumes: {data: }\nsecrets: {s: {file: ./s}}\n"
    text += "networks: {front: {ipam: {config: [{subnet: 10.0.0.0/24}]}}, default: }\n"
    return loaded(text, **request).stack.services["a"]


def field(name: str, value: object) -> tuple[str, object]:
    return name, value


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        ("command: a 'b c'", "command", ("a", "b c")),
        ("command: [a, b c]", "command", ("a", "b c")),
        ("entrypoint: x", "entrypoint", ("x",)),
        ("environment: [A=1, HOME, NO]", "environment", {"A": "1", "HOME": "/home/me"}),
        ("environment: {A: 1.50, B: true, C: }", "environment", {"A": "1.5", "B": "true"}),
        (
            "deploy: {update_config: {order: start-first, drain: 5s}, rollback_config: {parallelism: 2, delay: 1m}}",
            "rollback",
            m.Update("start-first", parallelism=2, delay=60.0, failure_action="pause", drain=5.0),
        ),
        ("labels: [a=b, c]", "labels", {"a": "b", "c": ""}),
        ("restart: no", "restart", m.Restart("no")),
        ("restart: on-failure:3", "restart", m.Restart("on-failure", 3)),
        ("restart: on-failure", "restart", m.Restart("on-failure")),
        ("restart: unless-stopped", "restart", m.Restart("unless-stopped")),
        ("restart: no, deploy: {restart_policy: {condition: any}}", "restart", m.Restart("always")),
        (
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}",
            "restart",
            m.Restart("on-failure", 2),
        ),
        ("restart: always, deploy: {restart_policy: {condition: none}}", "restart", m.Restart("no")),
        ("stop_signal: usr1", "stop_signal", "SIGUSR1"),
        ("stop_signal: '15'", "stop_signal", "SIGTERM"),
        ("stop_signal: RTMIN+3", "stop_signal", "SIGRTMIN+3"),
        ("stop_grace_period: 1m30s", "stop_grace_period", 90.0),
        ("ports: ['8080:80']", "ports", (m.Port(80, (8080, 8080)),)),
        ("ports: [80]", "ports", (m.Port(80, None),)),
        ("ports: ['127.0.0.1::80/udp']", "ports", (m.Port(80, None, "127.0.0.1", "udp"),)),
        ("ports: ['[::1]:1-2:3-4']", "ports", (m.Port(3, (1, 1), "::1"), m.Port(4, (2, 2), "::1"))),
        ("ports: ['0:80']", "ports", (m.Port(80, None),)),
        ("ports: ['127.0.0.1:0:80-81']", "ports", (m.Port(80, None, "127.0.0.1"), m.Port(81, None, "127.0.0.1"))),
        ("ports: [{target: 80, published: 0}]", "ports", (m.Port(80, None),)),
        ("ports: ['${NOTHING:-0}:80/udp']", "ports", (m.Port(80, None, "", "udp"),)),
        ("ports: ['10000-20000:10000-20000/udp']", "ports", (m.Port(10000, (10000, 20000), "", "udp", 10001),)),
        ("ports: [{target: 9001-9200, published: 1-200}]", "ports", (m.Port(9001, (1, 200), count=200),)),
        ("ports: ['1-200:1-200', '7:7', '208:9']", "ports", (m.Port(1, (1, 200), count=200), m.Port(9, (208, 208)))),
        ("ports: ['1-3:5']", "ports", (m.Port(5, (1, 3)),)),
        ("ports: [{target: 5, published: '1-3', protocol: udp}]", "ports", (m.Port(5, (1, 3), "", "udp"),)),
        ("volumes: [/anon]", "mounts", (m.Mount("volume", "/anon"),)),
        ("volumes: ['data:/d/../x:ro']", "mounts", (m.Mount("volume", "/x", "data", True),)),
        ("volumes: ['~/a:/b']", "mounts", (m.Mount("bind", "/b", "/home/me/a"),)),
        ("volumes: ['/a:/b:suid,rw']", "mounts", (m.Mount("bind", "/b", "/a", suid=True),)),
        (
            "volumes: [{type: bind, source: /a, target: /b, bind: {suid: true}}]",
            "mounts",
            (m.Mount("bind", "/b", "/a", suid=True),),
        ),
        (
            "volumes: [{type: bind, source: /a, target: /b, bind: {create_host_path: false, propagation: private}}]",
            "mounts",
            (m.Mount("bind", "/b", "/a", create_host_path=False, propagation="private"),),
        ),
        (
            "volumes: [{type: volume, source: data, target: /b, volume: {nocopy: true, subpath: s}}]",
            "mounts",
            (m.Mount("volume", "/b", "data", nocopy=True, subpath="s"),),
        ),
        (
            "volumes: [{type: tmpfs, target: /b, tmpfs: {size: 1m, mode: 0700}}]",
            "mounts",
            (m.Mount("tmpfs", "/b", size=1 << 20, mode=0o700),),
        ),
        (
            "tmpfs: '/b:size=1m,mode=1777,ro'",
            "mounts",
            (m.Mount("tmpfs", "/b", "", True, size=1 << 20, mode=0o1777),),
        ),
        ("tmpfs: '/b:size=5%'", "mounts", (m.Mount("tmpfs", "/b", options=("size=5%",)),)),
        ("mem_limit: 50m", "limits", m.Limits(memory=50 << 20)),
        ("cpus: '0.5', pids_limit: 10", "limits", m.Limits(cpus=0.5, pids=10)),
        (
            "deploy: {resources: {limits: {cpus: '2', memory: 1g, pids: 5}, reservations: {memory: 1m}}}",
            "limits",
            m.Limits(cpus=2.0, memory=1 << 30, memory_reservation=1 << 20, pids=5),
        ),
        (
            "mem_limit: 1g, memswap_limit: -1, cpuset: 0-1",
            "limits",
            m.Limits(memory=1 << 30, memory_swap=-1, cpuset="0-1"),
        ),
        ("cpu_quota: 50000, cpu_period: 20000", "limits", m.Limits(cpu_quota=50000, cpu_period=20000)),
        (
            "deploy: {resources: {limits: {network: {ingress: 10mbit, egress: 1.5 Mbit/s}}}}",
            "limits",
            m.Limits(ingress=10_000_000, egress=1_500_000),
        ),
        (
            "blkio_config: {weight: 300, device_write_bps: [{path: /dev/sda, rate: 1mb}]}",
            "limits",
            m.Limits(blkio=m.BlockIO(weight=300, device_write_bps=(m.OfDevice("/dev/sda", 1 << 20),))),
        ),
        (
            "blkio_config: {weight_device: [{path: /dev/sda, weight: 20}], device_read_iops: [{path: /b, rate: 9}]}",
            "limits",
            m.Limits(
                blkio=m.BlockIO(weight_device=(m.OfDevice("/dev/sda", 20),), device_read_iops=(m.OfDevice("/b", 9),))
            ),
        ),
        (
            "ulimits: {nofile: 5, core: {soft: 1, hard: -1}}",
            "ulimits",
            (m.Ulimit("core", 1, -1), m.Ulimit("nofile", 5, 5)),
        ),
        ("network_mode: host", "networks", ()),
        ("command: x", "networks", (m.Join("default"),)),
        (
            "networks: {default: , front: {aliases: [x], ipv4_address: 10.0.0.5, priority: 2}}",
            "networks",
            (m.Join("front", ("x",), "10.0.0.5", priority=2), m.Join("default")),
        ),
        ("depends_on: [b]", "depends_on", (m.Dependency("b"),)),
        (
            "depends_on: {b: {condition: service_healthy, restart: true, required: false}}",
            "depends_on",
            (m.Dependency("b", "service_healthy", False, True),),
        ),
        ("network_mode: service:b", "depends_on", (m.Dependency("b", restart=True),)),
        ("links: [b]", "depends_on", (m.Dependency("b", restart=True),)),
        ("healthcheck: {test: a b}", "healthcheck", m.Healthcheck(m.ExecProbe(("/bin/sh", "-c", "a b")))),
        (
            "healthcheck: {test: [CMD, a], interval: 1s, timeout: 2s, retries: 4, start_period: 5s}",
            "healthcheck",
            m.Healthcheck(m.ExecProbe(("a",)), 1.0, 2.0, 5.0, 5.0, 4),
        ),
        ("healthcheck: {http: 'http://:8080/h'}", "healthcheck", m.Healthcheck(m.HttpProbe("", 8080, "/h"))),
        ("healthcheck: {http: 'http://b'}", "healthcheck", m.Healthcheck(m.HttpProbe("b", 80, "/"))),
        ("healthcheck: {tcp: 8080}", "healthcheck", m.Healthcheck(m.TcpProbe("", 8080))),
        ("healthcheck: {tcp: 'b:80'}", "healthcheck", m.Healthcheck(m.TcpProbe("b", 80))),
        ("healthcheck: {test: [NONE]}", "healthcheck", None),
        ("healthcheck: {test: x, disable: true}", "healthcheck", None),
        (
            "cap_add: [net_admin, CAP_SYS_TIME], cap_drop: [all]",
            "security",
            m.Security(cap_add=("NET_ADMIN", "SYS_TIME"), cap_drop=("ALL",)),
        ),
        (
            "security_opt: ['no-new-privileges:false', seccomp=unconfined]",
            "security",
            m.Security(False, "unconfined"),
        ),
        ("secrets: [s]", "secrets", (m.Grant("s", "/run/secrets/s"),)),
        (
            "secrets: [{source: s, target: t, uid: '5', gid: '6', mode: 0400}]",
            "secrets",
            (m.Grant("s", "/run/secrets/t", 5, 6, 0o400),),
        ),
        ("logging: {driver: none}", "logging", m.Logging("none")),
        ("logging: {options: {max-size: 1m, max-file: 2}}", "logging", m.Logging(max_size=1 << 20, max_file=2)),
        ("extra_hosts: {x: host-gateway, y: '[::1]'}", "extra_hosts", (("x", "host-gateway"), ("y", "::1"))),
        ("scale: '${N:-3}'", "scale", 3),
        ("deploy: {replicas: 0}", "scale", 0),
        ("privileged: 'yes', tty: true, init: false", "tty", True),
        ("shm_size: 1g", "shm_size", 1 << 30),
        ("sysctls: [net.a=1]", "sysctls", {"net.a": "1"}),
        ("oom_score_adj: -5", "oom_score_adj", -5),
        ("on_unhealthy: restart, healthcheck: {tcp: 1}", "on_unhealthy", "restart"),
        ("attach: false", "attach", False),
        ("dns: 1.1.1.1, dns_search: [x]", "dns", ("1.1.1.1",)),
    ],
)
def test_a_key_becomes_a_value(loaded: Load, body: str, name: str, value: object) -> None:
    """Short and long forms alike, with the defaults of the specification."""
    assert getattr(service(loaded, body), name) == value


def test_env_files_come_before_the_environment(loaded: Load) -> None:
    """Later files win over earlier ones, and `environment` over all."""
    files = {"one.env": "A=1\nB=1\nC=1", "two.env": "B=2\nC=${A}2", "raw.env": "D='${A}'"}
    body = "environment: [C=3], env_file: [one.env, two.env, {path: no.env, required: false}, "
    body += "{path: raw.env, format: raw}]"
    assert service(loaded, body, files=files).environment == {"A": "1", "B": "2", "C": "3", "D": "'${A}'"}


def test_an_env_file_that_is_no_file_is_refused_at_once(loaded: Load, tmp_path: Any) -> None:
    """A FIFO would block for ever, a device never end."""
    with pytest.raises(Exception, match="is not a regular file"):
        service(loaded, "env_file: /dev/zero")


def test_the_top_level_is_named_after_the_project(loaded: Load) -> None:
    """Networks and volumes that are used, under their names on this machine."""
    text = """\
name: My_Shop
services: {a: {rootfs: ./root, volumes: ["data:/d", "ext:/e"], networks: [n]}}
volumes: {data: {name: fixed}, ext: {external: true}, unused: }
networks:
  n: {internal: true, ipam: {config: [{subnet: 10.1.0.0/16, gateway: 10.1.0.1}]}}
"""
    stack = loaded(text).stack
    assert stack.name == "my_shop"
    assert stack.volumes == {"data": m.Volume("data", "fixed"), "ext": m.Volume("ext", "ext", external=True)}
    assert stack.networks["n"] == m.Network("n", "my_shop_n", internal=True, subnet="10.1.0.0/16", gateway="10.1.0.1")
    assert stack.services["a"].rootfs == m.DirRoot(f"{stack.directory}/root")


def test_secrets_and_configs_carry_their_source(loaded: Load) -> None:
    """A file by its path, variables and contents as they are now."""
    text = """\
services: {a: {rootfs: host, secrets: [f, e], configs: [c]}}
secrets: {f: {file: ./f}, e: {environment: TOKEN}}
configs: {c: {content: "x=${TOKEN}"}}
"""
    stack = loaded(text, environ={"TOKEN": "t"}).stack
    assert stack.secrets == {"f": m.FileSource("f", file=f"{stack.directory}/f"), "e": m.FileSource("e", content="t")}
    assert stack.configs == {"c": m.FileSource("c", content="x=t")}


def test_profiles_switch_services_on(loaded: Load) -> None:
    """By option, by variable, or by naming a service."""
    text = "services: {a: {rootfs: host}, p: {rootfs: host, profiles: [x]}, q: {rootfs: host, profiles: [y]}}"
    assert set(loaded(text).stack.services) == {"a"}
    assert loaded(text).stack.disabled == {"p", "q"}
    assert set(loaded(text, profiles=("x",)).stack.services) == {"a", "p"}
    assert set(loaded(text, environ={"COMPOSE_PROFILES": "x, y"}).stack.services) == {"a", "p", "q"}
    assert set(loaded(text, services=("q",)).stack.services) == {"a", "q"}
    assert set(loaded(text, profiles=("*",)).stack.services) == {"a", "p", "q"}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("scale: 3", True),
        ("deploy: {replicas: 2}", True),
        ("depends_on: [b]", True),
        ("environment: {A: 1}", False),
        ("volumes: ['data:/x']", False),
        ("hostname: h", False),
    ],
)
def test_the_hash_changes_exactly_when_the_container_would(loaded: Load, change: str, same: bool) -> None:
    """Scaling and reordering replace nothing."""
    before = service(loaded, "command: x").config_hash
    assert (service(loaded, f"command: x, {change}").config_hash == before) is same


def test_the_hash_knows_what_a_service_uses(loaded: Load) -> None:
    """Another subnet is another container; another order of keys is not."""
    text = "services: {a: {rootfs: host, user: u, command: x, networks: [n]}}\nnetworks: {n: {internal: %s}}"
    first, second = (loaded(text % value).stack.services["a"].config_hash for value in ("true", "false"))
    swapped = loaded((text % "true").replace("user: u, command: x", "command: x, user: u"))
    assert first != second
    assert swapped.stack.services["a"].config_hash == first
