"""What one part of the file says of another."""

from __future__ import annotations

import pytest

from tests.spec.builders import a_balancer, a_service, problems_of

TWO = "name: shop\nservices:\n  web: {app: 'a:b'}\n  api: {command: x}\n"


def listeners(*defaults: str) -> str:
    ports = [f"    - {{port: {8080 + number}, default: {default}}}\n" for number, default in enumerate(defaults)]
    return "load_balancer:\n  listeners:\n" + "".join(ports)


BOTH = listeners("{forward: web}", "{forward: api}")


def of_validation(text: str) -> list[str]:
    return [problem for problem in problems_of(text) if "not supported" not in problem]


def test_two_services_and_a_listener_each_are_well() -> None:
    assert problems_of(TWO + BOTH) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TWO,
            "2:1: services: there are 2 services that take requests (web and api) and no listener; "
            "say which gets what: `load_balancer: {listeners: [{port: 8080, default: {forward: web}}]}`",
        ),
        (
            TWO + "load_balancer: {address: 0.0.0.0}",
            "5:1: load_balancer: there are 2 services that take requests (web and api) and no listener; "
            "say which gets what: `load_balancer: {listeners: [{port: 8080, default: {forward: web}}]}`",
        ),
        (
            TWO + listeners("{forward: web}", "{forward: apii}"),
            '8:39: load_balancer.listeners.1.default.forward: there is no service "apii"; did you mean api?',
        ),
        (
            TWO + listeners("{forward: web}", "{forward: {zzz: 100}}"),
            '8:40: load_balancer.listeners.1.default.forward.zzz: there is no service "zzz"; there is web and api',
        ),
        (
            TWO + BOTH + "    - {port: 8081, default: {forward: api}}",
            "9:14: load_balancer.listeners.2.port: load_balancer.listeners.1.port on line 8 has the same port; "
            "give each listener a port of its own",
        ),
        (
            TWO.replace("command: x", "command: x, port: none") + BOTH,
            "8:39: load_balancer.listeners.1.default.forward: the service api takes no requests: it says `port: none`; "
            "forward to another service, or give it a port",
        ),
        (
            TWO + BOTH.replace("default: {forward: api}", "rules: [{when: {path: /x}, forward: no}], default: {forward: api}"),
            '8:56: load_balancer.listeners.1.rules.0.forward: there is no service "no"; there is web and api',
        ),
        (TWO + BOTH + "caches: {web: {engine: redis}}", "9:10: caches.web: the id is used already, by services.web on line 3; "
            "ids differ across services, caches, databases and buckets"),
        (TWO + BOTH + "buckets: {bastion: {}}", "9:11: buckets.bastion: the id is taken: security groups use it for the bastion; "
            "choose another"),
        (
            TWO.replace("command: x", "command: x, after: [wbe]") + BOTH,
            '4:29: services.api.after.0: there is no service "wbe"; did you mean web?',
        ),
        (
            TWO.replace("command: x", "command: x, after: [web]").replace("'a:b'", "'a:b', after: [api]") + BOTH,
            "3:28: services.web.after: these wait for each other: web -> api -> web; remove one of them",
        ),
        (
            TWO.replace("command: x", "command: x, after: [api]") + BOTH,
            "4:28: services.api.after: these wait for each other: api -> api; remove one of them",
        ),
        (
            TWO + BOTH + 'jobs: {j: {service: wep, command: x, cron: "* * * * *"}}',
            '9:21: jobs.j.service: there is no service "wep"; did you mean web?',
        ),
        (
            a_service("scaling: {max: 2, policies: [{target: {metric: 'custom:q', value: 1}}]}"),
            '5:52: services.web.scaling.policies.0.target.metric: there is no custom metric "q"; '
            "add it to services.web.custom_metrics",
        ),
        (
            a_service("custom_metrics: {queue: {command: x}}\n"
            "scaling: {max: 2, policies: [{target: {metric: 'custom:queu', value: 1}}]}"),
            '6:52: services.web.scaling.policies.0.target.metric: there is no custom metric "queu"; did you mean custom:queue?',
        ),
        (
            a_service() + "network: {security_groups: {wbe: []}}",
            '5:29: network.security_groups.wbe: there is nothing named "wbe"; '
            "name load_balancer, bastion, a service, a cache or a database",
        ),
        (
            a_service() + "network: {security_groups: {web: [{port: 22, from: office}]}}",
            '5:52: network.security_groups.web.0.from: there is nothing named "office"; '
            "name load_balancer, bastion, a service, a cache or a database",
        ),
        (
            a_service("environment:\n  U: ${caches.sesion.url}") + "caches: {session: {engine: redis}}",
            "6:10: services.web.environment.U: ${caches.sesion.url}: there is no caches.sesion; did you mean session?",
        ),
        (
            a_service("environment:\n  U: ${instance.port}"),
            "6:10: services.web.environment.U: the service web listens on a Unix socket, so it has no port; "
            "write ${instance.socket}",
        ),
        (
            a_service("environment:\n  U: ${instance.port}", program='command: "x ${instance.socket}"'),
            "6:10: services.web.environment.U: the service web listens on a Unix socket, so it has no port; "
            "write ${instance.socket}",
        ),
        (
            a_service("environment:\n  U: ${instance.socket}", program='command: ["x", "${instance.port}"]'),
            "6:10: services.web.environment.U: the service web listens on a port, "
            "since its command does not name ${instance.socket}; write ${instance.port}",
        ),
        (
            TWO.replace("command: x", "command: x, target_group: {protocol: GRPC}") + BOTH,
            "8:39: load_balancer.listeners.1.default.forward: the service api speaks GRPC, which is reached from HTTPS only: each "
            "request would get a 464; write `protocol: HTTPS` and `certificates`, or `target_group: {protocol: HTTP1}` where the "
            "program speaks it",
        ),
        (
            TWO.replace("command: x", "command: x, target_group: {protocol: HTTP2}") + listeners("{forward: {web: 1, api: 2}}"),
            "7:48: load_balancer.listeners.0.default.forward.api: the service api speaks HTTP2, which is reached from HTTPS only: "
            "each request would get a 464; write `protocol: HTTPS` and `certificates`, or `target_group: {protocol: HTTP1}` where "
            "the program speaks it",
        ),
        (
            a_service("target_group: {protocol: HTTP2}", program="command: x"),
            "5:30: services.web.target_group.protocol: HTTP2 is reached from HTTPS only, and without `listeners` there is one of "
            "HTTP; write `protocol: HTTPS` and `certificates`, or `target_group: {protocol: HTTP1}` where the program speaks it",
        ),
        (
            TWO.replace("command: x", "command: x, target_group: {stickiness: {type: lb_cookie}}")
            + listeners("{forward: {web: 1, api: 2}}"),
            "7:48: load_balancer.listeners.0.default.forward.api: the service api has stickiness, which needs that of the rule "
            "too: else a client would change; add `stickiness: 1d` beside `forward`",
        ),
        (
            TWO.replace("command: x", "command: x, target_group: {stickiness: {type: app_cookie, cookie: s}}")
            + listeners("{forward: {web: 1, api: 2}, stickiness: 1h}"),
            "7:48: load_balancer.listeners.0.default.forward.api: the service api has stickiness of the type app_cookie, which does "
            "not go with weights; write `type: lb_cookie` there, or forward to one service",
        ),
        (
            a_service(program="targets: ['127.0.0.1:9000', '[::1]:9000', 'localhost:9000']"),
            "4:47: services.web.targets.2: the address stands there already, on line 4; name each target once",
        ),
        (
            a_service(program="targets: ['[fd00::7]:80', '[FD00:0::7]:80']"),
            "4:31: services.web.targets.1: the address stands there already, on line 4; name each target once",
        ),
        (
            a_service(program="targets: ['127.0.0.1:8080']"),
            "4:15: services.web.targets.0: is this file's own listener on port 8080, so that requests would go round for ever; "
            "name the program that answers them",
        ),
        (
            a_service(program="targets: ['127.0.0.2:81', '10.0.0.7:81', '[::1]:81']")
            + "load_balancer: {address: 0.0.0.0, listeners: [{port: 80, default: {forward: web}}, {port: 81, default: {forward: web}}]}",
            "4:15: services.web.targets.0: is this file's own listener on port 81, so that requests would go round for ever; "
            "name the program that answers them",
        ),
        (
            a_service(program="targets: ['[::1]:81']")
            + "load_balancer: {address: '::', listeners: [{port: 81, default: {forward: web}}]}",
            "4:15: services.web.targets.0: is this file's own listener on port 81, so that requests would go round for ever; "
            "name the program that answers them",
        ),
    ],
)  # fmt: skip
def test_what_the_parts_of_a_file_say_of_each_other(text: str, said: str) -> None:
    assert of_validation(text) == [f"fairlead.yaml:{said}"]


@pytest.mark.parametrize(
    "text",
    [
        TWO.replace("command: x", "command: x, target_group: {stickiness: {type: lb_cookie}}")
        + listeners("{forward: {web: 1, api: 2}, stickiness: 1h}"),
        TWO.replace("command: x", "command: x, target_group: {stickiness: none}") + listeners("{forward: {web: 1, api: 2}}"),
        TWO.replace("command: x", "command: x, target_group: {protocol: HTTP2}")
        + "load_balancer: {listeners: [{port: 443, protocol: HTTPS, certificates: local, default: {forward: {web: 1, api: 2}}}]}",
        a_service(program="targets: ['127.0.0.2:8080', '10.0.0.7:8080', '127.0.0.1:8081']"),
        a_service() + "  api: {command: x, after: [legacy]}\n  legacy: {targets: ['127.0.0.1:1']}\n"
        + listeners("{forward: web}", "{forward: api}", "{forward: legacy}"),
    ],
)  # fmt: skip
def test_what_goes_together_is_taken(text: str) -> None:
    assert problems_of(text) == []


def test_a_long_circle_is_said_once_and_those_outside_it_are_not_blamed() -> None:
    services = "".join(f"  {a}: {{command: x, after: [{b}]}}\n" for a, b in ("ab", "bc", "ca", "da"))
    circles = [line for line in of_validation(f"name: shop\nservices:\n{services}") if "wait for each other" in line]
    assert circles == [
        "fairlead.yaml:3:26: services.a.after: these wait for each other: a -> b -> c -> a; remove one of them"
    ]


def test_a_file_of_workers_only_needs_no_listener() -> None:
    assert of_validation(a_service("port: none", program="command: x")) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: shop\nservices: 3\nload_balancer: 3\njobs: 3\ncaches: 3\nnetwork: 3\n",
        "name: shop\nservices: {web: 3}\nload_balancer: {listeners: 3}\njobs: {j: 3}\nnetwork: {security_groups: 3}\n",
        a_service("after: 3\ncustom_metrics: 3\nscaling: 3")
        + "load_balancer: {listeners: [3, {port: [], rules: 3}]}\n",
        a_service("after: [[a]]") + "jobs: {j: {service: []}}\nnetwork: {security_groups: {web: [3, {from: []}]}}\n",
        a_balancer("listeners: [{port: 1, default: {forward: []}, rules: [3, {forward: [web]}]}]"),
        a_service("target_group: 3", program="targets: {a: b}")
        + "load_balancer: {address: [], listeners: [{port: [], protocol: [], default: {forward: {web: []}, stickiness: []}}]}",
        a_service("target_group: {protocol: [], stickiness: [a]}", program="targets: [[], {}, a, '1:2', 3]"),
    ],
)
def test_parts_of_the_wrong_shape_are_passed_over(text: str) -> None:
    assert len(problems_of(text)) > 0
    assert not any("there is no" in problem for problem in problems_of(text))
