"""`simulate` as a person and as a script meet it: words, JSON and exit codes."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from idp_bridge.simulator.cli import scim_base, simulate

TOKEN = "test-token"
SMALL = ["--users", "1", "--groups", "1"]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, list(arguments))


def against(server: Any, provider: str, *more: str) -> Result:
    return invoke(provider, "--base-url", server.url, "--token", TOKEN, *SMALL, *more)


@pytest.mark.parametrize(
    ("provider", "dialects"),
    [("okta", ["wizard", "catalogue"]), ("entra", ["default", "aadOptscim062020"])],
)
def test_both_dialects_are_played_and_a_content_provider_is_exit_0(
    provider: str, dialects: list[str], scim_server: Any
) -> None:
    """One plain paragraph per dialect, without a bar in a pipe."""
    result = against(scim_server, provider)
    assert result.exit_code == 0, result.output
    for dialect in dialects:
        assert f"{provider} ({dialect}): " in result.stdout
    assert result.stdout.count("nothing it would choke on") == 2
    assert result.stderr == ""


def test_findings_are_explained_and_exit_1(scim_server: Any) -> None:
    """Got, want and what follows, in words."""
    scim_server.faults.append(lambda exchange: setattr(exchange, "media_type", "text/plain"))
    result = against(scim_server, "entra", "--dialect", "default")
    assert result.exit_code == 1
    assert "got:  text/plain" in result.stdout
    assert "want: application/scim+json" in result.stdout
    assert "so:   Microsoft's requirements" in result.stdout
    assert "aadOptscim062020" not in result.stdout


@pytest.mark.parametrize("broken", [False, True])
def test_json_is_one_object_on_stdout(broken: bool, scim_server: Any) -> None:
    """A script reads `clean` and every finding; nothing else is printed."""
    if broken:
        scim_server.faults.append(lambda exchange: setattr(exchange, "media_type", "text/plain"))
    result = against(scim_server, "okta", "--json")
    report = json.loads(result.stdout)
    assert report["clean"] is not broken
    assert result.exit_code == int(broken)
    assert [run["dialect"] for run in report["runs"]] == ["wizard", "catalogue"]
    assert all(bool(run["findings"]) is broken for run in report["runs"])
    keys = {"step", "request", "got", "want", "consequence", "times"}
    assert all(set(finding) == keys for run in report["runs"] for finding in run["findings"])


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_refused_token_is_one_line_and_exit_2(more: list[str], scim_server: Any) -> None:
    """Nobody has to read a traceback to learn that the token is stale."""
    result = invoke("okta", "--base-url", scim_server.url, "--token", "stale", *more)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {scim_server.url} does not accept this token (401: wrong token).\n"
    assert result.stdout == ""


def test_nobody_at_home_is_one_line_and_exit_2() -> None:
    """The reason is the system's own words."""
    result = invoke("entra", "--base-url", "http://127.0.0.1:9", "--token", "x")
    assert result.exit_code == 2
    assert result.stderr == "Error: http://127.0.0.1:9/scim/v2 does not answer: Connection refused.\n"


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/scim/v2"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/scim/v2"),
        ("https://x.test/scim/v2/", "https://x.test/scim/v2"),
        ("https://x.test/tenants/7/scim", "https://x.test/tenants/7/scim"),
        ("https://x.test/scim/v2?aadOptscim062020", "https://x.test/scim/v2"),
    ],
)
def test_base_url_may_be_the_origin_or_the_scim_base(given: str, want: str) -> None:
    """What an administrator pastes is understood; Entra's flag in the URL is no part of the address."""
    assert scim_base(given) == want


@pytest.mark.parametrize("given", ["", "x.test/scim", "ftp://x.test", "http://"])
def test_what_is_no_url_is_said_so(given: str) -> None:
    """A typing error is told apart from a server that is down."""
    with pytest.raises(click.BadParameter):
        scim_base(given)


def test_a_dialect_belongs_to_its_provider(scim_server: Any) -> None:
    """Okta has no aadOptscim062020."""
    result = against(scim_server, "okta", "--dialect", "default")
    assert result.exit_code == 2
    assert "wizard, catalogue" in result.stderr
    assert scim_server.log == []
