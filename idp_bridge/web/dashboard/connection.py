"""What the pages of one connection share: which provider it is, the words of its screens, and the values to copy."""

from typing import Any

from flask import Response, request

from idp_bridge import connection_warnings, idps, providers
from idp_bridge.models import IdentityProvider
from idp_bridge.web.dashboard.page import render
from idp_bridge.web.guard import base_url


def kind_of(provider: IdentityProvider) -> str:
    """Whose words to use: those that were chosen (?kind=), those of the product that it was set up as, else of the one
    that it looks like."""
    wanted = request.args.get("kind", "")
    if wanted in providers.catalogue():
        return wanted
    return idps.kind_of(provider)


def urls(provider: IdentityProvider) -> dict[str, str]:
    """Our values for this connection."""
    return idps.urls(provider.id, base_url())


def show(template: str, provider: IdentityProvider, *, status: int = 200, **context: Any) -> Response:
    """One of its pages."""
    kind = kind_of(provider)
    known = providers.catalogue()
    return render(
        template,
        status=status,
        provider=provider,
        kind=kind,
        kinds=known,
        words=known[kind],
        urls=urls(provider),
        state=idps.state(provider).value,
        under_enforcement=connection_warnings.under_enforcement(provider),
        **context,
    )
