"""Okta's SCIM client: a custom app made with the wizard updates by PUT, a catalogue app by PATCH.

https://developer.okta.com/docs/concepts/scim and https://developer.okta.com/docs/guides/scim-provisioning-integration-test.
Okta never deletes a user; the DELETE at the end of a run is the simulator cleaning up and is not judged.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

from idp_bridge.simulator import answers
from idp_bridge.simulator.answers import Answer, Mismatch
from idp_bridge.simulator.cycle import CORE_GROUP, CORE_USER, Cycle, Step, equals
from idp_bridge.simulator.people import Person, Team
from idp_bridge.simulator.wire import Manners

PAGE = 100
MANNERS = Manners(
    name="Okta",
    headers={
        "User-Agent": "Okta SCIM Client 1.0.0",
        "Accept": "application/scim+json",
        "Accept-Charset": "utf-8",
        "Content-Type": "application/scim+json; charset=utf-8",
    },
    media_types=frozenset({"application/scim+json", "application/json"}),
    media_type_consequence="Okta cannot read the answer and marks the task as failed.",
    plus_for_space=False,
)

NO_CONNECTION = "Okta's 'Test API Credentials' fails; provisioning cannot be switched on."
NO_ERROR_TEXT = "Okta's SCIM spec test fails; the admin sees no reason under Tasks."
NO_LOOKUP = "Okta cannot tell whether the person exists and the assignment fails."
NO_CREATE = "Okta puts the assignment under Tasks as failed ('Create new user returned empty user' and the like)."
NO_RETRY = "Okta repeats a create after a time-out; without the 409 the person exists twice."
NO_UPDATE = "Okta's push of the profile fails; the app keeps the old values."
NO_IMPORT = "Okta's import misses people or groups, or never ends."
NO_STATE = "Okta shows the person as it pushed her, the app holds another state."
NO_GROUP = "Okta's push group goes to 'Error' and is not tried again until an admin retries."
WIPED = "a profile push with `groups: []` takes people out of their groups."


class OktaCycle(Cycle):
    """What both kinds of app have in common; how they update is the subclasses'."""

    provider = "okta"
    manners = MANNERS

    def steps(self) -> Iterator[Step]:
        """Connect, assign, push groups; then, unless people stay, all that an Okta admin can do to them."""
        people, teams = self.population.people, self.population.teams
        yield Step("test connection", self.test_connection)
        for person in people:
            yield Step(f"assign {person.user_name}", partial(self.assign, person))
        for team in teams:
            yield Step(f"push group {team.name}", partial(self.push_group, team))
        if self.population.leave_in_place:
            return
        yield Step("wrong token", self.wrong_token)
        yield Step("unknown people", self.look_up_nobody)
        yield Step("import", self.import_everything)
        for person in people[:1]:
            yield Step("repeated create", partial(self.create_again, person))
        for person in people:
            yield Step(f"update {person.user_name}", partial(self.update, person))
        for team in teams:
            yield Step(f"change group {team.name}", partial(self.change_group, team))
        for person in people:
            yield Step(f"deactivate {person.user_name}", partial(self.set_active, person, False))
            yield Step(f"reactivate {person.user_name}", partial(self.set_active, person, True))
        for person in people:
            yield Step(f"unassign {person.user_name}", partial(self.set_active, person, False))
        for team in teams:
            yield Step(f"delete group {team.name}", partial(self.delete_group, team))
        yield Step("clean up", self.clean_up)

    def test_connection(self) -> None:
        """Raises Unauthorised where the token is not accepted."""
        step, query = "test connection", {"startIndex": "1", "count": "2"}
        self.get(step, "/Users", answers.list_response, query=query, otherwise=NO_CONNECTION)
        self.first_contact()
        groups = {"startIndex": "1", "count": str(PAGE)}
        self.get(step, "/Groups", answers.list_response, query=groups, otherwise=NO_CONNECTION)

    def wrong_token(self) -> None:
        """A wrong token is a 401 with a SCIM Error (Okta's SCIM 2.0 spec test)."""
        checks = (answers.status(401), answers.scim_error(401))
        query = {"startIndex": "1", "count": "2"}
        self.wire.call(
            "wrong token",
            "GET",
            "/Users",
            query=query,
            checks=checks,
            otherwise=NO_ERROR_TEXT,
            authorization="non-token",
        )

    def look_up_nobody(self) -> None:
        """Nobody found is an empty list; an unknown id is a 404 with a SCIM Error."""
        nobody = f"{uuid4().hex}@nobody.test"
        self.look_up("look up nobody", nobody, answers.matches(0))
        checks = (answers.status(404), answers.scim_error(404))
        self.send("unknown id", "GET", f"/Users/{uuid4()}", *checks, otherwise=NO_ERROR_TEXT)

    def look_up(self, step: str, user_name: str, *checks: answers.Check) -> Answer | None:
        """Okta's question whether a person exists."""
        query = {"filter": equals("userName", user_name), "startIndex": "1", "count": str(PAGE)}
        return self.get(step, "/Users", answers.list_response, *checks, query=query, otherwise=NO_LOOKUP)

    def assign(self, person: Person) -> None:
        """Looks the person up; links to her where she exists, else creates her."""
        found = self.look_up("look up user", person.user_name)
        if found is None:
            return
        if found.resources:
            resource_id = str(found.resources[0].get("id"))
            self.users[person.user_name] = resource_id
            self.put_user("link user", resource_id, {**_profile(person), "active": True})
        else:
            self.create(person)

    def create(self, person: Person) -> None:
        """POST with a password that means nothing; the answer must be the whole person."""
        created = self.send(
            "create user",
            "POST",
            "/Users",
            answers.status(201),
            answers.has_id,
            answers.holds_folded("userName", person.user_name),
            answers.holds("active", True),
            answers.holds("externalId", person.okta_id),
            answers.holds("name.familyName", person.family_name),
            answers.without("password"),
            otherwise=NO_CREATE,
            body=_new_user(person),
        )
        if created is not None and isinstance(created.body.get("id"), str):
            self.users[person.user_name] = created.body["id"]
            self.created.add(person.user_name)

    def create_again(self, person: Person) -> None:
        """A repeated create is a 409 and changes nothing; userName is the same in capitals."""
        checks = (answers.status(409), answers.scim_error(409))
        self.send("repeated create", "POST", "/Users", *checks, otherwise=NO_RETRY, body=_new_user(person))
        self.look_up("look up in capitals", person.user_name.upper(), answers.matches(1))

    def import_everything(self) -> None:
        """Pages through all people and groups; everybody comes exactly once and the pages agree on the total."""
        for path, wanted in (("/Users", set(self.users.values())), ("/Groups", set(self.groups.values()))):
            seen = self._pages(path)
            if missing := wanted - set(seen):
                got = Mismatch(f"{len(missing)} of {len(wanted)} are missing", f"all {len(wanted)} in the pages")
                self.wire.note("import", f"GET {path}", got, NO_IMPORT)
            if len(seen) != len(set(seen)):
                twice = Mismatch("entries that come twice", "each entry once")
                self.wire.note("import", f"GET {path}", twice, NO_IMPORT)

    def _pages(self, path: str) -> list[str]:
        seen: list[str] = []
        while True:
            query = {"startIndex": str(len(seen) + 1), "count": str(PAGE)}
            page = self.get("import", path, answers.list_response, query=query, otherwise=NO_IMPORT)
            if page is None or not page.resources:
                return seen
            seen += [str(each.get("id")) for each in page.resources]
            total = page.body.get("totalResults")
            if not isinstance(total, int) or len(seen) >= total:
                return seen

    def update(self, person: Person) -> None:
        """GET, then PUT of everything with `groups: []`; the memberships stay."""
        resource_id = self.users.get(person.user_name)
        if resource_id is None:
            return
        changed = {"displayName": f"{person.display_name} (changed)", "title": person.title}
        self.put_user("update user", resource_id, changed)
        self.get(
            "read after update",
            f"/Users/{resource_id}",
            answers.has_same_id(resource_id),
            answers.holds("displayName", changed["displayName"]),
            answers.holds("title", changed["title"]),
            otherwise=NO_STATE,
        )
        for team in self.population.teams:
            if person.user_name in team.members and team.name in self.groups:
                self.check_members("memberships after update", team, self.member_ids(team), WIPED)

    def put_user(self, step: str, resource_id: str, changes: Mapping[str, Any]) -> None:
        """What Okta calls an update: it reads the person, changes her and writes her back whole."""
        path = f"/Users/{resource_id}"
        now = self.get(step, path, answers.has_same_id(resource_id), otherwise=NO_UPDATE)
        if now is None:
            return
        checks = [answers.holds(name, value) for name, value in changes.items() if isinstance(value, str | bool)]
        self.send(
            step,
            "PUT",
            path,
            answers.status(200),
            answers.has_same_id(resource_id),
            *checks,
            otherwise=NO_UPDATE,
            body={**now.body, **changes, "groups": []},
        )

    def set_active(self, person: Person, active: bool) -> None:
        """Same id, still readable and still found, with the new state (an inactive person is not a deleted one)."""
        resource_id = self.users.get(person.user_name)
        if resource_id is None:
            return
        step = "reactivate" if active else "deactivate"
        self.push_active(step, resource_id, active)
        path = f"/Users/{resource_id}"
        self.get(f"read after {step}", path, answers.holds("active", active), otherwise=NO_STATE)
        self.look_up(f"look up after {step}", person.user_name, answers.matches(1))

    def push_group(self, team: Team) -> None:
        """Looks the group up; creates it empty where it is new; then pushes its members."""
        query = {"filter": equals("displayName", team.name), "startIndex": "1", "count": str(PAGE)}
        found = self.get("look up group", "/Groups", answers.list_response, query=query, otherwise=NO_GROUP)
        if found is None:
            return
        if found.resources:
            self.groups[team.name] = str(found.resources[0].get("id"))
        elif not self._create_group(team):
            return
        self.push_members("push members", team, self.member_ids(team))
        self.check_members("read after push", team, self.member_ids(team), NO_GROUP)

    def _create_group(self, team: Team) -> bool:
        created = self.send(
            "create group",
            "POST",
            "/Groups",
            answers.status(201),
            answers.has_id,
            answers.holds("displayName", team.name),
            otherwise=NO_GROUP,
            body={"schemas": [CORE_GROUP], "displayName": team.name, "members": []},
        )
        if created is None or not isinstance(created.body.get("id"), str):
            return False
        self.groups[team.name] = created.body["id"]
        self.created.add(team.name)
        return True

    def change_group(self, team: Team) -> None:
        """Renames the group and back, takes one member out and puts her back in."""
        if team.name not in self.groups:
            return
        members = self.member_ids(team)
        path = f"/Groups/{self.groups[team.name]}"
        for name in (f"{team.name} (renamed)", team.name):
            self.rename_group(team, name)
            self.get("read after rename", path, answers.holds("displayName", name), otherwise=NO_GROUP)
        self.check_members("members after rename", team, members, NO_GROUP)
        if members:
            self.change_members(team, add=[], remove=members[:1])
            self.check_members("read after removal", team, members[1:], NO_GROUP)
            self.change_members(team, add=members[:1], remove=[])
            self.check_members("read after addition", team, members, NO_GROUP)

    def check_members(self, step: str, team: Team, members: Sequence[str], otherwise: str) -> None:
        """The group holds exactly these."""
        self.get(step, f"/Groups/{self.groups[team.name]}", answers.members_are(members), otherwise=otherwise)

    def delete_group(self, team: Team) -> None:
        """The admin unlinks the group and chooses to delete it in the app."""
        if team.name in self.groups and self.removable(team.name):
            path = f"/Groups/{self.groups[team.name]}"
            self.send("delete group", "DELETE", path, answers.status(204), otherwise=NO_GROUP)
            self.send("read after delete", "GET", path, answers.status(404), otherwise=NO_GROUP)

    def clean_up(self) -> None:
        """Not Okta's doing: the run takes its people away again, where the server can delete."""
        for person, resource_id in self.known():
            if self.removable(person.user_name):
                self.send("clean up", "DELETE", f"/Users/{resource_id}", otherwise="")

    @abstractmethod
    def push_active(self, step: str, resource_id: str, active: bool) -> None:
        """(De)activation, which the two kinds of app send differently."""

    @abstractmethod
    def push_members(self, step: str, team: Team, members: Sequence[str]) -> None:
        """All members at once."""

    @abstractmethod
    def rename_group(self, team: Team, name: str) -> None:
        """A new displayName."""

    @abstractmethod
    def change_members(self, team: Team, *, add: Sequence[str], remove: Sequence[str]) -> None:
        """A change of membership."""


class WizardCycle(OktaCycle):
    """A custom app from the App Integration Wizard: PUT for everything."""

    dialect = "wizard"

    def push_active(self, step: str, resource_id: str, active: bool) -> None:
        """The whole person again, with the other `active`."""
        self.put_user(step, resource_id, {"active": active})

    def push_members(self, step: str, team: Team, members: Sequence[str]) -> None:
        """The whole group with all its members."""
        self._put_group(step, team, team.name, members)

    def rename_group(self, team: Team, name: str) -> None:
        """The whole group under its new name."""
        self._put_group("rename group", team, name, self.member_ids(team))

    def change_members(self, team: Team, *, add: Sequence[str], remove: Sequence[str]) -> None:
        """The whole group once more, as it is to be."""
        kept = [each for each in self.member_ids(team) if each not in remove]
        self._put_group("change members", team, team.name, kept)

    def _put_group(self, step: str, team: Team, name: str, members: Sequence[str]) -> None:
        group_id = self.groups[team.name]
        self.send(
            step,
            "PUT",
            f"/Groups/{group_id}",
            answers.status(200),
            answers.has_same_id(group_id),
            answers.holds("displayName", name),
            otherwise=NO_GROUP,
            body={
                "schemas": [CORE_GROUP],
                "id": group_id,
                "displayName": name,
                "members": [{"value": each, "display": self._name_of(each)} for each in members],
            },
        )

    def _name_of(self, user_id: str) -> str:
        return next(name for name, known in self.users.items() if known == user_id)


class CatalogueCycle(OktaCycle):
    """An app from Okta's catalogue (OIN): profiles by PUT, states and groups by PATCH."""

    dialect = "catalogue"

    def push_active(self, step: str, resource_id: str, active: bool) -> None:
        """A `replace` without a path."""
        operations = [{"op": "replace", "value": {"active": active}}]
        self.patch(step, f"/Users/{resource_id}", operations, otherwise=NO_STATE)

    def push_members(self, step: str, team: Team, members: Sequence[str]) -> None:
        """A `replace` of the whole attribute."""
        value = [{"value": each} for each in members]
        self._patch_group(step, team, [{"op": "replace", "path": "members", "value": value}])

    def rename_group(self, team: Team, name: str) -> None:
        """A `replace` without a path; the value repeats the group's id, which is not to be refused."""
        value = {"id": self.groups[team.name], "displayName": name}
        self._patch_group("rename group", team, [{"op": "replace", "value": value}])

    def change_members(self, team: Team, *, add: Sequence[str], remove: Sequence[str]) -> None:
        """Removals by filter, additions in one array, and the name once more, all in one PATCH."""
        operations: list[dict[str, Any]] = [{"op": "remove", "path": f'members[value eq "{each}"]'} for each in remove]
        if add:
            operations.append({"op": "add", "path": "members", "value": [{"value": each} for each in add]})
        self._patch_group("change members", team, operations)
        self.rename_group(team, team.name)

    def _patch_group(self, step: str, team: Team, operations: list[dict[str, Any]]) -> None:
        self.patch(step, f"/Groups/{self.groups[team.name]}", operations, otherwise=NO_GROUP)


def _profile(person: Person) -> dict[str, Any]:
    return {
        "userName": person.user_name,
        "name": {"givenName": person.given_name, "familyName": person.family_name},
        "emails": [{"primary": True, "value": person.email, "type": "work"}],
        "displayName": person.display_name,
        "locale": person.locale,
        "externalId": person.okta_id,
    }


def _new_user(person: Person) -> dict[str, Any]:
    return {
        "schemas": [CORE_USER],
        **_profile(person),
        "groups": [],
        "password": token_urlsafe(9),
        "active": True,
    }
