"""Benchmarks: the served product beside a floor, the least that the same libraries need for the same kind of work.

    client      a closed-loop HTTP client that costs little itself
    servers     the product and the floor, each served by the same gunicorn settings on a fresh database
    floor       the floor application
    lanes       slices of load run in turns, so that a noisy machine slows both sides alike
    directory   the SCIM and API benchmarks
    introspection   the product's hot path, and its cost against stored credentials
    sign_in     the SAML benchmarks
    statements  how many SQL statements each request takes
    shapes      cost against stored users and group size; plot draws them into docs/shapes.svg
    report      the table and the JSON

It judges nothing in the test suite; docs/performance.md has its figures and the marks they are held against.
"""
