"""The wire form of a record as text, spliced around the text that is stored: what is answered whole is not parsed,
copied and written again. ``scim.resource.render`` makes the same of dicts."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from idp_bridge import clock
from idp_bridge.db import encode
from scim.paging import Cursors, Page, list_response
from scim.schemas import ResourceType

#: (id, stored resource, meta, text of the list that is rows of another table or None) -> the wire form.
Splice = Callable[[str, str, str, str | None], str]


@lru_cache(maxsize=64)
def splicing(resource_type: ResourceType, lists: str) -> Splice:
    """How records of a type become wire forms; ``lists`` names the attribute that is not in the stored resource.

    An extension is present where its URN is a key. Inside a string that text cannot be: a quote is escaped there.
    """
    core = encode(resource_type.schema.id)
    extensions = [(f"{encode(extension.id)}:", f",{encode(extension.id)}") for extension in resource_type.extensions]

    def splice(id: str, stored: str, meta: str, listed: str | None) -> str:
        present = "".join([named for key, named in extensions if key in stored])
        list_ = f',"{lists}":{listed}' if listed else ""
        return f'{{"schemas":[{core}{present}],"id":"{id}",{stored[1:-1]}{list_},"meta":{meta}}}'

    return splice


@lru_cache(maxsize=64)
def meta_text(resource_type: ResourceType, base: str) -> Callable[[str, str | datetime, str | datetime, str], str]:
    """How (id, created, last modified, entity tag) become a ``meta``; what ``scim.meta.meta_block`` makes of them.

    Our ids are letters, digits and underscores, so that neither a URL nor JSON escapes anything of them.
    """
    begin = f'{{"resourceType":{encode(resource_type.name)},"created":"'
    location = encode(f"{base.rstrip('/')}{resource_type.endpoint}/")[:-1]

    def meta(id: str, created: str | datetime, modified: str | datetime, tag: str) -> str:
        times = f'{_milliseconds(created)}","lastModified":"{_milliseconds(modified)}'
        return f'{begin}{times}","location":{location}{id}","version":{encode(tag)}}}'

    return meta


def list_text(resources: Sequence[str], *, total: int, page: Page | Cursors) -> str:
    """A ListResponse of wire forms."""
    envelope = list_response([], total=total, page=page) | {"itemsPerPage": len(resources)}
    return f"{encode(envelope)[:-2]}{','.join(resources)}]}}"


def _milliseconds(instant: str | datetime) -> str:
    text = instant if isinstance(instant, str) else clock.rfc3339(instant)
    return f"{text[:23]}Z"
