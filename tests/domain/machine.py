"""A hypothesis state machine over everything that changes who is in an account, what she may do and how many seats it
takes: by hand, by invitation, by assertion, over SCIM, by plan. After each step the product is compared to a model."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from idp_bridge import (
    account_sessions,
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
    seats,
    sessions,
    sign_in,
    spans,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, DomainError, Forbidden
from idp_bridge.models import (
    ALL,
    DirectoryGroup,
    DirectoryUser,
    IdentityProvider,
    Invitation,
    Member,
    RecoveryCode,
    RoleMapping,
)
from idp_bridge.provisioning import groups as scim_groups
from idp_bridge.provisioning import users as scim_users
from idp_bridge.provisioning.directory import Directory
from scim.errors import ScimError
from scim.paging import Page
from scim.patch import parse_patch
from scim.schemas import GROUP_TYPE, USER_TYPE
from tests.conftest import counted_seats, seat_counts
from tests.domain import cast
from tests.domain.membership import ADMIN, Account, Mapping, Place, Signed
from tests.domain.test_sign_in import said

ROOTS = [model for model in ALL if not model._meta.refs]
ADDRESSES = [f"{name}@acme.test" for name in ("ann", "bea", "cyd", "dot", "eve")]
GROUPS = ["ops", "devs"]
OWN_ROLES = ["deployer", "auditor"]
ROLES = [ADMIN, "developer", "viewer"]
DEFAULT = "developer"
PLANS = [("enterprise", None), ("enterprise", 4), ("enterprise", 3), ("pro", 4), ("pro", 2), ("free", 3)]

pick = st.data()


class Membership(RuleBasedStateMachine):
    """One account with one provider; its owner is a member of a second account too, which nothing here concerns."""

    def __init__(self) -> None:
        super().__init__()
        for root in ROOTS:
            root.delete().execute()
        self.world = cast.open_account("acme", seats=4)
        cast.connect(self.world, join_policy="jit", may_grant_admin=False)
        beta = cast.open_account("beta")
        self.elsewhere = cast.join(beta, "owner@acme.test", person=self.world.owner.person).id
        self.model = Account(limit=4)
        self._joined(self.world.owner, {(ADMIN, "hand", "")})

    @initialize(furnished=st.booleans(), admin=st.booleans())
    def begin(self, furnished: bool, admin: bool) -> None:
        """Bare, or with a second administrator and two whom the directory has put into a group that is mapped."""
        if not furnished:
            return
        with db.transaction():
            second = member_lifecycle.create(self.system, email=ADDRESSES[0], managed_by="local", roles=[ADMIN])
        self._joined(second, {(ADMIN, "hand", "")})
        self.change_plan(("enterprise", None))
        for email in ADDRESSES[1:3]:
            self.push(email, active=True)
        if admin:
            self.let_provider_grant_admin()
        self._push_group(GROUPS[0], set(self._records()))
        self.map_group(GROUPS[0], ADMIN if admin else DEFAULT)

    # --- how a step is done ---------------------------------------------------------------------------------------

    @property
    def system(self) -> Actor:
        """The service, with the account as it is stored now."""
        self.world.account = cast.again(self.world.account)
        return self.world.system

    @property
    def provider(self) -> IdentityProvider:
        """The connection as it is stored now, with its account."""
        assert self.world.provider is not None
        provider: IdentityProvider = cast.again(self.world.provider)
        provider.account = self.world.account
        return provider

    @property
    def directory(self) -> Directory:
        """As a token of it would open it."""
        actor = Actor(
            account=self.system.account, type="identity_provider", subject="Okta", source="scim", id=self.provider.id
        )
        return Directory(self.provider, actor.account, actor, "http://localhost/scim/v2")

    def attempt(self, work: Callable[[], Any], effect: Callable[[Account, Any], None]) -> Any:
        """Do it in a transaction of its own, and the same to the model. What is refused for the seats or for the last
        administrator must be so by the model too; what is done must be allowed by it. None where it was refused."""
        before = self.model.taken
        try:
            with db.transaction():
                done = work()
        except (DomainError, ScimError) as refused:
            code = getattr(refused, "code", None)
            if code is Code.SEATS_FULL:
                self._check_full(str(refused))
            elif code is Code.LAST_ADMINISTRATOR:
                self._check_last_administrator(effect)
            return None
        effect(self.model, done)
        if self.model.limit is not None:
            assert self.model.taken <= max(self.model.limit, before), "more seats taken than there are"
        return done

    def _check_full(self, words: str) -> None:
        limit = self.model.limit
        assert limit is not None
        assert f"All {limit} seats" in words
        assert self.model.taken >= limit, "refused, although a seat is free"

    def _check_last_administrator(self, effect: Callable[[Account, Any], None]) -> None:
        without = deepcopy(self.model)
        effect(without, None)
        assert not without.administrators(), "refused, although an administrator is left"

    def member(self, key: str) -> Member:
        """The row as it is now."""
        row: Member = Member.get_by_id(key)
        row.account = self.world.account
        return row

    def _joined(self, member: Member, given: set[tuple[str, str, str]], **place: Any) -> None:
        key = ""
        if member.active:
            with db.transaction():
                key = credentials.issue(self.system, credentials.API_KEY, member).token or ""
        self.model.places[member.id] = Place(member.email, key, given, **place)

    def _roles(self) -> list[str]:
        """Those that can be given, and one that is not there."""
        return [*ROLES, *sorted(self.model.own_roles.values()), "nothing"]

    def choose(self, data: Any, what: Any, label: str) -> Any:
        """One of these, in the order in which they came: their names differ from run to run."""
        return data.draw(st.sampled_from(list(what)), label=label)

    # --- by hand ----------------------------------------------------------------------------------------------------

    @rule(data=pick)
    def suspend(self, data: Any) -> None:
        key = self.choose(data, self.model.living(), "member")
        self.attempt(lambda: member_lifecycle.suspend(self.system, self.member(key)), _held(key, True))

    @precondition(lambda self: any(place.held for place in self.model.living().values()))
    @rule(data=pick)
    def lift(self, data: Any) -> None:
        held = [key for key, place in self.model.living().items() if place.held]
        key = self.choose(data, held, "member")
        self.attempt(lambda: member_lifecycle.unsuspend(self.system, self.member(key)), _held(key, False))

    @rule(data=pick)
    def remove(self, data: Any) -> None:
        key = self.choose(data, self.model.living(), "member")

        def gone(model: Account, _: Any) -> None:
            assert not model.places[key].by_directory
            model.sign_out(key)
            del model.places[key]

        self.attempt(lambda: member_lifecycle.remove(self.system, self.member(key)), gone)

    @precondition(lambda self: any(place.removed for place in self.model.places.values()))
    @rule(data=pick)
    def restore(self, data: Any) -> None:
        key = self.choose(data, [key for key, place in self.model.places.items() if place.removed], "member")

        def back(model: Account, done: Any) -> None:
            place = model.places[key]
            record = DirectoryUser.get(DirectoryUser.member == key, DirectoryUser.deleted_at.is_null())
            place.removed, place.record = False, record.id
            place.directory_active = place.record_active

        self.attempt(lambda: member_lifecycle.restore(self.system, self.member(key)), back)

    @rule(data=pick)
    def set_roles(self, data: Any) -> None:
        key = self.choose(data, self.model.living(), "member")
        names = data.draw(st.sets(st.sampled_from(self._roles())), label="roles")
        names |= self.model.not_by_hand(key) if self.model.plan != "free" else set()

        def given(model: Account, _: Any) -> None:
            place, current = model.places[key], model.roles_of(key)
            place.given = {one for one in place.given if one[1] == "claim" or one[0] in names}
            place.given |= {(name, "hand", "") for name in names - current}

        self.attempt(lambda: member_roles.set_roles(self.system, self.member(key), names), given)

    # --- invitations ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.plan != "free")
    @rule(email=st.sampled_from(ADDRESSES), data=pick)
    def invite(self, email: str, data: Any) -> None:
        names = data.draw(st.sets(st.sampled_from(self._roles()), min_size=1), label="roles")

        def sent(model: Account, done: Any) -> None:
            model.invitations[done.invitation.id] = (email, tuple(sorted(names)))

        self.attempt(lambda: invitations.create(self.system, email, role_names=sorted(names)), sent)

    @precondition(lambda self: self.model.invitations)
    @rule(data=pick, again=st.booleans())
    def resend_or_cancel(self, data: Any, again: bool) -> None:
        key = self.choose(data, self.model.invitations, "invitation")
        if again:
            self.attempt(lambda: invitations.resend(self.system, Invitation.get_by_id(key)), _nothing)
        else:
            self.attempt(
                lambda: invitations.cancel(self.system, Invitation.get_by_id(key)),
                lambda model, _: model.invitations.pop(key) and None,
            )

    @precondition(lambda self: self.model.invitations)
    @rule(data=pick)
    def accept(self, data: Any) -> None:
        key = self.choose(data, self.model.invitations, "invitation")
        email, names = self.model.invitations[key]

        def joined(model: Account, member: Member | None) -> None:
            del model.invitations[key]
            if member is not None:
                self._joined(member, {(name, "hand", "") for name in names})

        self.attempt(lambda: invitations.accept(self.system, Invitation.get_by_id(key), people.create(email)), joined)

    # --- by assertion -----------------------------------------------------------------------------------------------

    @rule(email=st.sampled_from([*ADDRESSES, "owner@acme.test"]), claim=st.none() | st.sets(st.sampled_from(GROUPS)))
    def sign_in_by_provider(self, email: str, claim: set[str] | None) -> None:
        """Joins where she is nobody yet, and never revives."""
        known = set(self.model.places)
        claimed = None if claim is None else tuple(sorted(claim))
        opened: list[str] = []

        def come() -> sign_in.Admission:
            actor, provider = self.system, self.provider
            admitted = sign_in.by_assertion(actor, provider, said(email, groups=claimed))
            token = sessions.open_session(admitted.member, method="saml", identity_provider_id=provider.id).token
            opened.append(token)
            return admitted

        def came(model: Account, admitted: sign_in.Admission | None) -> None:
            if admitted is None:
                return
            key = admitted.member.id
            assert model.provider_enabled
            assert model.plan == "enterprise"
            if key not in known:
                self._joined_by_assertion(model, admitted.member, claim)
            else:
                assert model.places[key].active, "an assertion let in whoever is out"
                self._claim(model, key, claim)
            model.sessions[opened[0]] = Signed("saml", provider=True, reach={key})

        self.attempt(come, came)

    def _joined_by_assertion(self, model: Account, member: Member, claim: set[str] | None) -> None:
        mapped = {} if claim is None else model.claimed(claim, managed=False)
        invited = [key for key, (email, _) in model.invitations.items() if email == member.email]
        given = {(role, "claim", mapping) for mapping, role in mapped.items()}
        if invited:
            _, names = model.invitations.pop(invited[0])
            given |= {(name, "hand", "") for name in names}
        elif not mapped:
            given |= {(DEFAULT, "default", "")}
        self._joined(member, given)

    def _claim(self, model: Account, key: str, claim: set[str] | None) -> None:
        """What this assertion gives in place of what the last one gave; but the last administrator stays one."""
        if claim is None:
            return
        place = model.places[key]
        mapped = model.claimed(claim, managed=place.by_directory)
        before, was = set(place.given), model.administrators()
        place.given = {one for one in before if one[1] != "claim"}
        place.given |= {(role, "claim", mapping) for mapping, role in mapped.items()}
        if was and not model.administrators():
            place.given |= {one for one in before if one[:2] == (ADMIN, "claim")}
        if not place.by_directory and not model.roles_of(key):
            place.given |= {(DEFAULT, "default", "")}

    # --- over SCIM --------------------------------------------------------------------------------------------------

    @rule(email=st.sampled_from(ADDRESSES), active=st.booleans() | st.just(True))
    def push(self, email: str, active: bool) -> None:
        """A new record: of somebody new, of a member whom the directory takes over, of one who has left it."""

        def pushed(model: Account, written: Any) -> None:
            if written is None:
                return
            member = Member.get_by_id(written.row.member_id)
            record = {"record": written.row.id, "record_active": active, "by_directory": True}
            place = model.places.get(member.id)
            if place is None:
                self._joined(member, {(DEFAULT, "default", "")}, directory_active=active, **record)
                return
            assert place.record is None
            place.removed, place.directory_active, place.groups = False, active, set()
            for name, value in record.items():
                setattr(place, name, value)
            model.settle(member.id)

        self.attempt(lambda: scim_users.create(self.directory, {"userName": email, "active": active}), pushed)

    @precondition(lambda self: self._records())
    @rule(data=pick, active=st.booleans())
    def push_active(self, data: Any, active: bool) -> None:
        key = self.choose(data, self._records(), "member")

        def changed(model: Account, _: Any) -> None:
            place = model.places[key]
            place.directory_active = place.record_active = active
            model.settle(key)

        operations = parse_patch({"Operations": [{"op": "replace", "path": "active", "value": active}]}, USER_TYPE)
        record = self.model.places[key].record or ""
        self.attempt(lambda: scim_users.patch(self.directory, record, operations), changed)

    @precondition(lambda self: self._records())
    @rule(data=pick)
    def push_delete(self, data: Any) -> None:
        key = self.choose(data, self._records(), "member")

        def gone(model: Account, _: Any) -> None:
            place = model.places[key]
            place.removed, place.record, place.groups = True, None, set()
            model.settle(key)

        record = self.model.places[key].record or ""
        self.attempt(lambda: scim_users.delete(self.directory, record), gone)

    def _records(self) -> list[str]:
        return [key for key, place in self.model.places.items() if place.record is not None]

    # --- groups and mappings ----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.groups) < len(GROUPS))
    @rule(name=st.sampled_from(GROUPS), data=pick)
    def push_group(self, name: str, data: Any) -> None:
        everybody = self._records()
        self._push_group(
            name, data.draw(st.sets(st.sampled_from(everybody)) if everybody else st.just(set()), "members")
        )

    def _push_group(self, name: str, inside: set[str]) -> None:

        def pushed(model: Account, written: Any) -> None:
            if written is None:
                return
            model.groups[written.row.id] = name
            for key in inside:
                model.places[key].groups.add(written.row.id)
            model.bind(written.row.id)

        entries = [{"value": self.model.places[key].record} for key in sorted(inside)]
        self.attempt(lambda: scim_groups.create(self.directory, {"displayName": name, "members": entries}), pushed)

    @precondition(lambda self: self.model.groups and self._records())
    @rule(data=pick, add=st.booleans())
    def change_group(self, data: Any, add: bool) -> None:
        group = self.choose(data, self.model.groups, "group")
        key = self.choose(data, self._records(), "member")

        def changed(model: Account, _: Any) -> None:
            (model.places[key].groups.add if add else model.places[key].groups.discard)(group)

        value = [{"value": self.model.places[key].record}]
        operation = {"op": "add" if add else "remove", "path": "members", "value": value}
        operations = parse_patch({"Operations": [operation]}, GROUP_TYPE)
        self.attempt(lambda: scim_groups.patch(self.directory, group, operations), changed)

    @precondition(lambda self: self.model.groups)
    @rule(data=pick, name=st.sampled_from(GROUPS))
    def rename_group(self, data: Any, name: str) -> None:
        group = self.choose(data, self.model.groups, "group")

        def renamed(model: Account, _: Any) -> None:
            if model.groups[group] != name:
                model.groups[group] = name
                model.bind(group)

        operations = parse_patch({"Operations": [{"op": "replace", "path": "displayName", "value": name}]}, GROUP_TYPE)
        self.attempt(lambda: scim_groups.patch(self.directory, group, operations), renamed)

    @precondition(lambda self: self.model.groups)
    @rule(data=pick)
    def delete_group(self, data: Any) -> None:
        group = self.choose(data, self.model.groups, "group")

        def gone(model: Account, _: Any) -> None:
            del model.groups[group]
            for place in model.places.values():
                place.groups.discard(group)
            for mapping in model.mappings.values():
                if mapping.group == group:
                    mapping.group = None

        self.attempt(lambda: scim_groups.delete(self.directory, group), gone)

    @precondition(lambda self: self.model.plan == "enterprise")
    @rule(name=st.sampled_from(GROUPS), role=st.sampled_from([*ROLES, *OWN_ROLES]))
    def map_group(self, name: str, role: str) -> None:
        def mapped(model: Account, row: Any) -> None:
            if row is not None:
                model.mappings[row.id] = Mapping(name, role, row.group_id)
                here = [key for key, there in model.groups.items() if there == name]
                assert row.group_id == (here[0] if here else None)

        self.attempt(lambda: groups.map_role(self.system, self.provider, role=role, group_display_name=name), mapped)

    @precondition(lambda self: self.model.mappings)
    @rule(data=pick, role=st.sampled_from([*ROLES, *OWN_ROLES]))
    def change_mapping(self, data: Any, role: str) -> None:
        mapping = self.choose(data, self.model.mappings, "mapping")

        def changed(model: Account, _: Any) -> None:
            model.mappings[mapping].role = role
            for place in model.places.values():
                mine = {one for one in place.given if one[2] == mapping}
                place.given -= mine
                if mine and (role != ADMIN or model.may_grant_admin):
                    place.given.add((role, "claim", mapping))

        self.attempt(lambda: groups.change_mapping(self.system, self._mapping(mapping), role), changed)

    @precondition(lambda self: self.model.mappings)
    @rule(data=pick)
    def unmap(self, data: Any) -> None:
        mapping = self.choose(data, self.model.mappings, "mapping")

        def gone(model: Account, _: Any) -> None:
            del model.mappings[mapping]
            for place in model.places.values():
                place.given = {one for one in place.given if one[2] != mapping}

        self.attempt(lambda: groups.unmap(self.system, self._mapping(mapping)), gone)

    def _mapping(self, key: str) -> RoleMapping:
        return groups.mapping(self.world.account, key)

    @rule()
    def let_provider_grant_admin(self) -> None:
        may = not self.model.may_grant_admin

        def switched(model: Account, _: Any) -> None:
            if model.may_grant_admin and not may:
                for place in model.places.values():
                    place.given = {one for one in place.given if one[:2] != (ADMIN, "claim")}
            model.may_grant_admin = may

        self.attempt(lambda: idps.change(self.system, self.provider, may_grant_admin=may), switched)

    # --- own roles --------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.own_roles) < len(OWN_ROLES) and self.model.plan == "enterprise")
    @rule(name=st.sampled_from(OWN_ROLES))
    def make_role(self, name: str) -> None:
        def made(model: Account, row: Any) -> None:
            if row is not None:
                model.own_roles[row.id] = name

        self.attempt(lambda: own_roles.create(self.system, name, permissions=["bots:read"]), made)

    @precondition(lambda self: self.model.own_roles)
    @rule(data=pick, name=st.sampled_from(OWN_ROLES))
    def rename_role(self, data: Any, name: str) -> None:
        key = self.choose(data, self.model.own_roles, "role")
        former = self.model.own_roles[key]

        def renamed(model: Account, _: Any) -> None:
            model.own_roles[key] = name
            for place in model.places.values():
                place.given = {(name if one[0] == former else one[0], *one[1:]) for one in place.given}
            for mapping in model.mappings.values():
                mapping.role = name if mapping.role == former else mapping.role
            for invitation, (email, names) in model.invitations.items():
                model.invitations[invitation] = (email, tuple(name if one == former else one for one in names))

        self.attempt(lambda: own_roles.change(self.system, own_roles.get(self.world.account, key), name=name), renamed)

    @precondition(lambda self: self.model.own_roles)
    @rule(data=pick)
    def delete_role(self, data: Any) -> None:
        key = self.choose(data, self.model.own_roles, "role")
        name = self.model.own_roles[key]

        def gone(model: Account, _: Any) -> None:
            assert not list(model.holders(name)), "deleted while somebody held it"
            del model.own_roles[key]
            for place in model.places.values():
                place.given = {one for one in place.given if one[0] != name}

        self.attempt(lambda: own_roles.delete(self.system, own_roles.get(self.world.account, key)), gone)

    # --- plan and ways in -------------------------------------------------------------------------------------------

    @rule(chosen=st.sampled_from(PLANS))
    def change_plan(self, chosen: tuple[str, int | None]) -> None:
        plan, limit = chosen

        def changed(model: Account, _: Any) -> None:
            was_enforced = model.mode == "enforced"
            model.plan, model.limit = plan, limit
            stored = cast.again(self.world.account)
            if plan != "enterprise":
                assert stored.sso_mode == "mixed"
                if model.provider_enabled:
                    model.end_by_provider()
                    self.off_by_plan = True
                model.provider_enabled = False
            elif not model.provider_enabled and self.off_by_plan:
                model.provider_enabled, self.off_by_plan = True, False
            if stored.sso_mode == "enforced" and not was_enforced:
                model.end_by_password()
            model.mode = stored.sso_mode

        self.attempt(lambda: plan_changes.set_plan(self.system, plan, seat_limit=limit), changed)

    off_by_plan = False

    @rule()
    def switch_provider(self) -> None:
        enabled = not self.model.provider_enabled

        def switched(model: Account, _: Any) -> None:
            if model.provider_enabled and not enabled:
                model.end_by_provider()
            if model.provider_enabled != enabled:
                self.off_by_plan = False
            model.provider_enabled = enabled

        self.attempt(lambda: idps.change(self.system, self.provider, enabled=enabled), switched)

    @precondition(
        lambda self: self.model.plan == "enterprise" and self.model.provider_enabled and self.model.mode == "mixed"
    )
    @rule(data=pick)
    def enforce(self, data: Any) -> None:
        """With all that it asks for at hand; by a session that a password opened, or by none."""
        mine = [token for token, session in self.model.sessions.items() if self._may_enforce(session)]
        flips = data.draw(st.sampled_from([None, *mine]), label="session")
        row = None if flips is None else sessions.memberships(flips)[0].session

        def enforced(model: Account, _: Any) -> None:
            model.end_by_password(keep=flips)
            model.mode = "enforced"

        with db.transaction():
            IdentityProvider.update(administrator_signed_in_at=clock.now()).execute()
            for key in self.model.administrators():
                RecoveryCode.create(member=key, code_hash="hash")
        self.attempt(lambda: enforcement.enforce(self.system, session=row), enforced)
        assert self.model.mode == "enforced"

    def _may_enforce(self, session: Signed) -> bool:
        return session.method == "password" and bool(session.reach & self.model.administrators())

    @precondition(lambda self: self.model.mode == "enforced")
    @rule()
    def relax(self) -> None:
        self.attempt(lambda: enforcement.relax(self.system), _mode("mixed"))

    # --- sessions ---------------------------------------------------------------------------------------------------

    @rule(data=pick, method=st.sampled_from(["password", "recovery_code", "break_glass"]))
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
        both = method == "password" and key == self.world.owner.id
        self.model.sessions[token] = Signed(method, provider=False, reach={key, *([self.elsewhere] if both else [])})

    @rule(data=pick)
    def sign_out_everywhere(self, data: Any) -> None:
        key = self.choose(data, self.model.living(), "member")
        hers = [token for token, session in self.model.sessions.items() if key in session.reach]
        keep = data.draw(st.sampled_from([None, *hers]), label="but for")
        row = None if keep is None else sessions.memberships(keep)[0].session
        done = self.attempt(
            lambda: account_sessions.end_everywhere(self.system, self.member(key), keep=row),
            lambda model, _: model.sign_out(key, keep=keep),
        )
        assert done == len(hers) - (keep is not None)

    @precondition(lambda self: any(session.reach for session in self.model.sessions.values()))
    @rule(data=pick)
    def end_one(self, data: Any) -> None:
        alive = [token for token, session in self.model.sessions.items() if session.reach - {self.elsewhere}]
        if not alive:
            return
        token = self.choose(data, alive, "session")
        (key,) = self.model.sessions[token].reach - {self.elsewhere}
        digest = sessions.memberships(token)[0].session.digest
        reach = next(one for one in account_sessions.of_member(self.member(key)) if one.session.digest == digest)
        self.attempt(
            lambda: account_sessions.end(self.system, self.member(key), reach),
            lambda model, _: model.sessions[token].reach.discard(key),
        )

    # --- what always holds ------------------------------------------------------------------------------------------

    @invariant()
    def seats_are_counted(self) -> None:
        counted = seats.count(cast.again(self.world.account))
        assert (counted.used, counted.reserved) == (self.model.used, len(self.model.invitations))
        assert seat_counts() == counted_seats()
        assert counted.limit == self.model.limit

    @invariant()
    def somebody_is_an_administrator(self) -> None:
        account = cast.again(self.world.account)
        assert member_roles.administrators(account) == self.model.administrators()
        assert self.model.administrators()

    @invariant()
    def roles_are_what_the_sources_say(self) -> None:
        account = cast.again(self.world.account)
        for key in self.model.living():
            assert set(member_roles.roles_of(account, self.member(key))) == self.model.roles_of(key), key
        listed = member_roles.role_sources(account, list(members.of_account(account)))
        assert {key: {one.role for one in sources} for key, sources in listed.items()} == {
            key: self.model.roles_of(key) for key in self.model.living()
        }

    @invariant()
    def sessions_reach_whom_they_should(self) -> None:
        for token, session in self.model.sessions.items():
            assert {member.id for member in sessions.memberships(token)} == session.reach, session

    @invariant()
    def credentials_work_while_their_owner_is_active(self) -> None:
        for place in self.model.places.values():
            if place.key:
                works = credentials.find(credentials.API_KEY, place.key) is not None
                assert works == place.active, place.email

    @invariant()
    def spans_are_what_the_directory_holds(self) -> None:
        provider = self.provider
        live = {place.record for place in self.model.places.values() if place.record is not None}
        found, total = scim_users.RECORDS.find(self.directory, None, Page(1, 100))
        assert {row.id for row in found} == live
        assert total == spans.find(provider.id, 0).total == len(live)
        assert set(db.column(DirectoryGroup.select(DirectoryGroup.id))) == set(self.model.groups)


def _nothing(model: Account, done: Any) -> None:
    """It changes nothing of this."""


def _held(key: str, held: bool) -> Callable[[Account, Any], None]:
    def effect(model: Account, _: Any) -> None:
        model.places[key].held = held
        model.settle(key)

    return effect


def _mode(mode: str) -> Callable[[Account, Any], None]:
    def effect(model: Account, _: Any) -> None:
        model.mode = mode

    return effect
