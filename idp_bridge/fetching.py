"""Fetching a document that a customer names by URL, without becoming her way into our own network.

https only, no redirects, no proxy or credential from the environment, and only public addresses: the name is resolved
once, the address checked, and the connection made to that very address, so a name that changes between check and use
gains nothing.
"""

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3
from requests_hardened import Config, Manager
from requests_hardened.ip_filter import InvalidIPAddress

from idp_bridge.errors import Code, Invalid

CHUNK = 16 * 1024


@dataclass(frozen=True)
class Limits:
    """How much and how long; ``loopback`` and ``authority`` (a CA file) are for a server on this machine."""

    octets: int = 1024 * 1024
    seconds: float = 5.0
    loopback: bool = False
    authority: str | None = None


PUBLIC = Limits()


def fetch(url: str, *, field: str, limits: Limits | None = None) -> str:
    """The text at ``url``. Raises Invalid, which names ``field``, in words that tell nothing of our network."""
    limits = limits or PUBLIC
    try:
        if urlsplit(url).scheme != "https":
            raise _refused(field, "The URL must begin with https://.")
        return _read(url, field, limits).decode()
    except InvalidIPAddress as error:
        raise _refused(field, "The URL leads to an address that is not public; paste the document instead.") from error
    except requests.exceptions.SSLError as error:
        raise _refused(field, "The server's TLS certificate is not valid.") from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise _refused(field, f"The server did not answer within {limits.seconds:g} seconds.") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _refused(field, "The server could not be reached.") from error
    except UnicodeDecodeError as error:
        raise _refused(field, "The document is not UTF-8 text.") from error
    except ValueError as error:
        raise _refused(field, "This is not a URL.") from error


def _read(url: str, field: str, limits: Limits) -> bytes:
    deadline = time.monotonic() + limits.seconds
    manager = Manager(
        Config(
            ip_filter_enable=True,
            ip_filter_allow_loopback_ips=limits.loopback,
            never_redirect=True,
            default_timeout=(limits.seconds, limits.seconds),
            user_agent_override="idp-bridge",
        )
    )
    with manager.get_session() as session:
        session.trust_env = False
        plain = {"Accept-Encoding": "identity"}
        with session.get(url, stream=True, verify=limits.authority or True, headers=plain) as response:
            if response.is_redirect:
                raise _refused(field, "The server redirects; give the address where the document is.")
            if response.status_code != 200:
                raise _refused(field, f"The server answered with status {response.status_code}.")
            received = bytearray()
            # read1 gives what has come; iter_content would wait for a whole chunk, for ever where it comes in drips.
            while chunk := response.raw.read1(CHUNK):
                received += chunk
                if len(received) > limits.octets:
                    raise _refused(field, f"The document is larger than {limits.octets} bytes.")
                if time.monotonic() > deadline:  # the timeout of the socket is for each read: a drip would pass it
                    raise requests.exceptions.Timeout
            return bytes(received)


def _refused(field: str, words: str) -> Invalid:
    return Invalid(f"{field} cannot be used: {words}", code=Code.INVALID_METADATA, fields={field: [words]})
