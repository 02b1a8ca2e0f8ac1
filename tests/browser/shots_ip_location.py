"""The pictures of ip-location, with made-up answers of an ipstack that is none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ..examples.ipstack import KEY, Ipstack, place
from ..examples.site import Settings, create_app
from ..examples.valkey import Valkey
from .serving import serving
from .visit import Visit

CITY = "192.36.148.17"


async def shoot(visit: Visit, save: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        try:
            async with Ipstack() as ipstack:
                ipstack.says(CITY, place(CITY, country_code="SE", country_name="Sweden", region_name="Stockholm County", city="Stockholm", latitude=59.33, longitude=18.07))  # fmt: skip
                settings = Settings(cache_url=valkey.url, cache_timeout=5, key=KEY, url=ipstack.url, instance="web-3")
                async with serving(create_app(settings)) as site:
                    await visit(f"{site}/?ip={CITY}")
                    # Some seconds later, so that the picture has an age to show.
                    found = await visit(f"{site}/?ip={CITY}", width=860, height=400, device_scale_factor=1.5)
                    await found.wait_for_timeout(4000)
                    await found.reload()
                    await save(found, "found")
                    await save(await _phone(visit, f"{site}/?ip=192.168.1.20"), "private")
                    await save(await _phone(visit, f"{site}/?ip={CITY}", dark=True), "dark")
                    valkey.kill()
                    await save(await _phone(visit, f"{site}/?ip={CITY}"), "cache-down")
                valkey.start()
                async with serving(create_app(Settings(cache_url=settings.cache_url, instance="web-1"))) as site:
                    await save(await _phone(visit, f"{site}/?ip=143.107.0.1"), "bundled")
        finally:
            valkey.stop()


async def _phone(visit: Visit, url: str, *, dark: bool = False) -> Any:
    return await visit(url, width=390, height=400, device_scale_factor=1.5, dark=dark)
