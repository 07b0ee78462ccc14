"""The API's own way with flask-smorest: strict JSON in, our errors out, one tag for each noun in the documentation.

Nothing of flask-smorest answers an error here: what is wrong with a request is raised as the domain's Invalid, and
web/errors.py answers it like everything else.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, NoReturn

import flask_smorest
import marshmallow
from flask import Request, Response, request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.routing import BaseConverter

from idp_bridge.errors import Code, Invalid
from idp_bridge.web import guard
from idp_bridge.web.api import idempotent, preconditions
from idp_bridge.web.api.schemas import ID

PREFIX = "/api"
LARGEST_BODY = 1024 * 1024


class IdConverter(BaseConverter):
    """The form of an id in a path: what cannot be one is 404 without asking the database."""

    regex = ID[1:-1]


class Error(marshmallow.Schema):
    """How every error under /api is answered; written by web/errors.py, documented here."""

    class Details(marshmallow.Schema):
        operation_id = marshmallow.fields.String(required=True)
        errors = marshmallow.fields.Dict(
            keys=marshmallow.fields.String(), values=marshmallow.fields.List(marshmallow.fields.String())
        )

    error_code = marshmallow.fields.String(required=True, validate=marshmallow.validate.OneOf([c.value for c in Code]))
    status_code = marshmallow.fields.Integer(required=True)
    msg = marshmallow.fields.String(required=True)
    details = marshmallow.fields.Nested(Details, required=True)


class Api(flask_smorest.Api):  # type: ignore[misc]  # flask-smorest is untyped  # type: ignore[misc]  # untyped
    """flask-smorest without its error handlers and its documentation pages."""

    ERROR_SCHEMA = Error

    def _register_error_handlers(self) -> None:
        """Its handler of HTTPException would win over ours, being the more specific one."""

    def _register_doc_blueprint(self) -> None:
        """Its pages carry inline scripts, which our content security policy forbids; see documentation.py."""


class Parser(FlaskParser):
    """Reads JSON bodies, forms and queries; whatever is wrong is one Invalid that names each field."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "form": None, "query": marshmallow.RAISE}

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The body, which must be JSON and say so. Raises Invalid, UnsupportedMediaType."""
        body = req.get_data()
        if not body:
            raise Invalid("This needs a JSON body.", fields={"_schema": ["missing"]})
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("The body must be JSON, with Content-Type: application/json.")
        return read_json(body)

    def load_form(self, req: Request, schema: marshmallow.Schema) -> Any:
        """A form as RFC 7662 section 2.1 wants it, each field once. Raises UnsupportedMediaType, Invalid."""
        if req.mimetype != "application/x-www-form-urlencoded":
            raise UnsupportedMediaType("The body must be a form: application/x-www-form-urlencoded.")
        if twice := {name: ["given more than once"] for name, values in req.form.lists() if len(values) > 1}:
            raise Invalid("A field stands more than once in the form.", fields=twice)
        return super().load_form(req, schema)

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The query, each parameter once. Raises Invalid."""
        if twice := {name: ["given more than once"] for name, values in req.args.lists() if len(values) > 1}:
            raise _unfit("A parameter stands more than once in the query.", twice)
        return super().load_querystring(req, schema)

    def handle_error(
        self, error: marshmallow.ValidationError, req: Request, schema: marshmallow.Schema, **_: Any
    ) -> NoReturn:
        """marshmallow's messages, one entry for each field, ``a.0.b`` for one further down."""
        ((location, messages),) = error.messages_dict.items()
        raise Invalid(
            "The request is not valid; details.errors names each wrong field.",
            code=Code.INVALID_PARAMETER if location == "query" else Code.INVALID_BODY,
            fields=dict(_flat(messages)),
        ) from error


def _unfit(message: str, fields: Mapping[str, list[str]]) -> Invalid:
    return Invalid(message, code=Code.INVALID_PARAMETER, fields=fields)


def read_json(body: bytes) -> Any:
    """RFC 8259, strictly: UTF-8, no NaN or Infinity, no name twice in one object. Raises Invalid."""
    try:
        return json.loads(body.decode(), parse_constant=_no_constant, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is not valid JSON.", fields={"_schema": [str(error)]}) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return read


def _flat(messages: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path or "_schema", [str(text) for text in (messages if isinstance(messages, list) else [messages])]


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]  # untyped
    """The routes of one noun; its name is what the documentation lists it under."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, import_name: str, description: str) -> None:
        super().__init__(name, import_name, description=description, url_prefix=PREFIX)
        self._reading: dict[str, Callable[..., Response]] = {}  # by rule: what answers a GET of one resource
        self._asked: set[tuple[str, str]] = set()  # rule and method of those that take parameters in the query
        self.before_request(_limit_body)
        self.after_request(_complete)

    def arguments(self, schema: Any, **options: Any) -> Any:
        """One instance of the schema for all requests: to make one costs more than to read a small body with it."""
        reading = super().arguments(schema() if isinstance(schema, type) else schema, **options)

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            given: Callable[..., Any] = reading(view)
            if options.get("location") == "query":
                given.asked = True  # type: ignore[attr-defined]  # what is wrapped around it has it too
            return given

        return decorate

    def route(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A view's name is its operationId."""
        register = super().route(rule, **options)

        def named(view: Callable[..., Any]) -> Callable[..., Any]:
            if options.get("methods") == ["GET"] and preconditions.is_single(PREFIX + rule):
                self._reading[PREFIX + rule] = view.answer  # type: ignore[attr-defined]  # hung there by response()
            if hasattr(view, "asked"):
                self._asked |= {(PREFIX + rule, method) for method in options["methods"]}
            return register(self.doc(operationId=view.__name__)(view))

        return named

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Any:
        """The answer, under what its headers ask for: once for each key, only where nobody was faster. It stands right
        above the view, so that this is decided in the transaction of the change and on a body that is well-formed."""
        answering = super().response(status_code, schema, **options)

        def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
            answer = answering(view)

            @wraps(answer)
            def settled(*args: Any, **values: Any) -> Response:
                return self._settle(lambda: answer(*args, **values))

            settled.answer = answer  # type: ignore[attr-defined]
            return settled

        return decorate

    def _settle(self, answer: Callable[[], Response]) -> Response:
        rule = request.url_rule.rule if request.url_rule else ""
        if request.args and (rule, "GET" if request.method == "HEAD" else request.method) not in self._asked:
            raise _unfit("There are no parameters here.", {name: ["Unknown field."] for name in request.args})
        if request.method == "POST":
            return idempotent.once(answer)
        if request.method in preconditions.CHANGING:
            preconditions.check(self._reading.get(rule))
        made = answer()
        return preconditions.tagged(made) if made.status_code == 200 and rule in self._reading else made

    def prepared(self, first: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """``first`` does what is slow, with what the view is called with; then a transaction begins, and the view has
        its result in front. For a view whose guard opens none."""

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(view)
            def called(*args: Any, **values: Any) -> Any:
                made = first(*args, **values)
                with guard.writing():
                    return view(made, *args, **values)

            return called

        return decorate


def _limit_body() -> None:
    request.max_content_length = LARGEST_BODY


def _complete(response: Response) -> Response:
    """A created thing's Location is its ``uri``; an answer without a body has no type. A stream goes as it is."""
    if response.is_streamed:
        return response
    if response.status_code == 201 and "uri" in (body := response.get_json()):
        response.headers["Location"] = body["uri"]
    if not response.get_data():
        response.headers.pop("Content-Type", None)
    return response


def no_content() -> Response:
    """204: done, nothing to say."""
    return Response(status=204)
