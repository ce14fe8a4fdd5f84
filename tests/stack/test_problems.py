"""What a person reads when a stack file is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestra.stack.problems import similar, spell

Wrong = Callable[..., list[str]]


def test_five_mistakes_are_five_lines_in_one_go(wrong: Wrong) -> None:
    """Sorted by place, from the schema and from the meaning alike."""
    text = """\
services:
  api:
    rootfs: host
    ports: ["80x", "8080:80"]
    comand: x
    user: 1000
    restart: sometimes
    networks: [frnt]
networks:
  front:
"""
    assert wrong(text) == [
        "stack.yml:4:13: services.api.ports[0]: '80x' is not a port (expected a number from 1 to 65535; "
        'write it like "8080:80", "127.0.0.1:8080:80" or "9000-9003:9000-9003/udp")',
        "stack.yml:5:5: services.api.comand: unknown key 'comand' (did you mean 'command'?)",
        "stack.yml:6:11: services.api.user: the number 1000 is not allowed here "
        '(expected a user like "1000", "1000:1000" or "www-data"; write it in quotes)',
        "stack.yml:7:14: services.api.restart: 'sometimes' is no restart policy "
        "(expected no, always, on-failure[:N] or unless-stopped)",
        "stack.yml:8:16: services.api.networks.frnt: there is no network 'frnt' in networks: (did you mean 'front'?)",
    ]


def test_a_cycle_is_told_as_the_path_that_it_is(wrong: Wrong) -> None:
    """So that one sees at once which edge to cut."""
    text = """\
services:
  db: {rootfs: host, depends_on: [cache]}
  cache: {rootfs: host, depends_on: [api]}
  api: {rootfs: host, network_mode: "service:db"}
"""
    (line,) = wrong(text)
    assert line.endswith("db waits for cache, cache waits for api, api waits for db: nothing can start first")


OF_A_FILE = "ipam: {config: [{subnet: 10.0.0.0/24}]}"
CASES = {
    "image: x": "images are not supported yet (say rootfs: host",
    "build: .": "build is not supported yet",
    "devices: [/dev/null]": "devices are not supported yet",
    "runtime: runsc": "runtime is not supported yet",
    "network_mode: bridge": "network_mode 'bridge' is not supported yet",
    "network_mode: container:x": "network_mode 'container:x' is not supported yet",
    "network_mode: bridged": "is not a network mode",
    "network_mode: service:nobody": "there is no service 'nobody'",
    "links: [plain:alias]": "use aliases below networks",
    "depends_on: [api]": "cannot wait for itself",
    "depends_on: [web]": "there is no service 'web'",
    "depends_on: {off: {condition: service_started}}": "off is off: none of its profiles is active",
    "depends_on: {plain: {condition: service_healthy}}": "plain has no healthcheck",
    "volumes: [data:/data]": "there is no volume 'data' in volumes:",
    "volumes: [data]": "is not an absolute path inside of the container",
    "volumes: [./a:/]": "nothing can be mounted over /",
    "volumes: [./a:/proc/sys]": "nothing can be mounted over /proc/sys",
    "tmpfs: /proc": "nothing can be mounted over /proc",
    "tmpfs: ['/a:uid=root']": "'uid=root' is no number",
    "tmpfs: ['/a:suid']": "tmpfs option 'suid' is not known",
    "volumes: ['./a:/a:rshared']": "propagation rshared is not supported: what is mounted inside stays inside",
    "volumes: [{type: image, source: a, target: /a}]": "mounts of type image are not supported yet",
    "volumes: [{type: bind, target: /a}]": "source is missing",
    "volumes: [{type: tmpfs, target: /a, tmpfs: {size: big}}]": "'big' is not a size",
    "secrets: [s]": "there is no secret 's'",
    "configs: [s]": "there is no config 's'",
    "ports: ['70000:80']": "port 70000 is out of range",
    "ports: ['0-2:3-5']": "port 0 is out of range",
    "ports: ['80:0']": "port 0 is out of range",
    "ports: ['1-200']": "'1-200' is 200 ports without host ports (expected 100 at most)",
    "ports: ['[::1]:1-200:1-200']": "is 200 ports on IPv6 (expected 100 at most there, or an IPv4 address)",
    "ports: ['1-2:3-5']": "pairs ranges of different length",
    "ports: ['host:1:2']": "'host' is not an IP address",
    "ports: ['1:2/icmp']": "'icmp' is not a protocol",
    "ports: ['1:2/sctp']": "sctp is not supported yet",
    "healthcheck: {test: [curl]}": "the list does not start with CMD, CMD-SHELL or NONE",
    "healthcheck: {interval: 5}": "expected a duration like 30s",
    "healthcheck: {interval: 5s}": "nothing to check with",
    "healthcheck: {http: 'https://x', tcp: 5}": "is not an address to ask",
    "healthcheck: {test: x, tcp: 5}": "exclude each other",
    "healthcheck: {tcp: 'a b:5'}": "is not a port (write it like 8080",
    "mem_limit: 1Gi": "is not a size",
    "cpus: -1": "is not a positive number",
    "stop_signal: SIGFOO": "is no signal",
    "stop_grace_period: 90": "expected a duration",
    "dns: [1.1.1.1, resolver]": "'resolver' is not an IP address",
    "cap_add: [NET_ADMNI]": "did you mean 'NET_ADMIN'?",
    "security_opt: [foo=bar]": "'foo=bar' is not known",
    "working_dir: rel": "is not an absolute path",
    "logging: {driver: syslog}": "log driver 'syslog' is not supported yet",
    "logging: {options: {max-size: much}}": "is not a size",
    "privileged: perhaps": "is neither true nor false",
    "scale: -1": "out of range",
    "{scale: 2, container_name: cc}": "a fixed name is for one container, but 2 are asked for",
    'hostname: "a\\nb"': "is not a hostname",
    f"hostname: {'h' * 65}": "expected at most 64 letters",
    f"container_name: {'c' * 201}": "a name of 201 characters (expected 200 at most)",
    "{scale: 2, deploy: {replicas: 3}}": "2 and deploy.replicas 3 differ",
    "{cpus: 1, deploy: {resources: {limits: {cpus: 2}}}}": "deploy.resources.limits.cpus 2 differ",
    "deploy: {rollback_config: {parallelism: 2}}": "supported with update_config: {order: start-first} only",
    "deploy: {update_config: {order: start-first}, rollback_config: {order: stop-first}}": "serves goes on until",
    "deploy: {update_config: {order: start-first}, rollback_config: {failure_action: undo}}": "one of pause, cont",
    "deploy: {update_config: {order: first-start}}": "is not one of",
    "deploy: {update_config: {failure_action: rollback}}": "rollback is supported with order: start-first only",
    "deploy: {update_config: {drain: 5s}}": "drain is supported with order: start-first only",
    "deploy: {update_config: {order: start-first, drain: 5}}": "expected a duration",
    "deploy: {update_config: {order: start-first, failure_action: undo}}": "is not one of rollback, pause, continue",
    "deploy: {update_config: {order: start-first, max_failure_ratio: 2}}": "is no ratio",
    "deploy: {resources: {limits: {network: {ingress: 10mbps}}}}": "write it like 10mbit",
    "deploy: {resources: {limits: {network: {egress: 1kbit}}}}": "expected 64kbit to 34gbit",
    "{network_mode: host, deploy: {resources: {limits: {network: {egress: 1mbit}}}}}": "the machine's own network",
    "{network_mode: 'service:plain', deploy: {resources: {limits: {network: {egress: 1mbit}}}}}": "network of plain",
    "{cpus: 1, cpu_quota: 50000}": "exclude each other",
    "cpu_period: 10": "expected 1000 to 1000000",
    "cpu_shares: 1": "expected 2 to 262144",
    "mem_limit: 1m": "is too little",
    "memswap_limit: 1g": "it needs mem_limit",
    "{mem_limit: 1g, memswap_limit: 512m}": "is below mem_limit",
    "{mem_limit: 1g, mem_reservation: 2g}": "is above mem_limit",
    "cpuset: two": "is not a list of processors",
    "blkio_config: {weight: 5}": "expected from 10 to 1000",
    "blkio_config: {device_read_bps: [{rate: 1mb}]}": "which device?",
    "blkio_config: {device_read_bps: [{path: /dev/sda, rate: fast}]}": "is not a size",
    "{network_mode: host, networks: [default]}": "exclude each other",
    "{network_mode: none, ports: ['80:80']}": "nothing can be published",
    "environment: {A: [1]}": "expected a single value",
    "restart:": "an empty value is not allowed here",
    "ulimits: {nofile: {soft: 5, hard: 1}}": "soft limit 5 is above the hard limit 1",
    "ulimits: {nofil: 3}": "did you mean 'nofile'?",
    "sysctls: {vm.swappiness: 3}": "does not belong to a container",
    "sysctls: [kernel.hostname=x]": "does not belong to a container",
    "sysctls: [kernel.shmax=1]": "did you mean 'kernel.shmmax'?",
    "sysctls: {fs.mqueue.none: 1}": "does not belong to a container",
    "sysctls: {net/ipv4/ip_forward: 1}": "does not belong to a container",
    "sysctls: {net...kernel: 1}": "does not belong to a container",
    "{network_mode: none, sysctls: {kernel.sem: 1, vm.x: 2}}": "vm.x does not belong",
    "{network_mode: host, sysctls: {net.ipv4.ip_forward: 1, kernel.shmmni: 5}}": "is this machine's",
    "{network_mode: 'service:plain', sysctls: {net.ipv4.ip_forward: 1, kernel.shmmni: 5}}": "is that of plain",
    "extra_hosts: ['a']": "is not NAME=ADDRESS",
    "extra_hosts: ['a=b']": "is not an address",
    "tmpfs: [/a:size=x]": "is not a size",
    "tmpfs: [/a:size=101%]": "is not a size",
    "env_file: nowhere.env": "does not exist",
    "networks: {default: {ipv4_address: 1.2.3}}": "is not an IPv4 address",
    "{networks: {default: {ipv4_address: 10.0.0.5}}}": "has no subnet of its own",
    "environment: {'': x}": "a key cannot be empty",
    "environment: {'A=B': x}": "'A=B' is not a variable's name",
    "on_unhealthy: restart": "add a healthcheck",
    "on_unhealthy: reboot": "is not one of none, restart",
}


@pytest.mark.parametrize(("key", "words"), CASES.items(), ids=CASES)
def test_a_mistake_is_told_with_what_was_expected(wrong: Wrong, key: str, words: str) -> None:
    """One mistake, one line, with a place in the file."""
    body = key[1:-1] if key.startswith("{") else key
    text = (
        "services:\n  off: {rootfs: host, profiles: [p]}\n  plain: {rootfs: host}\n  api: {rootfs: host, "
        + body
        + "}\n"
    )
    if key.endswith(":"):
        text = text.replace(body, body + " ~")
    lines = wrong(text)
    assert words in "\n".join(lines)
    assert all(line.startswith("stack.yml:4:") or "nowhere" in line for line in lines)
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x-a: 1", "there is nothing to run"),
        ("services: {}", "there is nothing to run"),
        ("- a\n", "a stack file is a mapping"),
        ("", "the file is empty"),
        ("services: {a: {}}", "there is nothing to run from"),
        ("services: {a: }", "expected a mapping of a service's keys"),
        ("services: {a b: {rootfs: host}}", "'a b' is not a name"),
        ("serices: {}\nservices: {a: {rootfs: host}}", "did you mean 'services'?"),
        ("name: '!!!'\nservices: {a: {rootfs: host}}", "nothing that a project name is made of"),
        ("services: {a: {rootfs: host, command: '${X:?need it}'}}", "required variable X is not set: need it"),
        ("services: {a: {rootfs: host, secrets: [s]}}\nsecrets: {s: {external: true}}", "external secrets are not"),
        ("services: {a: {rootfs: host, secrets: [s]}}\nsecrets: {s: {environment: NO}}", "variable NO is not set"),
        ("services: {a: {rootfs: host, configs: [s]}}\nconfigs: {s: {file: a, content: b}}", "exactly one of"),
        ("services: {a: {rootfs: host}}\nnetworks: {default: {driver: macvlan}}", "'macvlan' is not supported yet"),
        ("services: {a: {rootfs: host}}\nnetworks: {default: {ipam: {config: [{subnet: x}]}}}", "is not a subnet"),
        ("services: {a: {rootfs: host}}\nnetworks: {default: {name: ../x}}", "is no name for a network"),
        ("services: {a: {rootfs: host, volumes: ['v:/v']}}\nvolumes: {v: {name: ../x}}", "is no name for a volume"),
        ("services: {a: {rootfs: host, volumes: [v1:/v]}}\nvolumes: {v1: {driver: nfs}}", "'nfs' is not supported"),
    ],
)
def test_mistakes_outside_of_services_are_told_as_well(wrong: Wrong, text: str, words: str) -> None:
    """The top level has its rules, too."""
    (line,) = wrong(text)
    assert words in line


def test_what_means_nothing_on_one_host_is_a_warning(loaded: Callable[..., object]) -> None:
    """Accepted, and said."""
    text = """\
version: "3"
services:
  a:
    rootfs: host
    deploy: {mode: global, placement: {constraints: [x]}}
    security_opt: [apparmor=unconfined]
    command: echo $NOWHERE && ls
    oom_kill_disable: true
    volumes: [".:/a:z", ".:/b:Z", "/:/rootfs:ro,rslave"]
  b: {rootfs: host, command: "true", volumes: [".:/a:ro,z"]}
"""
    found = loaded(text)
    warnings = "\n".join(found.warnings)  # type: ignore[attr-defined]
    for words in ("version is obsolete", "global means", "placement has no effect", "apparmor", "NOWHERE", "'&& ls'"):
        assert words in warnings
    assert "services.a.oom_kill_disable has no effect" in warnings
    assert warnings.count("SELinux") == 1  # of the machine, not of each mount
    assert "services.a.volumes[2]: propagation rslave has no effect" in warnings


@pytest.mark.parametrize(
    ("more", "warnings"),
    [
        ("", []),
        (", ipam: {config: [{subnet: 10.9.0.0/24}]}", ["networks.wide.ipam has no effect"]),
        (", driver: bridge", ["networks.wide.driver has no effect"]),
    ],
)
def test_only_what_the_file_says_of_an_external_network_is_a_warning(
    loaded: Callable[..., object], more: str, warnings: list[str]
) -> None:
    """What the model adds of its own is nobody's mistake."""
    text = f"services: {{a: {{rootfs: host, networks: [wide]}}}}\nnetworks: {{wide: {{external: true{more}}}}}\n"
    told = loaded(text).warnings  # type: ignore[attr-defined]
    assert [line.partition(":")[0] for line in told] == warnings


@pytest.mark.parametrize(("joined", "warned"), [("[in]", True), ("[in, out]", False), ("[in, own]", False)])
def test_a_resolver_that_is_never_asked_is_a_warning(
    loaded: Callable[..., object], joined: str, warned: bool
) -> None:
    """Who is in internal networks only has no way to it, unless it is in one of them."""
    text = f"services: {{a: {{rootfs: host, dns: 192.0.2.1, networks: {joined}}}}}\n"
    text += "networks: {in: {internal: true}, own: {internal: true, " + OF_A_FILE + "}, out: {}}\n"
    told = loaded(text).warnings  # type: ignore[attr-defined]
    assert list(told) == ["services.a.dns has no effect: none of its networks leads out"] * warned


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "a takes over as soon as it runs (add a healthcheck, or monitor)"),
        ("container_name: one", "a is replaced stop-first: its container_name one can be used once only"),
    ],
)
def test_start_first_that_comes_to_little_is_a_warning(loaded: Callable[..., object], more: str, words: str) -> None:
    """Where two at a time cannot be, or nothing tells when the new one is ready."""
    text = f"services:\n  a:\n    rootfs: host\n    deploy: {{update_config: {{order: start-first}}}}\n    {more}\n"
    (warning,) = loaded(text).warnings  # type: ignore[attr-defined]
    assert words in warning


def test_a_near_word_is_found_and_a_far_one_is_not() -> None:
    """Two letters that changed places are one mistake."""
    assert similar("prots", ["ports", "user"]) == "ports"
    assert similar("xyz", ["ports", "user"]) is None


def test_paths_are_spelled_as_people_write_them() -> None:
    """services.api.ports[0]."""
    assert spell(("services", "api", "ports", 0)) == "services.api.ports[0]"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("scale: 2, networks: {n: {ipv4_address: 10.0.0.7}}", "but 2 are asked for"),
        ("scale: 2, container_name: bb", "but 2 are asked for"),
        ("ports: ['80:80', '127.0.0.1:80:81']", "host port 80/tcp on 127.0.0.1 is published by b already"),
        ("ports: ['9000-9200:9000-9200/udp', '9100:9101/udp']", "published by b already"),
    ],
)
def test_what_a_service_cannot_have_whatever_else_runs_is_told_before_it_starts(
    wrong: Wrong, more: str, words: str
) -> None:
    """Host ports, names and addresses."""
    text = f"services:\n  a: {{rootfs: host}}\n  b: {{rootfs: host, {more}}}\n"
    text += "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.1}]}}}\n"
    (line,) = wrong(text)
    assert words in line
    assert line.startswith("stack.yml:3:")


NO_HOST = {
    "10.0.0.0": "10.0.0.0 is the address of the subnet 10.0.0.0/24 itself",
    "10.0.0.255": "10.0.0.255 is the broadcast address of 10.0.0.0/24",
    "10.0.0.1": "10.0.0.1 is the address of the gateway",
    "10.0.1.1": "10.0.1.1 is outside of 10.0.0.0/24",
    "127.0.0.1": "127.0.0.1 is outside of 10.0.0.0/24",
}


@pytest.mark.parametrize("network", [OF_A_FILE, "external: true"], ids=["own", "external"])
@pytest.mark.parametrize(("address", "words"), NO_HOST.items(), ids=NO_HOST)
def test_an_address_that_no_container_can_have_is_told(wrong: Wrong, network: str, address: str, words: str) -> None:
    """At its place in the file, also where the subnet is one that was made elsewhere."""
    text = f"services:\n  a:\n    rootfs: host\n    networks: {{n: {{ipv4_address: {address}}}}}\n"
    text += f"networks: {{n: {{{network}}}}}\n"
    subnets = {"n": ("10.0.0.0/24", "10.0.0.1")}
    (line,) = wrong(text, subnet_of=subnets.get)
    assert line == f"stack.yml:4:34: services.a.networks.n.ipv4_address: {words}"


def test_a_gateway_may_be_another_address(wrong: Wrong, loaded: Callable[..., object]) -> None:
    """Then the first one is free; the last one is nobody's."""
    text = "services: {a: {rootfs: host, networks: {n: {ipv4_address: 10.0.0.1}}}}\n"
    text += "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.254}]}}}\n"
    assert loaded(text)
    (line,) = wrong(text.replace(".254", ".255"))
    assert line.endswith("10.0.0.255 is an address that no host of 10.0.0.0/24 can have")


def test_a_volume_of_one_letter_is_a_volume(loaded: Callable[..., object]) -> None:
    """docker compose reads it as a drive of Windows, and mounts something else; so it is said."""
    found = loaded("services: {a: {rootfs: host, volumes: ['d:/data']}}\nvolumes: {d: }")
    assert found.stack.services["a"].mounts[0].source == "d"  # type: ignore[attr-defined]
    assert "for a drive" in found.warnings[0]  # type: ignore[attr-defined]


def test_naming_an_unknown_service_is_told(wrong: Wrong) -> None:
    """It is the request that is wrong, so no place in a file is named."""
    assert wrong("services: {web: {rootfs: host}}", services=("wbe",)) == [
        "there is no service 'wbe' (did you mean 'web'?)"
    ]


def test_a_bad_template_and_a_double_key_hide_nothing_else(wrong: Wrong) -> None:
    """What can be read past is read past."""
    text = """\
services:
  a:
    rootfs: host
    rootfs: host
    ports: ["${PORT:?say which}:80", "80x"]
    1: 2
    usr: x
"""
    lines = wrong(text)
    assert [line.partition(": ")[0] for line in lines] == [
        f"stack.yml:{place}" for place in ("4:5", "5:13", "5:38", "6:5", "7:5")
    ]
    assert "there twice" in lines[0]
    assert "PORT is not set: say which" in lines[1]
