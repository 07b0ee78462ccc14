"""Notices: what the administrators of an account are told by mail, in a table. Nothing where mail is not configured.

The event says the same and more; a notice is for what an administrator must hear of although she is not looking.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from idp_bridge import mail, member_roles
from idp_bridge.letters import Letter
from idp_bridge.models import Account, Member


class Notice(StrEnum):
    """Of what; the value is the mail's kind."""

    RECOVERY_CODE_USED = "recovery_code_used"
    BREAK_GLASS_USED = "break_glass_used"
    ENFORCEMENT_CHANGED = "enforcement_changed"
    PLAN_LEFT_SSO = "plan_left_sso"
    ADMINISTRATORS_BY_PLAN = "administrators_by_plan"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    IDENTITY_CONFLICT = "identity_conflict"
    PASSWORD_LINK_CREATED = "password_link_created"  # noqa: S105 - a notice, not a password
    USAGE_THRESHOLD_REACHED = "usage_threshold_reached"


@dataclass(frozen=True)
class _Told:
    """``page`` is below /accounts/<slug>/; the letter's facts are those that the caller gives, and ``account``."""

    page: str
    letter: Letter


WHY = "You get this because you are an administrator of {account}."

NOTICES = {
    Notice.RECOVERY_CODE_USED: _Told(  # facts: member (her address), left
        "events",
        Letter(
            "A recovery code was used for {account}",
            (
                "{member} signed in to {account} by a recovery code, past single sign-on. {left} of them are left.",
                "If this was not {member}, suspend that member, and let everybody make new recovery codes.",
            ),
            "Read the events",
            (WHY,),
        ),
    ),
    Notice.BREAK_GLASS_USED: _Told(  # facts: member (her address)
        "events",
        Letter(
            "A break-glass link was used for {account}",
            (
                "{member} signed in to {account} by a link that the operator of this service made.",
                "If nobody asked the operator for it, suspend that member and ask the operator who did.",
            ),
            "Read the events",
            (WHY,),
        ),
    ),
    Notice.ENFORCEMENT_CHANGED: _Told(  # facts: change, one of CHANGES; by; falls_back_at or None; missing, a list
        "settings",
        Letter(
            "How members of {account} sign in has changed",
            ("Changed by: {by}.",),  # after what has changed
            "Open the settings",
            (WHY,),
        ),
    ),
    Notice.PLAN_LEFT_SSO: _Told(  # facts: plan; identity_providers, a list; sessions_ended; administrators, a list of
        "settings",  # those who become one by it; without_password, how many
        Letter(
            "Single sign-on is off for {account}",
            (
                "{account} is on the plan {plan} now, which has no single sign-on. These identity providers are turned "
                "off: {identity_providers}. Sessions that they had opened and that are ended: {sessions_ended}.",
                "Members sign in by password now. Without one are: {without_password}. They get one at 'Forgot your "
                "password?' on the sign-in page, or by a link from an administrator, on the members' page.",
                "Administrators who were none before: {administrators}.",
                "Nothing is deleted: back on a plan with single sign-on, everything is as it was.",
            ),
            "Open the settings",
            (WHY,),
        ),
    ),
    Notice.ADMINISTRATORS_BY_PLAN: _Told(  # facts: plan; administrators, a list of those who become one by it
        "settings",
        Letter(
            "Every member of {account} is an administrator now",
            (
                "{account} is on the plan {plan} now, which has no roles: every active member is an administrator.",
                "Administrators who were none before: {administrators}.",
                "The roles that members had are kept: back on a plan with roles, they count again.",
            ),
            "Open the settings",
            (WHY,),
        ),
    ),
    Notice.CERTIFICATE_EXPIRING: _Told(  # facts: provider, provider_id, certificate (in words), days, not_after
        "identity-providers/{provider_id}",
        Letter(
            "A certificate of {provider} runs out in {days} days",
            (
                "{certificate} of the identity provider {provider} of {account} runs out on {not_after}.",
                "Fetch the provider's new metadata, or roll our own certificate over, before that day.",
            ),
            "Open the identity provider",
            (WHY,),
        ),
    ),
    Notice.IDENTITY_CONFLICT: _Told(  # facts: email, provider
        "conflicts",
        Letter(
            "{account}: who is {email}?",
            (
                "{provider} speaks of somebody as {email}, and it is not clear which member of {account} that is. "
                "Nobody was let in or changed.",
                "An administrator decides.",
            ),
            "Decide",
            (WHY,),
        ),
    ),
    Notice.PASSWORD_LINK_CREATED: _Told(  # facts: member (her address), by
        "events",
        Letter(
            "A link to set a password was made in {account}",
            (
                "{by} made a link by which {member}, who has no password, sets one. Whoever holds it signs in as "
                "{member}.",
                "If that was not meant, suspend that member: the link opens nothing then.",
            ),
            "Read the events",
            (WHY,),
        ),
    ),
    Notice.USAGE_THRESHOLD_REACHED: _Told(  # facts: percent, month, plan, what (the metric in words), amount, limit
        "usage?month={month}",
        Letter(
            "{account} has used {percent} % of its {what} for {month}",
            (
                "{account} has used {amount} {what} in {month}. The plan {plan} includes {limit} a month.",
                "Nothing is stopped by this. The page says which bot users and members used how much.",
            ),
            "See who used it",
            (WHY,),
        ),
    ),
}


CHANGES = {
    "enforced": "Members of {account} sign in by single sign-on only from now on.",
    "on_trial": "Members of {account} sign in by single sign-on only from now on. It falls back by itself at "
    "{falls_back_at} unless an administrator confirms it by signing in through an identity provider.",
    "confirmed": "Single sign-on only is confirmed for {account}: it does not fall back by itself any more.",
    "fell_back": "Nobody confirmed single sign-on only for {account} in time: passwords work again.",
    "mixed": "Members of {account} sign in by password or by single sign-on from now on.",
    "restored": "{account} has single sign-on again, and members sign in by it only, as before.",
    "not_restored": "{account} has single sign-on again. Members signed in by it only before, and do not yet now, "
    "because: {missing}",
}


def to_administrators(account: Account, notice: Notice, **facts: object) -> int:
    """One mail to each active administrator who has an address, in the caller's transaction; how many. None where no
    SMTP server is configured. The facts of each notice stand in the table."""
    if not mail.enabled():
        return 0
    told = NOTICES[notice]
    letter, known = told.letter, {"account": account.name, **facts}
    if notice is Notice.ENFORCEMENT_CHANGED:
        change = "on_trial" if facts["change"] == "enforced" and facts["falls_back_at"] else str(facts["change"])
        letter = replace(letter, before=(CHANGES[change], *letter.before))
    members = Member.select().where(Member.id.in_(member_roles.administrators(account))).order_by(Member.id)
    addresses = {member.email_key: member.email for member in members}
    path = f"/accounts/{account.slug}/{told.page.format(**facts)}"
    return sum(
        mail.post(notice, address, letter, path=path, facts=known, account=account) for address in addresses.values()
    )
