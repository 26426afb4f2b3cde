"""What a caller may name in a request: storage of their tenant, models that the operator put there.

Somebody at the command line has the rights of the process and needs no permits.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection

from millrace import catalog, storage
from millrace.access import tenants
from millrace.access.caller import Caller
from millrace.access.scopes import Scope
from millrace.errors import AccessDenied
from millrace.registry import models
from millrace.request import JobRequest
from millrace.settings import Settings
from millrace.spec import JobSpec
from millrace.storage.allowance import Allowance, root_uri
from millrace.storage.search import find
from millrace.storage.uri import scheme_of


@dataclass(frozen=True, slots=True)
class Permits:
    """What one caller may name."""

    storage: Allowance
    models: Allowance
    unsafe_models: bool

    def check_request(self, asked: JobRequest) -> None:
        """Refuse what may not be named, before anything of it is touched.

        `InvalidInput` and `AccessDenied` as of `Allowance.checked`; MODEL_FORMAT_FORBIDDEN for a
        model that is code.
        """
        self.storage.checked(asked.input)
        self.storage.checked(asked.output)
        self._check_model(asked)

    def check_input(self, spec: JobSpec) -> None:
        """The input is there, and no link in it leads out; `InvalidInput` says what is wrong."""
        found = find(storage.for_uri(spec.input), spec.input)
        if scheme_of(spec.input) == "file":
            self.storage.refuse_links(found)
        else:
            next(islice(found, 1), None)

    def _check_model(self, asked: JobRequest) -> None:
        engine, _, location = asked.model.partition(":")
        entry = catalog.engine(engine)
        code = sorted(entry.code_options & asked.options.keys())
        if (entry.is_code or code) and not self.unsafe_models:
            what = f"its option {code[0]!r}" if code else f"a model of the engine {engine!r}"
            raise AccessDenied(
                "MODEL_FORMAT_FORBIDDEN",
                f"{what} is code that workers would run",
                "use weights as safetensors, or ask an operator for the setting unsafe_models and a"
                " key with the scope models:unsafe",
            )
        if engine not in models.WITHOUT_FILES:
            self.models.checked(models.path_of(location))
        for name in code:
            self.models.checked(models.path_of(str(asked.options[name])))


def permits_of(conn: Connection, caller: Caller, settings: Settings) -> Permits:
    """What this caller may name, by the settings and by what was said about their tenant."""
    common = (root_uri(each.replace("{tenant}", caller.tenant)) for each in settings.storage_roots)
    own = tenants.roots_of(conn, caller.tenant)
    return Permits(
        storage=Allowance((*common, *own)),
        models=Allowance(tuple(map(root_uri, settings.model_roots))),
        unsafe_models=settings.unsafe_models and caller.may(Scope.MODELS_UNSAFE),
    )
