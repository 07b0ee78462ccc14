"""The sample directory is the same everywhere and every time."""

from uuid import UUID

from idp_bridge.simulator.people import directory, group_guid, teams


def test_the_directory_is_deterministic() -> None:
    """Two processes name the same people, ids included; these values may be written down in documentation."""
    ana = directory()[0]
    assert ana.user_name == "ana.souza@acme.test"
    assert (ana.okta_id, ana.object_id) == (directory()[0].okta_id, directory()[0].object_id)
    assert group_guid("Engineering") == "6d1f2ffa-a7a7-52fe-a5de-e9485ad640dc"


def test_ids_have_the_form_of_their_product() -> None:
    """Okta's user ids are 20 characters from 00u on, Entra's are GUIDs; nobody shares one."""
    people = directory(500)
    assert len({p.user_name for p in people} | {p.okta_id for p in people} | {p.object_id for p in people}) == 1500
    assert all(len(p.okta_id) == 20 and p.okta_id.startswith("00u") and p.okta_id.isalnum() for p in people)
    assert all(str(UUID(p.object_id)) == p.object_id for p in people)


def test_any_number_of_people_can_be_had() -> None:
    """The first eight stay who they are, however many follow."""
    assert directory(3) == directory(20)[:3]
    assert len(directory(0)) == 0


def test_teams_hold_their_people_and_only_those_asked_for() -> None:
    """Membership follows the people's own groups; further groups are filled, too."""
    people = directory(8)
    engineering, support, finance, project = teams(people, 4)
    assert [team.name for team in (engineering, support, finance, project)] == [
        "Engineering",
        "Support",
        "Finance",
        "Project 1",
    ]
    assert set(engineering.members) == {p.user_name for p in people if "Engineering" in p.groups}
    assert all(team.members for team in (support, finance, project))
    assert teams(people[:1], 2)[1].members == ()
