"""The one-time ways in when the identity provider is down or wrongly set up: an administrator's ten recovery codes,
and the break-glass link that the operator makes.

They work under enforced single sign-on too; that is what they are for. Codes are shown once and kept as argon2 hashes.
Whether she is an administrator still is asked when she comes. Each use is an event, and all administrators are told.
"""

import secrets
from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

from idp_bridge import clock, db, events, member_roles, members, notices, passwords, people, sign_in
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Conflict, Forbidden, NotFound
from idp_bridge.events import Type
from idp_bridge.models import Account, Member, OneTimeLink, RecoveryCode
from idp_bridge.notices import Notice
from idp_bridge.sign_in import Outcome, Refused, Way
from idp_bridge.text import fold

NUMBER = 10

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that reads like something else
_GROUPS, _GROUP = 4, 5  # 20 characters of 31: 99 bits
_SALT = b"recovery codes"  # one for all, so that one computation tries whosever they are; chance they have enough of


def make(actor: Actor, member: Member) -> list[str]:
    """Ten new codes for an administrator, shown once; the former ones die. Raises Forbidden for anybody else.

    The first character is the code's place among the ten, so that trying one costs one slow hash, not ten. Called
    outside a transaction: the ten slow hashes come before its own, and SQLite's one write lock does not wait for them.
    """
    hashes = hashed_codes(actor, member)
    with db.transaction():
        return replace_by(actor, member, hashes)


def hashed_codes(actor: Actor, member: Member) -> dict[str, str]:
    """The slow part of ``make``: new codes, each with its hash."""
    _check_for_herself(actor, member)
    codes = [f"{place}{_random()}" for place in range(NUMBER)]
    return {code: passwords.hash_password(_plain(code), salt=_SALT) for code in codes}


def replace_by(actor: Actor, member: Member, hashes: Mapping[str, str]) -> list[str]:
    """The rest of it, in the caller's transaction, by who she is in it: these codes, in place of the former."""
    _check_for_herself(actor, member)
    RecoveryCode.delete().where(RecoveryCode.member == member).execute()
    for code_hash in hashes.values():
        RecoveryCode.create(member=member, code_hash=code_hash)
    events.record(actor, Type.RECOVERY_CODES_CREATED, {"id": member.id, "number": len(hashes)})
    return list(hashes)


def _check_for_herself(actor: Actor, member: Member) -> None:
    if not actor.administrator or actor.id != member.id:
        raise Forbidden("Recovery codes are made by an administrator for herself.", code=Code.ADMINISTRATORS_ONLY)


def left(member: Member) -> int:
    """How many of her codes are not used up."""
    return RecoveryCode.select().where(RecoveryCode.member == member, RecoveryCode.used_at.is_null()).count()


def find(email: str, code: str) -> RecoveryCode:
    """The code, if it is one that an administrator with this address has left. Raises Refused; the same for a wrong
    code and an unknown address, and in about the same time. Called outside a transaction, as ``make`` is."""
    candidates = _candidates(email, code)
    right = passwords.which([row.code_hash for row in candidates], _plain(code))
    for row, hers in zip(candidates, right, strict=True):
        if hers:
            return row
    raise Refused(Outcome.NOT_A_MEMBER, email=email)


def use(found: RecoveryCode, email: str) -> Member:
    """Use the code up, and let its holder in. Of several at once, one succeeds. Raises Refused."""
    unused = (RecoveryCode.id == found.id) & RecoveryCode.used_at.is_null()
    if not RecoveryCode.update(used_at=clock.now()).where(unused).execute():
        raise Refused(Outcome.NOT_A_MEMBER, email=email)
    member: Member = Member.select(Member, Account).join(Account).where(Member.id == found.member_id).get()
    sign_in.check_member(member, Way.RECOVERY_CODE, email=email)
    return member


def make_break_glass(actor: Actor, email: str) -> str:
    """The secret of a link that signs an active administrator in, once. Raises NotFound, Conflict."""
    member = _administrator(actor.account, email)
    token = people.one_time_link(member.person, actor.account, people.BREAK_GLASS)
    events.record(actor, Type.BREAK_GLASS_CREATED, {"id": member.id, "email": email})
    return token


def _administrator(account: Account, email: str) -> Member:
    found = members.with_address(account, email)
    if not found:
        raise NotFound(f"{email} is not a member of {account.slug}.")
    active = member_roles.administrators(account)
    for member in found:
        if member.id in active:
            return member
    raise Conflict(f"{email} is not an active administrator of {account.slug}.")


def use_break_glass(token: str) -> Member:
    """Use the link up, and let its holder in: an administrator still. Raises Gone, Refused."""
    member = holder(people.use(token, people.BREAK_GLASS))
    sign_in.check_member(member, Way.BREAK_GLASS, email=member.email)
    return member


def holder(link: OneTimeLink) -> Member:
    """Whom a one-time link is for: a member, or one whom her directory has deleted lately. Raises Refused where she is
    neither."""
    hers = (Member.person == link.person_id) & (Member.account == link.account_id)
    found = Member.select(Member, Account).join(Account).where(hers, members.remembered())
    member: Member | None = found.order_by(Member.removed_at.asc(nulls="first")).first()
    if member is None:
        raise Refused(Outcome.NOT_A_MEMBER)
    return member


def note_use(actor: Actor, member: Member, way: Way) -> None:
    """The event of her coming in this way, and the mail to all administrators, in the caller's transaction."""
    codes = {"left": left(member)} if way is Way.RECOVERY_CODE else {}
    type, notice = _USED[way]
    events.record(actor, type, {"id": member.id, "email": member.email, **codes})
    notices.to_administrators(actor.account, notice, member=member.email, **codes)


_USED = {
    Way.RECOVERY_CODE: (Type.RECOVERY_CODE_USED, Notice.RECOVERY_CODE_USED),
    Way.BREAK_GLASS: (Type.BREAK_GLASS_USED, Notice.BREAK_GLASS_USED),
}


def has_address(email: str) -> Any:
    """The condition on a member to be meant by an address: the one her account knows, or her own, which no directory
    that is wrongly set up can change."""
    return (Member.email_key == fold(email)) | Member.person.in_(people.with_address(email))


def _candidates(email: str, code: str) -> list[RecoveryCode]:
    """The one code at that place of each holder with the address, in whatever account; also of one whom her directory
    has deleted lately, who is told so."""
    place = _plain(code)[:1]
    if not place.isascii() or not place.isdigit():
        return []
    rows = (
        RecoveryCode.select()
        .join(Member)
        .where(has_address(email), members.remembered())
        .order_by(RecoveryCode.member, RecoveryCode.id)
    )
    places = (list(codes)[int(place) : int(place) + 1] for _, codes in groupby(rows, attrgetter("member_id")))
    return [row for codes in places for row in codes if row.used_at is None]


def _random() -> str:
    parts = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-" + "-".join(parts)


def _plain(code: str) -> str:
    """A code as it is hashed: however it was typed, without hyphens and spaces."""
    return "".join(code.split()).replace("-", "").lower()
