"""Provisioning: what a directory pushes by SCIM, kept as rows, and what that does to members and roles.

    directory   whose tenant all of this is: the first argument of every function
    users       SCIM Users and the members behind them
    groups      SCIM Groups and their memberships
    query       a filter as a condition of the database
    lookup      what of a filter is found by an index; emails: the rows by which an address is
    json_sql    the SQL in which SQLite and PostgreSQL differ

Canonical SCIM resources go in (scim.resource, scim.patch) and rows or wire forms come out. Nothing here knows HTTP.
"""
