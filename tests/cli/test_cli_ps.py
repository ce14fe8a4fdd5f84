"""`ps`, `why`, `port` and `ls`: what people and programs read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from fake_supervisor import FakeSupervisor, Request, Talk, row, status

from orchestra.cli import words
from orchestra.cli.listing import listing, publishers
from orchestra.cli.reach import BOOT_ID

NOW = 1180.0


def test_a_listing_has_dockers_columns():
    """Name, image, command, service, age, status and ports, padded by three."""
    port = {"host_ip": "", "host_port": 8080, "port": 80, "protocol": "tcp"}
    rows = [row("web", ports=[port]), row("cart", health="healthy", command="python -m cart --long-option")]
    assert listing(rows, NOW) == (
        "NAME           IMAGE     COMMAND                  SERVICE   CREATED         STATUS                   PORTS\n"
        'store-web-1    rootfs    "python -m web"          web       3 minutes ago   Up 3 minutes             '
        "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp\n"
        'store-cart-1   rootfs    "python -m cart --lo…"   cart      3 minutes ago   Up 3 minutes (healthy)   '
    )


def test_neighbouring_ports_are_a_range_and_what_has_ended_has_none():
    """DisplayablePorts of docker/cli; of a container that has ended docker shows no ports."""
    ports = [
        {"host_ip": "", "host_port": 9000 + number, "port": 80 + number, "protocol": "tcp"} for number in range(3)
    ]
    ports.append({"host_ip": "127.0.0.1", "host_port": 9003, "port": 83, "protocol": "tcp"})
    ports.append({"host_ip": "127.0.0.1", "host_port": 9004, "port": 84, "protocol": "udp"})
    assert words.ports(row("web", ports=ports)) == (
        "0.0.0.0:9000-9002->80-82/tcp, [::]:9000-9002->80-82/tcp, 127.0.0.1:9003->83/tcp, 127.0.0.1:9004->84/udp"
    )
    assert words.ports(row("web", ports=ports, state="exited")) == ""


def test_a_long_range_is_told_in_one_entry():
    """On IPv4 only; what follows it directly is one range with it."""
    ports = [
        {"host_ip": "", "host_port": 10000, "port": 20000, "protocol": "udp", "count": 10000},
        {"host_ip": "0.0.0.0", "host_port": 20000, "port": 30000, "protocol": "udp", "count": 1},
    ]
    assert words.ports(row("web", ports=ports)) == "0.0.0.0:10000-20000->20000-30000/udp"
    assert [one.get("Ports") for one in publishers(row("web", ports=ports))] == [10000, None]


def test_restarts_get_a_column_when_there_are_any():
    """The number of restarts, how the last run ended and when."""
    rows = [row("web", restarts=3, last_exit="killed by SIGKILL", ended=1178.0, exit_code=137), row("cart")]
    header, web, cart = listing(rows, NOW).splitlines()
    assert "RESTARTS" in header
    assert "3 (killed by SIGKILL, 2 seconds ago)" in web
    assert "(" not in cart.split("Up 3 minutes")[1]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "Up 3 minutes"),
        ({"health": "starting"}, "Up 3 minutes (health: starting)"),
        ({"health": "unhealthy"}, "Up 3 minutes (unhealthy)"),
        ({"state": "exited", "exit_code": 1, "ended": 880.0}, "Exited (1) 5 minutes ago"),
        ({"state": "restarting", "exit_code": 137, "ended": 1178.0}, "Restarting (137) 2 seconds ago"),
        ({"state": "dead", "exit_code": 3, "ended": 1120.0}, "Failed (3) About a minute ago"),
        ({"state": "exited", "ended": 1179.0}, "Exited (?) 1 second ago"),
        ({"state": "created", "started": None}, "Created"),
        ({"state": "waiting", "why": "waiting: cart is not healthy yet"}, "Waiting: cart is not healthy yet"),
        ({"state": "stopping"}, "Up 3 minutes (stopping)"),
    ],
)
def test_a_status_reads_as_dockers(fields, shown):
    """`docker ps` has the words; waiting and giving up are ours."""
    assert words.status(row("web", **fields), NOW) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.3, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (61, "About a minute"), (150, "2 minutes"),
        (3600, "About an hour"), (5 * 3600, "5 hours"), (3 * 86400, "3 days"), (20 * 86400, "2 weeks"),
        (100 * 86400, "3 months"), (900 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_ages_are_rounded_as_docker_does(seconds, shown):
    """HumanDuration of docker/go-units."""
    assert words.age(seconds) == shown


def test_ps_hides_what_has_ended_unless_asked(orchestra, places):
    """As docker compose: -a shows the rest; what was given up is never hidden."""
    rows = [row("cart"), row("init", state="exited", exit_code=0), row("web", state="dead", exit_code=1)]
    with FakeSupervisor(places, {"status": status(*rows)}):
        assert orchestra("ps", "-q", "store.yml").out.split() == ["store-cart-1", "store-web-1"]
        assert len(orchestra("ps", "-aq", "-f", "store.yml").out.split()) == 3
        assert orchestra("ps", "-p", "store", "--status", "exited", "--services").out == "init\n"
        assert orchestra("ps", "-p", "store", "--filter", "status=exited", "-q").out == "store-init-1\n"


def test_json_is_one_object_a_line_with_dockers_keys(orchestra, places):
    """`docker compose ps --format json` is what scripts know."""
    port = {"host_ip": "127.0.0.1", "host_port": 8080, "port": 80, "protocol": "tcp"}
    rows = [row("web", ports=[port], restarts=2, mounts=["store_db", "/srv/x"]), row("cart")]
    with FakeSupervisor(places, {"status": status(*rows)}):
        said = orchestra("-p", "store", "ps", "--format", "json").out
    assert '"State":"running"' in said  # people grep for it
    cart, web = map(json.loads, said.splitlines())
    assert (web["Mounts"], web["LocalVolumes"], web["Networks"]) == ("store_db,/srv/x", "1", "store_default")
    assert (cart["Service"], web["Service"], web["State"], web["Project"]) == ("cart", "web", "running", "store")
    assert web["Publishers"] == [
        {"URL": "127.0.0.1", "TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"},
    ]
    keys = (
        "Command CreatedAt ExitCode Health ID Image Labels LocalVolumes Mounts Name Names Networks Ports Project "
        "Publishers RunningFor Service Size State Status"
    )
    assert set(keys.split()) <= set(web)
    assert (web["Restarts"], web["ExitCode"]) == (2, 0)


def test_json_of_an_older_supervisor_lacks_only_what_that_does_not_tell(orchestra, places):
    """Which still runs after an upgrade: its rows have neither mounts nor names of networks."""
    old = {key: value for key, value in row("web").items() if key not in ("mounts", "networks")}
    with FakeSupervisor(places, {"status": status(old)}):
        told = json.loads(orchestra("-p", "store", "ps", "--format", "json").out)
    assert (told["Name"], told["Mounts"], told["Networks"]) == ("store-web-1", "", "")


def test_a_stack_that_does_not_run_has_an_empty_listing(orchestra):
    """Headers only, and no error."""
    ran = orchestra("ps", "store.yml")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.split() == ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]


def test_an_unknown_service_is_refused_with_the_known_ones(orchestra, places):
    """The nearest name is suggested."""
    with FakeSupervisor(places, {"status": status(row("cart"), row("web"))}):
        ran = orchestra("ps", "store.yml", "crt")
    assert ran.status == 1
    assert ran.err == "error: no such service: crt (did you mean 'cart'?)\ntry: one of: cart, web\n"


def test_why_gives_the_sentence_and_what_comes_next(orchestra, places):
    """For one service or for all; nothing comes next where all is well."""
    waits = {"service": "web", "kind": "waiting", "sentence": "web is waiting: cart is unhealthy since 14:02:10"}
    waits["next"] = {"text": "it starts once cart is ready", "at": None, "command": "orchestra why cart"}
    well = {"service": "cart", "kind": "ready", "sentence": "cart is healthy since 14:00:00", "next": {}}
    with FakeSupervisor(places, {"why": lambda _, talk: talk.done(causes=[waits, well])}):
        assert orchestra("why", "-p", "store", "web").out == (
            "web is waiting: cart is unhealthy since 14:02:10\n"
            "  next: it starts once cart is ready (or: orchestra why cart)\n"
        )
        assert orchestra("why", "-p", "store", "cart").out == "cart is healthy since 14:00:00\n"


def test_port_prints_where_a_port_is_reached(orchestra, places):
    """One address, also of a port within a long range; an error when nothing is published there."""
    port = {"host_ip": "", "host_port": 49153, "port": 80, "protocol": "tcp"}
    long = {"host_ip": "127.0.0.1", "host_port": 2000, "port": 1000, "protocol": "udp", "count": 500}
    with FakeSupervisor(places, {"status": status(row("web", ports=[port, long]))}):
        assert orchestra("port", "-p", "store", "web", "80").out == "0.0.0.0:49153\n"
        assert orchestra("port", "-p", "store", "web", "1499", "--protocol", "udp").out == "127.0.0.1:2499\n"
        assert orchestra("port", "store.yml", "web", "81").err.startswith("error: no port 81/tcp of web is published")
        said = orchestra("port", "store.yml", "web", "1500", "--protocol", "udp").err
        assert said.startswith("error: no port 1500/udp of web is published")


def test_ls_asks_every_supervisor_and_does_not_wait_for_a_silent_one(orchestra, home, monkeypatch):
    """Counts by state; a supervisor that says nothing is shown as such."""
    monkeypatch.setattr("orchestra.cli.ls.PATIENCE", 0.3)

    def silent(_: Request, __: Talk) -> None:
        return

    store = status(row("cart"), row("web"), row("init", state="exited", exit_code=0))
    with (
        FakeSupervisor(home.stack("store"), {"status": store}),
        FakeSupervisor(home.stack("forum"), {"status": silent}),
    ):
        assert orchestra("ls", "-q").out.split() == ["forum", "store"]
        said = orchestra("ls", "--format", "json").out
    assert said.startswith('[{"Name":"forum","Status":')  # as close as docker writes it
    forum, found = json.loads(said)
    counted = "exited(1), running(2)"
    files = "/srv/store/store.yml"
    assert found == {"Name": "store", "Status": counted, "ConfigFiles": files, "Uses": "", "UsedBy": ""}
    assert forum["Status"].startswith("?")


def test_ls_shows_containers_that_nobody_looks_after(orchestra, places):
    """Keeper and supervisor are gone, their records of this boot are there: the next command adopts them."""
    os.makedirs(places.children)
    shutil.copy(BOOT_ID, places.boot)
    assert orchestra("ls").out.splitlines()[1:] == []
    Path(f"{places.children}/store-cart-1.json").write_text("{}")
    (found,) = json.loads(orchestra("ls", "--format", "json").out)
    assert (found["Name"], found["Status"][0]) == ("store", "?")
    Path(places.boot).write_text("00000000-0000-4000-8000-000000000000\n")
    assert orchestra("ls", "-q").out == ""
