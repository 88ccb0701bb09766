"""Publishing an export on the Hugging Face Hub: one push is one commit, or none.

Flow: what is there already? -> make the repository -> every file and the deletion of stale weights
in one commit. The key is huggingface_hub's own (`hf auth login` or HF_TOKEN); nothing here reads,
shows or stores it.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelInfo

TAG = "laconic"
"""The tag of every model card of ours; a repository without it is somebody's other work."""

WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
"""Files that would be loaded beside or instead of ours if an earlier push left them."""

LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a key with the right to write"


class PushError(ValueError):
    """The export was not published; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did: `changed` is False when the Hub held the same files and got no commit."""

    url: str
    commit: str
    changed: bool


def push(folder: Path, name: str, message: str, *, private: bool = False) -> Pushed:
    """Publishes the files of `folder` as the model `name` (USER/NAME) in exactly one commit.

    The repository is made when it is missing, `private` if asked. Raises PushError without a key or
    the right to write, when `name` is taken by something that is not an export of Laconic (or is
    public while `private` is asked), and when the Hub cannot be reached.
    """
    from huggingface_hub import HfApi, get_token

    _quiet()
    if get_token() is None:
        raise PushError(f"no key for the Hugging Face Hub: {LOGIN}")
    api = HfApi()
    with _named(name):
        before = _repository(api, name, private)
        commit = api.create_commit(
            name, _operations(folder, _paths(before)), commit_message=message
        )
    return Pushed(
        url=f"{api.endpoint}/{name}", commit=str(commit.oid), changed=commit.oid != before.sha
    )


def _repository(api: "HfApi", name: str, private: bool) -> "ModelInfo":
    """The repository before the push, made if there was none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.model_info(name)
    except RepositoryNotFoundError:
        api.create_repo(name, private=private, exist_ok=True)
        return api.model_info(name)
    if problem := _occupied(found, private):
        raise PushError(f"{name}: {problem}")
    return found


def _occupied(found: "ModelInfo", private: bool) -> str:
    """Why the push must not go to an existing repository; empty when it may."""
    others = [path for path in _paths(found) if path != ".gitattributes"]
    if others and TAG not in (found.tags or []):
        return (
            f"the name is taken by a model that is no export of Laconic (it holds "
            f"{', '.join(others[:3])}, without the tag {TAG!r}); choose another name"
        )
    if private and not found.private:
        return "the repository is public; make it private in its settings, or leave out --private"
    return ""


def _operations(
    folder: Path, on_hub: Sequence[str]
) -> "list[CommitOperationAdd | CommitOperationDelete]":
    """Every file of `folder`, and the deletion of weights on the Hub that it does not hold."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = {path.relative_to(folder).as_posix(): path for path in files}
    stale = [path for path in on_hub if path.endswith(WEIGHTS) and path not in paths]
    return [
        *(CommitOperationAdd(path, str(file)) for path, file in paths.items()),
        *(CommitOperationDelete(path) for path in stale),
    ]


def _paths(repository: "ModelInfo") -> list[str]:
    return [sibling.rfilename for sibling in repository.siblings or []]


def _quiet() -> None:
    """Our messages say what happened; a progress bar is for a terminal."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        disable_progress_bars()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into one PushError."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    try:
        yield
    except PushError:
        raise
    except HFValidationError as error:
        raise PushError(f"{name!r} is no name of the Hub ({error}); give USER/NAME") from None
    except HfHubHTTPError as error:
        raise PushError(_refusal(name, error)) from None
    except OfflineModeIsEnabled:
        raise PushError("HF_HUB_OFFLINE is set: unset it to push") from None
    except (httpx.HTTPError, OSError) as error:
        raise PushError(
            f"the Hub cannot be reached ({type(error).__name__}: {error}); nothing was committed, "
            "push again"
        ) from None
    # An upload in a thread of huggingface_hub (RuntimeError), or a card that the Hub refuses.
    except (RuntimeError, ValueError) as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise PushError(_refusal(name, cause)) from None
        raise PushError(f"{name}: {error}; nothing was committed") from None


def _refusal(name: str, error: "Exception") -> str:
    """What an answer of the Hub means for the user; its URL may be signed and is not shown."""
    from huggingface_hub.errors import HfHubHTTPError

    assert isinstance(error, HfHubHTTPError)
    status = error.response.status_code
    said = f" ({error.server_message})" if error.server_message else ""
    match status:
        case 401:
            return f"the Hub refused the key (401{said}): {LOGIN}"
        case 403:
            return f"{name}: the key has no right to write there (403{said}); {LOGIN}"
        case 409:
            return f"{name}: the Hub reports a conflict (409{said}); choose another name"
    return f"{name}: the Hub answered {status}{said}; nothing was committed, push again"
