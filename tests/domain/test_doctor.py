"""The doctor finds what is wrong, says what to do, and changes nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from idp_bridge import clock, db, doctor, event_sealing, tables
from idp_bridge.cli import main
from idp_bridge.config import Config
from idp_bridge.models import Event, EventSeal, IdentityProvider, JobRun
from tests import smtp
from tests.conftest import SECRET_KEY, add_provider, make_account

Found = dict[str, list[doctor.Finding]]


def examine(settings: Config) -> Found:
    """What it finds, by check; the test goes on with the database that it had."""
    found: Found = {}
    before = db.database.obj
    for one in doctor.examine(settings):
        found.setdefault(one.name, []).append(one)
    if db.database.obj is not before:
        db.disconnect()
        db.database.initialize(before)
    return found


def states(settings: Config) -> dict[str, str]:
    """The first finding of each check."""
    return {name: found[0].state for name, found in examine(settings).items()}


@pytest.fixture
def answers() -> Iterator[Any]:
    """A server of somebody's: ``answers.to(status, type, body)`` says what it answers, ``answers.url`` where."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = self.server.answer  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.to = lambda *answer: setattr(server, "answer", answer)
    server.to(200, "application/json", b'{"status":"ready"}')
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def healthy(database: None, config: Config, answers: Any, idp_certificate: str) -> Config:
    """An installation where nothing is wrong: an account, a connection, sealed events, an answer under its URL."""
    add_provider(make_account("acme"), idp_certificate)
    event_sealing.seal(clock.now())
    if config.sqlite_path is not None:
        config.sqlite_path.chmod(0o600)
    return replace(config, base_url=answers.url)


def test_where_nothing_is_wrong_it_says_so(healthy: Config) -> None:
    """Every check is there; that this machine's address is not https is the one word."""
    found = examine(healthy)
    assert {name for name, of in found.items() if any(one.state == "fail" for one in of)} == set()
    assert {name for name, of in found.items() if any(one.state == "warn" for one in of)} == {"base URL"}
    common = {"configuration", "database", "migrations", "base URL", "mail", "clock", "certificates", "events", "jobs"}
    assert set(found) == common | ({"files", "disk"} if healthy.sqlite_path else set())
    assert doctor.exit_code([one for of in found.values() for one in of]) == 0


def test_whatever_is_not_ok_says_what_to_do(healthy: Config, answers: Any) -> None:
    """In a sentence, and another one."""
    answers.to(502, "text/html", b"bad gateway")
    with db.transaction():
        JobRun.insert(name="mail", due_at=clock.now() - timedelta(hours=1)).execute()
    for of in examine(replace(healthy, smtp_url="smtp://127.0.0.1:1", secret_key_previous="x" * 40)).values():
        for one in of:
            assert one.words.endswith(".")
            assert (one.fix == "") == (one.state == "ok"), one


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ((200, "application/json", b'{"status":"ready"}'), "ok"),
        ((503, "application/json", b'{"status":"unavailable"}'), "fail"),
        ((200, "text/html", b"<h1>It works!</h1>"), "fail"),
        ((200, "application/json", b"{"), "fail"),
        ((301, "text/html", b""), "fail"),
    ],
)
def test_the_public_address_must_be_ours(healthy: Config, answers: Any, answer: Any, state: str) -> None:
    """Another server under it, or one that is not ready, is a failure."""
    answers.to(*answer)
    assert examine(healthy)["base URL"][-1].state == state


def test_a_public_address_without_https_is_a_failure(healthy: Config) -> None:
    """On this machine it is a word; where others come it is none that providers would take."""
    assert examine(replace(healthy, base_url="http://sso.invalid"))["base URL"][0].state == "fail"


def test_nobody_at_the_public_address_is_a_failure(healthy: Config, answers: Any) -> None:
    """With the reason."""
    (*_, found) = examine(replace(healthy, base_url="http://127.0.0.1:1"))["base URL"]
    assert (found.state, "refused" in found.words) == ("fail", True)


def test_the_mail_server_is_greeted_and_gets_nothing(healthy: Config, tmp_path: Path) -> None:
    """A server that is there, and one that is not."""
    with smtp.serving(tmp_path) as server:
        assert states(replace(healthy, smtp_url=f"smtp://127.0.0.1:{server.port}"))["mail"] == "ok"
        assert server.messages == []
    assert states(replace(healthy, smtp_url="smtp://127.0.0.1:1"))["mail"] == "fail"


def test_certificates_that_run_out_are_named(healthy: Config) -> None:
    """Of either side, with account, connection and day; not those of a connection that is off."""
    soon = clock.rfc3339(clock.now() + timedelta(days=3))
    provider = IdentityProvider.get()
    stored = [{**one, "not_after": soon} for one in provider.certificates]
    with db.transaction():
        IdentityProvider.update(certificates=stored).execute()
    (found,) = examine(healthy)["certificates"]
    assert found.state == "warn"
    assert f"acme, Okta: the provider's certificate runs out on {soon[:10]}" in found.words
    with db.transaction():
        IdentityProvider.update(enabled=False).execute()
    assert states(healthy)["certificates"] == "ok"


def test_a_broken_chain_is_a_failure(healthy: Config) -> None:
    """The newest link's events are looked at: one was edited beside the guards."""
    with db.transaction(), tables.without_triggers("event"):
        Event.update(principal_subject="somebody else").execute()
    (found,) = examine(healthy)["events"]
    assert (found.state, "the event was edited" in found.words) == ("fail", True)
    assert "events verify --account acme" in found.fix


def test_another_secret_key_is_found_by_the_chain(healthy: Config) -> None:
    """Its links were not made under it."""
    other = replace(healthy, secret_key="another secret key of the test suite, 32 and more")
    assert states(other)["events"] == "fail"
    assert EventSeal.select().exists()


def test_a_job_that_nobody_runs_is_told_of(healthy: Config) -> None:
    """Nothing serves, or it fails all the while."""
    with db.transaction():
        JobRun.insert(name="mail", due_at=clock.now() - timedelta(hours=1)).execute()
    (found,) = examine(healthy)["jobs"]
    assert (found.state, "mail" in found.words) == ("warn", True)


def test_an_event_of_the_future_is_told_of(healthy: Config) -> None:
    """A clock was wrong, here or on another machine."""
    with db.transaction(), tables.without_triggers("event"):
        Event.update(timestamp=clock.now() + timedelta(minutes=5)).execute()
    assert examine(healthy)["clock"][-1].state == "fail"


def test_files_that_others_can_read_are_told_of(healthy: Config) -> None:
    """The database, and the key beside it."""
    if healthy.sqlite_path is None:
        pytest.skip("PostgreSQL keeps its files")
    secret = healthy.sqlite_path.with_name("idp-bridge.db.secret")
    secret.write_text(SECRET_KEY)
    secret.chmod(0o644)
    (found,) = examine(healthy)["files"]
    assert (found.state, found.fix) == ("fail", f"chmod 600 {secret}")


def test_migrations_to_apply_and_unknown_ones_are_failures(healthy: Config) -> None:
    """An old schema, and one of a newer version."""
    history = db.runner().History
    newest = history.select().order_by(history.name.desc()).first()
    newest.delete_instance()
    assert states(healthy)["migrations"] == "fail"
    history.create(name="9999_of_the_future")
    (found,) = examine(healthy)["migrations"]
    assert "9999_of_the_future" in found.words
    history.delete().where(history.name == "9999_of_the_future").execute()
    history.create(name=newest.name)
    assert states(healthy)["migrations"] == "ok"


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "postgresql://nobody@127.0.0.1:1/none"])
def test_without_a_database_the_rest_is_still_looked_at(url: str, config: Config, tmp_path: Path) -> None:
    """And nothing is made on the way."""
    found = examine(replace(config, database_url=url, base_url="http://127.0.0.1:1"))
    assert found["database"][0].state == "fail"
    assert {"configuration", "base URL", "mail"} <= set(found)
    assert not Path("/nowhere").exists()


# --- the command ------------------------------------------------------------------------------------------------


def doctor_says(*options: str) -> Result:
    """As a process of its own would."""
    said = CliRunner().invoke(main, ["doctor", *options], catch_exceptions=False)
    db.disconnect()
    return said


def test_the_command_prints_lines_or_json_and_its_exit_code(
    database_url: str, monkeypatch: pytest.MonkeyPatch, answers: Any, tmp_path: Path
) -> None:
    """1 where something fails, 0 where it is only worth a word; a wrong setting is a finding too."""
    for name, value in {"DATABASE_URL": database_url, "SECRET_KEY": SECRET_KEY, "BASE_URL": answers.url}.items():
        monkeypatch.setenv(f"IDP_BRIDGE_{name}", value)
    if database_url.startswith("sqlite"):
        (tmp_path / "idp-bridge.db").chmod(0o600)
    good = doctor_says("--json")
    checks = json.loads(good.stdout)["checks"]
    assert good.exit_code == 0, [check for check in checks if check["state"] == "fail"]
    assert {"name", "state", "words", "fix"} == set(checks[0])
    assert SECRET_KEY not in good.stdout
    answers.to(502, "text/html", b"")
    bad = doctor_says()
    assert (bad.exit_code, "fail  base URL: " in bad.stdout) == (1, True)
    monkeypatch.setenv("IDP_BRIDGE_LOG_LEVEL", "loud")
    wrong = doctor_says()
    assert (wrong.exit_code, "fail  configuration: IDP_BRIDGE_LOG_LEVEL" in wrong.stdout) == (1, True)
