"""Which addresses may be sent to: the internet's, and of one's own networks those that the operator names.

Whoever keeps webhooks names addresses, and the server stands where its operator's other machines do: without this it
would knock at them on anybody's behalf.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4_IN_V6 = tuple(ip_network(text) for text in ("::/96", "64:ff9b::/96"))
"""An IPv4 address stands in the last 32 bits: compatible ones, and what a NAT64 gateway translates."""

_OUR_OWN = tuple(
    ip_network(text)
    for text in (
        "100.64.0.0/10",  # of providers (CGNAT), and of clouds' metadata
        "192.0.0.0/24",  # of protocols, and of Oracle's metadata
        "168.63.129.16/32",  # Azure's own, though it looks public
        "64:ff9b:1::/48",  # local NAT64
        "fec0::/10",  # site-local, long deprecated
    )
)


class Networks(msgspec.Struct, frozen=True):
    """`allowed`: of one's own, what may be sent to, also without TLS. `refused`: what may not, though it is public."""

    allowed: Sequence[Network] = ()
    refused: Sequence[Network] = ()

    def allow_privately(self, address: Address) -> bool:
        return any(_within(one, self.allowed) for one in meant(address))

    def refuse(self, address: Address) -> bool:
        """Whether an address, or one that it stands for, is not to be sent to."""
        all_meant = meant(address)
        if any(_within(one, self.refused) for one in all_meant):
            return True
        return not self.allow_privately(address) and any(_is_private(one) for one in all_meant)


def meant(address: Address) -> list[Address]:
    """The address, and the IPv4 address that it carries, if it does."""
    if isinstance(address, IPv4Address):
        return [address]
    address = IPv6Address(address.packed)  # without a scope
    inner: IPv4Address | None = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and any(address in network for network in _V4_IN_V6):
        inner = IPv4Address(address.packed[-4:])
    return [address] if inner is None else [address, inner]


def _is_private(address: Address) -> bool:
    # What these carry is asked itself; whether they are public themselves, Pythons do not agree.
    carries = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour) is not None
    return (not carries and not address.is_global) or address.is_multicast or _within(address, _OUR_OWN)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def literal(host: str) -> Address | None:
    """The address that a URL's host is, where it is one."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def networks(text: str) -> tuple[Network, ...]:
    """Of a list with commas. Raises ValueError."""
    return tuple(ip_network(one.strip(), strict=False) for one in text.split(",") if one.strip())
