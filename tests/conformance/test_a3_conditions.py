"""A3: when a condition holds."""

from __future__ import annotations

import pytest

from tests.conformance.client import tell
from tests.conformance.facts import fact
from tests.conformance.files import with_rule
from tests.conformance.rehearsal import Up, refusal_of, stack_of

pytestmark = pytest.mark.live

FILE = r"""
name: conditions
services:
  web: {targets: ["${env.web}"]}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /many/*}, respond: {status: 200, body: many}}
        - {when: {path: /one/?}, respond: {status: 200, body: one}}
        - {when: {path: /img/*/pics}, respond: {status: 200, body: pics}}
        - {when: {path: "*.json"}, respond: {status: 200, body: json}}
        - {when: {path: /Case}, respond: {status: 200, body: case}}
        - {when: {path: "/a_b-c.d$e~f@g:h+i&j"}, respond: {status: 200, body: special}}
        - {when: {path: "/shop.Cart/Add"}, respond: {status: 200, body: grpc}}
        - {when: {path: /sent, header: {X-Name: [alpha, "be*", "ga?ma"]}}, respond: {status: 200, body: header}}
        - {when: {path: /sent, header: {Cookie: "*session=*"}}, respond: {status: 200, body: cookie}}
        - {when: {path: /method, method: [GET, PURGE-ALL, LIST_ALL]}, respond: {status: 200, body: method}}
        - {when: {path: /query, query: {Version: [v1, "v?*"]}}, respond: {status: 200, body: version}}
        - {when: {path: /query, query: {"": wanted}}, respond: {status: 200, body: any key}}
        - {when: {path: /query, query: {star: '\*', mark: 'a\?'}}, respond: {status: 200, body: literal}}
        - {when: {path: /query, query: {"k*": deep}}, respond: {status: 200, body: key}}
      default: {forward: web}
    - port: ${env.PORT_HOSTS}
      rules:
        - {when: {host: Exact.Example.com}, respond: {status: 200, body: exact}}
        - {when: {host: "*.example.com"}, respond: {status: 200, body: below}}
        - {when: {host: "a?.test.com"}, respond: {status: 200, body: one more}}
        - {when: {host: "pre*.test.com"}, respond: {status: 200, body: prefix}}
      default: {respond: {status: 404}}
    - port: ${env.PORT_SOURCES}
      rules:
        - {when: {source_ip: [127.0.0.2/32, 127.1.0.0/16, "2001:db8::/32"]}, respond: {status: 200, body: known}}
      default: {respond: {status: 403}}
"""


@fact("A3", "`*` is zero or more characters", "real")
def test_a3_a_star_is_any_number_of_characters(up: Up) -> None:
    assert [up.ask(path).text for path in ("/many/", "/many/x", "/many/of-them")] == ["many"] * 3


@fact("A3", "`?` is exactly one character", "real")
def test_a3_a_question_mark_is_one_character(up: Up) -> None:
    assert up.ask("/one/x").text == "one"
    assert up.ask("/one/").text == "web"
    assert up.ask("/one/xy").text == "web"


@fact("A3", "A value must match the whole text", "real")
def test_a3_a_value_matches_the_whole(up: Up) -> None:
    assert up.ask("/before/many/x").text == "web"
    assert up.ask("/Case/more").text == "web"
    assert up.ask("/Cas").text == "web"


@fact("A3", "`*` crosses `/` and `.`", "real")
def test_a3_a_star_crosses_slashes_and_dots(up: Up) -> None:
    assert up.ask("/img/a/b.c/d/pics").text == "pics"
    assert up.ask("/deep/er/file.tar.json").text == "json"


@fact("A3", "Paths are compared with case", "real")
def test_a3_path_patterns_are_case_sensitive(up: Up) -> None:
    assert up.ask("/Case").text == "case"
    assert up.ask("/case").text == "web"


@fact("A3", "Path patterns look at the path, never at the query", "real")
def test_a3_path_patterns_do_not_look_at_the_query(up: Up) -> None:
    assert up.ask("/Case?x=1").text == "case"
    assert up.ask("/other?/Case").text == "web"
    assert up.ask("/other?x=.json").text == "web"


@fact("A3", "Paths are compared as they were sent, not decoded", "real")
def test_a3_paths_are_compared_as_sent(up: Up) -> None:
    assert up.ask("/%43ase").text == "web"


@fact("A3", "Routing never rewrites the path", "real")
def test_a3_the_path_is_not_rewritten(up: Up) -> None:
    for target in ("/a/../b", "/a//b/./c", "/%2e%2e/%41?x=%20&y=+&&z", "/;p=1?", "/a_b\"'<>|^`{}"):
        up.ask(target)
        assert up.servers["web"].last.target == target


@fact("A3", "A path pattern holds A-Z a-z 0-9 _ - . $ / ~ \" ' @ : + & * ?, at most 128 characters", "approximated",
      "quotes are refused; a path begins with / or *")  # fmt: skip
def test_a3_characters_of_a_path_pattern(up: Up) -> None:
    assert up.ask("/a_b-c.d$e~f@g:h+i&j").text == "special"
    stack_of(with_rule(f"{{when: {{path: /{'x' * 127}}}, respond: {{status: 200}}}}"))
    assert "128" in refusal_of(with_rule(f"{{when: {{path: /{'x' * 128}}}, respond: {{status: 200}}}}"))
    for bad in ("/a b", "/a'b", "/a%20b", "/ä"):
        assert "a path that begins with /" in refusal_of(
            with_rule(f'{{when: {{path: "{bad}"}}, respond: {{status: 200}}}}')
        )


@fact("A3", "A path pattern may be a gRPC method: /package.service/method", "real")
def test_a3_a_path_pattern_may_be_a_grpc_method(up: Up) -> None:
    assert up.ask("/shop.Cart/Add", method="POST").text == "grpc"


@fact("A3", "Hosts are compared without case", "real")
def test_a3_hosts_are_compared_without_case(up: Up) -> None:
    for host in ("exact.example.com", "EXACT.example.COM", "Exact.Example.com"):
        assert up.ask(port="PORT_HOSTS", host=host).text == "exact"


@fact("A3", "`*.example.com` matches `test.example.com`, not `example.com`", "real")
def test_a3_a_wildcard_host_does_not_match_its_domain(up: Up) -> None:
    assert up.ask(port="PORT_HOSTS", host="test.example.com").text == "below"
    assert up.ask(port="PORT_HOSTS", host="a.b.example.com").text == "below"
    assert up.ask(port="PORT_HOSTS", host="example.com").status == 404


@fact("A3", "Wildcards may stand anywhere in a host", "real")
def test_a3_wildcards_anywhere_in_a_host(up: Up) -> None:
    assert up.ask(port="PORT_HOSTS", host="a1.test.com").text == "one more"
    assert up.ask(port="PORT_HOSTS", host="a12.test.com").status == 404
    assert up.ask(port="PORT_HOSTS", host="prefixed.test.com").text == "prefix"


@fact("A3", "The port of a Host header is not compared", "real")
def test_a3_the_port_of_a_host_is_not_compared(up: Up) -> None:
    assert up.ask(port="PORT_HOSTS", host="exact.example.com:1234").text == "exact"


@fact(
    "A3", "With several Host headers the first one is compared", "approximated", "such a request is answered with 400"
)
def test_a3_several_host_headers(up: Up) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: exact.example.com\r\nHost: a1.test.com\r\n\r\n"
    assert tell(up.port("PORT_HOSTS"), raw).status == 400


@fact("A3", "A host has at most 128 of A-Z a-z 0-9 - . * ?, a dot, and only letters behind the last one", "approximated",
      "`_`, hosts without a dot and digits behind the last one are taken as well: `localhost`, `127.0.0.1`")  # fmt: skip
def test_a3_characters_of_a_host_pattern() -> None:
    for good in ("a-b.example.com", "*.x?.com", "localhost", "127.0.0.1", "a_b.test"):
        stack_of(with_rule(f'{{when: {{host: "{good}"}}, respond: {{status: 200}}}}'))
    for bad in ("a b.com", "a/b.com", "a.com:80", "ä.com"):
        assert "a host name without its port" in refusal_of(
            with_rule(f'{{when: {{host: "{bad}"}}, respond: {{status: 200}}}}')
        )
    assert "128" in refusal_of(with_rule(f"{{when: {{host: {'x' * 125}.com}}, respond: {{status: 200}}}}"))


@fact("A3", "Header names and values are compared without case", "real")
def test_a3_headers_are_compared_without_case(up: Up) -> None:
    assert up.ask("/sent", [("x-nAME", "ALPHA")]).text == "header"
    assert up.ask("/sent", [("X-Other", "alpha")]).text == "web"


@fact("A3", "Header values may hold wildcards, and match as a whole", "real")
def test_a3_header_values_hold_wildcards(up: Up) -> None:
    assert up.ask("/sent", [("X-Name", "beta")]).text == "header"
    assert up.ask("/sent", [("X-Name", "gamma")]).text == "header"
    assert up.ask("/sent", [("X-Name", "gamma, and more")]).text == "web"
    assert up.ask("/sent", [("X-Name", "alphabet")]).text == "web"
    assert up.ask("/sent", [("Cookie", "a=1; session=x; b=2")]).text == "cookie"


@fact("A3", "A header that occurs several times is tried value by value until one matches", "real")
def test_a3_each_occurrence_of_a_header_is_tried(up: Up) -> None:
    assert up.ask("/sent", [("X-Name", "nothing"), ("X-Name", "alpha")]).text == "header"
    assert up.ask("/sent", [("X-Name", "nothing"), ("X-Name", "neither")]).text == "web"


@fact("A3", "A header condition cannot look at Host", "real", message="is what the condition `host` is for")
def test_a3_a_header_condition_cannot_name_host(message: str) -> None:
    assert message in refusal_of(with_rule("{when: {header: {Host: a.test}}, respond: {status: 200}}"))


@fact("A3", "A header name has at most 40 characters, a value 128", "real")
def test_a3_lengths_of_a_header_condition() -> None:
    def file(name: int, value: int) -> str:
        return with_rule(f"{{when: {{header: {{{'n' * name}: {'v' * value}}}}}, respond: {{status: 200}}}}")

    stack_of(file(40, 128))
    assert "40" in refusal_of(file(41, 128))
    assert "128" in refusal_of(file(40, 129))


@fact("A3", "Methods are compared exactly and with case; custom ones are allowed", "real")
def test_a3_methods_are_compared_exactly(up: Up) -> None:
    assert up.ask("/method").text == "method"
    assert up.ask("/method", method="LIST_ALL").text == "method"
    assert up.ask("/method", method="LIST_all").text == "web"
    assert up.ask("/method", method="get").text == "web"
    assert up.ask("/method", method="GETS").text == "web"


@fact("A3", "A method condition for GET does not hold for HEAD", "real")
def test_a3_get_is_not_head(up: Up) -> None:
    assert up.ask("/method", method="HEAD").one("content-length") == "3"  # `web`


@fact("A3", "A method has at most 40 of A-Z, - and _, without wildcards", "real")
def test_a3_characters_of_a_method() -> None:
    stack_of(with_rule(f"{{when: {{method: {'X' * 40}}}, respond: {{status: 200}}}}"))
    for bad in ("X" * 41, '"GE*"', '"G T"', "G1", "get"):
        assert refusal_of(with_rule(f"{{when: {{method: {bad}}}, respond: {{status: 200}}}}"))


@fact("A3", "Parameters of the query and their values are compared without case, with wildcards", "real")
def test_a3_queries_are_compared_without_case(up: Up) -> None:
    for query in ("version=v1", "VERSION=V1", "x=1&version=v22", "version=no&version=v1"):
        assert up.ask(f"/query?{query}").text == "version"
    for query in ("", "version", "version=v", "xversion=v1", "version=av1", "x=version=v1"):
        assert up.ask(f"/query?{query}").text == "web"


@fact("A3", "A value without a key looks at every parameter", "real")
def test_a3_a_query_without_key_is_any_key(up: Up) -> None:
    assert up.ask("/query?a=1&b=wanted").text == "any key"
    assert up.ask("/query?wanted=1").text == "web"


@fact("A3", "A key may hold wildcards", "real")
def test_a3_a_query_key_may_hold_wildcards(up: Up) -> None:
    assert up.ask("/query?kilo=deep").text == "key"
    assert up.ask("/query?xk=deep").text == "web"


@fact("A3", "A backslash makes `*` and `?` of a query literal", "real")
def test_a3_a_backslash_makes_a_wildcard_literal(up: Up) -> None:
    assert up.ask("/query?star=*&mark=a?").text == "literal"
    assert up.ask("/query?star=x&mark=a?").text == "web"
    assert up.ask("/query?star=*&mark=ab").text == "web"


@fact("A3", "Of several pairs in a query condition one suffices", "approximated",
      "of several values of one key; several keys must all match (write a rule for each)")  # fmt: skip
def test_a3_one_value_of_a_query_suffices(up: Up) -> None:
    assert up.ask("/query?version=v1").text == "version"
    assert up.ask("/query?version=v9").text == "version"


@fact("A3", "source-ip compares the address that the connection comes from with CIDR blocks", "real")
def test_a3_source_ip_is_the_peer(up: Up) -> None:
    def status(source: str) -> int:
        return up.ask(port="PORT_SOURCES", source=source).status

    assert (status("127.0.0.2"), status("127.1.2.3")) == (200, 200)
    assert (status("127.0.0.3"), status("127.2.0.1")) == (403, 403)


@fact("A3", "source-ip does not look at X-Forwarded-For", "real")
def test_a3_source_ip_does_not_look_at_forwarded_for(up: Up) -> None:
    assert up.ask("/", [("X-Forwarded-For", "127.0.0.2")], port="PORT_SOURCES").status == 403


@fact("A3", "source-ip takes at most 5 IPv4 or IPv6 blocks", "real")
def test_a3_blocks_of_source_ip() -> None:
    def file(*blocks: str) -> str:
        listed = ", ".join(f'"{block}"' for block in blocks)
        return with_rule(f"{{when: {{source_ip: [{listed}]}}, respond: {{status: 200}}}}")

    stack_of(file("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128", "0.0.0.0/0"))
    assert "5" in refusal_of(file(*(f"10.0.{n}.0/24" for n in range(6))))
    assert refusal_of(file("10.0.0.0/33"))


@fact(
    "A3", "source-ip does not take 255.255.255.255/32", "real", message='is no client\'s address: "255.255.255.255/32"'
)
def test_a3_source_ip_does_not_take_broadcast(message: str) -> None:
    assert message in refusal_of(with_rule("{when: {source_ip: 255.255.255.255/32}, respond: {status: 200}}"))


@fact("A3", "At most 3 values in a condition", "approximated", "5, which is the most that a rule may have in all")
def test_a3_values_in_a_condition() -> None:
    stack_of(with_rule("{when: {path: [/1, /2, /3, /4, /5]}, respond: {status: 200}}"))
    assert "5" in refusal_of(with_rule("{when: {path: [/1, /2, /3, /4, /5, /6]}, respond: {status: 200}}"))


@fact("A3", "A value may not be empty", "real", message="must not be empty")
def test_a3_a_value_may_not_be_empty(message: str) -> None:
    for condition in ('path: ""', 'host: [""]', 'header: {X: ""}', 'method: ""'):
        assert message in refusal_of(with_rule(f"{{when: {{{condition}}}, respond: {{status: 200}}}}"))


@fact("A3", "Regular expressions as values (RegexValues)", "refused", message="is not a key that fairlead knows here")
def test_a3_regular_expressions(message: str) -> None:
    assert message in refusal_of(with_rule('{when: {path_regex: "^/a+$"}, respond: {status: 200}}'))


@fact("A3", "Rule transforms (host and URL rewrite)", "refused", message="is not a key that fairlead knows here")
def test_a3_transforms(message: str) -> None:
    assert message in refusal_of(with_rule("{when: {path: /a}, transform: {url: /b}, forward: web}"))
