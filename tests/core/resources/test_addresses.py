"""What `${databases.ID.url}` and its kin stand for."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.resources.addresses import REGION, addresses_here, addresses_of_url, clients_need
from fairlead.core.resources.model import ATTRIBUTES, ATTRIBUTES_OF, SECTIONS, Bucket, Cache, Database, Resource
from fairlead.errors import UsageError

from .builders import PHOTOS, SESSIONS, STORE

MYSQL = Database(id="store", engine="mysql", name="shop", user="web_user")


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (
            SESSIONS,
            {"host": "127.0.0.1", "port": "18001", "user": "default", "password": "p w", "name": "0",
             "url": "redis://default:p%20w@127.0.0.1:18001/0"},
        ),
        (
            STORE,
            {"host": "127.0.0.1", "port": "18001", "user": "store", "password": "p w", "name": "store",
             "url": "postgresql://store:p%20w@127.0.0.1:18001/store"},
        ),
        (
            MYSQL,
            {"host": "127.0.0.1", "port": "18001", "user": "web_user", "password": "p w", "name": "shop",
             "url": "mysql://web_user:p%20w@127.0.0.1:18001/shop"},
        ),
        (
            PHOTOS,
            {"host": "127.0.0.1", "port": "18001", "user": "fairlead-photos", "password": "p w", "name": "photos",
             "endpoint": "http://127.0.0.1:18001", "region": REGION,
             "url": f"s3://fairlead-photos:p%20w@photos?region={REGION}&endpoint=http%3A%2F%2F127.0.0.1%3A18001"},
        ),
    ],
)  # fmt: skip
def test_one_that_runs_here(resource: Resource, said: dict[str, str]) -> None:
    found = addresses_here(resource, 18001, "p w")
    assert found == said
    assert set(found) == set(ATTRIBUTES_OF[SECTIONS[resource.kind]])


@given(st.sampled_from([SESSIONS, STORE, MYSQL, PHOTOS]), st.integers(1, 65535), st.text(min_size=1, max_size=20))
def test_the_url_holds_all_the_others_whatever_the_password_is(resource: Resource, port: int, password: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in password):
        return
    found = addresses_here(resource, port, password)
    parts = urlsplit(found["url"])
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (found["user"], password)
    told = addresses_of_url(resource, found["url"])
    assert {name: found[name] for name in told} == told
    assert set(ATTRIBUTES_OF[SECTIONS[resource.kind]]) - set(told) <= (
        {"host", "port"} if resource is PHOTOS else set()
    )
    if resource is PHOTOS:
        assert parse_qs(parts.query) == {"region": [found["region"]], "endpoint": [found["endpoint"]]}


CACHE, DATABASE, BUCKET = Cache(id="c"), Database(id="d", engine="mysql"), Bucket(id="b")


@pytest.mark.parametrize(
    ("resource", "url", "said"),
    [
        (CACHE, "redis://c", {"host": "c", "port": "6379", "user": "default", "name": "0"}),
        (CACHE, "rediss://me:a%2Fb@c:7/3", {"host": "c", "port": "7", "user": "me", "password": "a/b", "name": "3"}),
        (CACHE, "redis://:pw@[::1]:7", {"host": "::1", "port": "7", "user": "default", "password": "pw", "name": "0"}),
        (DATABASE, "mysql://db", {"host": "db", "port": "3306"}),
        (DATABASE, "mariadb+x://u@db/shop", {"host": "db", "port": "3306", "user": "u", "name": "shop"}),
        (DATABASE, "postgresql+psycopg://u:p@db:6432/a%20b?sslmode=require",
         {"host": "db", "port": "6432", "user": "u", "password": "p", "name": "a b"}),
        (DATABASE, "postgres://u:@db/d", {"host": "db", "port": "5432", "user": "u", "password": "", "name": "d"}),
        (BUCKET, "s3://b", {"name": "b"}),
        (BUCKET, "s3://K:s%2Fe@b?region=r&endpoint=http%3A%2F%2Fh%3A9", {"name": "b", "user": "K", "password": "s/e", "region": "r",
         "endpoint": "http://h:9"}),
        (BUCKET, "s3://b?endpoint=https://h:9/x", {"name": "b", "endpoint": "https://h:9/x"}),
    ],
)  # fmt: skip
def test_one_that_exists_already_tells_what_its_url_says(resource: Resource, url: str, said: dict[str, str]) -> None:
    assert addresses_of_url(resource, url) == {**said, "url": url}


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@db:port/d", "mysql://u:hunter2@db:99999/d", "mysql://u:hunter2@[db/d"]
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        addresses_of_url(DATABASE, url)
    assert "the url of d cannot be read" in str(raised.value)
    assert "hunter2" not in f"{raised.value} {raised.value.detail}"


@given(st.sampled_from([CACHE, DATABASE, BUCKET]), st.text(max_size=40))
def test_any_text_gives_known_attributes_or_a_refusal(resource: Any, text: str) -> None:
    try:
        found = addresses_of_url(resource, text)
    except UsageError:
        return
    assert set(found) <= set(ATTRIBUTES)
    assert found["url"] == text


def test_programs_that_use_a_bucket_get_what_its_clients_need() -> None:
    needed = {"AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
    assert clients_need(["x", "at ${buckets.b.endpoint}"]) == needed
    assert clients_need(["${databases.d.url}", "${caches.c.url}", "buckets.b.url"]) == {}
