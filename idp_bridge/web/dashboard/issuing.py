"""Making a credential from a form: the same on the page of a bot user and on one's own."""

from typing import Any

from idp_bridge import credentials
from idp_bridge.actors import Actor
from idp_bridge.errors import Invalid
from idp_bridge.web import forms

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


def kind_of(name: str) -> credentials.Kind:
    """Raises Invalid."""
    kind = credentials.KINDS.get(name)
    if kind is None:
        raise Invalid("Choose what to make.", fields={"kind": ["Choose one."]})
    return kind
