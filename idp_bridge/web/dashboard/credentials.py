"""Credentials: one's own API keys, authtokens and SSH public keys; an administrator's view of everybody's."""

from typing import Any

from flask import g, request

from idp_bridge import credentials
from idp_bridge.models import BotUser, Credential, Member
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard import issuing
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.guard import actor, guard

LISTED = 200  # of each kind; the API pages through more


@blueprint.get("/credentials", endpoint="credentials")
@guard(Permission.CREDENTIALS_OWN)
def credential_list() -> Any:
    """Mine; with ``?of=all`` everybody's, for who may see them."""
    return _page()


def _page(*, issued: credentials.Issued | None = None) -> Any:
    everybody = request.args.get("of") == "all" and actor().may(Permission.CREDENTIALS_ALL)
    rows: list[Credential] = []
    for kind in credentials.KINDS.values():
        seen = credentials.of_kind(actor(), kind)
        mine = seen if everybody else seen.where(Credential.member == actor().id)
        rows.extend(mine.order_by(Credential.id.desc()).limit(LISTED))
    return render(
        "credentials.html",
        status=201 if issued else 200,
        credentials=rows,
        owners=_owners(rows) if everybody else {},
        everybody=everybody,
        kinds=issuing.KINDS,
        issued=issued,
    )


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
