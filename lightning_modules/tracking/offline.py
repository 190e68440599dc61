"""Find out, within seconds, whether Weights & Biases can be reached."""

import http.client
import netrc
import os
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Seconds that the server has to answer; the client of W&B waits a minute and more.
TIMEOUT = 3.0
# Versions of wandb that know its server under another name store keys under this one.
_USUAL_HOST = "api.wandb.ai"


def reason_to_stay_offline(settings: Any) -> str | None:
    """Say why a run cannot be online, or return None if it can, or if the user has decided.

    Args:
        settings: ``wandb.setup().settings``, with ``base_url``, ``mode`` and the credentials.
    """
    if "WANDB_MODE" in os.environ or settings.mode != "online":
        return None
    if not has_credentials(settings):
        return "no API key is configured (wandb login stores one)"
    if not answers(settings.base_url):
        return f"{settings.base_url} does not answer"
    return None


def has_credentials(settings: Any) -> bool:
    """Look for a key where W&B does, without asking for one."""
    if settings.api_key or settings.identity_token_file:
        return True
    try:
        keys = netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc")
    except (OSError, netrc.NetrcParseError):
        return False
    hosts = (urlsplit(settings.base_url).netloc, _USUAL_HOST)
    return any(keys.authenticators(host) for host in hosts)


def answers(url: str, timeout: float = TIMEOUT) -> bool:
    """Try whether a server answers at all; takes no longer than ``timeout`` seconds.

    Asks through the proxy of the environment, if there is one, as W&B itself would.
    """
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=timeout).close()
            answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except urllib.error.URLError as error:
            # Whether its certificate will do is for W&B to judge, by its own settings.
            if isinstance(error.reason, ssl.SSLError):
                answered.set()
        except (OSError, ValueError, http.client.HTTPException):
            pass

    # In a thread, because looking up a name can take longer than any timeout of urlopen.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()
