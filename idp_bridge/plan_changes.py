"""Changing the plan: what leaves with it and what comes back, without locking anybody out and without deleting.

The plans are a table (plans.py). Leaving single sign-on turns the providers off, ends what they opened and goes back to
mixed mode; coming back turns on those again that this turned off. Seats above a new limit stay taken: only no more are
given. The product's billing calls this.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from idp_bridge import accounts, enforcement, idps, member_roles, notices, plans, seats, usage_reports
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Invalid
from idp_bridge.models import Account, IdentityProvider, Member, Person
from idp_bridge.notices import Notice
from idp_bridge.plans import Feature, Plan
from idp_bridge.roles import ADMIN
from idp_bridge.sign_in_mode import MIXED


@dataclass(frozen=True, kw_only=True)
class PlanChange:
    """What a change of plan did; members and providers as they are told of: id and name, of a member the address."""

    plan_before: str
    identity_providers_disabled: tuple[dict[str, str], ...] = ()
    identity_providers_enabled: tuple[dict[str, str], ...] = ()
    sessions_ended: int = 0
    sso_mode_before: str
    enforcement_missing: tuple[str, ...] = ()
    """What kept enforcement from coming back with the plan; empty where it did, or was not there before."""
    administrators_added: tuple[dict[str, str], ...] = ()
    """Who is an administrator by the plan that has no roles, and was none before."""
    administrators_removed: tuple[dict[str, str], ...] = ()
    """Who was one by that plan alone: the stored roles count again."""
    seats_over: int = 0
    members_without_password: int = 0
    """Active, where the plan has no single sign-on: who cannot come in before she has set one."""
    no_administrator_has_password: bool = False
    """And so nobody can make the others a link to set one: only the operator lets one in (idp-bridge break-glass)."""

    def told(self) -> dict[str, Any]:
        """As the event and the command line tell of it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def set_plan(
    actor: Actor, plan: str, *, seat_limit: int | None = None, administrator: Member | None = None
) -> PlanChange:
    """Change the plan, and the seats with it (None: the plan's own number).

    ``administrator`` becomes one by hand, for an account whose only ones are so by the plan that it leaves. Raises
    Invalid, and Conflict where nobody would be an administrator.
    """
    chosen = plans.get(plan)
    account, limit = actor.account, chosen.seats if seat_limit is None else seat_limit
    if administrator is not None and Feature.ROLES not in chosen.features:
        words = f"On the {chosen.name.capitalize()} plan everybody is an administrator: none is to be named."
        raise Invalid(words, fields={"administrator": ["the plan has no roles"]})
    seats.lock_anew(account)
    enforcement.settle(account)
    leaving = Feature.SSO not in chosen.features
    disabled, ended = _switch_off(actor) if leaving else ([], 0)
    now, then = _administrators(account, chosen, administrator)
    change = PlanChange(
        plan_before=account.plan,
        identity_providers_disabled=_named(disabled),
        sessions_ended=ended,
        sso_mode_before=account.sso_mode,
        administrators_added=_people(then - now),
        administrators_removed=_people(now - then),
        seats_over=0 if limit is None else max(0, seats.count(account).used - limit),
        **(_without_passwords(account, then) if leaving else {}),
    )
    fields = {"plan": chosen.name, "seats": limit, **(_mixed(account) if leaving else {})}
    accounts.change(actor, {"reason": "plan", **change.told()}, **fields)
    usage_reports.look_again(actor)
    if administrator is not None:
        stored = {source.role for source in member_roles.role_sources(account, [administrator])[administrator.id]}
        member_roles.set_roles(actor, administrator, stored | {ADMIN})
    if disabled:
        _tell_of_leaving(account, change)
    elif change.administrators_added:
        notices.to_administrators(account, Notice.ADMINISTRATORS_BY_PLAN, plan=account.plan, **_added(change))
    return change if leaving else _come_back(actor, change)


def _switch_off(actor: Actor) -> tuple[list[IdentityProvider], int]:
    """The providers that were on, and how many sessions ended with them."""
    enabled = list(idps.of_account(actor.account).where(IdentityProvider.enabled).order_by(IdentityProvider.id))
    return enabled, sum(idps.switch_by_plan(actor, provider, on=False) for provider in enabled)


def _mixed(account: Account) -> dict[str, Any]:
    """Passwords work, and it is kept that they did not; a trial that nobody has confirmed is not kept."""
    if account.sso_mode == MIXED:
        return {}
    return {"sso_mode": MIXED, "enforced_until": None, "enforced_before": account.enforced_until is None}


def _come_back(actor: Actor, change: PlanChange) -> PlanChange:
    """What this plan had turned off is on again, and enforced where it was and every condition holds."""
    waiting = idps.of_account(actor.account).where(IdentityProvider.off_by_plan).order_by(IdentityProvider.id)
    enabled = list(waiting)
    for provider in enabled:
        idps.switch_by_plan(actor, provider, on=True)
    missing = enforcement.restore(actor) or ()
    return replace(
        change, identity_providers_enabled=_named(enabled), enforcement_missing=tuple(gap.value for gap in missing)
    )


def _administrators(account: Account, chosen: Plan, named: Member | None) -> tuple[set[str], set[str]]:
    """Who is an administrator before the change, and who after it. The account is held, so nobody else changes that
    meanwhile. Raises Conflict."""
    now = member_roles.administrators(account)
    then = member_roles.administrators(Account(id=account.id, plan=chosen.name))
    if named is not None and named.active:
        then |= {named.id}
    if not then:
        raise Conflict(
            f"On the {chosen.name.capitalize()} plan nobody would be an administrator: the roles that members had "
            "before count again, and nobody active has that one. Name who is to be (set-plan --administrator EMAIL).",
            code=Code.LAST_ADMINISTRATOR,
        )
    return now, then


def _people(ids: set[str]) -> tuple[dict[str, str], ...]:
    rows = Member.select().where(Member.id.in_(ids)).order_by(Member.id) if ids else ()
    return tuple({"id": row.id, "email": row.email, "name": row.name} for row in rows)


def _named(providers: list[IdentityProvider]) -> tuple[dict[str, str], ...]:
    return tuple({"id": provider.id, "name": provider.name} for provider in providers)


def without_password(account: Account) -> Any:
    """The active members who have no password, as a query: whoever came by single sign-on alone."""
    return Member.select().join(Person).where(Member.account == account, Member.active, Person.password_hash.is_null())


def _without_passwords(account: Account, administrators: set[str]) -> dict[str, Any]:
    without = without_password(account)
    theirs = without.where(Member.id.in_(administrators)).count()
    return {
        "members_without_password": without.count(),
        "no_administrator_has_password": theirs == len(administrators),
    }


def _tell_of_leaving(account: Account, change: PlanChange) -> None:
    notices.to_administrators(
        account,
        Notice.PLAN_LEFT_SSO,
        plan=account.plan,
        identity_providers=[provider["name"] for provider in change.identity_providers_disabled],
        sessions_ended=change.sessions_ended,
        without_password=change.members_without_password,
        **_added(change),
    )


def _added(change: PlanChange) -> dict[str, list[str]]:
    return {"administrators": [member["email"] for member in change.administrators_added]}
