"""Holocron for asyncio: `Node` with `await`, `async with` and `async for`.

    from holocron import aio

    async with aio.Node.start("s3://bucket/leader") as node:
        async with node.lead(timeout=60) as lease:
            await work(fence=lease.token)      # cancelled when the lease is lost; LeadershipLost comes out

Renewals stay on the runtime's own thread, so an event loop that is busy or blocked cannot lose a lease.
"""

from __future__ import annotations

from holocron.runtime.aio import Events, Journal, Node, Starting, host

__all__ = ["Events", "Journal", "Node", "Starting", "host"]
