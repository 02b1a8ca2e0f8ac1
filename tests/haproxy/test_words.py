"""Words for HAProxy: any home is one that it can be told of."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.core.layout import layout_of
from fairlead.errors import BalancerError
from fairlead.haproxy import words


@given(
    home=st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=120).map(
        "/".__add__
    )
)
@example(home="/srv/a$HOME")
@example(home="/srv/a,b")
@example(home="/srv/a\nb")
@example(home="/srv/'a' \"b\" \\ #{}%[x]")
@example(home="/srv/\udc80")
def test_the_sockets_of_any_home_have_paths_that_can_be_written(home: str) -> None:
    layout = layout_of(home, 1000)
    words.file_path(f"{layout.balancer_folder}/haproxy.1.sock", "runtime socket")
    words.target_address(f"unix:{layout.instance_socket('shop', 'web-1')}")


@pytest.mark.parametrize("path", ["/a$b", "/a,b", "relative", "/a\nb"])
def test_a_path_that_haproxy_would_read_as_something_else_is_refused(path: str) -> None:
    with pytest.raises(BalancerError):
        words.file_path(path, "runtime socket")
