"""What requests cost."""

from __future__ import annotations

import pytest

from holocron import S3_STANDARD, estimate
from holocron_cli.simulate.cost import cost_usd, per_month, show_usd
from tests.cli.program import holocron


def test_requests_cost_what_the_list_says() -> None:
    """PUT and LIST cost alike, GET a twelfth of it, DELETE nothing; the unknown counts as the dearest."""
    assert cost_usd({"PUT": 1000, "LIST": 1000, "GET": 1000, "DELETE": 1000}) == pytest.approx(0.0104)
    assert cost_usd({"COPY": 1000}) == pytest.approx(0.005)
    assert cost_usd({}) == 0


def test_a_month_is_the_budget_times_its_rounds() -> None:
    """Three nodes with a ttl of 10 s: the budget of design section 10, over thirty days (I14)."""
    month = per_month(3, 10.0)
    rounds, beats = 777_600, 259_200
    assert month["PUT"] == pytest.approx(rounds + 3 * beats)
    assert month["GET"] == pytest.approx(5 * rounds)
    assert month["LIST"] == pytest.approx(beats)
    assert 10 < cost_usd(month) < 12


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0.0, "$0.00"), (10.63, "$10.63"), (1234.5, "$1,234.50"), (0.00213, "$0.0021"), (0.05, "$0.050")],
)
def test_an_amount_is_shown_with_digits_that_count(amount: float, shown: str) -> None:
    """Even a tenth of a cent is more than "$0.00"."""
    assert show_usd(amount) == shown


def test_cost_is_the_librarys_estimate() -> None:
    """`holocron cost` needs no store: it says the parts, the sum, and by whose list and of when the prices are."""
    done = holocron("cost", "--nodes", "50", "--ttl", "10s", "--appends-per-second", "0.5", "-o", "json")
    assert done.code == 0
    month = estimate(50, appends_per_second=0.5)
    assert done.json["requests"] == {verb: round(count) for verb, count in month.requests.items()}
    assert set(done.json["parts"]) == {"renewals", "following", "presence", "retention", "journal"}
    assert done.json["usd"] == pytest.approx(S3_STANDARD.of(month.requests), abs=0.001)
    assert done.json["prices"]["as_of"] == S3_STANDARD.as_of
    shown = holocron("cost", "--nodes", "50", "--appends-per-second", "0.5").out
    assert show_usd(S3_STANDARD.of(month.requests)) in shown
    assert "us-east-1" in shown
    assert S3_STANDARD.as_of in shown


@pytest.mark.parametrize(
    "flags", [("--nodes", "0"), ("--ttl", "0s"), ("--ttl", "soon"), ("--appends-per-second", "-1")]
)
def test_cost_refuses_nonsense(flags: tuple[str, str]) -> None:
    """One clear line and exit code 2."""
    done = holocron("cost", *flags)
    assert done.code == 2
    assert "Traceback" not in done.err
