"""Settings: read once, whole, and refused in one message."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from idp_bridge import config
from idp_bridge.config import Config, ConfigError

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings of ours, in an empty directory."""
    for name in [name for name in os.environ if name.startswith(config.PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def _set(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(config.PREFIX + name, value)


def test_without_any_setting_the_service_runs_on_this_machine(clean: pytest.MonkeyPatch) -> None:
    """The defaults are those of a developer's machine."""
    loaded = config.load()
    assert loaded.database_url == "sqlite:///var/idp-bridge.db"
    assert loaded.base_url == config.DEFAULT_BASE_URL
    assert (loaded.api_rate, loaded.scim_rate, loaded.login_rate, loaded.trusted_proxies) == (200, 500, 20, 0)
    assert loaded.smtp_url is None
    assert not loaded.secure


def test_every_setting_is_read(clean: pytest.MonkeyPatch) -> None:
    """Each variable reaches its field."""
    _set(
        clean,
        DATABASE_URL="postgresql://u:p@a,b/idp",
        BASE_URL="https://sso.example.com/",
        SECRET_KEY=SECRET,
        TRUSTED_PROXIES="2",
        SMTP_URL="smtps://u:p@mail.example.com:465",
        MAIL_FROM="Acme <sso@example.com>",
        LOG_FORMAT="json",
        LOG_LEVEL="warning",
        SLOW_QUERY_MS="0",
        METRICS_TOKEN="scraped by prometheus",
        SECRET_KEY_PREVIOUS=SECRET[::-1],
        API_RATE="1",
        SCIM_RATE="2",
        LOGIN_RATE="3",
        INVITATION_RATE="4",
    )
    assert config.load() == Config(
        database_url="postgresql://u:p@a,b/idp",
        base_url="https://sso.example.com",
        secret_key=SECRET,
        trusted_proxies=2,
        smtp_url="smtps://u:p@mail.example.com:465",
        mail_from="Acme <sso@example.com>",
        log_format="json",
        log_level="warning",
        slow_query_ms=0,
        metrics_token="scraped by prometheus",
        secret_key_previous=SECRET[::-1],
        api_rate=1,
        scim_rate=2,
        login_rate=3,
        invitation_rate=4,
    )
    assert config.load().secure


WRONG = {
    "DATABASE_URL": ["mysql://u@h/d", "sqlite:///", "idp.db"],
    "BASE_URL": [
        "sso.example.com",
        "ftp://sso.example.com",
        "https://sso.example.com/app",
        "https://h?x=1",
        "http://[x",
        "http://h:port",
    ],
    "SECRET_KEY": ["short", "a" * 40, "0101" * 10],
    "SECRET_KEY_PREVIOUS": ["short"],
    "TRUSTED_PROXIES": ["-1", "many", "11"],
    "SMTP_URL": ["mail.example.com", "http://mail", "smtp://[x"],
    "LOG_FORMAT": ["xml"],
    "LOG_LEVEL": ["debug"],
    "SLOW_QUERY_MS": ["-1", "long"],
    "METRICS_TOKEN": ["short"],
    "API_RATE": ["0", "fast"],
    "SCIM_RATE": ["-5"],
    "LOGIN_RATE": ["1.5"],
    "INVITATION_RATE": ["0"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_stops_the_start_and_is_named(clean: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message names the variable; the value may be a secret and is not repeated for one."""
    _set(clean, **{name: value})
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert [fault.split(":")[0] for fault in caught.value.faults] == [config.PREFIX + name]


def test_all_faults_come_in_one_message(clean: pytest.MonkeyPatch) -> None:
    """Whoever mends the settings mends them once."""
    _set(clean, **{name: values[0] for name, values in WRONG.items()})
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert {fault.split(":")[0] for fault in caught.value.faults} == {config.PREFIX + name for name in WRONG}
    assert all(config.PREFIX + name in str(caught.value) for name in WRONG)


def test_a_secret_may_come_from_a_file(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Docker and Kubernetes hand secrets over as files."""
    (tmp_path / "key").write_text(SECRET + "\n")
    (tmp_path / "url").write_text("postgresql://u:p@h/d")
    _set(clean, SECRET_KEY_FILE=str(tmp_path / "key"), DATABASE_URL_FILE=str(tmp_path / "url"))
    loaded = config.load()
    assert (loaded.secret_key, loaded.database_url) == (SECRET, "postgresql://u:p@h/d")


def test_a_secret_file_that_is_missing_is_a_fault(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong path must not start the service with a fresh key that opens nothing."""
    _set(clean, SECRET_KEY_FILE=str(tmp_path / "nothing"), LOG_FORMAT="xml")
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["IDP_BRIDGE_SECRET_KEY", "IDP_BRIDGE_LOG_FORMAT"]


def test_on_postgresql_the_secret_key_is_required(clean: pytest.MonkeyPatch) -> None:
    """Several machines must share one key, so none of them may invent it."""
    _set(clean, DATABASE_URL="postgresql://u:p@h/d")
    with pytest.raises(ConfigError, match="SECRET_KEY: required on PostgreSQL"):
        config.load()


def test_on_sqlite_the_secret_key_is_made_once_for_its_owner_only(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Kept beside the database with mode 0600, and the same at the next start."""
    first = config.load()
    kept = tmp_path / "var" / "idp-bridge.db.secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(first.secret_key) >= 32
    assert config.load().secret_key == first.secret_key


def test_a_wrong_setting_leaves_no_secret_file_behind(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A start that is refused has written nothing."""
    _set(clean, LOG_FORMAT="xml")
    with pytest.raises(ConfigError):
        config.load()
    assert list(tmp_path.iterdir()) == []


def test_a_dotenv_file_counts_in_development_only(tmp_path: Path) -> None:
    """And the real environment stands above it. In a process of its own: reading the file fills the environment."""
    (tmp_path / ".env").write_text("IDP_BRIDGE_LOG_FORMAT=json\nIDP_BRIDGE_API_RATE=7\n")
    code = (
        "from idp_bridge import config; a = config.load(); b = config.load(dotenv=True); "
        "print(a.log_format, a.api_rate, b.log_format, b.api_rate)"
    )
    root = str(Path(config.__file__).parents[1])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": root, "IDP_BRIDGE_API_RATE": "9"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["console", "9", "json", "9"]


def test_secrets_are_not_printed() -> None:
    """A configuration that ends up in a log tells no key and no password."""
    secrets = {"secret_key": SECRET, "secret_key_previous": SECRET, "metrics_token": "hush"}
    shown = repr(Config(database_url="sqlite:///x", base_url="http://h", smtp_url="smtp://u:hush@h", **secrets))
    assert SECRET not in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///var/x.db", Path("var/x.db")), ("sqlite:////srv/x.db", Path("/srv/x.db")), ("postgresql://h/d", None)],
)
def test_the_path_of_an_sqlite_url(url: str, path: Path | None) -> None:
    """Three slashes and a relative path, or four and an absolute one."""
    assert config.sqlite_path(url) == path
