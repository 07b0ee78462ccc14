"""Who plays in the tests of the domain: accounts, members and directories, made as the product makes them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from idp_bridge import accounts, actors, clock, db, ids, member_lifecycle, member_roles, people, roles
from idp_bridge.actors import Actor
from idp_bridge.models import DirectoryGroup, DirectoryUser, Event, GroupMember, IdentityProvider, Member
from idp_bridge.text import fold
from tests.conftest import World, add_provider
from tests.saml import idp as signing_idp


def open_account(slug: str = "acme", plan: str = "enterprise", *, seats: int | None = None) -> World:
    """An account with its administrator; nobody has a password, since one costs a slow hash."""
    with db.transaction():
        account = accounts.create(name=slug.capitalize(), slug=slug, plan=plan, seats=seats)
        owner = member_lifecycle.create(
            actors.system(account),
            email=f"owner@{slug}.test",
            managed_by="local",
            person=people.create(f"owner@{slug}.test"),
            roles=[roles.ADMIN],
        )
    return World(account=account, owner=owner, api_key="")


def join(world: World, email: str, *role_names: str, **options: Any) -> Member:
    """One more member; a developer unless other roles are named."""
    options = {"managed_by": "local", **options}
    with db.transaction():
        return member_lifecycle.create(world.system, email=email, roles=role_names or roles.DEFAULT, **options)


def acting(world: World, member: Member) -> Actor:
    """The member at work over the API, with what she may do now."""
    held = member_roles.roles_of(world.account, member)
    return Actor(
        account=world.account,
        type="user",
        subject=member.email,
        source="api",
        id=member.id,
        roles=held,
        permissions=roles.permissions_of(world.account.id, held),
    )


def connect(world: World, **options: Any) -> IdentityProvider:
    """An identity provider of the account."""
    return add_provider(world, signing_idp.idp().certificate.pem, **options)


def provisioned(world: World, email: str, **record: Any) -> Member:
    """A member whom the account's directory pushed, with her record."""
    assert world.provider is not None
    member = join(world, email, managed_by="scim", identity_provider=world.provider, role_source="default")
    record_of(world.provider, member, user_name=email, **record)
    return member


def record_of(provider: IdentityProvider, member: Member, *, user_name: str, **columns: Any) -> DirectoryUser:
    """A directory's record with this member behind it."""
    now = clock.now()
    return DirectoryUser.create(
        id=ids.new("du"),
        identity_provider=provider,
        member=member,
        user_name=user_name,
        user_name_key=fold(user_name),
        resource={"userName": user_name, "active": True},
        created_at=now,
        modified_at=now,
        **columns,
    )


def group(provider: IdentityProvider, name: str, members_in: Iterable[Member] = (), **columns: Any) -> DirectoryGroup:
    """A pushed group with those members in it."""
    now = clock.now()
    row = DirectoryGroup.create(
        id=ids.new("grp"),
        identity_provider=provider,
        display_name=name,
        display_name_key=fold(name),
        resource={"displayName": name},
        created_at=now,
        modified_at=now,
        **columns,
    )
    for member in members_in:
        put_in(row, member)
    return row


def put_in(row: DirectoryGroup, member: Member) -> None:
    """The member's record becomes a member of the group."""
    GroupMember.create(group=row, user=DirectoryUser.get(DirectoryUser.member == member))


def take_out(row: DirectoryGroup, member: Member) -> None:
    """The member's record leaves the group."""
    user = DirectoryUser.get(DirectoryUser.member == member)
    assert GroupMember.delete().where(GroupMember.group == row, GroupMember.user == user).execute() == 1


def again(row: Any) -> Any:
    """The row as it is stored now."""
    return type(row).get_by_id(row._pk)


def happened(world: World, *types: str) -> list[Event]:
    """The account's events of those types, oldest first; of every type where none is named."""
    query = Event.select().where(Event.account == world.account).order_by(Event.id)
    return list(query.where(Event.type.in_(types)) if types else query)


def at_once(*works: Callable[[], Any], transaction: Callable[[], Any] = db.transaction) -> list[Any]:
    """Run each in a thread, connection and transaction of its own, all started together; results or what was raised,
    in the order given. ``nullcontext`` is no transaction."""
    start = Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        with db.connection():
            start.wait(timeout=20)
            try:
                with transaction():
                    return work()
            except Exception as error:
                return error
            finally:
                if not db.database.is_closed():
                    db.database.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))
