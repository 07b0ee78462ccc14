"""Logging: structured, on standard error, as JSON or for a console. Nothing personal beyond ids is logged.

Each request has one line (``request``). It takes a shorter way than the others, since there are so many of it: no
record of `logging` and no JSON encoder, which together would cost a tenth of the request.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO

import structlog

#: These write message content at lower levels: signxml canonicalised XML, saml2 the NameID and whole documents.
_TALKATIVE = ("saml2", "signxml", "urllib3", "peewee")

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING}

Line = Mapping[str, str | int | float]


@dataclass
class _Requests:
    """How and whether lines of requests are written; nothing before ``configure``."""

    render: Callable[[str, Line], str] | None = None
    level: int = logging.INFO
    descriptor: int = 2


_requests = _Requests()


def configure(log_format: str, level: str = "info", *, stream: TextIO | None = None) -> None:
    """``log_format``: json or console; ``level``: info or warning; ``stream``: a file, standard error by default.
    Replaces the handlers of the root logger."""
    stream = stream or sys.stderr
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    _requests.render = _as_json if log_format == "json" else _for_people
    _requests.level, _requests.descriptor = _LEVELS[level], stream.fileno()


def request(line: Callable[..., Line], *of: Any, failed: bool = False) -> None:
    """The one line of a request: what ``line`` makes ``of`` it, in words of ours that need no quoting. ``failed``: by
    our own fault. It is written at once and whole, so that lines of several processes and threads do not mix."""
    if _requests.render is None or (_requests.level > logging.INFO and not failed):
        return
    text = _requests.render("error" if failed else "info", line(*of))
    with suppress(OSError):  # a log that is full must not fail the request
        os.write(_requests.descriptor, text.encode())


def _as_json(level: str, line: Line) -> str:
    told = [f'"{name}":"{value}"' if type(value) is str else f'"{name}":{value}' for name, value in line.items()]
    return f'{{"event":"request","level":"{level}",{",".join(told)}}}\n'


def _for_people(level: str, line: Line) -> str:
    told = [f"{name}={value}" for name, value in line.items() if name not in _IN_FRONT]
    return (
        f"{line['timestamp']} [{level}] {line['method']} {line['route']} {line['status']} {line['duration_ms']} ms "
        f"{' '.join(told)}\n"
    )


_IN_FRONT = frozenset({"timestamp", "method", "route", "status", "duration_ms"})
