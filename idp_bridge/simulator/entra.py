"""Microsoft Entra ID's provisioning service: its default dialect and the one behind the flag aadOptscim062020.

https://learn.microsoft.com/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups and
https://learn.microsoft.com/entra/identity/app-provisioning/application-provisioning-config-problem-scim-compatibility.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from urllib3.util import SKIP_HEADER

from idp_bridge.simulator import answers
from idp_bridge.simulator.answers import ENTERPRISE_URN, Check
from idp_bridge.simulator.cycle import CORE_GROUP, CORE_USER, Cycle, Step, equals
from idp_bridge.simulator.people import Person, Team
from idp_bridge.simulator.wire import Manners

# Entra lists this beside the core group; a server must not stumble over a schema it does not know.
AD_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
MANAGER = f"{ENTERPRISE_URN}:manager"
WORK_EMAIL = 'emails[type eq "work"].value'
WORK_COUNTRY = 'addresses[type eq "work"].country'
NO_MEMBERS = {"excludedAttributes": "members"}
MANNERS = Manners(
    name="Entra",
    # Some of Entra's requests come without a User-Agent; none of them may be turned away for it.
    headers={
        "User-Agent": SKIP_HEADER,
        "Accept": "application/scim+json",
        "Content-Type": "application/scim+json; charset=utf-8",
    },
    media_types=frozenset({"application/scim+json"}),
    media_type_consequence="Microsoft's requirements ask for application/scim+json; the SCIM validator fails the test.",
    plus_for_space=True,
)

QUARANTINE = "Entra puts the whole job in quarantine and tries again only hours later, then daily."
NO_CONNECTION = "Entra's 'Test Connection' fails and the configuration cannot be saved."
NO_CREATE = "Entra logs a failed create for this person and repeats it in every cycle; many of them mean quarantine."
NO_MATCH = "Entra cannot match the person and creates her again in every cycle."
NO_UPDATE = "Entra logs a failed update and repeats it in every cycle; the app keeps the old value."
NO_DISABLE = "A person who has left keeps her access, while Entra shows her as disabled."
NO_DELETE = "Entra repeats the deletion in every cycle."
NO_GROUP = "Entra logs a failed group and repeats it in every cycle; nobody gets the group's roles."
NO_MEMBER = "Entra counts the membership as failed; the person's roles do not follow her groups."
FORGOTTEN = "Entra does not resend memberships when a person comes back; she stays without her groups."
HEAVY = "Entra reads groups without members so as not to time out; large groups will."
VALIDATOR = "Microsoft's SCIM validator fails; the app is not admitted to the gallery."


class EntraCycle(Cycle):
    """What both dialects have in common; how a change is written is the subclasses'."""

    provider = "entra"
    manners = MANNERS

    def steps(self) -> Iterator[Step]:
        """An initial cycle; then, unless people stay, the later ones: changes, leavers, returners, deletions."""
        people, teams = self.population.people, self.population.teams
        yield Step("test connection", self.test_connection)
        for person in people:
            yield Step(f"provision {person.user_name}", partial(self.provision, person))
        for team in teams:
            yield Step(f"provision group {team.name}", partial(self.provision_group, team))
        for team in teams:
            yield Step(f"add members of {team.name}", partial(self.add_members, team))
        if self.population.leave_in_place:
            return
        yield Step("wrong token", self.wrong_token)
        yield Step("read schemas", self.read_schemas)
        for person in people[:1]:
            yield Step("duplicates", partial(self.create_again, person))
        for person in people:
            yield Step(f"update {person.user_name}", partial(self.update, person))
        for person, boss in zip(people[1:], people, strict=False):
            yield Step(f"manager of {person.user_name}", partial(self.change_manager, person, boss))
        for team in teams:
            yield Step(f"change group {team.name}", partial(self.change_group, team))
        for person in people:
            yield Step(f"disable {person.user_name}", partial(self.disable_and_enable, person))
        for team in teams:
            yield Step(f"delete group {team.name}", partial(self.delete_group, team))
        for person in people:
            yield Step(f"delete {person.user_name}", partial(self.delete_user, person))

    def test_connection(self) -> None:
        """A search for a person who cannot exist; raises Unauthorised where the token is not accepted."""
        query = {"filter": equals("userName", str(uuid4()))}
        checks = (answers.list_response, answers.matches(0))
        step = "test connection"
        self.get(step, "/Users", *checks, query=query, otherwise=f"{NO_CONNECTION} Later: {QUARANTINE}")
        self.first_contact()

    def wrong_token(self) -> None:
        """A wrong token is a 401 with a SCIM Error."""
        query = {"filter": equals("userName", str(uuid4()))}
        checks = (answers.status(401), answers.scim_error(401))
        wrong = f"Bearer {uuid4()}"
        self.wire.call(
            "wrong token", "GET", "/Users", query=query, checks=checks, otherwise=NO_CONNECTION, authorization=wrong
        )

    def read_schemas(self) -> None:
        """Read when the mapping page is opened: a ListResponse with User and Group, without nulls."""
        checks = (answers.list_response, answers.lists_schemas(CORE_USER, CORE_GROUP), answers.without_nulls)
        self.get("read schemas", "/Schemas", *checks, otherwise=VALIDATOR)

    def provision(self, person: Person) -> None:
        """Looks for a match; links to it and brings it up to date, or creates the person."""
        matches = self._search("look up user", "userName", person.user_name)
        if matches is None:
            return
        if matches:
            self.users[person.user_name] = matches[0]
            self.patch("link user", f"/Users/{matches[0]}", self.link(person), otherwise=NO_UPDATE)
        else:
            self.create(person)

    def create(self, person: Person) -> None:
        """POST with nulls for what is not mapped; the 201 must name the new id."""
        created = self.send(
            "create user",
            "POST",
            "/Users",
            answers.status(201),
            answers.has_id,
            answers.holds_folded("userName", person.user_name),
            answers.holds("externalId", person.object_id),
            answers.holds("active", True),
            answers.typed_value("emails", "work", "value", person.email),
            answers.enterprise("employeeNumber", person.employee_number),
            otherwise=NO_CREATE,
            body=_new_user(person),
        )
        if created is not None and isinstance(created.body.get("id"), str):
            self.users[person.user_name] = created.body["id"]
            self.created.add(person.user_name)

    def create_again(self, person: Person) -> None:
        """A duplicate is a 409; matching works by every attribute that may be mapped for it, in any case."""
        if person.user_name not in self.users:
            return
        checks = (answers.status(409), answers.scim_error(409))
        body = _new_user(person)
        self.send("duplicate user", "POST", "/Users", *checks, otherwise=VALIDATOR, body=body)
        for attribute, value in (
            ("userName", person.user_name.upper()),
            ("externalId", person.object_id),
            (WORK_EMAIL, person.email),
        ):
            query = {"filter": equals(attribute, value)}
            checks = (answers.list_response, answers.matches(1))
            self.get(f"match by {attribute}", "/Users", *checks, query=query, otherwise=NO_MATCH)

    def update(self, person: Person) -> None:
        """Changed attributes arrive, those that did not exist before are made, the others stay."""
        resource_id = self.users.get(person.user_name)
        if resource_id is None:
            return
        path, name = f"/Users/{resource_id}", f"{person.display_name} (changed)"
        address = f"changed.{person.email}"
        self.patch("update user", path, self.changes(name, address), otherwise=NO_UPDATE)
        self.get(
            "read after update",
            path,
            answers.has_same_id(resource_id),
            answers.holds("displayName", name),
            answers.holds("name.familyName", "Changed"),
            answers.holds("name.givenName", person.given_name),
            answers.typed_value("emails", "work", "value", address),
            answers.typed_value("addresses", "work", "country", "PT"),
            answers.enterprise("employeeNumber", "0007"),
            answers.enterprise("department", person.department),
            otherwise=NO_UPDATE,
        )

    def change_manager(self, person: Person, boss: Person) -> None:
        """A manager is set by id, and removed with an empty value."""
        path = f"/Users/{self.users.get(person.user_name)}"
        boss_id = self.users.get(boss.user_name)
        if person.user_name not in self.users or boss_id is None:
            return
        for step, value, wanted in (("set", boss_id, boss_id), ("remove", "", None)):
            operations = [{"op": self.op("replace"), "path": MANAGER, "value": {"value": value}}]
            self.patch(f"{step} manager", path, operations, otherwise=NO_UPDATE)
            check = answers.enterprise("manager", wanted)
            self.get(f"read after {step} manager", path, check, otherwise=NO_UPDATE)

    def disable_and_enable(self, person: Person) -> None:
        """A disabled person is inactive by id and by search, and comes back with the groups she had."""
        resource_id = self.users.get(person.user_name)
        if resource_id is None:
            return
        path = f"/Users/{resource_id}"
        for step, active in (("disable user", False), ("enable user", True)):
            self.patch(step, path, [self.activity(active)], otherwise=NO_DISABLE)
            self.get(f"read after {step}", path, answers.holds("active", active), otherwise=NO_DISABLE)
            self._look_up_state(step, person, active)
        for team in self.population.teams:
            if person.user_name in team.members:
                self.check_member("membership after enable", team, resource_id, True, FORGOTTEN)

    def _look_up_state(self, step: str, person: Person, active: bool) -> None:
        query = {"filter": equals("userName", person.user_name)}
        checks = (answers.list_response, answers.matches(1), answers.holds("Resources.0.active", active))
        self.get(f"look up after {step}", "/Users", *checks, query=query, otherwise=NO_DISABLE)

    def provision_group(self, team: Team) -> None:
        """Looks for the group without its members; creates it empty where there is none."""
        matches = self._search("look up group", "displayName", team.name, path="/Groups")
        if matches is None:
            return
        if matches:
            self.groups[team.name] = matches[0]
            return
        created = self.send(
            "create group",
            "POST",
            "/Groups",
            answers.status(201),
            answers.has_id,
            answers.holds("displayName", team.name),
            answers.holds("externalId", team.object_id),
            otherwise=NO_GROUP,
            body=_new_group(team),
        )
        if created is not None and isinstance(created.body.get("id"), str):
            self.groups[team.name] = created.body["id"]
            self.created.add(team.name)

    def add_members(self, team: Team) -> None:
        """The first one alone, the rest in one operation; each membership is then asked for."""
        members = self.member_ids(team)
        if team.name not in self.groups:
            return
        for portion in (members[:1], members[1:]):
            if portion:
                self.patch("add members", self._group_path(team), [self.addition(portion)], otherwise=NO_MEMBER)
        if not self.population.leave_in_place:
            for member in members:
                self.check_member("read after addition", team, member, True, NO_MEMBER)

    def change_group(self, team: Team) -> None:
        """Renaming, a duplicate, reading without members, and taking one member out without losing another."""
        if team.name not in self.groups:
            return
        path, body = self._group_path(team), _new_group(team)
        self.get("read group", path, answers.without("members"), query=NO_MEMBERS, otherwise=HEAVY)
        self.send("duplicate group", "POST", "/Groups", answers.status(409), otherwise=VALIDATOR, body=body)
        for name in (f"{team.name} (renamed)", team.name):
            self.patch("rename group", path, [self.renaming(name)], otherwise=NO_GROUP)
            check = answers.holds("displayName", name)
            self.get("read after rename", path, check, query=NO_MEMBERS, otherwise=NO_GROUP)
        members = self.member_ids(team)
        if members:
            self.patch("remove member", path, [self.removal(members[0])], otherwise=NO_MEMBER)
            for member in members:
                self.check_member("read after removal", team, member, member != members[0], NO_MEMBER)
            self.patch("add member again", path, [self.addition(members[:1])], otherwise=NO_MEMBER)

    def check_member(self, step: str, team: Team, user_id: str, is_member: bool, otherwise: str) -> None:
        """Entra asks for one membership by a filter, never for the list."""
        if team.name not in self.groups:
            return
        question = f"{equals('id', self.groups[team.name])} and {equals('members', user_id)}"
        query = {"attributes": "id", "filter": question}
        checks = (answers.list_response, answers.matches(int(is_member)))
        self.get(step, "/Groups", *checks, query=query, otherwise=otherwise)

    def delete_group(self, team: Team) -> None:
        """A group that left the scope is deleted."""
        if team.name in self.groups and self.removable(team.name):
            path = self._group_path(team)
            self.send("delete group", "DELETE", path, answers.status(204), otherwise=NO_DELETE)
            self.send("read after delete", "GET", path, answers.status(404), otherwise=NO_DELETE)

    def delete_user(self, person: Person) -> None:
        """Thirty days after the soft deletion; deleted twice is a 404, and the person is found no more."""
        resource_id = self.users.get(person.user_name)
        if resource_id is None or not self.removable(person.user_name):
            return
        path, gone = f"/Users/{resource_id}", answers.status(404)
        self.patch("disable before delete", path, [self.activity(False)], otherwise=NO_DISABLE)
        self.send("delete user", "DELETE", path, answers.status(204), otherwise=NO_DELETE)
        self.send("read after delete", "GET", path, gone, answers.scim_error(404), otherwise=NO_DELETE)
        self.send("delete twice", "DELETE", path, gone, otherwise=NO_DELETE)
        query = {"filter": equals("userName", person.user_name)}
        checks = (answers.list_response, answers.matches(0))
        self.get("look up after delete", "/Users", *checks, query=query, otherwise=QUARANTINE)

    def _search(self, step: str, attribute: str, value: str, *, path: str = "/Users") -> list[str] | None:
        """The ids of all matches; None where the server did not answer as it must."""
        query = {"filter": equals(attribute, value)}
        checks: tuple[Check, ...] = (answers.list_response,)
        if path == "/Groups":
            query = {**NO_MEMBERS, **query}
            checks = (*checks, answers.without("members"))
        found = self.get(step, path, *checks, query=query, otherwise=QUARANTINE)
        return None if found is None else [str(each.get("id")) for each in found.resources]

    def _group_path(self, team: Team) -> str:
        return f"/Groups/{self.groups[team.name]}"

    def link(self, person: Person) -> list[dict[str, Any]]:
        """What a match is brought up to date with: its identity and its state."""
        return [{"op": self.op("replace"), "path": "externalId", "value": person.object_id}, self.activity(True)]

    def addition(self, members: list[str]) -> dict[str, Any]:
        """Members as Entra writes them, with a `$ref` that is null."""
        value = [{"$ref": None, "value": each} for each in members]
        return {"op": self.op("add"), "path": "members", "value": value}

    @abstractmethod
    def op(self, name: str) -> str:
        """How this dialect spells an operation."""

    @abstractmethod
    def activity(self, active: bool) -> dict[str, Any]:
        """Disables or enables a person."""

    @abstractmethod
    def changes(self, name: str, address: str) -> list[dict[str, Any]]:
        """New display name, family name, employee number, work address, country."""

    @abstractmethod
    def renaming(self, name: str) -> dict[str, Any]:
        """A group's new displayName."""

    @abstractmethod
    def removal(self, member: str) -> dict[str, Any]:
        """Takes one member out of a group."""


class DefaultCycle(EntraCycle):
    """Without the flag: capitalised operations, booleans as strings, one operation per attribute."""

    dialect = "default"

    def op(self, name: str) -> str:
        """`Add`, `Replace`, `Remove`."""
        return name.capitalize()

    def activity(self, active: bool) -> dict[str, Any]:
        """`"True"` or `"False"`, as a string."""
        return {"op": "Replace", "path": "active", "value": str(active)}

    def changes(self, name: str, address: str) -> list[dict[str, Any]]:
        """One operation per attribute, each with its path; the country's entry does not exist yet."""
        rows: Mapping[str, tuple[str, str]] = {
            "displayName": ("Replace", name),
            "name.familyName": ("Replace", "Changed"),
            WORK_EMAIL: ("Replace", address),
            WORK_COUNTRY: ("Add", "PT"),
            f"{ENTERPRISE_URN}:employeeNumber": ("Replace", "0007"),
        }
        return [{"op": op, "path": path, "value": value} for path, (op, value) in rows.items()]

    def renaming(self, name: str) -> dict[str, Any]:
        """With a path."""
        return {"op": "Replace", "path": "displayName", "value": name}

    def removal(self, member: str) -> dict[str, Any]:
        """Not the RFC's form: the value says whom, the path only where."""
        return {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": member}]}


class FlaggedCycle(EntraCycle):
    """With the flag aadOptscim062020: lower case, real booleans, several attributes in one value without a path."""

    dialect = "aadOptscim062020"

    def op(self, name: str) -> str:
        """As the RFC spells it."""
        return name

    def activity(self, active: bool) -> dict[str, Any]:
        """A JSON boolean."""
        return {"op": "replace", "path": "active", "value": active}

    def changes(self, name: str, address: str) -> list[dict[str, Any]]:
        """One value whose names are paths; what needs a filter has an operation of its own."""
        value = {
            "displayName": name,
            "name.familyName": "Changed",
            f"{ENTERPRISE_URN}:employeeNumber": "0007",
        }
        return [
            {"op": "replace", "value": value},
            {"op": "replace", "path": WORK_EMAIL, "value": address},
            {"op": "add", "path": WORK_COUNTRY, "value": "PT"},
        ]

    def renaming(self, name: str) -> dict[str, Any]:
        """Without a path."""
        return {"op": "replace", "value": {"displayName": name}}

    def removal(self, member: str) -> dict[str, Any]:
        """The RFC's form."""
        return {"op": "remove", "path": f'members[value eq "{member}"]'}


def _new_user(person: Person) -> dict[str, Any]:
    return {
        "schemas": [CORE_USER, ENTERPRISE_URN],
        "externalId": person.object_id,
        "userName": person.user_name,
        "active": True,
        "addresses": None,
        "displayName": person.display_name,
        "emails": [{"primary": True, "type": "work", "value": person.email}],
        "meta": {"resourceType": "User"},
        "name": {
            "formatted": person.display_name,
            "familyName": person.family_name,
            "givenName": person.given_name,
        },
        "phoneNumbers": None,
        "roles": [],
        "title": person.title,
        ENTERPRISE_URN: {"employeeNumber": person.employee_number, "department": person.department},
    }


def _new_group(team: Team) -> dict[str, Any]:
    return {
        "schemas": [CORE_GROUP, AD_GROUP],
        "externalId": team.object_id,
        "displayName": team.name,
        "meta": {"resourceType": "Group"},
    }
