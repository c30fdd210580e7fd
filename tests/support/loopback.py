# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of this machine for tests that run beside each other: each process has a network in 127/8 of its own.

Connections that go out take their ports at 127.0.0.1. A port in another network that was free stays
free until it is opened by whoever was told of it.
"""

from __future__ import annotations

import os
import socket
from typing import Final

import httpx

# A client of its own for each question would read the machine's certificates each time: 50 ms.
HTTP: Final = httpx.Client(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
# As many networks as there may be processes at work; another with the same has ports of its own.
_PARTS: Final = 250
_HIGH, _LOW = divmod(os.getpid() % _PARTS**2, _PARTS)
# All machines of this network are this one.
NETWORK: Final = f"127.{1 + _LOW}.{1 + _HIGH}"


def host(number: int = 1) -> str:
    """Return the address of one of the machines that this one stands for, 1 to 254."""
    return f"{NETWORK}.{number}"


def free_address(number: int = 1) -> str:
    """Return HOST:PORT of such a machine, whose port is free."""
    return free_addresses(1, number)[0]


def free_addresses(count: int, number: int = 1) -> list[str]:
    """Return so many of them, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host(number), 0))
        return [f"{host(number)}:{probe.getsockname()[1]}" for probe in probes]
    finally:
        for probe in probes:
            probe.close()
