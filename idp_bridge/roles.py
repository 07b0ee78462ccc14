"""Roles and permissions, as tables. A member may hold several roles and may do what any of them allows.

The tables are contract; docs/roles.md shows them to administrators and a test compares the two. Roles that an account
makes itself are in own_roles.py, who may give which role in grants.py.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from peewee import SQL, fn

from idp_bridge.errors import Code, Forbidden, Invalid
from idp_bridge.models import DirectoryUser, GroupMember, IdentityProvider, Member, MemberRole, Role, RoleMapping


class Permission(StrEnum):
    """What may be done, ``noun:verb``."""

    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    GROUPS_READ = "groups:read"
    EVENTS_READ = "events:read"
    BOTS_READ = "bots:read"
    BOTS_WRITE = "bots:write"
    USAGE_READ = "usage:read"
    USAGE_WRITE = "usage:write"
    CREDENTIALS_OWN = "credentials:own"
    CREDENTIALS_ALL = "credentials:all"
    INTROSPECT = "introspect"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"
    IDPS_READ = "idps:read"
    IDPS_WRITE = "idps:write"
    ROLES_WRITE = "roles:write"


P = Permission

#: Whoever grants a role must hold each of these that is in it.
ADMINISTRATIVE = frozenset(
    {P.BILLING_WRITE, P.ACCOUNT_WRITE, P.IDPS_READ, P.IDPS_WRITE, P.ROLES_WRITE, P.BOTS_WRITE, P.CREDENTIALS_ALL}
)

ADMIN = "admin"

BUILT_IN: dict[str, frozenset[Permission]] = {
    ADMIN: frozenset(P),
    "team_manager": frozenset({P.ACCOUNT_READ, P.MEMBERS_READ, P.GROUPS_READ, P.EVENTS_READ, P.MEMBERS_WRITE}),
    "developer": frozenset(
        {P.ACCOUNT_READ, P.MEMBERS_READ, P.GROUPS_READ, P.EVENTS_READ, P.BOTS_READ, P.USAGE_READ, P.USAGE_WRITE}
        | {P.CREDENTIALS_OWN, P.INTROSPECT}
    ),
    "billing": frozenset({P.ACCOUNT_READ, P.MEMBERS_READ, P.USAGE_READ, P.BILLING_READ, P.BILLING_WRITE}),
    "viewer": frozenset({P.ACCOUNT_READ, P.MEMBERS_READ, P.GROUPS_READ, P.EVENTS_READ, P.BOTS_READ, P.USAGE_READ}),
}


class CredentialKind(StrEnum):
    """With what a caller has shown who she is; the value is how a refusal names it."""

    SESSION = "a browser session"
    USER_API_KEY = "an API key of a member"
    BOT_API_KEY = "an API key of a bot user"
    OPERATOR_KEY = "an operator key"


_API_KEYS = frozenset({CredentialKind.USER_API_KEY, CredentialKind.BOT_API_KEY})
_EDGE = _API_KEYS | {CredentialKind.OPERATOR_KEY}

#: Which kinds may use a permission beside a browser session. What is not named here is for browser sessions only, so a
#: permission that somebody adds is closed to keys until it is decided: the API promises today's to API keys.
BESIDE_SESSIONS: dict[Permission, frozenset[CredentialKind]] = {
    P.ACCOUNT_READ: _API_KEYS,
    P.ACCOUNT_WRITE: _API_KEYS,
    P.MEMBERS_READ: _API_KEYS,
    P.MEMBERS_WRITE: _API_KEYS,
    P.GROUPS_READ: _API_KEYS,
    P.EVENTS_READ: _API_KEYS,
    P.BOTS_READ: _API_KEYS,
    P.BOTS_WRITE: _API_KEYS,
    P.USAGE_READ: _API_KEYS,
    P.USAGE_WRITE: _EDGE,
    P.CREDENTIALS_OWN: _API_KEYS,
    P.CREDENTIALS_ALL: _API_KEYS,
    P.INTROSPECT: _EDGE,
    P.BILLING_READ: _API_KEYS,
    P.BILLING_WRITE: _API_KEYS,
    P.IDPS_READ: _API_KEYS,
    P.IDPS_WRITE: _API_KEYS,
    P.ROLES_WRITE: _API_KEYS,
}


def kinds_of(permission: Permission) -> frozenset[CredentialKind]:
    """The kinds of credential that may use this permission."""
    return BESIDE_SESSIONS.get(permission, frozenset()) | {CredentialKind.SESSION}


#: What a new bot user, a member by JIT or SCIM, and an invited one hold where nothing else is said.
DEFAULT = ("developer",)


def permissions_of(account_id: str, names: Iterable[str]) -> frozenset[Permission]:
    """The union of what these roles of the account allow. A role that is gone allows nothing."""
    return frozenset().union(*allowed_by(account_id, names).values())


def allowed_by(account_id: str, names: Iterable[str]) -> dict[str, frozenset[Permission]]:
    """What each of these roles allows. One statement where one of them is the account's own, else none."""
    allowed = {name: BUILT_IN.get(name, frozenset()) for name in names}
    own = [name for name in allowed if name not in BUILT_IN]
    if own:
        for role in Role.select(Role.name, Role.permissions).where(Role.account == account_id, Role.name.in_(own)):
            allowed[role.name] = frozenset(Permission(value) for value in role.permissions)
    return allowed


def known(account_id: str, names: Iterable[str]) -> tuple[str, ...]:
    """``names`` without repetition, in a stable order. Raises Invalid naming one that the account has not."""
    wanted = sorted(set(names))
    own = {role.name for role in Role.select(Role.name).where(Role.account == account_id)}
    for name in wanted:
        if name not in BUILT_IN and name not in own:
            raise Invalid(f"There is no role {name!r} in this account.", fields={"roles": [f"unknown role {name!r}"]})
    return tuple(wanted)


def check_grant(account_id: str, held: frozenset[Permission], names: Iterable[str], *, administrator: bool) -> None:
    """Nobody grants above her own rights: every administrative permission in a role, and ``admin`` only by an
    administrator. Raises Forbidden."""
    for name in names:
        if name == ADMIN and not administrator:
            raise Forbidden("Only an administrator may grant the role admin.", code=Code.ADMINISTRATORS_ONLY)
        missing = (permissions_of(account_id, [name]) & ADMINISTRATIVE) - held
        if missing:
            raise Forbidden(
                f"The role {name} holds {', '.join(sorted(missing))}, which you do not have. "
                "Ask an administrator to grant it.",
                code=Code.GRANT_ABOVE_OWN_RIGHTS,
            )


# --- held, as conditions ----------------------------------------------------------------------------------------


def given_by_groups(*columns: Any) -> Any:
    """The join that gives roles by directory groups; ``admin`` only where the provider may grant it."""
    return (
        GroupMember.select(*columns)
        .join(DirectoryUser, on=(GroupMember.user == DirectoryUser.id))
        .switch(GroupMember)
        .join(RoleMapping, on=(RoleMapping.group == GroupMember.group))
        .join(IdentityProvider, on=(RoleMapping.identity_provider == IdentityProvider.id))
        .where(DirectoryUser.deleted_at.is_null(), (RoleMapping.role != ADMIN) | IdentityProvider.may_grant_admin)
    )


def holds_admin() -> Any:
    """The condition on a member to hold ``admin``, where the plan has roles."""
    own = MemberRole.select(SQL("1")).where(MemberRole.member == Member.id, MemberRole.role == ADMIN)
    by_group = given_by_groups(SQL("1")).where(DirectoryUser.member == Member.id, RoleMapping.role == ADMIN)
    return fn.EXISTS(own) | fn.EXISTS(by_group)
