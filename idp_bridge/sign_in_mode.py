"""The mode in which an account's members sign in: mixed, or single sign-on enforced, as it is at a moment.

Enforcing may be on trial, and then ends by the clock: at exactly ``enforced_until``, and after it, the mode is mixed.
That is asked anew at each use, of the clock of the machine that is asked, so that it rests on no job and on no other
process; the row follows later (enforcement.py). Whoever decides by the mode asks here, never the column alone.
"""

from datetime import datetime
from typing import Any

from idp_bridge import clock
from idp_bridge.models import Account

MIXED, ENFORCED = "mixed", "enforced"
MODES = (MIXED, ENFORCED)


def of(account: Account, now: datetime | None = None) -> str:
    """The mode at this moment."""
    return MIXED if account.sso_mode == MIXED or trial_is_over(account, now) else ENFORCED


def trial_is_over(account: Account, now: datetime | None = None) -> bool:
    """Whether enforcing was on trial, and nobody has confirmed it in time."""
    return account.enforced_until is not None and account.enforced_until <= (now or clock.now())


def is_mixed(now: Any) -> Any:
    """The condition on an account to be in mixed mode at that moment."""
    return (Account.sso_mode == MIXED) | (Account.enforced_until <= now)
