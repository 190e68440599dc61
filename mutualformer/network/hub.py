"""Whether the Hugging Face hub can be asked, without the minute that asking in vain takes."""

import threading
import urllib.error
import urllib.request

import huggingface_hub

TIMEOUT = 2.0
"""Seconds to wait for a sign of life from the hub before giving up."""


def is_reachable() -> bool:
    """Return within about two seconds whether the hub answers; False if HF_HUB_OFFLINE forbids."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    reached: list[bool] = []

    def knock() -> None:
        try:
            urllib.request.urlopen(endpoint(), timeout=TIMEOUT).close()
        except urllib.error.HTTPError:
            pass  # An answer all the same: the hub is there.
        except (OSError, ValueError):
            return
        reached.append(True)

    # In a thread, because looking up a name has no timeout of its own.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return bool(reached)


def endpoint() -> str:
    """Return the address of the hub, which $HF_ENDPOINT may replace."""
    return huggingface_hub.constants.ENDPOINT
