"""Introspection: one statement whose every step is led by an index, however many credentials there are."""

import json
from typing import Any

import pytest

from idp_bridge import clock, credentials, db, ids, introspection, member_roles, operator_keys, roles, ssh_keys
from idp_bridge.introspection import introspect
from idp_bridge.models import Member, RoleMapping
from tests.bench import introspection as crowd
from tests.bench.statements import recorded
from tests.conftest import World
from tests.domain import cast

NUMBER = 3000
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2gWYKeLJKPOJ7CKmXk0mP0XJmQ0PtwUkTFz0pXW9hN"


def _issue(world: World, owner: Any, kind: credentials.Kind = credentials.AUTHTOKEN, **options: Any) -> str:
    with db.transaction():
        issued = credentials.issue(world.system, kind, owner, **options)
    return issued.token or SSH_KEY


def _steps(sql: str, parameters: Any) -> list[str]:
    """What of a statement's plan reads a table without an index, or many rows of one."""
    if not db.database.for_update:
        rows = db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        return [step for *_, step in rows if step.startswith("SCAN") and step != "SCAN gathered"]
    ((plan,),) = db.database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters).fetchall()
    nodes, found = [json.loads(plan)[0]["Plan"]], []
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", ())
        seen = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        found += [f"{node['Node Type']}: {seen} rows"] * (seen > 20)
    return found


@pytest.mark.parametrize("analyzed", [True, False], ids=["with statistics", "without"])
def test_every_lookup_is_led_by_an_index(sso: World, analyzed: bool) -> None:
    """Of a caller's key, of a secret and of a fingerprint; PostgreSQL's statistics or none."""
    shown = crowd.fill(sso, NUMBER, each=1)
    _issue(sso, sso.owner, credentials.SSH_PUBLIC_KEY, public_key=SSH_KEY)
    api_key = _issue(sso, sso.owner, credentials.API_KEY)
    with db.transaction():
        operator = operator_keys.issue("edge").token
    if db.database.for_update and not analyzed:
        db.database.execute_sql(
            "DELETE FROM pg_statistic WHERE starelid IN"
            " (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
        )
    introspection._BY_DIGEST._composed = introspection._BY_FINGERPRINT._composed = None
    lookups = {
        "secret": lambda: introspect(shown[0], account=None, address=None),
        "SSH key": lambda: introspect(SSH_KEY, account=None, address=None),
        "API key": lambda: credentials.find(credentials.API_KEY, api_key),
        "operator key": lambda: operator_keys.find(operator),
    }
    for name, look in lookups.items():
        with _sent() as sent:
            assert look()
        assert len(sent) == 1, name
        assert _steps(*sent[0]) == [], name


class _sent:
    """The statements sent meanwhile, with their parameters."""

    def __enter__(self) -> list[tuple[str, Any]]:
        self._real, self._seen = db.database.obj, []
        self._run = self._real.execute_sql

        def run(sql: str, parameters: Any = None) -> Any:
            self._seen.append((sql, parameters))
            return self._run(sql, parameters)

        self._real.execute_sql = run
        return self._seen

    def __exit__(self, *_: object) -> None:
        del self._real.execute_sql


def test_roles_are_those_of_roles_of(sso: World) -> None:
    """By hand, by a group, both, none, and of a plan without roles: the two ways to read them agree."""
    assert sso.provider is not None
    pushed = cast.provisioned(sso, "pushed@acme.test")
    group = cast.group(sso.provider, "Admins", [pushed])
    for role in ("billing", roles.ADMIN, "developer"):
        RoleMapping.create(
            id=ids.new("map"),
            identity_provider=sso.provider,
            group=group,
            group_display_name="Admins",
            group_key="admins",
            role=role,
            created_at=clock.now(),
        )
    members = [sso.owner, pushed, cast.join(sso, "two@acme.test", "viewer", "billing")]
    free = cast.open_account("free", plan="free")
    for world, member in [(sso, member) for member in members] + [(free, free.owner)]:
        _agree(world, member)


def _agree(world: World, member: Member) -> None:
    token = _issue(world, member)
    found = introspect(token, account=world.account, address=None)
    assert found is not None
    assert found.roles == member_roles.roles_of(world.account, member), member.email


def test_nothing_is_asked_of_the_database_for_what_has_not_the_form(acme: World) -> None:
    """A mistyped secret, another kind of it, a line that is no key."""
    token = _issue(acme, acme.owner)
    with recorded(db.database.obj) as statements:
        for text in (token[:-1], token + "x", "hello", "SHA256:short", "ssh-ed25519", ""):
            assert introspect(text, account=None, address=None) is None
    assert statements == []
    assert ssh_keys.fingerprint_of(token) is None
