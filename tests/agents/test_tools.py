"""What tools are made of: functions and their schemas, places they may reach, secrets by name."""

import pickle
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from orchestrator.errors import PromiseError
from orchestrator.plan.models import canonical_json
from workers import Access, AllowedPath, AllowedUrl, secret, tool, use_secrets
from workers.tools.access import NotAllowed
from workers.tools.secrets import Secret, Seen, watch_secrets


class Order(BaseModel):
    item: str
    count: int = 1


def test_a_function_becomes_a_tool_with_its_schema() -> None:
    @tool(name="order-now", description="Order things.", effect=True, timeout_s=3.0)
    async def order(ctx: object, order: Order, urgent: Annotated[bool, Field(description="today")] = False) -> str:
        return "ok"

    traits = order.traits
    assert (traits.spec.name, traits.spec.description, traits.effect, traits.timeout_s) == (
        "order-now",
        "Order things.",
        True,
        3.0,
    )
    schema = traits.spec.parameters
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["order"], False)
    assert set(schema["properties"]) == {"order", "urgent"}  # type: ignore[arg-type]  # an object


def test_a_tool_is_still_a_function() -> None:
    @tool
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    assert add(1, 2) == 3
    assert repr(add) == "tool('add')"


def test_what_cannot_be_a_tool_is_refused() -> None:
    def nameless(x: int) -> int:
        return x

    with pytest.raises(PromiseError, match="says nothing of itself"):
        tool(nameless)
    with pytest.raises(PromiseError, match="tool name 'a b' is not allowed"):
        tool(name="a b", description="d")(nameless)
    with pytest.raises(PromiseError, match="timeout_s is 0"):
        tool(description="d", timeout_s=0)(nameless)
    with pytest.raises(PromiseError, match="cannot be filled by name"):
        tool(name="open", description="d")(lambda *xs: xs)

    def listed(urls: list[AllowedUrl]) -> int:
        return len(urls)

    with pytest.raises(PromiseError, match="holds an allowed place inside another type"):
        tool(description="d")(listed)

    def optional(url: AllowedUrl | None = None) -> int:
        return 0

    assert tool(description="d")(optional)._places == {"url": "url"}


ACCESS = Access(hosts=("api.example.org", "*.docs.example.org", "localhost:8080"), schemes=("https", "http"))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/x?y=1",
        "https://API.EXAMPLE.ORG/",
        "https://api.example.org:443/",
        "https://api.example.org./",
        "https://a.docs.example.org/",
        "https://a.b.docs.example.org/",
        "http://localhost:8080/x",
    ],
)
def test_allowed_hosts(url: str) -> None:
    assert ACCESS.url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://docs.example.org/",  # a wildcard does not stand for the host itself
        "https://api.example.org.evil.example/",
        "https://api.example.org@evil.example/",
        "https://user:pw@api.example.org/",
        "https://api.example.org:8443/",
        "http://localhost/",
        "ftp://api.example.org/",
        "file:///etc/passwd",
        "//api.example.org/",
        "api.example.org",
        "https://api.example.org\\@evil.example/",
        "https://api.example.org\n.evil.example/",
        "https://1.2.3.docs.example.org.evil/",
        "https://[::1/",
        "javascript:alert(1)",
        "",
    ],
)
def test_other_hosts(url: str) -> None:
    with pytest.raises(NotAllowed):
        ACCESS.url(url)


def test_without_an_access_nothing_is_allowed() -> None:
    with pytest.raises(NotAllowed, match="allowed are none"):
        Access().url("https://api.example.org/")
    with pytest.raises(NotAllowed, match="allowed are none"):
        Access().path("x")


def test_plain_http_is_not_allowed_unless_it_is_named() -> None:
    with pytest.raises(NotAllowed, match="its scheme is none of https"):
        Access(hosts=("a.example",)).url("http://a.example/")


@pytest.mark.parametrize("host", ["https://x", "a/b", "*", "a*", "*.a.*", "", "u@a"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(PromiseError):
        Access(hosts=(host,))


def test_paths_are_judged_behind_their_links(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_text("s")
    (home / "out").symlink_to(tmp_path / "secret")
    (home / "in").symlink_to(home / "a.txt")
    access = Access(paths=(home,))
    assert access.path("a.txt") == home / "a.txt"
    assert access.path(home / "a.txt") == home / "a.txt"
    assert access.path("in") == home / "a.txt"
    for bad in ("out", "../secret", str(tmp_path / "secret"), "/etc/passwd", "a\0b", "../home2/x"):
        with pytest.raises(NotAllowed):
            access.path(bad)


def test_a_secret_is_a_name_until_it_is_revealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "value-1")
    reference = secret("MY_TOKEN")
    assert repr(reference) == "secret('MY_TOKEN')"
    assert reference == Secret("MY_TOKEN")
    assert reference.reveal() == "value-1"
    monkeypatch.setenv("MY_TOKEN", "value-2")
    assert reference.reveal() == "value-2"  # looked up each time
    assert b"value" not in pickle.dumps(reference.name)
    with pytest.raises(TypeError):
        canonical_json({"token": reference})  # type: ignore[dict-item]  # it has no JSON form, and that is meant


def test_a_secret_that_is_missing_or_too_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(PromiseError, match="secret MY_TOKEN has no value; set the environment variable MY_TOKEN"):
        secret("MY_TOKEN").reveal()
    monkeypatch.setenv("MY_TOKEN", "abc")
    with pytest.raises(PromiseError, match="under 4 characters"):
        secret("MY_TOKEN").reveal()
    with pytest.raises(PromiseError, match="cannot name a secret"):
        secret("no such name")


def test_a_provider_takes_the_place_of_the_environment() -> None:
    use_secrets({"VAULTED": "from the vault"}.get)
    try:
        assert secret("VAULTED").reveal() == "from the vault"
        with pytest.raises(PromiseError):
            secret("HOME").reveal()
    finally:
        use_secrets(None)
    assert secret("HOME").reveal()


def test_values_are_struck_out_in_every_form() -> None:
    seen = watch_secrets()
    use_secrets({"KEY": 'a b/ü"c'}.get)
    try:
        secret("KEY").reveal()
    finally:
        use_secrets(None)
    forms = ['a b/ü"c', 'a b/\\u00fc\\"c', "a%20b%2F%C3%BC%22c", "a%20b%2f%c3%bc%22c", "a+b%2F%C3%BC%22c"]
    forms += ["YSBiL8O8ImM=", "6120622fc3bc2263"]
    for form in forms:
        assert seen.struck(f"<{form}>").startswith("<[secret KEY]"), form
    assert seen.struck_from({'a b/ü"c': ['x a b/ü"c y', 1, None]}) == {"[secret KEY]": ["x [secret KEY] y", 1, None]}
    assert Seen().struck_from({"a": "b"}) == {"a": "b"}


def test_a_path_argument_is_marked() -> None:
    @tool
    def read(path: AllowedPath, url: AllowedUrl, other: str) -> str:
        """Read."""
        return ""

    assert read._places == {"path": "path", "url": "url"}
