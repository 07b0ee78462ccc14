"""The web pages of the simulated identity providers: metadata, sign-in, tiles. Plain forms, no JavaScript needed.

One Flask app hosts several providers side by side (`/okta/...`, `/entra/...`). It keeps no session: the request
travels through the sign-in page and is read and checked again when a person has been chosen; a logout travels from app
to app with the person's name as RelayState.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, make_response, redirect, render_template, request, url_for
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.samlp import STATUS_AUTHN_FAILED, STATUS_NO_PASSIVE
from werkzeug.exceptions import HTTPException, SecurityError
from werkzeug.wrappers import Response as BaseResponse

from idp_bridge.simulator import saml_logout
from idp_bridge.simulator.saml_idp import Provider, Refused, SignInRequest, sign_response
from idp_bridge.simulator.saml_logout import Asked, Outgoing
from idp_bridge.simulator.service_provider import ServiceProvider

MAX_BODY = 256 * 1024
XML_TYPES = {"application/samlmetadata+xml", "application/xml", "text/xml"}
BINDINGS = {"redirect": BINDING_HTTP_REDIRECT, "post": BINDING_HTTP_POST}
# What belongs to one AuthnRequest and must survive the sign-in page unchanged (Bindings 3.4.4, 3.5.3).
REQUEST_FIELDS = ("SAMLRequest", "RelayState", "SigAlg", "Signature")
LOGOUT_FIELDS = (*REQUEST_FIELDS, "SAMLResponse")


def create_site(providers: Iterable[Provider], *, loopback_only: bool = True) -> Flask:
    """The WSGI app for these providers; with `loopback_only` it answers to no other host name than this machine's."""
    site = Flask(__name__)
    site.config.update(MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_MEMORY_SIZE=MAX_BODY)
    if loopback_only:
        # A page elsewhere that points its own name at 127.0.0.1 must not reach the simulator.
        site.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost", "[::1]"]
    known = {provider.name: provider for provider in providers}

    def provider_or_404(name: str) -> Provider:
        return known.get(name) or abort(404, "There is no simulated identity provider of this name.")

    @site.get("/")
    def home() -> Response:
        page = make_response(render_template("home.html", providers=known.values()))
        # The buttons that sign out lead, by a redirect, to the apps.
        page.headers["Content-Security-Policy"] = _policy(*_logout_origins(known.values()))
        return page

    @site.get("/<name>/metadata")
    def metadata(name: str) -> Response:
        return Response(provider_or_404(name).metadata_xml, mimetype="application/samlmetadata+xml")

    @site.route("/<name>/sso", methods=["GET", "POST"])
    def sso(name: str) -> BaseResponse | str:
        provider = provider_or_404(name)
        how = "redirect" if request.method == "GET" else "post"
        fields = {key: value for key, value in request.values.items() if key in REQUEST_FIELDS}
        asked = provider.parse_request(fields, BINDINGS[how])
        if asked.is_passive:
            return _posted(provider, asked, _passive(provider, asked), fields.get("RelayState"))
        return render_template(
            "sign_in.html",
            provider=provider,
            service=asked.service_provider,
            action=url_for("answer", name=name),
            hidden={**fields, "binding": how},
        )

    @site.post("/<name>/sso/answer")
    def answer(name: str) -> BaseResponse:
        provider = provider_or_404(name)
        fields = {key: value for key, value in request.form.items() if key in REQUEST_FIELDS}
        binding = BINDINGS.get(request.form.get("binding", "")) or abort(400, "The form names no binding.")
        asked = provider.parse_request(fields, binding)
        return _posted(provider, asked, _chosen(provider, asked), fields.get("RelayState"))

    @site.route("/<name>/slo", methods=["GET", "POST"])
    def slo(name: str) -> BaseResponse | str:
        provider = provider_or_404(name)
        how = "redirect" if request.method == "GET" else "post"
        fields = {key: value for key, value in request.values.items() if key in LOGOUT_FIELDS}
        came = saml_logout.read(provider, fields, BINDINGS[how])
        if not isinstance(came, Asked):
            return _next_logout(provider, fields.get("RelayState", ""))
        status = saml_logout.end(provider, came)
        relay_state = fields.get("RelayState")
        sp = came.service_provider
        answered = saml_logout.answer(
            provider, sp, in_response_to=came.request_id, status=status, relay_state=relay_state
        )
        return _carried(provider, sp, answered)

    @site.post("/<name>/logout")
    def logout(name: str) -> BaseResponse | str:
        return _next_logout(provider_or_404(name), request.form.get("person", ""))

    @site.get("/<name>/apps/<app>")
    def tile(name: str, app: str) -> str:
        provider = provider_or_404(name)
        return render_template(
            "sign_in.html",
            provider=provider,
            service=_app_or_404(provider, app),
            action=url_for("launch", name=name, app=app),
            hidden={"RelayState": request.args["RelayState"]} if "RelayState" in request.args else {},
        )

    @site.post("/<name>/apps/<app>")
    def launch(name: str, app: str) -> BaseResponse:
        provider = provider_or_404(name)
        service = _app_or_404(provider, app)
        unsolicited = sign_response(
            provider,
            provider.person(request.form.get("person", "")),
            acs_url=service.acs_url,
            audience=service.entity_id,
            in_response_to=None,
            encrypt_to=service.encryption_certificate,
        )
        return _answered(provider, service.acs_url, service, unsolicited, request.form.get("RelayState"))

    @site.post("/<name>/apps")
    def add_app(name: str) -> tuple[Response, int]:
        provider = provider_or_404(name)
        _must_be_local_xml()
        return _app_json(provider, provider.register_sp(request.get_data(as_text=True))), 201

    @site.put("/<name>/apps/<app>")
    def put_app(name: str, app: str) -> Response:
        provider = provider_or_404(name)
        _must_be_local_xml()
        return _app_json(provider, provider.register_sp(request.get_data(as_text=True), app=app))

    @site.errorhandler(Refused)
    def refused(error: Refused) -> tuple[str, int]:
        return render_template("refused.html", reason=str(error)), 400

    @site.errorhandler(SecurityError)
    def foreign_host(error: SecurityError) -> Response:
        # Refused before routing, so no page of ours can be linked or rendered.
        return Response("This simulator answers to this machine's own names only.\n", 400, mimetype="text/plain")

    @site.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[str, int]:
        return render_template("refused.html", reason=error.description), error.code or 500

    site.after_request(_secure)
    return site


def _chosen(provider: Provider, asked: SignInRequest) -> str:
    if "refuse" in request.form:
        return provider.refusal(
            acs_url=asked.acs_url,
            in_response_to=asked.request_id,
            status=STATUS_AUTHN_FAILED,
            message="The person refused to sign in.",
        )
    return sign_response(
        provider,
        provider.person(request.form.get("person", "")),
        acs_url=asked.acs_url,
        audience=asked.service_provider.entity_id,
        in_response_to=asked.request_id,
        name_id_format=_name_id_format(provider, asked),
        encrypt_to=asked.service_provider.encryption_certificate,
    )


def _passive(provider: Provider, asked: SignInRequest) -> str:
    # Nobody is ever signed in here beforehand, so a passive request can only fail (Core 3.4.1).
    return provider.refusal(
        acs_url=asked.acs_url,
        in_response_to=asked.request_id,
        status=STATUS_NO_PASSIVE,
        message="Nobody is signed in here yet.",
    )


def _name_id_format(provider: Provider, asked: SignInRequest) -> str | None:
    return asked.name_id_format if asked.name_id_format in provider.shape.name_id_formats else None


def _posted(provider: Provider, asked: SignInRequest, response: str, relay_state: str | None) -> BaseResponse:
    return _answered(provider, asked.acs_url, asked.service_provider, response, relay_state)


def _answered(
    provider: Provider, acs_url: str, service: ServiceProvider, response: str, relay_state: str | None
) -> BaseResponse:
    state = {} if relay_state is None else {"RelayState": relay_state}
    return _form_post(provider, service, acs_url, {"SAMLResponse": response, **state})


def _next_logout(provider: Provider, person: str) -> BaseResponse | str:
    """One app after the other: each one's answer comes back here, and the person's key with it as RelayState."""
    session = next((each for each in provider.signed_in if each.person == person), None)
    if session is None:
        return render_template("signed_out.html", provider=provider, person=person)
    provider.signed_in.remove(session)
    service = provider.known(session.service_provider)
    return _carried(provider, service, saml_logout.ask(provider, service, session, relay_state=person))


def _carried(provider: Provider, service: ServiceProvider, message: Outgoing) -> BaseResponse:
    if not message.fields:
        return redirect(message.url, 303)
    return _form_post(provider, service, message.url, message.fields)


def _form_post(provider: Provider, service: ServiceProvider, url: str, fields: Mapping[str, str]) -> BaseResponse:
    page = make_response(render_template("respond.html", provider=provider, service=service, url=url, fields=fields))
    page.headers["Content-Security-Policy"] = _policy(_origin(url))
    return page


def _app_or_404(provider: Provider, app: str) -> ServiceProvider:
    return provider.apps.get(app) or abort(404, "No app of this name is registered with this provider.")


def _app_json(provider: Provider, service: ServiceProvider) -> Response:
    tile = url_for("tile", name=provider.name, app=service.app, _external=True)
    return jsonify(app=service.app, entity_id=service.entity_id, acs_url=service.acs_url, tile_url=tile)


def _must_be_local_xml() -> None:
    if not ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104
        abort(403, "Apps are registered from this machine only.")
    # A type that no HTML form can send: a page in somebody's browser cannot register apps behind her back.
    if request.mimetype not in XML_TYPES:
        abort(415, "Send the metadata as application/samlmetadata+xml or application/xml.")


def _logout_origins(providers: Iterable[Provider]) -> set[str]:
    services = [service for provider in providers for service in provider.apps.values()]
    return {_origin(url) for service in services for urls in service.slo_urls.values() for url in urls}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _policy(*form_targets: str) -> str:
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action " + " ".join(["'self'", *sorted(form_targets)])
    )


def _secure(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _policy())
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Under "no-referrer" a browser posts with `Origin: null`, and nobody can tell that a sign-in came from here.
    response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    if response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response
