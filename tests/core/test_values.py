"""The small values: layout, launch, routing, differences, model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.desired import Revision
from fairlead.core.differences import differences
from fairlead.core.launch import SYSTEM_PATH, Surroundings, start_of, start_once
from fairlead.core.layout import LONGEST_NAME, SOCKET_LIMIT, layout_of
from fairlead.core.model import Command, Listener, forward_to
from fairlead.core.resources.decide import needs
from fairlead.core.resources.model import Bucket, Cache
from fairlead.core.routing import routing_of
from fairlead.errors import NotFound

from .builders import a_record, a_release, a_revision, a_service, a_stack, a_wish


def test_the_run_folder_lies_in_the_home_when_its_sockets_fit() -> None:
    assert layout_of("/var/lib/fairlead", 0).run == "/var/lib/fairlead/run"
    assert layout_of("/home/someone/.local/state/fairlead", 1000).run.endswith("/fairlead/run")


def test_a_long_home_gets_a_short_run_folder_of_its_own() -> None:
    long = layout_of("/home/" + "x" * 80, 1000)
    assert long.run.startswith("/tmp/fairlead-1000-")
    assert long.run != layout_of("/home/" + "y" * 80, 1000).run


@pytest.mark.parametrize("home", ["/h", "/home/" + "x" * 49, "/home/" + "x" * 200])
def test_every_socket_path_fits(home: str) -> None:
    layout = layout_of(home, 4294967294)
    longest = layout.instance_socket("s" * 32, "w" * 32 + "-1234567")
    assert len(longest) <= SOCKET_LIMIT
    assert len(layout.instance_run("s" * 32, "w" * 32 + "-1").rpartition("/")[2]) <= LONGEST_NAME


def test_long_names_keep_their_run_folders_apart() -> None:
    layout = layout_of("/h", 0)
    assert layout.instance_run("s" * 32, "web-1") != layout.instance_run("s" * 32, "web-2")


def test_a_listener_on_every_address_is_reached_on_loopback() -> None:
    assert Listener(port=80, default=forward_to("web"), address="0.0.0.0").url == "http://127.0.0.1"
    assert Listener(port=80, default=forward_to("web"), address="::").url == "http://[::1]"
    assert Listener(port=80, default=forward_to("web"), address="::1").url == "http://[::1]"


def test_a_command_that_names_the_socket_wants_one() -> None:
    assert Command(argv=("serve", "--uds=${instance.socket}")).wants_socket
    assert not Command(argv=("serve", "${instance.port}")).wants_socket


def test_a_place_is_the_nearest_key_that_the_file_has() -> None:
    stack = a_stack(places={"services.web": "fairlead.yaml:3:3", "services.web.app": "fairlead.yaml:4:10"})
    assert stack.place("services.web.app") == "fairlead.yaml:4:10"
    assert stack.place("services.web.health_check.path") == "fairlead.yaml:3:3"
    assert stack.place("load_balancer") == ""


def test_an_instance_gets_a_clean_environment_and_its_own_values() -> None:
    layout = layout_of("/h", 0)
    release = replace(
        a_release(),
        environment={"GREETING": "I am ${instance.id} in ${instance.zone}", "PORT": "overruled"},
        environment_folder="/envs/abc",
    )
    start = start_of(release, a_record(7, zone="b"), layout, Surroundings(timezone="Europe/Berlin"), {})
    assert start.argv == ("serve", "20007")
    assert start.working_folder == "/releases/web/1"
    assert start.environment == {
        "PATH": f"/envs/abc/bin:{SYSTEM_PATH}",
        "HOME": "/h/run/i/shop.web-7",
        "LANG": "C.UTF-8",
        "TZ": "Europe/Berlin",
        "PYTHONUNBUFFERED": "1",
        "GREETING": "I am web-7 in b",
        "PORT": "20007",
        "FAIRLEAD_INSTANCE": "web-7",
        "FAIRLEAD_RUN": "/h/stacks/shop/instances/web-7",
        "FAIRLEAD_SERVICE": "web",
        "FAIRLEAD_RELEASE": "1",
        "FAIRLEAD_ZONE": "b",
    }


def test_an_instance_on_a_socket_gets_socket_and_no_port() -> None:
    release = replace(a_release(), argv=("serve", "${instance.socket}"), address="unix")
    start = start_of(release, a_record(7, address="unix:/h/run/s"), layout_of("/h", 0), Surroundings(), {})
    assert start.argv == ("serve", "/h/run/s")
    assert start.environment["SOCKET"] == "/h/run/s"
    assert "PORT" not in start.environment


def test_a_launch_puts_in_secrets_and_addresses_and_what_clients_of_a_bucket_need() -> None:
    release = replace(
        a_release(),
        argv=("serve", "--db", "${databases.store.host}"),
        environment={"KEY": "${secrets.KEY}", "ENDPOINT": "${buckets.photos.endpoint}"},
    )
    values = {
        "secrets.KEY": "${instance.id}",
        "databases.store.host": "127.0.0.1",
        "buckets.photos.endpoint": "http://x",
    }
    for start in (
        start_of(release, a_record(7), layout_of("/h", 0), Surroundings(), values),
        start_once(release, ("migrate",), "shop", "web.run", layout_of("/h", 0), Surroundings(), values),
    ):
        assert start.environment["KEY"] == "${instance.id}"
        assert start.environment["ENDPOINT"] == "http://x"
        assert start.environment["AWS_RESPONSE_CHECKSUM_VALIDATION"] == "when_required"
    assert start_of(release, a_record(7), layout_of("/h", 0), Surroundings(), values).argv == (
        "serve",
        "--db",
        "127.0.0.1",
    )


def test_what_clients_of_a_bucket_need_is_overruled_by_the_file() -> None:
    environment = {"A": "${buckets.b.url}", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_supported"}
    release = replace(a_release(), environment=environment)
    start = start_of(release, a_record(7), layout_of("/h", 0), Surroundings(), {"buckets.b.url": "s3://b"})
    assert start.environment["AWS_RESPONSE_CHECKSUM_VALIDATION"] == "when_supported"


def test_a_program_that_lacks_a_value_is_not_started() -> None:
    release = replace(a_release(), environment={"KEY": "${secrets.KEY}"})
    with pytest.raises(NotFound, match="the secret KEY is not set"):
        start_of(release, a_record(7), layout_of("/h", 0), Surroundings(), {})


def test_a_diary_keeps_of_variables_only_what_they_refer_to() -> None:
    """A decision that is made again from it must wait for the same resources."""
    service = a_service(
        environment={"A": "hunter2 ${databases.store.url} hunter2", "B": "hunter2", "C": "${secrets.KEY}"},
        external={"cache": "redis://:hunter2@c"},
        secrets={"KEY": 3},
    )
    stack = a_stack(
        service, resources=(Cache(id="cache", url="redis://:hunter2@c"), Bucket(id="photos", name="photos"))
    )
    release = a_release(environment=service.environment, external=service.external)
    record = a_wish(Revision(stack=stack, releases={"web": release}))
    kept = a_wish(record.desired, previous=record.desired).without_secrets()
    assert "hunter2" not in str(kept)
    assert kept.desired.stack.service("web").environment == {
        "A": "${databases.store.url}",
        "B": "",
        "C": "${secrets.KEY}",
    }
    assert needs(kept.desired.stack.service("web")) == needs(service) == ("store",)
    assert [one.url is None for one in kept.desired.stack.resources] == [False, True]


def test_a_group_whose_service_left_the_file_keeps_its_settings_while_occupied() -> None:
    with_docs = a_wish(a_revision(a_stack(a_service("web"), a_service("docs", path="/d"))))
    before = routing_of(with_docs, (), None)
    after = routing_of(a_wish(), ("web", "docs"), before)
    assert before is not None
    assert after is not None
    assert after.groups[1] == before.groups[1]
    restarted = routing_of(a_wish(), ("docs",), None)
    assert restarted is not None
    assert [group.name for group in restarted.groups] == ["web", "docs"]


def test_a_stack_that_is_down_and_empty_has_no_routing() -> None:
    assert routing_of(a_wish(wanted="down"), (), None) is None


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        (a_revision(), ()),
        (a_revision(a_stack(places={"name": "fairlead.yaml:9:1"})), ()),
        (a_revision(web=2), ("web: release 1 -> 2",)),
        (a_revision(a_stack(a_service(instances=4))), ("web: instances 2 -> 4",)),
        (a_revision(a_stack(a_service(path="/health"))), ("web: health_check.path / -> /health",)),
        (a_revision(a_stack(a_service(), a_service("docs"))), ("docs: is new, 2 instances",)),
        (
            a_revision(a_stack(listeners=(Listener(port=9090, default=forward_to("web")),))),
            ("listeners: http://127.0.0.1:8080 -> http://127.0.0.1:9090",),
        ),
        (a_revision(a_stack(zones=("a", "b"))), ("zones: 1 -> 2",)),
    ],
)
def test_differences_are_named_one_by_one(after, lines) -> None:  # type: ignore[no-untyped-def]
    assert tuple(map(str, differences(a_revision(), after))) == lines


def test_a_first_up_says_that_the_stack_is_new_and_a_dropped_service_is_named() -> None:
    assert [str(change) for change in differences(None, a_revision())] == [
        "stack shop is new",
        "web: is new, 2 instances",
    ]
    both = a_revision(a_stack(a_service(), a_service("docs")))
    assert [str(change) for change in differences(both, a_revision())] == ["docs: is gone"]
    elsewhere = a_revision(
        a_stack(a_service(), a_service("docs"), listeners=(Listener(port=8080, default=forward_to("docs")),))
    )
    assert [str(change) for change in differences(both, elsewhere)] == [
        "listener http://127.0.0.1:8080: its default differs"
    ]
