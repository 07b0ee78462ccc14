"""Groups that directories push, and the role mappings that hang on them. Nothing is saved that was not previewed."""

from collections.abc import Callable
from typing import Any

from flask import request
from peewee import fn

from idp_bridge import groups, idps
from idp_bridge.errors import Invalid
from idp_bridge.models import DirectoryGroup, IdentityProvider, RoleMapping
from idp_bridge.roles import Permission
from idp_bridge.text import fold
from idp_bridge.web import forms
from idp_bridge.web.dashboard.members import role_names
from idp_bridge.web.dashboard.page import blueprint, done, refused_on, render
from idp_bridge.web.dashboard.preview import of_group, preview
from idp_bridge.web.guard import actor, guard


class MappingForm(forms.Form):
    """A new mapping, its group by name: one that is not pushed yet may be named too."""

    identity_provider_id = forms.Text(required=True)
    group_display_name = forms.Text(required=True)
    role = forms.Text(required=True)


class RoleForm(forms.Form):
    """Another role for a mapping."""

    role = forms.Text(required=True)


@blueprint.get("/groups", endpoint="groups")
@guard(Permission.GROUPS_READ)
def groups_list() -> Any:
    """The groups, what each gives, and the mappings."""
    account = actor().account
    rows = list(groups.of_account(account).order_by(fn.LOWER(DirectoryGroup.display_name), DirectoryGroup.id))
    mappings = list(groups.mappings(account).order_by(RoleMapping.group_key, RoleMapping.role))
    return render(
        "groups.html",
        groups=rows,
        mappings=mappings,
        roles_by_group=_roles_by_group(mappings),
        providers={provider.id: provider for provider in idps.of_account(account).order_by(IdentityProvider.id)},
        role_names=role_names(account),
    )


def _roles_by_group(mappings: list[RoleMapping]) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for mapping in mappings:
        if mapping.group_id:
            given.setdefault(mapping.group_id, []).append(mapping.role)
    return given


@blueprint.get("/groups/<group_id>")
@guard(Permission.GROUPS_READ)
def group(group_id: str) -> Any:
    """One group with its members, and what it gives them."""
    found = groups.get(actor().account, group_id)
    given = groups.mappings(actor().account).where(RoleMapping.group == group_id).order_by(RoleMapping.role)
    return render("group.html", group=found, members=of_group(group_id), mappings=list(given))


# --- the three changes, each first as a preview -----------------------------------------------------------------


@blueprint.get("/groups/mappings/new")
@refused_on(groups_list)
@guard(Permission.IDPS_WRITE)
def preview_mapping() -> Any:
    """Who would gain what by a new mapping."""
    provider, name, role = _wanted(request.args)
    found = _pushed(provider, name)
    return _preview(
        found.id if found else None,
        _map(provider, name, role),
        heading="Add this mapping?",
        words=f"Members of {name} get the role {role}.",
        group=found,
        fields={"identity_provider_id": provider.id, "group_display_name": name, "role": role},
        endpoint="dashboard.add_mapping",
        values={},
        button="Add the mapping",
    )


@blueprint.get("/groups/mappings/<mapping_id>/change")
@refused_on(groups_list)
@guard(Permission.IDPS_WRITE)
def preview_change(mapping_id: str) -> Any:
    """Who would gain and lose what by another role in this mapping."""
    row = groups.mapping(actor().account, mapping_id)
    role = request.args.get("role", "")
    return _preview(
        row.group_id,
        lambda: groups.change_mapping(actor(), row, role),
        heading="Change this mapping?",
        words=f"Members of {_name(row)} get the role {role} instead of {row.role}.",
        group=row.group,
        fields={"role": role},
        endpoint="dashboard.change_mapping",
        values={"mapping_id": mapping_id},
        button="Change the mapping",
    )


@blueprint.get("/groups/mappings/<mapping_id>/remove")
@refused_on(groups_list)
@guard(Permission.IDPS_WRITE)
def preview_removal(mapping_id: str) -> Any:
    """Who would lose what without this mapping."""
    row = groups.mapping(actor().account, mapping_id)
    return _preview(
        row.group_id,
        lambda: groups.unmap(actor(), row),
        heading="Remove this mapping?",
        words=f"Members of {_name(row)} no longer get the role {row.role} by it.",
        group=row.group,
        fields={},
        endpoint="dashboard.remove_mapping",
        values={"mapping_id": mapping_id},
        button="Remove the mapping",
    )


def _preview(group_id: str | None, change: Callable[[], object], **shown: Any) -> Any:
    return render("mapping_preview.html", preview=preview(actor(), of_group(group_id), change), **shown)


@blueprint.post("/groups/mappings")
@refused_on(groups_list)
@guard(Permission.IDPS_WRITE)
def add_mapping() -> Any:
    """Give the members of a group a role."""
    form = forms.read(MappingForm)
    provider, name, role = _wanted(form)
    _map(provider, name, role)()
    return done(f"Members of {name} have the role {role} now.", "groups")


@blueprint.post("/groups/mappings/<mapping_id>")
@refused_on(groups_list)
@guard(Permission.IDPS_WRITE)
def change_mapping(mapping_id: str) -> Any:
    """Let the mapping give another role."""
    row = groups.mapping(actor().account, mapping_id)
    groups.change_mapping(actor(), row, forms.read(RoleForm)["role"])
    return done(f"Members of {_name(row)} have the role {row.role} now.", "groups")


@blueprint.post("/groups/mappings/<mapping_id>/remove")
@refused_on(groups_list)
@guard(Permission.IDPS_WRITE)
def remove_mapping(mapping_id: str) -> Any:
    """The mapping is gone, and with it what only it gave."""
    row = groups.mapping(actor().account, mapping_id)
    name = _name(row)
    groups.unmap(actor(), row)
    return done(f"The mapping of {name} to {row.role} is removed.", "groups")


def _wanted(values: Any) -> tuple[IdentityProvider, str, str]:
    name = values.get("group_display_name", "").strip()
    role = values.get("role", "")
    if not name:
        raise Invalid("Name the group that gets a role.", fields={"group_display_name": ["Fill this in."]})
    return idps.get(actor().account, values.get("identity_provider_id", "")), name, role


def _pushed(provider: IdentityProvider, name: str) -> DirectoryGroup | None:
    return DirectoryGroup.get_or_none(
        DirectoryGroup.identity_provider == provider, DirectoryGroup.display_name_key == fold(name)
    )


def _map(provider: IdentityProvider, name: str, role: str) -> Callable[[], object]:
    return lambda: groups.map_role(actor(), provider, role=role, group_display_name=name)


def _name(row: RoleMapping) -> str:
    return row.group.display_name if row.group_id else row.group_display_name
