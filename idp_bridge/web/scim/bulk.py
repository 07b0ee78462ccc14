"""POST /Bulk (RFC 7644 §3.7): many operations in one transaction, of which each fails or stands by itself.

How the request is read and in which order it is done is in ``scim.bulk``; each change is that of the single request.
Its data is read inside the transaction, since a reference has no value before what it names is made.
"""

import re
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response

from idp_bridge import db, identity_conflicts
from idp_bridge.identity_conflicts import Disputed
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.records import Kind, Written
from idp_bridge.web.errors import OF_ONE_CHANGE, scim_error
from idp_bridge.web.scim.blueprint import route
from idp_bridge.web.scim.door import opened, repeated
from idp_bridge.web.scim.request_log import keep_bulk
from idp_bridge.web.scim.resources import KINDS
from idp_bridge.web.scim.wire import answer, body
from scim.bulk import METHODS, BulkRequest, Operation, Outcome, Step, bulk_response, completion, parse_bulk, target
from scim.errors import Conflict, ScimError
from scim.meta import location

_RECORD = re.compile(r"(?:du|grp)_[0-9a-z]{26}")

_CHANGES: Mapping[str, Callable[[Kind, Directory, Operation], Callable[[], Written]]] = {
    "POST": lambda kind, directory, asked: kind.creation(directory, asked.data),
    "PUT": lambda kind, directory, asked: kind.replacement(directory, asked.id, asked.data, asked.version),
    "PATCH": lambda kind, directory, asked: kind.modification(directory, asked.id, asked.data, asked.version),
    "DELETE": lambda kind, directory, asked: kind.deletion(directory, asked.id, asked.version),
}


@route("/Bulk", "POST")
@opened
def bulk(directory: Directory) -> Response:
    """200, whatever became of each operation; only what keeps the database from working undoes all of them."""
    asked = parse_bulk(body(), directory.catalogue, base=directory.base_url)
    named = {text for text in asked.texts() if _RECORD.fullmatch(text)}

    def work() -> Response:
        directory.take_turn(named)
        run = _Run(directory, asked)
        response = answer(bulk_response(run.outcomes()))
        return keep_bulk(response, [_logged(operation, written) for operation, written in run.made])

    return repeated(directory, work)


SECONDS = 8  # less than anybody waits for SQLite's write lock, which is held meanwhile


class OperationNotBegun(ScimError):
    """The request has used up its time."""

    status = 503


@dataclass(frozen=True)
class _Run:
    """One request as it is performed: every change ``made``, and the ``ids`` of what was created, by bulkId."""

    directory: Directory
    asked: BulkRequest
    ids: ChainMap[str, str] = field(default_factory=ChainMap)
    made: list[tuple[Operation, Written]] = field(default_factory=list)

    def outcomes(self) -> list[Outcome]:
        """Perform the operations, and say of each that is reached what became of it."""
        outcomes: list[Outcome] = []
        failures, until = 0, time.monotonic() + SECONDS
        for step in self.asked.steps():
            late = outcomes and time.monotonic() > until
            of_step = [self._failed(asked, _too_late()) for asked in step] if late else self._attempt(step)
            outcomes += of_step
            failures += sum(outcome.error is not None for outcome in of_step)
            if self.asked.ends_after(failures):
                break
        return outcomes

    def _attempt(self, step: Step) -> list[Outcome]:
        """All of the step or nothing of it: of operations that refer to each other none can stand alone."""
        ids, made = self.ids.new_child(), list[tuple[Operation, Written]]()
        current = step[0]
        try:
            with db.savepoint():
                for current in step:
                    made.append((current, self._perform(self.asked.ready(current, ids))))
                    if current.method == "POST":
                        ids[str(current.bulk_id)] = made[-1][1].row.id
                for current in [operation for operation in step if operation.later]:
                    made.append((current, self._perform(completion(current, ids))))
        except OF_ONE_CHANGE as error:
            if isinstance(error, Disputed):
                identity_conflicts.note(self.directory.actor, self.directory.identity_provider, error.case)
            return [self._failed(asked, error if asked is current else _together_with(current)) for asked in step]
        self.ids.update(ids.maps[0])
        self.made.extend(made)
        return [self._done(asked, written.row) for asked, written in dict(made).items()]

    def _perform(self, asked: Operation) -> Written:
        return _CHANGES[str(asked.method)](KINDS[asked.endpoint], self.directory, asked)()

    def _done(self, asked: Operation, row: Any) -> Outcome:
        version = None if asked.method == "DELETE" else KINDS[asked.endpoint].records.version(row)
        return Outcome(asked, METHODS[str(asked.method)], self._location(asked, row.id), version)

    def _failed(self, asked: Operation, error: Exception) -> Outcome:
        document, id = scim_error(error), target(asked, self.ids)
        return Outcome(asked, int(document["status"]), id and self._location(asked, id), error=document)

    def _location(self, asked: Operation, id: str) -> str:
        return location(KINDS[asked.endpoint].type(self.directory), id, base=self.directory.base_url)


def _too_late() -> OperationNotBegun:
    return OperationNotBegun(f"Not begun: what came before has taken {SECONDS} seconds. Send this operation again.")


def _together_with(failed: Operation) -> Conflict:
    return Conflict(
        f"This operation and the one with the bulkId {failed.bulk_id!r} refer to each other, and that one failed."
    )


def _logged(asked: Operation, written: Written) -> dict[str, Any]:
    return {"method": asked.method, "id": written.row.id, "before": written.before, "after": written.after}
