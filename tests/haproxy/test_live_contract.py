"""A real HAProxy keeps the contract."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.haproxy.contract import BalancerContract
from tests.haproxy.worlds import RealWorld


@pytest.mark.live
class TestHaproxyNode(BalancerContract):
    @pytest_asyncio.fixture
    async def world(self, real: RealWorld) -> RealWorld:
        return real
