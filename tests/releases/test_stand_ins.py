"""What references stand for while an app is only looked at."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from fairlead.core.interpolation import interpolate_launch
from fairlead.core.resources.model import Bucket, Cache, Database, Resource
from fairlead.releases.stand_ins import STAND_IN, stand_ins

QUOTED = quote(STAND_IN, safe="")


@pytest.mark.parametrize(
    ("resource", "text", "said"),
    [
        (Cache(id="c"), "${caches.c.url}", f"redis://default:{QUOTED}@127.0.0.1:1/0"),
        (Database(id="d", engine="mysql", name="n", user="u"), "${databases.d.url}", f"mysql://u:{QUOTED}@127.0.0.1:1/n"),
        (Bucket(id="b", name="b"), "${buckets.b.endpoint}/${buckets.b.name}", "http://127.0.0.1:1/b"),
        # One that exists already and holds no secret is itself; else nobody is asked with a wrong password.
        (Cache(id="c", url="rediss://:pw@h:7"), "${caches.c.host} ${caches.c.port}", "h 7"),
        (Cache(id="c", url="redis://:${secrets.P}@h:7"), "${caches.c.host} ${caches.c.port}", "127.0.0.1 1"),
        (Database(id="d", engine="postgres", url="${secrets.U}"), "${databases.d.url}", f"postgresql://user:{QUOTED}@127.0.0.1:1/name"),
        (Database(id="d", engine="postgres", url="${secrets.U}"), "${databases.d.name} ${secrets.OTHER}", f"name {STAND_IN}"),
    ],
)  # fmt: skip
def test_they_are_shaped_like_the_real_ones(resource: Resource, text: str, said: str) -> None:
    values = stand_ins([text], [resource])
    assert interpolate_launch(text, port=0, socket="", id="", zone="", values=values) == said


def test_texts_without_references_need_none() -> None:
    assert stand_ins(["x", "${instance.port} ${env.A}"], []) == {}


def test_a_key_of_32_bytes_can_be_made_of_a_secret() -> None:
    assert len(base64.urlsafe_b64decode(STAND_IN)) == 32
