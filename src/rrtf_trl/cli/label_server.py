"""`rrtf label SOURCE`: serve the page until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from rrtf_trl.errors import UserError
from rrtf_trl.labeling.label_file import LabelFile
from rrtf_trl.labeling.sources import default_labels, read_items

_SHUTDOWN_SECONDS = 2  # that an unfinished request may delay the end; what was saved is on the disk


def serve(
    source: Path,
    *,
    labels: Path | None,
    per_item: int,
    answers: int,
    state: str | None,
    seed: int,
    host: str,
    port: int,
    allow_remote: bool,
    public_url: str | None,
) -> int:
    """Serve the labelling page; return the exit status. The arguments are those of ``rrtf label``.

    Raises:
        UserError: If an argument is wrong, or the address cannot be listened on.
        InputError: If the source or the labels file cannot be read.
    """
    try:
        import uvicorn

        from rrtf_trl.labeling.guard import Access, is_loopback
        from rrtf_trl.labeling.server import build_app
        from rrtf_trl.labeling.session import LabelingSession
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None

    if per_item < 1:
        raise UserError(f"--per-item must be 1 or more, got {per_item}")
    if not 0 <= port <= 65535:
        raise UserError(f"--port must be from 0 to 65535, got {port}")
    remote = public_url is not None or not is_loopback(host)
    if remote and not allow_remote:
        raise UserError(
            f"{public_url or host} can be reached from other machines: add --allow-remote if you want that. The page "
            "then asks for a token; use a proxy with TLS where you share the network"
        )
    own_token = os.environ.get("RRTF_LABEL_TOKEN") or None
    access = Access(host, own_token or (secrets.token_urlsafe(24) if remote else None), public_url)
    items = read_items(source, answers=answers, state=state, seed=seed)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    with LabelFile(labels or default_labels(source)) as file, _listen(host, port) as listening:
        session = LabelingSession(file, items, per_item, seed)
        url = (public_url or f"http://{_url_host(host)}:{listening.getsockname()[1]}").rstrip("/")
        each = f"{per_item} label{'s' * (per_item > 1)} each"
        console.print(f"label: {len(items)} items from {source}, {each}; {session.progress('').labels} are done")
        console.print(f"label: every action goes to {file.path}")
        if remote and not own_token:
            console.print("label: the token is new at each start; set RRTF_LABEL_TOKEN to keep one")
        address_line = f"label: open {url}/{f'?token={access.token}' if access.token else ''}   (Ctrl-C ends)"
        config = uvicorn.Config(
            build_app(session, access, lambda: console.print(address_line)),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
        _print_summary(console, file)
    return 0


def missing_extra(error: ModuleNotFoundError) -> UserError:
    """Return the error for a package of the extra that is not installed."""
    return UserError(f"{error.name} is not installed: pip install 'rrtf-trl[label]'")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port or --host"
        ) from None


def _url_host(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _print_summary(console: Console, file: LabelFile) -> None:
    """Print how many labels the file has, and the commands that use them."""
    labels = file.ledger.labels()
    people = sorted({label.annotator for label in labels})
    console.print(
        f"label: {len(labels)} label{'s' * (len(labels) != 1)} by {', '.join(people) or 'nobody'} in {file.path}"
    )
    if labels:
        console.print(f"  rrtf label agreement {file.path}")
        console.print(f"  rrtf run 'feedback=[unit_tests,human]' feedback.human.labels={file.path}")
