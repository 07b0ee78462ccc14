"""The `meta` attribute (RFC 7643 §3.1) and conditional requests by ETag (RFC 7644 §3.14)."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from scim.errors import PreconditionFailed
from scim.schemas import ResourceType

_ENTITY_TAG = re.compile(r'(?:[Ww]/)?"([^"]*)"')


def meta_block(
    resource_type: ResourceType,
    id: str,
    *,
    created: datetime | str,
    last_modified: datetime | str,
    version: str | int,
    base: str,
    beside: str = "",
) -> dict[str, Any]:
    """The `meta` of a resource; `version` is what changes with each change of it, `base` the SCIM base URL. The rest of
    its entity tag is `etag`'s to explain."""
    return {
        "resourceType": resource_type.name,
        "created": _timestamp(created),
        "lastModified": _timestamp(last_modified),
        "location": location(resource_type, id, base=base),
        "version": etag(version, beside),
    }


def location(resource_type: ResourceType, id: str, *, base: str) -> str:
    """The URI of a resource: `meta.location` and the Location header."""
    return f"{base.rstrip('/')}{resource_type.endpoint}/{quote(id, safe='')}"


def etag(version: str | int, beside: str = "") -> str:
    """A weak entity tag: the same resource may be written in more than one way.

    `beside` stands for what the answer shows of other resources, such as a user's groups, and changes with that. A
    client cannot write it through this resource, so that If-Match does not look at it. A version has no hyphen.
    """
    return f'W/"{version}-{beside}"' if beside else f'W/"{version}"'


def check_if_match(header: str | None, current: str) -> None:
    """If-Match: PreconditionFailed unless the header is absent, `*`, or names the current version.

    Compared weakly, although RFC 9110 §13.1.1 wants If-Match strong: RFC 7644 §3.14 sends weak tags in it.
    """
    if header is None or header.strip() == "*":
        return
    version, *named = (tag.partition("-")[0] for tag in [*_opaque(current), *_opaque(header)])
    if version not in named:
        raise PreconditionFailed("The resource has changed since it was read; read it again and repeat.")


def not_modified(if_none_match: str | None, current: str) -> bool:
    """If-None-Match on GET: whether 304 is the answer, since the client has all that would be shown."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or _opaque(current)[0] in _opaque(if_none_match)


def _opaque(tags: str) -> list[str]:
    return _ENTITY_TAG.findall(tags)


def _timestamp(moment: datetime | str) -> str:
    """RFC 3339 in UTC with `Z`, to the millisecond."""
    if isinstance(moment, str):
        return moment
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
