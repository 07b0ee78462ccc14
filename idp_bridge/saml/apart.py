"""Foreign XML is read in a thread of its own, which ends with it: so nothing of a message stays in the process.

libxml2 keeps every name that it reads (of elements, attributes, prefixes, namespaces) in a dictionary, and lxml has one
dictionary per thread, which it never empties. The threads of a server live as long as the server: whoever posts
document after document with fresh names would make it grow without end, and canonicalisation would depend on what that
thread had read before (`signature.canonical`). A dictionary goes with its thread; a thread costs a tenth of a
millisecond.

Whatever comes out of such a thread must hold no element: an element keeps its document, and that the dictionary.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from threading import Thread
from typing import ParamSpec, TypeVar

from idp_bridge.saml.certificate import MetadataError
from idp_bridge.saml.errors import Rejected

P = ParamSpec("P")
T = TypeVar("T")


def apart(work: Callable[P, T]) -> Callable[P, T]:
    """The same function, run in a thread of its own: its result, or what it raises, comes back to the caller."""

    @wraps(work)
    def begun(*args: P.args, **kwargs: P.kwargs) -> T:
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(work(*args, **kwargs))
            except (Rejected, MetadataError) as refusal:
                outcome.set_exception(_bare(refusal))
            except BaseException as error:  # a fault of ours: the caller's, as if there were no thread, frames and all
                outcome.set_exception(error)

        thread = Thread(target=run, name="saml", daemon=True)
        thread.start()
        thread.join()
        return outcome.result()

    return begun


def _bare(refusal: Exception) -> Exception:
    """A refusal is an answer like any other. Its frames, and those of what led to it, hold the document."""
    refusal.__context__ = None
    return refusal.with_traceback(None)
