"""How many refusals of a connection are written down: as an event and a flow, each with its reference.

Anybody may post anything here, and may do so to blind the account's administrators. So there is a budget for each kind
of refusal, and within it for each who causes them: whoever uses up one takes nothing from the others. Past its budget a
refusal is logged, and its reference is the operation id.
"""

from dataclasses import dataclass

from idp_bridge.errors import TooManyRequests
from idp_bridge.models import IdentityProvider
from idp_bridge.rates import HOUR, Limit


@dataclass(frozen=True)
class Budget:
    """So many refusals an hour of one payer, and so many of a connection."""

    of_payer: Limit
    of_connection: Limit

    def pays(self, provider: IdentityProvider, payer: str) -> bool:
        """Whether one more is written down. What a payer has no budget for takes nothing from the connection's."""
        try:
            self.of_payer.take(provider.id, payer)
            self.of_connection.take(provider.id)
        except TooManyRequests:
            return False
        return True


def budget(name: str, of_payer: int, of_connection: int) -> Budget:
    """The budget of that name."""
    return Budget(
        Limit(f"{name} of one", of_payer, HOUR),
        Limit(name, of_connection, HOUR),
    )


#: What a provider signed for us, and is no sign-in all the same. The payer is who it is about.
VERIFIED = budget("refused, verified", 1_000, 20_000)
#: What was begun here, unverified: an answer to a request that is pending, or a visit to /start or /finish. The payer
#: is the network address that began it: only who begins more than people do can use that up.
BEGUN = budget("refused, begun here", 1_000, 10_000)
#: Whatever else is posted. The payer is the network address that it came from, as for logout messages.
STRAY = budget("refused, stray", 500, 1_000)
LOGOUT = budget("refused, logout", 500, 1_000)
