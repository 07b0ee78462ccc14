"""Differential and robustness tests of SCIM and SAML: random cases, and an independent opinion of each.

    resources   users of every shape, from the schema itself
    filters     filters over the whole grammar
    patches     PATCH bodies: as the RFC writes them, and as providers send them
    oracle      scim2-models, built from what our own /Schemas says
    known       where the two differ and why: a table
    agreement   one case: our answers beside the oracle's; a difference that the table does not explain is a failure
    noise       bytes and JSON that nobody should send: only ScimError may come of them
    explore     runs a check over many cases, and shrinks the one that fails
    saml        forgeries of random honest Responses at the door; the same messages to two other verifiers
    door        the door under atheris, led by coverage, in a process of its own; plays a finding again
    saml_cost   what hostile messages cost

`python -m tests.fuzz` (`make fuzz`) runs all of it for long; the suite runs a few hundred cases of each with fixed
seeds (test_differential.py in tests/scim, tests/provisioning and tests/saml).
"""
