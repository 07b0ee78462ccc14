"""What may be wrong with an installation, looked for before somebody meets it; nothing is changed.

Each check says ok, warn or fail, in a sentence, and what to do. What rests on the database is only asked where there is
one.
"""

import shutil
import smtplib
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import requests
from peewee import PeeweeException, SqliteDatabase, fn

from idp_bridge import clock, config, db, event_chain, keyring, mail, sp_keys
from idp_bridge.config import Config
from idp_bridge.models import Account, Event, EventPending, IdentityProvider, JobRun, ServiceProviderKey
from idp_bridge.saml.certificate import parse_certificate

SECONDS = 5  # for an answer from outside
DRIFT = timedelta(seconds=2), timedelta(seconds=30)  # of two clocks: worth a word, and wrong
SOON = timedelta(days=30)  # a certificate runs out
LATE = timedelta(minutes=10)  # a job, or an event that is not sealed
FREE = 1024**3, 100 * 1024**2  # octets on the disk: worth a word, and too little

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What a check found. ``fix``: what to do, empty where nothing is."""

    name: str
    state: State
    words: str
    fix: str = ""


Findings = Iterator[Finding]


def examine(settings: Config) -> list[Finding]:
    """All checks, in order; those of the database's contents only where it can be read."""
    found = [finding for check in OUTSIDE for finding in check(settings)]
    if not any(one.state == "fail" for one in found if one.name in ("database", "migrations")):
        with db.connection():
            found += [finding for check in INSIDE for finding in check(settings)]
    return found


def exit_code(findings: list[Finding]) -> int:
    """1 where something has failed; a warning is none of that."""
    return int(any(found.state == "fail" for found in findings))


# --- settings and files -----------------------------------------------------------------------------------------


def _configuration(settings: Config) -> Findings:
    yield Finding("configuration", "ok", "every setting can be read.")
    if settings.secret_key_previous is not None:
        yield Finding(
            "secret key",
            "warn",
            "the key before this one is still taken.",
            "Run `idp-bridge rotate-secret-key`, and take IDP_BRIDGE_SECRET_KEY_PREVIOUS out an hour later.",
        )


def _files(settings: Config) -> Findings:
    path = settings.sqlite_path
    if path is None:
        return
    private = [one for one in (path, config.secret_path(path)) if one.exists()]
    open_ones = [one for one in private if stat.S_IMODE(one.stat().st_mode) & 0o077]
    for one in open_ones:
        yield Finding("files", "fail", f"others on this machine can read {one}.", f"chmod 600 {one}")
    if not open_ones:
        yield Finding("files", "ok", "the database and its key are their owner's alone.")


def _disk(settings: Config) -> Findings:
    path = settings.sqlite_path
    if path is None:
        return
    place = next(one for one in (path.parent, *path.absolute().parents) if one.exists())
    free = shutil.disk_usage(place).free
    words = f"{free / 1024**3:.1f} GiB are free where {path} is."
    state: State = "ok" if free > FREE[0] else "warn" if free > FREE[1] else "fail"
    yield Finding("disk", state, words, "" if state == "ok" else "Make room: without it, writes are refused.")


# --- the database -----------------------------------------------------------------------------------------------


def _database(settings: Config) -> Findings:
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        yield Finding("database", "fail", f"there is no {settings.sqlite_path} yet.", "Run `idp-bridge migrate`.")
        return
    db.open_database(settings.database_url)
    keyring.unlock(settings.secret_key or "there is none", settings.secret_key_previous)
    try:
        with db.connection():
            yield from _sound()
            yield from _migrations()
    except (PeeweeException, ValueError) as error:
        yield Finding("database", "fail", f"it cannot be used: {error}.", "Look at IDP_BRIDGE_DATABASE_URL, and it.")


def _sound() -> Findings:
    if isinstance(db.database.obj, SqliteDatabase):
        ((said,),) = list(db.database.execute_sql("PRAGMA quick_check(1)"))
        if said != "ok":
            yield Finding("database", "fail", f"SQLite finds it damaged: {said}", "Restore a backup.")
            return
        yield Finding("database", "ok", "SQLite finds it whole.")
        return
    ((version,),) = list(db.database.execute_sql("SHOW server_version"))
    ((reading,),) = list(db.database.execute_sql("SELECT pg_is_in_recovery()"))
    if reading:
        yield Finding(
            "database", "fail", "this is a standby, which takes no writes.", "Add target_session_attrs=read-write."
        )
        return
    yield Finding("database", "ok", f"PostgreSQL {version} answers.")


def _migrations() -> Findings:
    pending = db.pending_migrations()
    unknown = [one.name for one in db.runner().status() if not one.path]
    if unknown:
        yield Finding(
            "migrations", "fail", f"a newer version has migrated it ({', '.join(unknown)}).", "Install that version."
        )
    elif pending:
        yield Finding("migrations", "fail", f"to apply: {', '.join(pending)}.", "Run `idp-bridge migrate`.")
    else:
        yield Finding("migrations", "ok", "the schema is the newest.")


def _clock(settings: Config) -> Findings:
    """PostgreSQL's clock, and that no event is of the future: a clock that was wrong leaves such."""
    now = clock.now()
    if settings.sqlite_path is None:
        ((theirs,),) = list(db.database.execute_sql("SELECT clock_timestamp()"))
        yield _drift("the database's clock", abs(theirs - clock.now()))
    newest = Event.select(fn.MAX(Event.timestamp)).scalar()
    latest = clock.parse(newest) if isinstance(newest, str) else newest
    if latest is not None and latest > now + DRIFT[0]:
        yield _drift("the newest event", latest - now)
    elif settings.sqlite_path is not None:
        yield Finding("clock", "ok", "no event is of the future.")


def _drift(what: str, by: timedelta) -> Finding:
    words = f"{what} and this machine's differ by {by.total_seconds():.1f} seconds."
    if by <= DRIFT[0]:
        return Finding("clock", "ok", words)
    return Finding("clock", "warn" if by <= DRIFT[1] else "fail", words, "Run NTP on both machines.")


# --- what others see --------------------------------------------------------------------------------------------


def _base_url(settings: Config) -> Findings:
    url = settings.base_url
    local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    if not settings.secure:
        words = f"{url} is not https: Okta and Entra ID push to https only, and cookies are not Secure."
        yield Finding(
            "base URL", "warn" if local else "fail", words, "Put a proxy with TLS in front; set IDP_BRIDGE_BASE_URL."
        )
    try:
        answer = requests.get(f"{url}/readyz", timeout=SECONDS, allow_redirects=False)
        ours = answer.headers.get("Content-Type", "").startswith("application/json") and "status" in answer.json()
    except (requests.RequestException, ValueError) as error:
        yield Finding("base URL", "fail", f"{url} does not answer: {_cause(error)}.", "Is it served, and the proxy up?")
        return
    if not ours or answer.status_code != 200:
        words = f"{url}/readyz answers {answer.status_code}{'' if ours else ', and is not ours'}."
        yield Finding("base URL", "fail", words, "Look at what the proxy passes on, and at the server's log.")
    elif settings.secure and "Strict-Transport-Security" not in answer.headers:
        words = f"{url} answers, and takes the request for http."
        yield Finding(
            "base URL", "warn", words, "Let the proxy send X-Forwarded-Proto; set IDP_BRIDGE_TRUSTED_PROXIES."
        )
    else:
        yield Finding("base URL", "ok", f"{url} answers and is ready.")


def _cause(error: Exception) -> str:
    """The last in a chain of reasons, which is the one that helps."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"{type(error).__name__}: {error}"


def _smtp(settings: Config) -> Findings:
    if settings.smtp_url is None:
        yield Finding("mail", "ok", "none is sent; invitations are links to pass on.")
        return
    host = urlsplit(settings.smtp_url).hostname
    try:
        mail.greet(settings.smtp_url)
    except (OSError, smtplib.SMTPException) as error:
        yield Finding(
            "mail", "fail", f"{host} cannot be used: {type(error).__name__}: {error}.", "Look at IDP_BRIDGE_SMTP_URL."
        )
    else:
        yield Finding("mail", "ok", f"{host} takes mail from us.")


# --- what the service holds -------------------------------------------------------------------------------------


def _certificates(settings: Config) -> Findings:
    now, ending = clock.now(), 0
    for account, name, whose, not_after in _ends():
        if not_after > now + SOON:
            continue
        ending += 1
        when = f"ran out on {not_after:%Y-%m-%d}" if not_after <= now else f"runs out on {not_after:%Y-%m-%d}"
        fix = "An administrator takes the provider's new metadata." if whose == "the provider's" else _OURS
        yield Finding("certificates", "warn", f"{account}, {name}: {whose} certificate {when}.", fix)
    if not ending:
        yield Finding("certificates", "ok", f"none of either side runs out within {SOON.days} days.")


_OURS = "An administrator makes a new key on the connection's page, and gives our metadata to the provider."


def _ends() -> Iterator[tuple[str, str, str, datetime]]:
    """Account, connection, whose, and until when, of the connections that are on."""
    on = IdentityProvider.select(IdentityProvider, Account).join(Account).where(IdentityProvider.enabled)
    for provider in on:
        for one in provider.certificates:
            yield provider.account.slug, provider.name, "the provider's", clock.parse(one["not_after"])
        ours = ServiceProviderKey.identity_provider == provider
        for key in ServiceProviderKey.select().where(ours, ServiceProviderKey.state != sp_keys.FORMER):
            yield provider.account.slug, provider.name, "our", parse_certificate(key.certificate).not_after


def _events(settings: Config) -> Findings:
    broken = 0
    for account in Account.select():
        found = event_chain.verify_newest(account)
        if found is not None:
            broken += 1
            words = f"{account.slug}, link {found.seal}: {found.what}."
            yield Finding("events", "fail", words, f"idp-bridge events verify --account {account.slug}")
    if not broken:
        yield Finding("events", "ok", "the newest link of every account's chain holds.")


def _jobs(settings: Config) -> Findings:
    """Whether a process serves: jobs run in those, and seal events."""
    limit = clock.now() - LATE
    late = [row.name for row in JobRun.select().where(JobRun.due_at < limit).order_by(JobRun.name)]
    oldest = EventPending.select(Event.timestamp).join(Event, on=EventPending.event_id == Event.id)
    first = oldest.order_by(EventPending.number).objects().first()
    if late:
        words = f"due for more than {LATE.seconds // 60} minutes: {', '.join(late)}."
        yield Finding("jobs", "warn", words, "Is `idp-bridge serve` running? If it is, its log names the failure.")
    elif first is not None and first.timestamp < limit:
        words = f"events have waited to be sealed since {clock.rfc3339(first.timestamp)}."
        yield Finding("jobs", "warn", words, "Is `idp-bridge serve` running? If it is, its log names the failure.")
    else:
        yield Finding("jobs", "ok", "none is late.")


Check = Callable[[Config], Findings]

OUTSIDE: tuple[Check, ...] = (_configuration, _files, _disk, _database, _base_url, _smtp)
INSIDE: tuple[Check, ...] = (_clock, _certificates, _events, _jobs)
