"""scim2-models' opinion: another reading of the RFCs, by other people.

Its models are built from our own /Schemas, so that it knows our attributes and their traits (and /Schemas must be good
enough to build a client from). It is asked under the policy that comes nearest to what we accept from providers.
"""

from functools import cache
from typing import Any, Union

from pydantic import ValidationError
from scim2_models import Context, Extension, PatchOp, Resource, ScimFilter, ScimPolicy
from scim2_models import Schema as SchemaDocument
from scim2_models.exceptions import SCIMException

from scim.schemas import PATCH_URN, USER_URN, schemas_list
from tests.fuzz.resources import CATALOGUE, EXTENSIONS

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)


class Refused(Exception):
    """It does not accept what we asked about."""


@cache
def user_model() -> Any:
    """User with the extensions, as /Schemas describes them."""
    listed = schemas_list("http://localhost/scim/v2", CATALOGUE)["Resources"]
    documents = {document["id"]: SchemaDocument.model_validate(document) for document in listed}
    extensions = [Extension.from_schema(documents[schema.id]) for schema in EXTENSIONS]
    return Resource.from_schema(documents[USER_URN])[Union[tuple(extensions)]]  # type: ignore[index]  # noqa: UP007


def user(wire: dict[str, Any]) -> Any:
    """A User as it reads it."""
    return user_model().model_validate(wire, scim_policy=POLICY)


def matches(text: str, resource: Any) -> bool:
    """Whether the filter matches. Raises Refused."""
    with POLICY:
        try:
            return bool(ScimFilter[user_model()](text).match(resource, strict=True))
        except (SCIMException, ValidationError, TypeError) as error:
            raise Refused(str(error)) from error


def patched(wire: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The User after the operations. Raises Refused."""
    body = {"schemas": [PATCH_URN], "Operations": operations}
    with POLICY:
        resource = user(wire)
        try:
            PatchOp[user_model()].model_validate(body, scim_ctx=Context.RESOURCE_PATCH_REQUEST).patch(resource)
        except (SCIMException, ValidationError) as error:
            raise Refused(str(error)) from error
        return dict(resource.model_dump())
