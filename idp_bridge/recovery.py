"""Recovery codes: an administrator's ten one-time ways in when the identity provider is down or wrongly set up.

They work under enforced single sign-on too; that is what they are for. Shown once, kept as argon2 hashes.
"""

import secrets

from idp_bridge import clock, db, events, members, passwords, sign_in
from idp_bridge.actors import Actor
from idp_bridge.errors import Code, Forbidden
from idp_bridge.events import Type
from idp_bridge.models import Account, Member, RecoveryCode
from idp_bridge.roles import ADMIN
from idp_bridge.sign_in import Outcome, Refused, Situation, State, Way
from idp_bridge.text import fold

NUMBER = 10

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # nothing that reads like something else
_GROUPS, _GROUP = 4, 5  # 20 characters of 31: 99 bits


def make(actor: Actor, member: Member) -> list[str]:
    """Ten new codes for an administrator, shown once; the former ones die. Raises Forbidden for anybody else.

    The first character is the code's place among the ten, so that trying one costs one slow hash, not ten. Called
    outside a transaction: the ten slow hashes come before its own, and SQLite's one write lock does not wait for them.
    """
    if not actor.administrator or actor.id != member.id:
        raise Forbidden("Recovery codes are made by an administrator for herself.", code=Code.ADMINISTRATORS_ONLY)
    codes = [f"{place}{_random()}" for place in range(NUMBER)]
    hashes = [passwords.hash_password(_plain(code)) for code in codes]
    with db.transaction():
        RecoveryCode.delete().where(RecoveryCode.member == member).execute()
        for code_hash in hashes:
            RecoveryCode.create(member=member, code_hash=code_hash)
        events.record(actor, Type.RECOVERY_CODES_CREATED, {"id": member.id, "number": len(codes)})
    return codes


def left(member: Member) -> int:
    """How many of her codes are not used up."""
    return RecoveryCode.select().where(RecoveryCode.member == member, RecoveryCode.used_at.is_null()).count()


def use(email: str, code: str) -> Member:
    """The administrator whose code this is, used up with it. Raises Refused; the same for a wrong code and an unknown
    address, and in about the same time."""
    candidates = _candidates(email, code)
    if not candidates:
        passwords.verify(None, _plain(code))
    found = [(member, row) for member, row in candidates if passwords.verify(row.code_hash, _plain(code))]
    if not found:
        raise Refused(Outcome.NOT_A_MEMBER, email=email)
    member, row = found[0]
    unused = (RecoveryCode.id == row.id) & RecoveryCode.used_at.is_null()
    if not RecoveryCode.update(used_at=clock.now()).where(unused).execute():
        raise Refused(Outcome.NOT_A_MEMBER, email=email)
    state = State.ACTIVE if member.active else State.SUSPENDED
    outcome = sign_in.decide(Situation(way=Way.RECOVERY_CODE, state=state, mode=member.account.sso_mode))
    if outcome is Outcome.ADMIT and ADMIN not in members.roles_of(member.account, member):
        outcome = Outcome.NOT_A_MEMBER
    if outcome is not Outcome.ADMIT:
        raise Refused(outcome, email=email)
    return member


def _candidates(email: str, code: str) -> list[tuple[Member, RecoveryCode]]:
    """The one code at that place of each member with the address, in whatever account."""
    place = _plain(code)[:1]
    if not place.isascii() or not place.isdigit():
        return []
    holders = (
        Member.select(Member, Account)
        .join(Account)
        .where(Member.email_key == fold(email), Member.removed_at.is_null())
        .order_by(Member.id)
    )
    pairs = []
    for member in holders:
        rows = RecoveryCode.select().where(RecoveryCode.member == member).order_by(RecoveryCode.id)
        pairs += [(member, row) for row in list(rows)[int(place) : int(place) + 1] if row.used_at is None]
    return pairs


def _random() -> str:
    parts = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-" + "-".join(parts)


def _plain(code: str) -> str:
    """A code as it is hashed: however it was typed, without hyphens and spaces."""
    return "".join(code.split()).replace("-", "").lower()
