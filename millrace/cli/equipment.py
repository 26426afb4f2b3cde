"""What every command that touches bytes or state needs first: settings, and storage set up."""

from __future__ import annotations

from typing import Any

from millrace.settings import Settings
from millrace.storage.s3_endpoint import configure


def equipped(**asked: Any) -> Settings:
    """The settings of this process, flags that were given over the rest; storage knows of them."""
    settings = Settings.load(**{name: each for name, each in asked.items() if each is not None})
    configure(settings.s3_endpoint_url, settings.s3_region, settings.s3_addressing)
    return settings
