"""The kinds of scalar: what each reads, what it refuses, and how it is shown."""

from __future__ import annotations

import contextlib
import zoneinfo
from datetime import UTC, datetime
from typing import Any

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from fairlead.spec.schema import times
from fairlead.spec.schema.kinds import Kind
from fairlead.spec.schema.measures import Level, Metric
from fairlead.spec.schema.network import Peer, PortRange
from fairlead.spec.schema.numbers import Duration, Number, Percent, PortOr, Size, Whole
from fairlead.spec.schema.requests import (
    AnswerStatus,
    CookieName,
    HeaderName,
    HeaderValue,
    Method,
    QueryKey,
    QueryValue,
    Source,
    TargetAddress,
    UrlHost,
    UrlPath,
    UrlQuery,
)
from fairlead.spec.schema.services import Commands
from fairlead.spec.schema.texts import (
    Address,
    AppTarget,
    Cidr,
    HealthPath,
    HostPattern,
    Line,
    Matcher,
    Name,
    PathPattern,
    Text,
    Url,
    VariableName,
    Words,
)  # fmt: skip
from fairlead.spec.schema.times import Cron, Zone

OF_REQUESTS: list[Kind] = [
    Method(), HeaderName(), HeaderValue(), QueryKey(), QueryValue(), Source(), UrlHost(), UrlPath(), UrlQuery(), AnswerStatus(),
    TargetAddress(), CookieName(),
]  # fmt: skip
MORE = [Cron(), Zone(), Url(), HealthPath(), PathPattern(), HostPattern(), Metric(), PortOr("none"), *OF_REQUESTS]


def refusal(kind: Kind, value: Any) -> str:
    """Why `kind` does not take `value`, with its advice."""
    with pytest.raises(PydanticCustomError) as caught:
        kind.read(value)
    context = caught.value.context or {}
    return "; ".join(part for part in (context["reason"], context["suggestion"] or context["guess"]) if part)


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (Duration(), "500ms", 0.5),
        (Duration(), "30s", 30.0),
        (Duration(), "1.5m", 90.0),
        (Duration(), "1h", 3600.0),
        (Duration(), "7d", 604800.0),
        (Duration(), "0s", 0.0),
        (Duration(0.2, 300), "0.2s", 0.2),
        (Size(), "256MB", 256_000_000),
        (Size(), "1.5GB", 1_500_000_000),
        (Size(), "1MiB", 1_048_576),
        (Size(), "2kB", 2000),
        (Size(), "7B", 7),
        (Percent(), "90%", 90.0),
        (Percent(), "0.5%", 0.5),
        (Whole(1, 5), 5, 5),
        (Number(0, 1), 0.5, 0.5),
        (Number(0, 1), 1, 1.0),
        (Line(), "a b", "a b"),
        (Name(), "a", "a"),
        (Name(), "a-1" * 10, "a-1" * 10),
        (AppTarget(), "app:app", "app:app"),
        (AppTarget(), "shop.wsgi:make.it()", "shop.wsgi:make.it()"),
        (VariableName(), "_A1", "_A1"),
        (Text(), "", ""),
        (Text(), "a\n\tb", "a\n\tb"),
        (Words(), "node server.js --port ${instance.port}", ("node", "server.js", "--port", "${instance.port}")),
        (Words(), "a 'b c' \"d e\" f\\ g", ("a", "b c", "d e", "f g")),
        (Words(), ("a", "b c", ""), ("a", "b c", "")),
        (Words(), "sh -c 'exec x --port $PORT && true'", ("sh", "-c", "exec x --port $PORT && true")),
        (Words(), ("/bin/sh", "-c", "$PORT"), ("/bin/sh", "-c", "$PORT")),
        (Words(), "x $PORTAL", ("x", "$PORTAL")),
        (Words(), "none", ("none",)),
        (Words(none=True), "none", ()),
        (Words(none=True), ("none",), ("none",)),
        (Commands(), "a b", (("a", "b"),)),
        (Commands(), ("a b", "c"), (("a", "b"), ("c",))),
        (Address(), "0.0.0.0", "0.0.0.0"),
        (Address(), "::1", "::1"),
        (Cidr(), "10.0.0.0/16", "10.0.0.0/16"),
        (Cidr(), "fd00::/8", "fd00::/8"),
        (Matcher(), "200", "200"),
        (Matcher(), 204, "204"),
        (Matcher(), "200,302", "200,302"),
        (Matcher(), "200-299,301,400-499", "200-299,301,400-499"),
        (PortOr("none"), "none", "none"),
        (PortOr("none"), 80, 80),
        (PortRange(), 80, (80, 80)),
        (PortRange(), "1-65535", (1, 65535)),
        (Peer(), "10.0.0.0/8", "10.0.0.0/8"),
        (Peer(), "load_balancer", "load_balancer"),
        (Level(), "60%", ("%", 60.0)),
        (Level(), "200ms", ("s", 0.2)),
        (Level(), 7, ("", 7.0)),
        (Metric(), "latency_p95", "latency_p95"),
        (Metric(), "custom:queue", "custom:queue"),
        (HealthPath(), "/health?a=b&c=%7B", "/health?a=b&c=%7B"),
        (PathPattern(), "/docs/*", "/docs/*"),
        (PathPattern(), "*.png", "*.png"),
        (HostPattern(), "*.example.com", "*.example.com"),
        (HostPattern(), "localhost", "localhost"),
        (Url(), "https://user:secret@hooks.example.com:8443/a?b=c", "https://user:secret@hooks.example.com:8443/a?b=c"),
        (Url(), "http://[::1]:8080/", "http://[::1]:8080/"),
        (Zone(), "UTC", "UTC"),
        (Zone(), "America/Port-au-Prince", "America/Port-au-Prince"),
        (Zone(), "Etc/GMT+5", "Etc/GMT+5"),
        (Percent(whole=True), "90.0%", 90.0),
        (Matcher(), 0, "0"),
        (Matcher(), "0,12-99", "0,12-99"),
        (Method(), "GET", "GET"),
        (Method(), "VERSION-CONTROL", "VERSION-CONTROL"),
        (Method(), "MY_OWN", "MY_OWN"),
        (HeaderName(), "X-Debug", "X-Debug"),
        (HeaderName(), "H" * 40, "H" * 40),
        (HeaderValue(), "a \"b\" 'c' %[d] {e}*?\\", "a \"b\" 'c' %[d] {e}*?\\"),
        (HeaderValue(), "v" * 128, "v" * 128),
        (QueryKey(), "", ""),
        (QueryKey(), "*", ""),
        (QueryKey(), "utm_*", "utm_*"),
        (QueryValue(), r"a\*b=c%20d?", r"a\*b=c%20d?"),
        (Source(), "10.0.0.0/8", "10.0.0.0/8"),
        (Source(), "10.1.2.3", "10.1.2.3/32"),
        (Source(), "::1", "::1/128"),
        (Source(), "FD00::/8", "fd00::/8"),
        (Source(), "::ffff:10.1.2.3", "10.1.2.3/32"),
        (Source(), "::ffff:10.0.0.0/104", "10.0.0.0/8"),
        (Source(), "::/0", "::/0"),
        (Source(), "255.255.255.254/31", "255.255.255.254/31"),
        (UrlHost(), "example.com", "example.com"),
        (UrlHost(), "www.#{host}", "www.#{host}"),
        (UrlPath(), "/", "/"),
        (UrlPath(), "/a/#{path}/#{host}/#{port}", "/a/#{path}/#{host}/#{port}"),
        (UrlPath(), "/%C3%A9", "/%C3%A9"),
        (UrlQuery(), "", ""),
        (
            UrlQuery(),
            "a=b&#{query}&to=#{protocol}://#{host}:#{port}/#{path}?",
            "a=b&#{query}&to=#{protocol}://#{host}:#{port}/#{path}?",
        ),
        (AnswerStatus(), 200, 200),
        (AnswerStatus(), 404, 404),
        (AnswerStatus(), 599, 599),
        (TargetAddress(), "127.0.0.1:9000", "127.0.0.1:9000"),
        (TargetAddress(), "localhost:9000", "127.0.0.1:9000"),
        (TargetAddress(), "[::1]:9000", "[::1]:9000"),
        (TargetAddress(), "[FD00:0::7]:1", "[fd00::7]:1"),
        (TargetAddress(), "[::ffff:127.0.0.1]:9000", "127.0.0.1:9000"),
        (CookieName(), "SESSION", "SESSION"),
        (CookieName(), "__Host-sid", "__Host-sid"),
    ],
)
def test_what_a_kind_reads(kind: Kind, value: Any, read: Any) -> None:
    assert kind.read(value) == read


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (Duration(), 30, "must be a duration such as 500ms, 30s, 5m, 1h or 7d, not {value}; add its unit, as in 30s"),
        (Duration(), "30", "must be a duration such as 500ms, 30s, 5m, 1h or 7d, not {value}"),
        (Duration(), True, "must be a duration such as 500ms, 30s, 5m, 1h or 7d, not {value}"),
        (Duration(), "1m30s", "must be a duration such as 500ms, 30s, 5m, 1h or 7d, not {value}"),
        (Duration(), "-1s", "must be a duration such as 500ms, 30s, 5m, 1h or 7d, not {value}"),
        (Duration(), "0.1ms", "must be a whole number of milliseconds, not {value}"),
        (Duration(0.2, 300), "100ms", "must be from 200ms to 5m, not {value}"),
        (Duration(0, 7200), "3h", "must be from 0s to 2h, not {value}"),
        (Size(), "256", "must be a size such as 256MB, 1GB or 512MiB, not {value}"),
        (Size(), 256, "must be a size such as 256MB, 1GB or 512MiB, not {value}"),
        (Size(1_000_000), "1kB", "must be from 1MB to 1024TiB, not {value}"),
        (Percent(), 90, "must be a percentage such as 90%, not {value}; add the %"),
        (Percent(), "101%", "must be from 0% to 100%, not {value}"),
        (Whole(1, 5), 6, "must be from 1 to 5, not {value}"),
        (Whole(1, 5), True, "must be a whole number, not {value}"),
        (Whole(1, 5), 1.0, "must be a whole number, not {value}"),
        (Whole(1, 5), "5", "must be a whole number, not {value}; remove the quotes"),
        (Number(0, 1), 2, "must be from 0 to 1, not {value}"),
        (Number(0, 1), float("nan"), "must be from 0 to 1, not {value}"),
        (Number(0, 1), True, "must be a number, not {value}"),
        (Line(), 3, "must be text, not {value}; put quotes around it"),
        (Line(), (), "must be text, not {value}"),
        (Line(), "", "must not be empty"),
        (Line(), "a\nb", "must not hold control characters or line breaks"),
        (Line(), "\x9b31m", "must not hold control characters or line breaks"),
        (Line(), "\udc80", "must not hold control characters or line breaks"),
        (Line(most=3), "abcd", "must be at most 3 characters long, not 4"),
        (
            Name(),
            "Web_1",
            "must be lower-case letters, digits and -, beginning with a letter, not {value}; write web-1",
        ),
        (Name(), "1", "must be lower-case letters, digits and -, beginning with a letter, not {value}"),
        (Name(), "a" * 33, "must be at most 32 characters long, not 33"),
        (Name(), "é", "must be lower-case letters, digits and -, beginning with a letter, not {value}"),
        (AppTarget(), "app", 'must be MODULE:OBJECT or MODULE:FACTORY(), as in app:app, not {value}; write "app:app"'),
        (
            AppTarget(),
            "./shop/app.py:make()",
            'must be MODULE:OBJECT or MODULE:FACTORY(), as in app:app, not {value}; write "shop.app:make()"',
        ),
        (AppTarget(), "a:b(1)", "must be MODULE:OBJECT or MODULE:FACTORY(), as in app:app, not {value}"),
        (VariableName(), "A-B", "must be the name of an environment variable: letters, digits and _, not {value}"),
        (VariableName(), "PORT", "is set by fairlead, so PORT cannot be given another value; remove it"),
        (
            VariableName(),
            "FAIRLEAD_RUN",
            "begins with FAIRLEAD_, which fairlead keeps for its own variables; choose another name",
        ),
        (Text(), 3, "must be text, not {value}; put quotes around it"),
        (Text(), ("a",), "must be text, not {value}"),
        (Text(), "a\0", "must not hold control characters other than line breaks and tabs"),
        (Text(3), "abcd", "must be at most 3 characters long, not 4"),
        (Words(), 3, "must be a command: text, or a list of texts, not {value}"),
        (Words(), ("a", 1), "must be a command: text, or a list of texts, not {value}"),
        (Words(), "", 'names no program; write one, as in "node server.js"'),
        (Words(), " ", 'names no program; write one, as in "node server.js"'),
        (Words(), "'' a", 'names no program; write one, as in "node server.js"'),
        (Words(), (), 'names no program; write one, as in "node server.js"'),
        (Words(), "a 'b", "has a quote or a backslash without its end, so it cannot be split into words"),
        (Words(), "a | b", "is not given to a shell, so | would reach the program as a word; write sh -c '...'"),
        (
            Words(),
            "gunicorn -b :$PORT app",
            "is not given to a shell, so $PORT would reach the program as it stands; write ${instance.port}",
        ),
        (
            Words(),
            ("x", "$SOCKET"),
            "is not given to a shell, so $SOCKET would reach the program as it stands; write ${instance.socket}",
        ),
        (Words(), "a\0b", "must not hold control characters other than line breaks and tabs"),
        (Words(), "a " * 1001, "has 1001 words, and the most are 1000"),
        (Words(), "a" * 10_001, "must be at most 10000 characters long, not 10001; put it into a script"),
        (Address(), "localhost", "must be an IP address, not {value}; write 127.0.0.1"),
        (Address(), "*", "must be an IP address, not {value}; write 0.0.0.0"),
        (Address(), 1, "must be an IP address, not {value}; 127.0.0.1 serves this machine, 0.0.0.0 every network"),
        (
            Address(),
            "fe80::1%lo",
            "must be an IP address, not {value}; 127.0.0.1 serves this machine, 0.0.0.0 every network",
        ),
        *(
            (
                Address(),
                address,
                "must be an address of one machine, not {value}; 127.0.0.1 serves this machine, 0.0.0.0 every network",
            )
            for address in ("fe80::1", "ff02::1", "224.0.0.1")
        ),
        (Cidr(), "10.0.0.1/16", "must be a network such as 10.0.0.0/16, its host bits zero, not {value}"),
        (Cidr(), "10.0.0.0", "must be a network such as 10.0.0.0/16, its host bits zero, not {value}"),
        (Cidr(), 10, "must be a network such as 10.0.0.0/16, its host bits zero, not {value}"),
        (Matcher(), "2xx", 'must be HTTP codes such as "200", "200,302" or "200-299", not {value}'),
        (Matcher(), True, 'must be HTTP codes such as "200", "200,302" or "200-299", not {value}'),
        (Matcher(), "200, 302", 'must be HTTP codes such as "200", "200,302" or "200-299", not {value}'),
        (Matcher(), "199", "must hold codes from 200 to 499 (of gRPC 0 to 99), the lower end of a range first, not {value}"),
        (Matcher(), "200-500", "must hold codes from 200 to 499 (of gRPC 0 to 99), the lower end of a range first, not {value}"),
        (Matcher(), "299-200", "must hold codes from 200 to 499 (of gRPC 0 to 99), the lower end of a range first, not {value}"),
        (PortOr("none"), "None", "must be a port from 1 to 65535, or none, not {value}; did you mean none?"),
        (PortOr("none"), "8000", "must be a port from 1 to 65535, or none, not {value}"),
        (PortOr("none"), 0, "must be from 1 to 65535, not {value}"),
        (PortOr("none"), (), "must be a whole number, not {value}"),
        (Percent(whole=True), "33.3%", "must be a whole percentage such as 90%, not {value}"),
        (Metric(("cpu",)), 5, "must be cpu or custom:NAME, not {value}"),
        (Metric(), "latency-p95", "must be cpu, memory, requests_per_target, outstanding, latency_p50, latency_p95, "
            "latency_p99 or custom:NAME, not {value}; did you mean latency_p95?"),
        (PathPattern(), "docs/*", "must be a path that begins with / and holds letters, digits and _-.$/~@:+& "
            "(* and ? stand for others), not {value}; write /docs/*"),
        (HostPattern(), "https://example.com:80/a", "must be a host name without its port "
            "(* and ? stand for any characters and for one), not {value}; write example.com"),
        (Url(), 5, "must be an address beginning with http:// or https://"),
        (Url(), "ftp://a", "must be an address beginning with http:// or https://"),
        (Url(("redis", "rediss")), "http://a", "must be an address beginning with redis:// or rediss://"),
        (Url(), "http://a b", "must hold no blanks and none but ASCII characters, others percent-encoded"),
        (Url(), "http://" + "a" * 2048, "must be at most 2048 characters long, not 2055"),
        *(
            (Url(), url, "must name a host after the //, and a port from 1 to 65535 if any")
            for url in ("http://", "http:///a", "http://:80/", "http://a:0/", "http://a:99999/", "http://[::1/", "http://a:b/")
        ),
        (Cron(), "@daily", 'must have five fields (minute, hour, day, month, weekday), as in "0 3 * * *", not {value}; '
            'write "0 0 * * *"'),
        (Cron(), "0 0 31 2,4 *", "names a day that no month has, so it would never run: {value}"),
        (Zone(), "europe/berlin", "is not a time zone that this machine knows: {value}; did you mean Europe/Berlin?"),
        (Zone(), "Europe/Berln", "is not a time zone that this machine knows: {value}; did you mean Europe/Berlin?"),
        (Zone(), "Berlin", "is not a time zone that this machine knows: {value}; did you mean Europe/Berlin?"),
        (Zone(), "New York", "must be a time zone such as Europe/Berlin, not {value}; did you mean America/New_York?"),
        (Zone(), "Europe", "is not a time zone that this machine knows: {value}; write UTC, or a name such as Europe/Berlin"),
        (Zone(), "../../etc/passwd", "must be a time zone such as Europe/Berlin, not {value}"),
        (PortRange(), "9-1", "must be a port, or a range such as 1024-65535, not {value}"),
        (PortRange(), "a-b", "must be a port, or a range such as 1024-65535, not {value}"),
        (PortRange(), "1-65536", "must be a port, or a range such as 1024-65535, not {value}"),
        (Matcher(), "12,200", "must hold codes from 200 to 499 (of gRPC 0 to 99), the lower end of a range first, not {value}"),
        (Matcher(), "100", "must hold codes from 200 to 499 (of gRPC 0 to 99), the lower end of a range first, not {value}"),
        (Method(), "get", "must be a method in capital letters, as in GET, not {value}; write GET"),
        (Method(), "G*", "must be a method in capital letters, as in GET, not {value}"),
        (Method(), "G" * 41, "must be at most 40 characters long, not 41"),
        (HeaderName(), "HOST", "is what the condition `host` is for; write `when: {host: ...}`"),
        (HeaderName(), "X-*", "must be the name of a header, which has no wildcards, not {value}"),
        (HeaderName(), "X'Y", "must be the name of a header, which has no wildcards, not {value}"),
        (HeaderName(), "X Y", "must be the name of a header, which has no wildcards, not {value}"),
        (HeaderName(), "H" * 41, "must be at most 40 characters long, not 41"),
        (HeaderValue(), " a", "must be visible ASCII characters, without blanks at its ends (* and ? stand for any characters "
            "and for one), not {value}; write a"),
        (HeaderValue(), "\u00e9", "must be visible ASCII characters, without blanks at its ends (* and ? stand for any characters "
            "and for one), not {value}"),
        (HeaderValue(), "v" * 129, "must be at most 128 characters long, not 129"),
        (HeaderValue(), "", "must not be empty"),
        (QueryKey(), "a=b", "must be the name of a parameter, encoded as in the request (* and ? stand for any characters and for "
            "one), not {value}"),
        (QueryKey(), "k" * 129, "must be at most 128 characters long, not 129"),
        (QueryValue(), "a b", "must be a parameter's value, encoded as in the request (* and ? stand for any characters and for "
            "one), not {value}"),
        (QueryValue(), "a&b", "must be a parameter's value, encoded as in the request (* and ? stand for any characters and for "
            "one), not {value}"),
        (QueryValue(), "", "must not be empty"),
        (Source(), "10.0.0.1/8", "must be a network such as 10.0.0.0/16, its host bits zero, or an address, not {value}; "
            "write 10.0.0.0/8"),
        (Source(), "office", "must be a network such as 10.0.0.0/16, its host bits zero, or an address, not {value}"),
        (Source(), "fe80::1%lo", "must be a network such as 10.0.0.0/16, its host bits zero, or an address, not {value}"),
        (Source(), "255.255.255.255", "is no client's address: {value}"),
        (Source(), "255.255.255.255/32", "is no client's address: {value}"),
        (UrlHost(), "#{path}.com", "holds a keyword that cannot stand here; there is #{host}"),
        (UrlHost(), "https://example.com:443/", "must be a host name without its port, not {value}; write example.com"),
        (UrlHost(), "", "must not be empty"),
        (UrlHost(), "h" * 129, "must be at most 128 characters long, not 129"),
        (UrlPath(), "a", 'must be a path that begins with /, percent-encoded and without its query, not {value}; write "/a"'),
        (UrlPath(), "#{path}", 'must be a path that begins with /, percent-encoded and without its query, not {value}; '
            'write "/#{path}"'),
        (UrlPath(), "/a?b", "must be a path that begins with /, percent-encoded and without its query, not {value}"),
        (UrlPath(), "/%zz", "must be a path that begins with /, percent-encoded and without its query, not {value}"),
        (UrlPath(), "/#{query}", "holds a keyword that cannot stand here; there are #{host}, #{path} and #{port}"),
        (UrlPath(), "/#{", "must be a path that begins with /, percent-encoded and without its query, not {value}"),
        (UrlQuery(), "?a=b", 'must be a query without its ?, percent-encoded, not {value}; write "a=b"'),
        (UrlQuery(), "#{user}", "holds a keyword that cannot stand here; there are #{protocol}, #{host}, #{port}, #{path} and "
            "#{query}"),
        (UrlQuery(), "q" * 129, "must be at most 128 characters long, not 129"),
        (AnswerStatus(), 301, "must be 2xx, 4xx or 5xx, not {value}; write `redirect` to send the client elsewhere"),
        (AnswerStatus(), 100, "must be from 200 to 599, not {value}"),
        (TargetAddress(), "10.0.0.7", "must be an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000, not {value}; "
            "add its port"),
        (TargetAddress(), "db.internal:9000", "must be an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000, not "
            "{value}; write an address: a name would be looked up once, and what it stands for later would never be used"),
        (TargetAddress(), "::1:9000", "must be an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000, not {value}"),
        (TargetAddress(), "10.0.0.256:80", "must be an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000, not {value}"),
        (TargetAddress(), "10.0.0.7:70000", "must have a port from 1 to 65535, not {value}"),
        (TargetAddress(), "10.0.0.7:0", "must be an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000, not {value}"),
        (TargetAddress(), 9000, "must be an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000, not {value}"),
        *(
            (TargetAddress(), address, "must be the address of one machine, not {value}")
            for address in ("0.0.0.0:80", "224.0.0.1:80", "[::]:80", "[fe80::1]:80", "[ff02::1]:80")
        ),
        (CookieName(), "AWSALBAPP-0", "begins with AWSALB, as the load balancer's own cookies do; name a cookie that the app sets"),
        (CookieName(), "FAIRLEAD_OPEN_80", "begins with FAIRLEAD_, as the load balancer's own cookies do; name a cookie that the "
            "app sets"),
        (TargetAddress(), "[::ffff:0.0.0.0]:80", "must be the address of one machine, not {value}"),
        (Address(), "::ffff:127.0.0.1", "must be an address that programs listen on, not {value}; write 127.0.0.1"),
        (Method(), "CONNECT", "is answered with 405 before any rule is looked at: {value}; remove it"),
        (CookieName(), "a b", "must be the name of a cookie: letters, digits and ._-, not {value}"),
    ],
)  # fmt: skip
def test_what_a_kind_refuses_and_what_it_advises(kind: Kind, value: Any, why: str) -> None:
    assert refusal(kind, value) == why


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Duration(), 0.1, "100ms"),
        (Duration(), 1.5, "1.5s"),
        (Duration(), 60, "60s"),
        (Duration(), 90, "90s"),
        (Duration(), 300, "5m"),
        (Duration(), 3600, "1h"),
        (Duration(), 604800, "7d"),
        (Duration(), 0, "0s"),
        (Size(), 1500, "1500B"),
        (Size(), 1_000_000, "1MB"),
        (Size(), 1 << 30, "1GiB"),
        (Percent(), 100.0, "100%"),
        (Whole(1, 9), 7, "7"),
        (Words(), ("a", "b c"), "a 'b c'"),
        (Words(none=True), (), "none"),
    ],
)
def test_a_value_is_shown_as_one_would_write_it(kind: Kind, value: Any, text: str) -> None:
    assert kind.show(value) == text


@pytest.mark.parametrize("cron", ["0 3 * * *", "0 8 * * mon-fri", "*/5 8-18/2 1,15 JAN-mar 0,7", "0 0 31 2 mon"])
def test_cron_as_crontab_knows_it(cron: str) -> None:
    assert Cron().read(cron) == cron
    assert next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * * mo", "5-1 * * * *", "*/0 * * * *", "*-3 * * * *", "1,, * * * *",
     "1 * * * fri-sun", "0 0 L * *", "* * * * mon#2", "1" * 200 + " * * * *"],
)  # fmt: skip
def test_cron_as_crontab_does_not_know_it(cron: str) -> None:
    with pytest.raises(PydanticCustomError):
        Cron().read(cron)


def test_without_time_zone_data_only_utc_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(key: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", unknown)
    monkeypatch.setattr(times, "_zones", dict)
    assert Zone().read("UTC") == "UTC"
    said = "cannot be looked up: this machine has no time zone data; install the package tzdata"
    assert refusal(Zone(), "Europe/Berlin") == said


IN_NO_TEXT = ["a\nb", "a\rb", "a\0", "\x1b[31m", "a b", "a\u2028", "a\u202e", "\x9b1m"]
QUOTES_AND_SIGNS = ['a"', "a'", "%[src]", "a{}", "{x}", "a\\"]


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [(Name(), ""), (AppTarget(), "m:"), (HealthPath(), "/"), (PathPattern(), "/"), (HostPattern(), ""), (Zone(), ""), (Cron(), ""),
     (Address(), ""), (Cidr(), ""), (Matcher(), ""), (VariableName(), ""), (Url(), "http://h/"), (Method(), ""), (Source(), ""),
     (UrlHost(), ""), (UrlPath(), "/"), (UrlQuery(), ""), (TargetAddress(), "")],
)  # fmt: skip
def test_what_could_do_harm_in_another_language_is_refused(kind: Kind, prefix: str) -> None:
    # A URL is given to an HTTP client and to nothing else, and may hold what it likes of ASCII.
    for bad in IN_NO_TEXT if isinstance(kind, Url) else IN_NO_TEXT + QUOTES_AND_SIGNS:
        with pytest.raises(PydanticCustomError):
            kind.read(prefix + bad)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.tuples(st.text(), st.integers())))
def test_a_kind_reads_or_refuses_and_never_fails(value: Any) -> None:
    kinds = [Duration(), Size(), Percent(), Whole(1, 9), Number(0, 1), Name(), AppTarget(), VariableName(), Text()]
    for kind in [
        *kinds,
        Words(none=True),
        Commands(),
        Address(),
        Cidr(),
        Matcher(),
        PortRange(),
        Peer(),
        Level(),
        *MORE,
    ]:
        with contextlib.suppress(PydanticCustomError):
            kind.read(value)


@given(st.integers(0, 10**9))
def test_a_duration_shown_is_read_as_itself(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    shown = Duration().show(seconds)
    if seconds < 1000:
        assert Duration().read(shown) == seconds
