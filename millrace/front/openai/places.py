"""Where the bytes of files and batches lie: below one root, by ids and never by names."""

from __future__ import annotations

from millrace import storage
from millrace.errors import AccessDenied
from millrace.settings import Settings
from millrace.storage.uri import join


def file_uri(settings: Settings, tenant: str, file_id: str) -> str:
    """The object of one file."""
    return join(_folder(settings, tenant), "file", file_id)


def batch_folder(settings: Settings, tenant: str, batch_id: str) -> str:
    """The folder of the job that a batch becomes."""
    return join(_folder(settings, tenant), "batch", batch_id)


def _folder(settings: Settings, tenant: str) -> str:
    if not settings.files_root and not settings.is_embedded:
        raise AccessDenied(
            "FILES_OFF",
            "this server has no place for files",
            "an operator has to name one that all machines reach, by the setting files_root",
        )
    root = settings.files_root or str(settings.state.absolute() / "files")
    return join(storage.normalise(root), "tenant", tenant)
