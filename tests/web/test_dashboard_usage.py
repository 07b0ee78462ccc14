"""The page of usage: limits, bars by day with their table, and who used it, on every plan."""

import html
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
import time_machine
from flask.testing import FlaskClient

from idp_bridge import bots, credentials, db, usage_reports
from idp_bridge.models import Account
from idp_bridge.plans import Metric
from idp_bridge.usage import Days
from idp_bridge.usage_reports import Report
from idp_bridge.web.dashboard import usage_plot
from tests.conftest import World
from tests.web.pages import sign_in

BASE = "/accounts/acme/usage"
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MARCH = Days.of_month(NOON.date())

Add = Callable[..., None]


@pytest.fixture
def owner(client: FlaskClient, world: World) -> Any:
    """A browser in which acme's owner is signed in, on the free plan, in the midst of March."""
    with time_machine.travel(NOON, tick=False):
        with db.connection():
            Account.update(plan="free").execute()
        sign_in(client)
        yield client


@pytest.fixture
def add() -> Add:
    """Report that somebody has used something."""

    def report(owner_id: str, amount: int, metric: Metric = Metric.SESSIONS, *, ago: int = 0) -> None:
        day = (NOON - timedelta(days=ago)).date()
        with db.connection(), db.transaction():
            usage_reports.count([Report(f"{owner_id} {metric} {ago}", metric, amount, owner_id=owner_id, day=day)])

    return report


def text_of(client: FlaskClient, path: str = BASE) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True))).split())


def plots_of(client: FlaskClient, path: str = BASE) -> list[ElementTree.Element]:
    """The drawings of the page; each is well-formed by itself."""
    page = client.get(path).get_data(as_text=True)
    return [ElementTree.fromstring(found) for found in re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL)]


def test_nothing_is_shown_as_nothing(owner: FlaskClient, world: World) -> None:
    """With the limits of the plan, and the credentials that are there."""
    text = text_of(owner)
    assert "0 B of 1 GB in 2026-03, 0 %" in text
    assert text.count("Nothing was reported in these days.") == 6  # to who sees and to who does not, of three metrics
    assert world.owner.email in text
    own_sign_in = 1
    assert [len(plot.findall("rect")) for plot in plots_of(owner)] == [0, 0, 0, own_sign_in, 0]


def test_limits_days_and_owners_of_a_month(owner: FlaskClient, world: World, add: Add) -> None:
    """Bot users first; what is over a limit, or near to it, stands above everything."""
    with db.connection(), db.transaction():
        bot = bots.create(world.system, "deploy <1>")
        gone = bots.create(world.system, "gone")
        credentials.issue(world.system, credentials.AUTHTOKEN, bot)
    add(bot.id, 1_250_000_000, Metric.BANDWIDTH)
    add(bot.id, 15_000, ago=2)
    add(gone.id, 1_500, ago=1)
    add(world.owner.id, 3)
    with db.connection(), db.transaction():
        bots.delete(world.system, gone)
    text = text_of(owner)
    assert "Bytes of bandwidth: 250 MB more than the plan includes." in text
    assert "Sessions: 82 % of what the plan includes is used." in text
    assert "16,503 of 20,000 in 2026-03, 82 %" in text
    assert "16,503 on 3 of 31 days, most of it 15,000 on 2026-03-08." in text
    assert text.index("deploy <1>") < text.index(f"{gone.id} Deleted") < text.index(f"{world.owner.email} member")
    assert "2026-03-09 1,500" in text
    bandwidth, sessions, endpoints, *sign_ins = plots_of(owner)
    assert len(sign_ins) == 2
    assert [len(plot.findall("rect")) for plot in (bandwidth, sessions, endpoints)] == [1, 3, 0]
    assert sessions.attrib["role"] == "img"
    ids = [sessions.find(name).attrib["id"] for name in ("title", "desc")]  # type: ignore[union-attr]
    assert sessions.attrib["aria-labelledby"].split() == ids


def test_another_month_is_a_click_away(owner: FlaskClient, world: World, add: Add) -> None:
    """The one before, and back; none to come, and what is no month is this one."""
    with time_machine.travel(NOON - timedelta(days=7), tick=False), db.connection(), db.transaction():
        usage_reports.count([Report("a", Metric.SESSIONS, 7, owner_id=world.owner.id, day=date(2026, 2, 28))])
    page = owner.get(f"{BASE}?month=2026-02").get_data(as_text=True)
    assert "7 on 1 of 28 days" in page
    assert {f"{BASE}?month=2026-01", f"{BASE}?month=2026-03"} <= set(re.findall(r'href="([^"]+)"', page))
    for asked in ("", "?month=2026-13", "?month=x", "?month=0001-01", "?month=2026-03"):
        page = owner.get(f"{BASE}{asked}").get_data(as_text=True)
        assert f"{BASE}?month=2026-02" in page
        assert f"{BASE}?month=2026-04" not in page


def test_the_page_has_no_script_and_no_style_of_its_own(owner: FlaskClient, world: World, add: Add) -> None:
    """The content security policy would not run them: bars are attributes."""
    add(world.owner.id, 3)
    page = owner.get(BASE).get_data(as_text=True)
    assert " style=" not in page
    assert re.findall(r"<script(?![^>]* src=)", page) == []


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1 kB"),
        (1_550, "1.5 kB"),
        (999_999, "999.9 kB"),
        (10**9, "1 GB"),
        (10**13, "10 TB"),
        (2**53 - 1, "9 PB"),
        (3 * 10**18, "3,000 PB"),
    ],
)
def test_bytes_are_shown_by_their_largest_unit(amount: int, words: str) -> None:
    """Rounded down, so that nothing looks used up that is not."""
    assert usage_plot.shown(amount, Metric.BANDWIDTH) == words


def test_a_small_day_is_seen_beside_a_large_one() -> None:
    """The highest bar is as high as the plot, the least one unit of it, each in its day's place."""
    plot = usage_plot.of(Metric.SESSIONS, MARCH, {"2026-03-01": 1, "2026-03-02": 10**6, "2026-03-31": 5 * 10**5})
    assert (plot.width, len(plot.bars)) == (310, 31)
    seen = [(bar.day.day, bar.x, bar.y, bar.height) for bar in plot.bars if bar.amount]
    assert seen == [(1, 1, 99.0, 1.0), (2, 11, 0.0, 100.0), (31, 301, 50.0, 50.0)]
