"""Stage two: each rule of the schema with its place and its words."""

from __future__ import annotations

import pytest

from fairlead.core.model import HealthCheck, LoadBalancerAttributes, TargetGroupAttributes, forward_to
from fairlead.spec.schema import MOST_SERVICES, File
from fairlead.spec.schema import target_group as schema
from fairlead.spec.schema.base import part_at
from fairlead.spec.schema.network import SecurityGroupRule
from fairlead.spec.schema.services import Service
from fairlead.spec.validate import validate
from tests.spec.builders import a_balancer, a_service, document_of, error_of, problems_of, stack_of, web_of


def test_all_problems_come_at_once_in_the_order_of_their_places() -> None:
    text = """\
name: Shop
services:
  web:
    app: app.py
    env: {A: b}
    instances: 0
    health_check: {path: health, interval: 1s, timeout: 3s, retries: 3}
  db:
    command: x 'y
    threads: 4
colour: blue
load_balancer:
  listeners:
    - {port: 80, default: {forward: wbe}}
    - {port: 80, default: {forward: db}}
"""
    error = error_of(text, dotenv="nonsense\n")
    assert error.what == "fairlead.yaml has 13 problems"
    assert error.next_step == "correct the file, then run the command again"
    assert list(error.problems) == [
        "fairlead.yaml:1:7: name: must be lower-case letters, digits and -, beginning with a letter, "
        'not "Shop"; write shop',
        "fairlead.yaml:4:10: services.web.app: must be MODULE:OBJECT or MODULE:FACTORY(), as in app:app, "
        'not "app.py"; write "app:app"',
        "fairlead.yaml:5:5: services.web.env: is not a key that fairlead knows here; did you mean `environment`?",
        "fairlead.yaml:6:16: services.web.instances: must be from 1 to 100, not 0",
        "fairlead.yaml:7:26: services.web.health_check.path: must be a path that begins with / and holds no blanks, "
        'percent-encoded, not "health"',
        "fairlead.yaml:7:57: services.web.health_check.timeout: is longer than `interval` (1s), so that one check "
        "would run into the next; write 1s or less, or a longer `interval`",
        "fairlead.yaml:7:61: services.web.health_check.retries: is not a key that fairlead knows here; "
        "did you mean `unhealthy_threshold`?",
        "fairlead.yaml:9:14: services.db.command: has a quote or a backslash without its end, "
        "so it cannot be split into words",
        "fairlead.yaml:10:14: services.db.threads: goes only with `app`; "
        "remove it: the command says itself how it works",
        "fairlead.yaml:11:1: colour: is not a key that fairlead knows here; the annotated reference file lists every key",
        'fairlead.yaml:14:37: load_balancer.listeners.0.default.forward: there is no service "wbe"; did you mean web?',
        "fairlead.yaml:15:14: load_balancer.listeners.1.port: load_balancer.listeners.0.port on line 14 "
        "has the same port; give each listener a port of its own",
        ".env:1: is not KEY=VALUE; correct the line, or begin it with #",
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("app: [a]", None),
        ("threads: 0", "5:14: services.web.threads: must be from 1 to 1000, not 0"),
        ("threads: many", '5:14: services.web.threads: must be a whole number, not "many"'),
        ("python: 3", '5:13: services.web.python: must be a version of Python such as "3.12", not 3'),
        ("source: ''", "5:13: services.web.source: must not be empty"),
        ("environment: [A]", "5:18: services.web.environment: must hold keys, not a list; write `{key: value}`"),
        ("environment: {A: [b]}", "5:22: services.web.environment.A: must be text, not a list"),
        ("environment: {A: }", "5:19: services.web.environment.A: has no value; write one, or remove the key"),
        (
            'environment: {A-B: "${env.MISSING:-x}"}',
            "5:19: services.web.environment.A-B: must be the name of an environment variable: letters, digits and _, "
            'not "A-B"',
        ),
        (
            'environment: {A: "\\e[31m"}',
            "5:22: services.web.environment.A: must not hold control characters other than",
        ),
        ('environment: {"\\e": b}', r"5:19: services.web.environment.\x1b: must not hold control characters"),
        (
            "health_check: /health",
            '5:19: services.web.health_check: must hold keys, not "/health"; write `{key: value}`',
        ),
        ("health_check: {path: /a b}", "5:26: services.web.health_check.path: must be a path that begins with / and"),
        ("health_check: {path: /é}", "5:26: services.web.health_check.path: must be a path that begins with / and"),
        (
            'health_check: {path: "/\\r\\nX: y"}',
            "5:26: services.web.health_check.path: must not hold control characters",
        ),
        (f"health_check: {{path: /{'a' * 1024}}}", "5:26: services.web.health_check.path: must be at most 1024"),
        ("health_check: {host: a b}", "5:26: services.web.health_check.host: must be a host name, not"),
        ("health_check: {host: -a}", "5:26: services.web.health_check.host: must be a host name, not"),
        ("health_check: {interval: 100ms}", "5:30: services.web.health_check.interval: must be from 200ms to 5m, not"),
        ("health_check: {interval: 5}", "5:30: services.web.health_check.interval: must be a duration such as"),
        ("health_check: {timeout: 0s}", "5:29: services.web.health_check.timeout: must be from 1ms to 5m, not"),
        ("health_check: {timeout: 6s}", "5:29: services.web.health_check.timeout: is longer than `interval` (5s)"),
        ("health_check: {healthy_threshold: 11}", "5:39: services.web.health_check.healthy_threshold: must be from 1"),
        ("health_check: {unhealthy_threshold: 0}", "5:41: services.web.health_check.unhealthy_threshold: must be from"),
        (
            "health_check: {grace_period: 3h}",
            "5:34: services.web.health_check.grace_period: must be from 0s to 2h, not",
        ),
        ("health_check: {matcher: 500}", "5:29: services.web.health_check.matcher: must hold codes from 200 to 499"),
        ("health_check: {enabled: on}", "5:29: services.web.health_check.enabled: must be true or false, not"),
        ("target_group: {deregistration_delay: 2h}", "5:42: services.web.target_group.deregistration_delay: must be"),
        ("target_group: {retry: on}", '5:27: services.web.target_group.retry: must be safe_methods or off, not "on"'),
        (
            "target_group: {algorithm: roundrobin}",
            "5:31: services.web.target_group.algorithm: must be round_robin, least_outstanding_requests or "
            'weighted_random, not "roundrobin"; did you mean round_robin?',
        ),
        (
            "target_group: {anomaly_mitigation: true}",
            "5:40: services.web.target_group.anomaly_mitigation: goes only with `algorithm: weighted_random`",
        ),
        (
            "target_group: {stickiness: {type: app_cookie}}",
            "5:20: services.web.target_group.stickiness: names no cookie of the app; add `cookie`",
        ),
        (
            "target_group: {stickiness: {type: lb_cookie, cookie: a}}",
            "5:58: services.web.target_group.stickiness.cookie: goes only with `type: app_cookie`",
        ),
        (
            "target_group: {algorithm: least_outstanding_requests, slow_start: 30s}",
            "5:71: services.web.target_group.slow_start: does not go with `algorithm: least_outstanding_requests`, on an ALB "
            "neither; write `algorithm: round_robin`, or remove one of the two",
        ),
        (
            "target_group: {algorithm: weighted_random, stickiness: {type: lb_cookie}}",
            "5:60: services.web.target_group.stickiness: does not go with `algorithm: weighted_random`, on an ALB neither",
        ),
        (
            "target_group: {stickiness: {type: app_cookie, cookie: AWSALBTG}}",
            "5:59: services.web.target_group.stickiness.cookie: begins with AWSALB, as the load balancer's own cookies do",
        ),
        (
            "target_group: {stickiness: {type: lb_cookie, duration: 8d}}",
            "5:60: services.web.target_group.stickiness.duration: must be from 1s to 7d",
        ),
        (
            "target_group: {protocol: GRPC}",
            "5:30: services.web.target_group.protocol: GRPC does not go with `app`: fairlead's server sends no trailers, "
            "which gRPC needs; remove it, or write the `command` of a gRPC server",
        ),
        (
            "target_group: {connect_timeout: 0s}",
            "5:37: services.web.target_group.connect_timeout: must be from 1ms to 60s",
        ),
        (
            "health_check: {protocol: TCP, path: /x}",
            "5:41: services.web.health_check.path: goes only with `protocol: HTTP`: with TCP nothing is asked and nothing "
            "answered; remove `path` or `protocol`",
        ),
        (
            "health_check: {protocol: TCP, host: x.y}",
            "5:41: services.web.health_check.host: goes only with `protocol: HTTP`",
        ),
        (
            "health_check: {protocol: TCP, matcher: 200}",
            "5:44: services.web.health_check.matcher: goes only with `protocol: ",
        ),
        (
            "health_check: {port: 81}",
            "5:26: services.web.health_check.port: must be `traffic`: instances of this service listen on a Unix socket",
        ),
        (
            "health_check: {matcher: 12}",
            "5:29: services.web.health_check.matcher: must hold codes of HTTP, 200 to 499, since `target_group.protocol` is "
            "HTTP1",
        ),
        ("deploy: {stop_timeout: 2h}", "5:28: services.web.deploy.stop_timeout: must be from 0s to 1h, not"),
        (
            "deploy: {min_healthy: 100%, max_healthy: 100%}",
            "5:46: services.web.deploy.max_healthy: leaves no room to replace an instance",
        ),
        ("deploy: {canary: {weight: 5%}}", "5:22: services.web.deploy.canary: goes only with `strategy: canary`"),
        ("command: x", "5:14: services.web.command: stands beside `app`, and a service has only one of them; keep one"),
        ("targets: [127.0.0.1:80]", "5:14: services.web.targets: stands beside `app`, and a service has only one"),
        ("targets: [127.0.0.1]", "5:15: services.web.targets.0: must be an IP address with its port"),
        ("image: a\ndockerfile: b", "6:17: services.web.dockerfile: stands beside `image`, and only one of them"),
        ("instances: 1\nscaling: {max: 2}", "5:16: services.web.instances: stands beside `scaling`, and only one"),
        ("secrets: KEY", '5:14: services.web.secrets: must be a list, not "KEY"; write [ ] round it'),
        ("resources: {memory: 64}", "5:25: services.web.resources.memory: must be a size such as 256MB, 1GB"),
        ("port: 70000", "5:11: services.web.port: must be from 1 to 65535, not 70000"),
        ("cpu: 1", "5:5: services.web.cpu: is not a key that fairlead knows here; did you mean `resources.cpu`?"),
        (
            "stop_timeout: 5s",
            "5:5: services.web.stop_timeout: is not a key that fairlead knows here; did you mean `deploy.",
        ),
        (
            "listeners: []",
            "5:5: services.web.listeners: is not a key that fairlead knows here; it belongs to `load_bal",
        ),
        ("engine: local", "5:5: services.web.engine: is not a key that fairlead knows here; it stands at the top"),
        (
            "Health-Check: {}",
            "5:5: services.web.Health-Check: is not a key that fairlead knows here; did you mean `health_",
        ),
        (
            "heatlh_check: {}",
            "5:5: services.web.heatlh_check: is not a key that fairlead knows here; did you mean `health_",
        ),
    ],
)
def test_a_service_is_told_what_is_wrong_with_it(lines: str, said: str | None) -> None:
    problems = problems_of(a_service(lines))
    if said is None:
        assert problems == [
            "fairlead.yaml:5:5: services.web.app: the key is given twice; the first is on line 4; keep one of the two"
        ]
    else:
        (problem,) = [problem for problem in problems if "not supported" not in problem]
        assert problem.startswith(f"fairlead.yaml:{said}")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("address: localhost", '6:12: load_balancer.address: must be an IP address, not "localhost"; write 127.0.0.1'),
        ("listeners: []", "6:14: load_balancer.listeners: is empty; write at least one"),
        ("listeners: [{port: 80}]", "6:15: load_balancer.listeners.0.default: is required"),
        ("listeners: [{port: 0, default: {forward: web}}]", "6:22: load_balancer.listeners.0.port: must be from 1 to"),
        (
            "listeners: [{port: 80, default: web}]",
            '6:35: load_balancer.listeners.0.default: must say what happens to the request; write {forward: "web"}',
        ),
        (
            "listeners: [{port: 80, default: {}}]",
            "6:26: load_balancer.listeners.0.default: says nothing of what happens to the request; "
            "add `forward`, `redirect` or `respond`",
        ),
        (
            "listeners: [{port: 80, default: {forward: web, respond: {status: 404}}}]",
            "6:59: load_balancer.listeners.0.default.respond: stands beside `forward`, and only one of them can hold; "
            "keep `forward`, `redirect` or `respond`",
        ),
        (
            "listeners: [{port: 80, default: {forward: {web: 0}}}]",
            "6:45: load_balancer.listeners.0.default.forward: gives every service the weight 0",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {status: 301}}}]",
            "6:36: load_balancer.listeners.0.default.redirect: leads back to the same address; add what changes, as in "
            "`{protocol: HTTPS, port: 443}`",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {path: /, status: 303}}}]",
            "6:64: load_balancer.listeners.0.default.redirect.status: must be 301 or 302, not 303",
        ),
        (
            "listeners: [{port: 80, protocol: HTTPS, default: {forward: web}}]",
            "6:36: load_balancer.listeners.0.protocol: HTTPS needs `certificates`; add `certificates: local`",
        ),
        (
            "listeners: [{port: 80, certificates: acme, default: {forward: web}}]",
            "6:40: load_balancer.listeners.0.certificates: goes only with `protocol: HTTPS`",
        ),
        (
            "listeners: [{port: 80, protocol: HTTPS, certificates: mine, default: {forward: web}}]",
            '6:57: load_balancer.listeners.0.certificates: must be local or acme, not "mine"',
        ),
        (
            "listeners: [{port: 80, protocol: HTTPS, certificates: {a: b}, default: {forward: web}}]",
            "6:57: load_balancer.listeners.0.certificates: must be a list, not a mapping",
        ),
        (
            "listeners: [{port: 80, rules: [{when: {}, forward: web}], default: {forward: web}}]",
            "6:35: load_balancer.listeners.0.rules.0.when: has no condition; add `path`, `host`, `method` or another",
        ),
        (
            "listeners: [{port: 80, default: {forward: web, stickiness: 1h}}]",
            "6:62: load_balancer.listeners.0.default.stickiness: goes only with a `forward` to several services: it keeps a "
            "client with one of them; remove it; `target_group.stickiness` of a service keeps a client with one of its targets",
        ),
        (
            "listeners: [{port: 80, default: {respond: {status: 404}, stickiness: 1h}}]",
            "6:72: load_balancer.listeners.0.default.stickiness: goes only with a `forward` to several services",
        ),
        (
            "listeners: [{port: 80, default: {forward: {web: 1000}}}]",
            "6:51: load_balancer.listeners.0.default.forward.web: must be from 0 to 999, not 1000",
        ),
        (
            "listeners: [{port: 80, default: {respond: {status: 301}}}]",
            "6:54: load_balancer.listeners.0.default.respond.status: must be 2xx, 4xx or 5xx, not 301; write `redirect`",
        ),
        (
            "listeners: [{port: 80, default: {respond: {status: 204, body: x}}}]",
            "6:65: load_balancer.listeners.0.default.respond.body: cannot be sent: an answer with status 204 has no body; ",
        ),
        (
            "listeners: [{port: 80, default: {respond: {status: 205, content_type: text/html}}}]",
            "6:73: load_balancer.listeners.0.default.respond.content_type: cannot be sent: an answer with status 205 has no",
        ),
        (
            "listeners: [{port: 80, default: {forward: web}, rules: [{when: {method: [GET, TRACE]}, forward: web}]}]",
            '6:81: load_balancer.listeners.0.rules.0.when.method.1: is answered with 405 before any rule is looked at: "TR',
        ),
        (
            "listeners: [{port: 80, default: {respond: {status: 200, content_type: text/xml}}}]",
            "6:73: load_balancer.listeners.0.default.respond.content_type: must be text/plain, text/css, text/html, "
            'application/javascript or application/json, not "text/xml"',
        ),
        (
            f"listeners: [{{port: 80, default: {{respond: {{status: 200, body: {'b' * 1025}}}}}}}]",
            "6:65: load_balancer.listeners.0.default.respond.body: must be at most 1024 characters long, not 1025",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {query: 'a=b', status: 301}}}]",
            "6:36: load_balancer.listeners.0.default.redirect: leads back to the same address: another query is not enough; add",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {path: '/#{path}', host: '#{host}', protocol: '#{protocol}', port: "
            "'#{port}', status: 301}}}]",
            "6:36: load_balancer.listeners.0.default.redirect: leads back to the same address; add what changes",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {port: 80, protocol: HTTP, status: 301}}}]",
            "6:46: load_balancer.listeners.0.default.redirect: leads back to this listener and to this rule, so that a client "
            "would go round for ever; change the protocol, host, port or path",
        ),
        (
            "listeners: [{port: 80, rules: [{when: {host: A.b, path: /x}, redirect: {host: a.B, path: /x, status: 301}}], "
            "default: {forward: web}}]",
            "6:74: load_balancer.listeners.0.rules.0.redirect: leads back to this listener and to this rule",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {protocol: HTTPS, status: 301}}}]",
            "6:57: load_balancer.listeners.0.default.redirect.protocol: leads to HTTPS on port 80, where this listener speaks "
            "HTTP; add `port: 443`, or the port of the listener that speaks HTTPS",
        ),
        (
            "listeners: [{port: 443, protocol: HTTPS, certificates: local, default: {redirect: {protocol: HTTP, port: 80, "
            "status: 301}}}]",
            "6:96: load_balancer.listeners.0.default.redirect.protocol: leads from HTTPS to HTTP, which an ALB refuses; "
            "remove it, or redirect on a listener of HTTP",
        ),
        (
            "listeners: [{port: 80, default: {redirect: {host: #{host}\n  , status: 301}}}]",
            "6:47: load_balancer.listeners.0.default.redirect.host: has no value; write one, or remove the key; "
            "one that begins with # needs quotes",
        ),
        (
            "listeners: [{port: 443, protocol: HTTPS, certificates: [{file: a.pem}], default: {forward: web}}]",
            "6:59: load_balancer.listeners.0.certificates.0.key: is required",
        ),
        ("client_keep_alive: 59s", "6:22: load_balancer.client_keep_alive: must be from 60s to 7d"),
        ("forwarded_for: replace", "6:18: load_balancer.forwarded_for: must be append, preserve or remove"),
        ("desync_mitigation: strict", "6:22: load_balancer.desync_mitigation: must be defensive, monitor or strictest"),
        ("idle_timeout: 0s", "6:17: load_balancer.idle_timeout: must be from 1s to 4000s, not"),
    ],
)
def test_a_load_balancer_is_told_what_is_wrong_with_it(lines: str, said: str) -> None:
    others = ("not supported", "no request could reach it")
    problems = [problem for problem in problems_of(a_balancer(lines)) if not any(other in problem for other in others)]
    assert [problem[: len(said) + 14] for problem in problems] == [f"fairlead.yaml:{said}"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "caches: {c: {}}",
            "5:10: caches.c: says nothing of what it is; add `engine: redis`, or `url` of one that exists",
        ),
        (
            "caches: {c: {url: 'redis://c', memory: 1MB}}",
            "5:40: caches.c.memory: cannot be set for a cache with `url`: fairlead only uses it; remove `memory` or `url`",
        ),
        (
            "caches: {c: {url: 'http://user:hunter2@c'}}",
            "5:19: caches.c.url: must be an address beginning with redis://",
        ),
        ("databases: {d: {engine: oracle}}", "5:25: databases.d.engine: must be postgres or mysql, not"),
        (
            "databases: {d: {engine: MariaDB}}",
            '5:25: databases.d.engine: must be postgres or mysql, not "MariaDB"; write mysql: MariaDB serves it, where',
        ),
        (
            "caches: {c: {engine: valkey}}",
            '5:22: caches.c.engine: must be redis, not "valkey"; write redis: Valkey serves',
        ),
        (
            "buckets: {b: {size: 1GB}}",
            "5:15: buckets.b.size: is not a key that fairlead knows here; there is only url",
        ),
        ("buckets: {b: }", "5:11: buckets.b: has no value; write one, or remove the key"),
        ("network: {cidr: 10.0.0.0/8}", "5:17: network.cidr: must be an IPv4 network from /16 to /28, as in a VPC"),
        ("network: {zones: 0}", "5:18: network.zones: must be from 1 to 6, not 0"),
        (
            "network: {network_acls: {public: {in: [{rule: 1, action: allow, port: 1}]}}}",
            "5:71: network.network_acls.public.in.0.port: goes only with `protocol: tcp` or `udp`",
        ),
        (
            "network: {network_acls: {public: {in: [{rule: 1, action: allow}, {rule: 1, action: deny}]}}}",
            "5:39: network.network_acls.public.in: has two rules of one number; give each rule a number of its own",
        ),
        (
            "network: {network_acls: {public: {out: [{rule: 1, action: allow, from: 0.0.0.0/0}]}}}",
            "5:40: network.network_acls.public.out: has a rule with `from`; `in` rules say `from`, `out` rules say `to`",
        ),
        (
            "alarms: [{when: unhealthy_targets, above: 1}]",
            "5:10: alarms.0: says nothing of who is told; add `webhook` or `command`",
        ),
        ("aws: {region: Oregon}", "5:15: aws.region: must be a region such as us-west-2, not"),
        (
            'jobs: {j: {service: web, command: x, cron: "* * *"}}',
            "5:44: jobs.j.cron: must have five fields (minute, hour, day, month, weekday), as in",
        ),
        ("service: {}", "5:1: service: is not a key that fairlead knows here; did you mean `services`?"),
    ],
)
def test_the_rest_of_the_file_is_validated_too(lines: str, said: str) -> None:
    problems = [problem for problem in problems_of(a_service() + lines) if "not supported" not in problem]
    assert [problem[: len(said) + 14] for problem in problems] == [f"fairlead.yaml:{said}"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "services: {web: {app: 'a:b'}}",
            ["fairlead.yaml:1:1: name: is required; add `name: NAME`; lower-case letters, digits and -"],
        ),
        (
            "nam: shop\nservices: {web: {app: 'a:b'}}",
            ["fairlead.yaml:1:1: nam: is not a key that fairlead knows here; did you mean `name`?"],
        ),
        (
            "name: shop",
            ['fairlead.yaml:1:1: services: is required; add `services: {web: {app: "app:app"}}`, or a `command`'],
        ),
        ("name: shop\nservices: {}", ["fairlead.yaml:2:11: services: is empty; write at least one, or remove the key"]),
        ("name: shop\nservices:\n", ["fairlead.yaml:2:1: services: has no value; write one, or remove the key"]),
        (
            "name: shop\nservices:\n  web: app:app\n",
            [
                "fairlead.yaml:3:8: services.web: must say what kind of program it is; "
                'write {app: "app:app"} or {command: "app:app"}'
            ],
        ),
        (
            "name: shop\nservices:\n  web: {instances: 2}\n",
            [
                "fairlead.yaml:3:3: services.web: says nothing of what to run; "
                'add `app: "app:app"` (a Python web app) or `command: ...` (any program that listens on $PORT)'
            ],
        ),
        (
            "name: shop\nservices:\n  web: {cmd: x}\n",
            ["fairlead.yaml:3:9: services.web.cmd: is not a key that fairlead knows here; did you mean `command`?"],
        ),
        (
            "name: shop\nservices:\n  Web: {app: 'a:b'}\n",
            [
                "fairlead.yaml:3:3: services.Web: must be lower-case letters, digits and -, beginning with a letter, "
                'not "Web"; write web'
            ],
        ),
        (
            "name: shop\nservices:\n  web: {command: x, threads: 4, health_check: {interval: 1s, timeout: 2s}}\n",
            [
                "fairlead.yaml:3:30: services.web.threads: goes only with `app`; "
                "remove it: the command says itself how it works",
                "fairlead.yaml:3:71: services.web.health_check.timeout: is longer than `interval` (1s), "
                "so that one check would run into the next; write 1s or less, or a longer `interval`",
            ],
        ),
    ],
)
def test_a_file_is_told_what_it_lacks(text: str, problems: list[str]) -> None:
    assert problems_of(text) == problems


def test_a_wrong_interval_hides_its_own_conflicts_and_no_others() -> None:
    text = a_service("health_check: {interval: 20, timeout: 10s}\ndeploy: {min_healthy: 100%, max_healthy: 100%}")
    assert [line.split(": ")[1] for line in problems_of(text)] == [
        "services.web.health_check.interval",
        "services.web.deploy.max_healthy",
    ]


def test_too_many_services_are_too_many() -> None:
    services = "".join(f"  s{number}: {{command: x}}\n" for number in range(MOST_SERVICES + 1))
    problems = problems_of(f"name: shop\nservices:\n{services}")
    assert f"fairlead.yaml:3:3: services: holds {MOST_SERVICES + 1}, and the most are {MOST_SERVICES}" in problems


def test_numbers_and_words_of_an_environment_are_what_was_written() -> None:
    text = a_service("environment: {A: 8080, B: true, C: 1.10, D: 0x1F, E: off, F: 'q', G: \"l1\\nl2\"}\npython: 3.10")
    assert web_of(text).environment == {
        "A": "8080", "B": "true", "C": "1.10", "D": "0x1F", "E": "off", "F": "q", "G": "l1\nl2",
    }  # fmt: skip
    assert web_of(text).python == "3.10"
    assert web_of(a_service(program="command: [node, x, --port, 3000]")).program.argv[-1] == "3000"  # type: ignore[union-attr]


@pytest.mark.parametrize(("interval", "timeout"), [("5s", 2.0), ("1s", 1.0), ("0.2s", 0.2), ("300s", 2.0)])
def test_a_check_times_out_after_two_seconds_or_its_interval(interval: str, timeout: float) -> None:
    assert web_of(a_service(f"health_check: {{interval: {interval}}}")).health_check.timeout == timeout


def test_the_smallest_file_is_three_lines() -> None:
    stack = stack_of('name: hello\nservices:\n  web: {app: "app:app"}\n')
    assert (stack.name, stack.path, stack.engine, stack.zones) == ("hello", "/srv/shop/fairlead.yaml", "local", ("a",))
    assert [(one.url, one.default) for one in stack.listeners] == [("http://127.0.0.1:8080", forward_to("web"))]
    service = stack.service("web")
    assert (service.source, service.minimum, service.desired, service.maximum) == ("/srv/shop", 1, 1, 1)
    assert (service.target_group, service.stop_timeout) == (TargetGroupAttributes(), 30.0)
    assert (service.health_check, stack.attributes) == (HealthCheck(), LoadBalancerAttributes())
    assert (service.min_healthy, service.max_healthy) == (100, 200)


def test_every_supported_key_reaches_the_stack() -> None:
    stack = stack_of(
        """\
name: shop
engine: local
services:
  web:
    app: shop.wsgi:make()
    threads: 4
    source: ../app/./src
    python: "3.12"
    environment: {A: b}
    instances: 3
    health_check:
      {path: "/health?a=b", host: "shop.example.com:80", interval: 1s, timeout: 500ms, healthy_threshold: 3,
       unhealthy_threshold: 4, matcher: "200,204", grace_period: 1m, replace_unhealthy: false}
    target_group: {deregistration_delay: 0s, retry: off}
    deploy: {stop_timeout: 5s}
  docs: {command: node "server js" --socket $${instance.socket}, source: /abs}
load_balancer:
  address: 0.0.0.0
  listeners:
    - {port: 80, default: {forward: web}}
    - {port: 81, protocol: HTTP, default: {forward: {docs: 100}}}
""".replace("$${instance.socket}, source", "-, source").replace('js" --socket -', 'js" -')
    )
    web, docs = stack.services
    assert (web.program.target, web.program.threads) == ("shop.wsgi:make()", 4)  # type: ignore[union-attr]
    assert (web.source, web.python, web.environment, web.desired) == ("/srv/app/src", "3.12", {"A": "b"}, 3)
    check = web.health_check
    assert (check.path, check.host, check.interval, check.timeout) == ("/health?a=b", "shop.example.com:80", 1.0, 0.5)
    assert (check.healthy_threshold, check.unhealthy_threshold, check.matcher) == (3, 4, "200,204")
    assert (check.grace_period, check.replace_unhealthy) == (60.0, False)
    assert (web.target_group.deregistration_delay, web.target_group.retry, web.stop_timeout) == (0.0, "off", 5.0)
    assert (docs.program.argv, docs.source) == (("node", "server js", "-"), "/abs")  # type: ignore[union-attr]
    assert [(one.url, one.default) for one in stack.listeners] == [
        ("http://127.0.0.1", forward_to("web")),
        ("http://127.0.0.1:81", forward_to("docs")),
    ]


def test_a_balancer_without_listeners_has_the_default_one_at_its_address() -> None:
    (listener,) = stack_of(a_balancer("address: 0.0.0.0")).listeners
    assert (listener.port, listener.address, listener.default) == (8080, "0.0.0.0", forward_to("web"))


def test_a_stack_knows_the_place_of_every_key() -> None:
    stack = stack_of(a_balancer("listeners:\n  - port: 80\n    default: {forward: web}"))
    assert stack.places == {
        "name": "fairlead.yaml:1:7",
        "services": "fairlead.yaml:3:3",
        "services.web": "fairlead.yaml:4:5",
        "services.web.app": "fairlead.yaml:4:10",
        "load_balancer": "fairlead.yaml:6:3",
        "load_balancer.listeners": "fairlead.yaml:7:5",
        "load_balancer.listeners.0": "fairlead.yaml:7:7",
        "load_balancer.listeners.0.port": "fairlead.yaml:7:13",
        "load_balancer.listeners.0.default": "fairlead.yaml:8:16",
        "load_balancer.listeners.0.default.forward": "fairlead.yaml:8:26",
    }
    assert stack.place("services.web.health_check.path") == "fairlead.yaml:4:5"


def test_a_valid_file_is_validated_even_where_it_is_not_supported() -> None:
    file, problems = validate(document_of(a_service("scaling: {max: 3}") + "caches: {c: {engine: redis}}\n"))
    assert problems == []
    assert file is not None
    assert file.services["web"].scaling is not None
    assert file.services["web"].scaling.max == 3


def test_the_part_of_the_schema_at_a_path() -> None:
    assert part_at(File, ("services", "web")) is Service
    assert part_at(File, ("services", "web", "health_check")) is schema.HealthCheck
    assert part_at(File, ("network", "security_groups", "web", 0)) is SecurityGroupRule
    assert part_at(File, ("network", "security_groups", "web")) is None
    assert part_at(File, ("services",)) is part_at(File, ("name",)) is part_at(File, ("x", "y")) is None


def test_names_that_a_message_repeats_cannot_reach_a_terminal() -> None:
    services = '  "\\e[31m": {command: x, after: [c]}\n  c: {command: x, after: ["\\e[31m"]}\n'
    problems = problems_of(f"name: shop\nservices:\n{services}caches: {{c: {{engine: redis}}}}\n")
    assert len(problems) > 3
    assert all(line.isprintable() for line in problems)


def test_a_message_stays_short_whatever_the_file_holds() -> None:
    text = a_service() + f"  {'k' * 5000}: {{command: x}}\n  c: {{command: x, after: [{'k' * 5000}]}}\n"
    assert all(len(line) < 1200 for line in problems_of(text))
