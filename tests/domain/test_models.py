"""The tables: what hangs on what."""

from datetime import timedelta

from idp_bridge import (
    bots,
    clock,
    credentials,
    db,
    event_sealing,
    groups,
    identity_conflicts,
    invitations,
    models,
    people,
    schema_extensions,
    sessions,
    sp_keys,
)
from idp_bridge.identity_conflicts import Case, Kind
from idp_bridge.models import (
    Account,
    CertificateNotice,
    Credential,
    CredentialUse,
    DirectoryEmail,
    DirectorySpan,
    DirectoryUser,
    Event,
    EventSeal,
    IdempotentAnswer,
    IdentityProvider,
    Mail,
    Member,
    Receipt,
    ReceivedLogout,
    RecoveryCode,
    Role,
    SamlMessage,
    ScimRequest,
    SentLogout,
    SetUpLink,
    SignInFlow,
    UsageMonth,
    UsageReport,
    UsageTotal,
    UsedAssertion,
    Webhook,
    WebhookDelivery,
)
from scim.attributes import Attribute
from tests.conftest import World
from tests.domain import cast
from tests.domain.test_sign_in import come, said


def _fill(world: World) -> None:
    """A row in every table that hangs on an account."""
    provider, soon = world.provider, clock.now() + timedelta(hours=1)
    assert provider is not None
    pushed = cast.provisioned(world, "a@acme.test")
    row = cast.group(provider, "One", [pushed])
    come(world, said("jit@acme.test"))
    with db.transaction():
        groups.map_role(world.system, provider, role="viewer", group_id=row.id)
        credentials.issue(world.system, credentials.API_KEY, bots.create(world.system, "deployer"))
        invitations.create(world.system, "new@acme.test")
        people.one_time_link(world.owner.person, world.account, people.BREAK_GLASS)
        sessions.open_session(world.owner, method="saml", identity_provider_id=provider.id)
        RecoveryCode.create(member=world.owner, code_hash="x")
        Role.create(id="role_1", account=world.account, name="r", name_key="r", permissions=[], created_at=clock.now())
        sp_keys.signing(provider)
        SignInFlow.create(id="flow_1", identity_provider=provider, kind="test", started_at=soon, expires_at=soon)
        SamlMessage.create(identity_provider=provider, flow_id="flow_1", direction="request", at=soon, xml=b"")
        UsedAssertion.create(identity_provider=provider, assertion_id="_2", expires_at=soon)
        SetUpLink.create(
            id="sul_1", identity_provider=provider, made_by=world.owner, digest="x", created_at=soon, expires_at=soon
        )
        SentLogout.create(id="_3", identity_provider=provider, browser_digest="", expires_at=soon)
        ReceivedLogout.create(
            **dict.fromkeys(("request_id", "name_id"), "x"),
            identity_provider=provider,
            session_indexes=[],
            issued_at=soon,
            expires_at=soon,
        )
        CertificateNotice.create(identity_provider=provider, fingerprint_sha256="x", days=7, noticed_at=soon)
        schema_extensions.create(
            world.system, urn="urn:acme:User", name="Acme", resource_type="User", attributes=[Attribute("badge")]
        )
        identity_conflicts.note(world.system, provider, Case(Kind.LOOK_ALIKE, "a@acme.test", name_id="x"))
        CredentialUse.create(credential=Credential.get(), day="2026-11-25", number=1)
        Mail.create(
            id="mail_1", account=world.account, kind="x", recipient="x", due_at=soon, expires_at=soon, created_at=soon
        )
        used = {"account": world.account, "metric": "sessions", "amount": 1}
        UsageTotal.create(**used, day="2026-11-25", owner_id="x")
        UsageMonth.create(**used, month="2026-11")
        UsageReport.create(**used, key="x", owner_id="x", day="2026-11-25", dated=False, created_at=soon)
        IdempotentAnswer.create(id="x", account=world.account, said="x", expires_at=soon)
        event = Event.get()
        EventSeal.create(account=world.account, number=1, events=[], previous="", digest="x", mac="x", sealed_at=soon)
        Receipt.create(event=event, due_at=soon)
        webhook = Webhook.create(
            id="wh_1", account=world.account, url="x", events=[], secret="x", busy_until=soon, created_at=soon
        )
        WebhookDelivery.create(id="whd_1", webhook=webhook, event=event, due_at=soon, expires_at=soon, created_at=soon)
        DirectoryEmail.create(identity_provider=provider, value_key="a@acme.test", user=DirectoryUser.get())
        DirectorySpan.create(identity_provider=provider, first_id="", number=1)
        ScimRequest.create(
            **dict.fromkeys(("token_id", "method", "path", "query", "user_agent"), ""),
            identity_provider=provider,
            id="sr_1",
            timestamp=soon,
            status=200,
            microseconds=1,
        )


def _filled() -> set[str]:
    return {model.__name__ for model in models.ALL if model.select().exists()}


def test_deleting_an_account_deletes_all_that_hangs_on_it(sso: World) -> None:
    """Nothing of a former customer is left but people, who may be members elsewhere."""
    _fill(sso)
    of_the_service = {"OperatorKey", "RateCount", "JobRun", "PasswordReset"}
    assert {model.__name__ for model in models.ALL} - _filled() == of_the_service
    with db.transaction():
        Account.delete().where(Account.id == sso.account.id).execute()
    event_sealing.seal(clock.now())  # what waits for the chain is only noted, by id
    assert _filled() == {"Person"}


def test_deleting_a_member_leaves_the_directorys_record(sso: World) -> None:
    """It is the directory's; without a member behind it, it opens nothing."""
    member = cast.provisioned(sso, "a@acme.test")
    with db.transaction():
        member.delete_instance()
    assert models.DirectoryUser.get().member_id is None


def test_rows_of_one_kind_sort_by_creation(acme: World) -> None:
    """Lists are paged by id."""
    made = [cast.join(acme, f"m{number}@acme.test").id for number in range(5)]
    assert db.column(Member.select(Member.id).where(Member.id != acme.owner.id).order_by(Member.id)) == made


def test_json_comes_back_as_it_was_given(sso: World) -> None:
    """As text on SQLite and jsonb on PostgreSQL: equal, whatever the letters."""
    value = {"z": ["ä", "\N{KEY}"], "a": {"b": None, "c": 1.5}}
    IdentityProvider.update(attribute_mapping=value).execute()
    assert IdentityProvider.get().attribute_mapping == value
