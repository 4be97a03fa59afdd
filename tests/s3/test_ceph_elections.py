"""Elections on a real object store, Ceph's gateway."""

from __future__ import annotations

import pytest

from tests.s3.ceph import Ceph
from tests.s3.elections import ElectionSuite

pytestmark = [pytest.mark.ceph, pytest.mark.usefixtures("aws")]


class TestElections(ElectionSuite):
    """The suite on Ceph's gateway: unquoted If-Match, losers told 500, and all."""

    @pytest.fixture
    def endpoint(self, ceph: Ceph) -> str:
        return ceph.url
