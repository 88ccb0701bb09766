"""`laconic doctor` on services: keys that are there or not, never shown, and the Hub.

The quickstart needs none of them, so nothing here fails.
"""

import netrc
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from rl.cli.finding import Finding, good, warning

HUB = "https://huggingface.co"
WANDB = "https://api.wandb.ai"
HUB_SECONDS = 5.0


def wandb_key() -> Finding:
    """Whether W&B runs go online; a key's value is read by nobody here."""
    mode = os.environ.get("WANDB_MODE")
    if mode in ("offline", "disabled", "dryrun"):
        return good("wandb key", f"not needed: WANDB_MODE={mode}")
    host = urlsplit(os.environ.get("WANDB_BASE_URL", WANDB)).hostname or ""
    if "WANDB_API_KEY" in os.environ:
        return good("wandb key", "present in WANDB_API_KEY (not shown)")
    if host in netrc_hosts():
        return good("wandb key", f"present for {host} in the netrc file (not shown)")
    return warning("wandb key", f"none for {host}: runs are recorded offline", "`wandb login`")


def netrc_hosts() -> list[str]:
    """Hosts with an entry in the netrc file; a file that cannot be read has none."""
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return list(netrc.netrc(path).hosts)
    except (OSError, netrc.NetrcParseError):
        return []


def hub_token() -> Finding:
    """Whether models that want a login can be loaded, and runs pushed."""
    from huggingface_hub import get_token

    if get_token():
        return good("hub token", "present (not shown)")
    return warning("hub token", "none: no private model, no export --push", "`hf auth login`")


def hub() -> Finding:
    """Whether the Hub answers; models in its cache and the lab need no network."""
    address = os.environ.get("HF_ENDPOINT", HUB)
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return good("hub", "offline by HF_HUB_OFFLINE: cached models and the lab only")
    mend = "check network and proxy; the lab needs neither"
    try:
        urllib.request.urlopen(
            urllib.request.Request(address, method="HEAD"), timeout=HUB_SECONDS
        ).close()
    except urllib.error.HTTPError as error:
        return good("hub", f"{address} answers ({error.code})")
    except (OSError, ValueError) as error:
        return warning("hub", f"{address} does not answer ({error})", mend)
    return good("hub", f"{address} answers")
