"""The page that Prometheus reads, read by its own parser."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from orchestra.plan.exposition import exposition
from orchestra.wire.history import Usage


def row(service: str, replica: int = 1, **more: Any) -> dict[str, Any]:
    name = f"shop-{service}-{replica}"
    base = {"name": name, "service": service, "oneoff": False, "state": "running", "health": "", "restarts": 0}
    return {**base, "started": 1000.5, "exit_code": None, **more}


def usage(service: str, **more: Any) -> Usage:
    its: dict[str, Any] = dict.fromkeys(Usage.__annotations__)
    traffic = {"network": "default", "interface": "eth0", "received_bytes": 7, "received_packets": 1}
    traffic |= {"received_dropped": 0, "sent_bytes": 9, "sent_packets": 2, "sent_dropped": 3}
    its |= {"service": service, "container": f"shop-{service}-1", "oom_kills": 0, "networks": [traffic], **more}
    return its  # type: ignore[return-value]


def read(*rows: dict[str, Any], uses: tuple[Usage, ...] = ()) -> dict[str, list[tuple[dict[str, str], float]]]:
    status: Any = {"stack": "shop", "rows": list(rows)}
    page = exposition([(status, uses)], "1.2.3")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(page):
        assert family.documentation
        assert family.type in ("counter", "gauge")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_the_page_is_what_prometheus_reads():
    """Heads, base units, labels; what nobody counts has no line."""
    found = read(
        row("cart", health="healthy", restarts=3, oom_kills=1),
        row("cart", 2, health="unhealthy", oom_kills=5),
        row("job", state="exited", exit_code=0),
        uses=(usage("cart", oom_kills=2, cpu=1.25, working_set=4096, pressure_io=12.5),),
    )
    cart = {"stack": "shop", "service": "cart", "container": "shop-cart-1"}
    assert found["orchestra_build_info"] == [({"version": "1.2.3"}, 1.0)]
    assert found["orchestra_container_cpu_seconds_total"] == [(cart, 1.25)]
    assert found["orchestra_container_memory_working_set_bytes"] == [(cart, 4096.0)]
    assert "orchestra_container_memory_limit_bytes" not in found
    assert found["orchestra_container_pressure_ratio"] == [({**cart, "resource": "io"}, 0.125)]
    assert ({**cart}, 3.0) in found["orchestra_container_restarts_total"]
    eth0 = {**cart, "network": "default", "interface": "eth0"}
    assert found["orchestra_container_network_receive_bytes_total"] == [(eth0, 7.0)]
    assert found["orchestra_container_network_transmit_packets_dropped_total"] == [(eth0, 3.0)]
    assert [value for _, value in found["orchestra_container_oom_kills_total"]] == [2.0, 5.0, 0.0]
    health = {labels["service"]: value for labels, value in found["orchestra_service_healthy"]}
    assert health == {"cart": 0.0, "job": 1.0}
    assert found["orchestra_service_ready_replicas"][0][1] == 1.0
    states = {labels["state"]: value for labels, value in found["orchestra_stack_containers"]}
    assert (states["running"], states["exited"], states["dead"]) == (2.0, 1.0, 0.0)


def test_labels_are_escaped():
    """Quotes, backslashes and newlines come back as they were."""
    odd = 'a"b\\c\nd'
    found = read(row("x", name=odd))
    assert found["orchestra_container_restarts_total"][0][0]["container"] == odd


def test_an_empty_page_is_a_page():
    """No stack runs: the build is told all the same."""
    assert exposition([], "1").count("\n") == 3
