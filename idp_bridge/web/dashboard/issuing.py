"""Making and revoking a credential from a form: the same on the page of a bot user and on one's own."""

from typing import Any

from flask import request

from idp_bridge import credentials
from idp_bridge.actors import Actor
from idp_bridge.errors import Invalid
from idp_bridge.models import Credential
from idp_bridge.web import forms
from idp_bridge.web.dashboard.page import render

#: Kind -> what a person calls it, and what it is for.
KINDS = {
    "api_key": ("API key", "Calls the management API with the owner's roles."),
    "authtoken": ("Authtoken", "Lets an agent start endpoints."),
    "ssh_public_key": ("SSH public key", "Lets an SSH client start endpoints."),
}


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
