"""Where webhooks are not sent: into the network that the server itself stands in, under whatever name."""

from ipaddress import ip_address

import pytest

from application.webhook_networks import Networks, literal, networks

INSIDE = {
    "loopback": ("127.0.0.1", "127.8.9.10", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1"),
    "link-local, and with it the metadata of clouds": ("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0"),
    "metadata at other places": ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
    "CGNAT": ("100.64.0.1", "100.127.255.254"),
    "unique local": ("fc00::1", "fd12:3456::1"),
    "site-local": ("fec0::1",),
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),
    "multicast and broadcast": ("224.0.0.1", "239.1.1.1", "255.255.255.255", "ff02::1"),
    "reserved, documentation, benchmarks": ("240.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.7", "2001:db8::1"),
    "IPv4-mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:100.64.0.1"),
    "IPv4-compatible": ("::127.0.0.1", "::10.0.0.1"),
    "translated (NAT64)": ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    "tunnelled (6to4, Teredo)": ("2002:7f00:1::", "2002:a00:1::1", "2001:0:53aa:64c:0:0:80ff:fffe"),
}
OUTSIDE = ("8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")


def refused(known: Networks, address: str) -> bool:
    return known.refuse(ip_address(address.partition("%")[0]))


@pytest.mark.parametrize("kind", INSIDE)
def test_addresses_inside_are_refused(kind: str) -> None:
    assert [address for address in INSIDE[kind] if not refused(Networks(), address)] == []


def test_addresses_of_the_internet_are_not() -> None:
    assert [address for address in OUTSIDE if refused(Networks(), address)] == []


def test_the_operator_allows_networks_of_their_own() -> None:
    known = Networks(allowed=networks("10.1.0.0/16, fd00:1::/32,127.0.0.1"))
    allowed = ("10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "127.0.0.1")
    assert [address for address in allowed if refused(known, address)] == []
    for address in ("10.2.0.1", "127.0.0.2", "fd00:2::1", "169.254.169.254"):
        assert refused(known, address)


def test_the_operator_refuses_public_networks_of_their_own() -> None:
    known = Networks(refused=networks("198.51.99.0/24"), allowed=networks("198.51.99.0/24"))
    assert refused(known, "198.51.99.7")
    assert refused(known, "::ffff:198.51.99.7")
    assert not refused(known, "8.8.8.8")


def test_what_is_no_network_is_told() -> None:
    assert networks("") == networks(" , ") == ()
    for text in ("10.0.0.0/33", "everything", "10.0.0.0/8;127.0.0.1"):
        with pytest.raises(ValueError, match="does not appear"):
            networks(text)


def test_a_host_may_be_an_address() -> None:
    assert literal("127.0.0.1") == ip_address("127.0.0.1")
    assert literal("[::1]") == literal("::1") == ip_address("::1")
    assert literal("example.org") is None
