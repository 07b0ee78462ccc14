"""Settings: read once from the environment into a frozen dataclass; nothing is read at import time.

Every variable has the prefix ``IDP_BRIDGE_`` and may come from a file through ``IDP_BRIDGE_<NAME>_FILE``. A wrong
value stops the start with one message that lists every fault.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import HeaderRegistry
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from environs import EnvError, EnvValidationError, FileAwareEnv
from marshmallow import ValidationError, validate

T = TypeVar("T")

PREFIX = "IDP_BRIDGE_"
DEFAULT_BASE_URL = "http://127.0.0.1:8000"


class ConfigError(Exception):
    """The environment is wrong; ``faults`` has one line for each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Config:
    """What the operator decides. The rates are of requests a second, sign-in attempts a minute, invitations an hour."""

    database_url: str = field(repr=False)  # it may hold a password
    base_url: str
    secret_key: str = field(repr=False)
    trusted_proxies: int = 0
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str | None = None
    log_format: str = "console"
    log_level: str = "info"
    slow_query_ms: int = 500
    metrics_token: str | None = field(default=None, repr=False)
    secret_key_previous: str | None = field(default=None, repr=False)
    api_rate: int = 200
    scim_rate: int = 500
    login_rate: int = 20
    invitation_rate: int = 200

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over https, which decides the cookies' Secure flag."""
        return self.base_url.startswith("https://")

    @property
    def sender(self) -> str:
        """From whom mails are: MAIL_FROM, else nobody at the public host."""
        host = urlsplit(self.base_url).hostname or "localhost"
        literal = ":" in host or host.replace(".", "").isdigit()  # RFC 5321 section 4.1.3
        return self.mail_from or f"noreply@{f'[{host}]' if literal else host}"

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an SQLite database, else None."""
        return sqlite_path(self.database_url)


def sqlite_path(database_url: str) -> Path | None:
    """``sqlite:///relative.db`` and ``sqlite:////absolute.db`` -> the path; None for another scheme."""
    return Path(database_url.removeprefix("sqlite:///")) if database_url.startswith("sqlite:///") else None


def load(*, dotenv: bool = False, keep: bool = True) -> Config:
    """The configuration of this process, from its environment.

    ``dotenv`` also reads a ``.env`` file, which is for development. ``keep`` False: only look; no secret key is made
    where there is none yet. Raises ConfigError.
    """
    env = FileAwareEnv(eager=False, prefix=PREFIX)
    if dotenv and Path(".env").is_file():
        env.read_env(".env", recurse=False)
    unreadable: list[str] = []

    def read(kind: Callable[..., Any], name: str, default: T, check: Callable[[Any], Any]) -> T:
        try:
            value: T = kind(name, default, validate=check)
        except ValueError as error:  # a *_FILE that cannot be read; environs gathers every other fault itself
            unreadable.append(f"{PREFIX}{name}: {error}")
            return default
        return value

    database_url = read(env.str, "DATABASE_URL", "sqlite:///var/idp-bridge.db", _database_url)
    base_url = read(env.str, "BASE_URL", DEFAULT_BASE_URL, _base_url)
    secret_key = read(env.str, "SECRET_KEY", "", _secret_key)
    positive = validate.Range(min=1)
    trusted_proxies = read(env.int, "TRUSTED_PROXIES", 0, validate.Range(min=0, max=10))
    smtp_url: str | None = read(env.str, "SMTP_URL", None, _smtp_url)
    mail_from: str | None = read(env.str, "MAIL_FROM", None, _mail_from)
    log_format = read(env.str, "LOG_FORMAT", "console", validate.OneOf(["json", "console"]))
    log_level = read(env.str, "LOG_LEVEL", "info", validate.OneOf(["info", "warning"]))
    slow_query_ms = read(env.int, "SLOW_QUERY_MS", 500, validate.Range(min=0))
    metrics_token: str | None = read(env.str, "METRICS_TOKEN", None, _metrics_token)
    secret_key_previous: str | None = read(env.str, "SECRET_KEY_PREVIOUS", None, _secret_key)
    api_rate, scim_rate, login_rate, invitation_rate = (
        read(env.int, name, default, positive)
        for name, default in (("API_RATE", 200), ("SCIM_RATE", 500), ("LOGIN_RATE", 20), ("INVITATION_RATE", 200))
    )
    faults = unreadable + _faults(env)
    if not faults and not secret_key:
        path = sqlite_path(database_url)
        if path is None:
            faults = [f"{PREFIX}SECRET_KEY: required on PostgreSQL (32 characters or more), equal on every machine"]
        else:
            secret_key = _kept_secret(secret_path(path), make=keep)
    if faults:
        raise ConfigError(faults)
    return Config(
        database_url=database_url,
        base_url=base_url.rstrip("/"),
        secret_key=secret_key.strip(),
        trusted_proxies=trusted_proxies,
        smtp_url=smtp_url,
        mail_from=mail_from,
        log_format=log_format,
        log_level=log_level,
        slow_query_ms=slow_query_ms,
        metrics_token=(metrics_token or "").strip() or None,
        secret_key_previous=(secret_key_previous or "").strip() or None,
        api_rate=api_rate,
        scim_rate=scim_rate,
        login_rate=login_rate,
        invitation_rate=invitation_rate,
    )


def _faults(env: FileAwareEnv) -> list[str]:
    try:
        env.seal()
    except EnvValidationError as error:
        messages = error.error_messages
        if not isinstance(messages, Mapping):
            return [str(error)]
        return [f"{PREFIX}{name.removeprefix(PREFIX)}: {' '.join(texts)}" for name, texts in messages.items()]
    except EnvError as error:
        return [str(error)]
    return []


def secret_path(path: Path) -> Path:
    """Where the secret key of an SQLite database is kept, if it is in no setting."""
    return path.with_name(path.name + ".secret")


def _kept_secret(path: Path, *, make: bool) -> str:
    """SQLite means one machine, so the key is made once and kept beside the file, for its owner only."""
    if not make:
        return path.read_text().strip() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret + "\n")
    return secret


def _database_url(value: str) -> None:
    if not value.startswith(("sqlite:///", "postgresql://", "postgres://")) or value == "sqlite:///":
        raise ValidationError("must be sqlite:///FILE or postgresql://USER@HOST/NAME")


def _base_url(value: str) -> None:
    url = _split(value)
    if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise ValidationError("must be the public origin, such as https://sso.example.com, without a path")


def _split(value: str) -> SplitResult:
    """The parts of a URL, nothing of one that cannot be taken apart (``http://[x``, ``http://h:port``)."""
    try:
        url = urlsplit(value)
        url.port  # noqa: B018 - read, because only reading checks it
    except ValueError:
        return SplitResult("", "", "", "", "")
    return url


def _secret_key(value: str | None) -> None:
    if not value:
        return
    if len(value.strip()) < 32:
        raise ValidationError("must have 32 characters or more")
    if len(set(value.strip())) < 8:
        raise ValidationError("must not be made of a few characters: openssl rand -base64 48")


def _metrics_token(value: str | None) -> None:
    if value and len(value.strip()) < 16:
        raise ValidationError("must have 16 characters or more")


def _smtp_url(value: str | None) -> None:
    url = _split(value or "smtp://unset")
    if url.scheme not in {"smtp", "smtps"} or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise ValidationError(
            "must be smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT, with what is special in USER and PASSWORD "
            "percent-encoded"
        )


def _mail_from(value: str | None) -> None:
    try:
        sender: Any = HeaderRegistry()("from", value or "unset@example.com")
    except (ValueError, IndexError, MessageError):  # a line break, or what its parser stumbles over
        sender = None
    if sender is None or sender.defects or len(sender.addresses) != 1 or not sender.addresses[0].domain:
        raise ValidationError("must be one address: NAME@HOST or WORDS <NAME@HOST>")
