"""The pictures of photos: the samples of its tests, uploaded to an album of two instances."""

from __future__ import annotations

from typing import Any

from ..examples.photos import pictures
from ..examples.photos.ground import cleared, ground_of, migrate
from ..examples.photos.serving import serving
from .visit import Visit


async def shoot(visit: Visit, save: Any) -> None:
    with ground_of("postgres") as ground:
        instances = [ground.instance("web-1"), ground.instance("web-2", FAIRLEAD_ZONE="b")]
        migrate(instances[0].album.catalogue.engine)
        cleared(instances[0])
        stored = {}
        for number, (title, draw) in enumerate(pictures.SAMPLES.items()):
            stored[title] = instances[number % 2].visitor().upload(pictures.jpeg(draw()), title=title)
        with serving(instances[1].app) as site:
            await save(await _shown(visit, site, width=1000, height=400), "gallery.jpg")
            await save(
                await _shown(visit, site + stored["Self-portrait"]["url"], width=900, height=560, dark=True),
                "photo.jpg",
            )
            await save(await _phone(visit, site), "phone.jpg")
            ground.database.cut()
            await save(await _phone(visit, site, expect=503), "database-down")
        ground.tidy()


async def _shown(visit: Visit, url: str, **how: Any) -> Any:
    page = await visit(url, **how)
    await page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    return page


async def _phone(visit: Visit, url: str, **how: Any) -> Any:
    return await _shown(visit, url, width=390, height=400, **how)
