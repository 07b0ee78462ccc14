"""Tables of many rows: paged by key, sorted, searched and narrowed by index, downloaded as CSV."""

import csv
import html
import io
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from idp_bridge import bots, clock, credentials, db, events, ids, invitations, member_lifecycle, spreadsheets
from idp_bridge.events import Type
from idp_bridge.models import BotUser, Credential, Event, IdentityProvider, Invitation, Member, Person
from idp_bridge.text import fold
from idp_bridge.web.dashboard import table
from tests.conftest import World, make_account
from tests.web.pages import sign_in
from tests.web.test_dashboard import BASE, add_member, submit, text_of


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows to a page."""
    monkeypatch.setattr(table, "PAGE", 2)


def fill(world: World, number: int, *, first: int = 0, active: bool = True) -> list[str]:
    """So many members, made at once; their ids."""
    moment = clock.now()
    made = [(ids.new("per"), ids.new("usr"), f"m{place:06}") for place in range(first, first + number)]
    with db.connection(), db.transaction():
        for part in range(0, number, 500):
            some = made[part : part + 500]
            Person.insert_many([{"id": person, "created_at": moment} for person, _, _ in some]).execute()
            rows = [
                {
                    "id": id,
                    "account": world.account.id,
                    "person": person,
                    "email": f"{name}@acme.test",
                    "email_key": f"{name}@acme.test",
                    "name": f"Member {name}",
                    "name_key": f"member {name}",
                    "managed_by": "scim",
                    "active": active,
                    "held": not active,
                    "created_at": moment,
                }
                for person, id, name in some
            ]
            Member.insert_many(rows).execute()
    return [id for _, id, _ in made]


def listed(text: str, id: str = "list") -> list[str]:
    """The first words of each row of a table."""
    part = text.partition(f'<div id="{id}"')[2].partition("</table>")[0].partition("<tbody>")[2]
    heads = re.findall(r'<th scope="row">(.*?)</th>', part, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", head)).split()) for head in heads]


def link(text: str, label: str) -> str | None:
    """Where a link of this text leads, under the account."""
    found = re.search(rf'href="{BASE}/([^"]+)"[^>]*>{re.escape(label)}', text)
    return html.unescape(found.group(1)) if found else None


def walked(client: FlaskClient, path: str) -> list[list[str]]:
    """The rows of each page, from the first to the last."""
    pages: list[list[str]] = []
    following: str | None = path
    while following:
        text = text_of(client, following)
        pages.append(listed(text))
        following = link(text, "Next") or link(text, "Look on")
    return pages


def csv_of(client: FlaskClient, path: str) -> list[dict[str, str]]:
    answer = client.get(f"{BASE}/{path}")
    assert answer.status_code == 200
    assert answer.mimetype == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


# --- pages ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_pages")
def test_a_list_is_paged_by_key(signed_in: FlaskClient, world: World) -> None:
    """Whoever comes or goes in between, nobody is shown twice or left out; and there is a way back to the first."""
    for name in ("bo", "dan", "flo", "hal"):
        add_member(world, f"{name}@acme.test")
    first = text_of(signed_in, "members")
    assert [row.split()[-1] for row in listed(first)] == ["Bo", "Dan"]
    add_member(world, "ann@acme.test")
    with db.connection(), db.transaction():
        member_lifecycle.remove(world.system, Member.get(Member.email == "dan@acme.test"))
    following = link(first, "Next")
    assert following
    second = text_of(signed_in, following)
    assert [row.split()[-1] for row in listed(second)] == ["Flo", "Hal"]
    back = link(second, "First")
    assert back
    assert [row.split()[-1] for row in listed(text_of(signed_in, back))] == ["Ann", "Bo"]


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize(
    ("sort", "aria", "expected"),
    [
        ("name", "ascending", ["ann", "bo", "eve", "olive owner", "zoe"]),
        ("-name", "descending", ["zoe", "olive owner", "eve", "bo", "ann"]),
        ("email", "ascending", ["eve", "zoe", "bo", "ann", "olive owner"]),
        ("-email", "descending", ["olive owner", "ann", "bo", "zoe", "eve"]),
    ],
)
def test_heads_sort_and_say_so(signed_in: FlaskClient, world: World, sort: str, aria: str, expected: list[str]) -> None:
    """Every page of it in that order; the head that it goes by has aria-sort, and turns it round."""
    for name, email in (("Zoe", "a2"), ("ann", "c"), ("bo", "b"), ("Eve", "a1")):
        add_member(world, f"{email}@acme.test", name=name)
    text = text_of(signed_in, f"members?sort={sort}")
    assert re.findall(r'aria-sort="(\w+)"', text) == [aria]
    turned = f"sort={sort[1:]}" if sort.startswith("-") else f"sort=-{sort}"
    assert turned in (link(text, "Name" if "name" in sort else "Address") or "")
    rows = [name.lower() for page in walked(signed_in, f"members?sort={sort}") for name in page]
    assert [row.partition(" ")[2] for row in rows] == expected


@pytest.mark.usefixtures("short_pages")
def test_a_search_finds_how_a_name_or_an_address_begins(signed_in: FlaskClient, world: World) -> None:
    """Whatever its case and composition, each once although both match, over all pages; and an id."""
    for name, email in (
        ("Ana Almeida", "ana@acme.test"),
        ("Émile Zola", "zola@acme.test"),
        ("Bo", "anatol@acme.test"),
        ("Anatol", "x@acme.test"),
        ("Santana", "banana@acme.test"),
        ("", "anakin@acme.test"),
    ):
        last = add_member(world, email, name=name)
    found = [row for page in walked(signed_in, "members?q=ANA") for row in page]
    names = sorted(row.partition(" ")[2] for row in found)
    assert names == ["Ana Almeida", "Anatol", "Bo", "anakin@acme.test"]
    assert "Émile Zola" in walked(signed_in, "members?q=e\u0301mile")[0][0]
    assert walked(signed_in, f"members?q={last.id}") == [["a anakin@acme.test"]]
    assert "No such member" in text_of(signed_in, "members?q=lmeida")
    assert "aria-sort" not in text_of(signed_in, "members?q=ana")
    assert walked(signed_in, "members?q=%25")[0] == []


@pytest.mark.parametrize("seed", range(3))
def test_a_search_misses_nobody_and_shows_nobody_twice(
    signed_in: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever names and addresses there are: all pages together are those that begin so, each once."""
    monkeypatch.setattr(table, "PAGE", 3)
    monkeypatch.setattr(table, "SCAN", 4)
    chance = random.Random(seed)
    made = []
    for number in range(25):
        name, local = ("".join(chance.choices("ab", k=chance.randint(1, 4))) for _ in range(2))
        made.append((name, f"{local}{number}@acme.test", chance.random() < 0.5))
    with db.connection(), db.transaction():
        for name, email, invited in made:
            way = "invite" if invited else "local"
            member_lifecycle.create(world.system, email=email, name=name, managed_by=way)
    for text in ("a", "ab", "b"):
        for source in ("", "invite"):
            rows = [row for page in walked(signed_in, f"members?q={text}&source={source}") for row in page]
            wanted = [one for one in made if (one[0].startswith(text) or one[1].startswith(text))]
            assert len(rows) == len([one for one in wanted if one[2] or not source])
            assert sorted(row.split()[-1] for row in rows) == sorted(
                n for n, _, invited in wanted if invited or not source
            )


@pytest.mark.usefixtures("short_pages")
def test_members_are_narrowed_by_state_and_by_how_they_came(
    signed_in: FlaskClient, world: World, provider: IdentityProvider
) -> None:
    """Together with a search too."""
    ann = add_member(world, "ann@acme.test", managed_by="scim", identity_provider=provider)
    bo, amy = add_member(world, "bo@acme.test", managed_by="invite"), add_member(world, "amy@acme.test")
    with db.connection(), db.transaction():
        for member in (ann, bo):
            member_lifecycle.suspend(world.system, member)

    def names(path: str) -> list[str]:
        return [row.split()[-1] for page in walked(signed_in, path) for row in page]

    assert names("members?state=suspended") == ["Ann", "Bo"]
    assert names("members?state=active") == [amy.name, "Owner"]
    assert names("members?source=scim") == ["Ann"]
    assert names("members?source=invite&state=suspended") == ["Bo"]
    assert names("members?q=a&state=suspended") == ["Ann"]
    assert names("members?state=nonsense&source=nonsense") == ["Amy", "Ann", "Bo", "Owner"]


@pytest.mark.usefixtures("short_pages")
def test_what_no_index_knows_is_looked_for_a_stretch_at_a_time(
    signed_in: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few fit, the page is short, says so, and leads on; none is missed."""
    monkeypatch.setattr(table, "SCAN", 3)
    for number in range(9):
        add_member(world, f"m{number}@acme.test", managed_by="jit" if number in (4, 8) else "local")
    first = text_of(signed_in, "members?source=jit")
    assert "None among these" in first
    assert [row for page in walked(signed_in, "members?source=jit") for row in page] == ["M M4", "M M8"]


def test_a_place_that_is_none_is_the_beginning(signed_in: FlaskClient, world: World) -> None:
    """Whatever somebody writes into the address, the page is shown."""
    for after in ("x", "%00", "W10", "WzFd", "WyJhIiwgImIiLCAiYyJd", "WyJcdTAwMDAiLCJhIl0"):
        assert "Olive Owner" in text_of(signed_in, f"members?after={after}")
    assert "Olive Owner" in text_of(signed_in, "members?sort=roles&invitations_after=x&q=%00")
    assert link(text_of(signed_in, "events?after=x&since=tomorrow&until=2026-02-30"), "Next") is None


# --- what it costs ----------------------------------------------------------------------------------------------

LISTS = (
    "members",
    "members?sort=-email",
    "members?q=m",
    "members?q=m00",
    "members?state=suspended",
    "members?state=active&source=local",
    "bot-users",
    "bot-users?q=b&state=inactive",
    "credentials?of=all",
    "credentials",
    "events",
    "events?type=user_created.v0&source=cli",
    "events?source=scim&until=2100-01-01",
)


@contextmanager
def steps_of_sqlite() -> Iterator[Callable[[], int]]:
    """How many hundred steps SQLite's machine has taken: what a page costs, whatever else the machine does."""
    taken = [0]

    def count() -> int:
        taken[0] += 1
        return 0

    with db.connection():
        connection: Any = db.database.connection()
        connection.set_progress_handler(count, 100)
        try:
            yield lambda: taken[0]
        finally:
            connection.set_progress_handler(None, 100)


def costs(client: FlaskClient) -> dict[str, int]:
    found = {}
    for path in LISTS:
        text_of(client, path)  # statements are composed once
        with steps_of_sqlite() as taken:
            text_of(client, path)
            found[path] = taken()
    return found


def add_rows(world: World, number: int, first: int) -> None:
    """Members in and out, and of each a bot user, a credential and an event."""
    fill(world, number, first=first)
    fill(world, number, first=first + 500_000, active=False)
    moment, account = clock.now(), world.account.id
    places = range(first, first + number)
    robots = [
        {"id": ids.new("bot"), "account": account, "name": f"b{n:06}", "name_key": f"b{n:06}", "roles": []}
        for n in places
    ]
    keys = [
        {"id": ids.new("ak"), "account": account, "kind": "api_key", "bot_user": bot["id"], "acl": []} for bot in robots
    ]
    told = [
        {
            "id": ids.new("ev"),
            "account": account,
            "type": Type.USER_CREATED,
            "timestamp": moment,
            "principal_type": "system",
            "principal_subject": "system",
            "source": "cli",
            "object": {},
        }
        for _ in places
    ]
    with db.connection(), db.transaction():
        for part in range(0, number, 500):
            BotUser.insert_many([{**row, "created_at": moment} for row in robots[part : part + 500]]).execute()
            Credential.insert_many([{**row, "created_at": moment} for row in keys[part : part + 500]]).execute()
            Event.insert_many(told[part : part + 500]).execute()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_page_costs_the_same_however_many_rows_there_are(
    signed_in: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each list, however it is narrowed: four times the rows are no more work for the database."""
    monkeypatch.setattr(table, "SCAN", 500)
    monkeypatch.setattr(table, "COUNTED", 100)
    add_rows(world, 1_000, first=0)
    few = costs(signed_in)
    add_rows(world, 3_000, first=1_000)
    many = costs(signed_in)
    dearer = {path: (few[path], many[path]) for path in LISTS if many[path] > few[path] * 1.25 + 20}
    assert not dearer


# --- CSV --------------------------------------------------------------------------------------------------------


def test_members_are_downloaded_as_they_are_narrowed_and_sorted(
    signed_in: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, not a page; roles and state included."""
    monkeypatch.setattr(table, "EXPORT", 2)
    for name in ("bo", "ann", "cy"):
        add_member(world, f"{name}@acme.test", role="viewer")
    rows = csv_of(signed_in, "members.csv?sort=-name&source=local")
    assert [row["name"] for row in rows] == ["Olive Owner", "Cy", "Bo", "Ann"]
    assert [row["roles"] for row in rows] == ["admin", "viewer", "viewer", "viewer"]
    assert {row["state"] for row in rows} == {"active"}
    assert [row["email"] for row in csv_of(signed_in, "members.csv?q=bo")] == ["bo@acme.test"]
    page = text_of(signed_in, "members?q=bo")
    assert link(page, "Download as CSV") == "members.csv?q=bo"


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x.test")', "+1", "-1+2", "@SUM(A1)"])
def test_a_cell_is_no_formula(signed_in: FlaskClient, world: World, name: str) -> None:
    """What a spreadsheet would run is led by an apostrophe: names come from providers, descriptions from everybody."""
    add_member(world, "mal@acme.test", name=name)
    (row,) = csv_of(signed_in, "members.csv?q=mal")
    assert row["name"] == f"'{name}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\tx", "'\tx"),
        ("\r=x", "'\r=x"),
        ("a=b", "a=b"),
        (-5, "-5"),
        (None, ""),
        (True, "true"),
        (["a", "b"], "a b"),
        (["=a"], "'=a"),
    ],
)
def test_what_stands_in_a_cell(value: Any, shown: str) -> None:
    """A number stays one, whatever its sign."""
    assert spreadsheets.cell(value) == shown


def test_a_download_is_of_ones_own_account(signed_in: FlaskClient, world: World) -> None:
    """And of what one may see."""
    with db.connection():
        other = make_account("globex")
    add_member(other, "theirs@globex.test")
    assert "globex" not in signed_in.get(f"{BASE}/members.csv").get_data(as_text=True)
    assert signed_in.get("/accounts/globex/members.csv").status_code == 404


def test_pending_invitations_are_paged_and_downloaded(signed_in: FlaskClient, world: World, short_pages: None) -> None:
    """Beside the pages of the members, which stay where they are; what has run out is not among them."""
    with db.connection(), db.transaction():
        for number in range(5):
            invitations.create(world.system, f"i{number}@acme.test")
        past = clock.now() - timedelta(days=1)
        Invitation.update(expires_at=past).where(Invitation.email == "i2@acme.test").execute()
    first = text_of(signed_in, "members?q=olive")
    assert listed(first, "invitations_list") == ["i0@acme.test", "i1@acme.test"]
    following = re.search(r'href="/accounts/acme/(members\?[^"]*invitations_after=[^"]*)"', first)
    assert following
    second = text_of(signed_in, html.unescape(following.group(1)))
    assert listed(second, "invitations_list") == ["i3@acme.test", "i4@acme.test"]
    assert listed(second) == listed(first)
    assert [row["email"][:2] for row in csv_of(signed_in, "invitations.csv")] == ["i0", "i1", "i3", "i4"]
    assert listed(text_of(signed_in, "members?invitations_q=I3"), "invitations_list") == ["i3@acme.test"]
    assert "No such invitation" in text_of(signed_in, "members?invitations_q=acme")


# --- bot users and credentials ----------------------------------------------------------------------------------


def test_bot_users_are_searched_and_tell_what_they_own(signed_in: FlaskClient, world: World) -> None:
    """How many credentials of each kind, when one was last used, and who made the bot user."""
    submit(signed_in, "bot-users", name="ci")
    with db.connection(), db.transaction():
        ci = BotUser.get(BotUser.name == "ci")
        bots.change(world.system, bots.create(world.system, "Deploy"), active=False)
        for kind in (credentials.API_KEY, credentials.API_KEY, credentials.AUTHTOKEN):
            used = credentials.issue(world.system, kind, ci).credential
        Credential.update(last_used_at=clock.now()).where(Credential.id == used.id).execute()
    assert listed(text_of(signed_in, "bot-users?q=DEP"))[0].startswith("Deploy bot_")
    assert len(listed(text_of(signed_in, "bot-users?state=active"))) == 1
    assert listed(text_of(signed_in, f"bot-users?q={ci.id}")) == [f"ci {ci.id}"]
    rows = csv_of(signed_in, "bot-users.csv")
    assert [(row["name"], row["active"], row["api_key"], row["authtoken"]) for row in rows] == [
        ("ci", "true", "2", "1"),
        ("Deploy", "false", "0", "0"),
    ]
    assert rows[0]["created_by"] == "owner@acme.test"
    assert rows[0]["last_used_at"]
    assert not rows[1]["last_used_at"]


@pytest.mark.usefixtures("short_pages")
def test_credentials_are_narrowed_by_kind_and_by_owner(signed_in: FlaskClient, world: World) -> None:
    """Everybody's for an administrator; the file has no secret."""
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "ci")
        made = [credentials.issue(world.system, credentials.AUTHTOKEN, bot, description=f"d{n}") for n in range(3)]
    pages = walked(signed_in, f"credentials?of=all&owner={bot.id}")
    assert [row[:2] for page in pages for row in page] == ["d2", "d1", "d0"]
    assert [len(page) for page in pages] == [2, 1]
    assert "No such credential" in text_of(signed_in, f"credentials?of=all&owner={bot.id}&kind=api_key")
    assert len(listed(text_of(signed_in, f"bot-users/{bot.id}"))) == 2
    text = signed_in.get(f"{BASE}/credentials.csv?of=all").get_data(as_text=True)
    assert {row["owner"] for row in csv.DictReader(io.StringIO(text))} == {"ci", "owner@acme.test"}
    assert not any(one.token and one.token in text for one in made)


def test_a_developer_downloads_her_own_credentials_only(client: FlaskClient, world: World) -> None:
    """Whatever she asks for."""
    dev = add_member(world, "dev@acme.test", password=True)
    with db.connection(), db.transaction():
        hers = credentials.issue(world.system, credentials.AUTHTOKEN, dev).credential
    sign_in(client, email="dev@acme.test")
    asked = f"credentials.csv?of=all&owner={world.owner.id}"
    assert [row["id"] for row in csv_of(client, asked)] == [hers.id]


# --- events -----------------------------------------------------------------------------------------------------


def test_events_are_narrowed_by_what_who_when_and_through_what(signed_in: FlaskClient, world: World) -> None:
    """Alike on the page, in the JSON lines and in the CSV."""
    mo = add_member(world, "mo@acme.test")
    submit(signed_in, f"members/{mo.id}/name", name="Maurice")
    today = clock.now().date()
    for query, number in (
        (f"object_id={mo.id}", 2),
        ("object_id=mo@acme.test", 2),
        ("object_id=mo@acme.test&source=dashboard", 1),
        ("actor_id=owner@acme.test&type=user_updated.v0", 1),
        (f"object_id={mo.id}&since={today}&until={today}", 2),
        (f"object_id={mo.id}&since={today + timedelta(days=1)}", 0),
        (f"object_id={mo.id}&until={today - timedelta(days=1)}", 0),
        ("source=scim", 0),
    ):
        text = text_of(signed_in, f"events?{query}")
        assert text.count("<summary>") == number, query
        assert len(csv_of(signed_in, f"events.csv?{query}")) == number, query
        lines = signed_in.get(f"{BASE}/events.jsonl?{query}").get_data(as_text=True).splitlines()
        assert len(lines) == number, query


def test_an_event_shows_all_of_it_and_what_changed(signed_in: FlaskClient, world: World) -> None:
    """The JSON as the API has it, before beside after; and a link by which somebody else sees the same."""
    mo = add_member(world, "mo@acme.test")
    submit(signed_in, f"members/{mo.id}/name", name="Maurice")
    text = html.unescape(text_of(signed_in, f"events?type=user_updated.v0&object_id={mo.id}"))
    assert '"event_type": "user_updated.v0"' in text
    assert '"principal": {' in text
    assert re.search(r'<tr><th scope="row">name</th><td>Mo</td><td>Maurice</td></tr>', text)
    assert f'value="http://localhost{BASE}/events?type=user_updated.v0&object_id={mo.id}"' in text


def test_sign_ins_of_a_day_are_counted_up_to_a_bound(world: World) -> None:
    """So that a busy account costs no more."""
    today = clock.now().date()
    days = [today - timedelta(days=1), today]
    with db.connection(), db.transaction():
        for _ in range(3):
            events.record(world.system, Type.SIGN_IN_REFUSED, {"id": None})
        events.record(world.system, Type.SIGN_IN_SUCCEEDED, {"id": None})
    with db.connection():
        assert events.by_day(world.account, Type.SIGN_IN_REFUSED, days, most=10) == {today.isoformat(): 3}
        assert events.by_day(world.account, Type.SIGN_IN_REFUSED, days, most=2) == {today.isoformat(): 2}


def test_sign_ins_are_plotted_with_their_days_as_a_table(signed_in: FlaskClient) -> None:
    """The owner's own is the first."""
    text = text_of(signed_in, "usage")
    plot = text.partition('<svg class="plot"')[2]
    assert "Sign-ins by day" in plot
    today = clock.now().date().isoformat()
    assert re.search(rf'<th scope="row">{today}</th><td class="number">\d+</td>', text)


def test_usage_is_downloaded_by_owner(signed_in: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody with a credential is in it."""
    monkeypatch.setattr(table, "EXPORT", 1)
    with db.connection(), db.transaction():
        credentials.issue(world.system, credentials.API_KEY, bots.create(world.system, "ci"))
    rows = csv_of(signed_in, "usage.csv")
    assert [(row["owner"], row["owner_type"], row["api_key"]) for row in rows] == [
        ("owner@acme.test", "user", "1"),
        ("ci", "bot_user", "1"),
    ]


def test_the_key_of_a_name_follows_it(signed_in: FlaskClient, world: World) -> None:
    """Renamed, somebody is found and sorted under the new name; without one, under the address."""
    mo = add_member(world, "mo@acme.test", name="")
    with db.connection():
        assert Member.get_by_id(mo.id).name_key == "mo@acme.test"
    submit(signed_in, f"members/{mo.id}/name", name="Ünal")
    with db.connection():
        assert Member.get_by_id(mo.id).name_key == fold("Ünal")
    assert listed(text_of(signed_in, "members?q=ÜN")) == ["Ü Ünal"]
