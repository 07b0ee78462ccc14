"""The set-up guide: one step for each screen of the provider, then ours, for whoever comes through either door.

An administrator comes through the pages of her account (set_up.py), somebody without one by a link that she was given
(set_up_by_link.py). The steps are the same; what an administrator decides alone is hers: who may join, what a test says
of members, and enabling.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import request
from marshmallow import validate

from idp_bridge import (
    clock,
    connection_warnings,
    flow_history,
    idps,
    ids,
    metadata_refresh,
    providers,
    scim_tokens,
    seats,
    sign_in_flows,
)
from idp_bridge.actors import Actor
from idp_bridge.errors import Conflict, Invalid, NotFound
from idp_bridge.models import IdentityProvider, ScimToken, SignInFlow
from idp_bridge.providers import set_up_guides
from idp_bridge.providers.set_up_guides import DONE, METADATA, TEST, Guide, Step
from idp_bridge.web import forms
from idp_bridge.web.dashboard.connection import urls
from idp_bridge.web.dashboard.sign_in_flows import begin_test, told_of
from idp_bridge.web.dashboard.trust import TrustForm, read_trust, their_certificates

#: How long a page looks for the result of a test by itself: as long as the test may take.
WATCHED_FOR = sign_in_flows.REQUEST_LIFETIME


class MetadataForm(TrustForm):
    """The provider's metadata in one of its ways."""

    metadata_url = forms.Text(longest=2048, load_default="")


class JoiningForm(forms.Form):
    """Who may come in, and as what."""

    description = forms.Text(load_default="")
    join_policy = forms.Text(required=True, validate=validate.OneOf(["jit", "invite_only"]))
    domains = forms.Words(load_default=list)
    default_roles = forms.Several()
    allow_idp_initiated = forms.Checkbox()


@dataclass(frozen=True)
class Door:
    """Through which pages somebody comes. ``to``: the address of one of them; ``hidden``: steps that are not hers."""

    to: Callable[..., str]
    by_link: bool = False
    hidden: frozenset[str] = frozenset()


def guide_of(provider: IdentityProvider) -> Guide:
    """The guide of its product."""
    return set_up_guides.catalogue()[idps.kind_of(provider)]


def steps(door: Door, provider: IdentityProvider) -> list[Step]:
    """Those of the guide that lie behind this door."""
    return [step for step in guide_of(provider).steps if step.name not in door.hidden]


def left_at(door: Door, provider: IdentityProvider) -> str:
    """The step at which the set-up goes on; its end where it is over."""
    names = [step.name for step in steps(door, provider)]
    return provider.set_up_step if provider.set_up_step in names else names[_reached(door, provider)]


def _reached(door: Door, provider: IdentityProvider) -> int:
    """How many steps are behind: all of them where the set-up is over."""
    every = [step.name for step in guide_of(provider).steps]
    here = [step.name for step in steps(door, provider)]
    at = every.index(provider.set_up_step) if provider.set_up_step in every else len(every) - 1
    return min(sum(every.index(name) < at for name in here), len(here) - 1)


def next_of(door: Door, provider: IdentityProvider, step: str) -> str:
    """The step after this one. Raises NotFound."""
    names = [one.name for one in steps(door, provider)]
    return names[min(_place(names, step) + 1, len(names) - 1)]


def _place(names: Sequence[str], step: str) -> int:
    if step not in names:
        raise NotFound(f"The set-up has no step {step}.")
    return names.index(step)


# --- a page -----------------------------------------------------------------------------------------------------


def context(door: Door, provider: IdentityProvider, step: str) -> dict[str, Any]:
    """What the page of a step shows. Raises NotFound."""
    every, kind = steps(door, provider), idps.kind_of(provider)
    place = _place([one.name for one in every], step)
    guide = set_up_guides.catalogue()[kind]
    return {
        "provider": provider,
        "state": idps.state(provider).value,
        "kind": kind,
        "words": providers.catalogue()[kind],
        "theirs": providers.catalogue()[kind].title if kind != providers.OTHER else "the provider",
        "urls": urls(provider),
        "to": door.to,
        "by_link": door.by_link,
        "steps": every,
        "place": place,
        "behind": _reached(door, provider),
        "step": every[place],
        "following": every[place + 1] if place + 1 < len(every) else None,
        "screen": guide.screen(step),
        "guide": guide,
        "claims": set_up_guides.CLAIMS,
        **_PARTS.get(step, _nothing)(door, provider),
    }


def _nothing(door: Door, provider: IdentityProvider) -> dict[str, Any]:
    return {}


def _metadata(door: Door, provider: IdentityProvider) -> dict[str, Any]:
    return {
        "certificates": their_certificates(provider),
        "cautions": [] if idps.is_draft(provider) else cautions(provider),
        "refresh_hours": int(metadata_refresh.EVERY.total_seconds() // 3600),
    }


def cautions(provider: IdentityProvider) -> list[str]:
    """What to look at in the metadata that was given, before anybody signs in by it."""
    said = [warned.message for warned in connection_warnings.of_provider(provider)]
    looks_like = providers.recognise(name="", entity_id=provider.entity_id, sso_url=provider.sso_url)
    known = providers.catalogue()
    if looks_like not in (providers.OTHER, idps.kind_of(provider)):
        said.append(
            f"This looks like the metadata of {known[looks_like].title}, and the connection is set up as "
            f"{known[idps.kind_of(provider)].title}. Is it the right one?"
        )
    same = (IdentityProvider.entity_id == provider.entity_id) & (IdentityProvider.id != provider.id)
    for other in idps.of_account(provider.account).where(same):
        said.append(
            f"{other.name} has the same entity ID. Two connections to one application are rarely meant: most providers "
            "give each application an entity ID of its own."
        )
    return said


def _test(door: Door, provider: IdentityProvider) -> dict[str, Any]:
    """The newest test. Through a link only those that were begun through one are seen, and what we know of members is
    not told: whoever runs the provider could ask it of every address."""
    flow = newest_test(door, provider)
    told = told_of(provider, flow) if flow else {"flow": None, "outcome": None, "by_decision": False}
    if door.by_link:
        told = {**told, "member": None, "decision": None, "refusal_words": ""}
    return {**told, "is_test": True, "seen": _mark(flow), "until": int((clock.now() + WATCHED_FOR).timestamp())}


def newest_test(door: Door, provider: IdentityProvider) -> SignInFlow | None:
    """The newest test that may be seen through this door."""
    tests = flow_history.of_provider(provider, kind=sign_in_flows.TEST)
    if door.by_link:
        tests = tests.where(SignInFlow.next_path == _ends(door))
    found: SignInFlow | None = tests.order_by(SignInFlow.id.desc()).first()
    return found


def _mark(flow: SignInFlow | None) -> str:
    """What was seen of the newest test: another answer is wanted only where this has changed."""
    return f"{flow.id}-{flow_history.outcome(flow)}" if flow else "none"


def _done(door: Door, provider: IdentityProvider) -> dict[str, Any]:
    return {
        "tested": is_tested(door, provider),
        "certificates": their_certificates(provider),
        "looked_at": idps.looked_at(provider),
        "tokens": list(scim_tokens.of_provider(provider).order_by(ScimToken.id)),
    }


def is_tested(door: Door, provider: IdentityProvider) -> bool:
    """Whether a test has passed, or got as far as who may come in, since the connection was last changed."""
    flow = newest_test(door, provider)
    if flow is None or flow.finished_at is None or flow.started_at < provider.changed_at:
        return False
    return flow.reason is None or flow_history.side(flow.reason) == "administrator"


_PARTS: dict[str, Callable[[Door, IdentityProvider], dict[str, Any]]] = {METADATA: _metadata, TEST: _test, DONE: _done}


# --- what is done on one ----------------------------------------------------------------------------------------


def go_on(door: Door, provider: IdentityProvider, step: str) -> str:
    """On to the next step, and back to the furthest one whenever somebody comes again; which one it is."""
    following = next_of(door, provider, step)
    names = [one.name for one in guide_of(provider).steps]
    if provider.set_up_step not in names or names.index(following) > names.index(provider.set_up_step):
        idps.note_step(provider, following)
    return following


def take_metadata(
    acting: Callable[[], Actor],
    find: Callable[[], IdentityProvider],
    writing: Callable[[], AbstractContextManager[None]],
) -> None:
    """Trust what the form brings, of a connection that is not in use yet. May fetch, so it is called outside a
    transaction and opens one by ``writing``; who acts, and for which connection, is asked again within. Raises Invalid,
    Conflict, and what these raise."""
    form, before = forms.read(MetadataForm), find()
    _check_not_in_use(before)
    _check_one_way(form)
    trust = read_trust(form, allow_weak=before.allow_weak_signatures)
    with writing():
        seats.lock_anew(before.account, before)
        provider = find()  # as it is, now that nobody else changes or enables it
        _check_not_in_use(provider)
        idps.change(acting(), provider, trust=trust, metadata_url=form["metadata_url"] or None)


def _check_one_way(form: dict[str, Any]) -> None:
    """Two documents could contradict each other, and only one would be read."""
    upload = request.files.get("metadata_file")
    ways = [name for name in ("metadata_url", "metadata_xml") if form[name]]
    if len(ways) + bool(upload and upload.filename) > 1:
        words = "Give the metadata in one way only: by its URL, as a file, or pasted."
        raise Invalid(words, fields={name: [words] for name in ways[:1]})


def _check_not_in_use(provider: IdentityProvider) -> None:
    if provider.enabled:
        raise Conflict("This connection is in use. Change what is trusted on its page Metadata and certificates.")


def take_joining(actor: Actor, provider: IdentityProvider) -> None:
    """Who may join, as the form says."""
    idps.change(actor, provider, **forms.read(JoiningForm))


def test(door: Door, provider: IdentityProvider) -> str:
    """Begin a test that ends on this guide; where the browser goes. Raises Conflict for a draft."""
    return begin_test(provider, ids.new("flow"), ends=_ends(door))


def _ends(door: Door) -> str:
    return door.to("set_up_step", step=TEST)


def watched(door: Door, provider: IdentityProvider) -> dict[str, Any] | None:
    """The result of the newest test for a page that waits for it; None where it is what the page shows already. Past
    ``until`` the page is told to stop looking, or it would keep a session that nobody uses."""
    until = request.args.get("until", "")
    over = not (until.isascii() and until.isdigit()) or int(until[:12]) <= clock.now().timestamp()
    found = {**context(door, provider, TEST), "over": over}
    if not over:
        latest = (clock.now() + WATCHED_FOR + timedelta(seconds=1)).timestamp()
        found["until"] = int(min(int(until[:12]), latest))
    return None if not over and found["seen"] == request.args.get("seen") else found
