"""Which subnet a network gets."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.errors import OrchestraError
from orchestra.plan.addresses import allocate
from orchestra.plan.subnets import choose_subnet, choose_uplink, gateway_of, overlap
from orchestra.stack.model import Join

NEAR = st.builds(
    lambda second, third, prefix: str(ipaddress.ip_network(f"10.{second}.{third}.0/{prefix}", strict=False)),
    st.integers(213, 223),
    st.integers(0, 255),
    st.integers(14, 32),
)
ANYWHERE = st.ip_addresses(v=4).flatmap(
    lambda ip: st.integers(1, 32).map(lambda p: str(ipaddress.ip_network(f"{ip}/{p}", strict=False)))
)
PAIRS = st.integers(0, 8191).map(lambda n: f"{ipaddress.ip_address('169.254.128.0') + 2 * n}/31")
WANTED = st.integers(0, 1 << 20)


@settings(deadline=None)
@given(st.lists(NEAR | ANYWHERE, max_size=12), WANTED)
def test_a_chosen_subnet_overlaps_nothing_that_is_taken(taken: list[str], wanted: int) -> None:
    """And is one of the pool's /24s, the same one each time it is asked for."""
    try:
        chosen = choose_subnet(taken, wanted)
    except OrchestraError:
        pool = [ipaddress.ip_network(f"10.{n}.0.0/16") for n in range(213, 224)]
        blocks = [block for network in pool for block in network.subnets(new_prefix=24)]
        assert all(any(b.overlaps(ipaddress.ip_network(t)) for t in taken) for b in blocks)
        return
    network = ipaddress.ip_network(chosen)
    assert network.prefixlen == 24
    assert 213 <= network.network_address.packed[1] <= 223
    assert not any(network.overlaps(ipaddress.ip_network(other)) for other in taken)
    assert chosen == choose_subnet(list(reversed(taken)), wanted)


@settings(deadline=None)
@given(st.lists(PAIRS | ANYWHERE, max_size=12), WANTED)
def test_a_chosen_uplink_overlaps_nothing_that_is_taken(taken: list[str], wanted: int) -> None:
    """Two addresses of one /31, never among those where clouds answer."""
    try:
        host, router = choose_uplink(taken, wanted)
    except OrchestraError:
        return
    network = ipaddress.ip_network(f"{host}/31")
    assert [str(ip) for ip in network] == [host, router]
    assert network.subnet_of(ipaddress.ip_network("169.254.128.0/18"))
    assert not network.overlaps(ipaddress.ip_network("169.254.169.0/24"))
    assert not any(network.overlaps(ipaddress.ip_network(other)) for other in taken)


@settings(deadline=None)
@given(ANYWHERE, ANYWHERE | NEAR)
def test_overlap_is_what_ipaddress_calls_it(one: str, other: str) -> None:
    """The standard library is the other opinion."""
    assert overlap(one, other) == ipaddress.ip_network(one).overlaps(ipaddress.ip_network(other))


def test_subnets_are_given_one_after_the_other() -> None:
    """The first is the pool's first; what is taken is passed over; after a /16 comes the next."""
    assert choose_subnet([]) == "10.213.0.0/24"
    assert choose_subnet(["10.213.0.0/24", "10.213.1.7"]) == "10.213.2.0/24"
    assert choose_subnet(["10.213.0.0/16"]) == "10.214.0.0/24"
    assert choose_subnet([], wanted=5) == "10.213.5.0/24"


def test_a_full_pool_says_so() -> None:
    """With the way out."""
    with pytest.raises(OrchestraError) as refused:
        choose_subnet(["10.0.0.0/8"])
    assert "ipam" in (refused.value.hint or "")
    with pytest.raises(OrchestraError):
        choose_uplink(["169.254.0.0/16"])


def test_the_gateway_is_the_first_host_of_a_subnet() -> None:
    """The network's own address is nobody's."""
    assert gateway_of("10.213.4.0/24") == "10.213.4.1"


@pytest.mark.parametrize("asked", ["10.1.0.0", "10.1.0.255", "10.1.0.1", "10.1.1.7"])
def test_an_address_that_no_container_can_have_is_refused(asked: str) -> None:
    """The subnet's own, broadcast, the gateway's, one from elsewhere."""
    with pytest.raises(OrchestraError, match=asked):
        allocate("10.1.0.0/24", "10.1.0.1", {}, {"a": Join("n", ipv4_address=asked)})


def test_an_address_is_kept_while_the_network_has_it():
    """A container that goes to another subnet, or whose address is the gateway's now, gets another one."""
    joins = {"a": Join("n"), "b": Join("n")}
    held = {"a": "10.1.0.5", "b": "10.1.0.2"}
    assert allocate("10.1.0.0/24", "10.1.0.1", held, joins) == held
    assert allocate("10.1.0.0/24", "10.1.0.5", held, joins) == {"a": "10.1.0.3", "b": "10.1.0.2"}
    assert allocate("10.2.0.0/24", "10.2.0.1", held, joins) == {"a": "10.2.0.2", "b": "10.2.0.3"}
