"""Logging: structured, on standard error, as JSON or for a console. Nothing personal beyond ids is logged."""

import logging
from typing import Any

import structlog

#: These write message content at lower levels: signxml canonicalised XML, saml2 the NameID and whole documents.
_TALKATIVE = ("saml2", "signxml", "urllib3", "peewee")


def configure(log_format: str) -> None:
    """``log_format``: json or console. Replaces the handlers of the root logger."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
