"""Credentials: one's own API keys, authtokens and SSH public keys; an administrator's view of everybody's."""

from collections.abc import Iterator, Sequence
from typing import Any

from flask import g, request

from idp_bridge import credentials
from idp_bridge.models import BotUser, Credential, Member
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard import issuing, table
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.table import Asked
from idp_bridge.web.guard import actor, guard


@blueprint.get("/credentials", endpoint="credentials")
@guard(Permission.CREDENTIALS_OWN)
def credential_list() -> Any:
    """Mine; with ``?of=all`` everybody's, for who may see them."""
    return _page()


def _page(*, issued: credentials.Issued | None = None) -> Any:
    everybody = _everybodys()
    asked = _asked(everybody)
    found = issuing.listing(asked, *_which(asked, everybody))
    return render(
        "credentials.html",
        status=201 if issued else 200,
        credentials=found,
        owners=_owners(found.rows) if everybody else {},
        everybody=everybody,
        kinds=issuing.KINDS,
        issued=issued,
    )


@blueprint.get("/credentials.csv")
@guard(Permission.CREDENTIALS_OWN)
def export_credentials() -> Any:
    """Those that the page lists; never a secret."""
    account, everybody = actor().account, _everybodys()
    asked = _asked(everybody)

    def cells(rows: list[Credential]) -> Iterator[Sequence[Any]]:
        owners = _owners(rows)
        for row in rows:
            owner_id = row.member_id or row.bot_user_id
            about = (row.id, row.kind, row.description, owner_id, owners.get(owner_id or ""), row.acl, row.fingerprint)
            yield (*about, row.created_at, row.last_used_at, row.last_used_address, row.expires_at)

    steps = issuing.steps(asked, *_which(asked, everybody))
    return table.download(f"credentials-{account.slug}", _HEAD, steps, cells)


_HEAD = (
    *("id", "kind", "description", "owner_id", "owner", "acl", "fingerprint"),
    *("created_at", "last_used_at", "last_used_address", "expires_at"),
)


def _everybodys() -> bool:
    return request.args.get("of") == "all" and actor().may(Permission.CREDENTIALS_ALL)


def _asked(everybody: bool) -> Asked:
    return issuing.EVERYBODYS.asked(of="all") if everybody else issuing.OWN.asked()


def _which(asked: Asked, everybody: bool) -> list[Any]:
    """The conditions on them."""
    owner = asked.wanted.get("owner", "") if everybody else actor().id or ""
    mine: Any = Credential.account == actor().account
    if not owner:
        return [mine]
    return [mine, (Credential.bot_user if owner.startswith("bot_") else Credential.member) == owner]


def _owners(rows: list[Credential]) -> dict[str, str]:
    """The names of those who own these."""
    people: Any = Member.select(Member.id, Member.email).where(Member.id.in_([row.member_id for row in rows]))
    robots: Any = BotUser.select(BotUser.id, BotUser.name).where(BotUser.id.in_([row.bot_user_id for row in rows]))
    return dict(people.tuples()) | dict(robots.tuples())


@blueprint.post("/credentials")
@refused_on(credential_list)
@guard(Permission.CREDENTIALS_OWN)
def create_credential() -> Any:
    """One for myself; its secret is shown once."""
    return _page(issued=issuing.issue(actor(), g.member))


@blueprint.post("/credentials/<kind>/<credential_id>/delete")
@refused_on(credential_list)
@guard(Permission.CREDENTIALS_OWN)
def delete_credential(kind: str, credential_id: str) -> Any:
    """Revoke for good; asked back where that would be felt."""
    found = credentials.get(actor(), issuing.kind_of(kind), credential_id)
    if asked := issuing.revoke(actor(), found):
        return asked
    return done(f"{credential_id} is revoked.", "credentials", of=request.form.get("of") or None)
