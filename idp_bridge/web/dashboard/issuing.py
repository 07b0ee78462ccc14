"""Credentials on pages: listed, made from a form and revoked, alike on the page of a bot user and on one's own."""

from dataclasses import replace
from typing import Any

from flask import request

from idp_bridge import credentials
from idp_bridge.actors import Actor
from idp_bridge.errors import Invalid
from idp_bridge.models import Credential
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import render
from idp_bridge.web.dashboard.table import Asked, Column, Filter, Listing, Steps, Table, page, step

#: Kind -> what a person calls it, and what it is for.
KINDS = {
    "api_key": ("API key", "Calls the management API with the owner's roles."),
    "authtoken": ("Authtoken", "Lets an agent start endpoints."),
    "ssh_public_key": ("SSH public key", "Lets an SSH client start endpoints."),
}


_COLUMNS = (
    Column("credential", "Credential"),
    Column("kind", "Kind", (Credential.kind, Credential.id), newest_first=True),
    Column("made", "Made"),
    Column("used", "Last used"),
    Column("expires", "Expires"),
    Column("do", "Action", hidden=True),
)
_KIND = Filter("kind", "Kind", {"": "All", **{kind: label for kind, (label, _) in KINDS.items()}})

#: Those of a bot user on its page, and one's own or everybody's.
OF_BOT = Table("dashboard.bot_user", "credential", _COLUMNS, (_KIND,))
OWN = Table("dashboard.credentials", "credential", _COLUMNS, (_KIND,), export="dashboard.export_credentials")
EVERYBODYS = replace(
    OWN,
    columns=(_COLUMNS[0], _COLUMNS[1], Column("owner", "Owner"), *_COLUMNS[2:]),
    filters=(_KIND, Filter("owner", "Owner", placeholder="usr_… or bot_…")),
)


def listing(asked: Asked, *conditions: Any) -> Listing:
    """The credentials for which these hold, of one kind after the other, the newest first."""
    return page(asked, steps(asked, *conditions))


def steps(asked: Asked, *conditions: Any) -> Steps:
    """The same, as they are read."""
    found: Any = Credential.select().where(*conditions)
    if kind := asked.wanted.get("kind"):
        found = found.where(Credential.kind == kind)
    by, descending = asked.column.by, asked.descending
    return lambda after, limit: step(found, by, after=after, limit=limit, descending=descending)


class CredentialForm(forms.Form):
    """A new credential."""

    kind = forms.Text(required=True)
    description = forms.Text(load_default="")
    acl = forms.Words(load_default=list)
    public_key = forms.Text(longest=16_384, load_default="")
    days = forms.Days(load_default=None)


def issue(actor: Actor, owner: credentials.Owner) -> credentials.Issued:
    """The credential that the form asks for. Raises Invalid and what credentials.issue raises."""
    form: dict[str, Any] = forms.read(CredentialForm)
    kind = kind_of(form["kind"])
    return credentials.issue(
        actor,
        kind,
        owner,
        description=form["description"],
        acl=form["acl"] if kind is not credentials.API_KEY else (),
        expires_at=form["days"],
        public_key=form["public_key"],
    )


def revoke(actor: Actor, credential: Credential) -> Any:
    """Delete it; or, where it is used or all that lets its owner in, a page that says so first: then the answer."""
    (uses,) = credentials.uses_of([credential])
    last_way_in = credentials.is_last_way_in(credential)
    if (uses.total or last_way_in) and "sure" not in request.form:
        return render(
            "credential_revoke.html",
            uses=uses,
            last_way_in=last_way_in,
            kinds=KINDS,
            action=request.path,
            of=request.form.get("of"),
        )
    credentials.delete(actor, credential)
    return None


def kind_of(name: str) -> credentials.Kind:
    """Raises Invalid."""
    kind = credentials.KINDS.get(name)
    if kind is None:
        raise Invalid("Choose what to make.", fields={"kind": ["Choose one."]})
    return kind
