"""From which address a request comes: the peer's, or, where that is a proxy of the operator's, the one it names."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from litestar.datastructures import Headers

from application.webhook_networks import Address, Network


def address_of(host: str | None, headers: Headers, proxies: Sequence[Network]) -> str | None:
    """`host`: of the peer. Of what X-Forwarded-For says, all its lines as one, the last that no trusted proxy of ours
    added is taken: what stands before it may be invented. None where the peer has no address (a Unix socket)."""
    peer = _parsed(host) if host else None
    if peer is None:
        return None
    lines: list[str] = headers.getall("x-forwarded-for", [])
    for text in ",".join(lines).split(",")[::-1] if lines else []:
        if not any(peer in network for network in proxies if network.version == peer.version):
            break
        further = _parsed(text.strip())
        if further is None:
            break
        peer = further
    return str(peer)


def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
