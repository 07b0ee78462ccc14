"""What the pages share: the blueprint, the navigation, rendering, and how a refused form comes back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for

from idp_bridge import clock
from idp_bridge.errors import DomainError
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard import attention
from idp_bridge.web.errors import STATUS

View = TypeVar("View", bound=Callable[..., Any])

blueprint = Blueprint("dashboard", __name__, url_prefix="/accounts/<slug>")


@dataclass(frozen=True)
class Entry:
    """One line of the navigation, shown to whoever may open the page: None, to everybody."""

    endpoint: str
    label: str
    permission: Permission | None
    icon: str


#: Heading -> entries; the first stands above all headings. What the plan does not have is shown all the same, and
#: explained on its page.
NAVIGATION = {
    "": (Entry("dashboard.overview", "Overview", None, "home"),),
    "Access": (
        Entry("dashboard.members", "Team members", Permission.MEMBERS_READ, "people"),
        Entry("dashboard.groups", "Groups and roles", Permission.GROUPS_READ, "groups"),
        Entry("dashboard.conflicts", "Who is this?", Permission.IDPS_READ, "shield"),
        Entry("dashboard.roles", "Roles", Permission.ACCOUNT_READ, "shield"),
        Entry("dashboard.bot_users", "Bot users", Permission.BOTS_READ, "bot"),
        Entry("dashboard.credentials", "Credentials", Permission.CREDENTIALS_OWN, "key"),
    ),
    "Account": (
        Entry("dashboard.settings", "Settings", Permission.ACCOUNT_READ, "settings"),
        Entry("dashboard.provisioning", "Provisioning", Permission.IDPS_READ, "sync"),
        Entry("dashboard.events", "Events", Permission.EVENTS_READ, "events"),
        Entry("dashboard.webhooks", "Webhooks", Permission.ACCOUNT_WRITE, "sync"),
        Entry("dashboard.usage", "Plan and usage", Permission.USAGE_READ, "meter"),
    ),
}


@blueprint.url_defaults
def _same_account(_: str, values: dict[str, Any]) -> None:
    """Links between the pages stay in the account of the page."""
    if request and request.view_args:
        values.setdefault("slug", request.view_args.get("slug"))


def render(template: str, *, status: int = 200, **context: Any) -> Response:
    """The page; with the refusal and its status where a form of it has just been refused."""
    refusal = g.get("refusal")
    page = render_template(
        f"dashboard/{template}",
        marked_pages=attention.marked_pages(g.actor),
        banners=attention.banners(g.actor),
        **context,
    )
    return Response(page, STATUS[type(refusal)] if refusal else status)


def done(message: str, endpoint: str, **values: Any) -> Any:
    """After a post that changed something: say so on the page that it leads to."""
    flash(message)
    return redirect(url_for(f"dashboard.{endpoint}", **values), 303)


def refused_on(page: Callable[..., Any], *names: str) -> Callable[[View], View]:
    """A form that the domain refuses comes back as its page, with what was typed and a summary of what is wrong.

    Stands above ``@guard``, whose transaction is rolled back by then. The page has its own guard, so whoever may not
    see it gets the plain refusal. ``names`` are the view's arguments that the page takes.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def answering(**values: Any) -> Any:
            try:
                return view(**values)
            except DomainError as refusal:
                if "actor" not in g:
                    raise
                g.refusal = refusal
            return page(slug=values["slug"], **{name: values[name] for name in names})

        return cast(View, answering)

    return decorate


# --- what templates may ask -------------------------------------------------------------------------------------


#: What a field is called, where its name alone would not say it.
_LABELS = {
    "metadata_xml": "Metadata",
    "metadata_url": "Metadata URL",
    "metadata_certificate": "Certificate that vouches for the metadata",
    "metadata_entity_id": "Which of several",
    "entity_id": "Entity ID",
    "sso_url": "Sign-on URL",
    "sso_binding": "Sign-on binding",
    "slo_url": "Logout URL",
    "slo_binding": "Logout binding",
    "slo_response_url": "Logout answers to",
    "certificates": "Signing certificate",
    "valid_until": "Says it is good until",
    "name_id_format": "NameID format",
    "acl": "ACL",
}


def label(name: str) -> str:
    """What a field is called on the pages."""
    return _LABELS.get(name) or name.replace("_", " ").capitalize()


def sent(action: str, name: str, default: Any = "") -> Any:
    """What was typed in this field of a refused form, which is known by its action; else ``default``."""
    return request.form.get(name, default) if _refused(action) else default


def ticked(action: str, name: str, default: bool, value: str = "on") -> bool:
    """Whether a checkbox is ticked: as it was sent in a refused form, else ``default``."""
    return value in request.form.getlist(name) if _refused(action) else default


def faults(action: str, name: str) -> list[str]:
    """What is wrong with this field of a refused form."""
    return list(g.refusal.fields.get(name, ())) if _refused(action) else []


def _refused(action: str) -> bool:
    return "refusal" in g and request.path == action


def ago(instant: Any) -> str:
    """``3 minutes ago``, ``in 12 days``: one unit, rounded down."""
    seconds = (clock.now() - instant).total_seconds()
    amount = abs(seconds)
    for size, unit in (
        (86_400 * 365, "year"),
        (86_400 * 30, "month"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ):
        if amount >= size:
            number = int(amount // size)
            words = f"{number} {unit}{'' if number == 1 else 's'}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now" if seconds >= 0 else "in a moment"
