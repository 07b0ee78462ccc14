"""/api/usage: what the product reports that owners have used, and what that adds up to."""

from datetime import date, timedelta
from typing import Any

from flask import Response
from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates_schema

from idp_bridge import clock, db, usage, usage_reports
from idp_bridge.errors import DomainError
from idp_bridge.models import UsageReport
from idp_bridge.plans import Metric
from idp_bridge.roles import Permission
from idp_bridge.usage import Days, OwnerUsage
from idp_bridge.usage_reports import LARGEST, MOST, Counted, Report
from idp_bridge.web.api.dialect import Blueprint
from idp_bridge.web.api.paging import Page, shown
from idp_bridge.web.api.schemas import ID, Answer, Body, Instant, Text
from idp_bridge.web.edge import edge, reach, repeated, reporter
from idp_bridge.web.guard import actor, guard

blueprint = Blueprint("Usage", __name__, "What bot users and members have used, against the plan's limits.")

KEY = r"^[!-~]{1,255}$"
LONGEST_PERIOD = 366  # days

_METRIC = validate.OneOf([metric.value for metric in Metric])


class Day(Text):
    """A day by UTC, as RFC 3339 writes one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            most=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", words="Must be a day: 2026-11-25.", **options
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options)
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise ValidationError("There is no such day.") from error


# --- reporting --------------------------------------------------------------------------------------------------


class UsageReportCreate(Body):
    """How much of a metric an owner, or a credential, has used. Exactly one of the two is named."""

    idempotency_key = Text(
        most=255,
        least=1,
        pattern=KEY,
        required=True,
        words="Must be 1 to 255 printable ASCII characters without spaces.",
        metadata={"description": "Whatever is sent again with it is counted once. Unique in the account."},
    )
    owner_id = Text(most=64, pattern=ID, metadata={"description": "A member or a bot user."})
    credential_id = Text(most=64, pattern=ID, metadata={"description": "One of its credentials, in place of it."})
    metric = fields.String(required=True, validate=_METRIC)
    amount = fields.Integer(
        required=True,
        strict=True,
        validate=[validate.Range(min=-LARGEST, max=LARGEST), validate.NoneOf([0], error="Must not be 0.")],
        metadata={"description": "Below 0, by an operator key: that much was reported wrongly.", "not": {"const": 0}},
    )
    day = Day(metadata={"description": f"By UTC; today if absent, and {usage_reports.DAYS_BACK} days ago at most."})

    @validates_schema
    def _of_one(self, data: dict[str, Any], **_: Any) -> None:
        if len(data.keys() & {"owner_id", "credential_id"}) != 1:
            raise ValidationError("Name either an owner_id or a credential_id.", "owner_id")


class UsageReportsCreate(Body):
    """Reports that are counted together or not at all."""

    reports = fields.List(
        fields.Nested(UsageReportCreate),
        required=True,
        validate=validate.Length(min=1),
        metadata={"description": f"At most {MOST:,}."},
    )

    @pre_load
    def _not_too_many(self, data: Any, **_: Any) -> Any:
        """Before any of them is looked at."""
        if isinstance(data, dict) and isinstance(data.get("reports"), list) and len(data["reports"]) > MOST:
            raise ValidationError(f"At most {MOST:,}.", "reports")
        return data


class UsageReportAnswer(Answer):
    """A report that is counted."""

    idempotency_key = fields.String()
    account_id = fields.String()
    owner_id = fields.String()
    credential_id = fields.String(allow_none=True)
    metric = fields.String(validate=_METRIC)
    amount = fields.Integer()
    day = fields.String(metadata={"format": "date"})
    created_at = Instant()


class UsageReportsAnswer(Answer):
    """The reports, in the order of the request."""

    reports = fields.List(fields.Nested(UsageReportAnswer))


AGAIN = "All of it was counted before; nothing has changed."


@blueprint.post("/usage")
@edge(Permission.USAGE_WRITE)
@blueprint.arguments(UsageReportCreate)
@blueprint.response(201, UsageReportAnswer)
@blueprint.alt_response(200, schema=UsageReportAnswer, description=AGAIN)
def report_usage(body: dict[str, Any]) -> Response:
    """Report what was used. Sent again it is counted once, and answered as the first time."""
    try:
        counted = _count([body])
    except DomainError as refusal:  # its fields are the body's own
        refusal.fields = {name.removeprefix("reports.0."): words for name, words in refusal.fields.items()}
        raise
    return _answer(_report(counted.rows[0]), counted)


@blueprint.post("/usage/batch")
@edge(Permission.USAGE_WRITE)
@blueprint.arguments(UsageReportsCreate)
@blueprint.response(201, UsageReportsAnswer)
@blueprint.alt_response(200, schema=UsageReportsAnswer, description=AGAIN)
def report_usage_batch(body: dict[str, Any]) -> Response:
    """Report many at once: all of them are counted, or none. 201 where any of it is new."""
    counted = _count(body["reports"])
    return _answer({"reports": [_report(row) for row in counted.rows]}, counted)


def _count(bodies: list[dict[str, Any]]) -> Counted:
    reports = [Report(**{**one, "metric": Metric(one["metric"])}) for one in bodies]
    return repeated(lambda: usage_reports.count(reports, account=reach(), by=reporter()))


def _answer(told: dict[str, Any], counted: Counted) -> Response:
    return Response(db.encode(told), 201 if counted.new else 200, mimetype="application/json")


def _report(row: UsageReport) -> dict[str, Any]:
    return {
        "idempotency_key": row.key,
        "account_id": row.account_id,
        "owner_id": row.owner_id,
        "credential_id": row.credential_id,
        "metric": row.metric,
        "amount": row.amount,
        "day": row.day,
        "created_at": clock.rfc3339(row.created_at),
    }


# --- reading ----------------------------------------------------------------------------------------------------


class _Period(Schema):
    """``from`` is a word of Python's own."""

    owner_id = Text(most=64, pattern=ID)
    metric = fields.String(validate=_METRIC)
    to = Day(metadata={"description": "The last day; today if absent."})


UsagePeriod = _Period.from_dict(
    {"from": Day(attribute="since", metadata={"description": "The first day; that of the month of `to` if absent."})},
    name="UsagePeriod",
)


class UsagePage(Page, UsagePeriod):  # type: ignore[misc, valid-type]  # made from a dict
    """Whose usage, of what, and when; a page of the owners."""

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        days = _days(data)
        if days.last < days.first:
            raise ValidationError("Must not lie before from.", "to")
        if days.last - days.first >= timedelta(days=LONGEST_PERIOD):
            raise ValidationError(f"At most {LONGEST_PERIOD} days.", "from")


class UsageMetricAnswer(Answer):
    """``amount`` is what was asked for; ``month_amount``, ``limit`` (null = none), ``percent`` and ``overage`` are the
    whole account's in ``month``, that of the last day."""

    metric = fields.String(validate=_METRIC)
    amount = fields.Integer()
    month = fields.String()
    month_amount = fields.Integer()
    limit = fields.Integer(allow_none=True)
    percent = fields.Integer(allow_none=True)
    overage = fields.Integer()


class UsageDayAnswer(Answer):
    """The total of one day; days without any are left out."""

    day = fields.String(metadata={"format": "date"})
    metric = fields.String(validate=_METRIC)
    amount = fields.Integer()


UsageAmountsAnswer = Answer.from_dict({metric.value: fields.Integer() for metric in Metric}, name="UsageAmountsAnswer")
UsageCredentialsAnswer = Answer.from_dict(
    {kind: fields.Integer() for kind in usage.CREDENTIALS}, name="UsageCredentialsAnswer"
)


class UsageOwnerAnswer(Answer):
    """A member or bot user with what she or it has used in the days asked for, and the credentials of now."""

    owner_id = fields.String()
    owner_type = fields.String(validate=validate.OneOf(["user", "bot_user"]))
    name = fields.String(allow_none=True)
    state = fields.String(validate=validate.OneOf(["active", "inactive", "deleted"]))
    amounts = fields.Nested(UsageAmountsAnswer)
    credentials = fields.Nested(UsageCredentialsAnswer)


_Usage = Answer.from_dict(
    {"from": fields.String(metadata={"format": "date"}), "to": fields.String(metadata={"format": "date"})},
    name="_Usage",
)


class UsageAnswer(_Usage):  # type: ignore[misc, valid-type]  # made from a dict
    """Totals by metric, by day and by owner; the owners are paged."""

    plan = fields.String()
    metrics = fields.List(fields.Nested(UsageMetricAnswer))
    days = fields.List(fields.Nested(UsageDayAnswer))
    owners = fields.List(fields.Nested(UsageOwnerAnswer))
    uri = fields.String(metadata={"format": "uri"})
    next_page_uri = fields.String(allow_none=True, metadata={"format": "uri"})


@blueprint.get("/usage")
@guard(Permission.USAGE_READ)
@blueprint.arguments(UsagePage, location="query")
@blueprint.response(200, UsageAnswer)
def get_usage(asked: dict[str, Any]) -> dict[str, Any]:
    """What was used from one day to another, with the plan's limits."""
    account, days, owner_id = actor().account, _days(asked), asked.get("owner_id")
    metrics = [Metric(asked["metric"])] if "metric" in asked else list(Metric)
    by_day = usage.by_day(account, days, owner_id=owner_id)
    owners = usage.by_owner(
        account, days, owner_id=owner_id, before_id=asked.get("before_id"), limit=asked["limit"] + 1
    )
    page = shown("owners", owners, asked)
    return {
        "from": days.first.isoformat(),
        "to": days.last.isoformat(),
        "plan": account.plan,
        "metrics": [
            {
                "metric": one.metric,
                "amount": sum(by_day[one.metric].values()),
                "month": one.month,
                "month_amount": one.used,
                "limit": one.limit,
                "percent": one.percent,
                "overage": one.overage,
            }
            for one in usage.allowances(account, usage.month_of(days.last.isoformat()))
            if one.metric in metrics
        ],
        "days": [
            {"day": day, "metric": metric, "amount": amount}
            for metric in metrics
            for day, amount in by_day[metric].items()
        ],
        **page,
        "owners": [_owner(one) for one in page["owners"]],
    }


def _days(asked: dict[str, Any]) -> Days:
    last = asked.get("to") or usage.today()
    return Days(asked.get("since") or last.replace(day=1), last)


def _owner(one: OwnerUsage) -> dict[str, Any]:
    return {
        "owner_id": one.id,
        "owner_type": one.type,
        "name": one.name,
        "state": one.state,
        "amounts": one.amounts,
        "credentials": one.credentials,
    }
