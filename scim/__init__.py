"""SCIM 2.0, the protocol (RFC 7643, RFC 7644): dicts in, dicts out.

    resource.parse     POST and PUT bodies -> canonical resources; `resource.render` back to the wire
    filter             filter text -> a tree to compile into a query, or to match in memory
    patch              PatchOp bodies -> operations; `apply` them, or sum up what they do to a group's members
    mutability         what PUT and PATCH may do to a value that is there
    bulk               BulkRequest bodies -> operations, in an order in which every reference can be resolved
    projection paging  which attributes and which page of a list the client asked for
    schemas meta       discovery documents, `meta`, ETags
    errors             every refusal, with its status and scimType
    quirks             every deviation that is accepted from identity providers

The package knows no web framework, no database and no clock, and nothing of the product around it. It refuses what
it does not understand: an unknown attribute in a filter is an error and never a filter that matches everything.
Not here: sorting, passwords.
"""
