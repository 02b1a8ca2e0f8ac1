"""What `fairlead plan` says of caches, databases, buckets and secrets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.desired import Revision
from fairlead.core.differences import differences
from fairlead.core.resources.model import Bucket, Cache, Database, Resource
from tests.core.builders import a_release, a_revision, a_service, a_stack

STORE = Database(id="store", engine="postgres", name="shop", user="web")
SESSIONS = Cache(id="sessions", memory=64_000_000)
PHOTOS = Bucket(id="photos", name="photos")
OUTSIDE = Database(id="store", engine="postgres", url="postgres://u:hunter2@db/shop")


def with_data(*resources: Resource) -> Revision:
    return a_revision(a_stack(resources=resources))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((STORE, SESSIONS), (STORE, SESSIONS), []),
        ((STORE, SESSIONS), (SESSIONS, STORE), []),
        ((), (STORE, SESSIONS, PHOTOS), ["store: is new, postgres", "sessions: is new, redis", "photos: is new, s3"]),
        ((), (OUTSIDE,), ["store: is new, postgres, which exists already"]),
        ((PHOTOS, STORE), (STORE,), ["photos: is gone; its data stay"]),
        ((OUTSIDE,), (), ["store: is not used any more"]),
        ((SESSIONS,), (replace(SESSIONS, memory=128_000_000),), ["sessions: memory 64MB -> 128MB"]),
        ((SESSIONS,), (replace(SESSIONS, memory=None),), ["sessions: memory 64MB -> none"]),
        ((SESSIONS,), (replace(SESSIONS, memory=1 << 30),), ["sessions: memory 64MB -> 1GiB"]),
        (
            (SESSIONS,),
            (replace(SESSIONS, eviction="noeviction", persist=True),),
            ["sessions: eviction allkeys-lru -> noeviction", "sessions: persist false -> true"],
        ),
        ((STORE,), (replace(STORE, version="16"),), ["store: version none -> 16"]),
        (
            (STORE,),
            (replace(STORE, engine="mysql", name="shop2", user="app"),),
            ["store: engine postgres -> mysql", "store: name shop -> shop2", "store: user web -> app"],
        ),
        ((STORE,), (Cache(id="store"),), ["store: database -> cache"]),
        ((OUTSIDE,), (replace(OUTSIDE, url="postgres://u:hunter2@other/shop"),), ["store: its url changed"]),
        (
            (OUTSIDE,),
            (replace(OUTSIDE, engine="mysql", url="mysql://u:hunter2@other/shop"),),
            ["store: its url changed", "store: engine postgres -> mysql"],
        ),
        ((STORE,), (OUTSIDE,), ["store: one that exists already is used now; its data here stay"]),
        ((OUTSIDE,), (STORE,), ["store: runs here now"]),
    ],
)  # fmt: skip
def test_each_change_has_its_words_and_no_password(
    before: tuple[Resource, ...], after: tuple[Resource, ...], said: list[str]
) -> None:
    found = [str(change) for change in differences(with_data(*before), with_data(*after))]
    assert found == said
    assert "hunter2" not in "".join(found)


def test_a_first_up_names_them_behind_the_services() -> None:
    assert [str(change) for change in differences(None, with_data(STORE, PHOTOS))] == [
        "stack shop is new",
        "web: is new, 2 instances",
        "store: is new, postgres",
        "photos: is new, s3",
    ]


def test_another_value_of_a_secret_shows_as_a_new_release_with_its_reason() -> None:
    before = a_revision(a_stack(a_service(secrets={"KEY": 1}, external={"c": "redis://:hunter2@c"})))
    after = a_revision(a_stack(a_service(secrets={"KEY": 2}, external={"c": "redis://:hunter2@d"})))
    after = replace(after, releases={"web": a_release(number=2)})
    reasons = {"web": ("the secret KEY has another value", "the url of c differs")}
    (change,) = differences(before, after, reasons)
    assert str(change) == "web: release 1 -> 2"
    assert change.why == "the secret KEY has another value; the url of c differs"


def test_sizes_and_switches_of_services_are_said_as_the_file_says_them() -> None:
    before, after = (
        a_revision(a_stack(a_service(max_memory=size, enabled=on))) for size, on in ((None, True), (512 << 20, False))
    )
    assert [change.what for change in differences(before, after)] == [
        "health_check.enabled true -> false", "max_memory none -> 512MiB",
    ]  # fmt: skip
