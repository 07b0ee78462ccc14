"""A hypothesis state machine over everything that changes who is in an account, what she may do and how many seats it
takes: by hand, by invitation, by assertion, over SCIM, by plan; by whoever may or may not. Before each step the model
says whether it must be done and else which refusals fit; after it the product is compared to the model."""

from collections import Counter
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from idp_bridge import (
    account_sessions,
    bots,
    clock,
    credentials,
    db,
    enforcement,
    groups,
    idps,
    invitations,
    member_lifecycle,
    member_roles,
    members,
    own_roles,
    people,
    plan_changes,
    roles,
    seats,
    sessions,
    sign_in,
    spans,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import DomainError, Forbidden
from idp_bridge.models import (
    ALL,
    BotUser,
    DirectoryGroup,
    DirectoryUser,
    IdentityProvider,
    Member,
    RecoveryCode,
    RoleMapping,
)
from idp_bridge.models import Invitation as StoredInvitation
from idp_bridge.provisioning import groups as scim_groups
from idp_bridge.provisioning import users as scim_users
from idp_bridge.provisioning.directory import Directory
from scim.errors import ScimError
from scim.paging import Page
from scim.patch import parse_patch
from scim.schemas import GROUP_TYPE, USER_TYPE
from tests.conftest import counted_seats, seat_counts
from tests.domain import cast
from tests.domain.membership import (
    ADMIN,
    DEFAULT,
    SYSTEM,
    Account,
    Given,
    Group,
    Invitation,
    Mapping,
    OwnRole,
    Place,
    Provider,
    Signed,
)
from tests.domain.test_sign_in import said

ROOTS = [model for model in ALL if not model._meta.refs]
ADDRESSES = [f"{name}@acme.test" for name in ("ann", "bea", "cyd", "dot", "eve", "fay", "gus")]
OWNER = "owner@acme.test"
GROUPS = ["ops", "devs"]
CLAIMS = [None, set(), {GROUPS[0]}, {GROUPS[1]}, set(GROUPS)]
OWN_ROLES = ["deployer", "auditor"]
ROLES = [ADMIN, DEFAULT, "viewer", "billing"]
PERMISSIONS = [{"bots:read"}, {"bots:read", "billing:write"}, {"events:read", "roles:write"}]
PLANS = ["enterprise", "enterprise", "enterprise", "pro", "free"]

Effect = Callable[[Account, Any], None]


class Drawn:
    """Chooses as hypothesis says, which then looks for the shortest walk to a fault."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def one(self, options: list[Any], label: str) -> Any:
        """One of these."""
        return self.data.draw(st.sampled_from(options), label=label)


class Rolled:
    """Chooses evenly, and the same for the same seed wherever it runs; ``told`` is what it has chosen."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.told: list[str] = []

    def one(self, options: list[Any], label: str) -> Any:
        """One of these."""
        number = self.random.randrange(len(options))
        self.told.append(f"{label}: {options[number]}")
        return options[number]


@dataclass(frozen=True)
class Step:
    """Something that can be done, when, and with what is drawn for it."""

    take: Callable[..., None]
    when: Callable[["Membership"], Any]
    drawn: dict[str, list[Any]]


STEPS: list[Step] = []


def step(*, when: Callable[["Membership"], Any] = bool, often: int = 1, **drawn: list[Any]) -> Callable[..., Any]:
    """One more, with lists to choose from. Not a rule of its own: hypothesis leaves most of the rules out of each walk,
    so that many would hardly ever be met by what has to come before them."""

    def add(take: Callable[..., None]) -> Callable[..., None]:
        STEPS.extend([Step(take, when, drawn)] * often)
        return take

    return add


class Membership(RuleBasedStateMachine):
    """One account with two providers; its owner is a member of a second account too, which nothing here concerns."""

    #: What was done, and what was refused with which code, over all walks: a rule that never does it proves nothing.
    done: ClassVar[Counter[str]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        for root in ROOTS:
            root.delete().execute()
        self.world = cast.open_account("acme")
        beta = cast.open_account("beta")
        self.elsewhere = cast.join(beta, OWNER, person=self.world.owner.person).id
        self.model = Account()
        for name in ("Okta", "Entra"):
            made = cast.connect(self.world, name=name, entity_id=f"https://{name}.test", join_policy="jit")
            self.model.providers[made.id] = Provider()
        with db.transaction():
            robot = bots.create(self.system, "robot", role_names=["team_manager"])
        self.model.bots[robot.id] = {"team_manager"}
        self._joined(self.world.owner, {(ADMIN, "hand", "")})

    @initialize(admin=st.booleans())
    def begin(self, admin: bool) -> None:
        """With a second administrator and somebody who manages members, and two whom a directory has put into a group
        that is mapped."""
        for role in ("team_manager", ADMIN):
            with db.transaction():
                one = member_lifecycle.create(self.system, email=f"{role}@acme.test", managed_by="local", roles=[role])
            self._joined(one, {(role, "hand", "")})
        first = next(iter(self.model.providers))
        self._make_role(SYSTEM, OWN_ROLES[0], PERMISSIONS[1])
        for email in ADDRESSES[:2]:
            self._push(first, email, active=True)
        if admin:
            self._let_grant_admin(SYSTEM, first)
        self._push_group(first, GROUPS[0], set(self._records(first)))
        self._map(SYSTEM, first, GROUPS[0], ADMIN if admin else "billing")

    @rule(data=st.data())
    def go_on(self, data: Any) -> None:
        """One step, as hypothesis draws it."""
        self.take_one(Drawn(data))

    def take_one(self, data: Any) -> None:
        """Any step that can be taken."""
        taken = self.choose(data, [step for step in STEPS if step.when(self)], "step")
        drawn = {name: self.choose(data, options, name) for name, options in taken.drawn.items()}
        taken.take(self, data=data, **drawn)

    # --- how a step is done ---------------------------------------------------------------------------------------

    @property
    def system(self) -> Actor:
        """The service, with the account as it is stored now."""
        self.world.account = cast.again(self.world.account)
        return self.world.system

    def acting(self, caller: str) -> Actor:
        """Whoever the model calls so, with what she may do now."""
        system = self.system
        if caller == SYSTEM:
            return system
        if caller not in self.model.bots:
            return cast.acting(self.world, self.member(caller))
        held = tuple(BotUser.get_by_id(caller).roles)
        may = roles.permissions_of(system.account.id, held)
        facts: dict[str, Any] = {"type": "bot_user", "subject": "robot", "source": "api", "id": caller}
        return Actor(account=system.account, roles=held, permissions=may, **facts)

    def caller(self, data: Any) -> str:
        """The service half of the time, else any member or bot user."""
        others = [key for key, place in self.model.places.items() if place.active] + list(self.model.bots)
        return self.choose(data, [SYSTEM] * len(others) + others, "by")

    def provider(self, key: str) -> IdentityProvider:
        """The connection as it is stored now, with its account."""
        found: IdentityProvider = IdentityProvider.get_by_id(key)
        found.account = self.system.account
        return found

    def directory(self, key: str) -> Directory:
        """As a token of it would open it."""
        provider = self.provider(key)
        actor = Actor(
            account=provider.account, type="identity_provider", subject=provider.name, source="scim", id=provider.id
        )
        return Directory(provider, actor.account, actor, "http://localhost/scim/v2")

    def attempt(
        self, what: str, work: Callable[[], Any], effect: Effect, against: Iterable[str] = (), *, guarded: bool = True
    ) -> Any:
        """Do it in a transaction of its own, and the same to the model. It must be refused where something stands
        ``against`` it, with one of those codes, and done where nothing does. ``guarded``: that an administrator must be
        left is among it. None where it was refused."""
        before, against = self.model.taken, set(against)
        if guarded and self._leaves_nobody(effect):
            against.add("ERR_LAST_ADMINISTRATOR")
        try:
            with db.transaction():
                done = work()
        except (DomainError, ScimError) as refused:
            self.refused.update([_told(refused), f"{what}: {_told(refused)}"])
            if _told(refused) not in against:
                raise AssertionError(f"{what}: {_told(refused)}, which should be {against or 'done'}") from refused
            return None
        assert not against, f"{what} was done in spite of {against}"
        self.done[what] += 1
        effect(self.model, done)
        if self.model.limit is not None:
            assert self.model.taken <= max(self.model.limit, before), "more seats taken than there are"
        return done

    def _leaves_nobody(self, effect: Effect) -> bool:
        without = deepcopy(self.model)
        effect(without, None)
        return not without.administrators()

    def member(self, key: str) -> Member:
        """The row as it is now."""
        row: Member = Member.get_by_id(key)
        row.account = self.world.account
        return row

    def _joined(self, member: Member, given: set[Given], **place: Any) -> None:
        keys = []
        if member.active:
            with db.transaction():
                keys.append(credentials.issue(self.system, credentials.API_KEY, member).token or "")
        self.model.places[member.id] = Place(member.email, keys, given, **place)

    def choose(self, data: Any, what: Any, label: str) -> Any:
        """One of these, in the order in which they came: their names differ from run to run."""
        return data.one(list(what), label)

    def _roles(self, data: Any, *, least: int = 0) -> set[str]:
        return {self._role(data) for _ in range(self.choose(data, range(least, 3), "how many"))}

    def _role(self, data: Any) -> str:
        """One that is there, or was, or never was."""
        own = [role.name for role in self.model.own_roles.values()]
        role: str = self.choose(data, [*ROLES, *ROLES, *own, *own, OWN_ROLES[1], "nothing"], "role")
        return role

    # --- by hand ----------------------------------------------------------------------------------------------------

    @step()
    def suspend(self, data: Any) -> None:
        senders = [one.sender for one in self.model.invitations.values() if one.sender in self.model.living()]
        key, caller = self.choose(data, [*self.model.living(), *senders * 3], "member"), self.caller(data)
        self.attempt(
            "suspend",
            lambda: member_lifecycle.suspend(self.acting(caller), self.member(key)),
            _held(key, True),
            self.model.against_touching(caller, key),
        )

    @step(when=lambda self: any(place.held for place in self.model.living().values()))
    def lift(self, data: Any) -> None:
        held = [key for key, place in self.model.living().items() if place.held]
        key, caller = self.choose(data, held, "member"), self.caller(data)
        seated = self.model.places[key].directory_active
        self.attempt(
            "lift",
            lambda: member_lifecycle.unsuspend(self.acting(caller), self.member(key)),
            _held(key, False),
            self.model.against_touching(caller, key) | (self.model.against_one_more() if seated else set()),
        )

    @step()
    def remove(self, data: Any) -> None:
        key, caller = self.choose(data, self.model.living(), "member"), self.caller(data)
        owned = {"ERR_MANAGED_BY_DIRECTORY"} if self.model.places[key].by_directory else set()

        def gone(model: Account, _: Any) -> None:
            model.sign_out(key)
            del model.places[key]

        self.attempt(
            "remove",
            lambda: member_lifecycle.remove(self.acting(caller), self.member(key)),
            gone,
            owned | self.model.against_touching(caller, key),
        )

    def _restorable(self) -> list[str]:
        """Whose address nobody else has now: two under one are for an administrator to tell apart."""
        return [key for key, one in self.model.places.items() if one.removed and not self.model.at(one.email)]

    @step(when=lambda self: self._restorable(), often=2)
    def restore(self, data: Any) -> None:
        key, caller = self.choose(data, self._restorable(), "member"), self.caller(data)
        place = self.model.places[key]

        def back(model: Account, _: Any) -> None:
            place = model.places[key]
            record = DirectoryUser.select().where(DirectoryUser.member == key, DirectoryUser.deleted_at.is_null())
            place.removed, place.directory_active = 0, place.record_active
            place.record = record.get().id if record.exists() else None

        seated = place.record_active and not place.held
        self.attempt(
            "restore",
            lambda: member_lifecycle.restore(self.acting(caller), self.member(key)),
            back,
            self.model.against_touching(caller, key) | (self.model.against_one_more() if seated else set()),
        )

    @step(all_of_it=[True, False])
    def set_roles(self, data: Any, all_of_it: bool) -> None:
        key, caller, names = self.choose(data, self.model.living(), "member"), self.caller(data), self._roles(data)
        owned = self.model.not_by_hand(key) if self.model.plan != "free" else set()
        names |= owned if all_of_it else set()
        against = self.model.without_plan("pro", "enterprise") | self.model.against_touching(caller, key)
        against |= self.model.against_granting(caller, names - self.model.roles_of(key))
        if owned - names:
            against.add("ERR_MANAGED_BY_DIRECTORY")

        def given(model: Account, _: Any) -> None:
            place, current = model.places[key], model.roles_of(key)
            place.given = {one for one in place.given if one[1] == "claim" or one[0] in names}
            place.given |= {(name, "hand", "") for name in names - current}

        self.attempt(
            "set roles", lambda: member_roles.set_roles(self.acting(caller), self.member(key), names), given, against
        )

    @step()
    def make_key(self, data: Any) -> None:
        out = [key for key, place in self.model.living().items() if not place.active]
        key, caller = self.choose(data, [*self.model.living(), *out * 3], "owner"), self.caller(data)
        against = set() if self.model.places[key].active else {"ERR_OWNER_INACTIVE"}
        if caller != key and not self.model.is_administrator(caller):
            against.add("ERR_ADMINISTRATORS_ONLY")

        def made(model: Account, issued: Any) -> None:
            model.places[key].keys += [issued.token] if issued else []

        self.attempt(
            "make a key",
            lambda: credentials.issue(self.acting(caller), credentials.API_KEY, self.member(key)),
            made,
            against,
        )

    @step()
    def change_bot(self, data: Any) -> None:
        key, caller, names = self.choose(data, self.model.bots, "bot"), self.caller(data), self._roles(data)
        against = self.model.against_granting(caller, names) | ({"ERR_INVALID_BODY"} if ADMIN in names else set())

        def changed(model: Account, _: Any) -> None:
            model.bots[key] = set(names)

        self.attempt(
            "change a bot user",
            lambda: bots.change(self.acting(caller), BotUser.get_by_id(key), roles=sorted(names)),
            changed,
            against,
        )

    # --- invitations ------------------------------------------------------------------------------------------------

    @step(email=ADDRESSES, often=3)
    def invite(self, email: str, data: Any) -> None:
        names, caller = self._roles(data, least=1), self.caller(data)
        against = self.model.without_plan("pro", "enterprise") | self.model.against_granting(caller, names)
        against |= self.model.against_one_more()
        if self.model.at(email):
            against.add("ERR_ALREADY_MEMBER")
        if any(one.email == email for one in self.model.invitations.values()):
            against.add("ERR_ALREADY_INVITED")

        def sent(model: Account, done: Any) -> None:
            if done is not None:
                model.invitations[done.invitation.id] = Invitation(email, set(names), caller, next(model.ticks))

        self.attempt(
            "invite", lambda: invitations.create(self.acting(caller), email, role_names=sorted(names)), sent, against
        )

    @step(when=lambda self: self.model.invitations, often=2)
    def resend(self, data: Any) -> None:
        key, caller = self.choose(data, self.model.invitations, "invitation"), self.caller(data)
        names = self.model.invitations[key].roles

        def sent(model: Account, _: Any) -> None:
            model.invitations[key].sender, model.invitations[key].sent = caller, next(model.ticks)

        self.attempt(
            "resend",
            lambda: invitations.resend(self.acting(caller), StoredInvitation.get_by_id(key)),
            sent,
            self.model.without_plan("pro", "enterprise")
            | self.model.against_granting(caller, names)
            | (set() if self.model.is_in(self.model.invitations[key].sender) else self.model.against_one_more()),
        )

    @step(when=lambda self: self.model.invitations)
    def cancel(self, data: Any) -> None:
        key, caller = self.choose(data, self.model.invitations, "invitation"), self.caller(data)
        self.attempt(
            "cancel",
            lambda: invitations.cancel(self.acting(caller), StoredInvitation.get_by_id(key)),
            lambda model, _: model.invitations.pop(key) and None,
            self.model.against_promising(caller, self.model.invitations[key].roles),
        )

    @step(when=lambda self: self.model.invitations, often=2)
    def accept(self, data: Any) -> None:
        lapsed = [key for key, one in self.model.invitations.items() if not self.model.vouched(one)]
        key = self.choose(data, [*self.model.invitations, *lapsed * 2], "invitation")
        email = self.model.invitations[key].email

        def joined(model: Account, member: Member | None) -> None:
            names = model.invitations.pop(key).roles
            if member is not None:
                self._joined(member, {(name, "hand", "") for name in names})

        self.attempt(
            "accept",
            lambda: invitations.accept(self.system, StoredInvitation.get_by_id(key), people.create(email)),
            joined,
            self.model.against_accepting(key),
            guarded=False,
        )

    # --- by assertion -----------------------------------------------------------------------------------------------

    @step(email=[*ADDRESSES, OWNER], claim=CLAIMS, often=3)
    def sign_in_by_provider(self, email: str, claim: set[str] | None, data: Any) -> None:
        """Joins where she is nobody yet, and never revives."""
        by = self.choose(data, self.model.providers, "provider")
        known, invited = set(self.model.places), self.model.invited(email)
        claimed = None if claim is None else tuple(sorted(claim))
        opened: list[str] = []

        def come() -> sign_in.Admission:
            provider = self.provider(by)
            admitted = sign_in.by_assertion(self.system, provider, said(email, groups=claimed))
            opened.append(sessions.open_session(admitted.member, method="saml", identity_provider_id=by).token)
            return admitted

        def came(model: Account, admitted: sign_in.Admission | None) -> None:
            if admitted is None:
                return
            key = admitted.member.id
            if key not in known:
                self._joined_by_assertion(by, admitted.member, claim, invited)
            else:
                assert model.places[key].active, "an assertion let in whoever is out"
                self._claim(by, key, claim)
            model.link(by, key)
            if ADMIN in model.roles_of(key):
                model.providers[by].proven_by = key
            model.sessions[opened[0]] = Signed("saml", by, {key})

        what = "join by assertion" if not self.model.at(email) else "sign in by assertion"
        self.attempt(what, come, came, self.model.against_signing_in(by, email), guarded=False)

    def _joined_by_assertion(self, by: str, member: Member, claim: set[str] | None, invited: str | None) -> None:
        mapped = {} if claim is None else self.model.claimed(by, claim, managed=False)
        given = {(role, "claim", mapping) for mapping, role in mapped.items()}
        if invited:
            given |= {(name, "hand", "") for name in self.model.invitations.pop(invited).roles}
        elif not mapped:
            given |= {(DEFAULT, "default", "")}
        self._joined(member, given, provider=by)

    def _claim(self, by: str, key: str, claim: set[str] | None) -> None:
        """What this assertion gives in place of what the last one gave; but the last administrator stays one."""
        if claim is None:
            return
        model, place = self.model, self.model.places[key]
        mapped = model.claimed(by, claim, managed=place.by_directory)
        before, was = set(place.given), model.administrators()
        place.given = {one for one in before if one[1] != "claim"}
        place.given |= {(role, "claim", mapping) for mapping, role in mapped.items()}
        if was and not model.administrators():
            place.given |= {one for one in before if one[:2] == (ADMIN, "claim")}
        if not place.by_directory and not model.roles_of(key):
            place.given |= {(DEFAULT, "default", "")}

    # --- over SCIM --------------------------------------------------------------------------------------------------

    @step(active=[True, True, False], often=2)
    def push(self, active: bool, data: Any) -> None:
        """A new record: of somebody new, of a member whom the directory takes over, or of one who has left it."""
        anybody = [(by, email) for by in self.model.providers for email in ADDRESSES]
        left = [(by, place.email) for place in self.model.places.values() for by in place.left if place.removed]
        by, email = self.choose(data, anybody + left * 5, "whom")
        self._push(by, email, active=active)

    def _push(self, by: str, email: str, *, active: bool) -> None:
        invited, here = self.model.standing(email), self.model.at(email)
        leaver = None if here else self.model.leaver(by, email)
        record = {"record_active": active, "by_directory": True, "directory_active": active, "provider": by}

        def pushed(model: Account, written: Any) -> None:
            known = [*here, *([leaver] if leaver else [])]
            promised = model.invitations.pop(invited).roles if invited and not here else set()
            if not known:
                if written is not None:
                    given = {(name, "hand", "") for name in promised} or {(DEFAULT, "default", "")}
                    self._joined(Member.get_by_id(written.row.member_id), given, record=written.row.id, **record)
                return
            place = model.places[known[0]]
            if here:  # of the groups that it pushes the directory says who is in them, and no claim any more
                its = {key for key, one in model.mappings.items() if one.provider == by and one.group is not None}
                place.given = {one for one in place.given if not (one[1] == "claim" and one[2] in its)}
            place.removed, place.record, place.groups = 0, written.row.id if written else "", set()
            for name, value in record.items():
                setattr(place, name, value)
            place.given |= {(name, "hand", "") for name in promised - model.roles_of(known[0])}
            model.settle(known[0])
            assert written is None or written.row.member_id == known[0], "somebody else came back"

        what = "push a member" if here else "push a leaver" if leaver else "push"
        self.attempt(
            what,
            lambda: scim_users.create(self.directory(by), {"userName": email, "active": active}),
            pushed,
            self.model.against_pushing(by, email, active=active),
        )

    def _records(self, by: str | None = None) -> list[str]:
        return [
            key for key, place in self.model.places.items() if place.record is not None and by in (None, place.provider)
        ]

    def _directory_of(self, key: str) -> tuple[Directory, str]:
        place = self.model.places[key]
        return self.directory(place.provider or ""), place.record or ""

    @step(active=[True, False], when=lambda self: self._records())
    def push_active(self, data: Any, active: bool) -> None:
        key = self.choose(data, self._records(), "member")
        place = self.model.places[key]

        def changed(model: Account, _: Any) -> None:
            place = model.places[key]
            place.directory_active = place.record_active = active
            model.settle(key)

        operations = parse_patch({"Operations": [{"op": "replace", "path": "active", "value": active}]}, USER_TYPE)
        directory, record = self._directory_of(key)
        seated = active and not place.record_active and not place.held
        self.attempt(
            "push active" if active else "push inactive",
            lambda: scim_users.patch(directory, record, operations),
            changed,
            self.model.against_one_more() if seated else (),
        )

    @step(when=lambda self: self._records())
    def push_delete(self, data: Any) -> None:
        key = self.choose(data, self._records(), "member")

        def gone(model: Account, _: Any) -> None:
            place = model.places[key]
            place.removed = place.left[place.provider or ""] = next(model.ticks)
            place.record, place.groups = None, set()
            model.settle(key)

        directory, record = self._directory_of(key)
        self.attempt("push a delete", lambda: scim_users.delete(directory, record), gone)

    # --- groups and mappings ----------------------------------------------------------------------------------------

    @step(name=GROUPS)
    def push_group(self, name: str, data: Any) -> None:
        by = self.choose(data, self.model.providers, "provider")
        hers = self._records(by)
        self._push_group(by, name, {key for key in hers if self.choose(data, [True, False], f"with {key}")})

    def _push_group(self, by: str, name: str, inside: set[str]) -> None:
        def pushed(model: Account, written: Any) -> None:
            if written is None:
                return
            model.groups[written.row.id] = Group(by, name)
            for key in inside:
                model.places[key].groups.add(written.row.id)
            model.bind(written.row.id)

        entries = [{"value": self.model.places[key].record} for key in sorted(inside)]
        self.attempt(
            "push a group",
            lambda: scim_groups.create(self.directory(by), {"displayName": name, "members": entries}),
            pushed,
            self._named_so(by, name),
        )

    def _named_so(self, by: str, name: str, *, besides: str | None = None) -> set[str]:
        taken = any(
            (group.provider, group.name) == (by, name) for key, group in self.model.groups.items() if key != besides
        )
        return {"uniqueness"} if taken else set()

    @step(add=[True, False], when=lambda self: self.model.groups)
    def change_group(self, data: Any, add: bool) -> None:
        group = self.choose(data, self.model.groups, "group")
        by = self.model.groups[group].provider
        if not (hers := self._records(by)):
            return
        key = self.choose(data, hers, "member")

        def changed(model: Account, _: Any) -> None:
            (model.places[key].groups.add if add else model.places[key].groups.discard)(group)

        value = [{"value": self.model.places[key].record}]
        operation = {"op": "add" if add else "remove", "path": "members", "value": value}
        operations = parse_patch({"Operations": [operation]}, GROUP_TYPE)
        what = "add to a group" if add else "take out of a group"
        self.attempt(what, lambda: scim_groups.patch(self.directory(by), group, operations), changed)

    @step(name=GROUPS, when=lambda self: self.model.groups)
    def rename_group(self, data: Any, name: str) -> None:
        group = self.choose(data, self.model.groups, "group")
        by = self.model.groups[group].provider

        def renamed(model: Account, _: Any) -> None:
            if model.groups[group].name != name:
                model.groups[group].name = name
                model.bind(group)

        operations = parse_patch({"Operations": [{"op": "replace", "path": "displayName", "value": name}]}, GROUP_TYPE)
        self.attempt(
            "rename a group",
            lambda: scim_groups.patch(self.directory(by), group, operations),
            renamed,
            self._named_so(by, name, besides=group),
        )

    @step(when=lambda self: self.model.groups)
    def delete_group(self, data: Any) -> None:
        group = self.choose(data, self.model.groups, "group")
        by = self.model.groups[group].provider

        def gone(model: Account, _: Any) -> None:
            del model.groups[group]
            for place in model.places.values():
                place.groups.discard(group)
            for mapping in model.mappings.values():
                if mapping.group == group:
                    mapping.group = None

        self.attempt("delete a group", lambda: scim_groups.delete(self.directory(by), group), gone)

    @step(name=GROUPS)
    def map_group(self, name: str, data: Any) -> None:
        by = self.choose(data, self.model.providers, "provider")
        self._map(self.caller(data), by, name, self._role(data))

    def _map(self, caller: str, by: str, name: str, role: str) -> None:
        against = self.model.without_plan("enterprise") | self.model.against_granting(caller, {role})

        def mapped(model: Account, row: Any) -> None:
            if row is not None:
                here = [key for key, group in model.groups.items() if (group.provider, group.name) == (by, name)]
                model.mappings[row.id] = Mapping(by, name, role, here[0] if here else None)

        self.attempt(
            "map",
            lambda: groups.map_role(self.acting(caller), self.provider(by), role=role, group_display_name=name),
            mapped,
            against | self._mapped_so(by, name, role),
        )

    def _mapped_so(self, by: str, name: str, role: str, *, besides: str | None = None) -> set[str]:
        others = [mapping for key, mapping in self.model.mappings.items() if key != besides]
        taken = any((one.provider, one.name, one.role) == (by, name, role) for one in others)
        return {"ERR_NAME_TAKEN"} if taken else set()

    def _against_taking(self, caller: str, mapping: str) -> set[str]:
        makes_administrators = self.model.mappings[mapping].role == ADMIN
        may = self.model.is_administrator(caller)
        return {"ERR_ADMINISTRATORS_ONLY"} if makes_administrators and not may else set()

    @step(when=lambda self: self.model.mappings)
    def change_mapping(self, data: Any) -> None:
        mapping, caller = self.choose(data, self.model.mappings, "mapping"), self.caller(data)
        role = self._role(data)
        now = self.model.mappings[mapping]
        against = self.model.without_plan("enterprise") | self.model.against_granting(caller, {role})

        def changed(model: Account, _: Any) -> None:
            model.mappings[mapping].role = role
            for place in model.places.values():
                mine = {one for one in place.given if one[2] == mapping}
                place.given -= mine
                if mine and (role != ADMIN or model.providers[now.provider].may_grant_admin):
                    place.given.add((role, "claim", mapping))

        self.attempt(
            "change a mapping",
            lambda: groups.change_mapping(self.acting(caller), self._mapping(mapping), role),
            changed,
            against
            | self._against_taking(caller, mapping)
            | self._mapped_so(now.provider, now.name, role, besides=mapping),
        )

    @step(when=lambda self: self.model.mappings)
    def unmap(self, data: Any) -> None:
        mapping, caller = self.choose(data, self.model.mappings, "mapping"), self.caller(data)

        def gone(model: Account, _: Any) -> None:
            del model.mappings[mapping]
            for place in model.places.values():
                place.given = {one for one in place.given if one[2] != mapping}

        self.attempt(
            "unmap",
            lambda: groups.unmap(self.acting(caller), self._mapping(mapping)),
            gone,
            self._against_taking(caller, mapping),
        )

    def _mapping(self, key: str) -> RoleMapping:
        return groups.mapping(self.world.account, key)

    @step()
    def let_provider_grant_admin(self, data: Any) -> None:
        self._let_grant_admin(self.caller(data), self.choose(data, self.model.providers, "provider"))

    def _let_grant_admin(self, caller: str, by: str) -> None:
        may = not self.model.providers[by].may_grant_admin
        against = self.model.without_plan("enterprise")
        if not self.model.is_administrator(caller):
            against.add("ERR_ADMINISTRATORS_ONLY")

        def switched(model: Account, _: Any) -> None:
            model.providers[by].may_grant_admin = may
            its = {key for key, mapping in model.mappings.items() if mapping.provider == by}
            for place in model.places.values() if not may else ():
                place.given = {one for one in place.given if not (one[:2] == (ADMIN, "claim") and one[2] in its)}

        self.attempt(
            "let a provider grant admin" if may else "let a provider grant admin no more",
            lambda: idps.change(self.acting(caller), self.provider(by), may_grant_admin=may),
            switched,
            against,
        )

    # --- own roles --------------------------------------------------------------------------------------------------

    def _role_named(self, name: str, *, besides: str | None = None) -> set[str]:
        taken = any(role.name == name for key, role in self.model.own_roles.items() if key != besides)
        return {"ERR_NAME_TAKEN"} if taken else set()

    @step(name=OWN_ROLES, permissions=PERMISSIONS)
    def make_role(self, name: str, permissions: set[str], data: Any) -> None:
        self._make_role(self.caller(data), name, permissions)

    def _make_role(self, caller: str, name: str, permissions: set[str]) -> None:
        against = self.model.without_plan("enterprise") | self._role_named(name)
        if permissions - self.model.rights(caller):
            against.add("ERR_GRANT_ABOVE_OWN_RIGHTS")

        def made(model: Account, row: Any) -> None:
            if row is not None:
                model.own_roles[row.id] = OwnRole(name, set(permissions))

        self.attempt(
            "make a role",
            lambda: own_roles.create(self.acting(caller), name, permissions=permissions),
            made,
            against,
        )

    @step(permissions=PERMISSIONS, when=lambda self: self.model.own_roles)
    def change_role(self, data: Any, permissions: set[str]) -> None:
        key, caller = self.choose(data, self.model.own_roles, "role"), self.caller(data)
        against = self.model.without_plan("enterprise")
        if permissions - self.model.own_roles[key].permissions - self.model.rights(caller):
            against.add("ERR_GRANT_ABOVE_OWN_RIGHTS")

        def changed(model: Account, _: Any) -> None:
            model.own_roles[key].permissions = set(permissions)

        self.attempt(
            "change a role",
            lambda: own_roles.change(self.acting(caller), self._own_role(key), permissions=permissions),
            changed,
            against,
        )

    @step(name=OWN_ROLES, when=lambda self: self.model.own_roles)
    def rename_role(self, data: Any, name: str) -> None:
        key = self.choose(data, self.model.own_roles, "role")

        def renamed(model: Account, _: Any) -> None:
            model.rename_role(model.own_roles[key].name, name)
            model.own_roles[key].name = name

        self.attempt(
            "rename a role",
            lambda: own_roles.change(self.system, self._own_role(key), name=name),
            renamed,
            self.model.without_plan("enterprise") | self._role_named(name, besides=key),
        )

    @step(when=lambda self: self.model.own_roles)
    def delete_role(self, data: Any) -> None:
        key = self.choose(data, self.model.own_roles, "role")
        name = self.model.own_roles[key].name

        def gone(model: Account, _: Any) -> None:
            del model.own_roles[key]
            for place in model.places.values():
                place.given = {one for one in place.given if one[0] != name}

        self.attempt(
            "delete a role",
            lambda: own_roles.delete(self.system, self._own_role(key)),
            gone,
            {"ERR_ROLE_IN_USE"} if self.model.holds(name) else (),
        )

    def _own_role(self, key: str) -> Any:
        return own_roles.get(self.world.account, key)

    # --- plan and ways in -------------------------------------------------------------------------------------------

    @step(plan=PLANS, spare=[None, 2, 1, 0, -1])
    def change_plan(self, plan: str, spare: int | None, **_: Any) -> None:
        """With so many seats more than are taken; the enterprise plan has no limit where none is set."""
        limit = max(self.model.taken + (spare or 0), 1)
        limited = None if spare is None and plan == "enterprise" else limit

        def changed(model: Account, _: Any) -> None:
            was_enforced = model.mode == "enforced"
            model.plan, model.limit = plan, limited
            stored = cast.again(self.world.account)
            for key, provider in model.providers.items():
                if plan != "enterprise" and provider.enabled:
                    model.end_by_provider(key)
                    provider.enabled, provider.off_by_plan = False, True
                elif plan == "enterprise" and provider.off_by_plan:
                    provider.enabled, provider.off_by_plan = True, False
            if stored.sso_mode == "enforced" and not was_enforced:
                model.end_by_password()
            model.mode = stored.sso_mode

        done = self.attempt(
            f"plan {plan}", lambda: plan_changes.set_plan(self.system, plan, seat_limit=limited), changed
        )
        assert done is None or plan == "enterprise" or self.model.mode == "mixed"

    @step(often=2)
    def switch_provider(self, data: Any) -> None:
        by = self.choose(data, self.model.providers, "provider")
        enabled = not self.model.providers[by].enabled
        against = self.model.without_plan("enterprise") if enabled else set()
        others = [key for key, one in self.model.providers.items() if key != by and one.enabled]
        if not enabled and self.model.mode == "enforced" and not any(self.model.proven(key) for key in others):
            against.add("ERR_LAST_IDENTITY_PROVIDER")

        def switched(model: Account, _: Any) -> None:
            provider = model.providers[by]
            if not enabled:
                model.end_by_provider(by)
            provider.enabled, provider.off_by_plan = enabled, False

        self.attempt(
            "switch a provider on" if enabled else "switch a provider off",
            lambda: idps.change(self.system, self.provider(by), enabled=enabled),
            switched,
            against,
        )

    def _may_be_enforced(self) -> bool:
        enabled = any(provider.enabled for provider in self.model.providers.values())
        return self.model.plan == "enterprise" and enabled and self.model.mode == "mixed"

    @step(when=_may_be_enforced)
    def enforce(self, data: Any) -> None:
        """With all that it asks for at hand; by a session that a password opened, or by none."""
        mine = [token for token, session in self.model.sessions.items() if self._may_enforce(session)]
        flips = self.choose(data, [None, *mine], "session")
        row = None if flips is None else sessions.memberships(flips)[0].session

        def enforced(model: Account, _: Any) -> None:
            model.end_by_password(keep=flips)
            model.mode = "enforced"

        chief = next(key for key in self.model.places if key in self.model.administrators())
        with db.transaction():
            IdentityProvider.update(administrator_signed_in_at=clock.now(), proven_by=chief).execute()
            RecoveryCode.create(member=chief, code_hash="hash")
        for provider in self.model.providers.values():
            provider.proven_by = chief
        self.attempt("enforce", lambda: enforcement.enforce(self.system, session=row), enforced)

    def _may_enforce(self, session: Signed) -> bool:
        return session.method == "password" and bool(session.reach & self.model.administrators())

    @step(when=lambda self: self.model.mode == "enforced")
    def relax(self, **_: Any) -> None:
        self.attempt("relax", lambda: enforcement.relax(self.system), _mode("mixed"))

    # --- sessions ---------------------------------------------------------------------------------------------------

    @step(method=["password", "recovery_code", "break_glass"])
    def sign_in_otherwise(self, data: Any, method: str) -> None:
        """Only whoever is active; by password only in mixed mode, and into her other account as well."""
        key = self.choose(data, self.model.living(), "member")
        allowed = self.model.places[key].active and (method != "password" or self.model.mode == "mixed")
        try:
            with db.transaction():
                token = sessions.open_session(self.member(key), method=method).token
        except Forbidden:
            assert not allowed
            return
        assert allowed
        self.done["sign in otherwise"] += 1
        both = method == "password" and key == self.world.owner.id
        self.model.sessions[token] = Signed(method, None, {key, *([self.elsewhere] if both else [])})

    @step()
    def sign_out_everywhere(self, data: Any) -> None:
        key = self.choose(data, self.model.living(), "member")
        hers = [token for token, session in self.model.sessions.items() if key in session.reach]
        keep = self.choose(data, [None, *hers], "but for")
        row = None if keep is None else sessions.memberships(keep)[0].session
        done = self.attempt(
            "sign out everywhere",
            lambda: account_sessions.end_everywhere(self.system, self.member(key), keep=row),
            lambda model, _: model.sign_out(key, keep=keep),
        )
        assert done == len(hers) - (keep is not None)

    @step(when=lambda self: any(session.reach - {self.elsewhere} for session in self.model.sessions.values()))
    def end_one(self, data: Any) -> None:
        alive = [token for token, session in self.model.sessions.items() if session.reach - {self.elsewhere}]
        token = self.choose(data, alive, "session")
        (key,) = self.model.sessions[token].reach - {self.elsewhere}
        digest = sessions.memberships(token)[0].session.digest
        reach = next(one for one in account_sessions.of_member(self.member(key)) if one.session.digest == digest)
        self.attempt(
            "end a session",
            lambda: account_sessions.end(self.system, self.member(key), reach),
            lambda model, _: model.sessions[token].reach.discard(key),
        )

    # --- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def check(self) -> None:
        """The product is where the model is."""
        self.seats_are_counted()
        self.somebody_is_an_administrator()
        self.roles_are_what_the_sources_say()
        self.sessions_reach_whom_they_should()
        self.credentials_work_while_their_owner_is_active()
        self.spans_are_what_the_directories_hold()

    def seats_are_counted(self) -> None:
        counted = seats.count(cast.again(self.world.account))
        assert (counted.used, counted.reserved) == (self.model.used, self.model.reserved)
        assert seat_counts() == counted_seats()
        assert counted.limit == self.model.limit

    def somebody_is_an_administrator(self) -> None:
        account = cast.again(self.world.account)
        assert member_roles.administrators(account) == self.model.administrators()
        assert self.model.administrators()

    def roles_are_what_the_sources_say(self) -> None:
        account = cast.again(self.world.account)
        living = list(members.of_account(account))
        assert {row.id for row in living} == self.model.living().keys()
        listed = member_roles.role_sources(account, living)
        for row in living:
            held = self.model.roles_of(row.id)
            assert {one.role for one in listed[row.id]} == set(member_roles.roles_of(account, row)) == held, row.email

    def sessions_reach_whom_they_should(self) -> None:
        for token, session in self.model.sessions.items():
            assert {member.id for member in sessions.memberships(token)} == session.reach, session

    def credentials_work_while_their_owner_is_active(self) -> None:
        for place in self.model.places.values():
            for key in place.keys:
                works = credentials.find(credentials.API_KEY, key) is not None
                assert works == place.active, place.email

    def spans_are_what_the_directories_hold(self) -> None:
        for by in self.model.providers:
            live = {self.model.places[key].record for key in self._records(by)}
            found, total = scim_users.RECORDS.find(self.directory(by), None, Page(1, 100))
            assert {row.id for row in found} == live
            assert total == spans.find(by, 0).total == len(live)
        assert set(db.column(DirectoryGroup.select(DirectoryGroup.id))) == set(self.model.groups)


def _told(refused: DomainError | ScimError) -> str:
    """What a program would know the refusal by."""
    if isinstance(refused, sign_in.Refused):
        return refused.outcome.value
    return refused.code.value if isinstance(refused, DomainError) else str(refused.scim_type)


def _held(key: str, held: bool) -> Effect:
    def effect(model: Account, _: Any) -> None:
        model.places[key].held = held
        model.settle(key)

    return effect


def _mode(mode: str) -> Effect:
    def effect(model: Account, _: Any) -> None:
        model.mode = mode

    return effect
