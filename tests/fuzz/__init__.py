"""Differential and robustness tests of SCIM: random cases, and an independent opinion of each.

    resources   users of every shape, from the schema itself
    filters     filters over the whole grammar
    patches     PATCH bodies: as the RFC writes them, and as providers send them
    oracle      scim2-models, built from what our own /Schemas says
    known       where the two differ and why: a table
    agreement   one case: our answers beside the oracle's; a difference that the table does not explain is a failure
    noise       bytes and JSON that nobody should send: only ScimError may come of them
    explore     runs a check over many cases, and shrinks the one that fails

`python -m tests.fuzz` (`make fuzz`) runs all of it for long; the suite runs a few hundred cases of each with fixed
seeds (tests/scim/test_differential.py, tests/provisioning/test_differential.py).
"""
