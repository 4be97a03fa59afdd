"""Asking a node's HTTP endpoints, as a load balancer or a scraper does."""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Reply", "ask", "samples", "scrape"]


class Reply(NamedTuple):
    """What was answered."""

    code: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


def ask(url: str, path: str, method: str = "GET", accept: str = "") -> Reply:
    """One request, on a connection of its own."""
    where = urlsplit(url)
    assert where.hostname is not None
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    try:
        connection.request(method, path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(), dict(answer.getheaders()))
    finally:
        connection.close()


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, `node` left out, in the order of the labels' names."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "node")
            found[(sample.name, *labels)] = sample.value
    return found


def scrape(url: str) -> dict[tuple[str, ...], float]:
    """What a Prometheus server would read."""
    reply = ask(url, "/metrics")
    assert reply.code == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    return samples(reply.body.decode())
