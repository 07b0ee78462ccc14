"""The overview, an account's first page: what to set up next, who has the seats, and what wants somebody. Each part is
shown to whoever may see what it tells of."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from idp_bridge import clock, metadata_refresh, overview, plans, scim_tokens, seats, webhooks
from idp_bridge.actors import Actor
from idp_bridge.overview import Connections, Counted, Task
from idp_bridge.plans import Feature
from idp_bridge.roles import Permission
from idp_bridge.web.dashboard.page import blueprint, render
from idp_bridge.web.guard import actor, guard


@dataclass(frozen=True)
class Entry:
    """A line of the check list: its words, where it is done, and who may see it."""

    title: str
    words: str
    endpoint: str
    button: str
    permission: Permission = Permission.IDPS_READ
    feature: Feature | None = None


#: In the order of Task.
CHECK_LIST: Mapping[Task, Entry] = {
    Task.PROVIDER: Entry(
        "Add an identity provider",
        "Okta, Entra ID or another that speaks SAML 2.0. The account stays in mixed mode: nobody is locked out by it.",
        "new_identity_provider",
        "Add identity provider",
        feature=Feature.SSO,
    ),
    Task.TEST: Entry(
        "Test the sign-in",
        "A test goes through everything, shows each check, and changes nothing.",
        "identity_provider",
        "Test sign-in",
        feature=Feature.SSO,
    ),
    Task.SCIM: Entry(
        "Connect SCIM",
        "People and groups then come from the provider, and whoever leaves is out here at once.",
        "provisioning",
        "Connect SCIM",
        feature=Feature.SCIM,
    ),
    Task.MAPPING: Entry(
        "Map groups to roles",
        "A group of the provider's then gives its members a role here; a preview says who gains what.",
        "groups",
        "Map a group",
        Permission.GROUPS_READ,
        Feature.SSO,
    ),
    Task.RECOVERY_CODES: Entry(
        "Make recovery codes",
        "They let an administrator in when the provider is down. Enforcing single sign-on asks for them.",
        "settings",
        "Make recovery codes",
        Permission.ACCOUNT_WRITE,
    ),
    Task.ENFORCE: Entry(
        "Enforce single sign-on",
        "Members then come in through the provider only. The page says by name who could not; it can be tried first.",
        "sign_in_mode",
        "See what it would do",
        Permission.ACCOUNT_WRITE,
        Feature.SSO,
    ),
    Task.BOTS: Entry(
        "Make bot users",
        "Programs sign in by credentials of their own, which stay when a person leaves. They are no seats.",
        "bot_users",
        "Make a bot user",
        Permission.BOTS_READ,
    ),
}


@dataclass(frozen=True)
class Line:
    """One line as it is shown. ``next``: it is the first that is left to do. ``endpoint`` None: it needs a provider."""

    entry: Entry
    done: bool
    next: bool
    endpoint: str | None
    values: Mapping[str, str]


@dataclass(frozen=True)
class Notice:
    """Something that wants somebody: how loudly, what, and where it is seen to."""

    tone: str
    words: str
    endpoint: str
    button: str
    values: Mapping[str, Any]


@blueprint.get("/overview", endpoint="overview")
@guard()
def overview_page() -> Any:
    """What she may see of it; where that is nothing, who can change that."""
    who, account = actor(), actor().account
    known = overview.connections(account) if who.may(Permission.IDPS_READ) else None
    numbers = overview.counted(account) if who.may(Permission.ACCOUNT_READ) else None
    lines = _check_list(who, known, numbers) if known and numbers else []
    return render(
        "overview.html",
        account=account,
        lines=lines,
        behind=sum(line.done for line in lines),
        seats=seats.count(account) if numbers else None,
        numbers=numbers,
        known=known,
        notices=list(_notices(who, known)),
        refusals=overview.refusals(account) if who.may(Permission.EVENTS_READ) else None,
    )


# --- the check list ---------------------------------------------------------------------------------------------


def _check_list(who: Actor, known: Connections, numbers: Counted) -> list[Line]:
    behind = overview.done(who.account, known, numbers)
    shown = [(task, entry) for task, entry in CHECK_LIST.items() if who.may(entry.permission)]
    first = next((task for task, entry in shown if not behind[task] and _possible(who, entry)), None)
    return [Line(entry, behind[task], task is first, *_leads_to(task, entry, known)) for task, entry in shown]


def _possible(who: Actor, entry: Entry) -> bool:
    return entry.feature is None or plans.has(who.account, entry.feature)


#: What is done on the page of one provider -> what that is called in its address.
_OF_PROVIDER = {Task.TEST: "provider_id", Task.SCIM: "provider"}


def _leads_to(task: Task, entry: Entry, known: Connections) -> tuple[str | None, dict[str, str]]:
    """Where it is done; of several providers at the newest, which is the one that is being set up."""
    named = _OF_PROVIDER.get(task)
    if named is None:
        return entry.endpoint, {}
    return (entry.endpoint, {named: known.directories[-1].provider.id}) if known.directories else (None, {})


# --- what wants somebody ----------------------------------------------------------------------------------------


def _notices(who: Actor, known: Connections | None) -> Iterator[Notice]:
    """In the order in which they hurt."""
    if known is not None:
        for says in _OF_CONNECTIONS:
            yield from says(known)
    if who.may(Permission.ACCOUNT_WRITE):
        for hook in webhooks.in_trouble(who.account):
            words = "was switched off, since it failed for long" if hook.disabled_reason else "fails"
            yield Notice("bad", f"The webhook {hook.url} {words}.", "webhook", "See why", {"webhook_id": hook.id})


def _failing_scim(known: Connections) -> Iterator[Notice]:
    for one in overview.failing_directories(known):
        number = f"{one.failed} SCIM request{'' if one.failed == 1 else 's'}"
        values = {"provider": one.provider.id, "status": "failed", "_anchor": "log"}
        yield Notice(
            "bad", f"{number} of {one.provider.name} failed in the last day.", "provisioning", "See why", values
        )


def _metadata(known: Connections) -> Iterator[Notice]:
    for one in known.directories:
        values = {"provider_id": one.provider.id}
        if metadata_refresh.waiting(one.provider):
            yield Notice("warn", f"{one.provider.name} has new metadata. It waits for you.", "trust", "Decide", values)
        if one.provider.metadata_error:
            yield Notice("bad", f"The metadata of {one.provider.name} is not refreshed.", "trust", "See why", values)


def _certificates(known: Connections) -> Iterator[Notice]:
    now = clock.now()
    for one in overview.ending_certificates([directory.provider for directory in known.directories], now):
        name = one.provider.name
        whose = (
            f"{name} signs by a certificate that" if one.whose == "identity_provider" else "Our own certificate for "
        )
        said = whose if one.whose == "identity_provider" else f"{whose}{name}"
        ends = "ran out" if one.not_after <= now else "runs out"
        tone = "bad" if one.not_after <= now else "warn"
        words = f"{said} {ends} on {one.not_after:%Y-%m-%d}."
        yield Notice(tone, words, "trust", "Roll it over", {"provider_id": one.provider.id})


def _tokens(known: Connections) -> Iterator[Notice]:
    for one in known.directories:
        values = {"provider": one.provider.id, "_anchor": "tokens"}
        name = one.provider.name
        if one.tokens and not one.live:
            yield Notice(
                "bad",
                f"The SCIM token of {name} has expired: it is let in no more.",
                "provisioning",
                "Make another",
                values,
            )
        elif one.rotation and one.rotation.new is None and scim_tokens.ends_soon(one.rotation.former[0]):
            yield Notice("warn", f"The SCIM token of {name} expires soon.", "provisioning", "Change it", values)


_OF_CONNECTIONS: tuple[Callable[[Connections], Iterator[Notice]], ...] = (
    _failing_scim,
    _tokens,
    _metadata,
    _certificates,
)
