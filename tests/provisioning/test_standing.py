"""How directories stand: heard of or not, with what answer, with which tokens, in few statements."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from idp_bridge import clock, db, scim_tokens
from idp_bridge.models import ScimRequest, ScimToken
from idp_bridge.provisioning import request_log, standing, users
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.request_log import Answered, Sent
from tests.conftest import World, add_provider


def keep(directory: Directory, status: int = 200, *, answer: bytes = b"{}") -> ScimRequest:
    """A request of this directory, in its log."""
    sent = Sent(
        directory_id=directory.id,
        token_id="tok_1",
        timestamp=clock.now(),
        method="GET",
        path="/Users",
        query=b"",
        body=b"",
        is_json=False,
        resource_id=None,
        address=None,
        user_agent="",
        request_id=None,
    )
    with db.transaction():
        request_log.record(sent, Answered(status, answer, 1))
    return ScimRequest.select().order_by(ScimRequest.id.desc()).get()


def test_a_directory_is_told_with_all_that_it_has(acme: World, directory: Directory, second: Directory) -> None:
    """The newest request, the failures of the last day, users, tokens; nothing of another directory's."""
    with db.transaction():
        users.create(directory, {"userName": "ann@acme.test"})
    keep(directory)
    last = keep(directory, 404, answer=b'{"detail":"gone"}')
    keep(second, 404, answer=b'{"detail":"gone"}')
    one, other = standing.of_account(acme.account)
    assert one == standing.of_provider(directory.identity_provider)
    assert (one.last, one.heard_at) == (last, last.timestamp)
    assert (one.failed, one.users, one.groups, len(one.tokens)) == (1, 1, 0, 1)
    assert (one.live, one.waiting) == (True, False)
    assert (other.failed, other.users) == (1, 0)


def test_it_is_heard_of_by_its_token_too(directory: Directory) -> None:
    """Of many reads in a second only some are kept; the token's use is always known."""
    last = keep(directory)
    later = last.timestamp + timedelta(minutes=5)
    assert standing.of_provider(directory.identity_provider).heard_at == last.timestamp
    ScimToken.update(last_used_at=later).execute()
    assert standing.of_provider(directory.identity_provider).heard_at == later


def test_it_waits_for_a_first_request_and_for_that_with_a_new_token(acme: World, directory: Directory) -> None:
    """And for none where no token works."""

    def waits() -> bool:
        return standing.of_provider(directory.identity_provider).waiting

    assert waits()
    keep(directory)
    assert not waits()
    with db.transaction():
        scim_tokens.issue(acme.system, directory.identity_provider)
    assert waits()
    ScimToken.update(last_used_at=clock.now()).execute()
    assert not waits()
    ScimToken.update(expires_at=clock.now()).execute()
    one = standing.of_provider(directory.identity_provider)
    assert (one.live, one.waiting, one.rotation) == (False, False, None)


def test_another_directory_costs_no_statement_more(
    acme: World, directory: Directory, statements: Callable[[], Any], idp_certificate: str
) -> None:
    """Six, of one or of three."""
    with statements() as sent:
        standing.of_account(acme.account)
    assert len(sent) == 6
    for number in range(2):
        add_provider(acme, idp_certificate, name=f"Okta {number}", entity_id=f"https://{number}.example.test")
    with statements() as sent:
        assert len(standing.of_account(acme.account)) == 3
    assert len(sent) == 6


def test_an_account_without_a_provider_has_none(acme: World, directory: Directory) -> None:
    """Nothing to be heard of."""
    with db.transaction():
        directory.identity_provider.delete_instance()
    assert standing.of_account(acme.account) == []
