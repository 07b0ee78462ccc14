"""What an event tells of a directory's record that was changed: its attributes before and after, those that differ, and
as the request log keeps them (masking.py)."""

from collections.abc import Mapping
from typing import Any

from idp_bridge.db import encode
from idp_bridge.provisioning.directory import Directory
from idp_bridge.provisioning.masking import Masking
from idp_bridge.provisioning.records import Written

LONGEST = 4096  # characters of JSON, of one attribute: an event is sent to every webhook


def change_of(directory: Directory, change: Written, *, without: str | None = None) -> dict[str, Any]:
    """``before`` and ``after``, or nothing where no attribute differs but ``without``, which is told otherwise."""
    masking = Masking.of(directory.catalogue)
    before, after = _told(change.before or {}, masking, without), _told(change.after or {}, masking, without)
    return {"before": before, "after": after} if before or after else {}


def _told(attributes: Mapping[str, Any], masking: Masking, without: str | None) -> dict[str, Any]:
    told = {name: value for name, value in attributes.items() if name != without}
    masked: dict[str, Any] = masking.value(told)
    if len(encode(masked)) <= LONGEST:
        return masked
    return {
        name: value if (size := len(encode(value))) <= LONGEST else _left_out(size) for name, value in masked.items()
    }


def _left_out(size: int) -> str:
    return f"({size} characters, left out)"
