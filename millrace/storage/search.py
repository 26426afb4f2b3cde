"""Finding the objects that an input names: one object, all of a folder or prefix, or a pattern.

In a pattern ``*`` and ``?`` stand for anything inside one name, ``[…]`` for one of some characters,
and ``**`` for any number of folders. An object of just that name comes before what the pattern
would find.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from millrace.errors import InvalidInput, NotFound
from millrace.storage.base import Storage, StoredObject
from millrace.storage.uri import names

MAX_OBJECTS = 100_000

_SPECIAL = frozenset("*?[")
_HINT = "empty files and names that start with . or _ are left out"


def find(store: Storage, uri: str) -> Iterator[StoredObject]:
    """What `uri` names, sorted by URI; empty objects count only where they are named themselves.

    `InvalidInput`: INPUT_NOT_FOUND, INPUT_FORBIDDEN, EMPTY_PREFIX, TOO_MANY_OBJECTS,
    DUPLICATE_INPUT.
    """
    try:
        yield from _named(store, uri)
    except NotFound as error:
        raise InvalidInput("INPUT_NOT_FOUND", error.message, error.hint) from error
    except InvalidInput as error:
        raise of_input(error) from error


def of_input(error: InvalidInput) -> InvalidInput:
    """The same error, by the name that it has where it is an input that may not be read."""
    if error.code != "STORAGE_FORBIDDEN":
        return error
    return InvalidInput("INPUT_FORBIDDEN", error.message, error.hint)


def matches(path: list[str], pattern: list[str]) -> bool:
    """Whether a pattern describes these names, from the first to the last."""
    reached = {0}
    for part in pattern:
        if part == "**" and reached:
            reached = set(range(min(reached), len(path) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(path) and fnmatchcase(path[at], part)}
    return len(path) in reached


def _named(store: Storage, uri: str) -> Iterator[StoredObject]:
    missing: NotFound | None = None
    try:
        yield store.info(uri)
        return
    except NotFound as error:
        missing = error
    except InvalidInput as error:
        if error.code != "IS_A_FOLDER":
            raise
    found = None
    for found in _checked(_candidates(store, uri, missing), uri):
        yield found
    if found is not None:
        return
    if missing is None:
        raise InvalidInput("EMPTY_PREFIX", f"{uri} holds no files", _HINT)
    raise NotFound(
        "NOT_FOUND", f"there is no {uri} and nothing below it", f"check --input; {_HINT}"
    )


def _candidates(store: Storage, uri: str, missing: NotFound | None) -> Iterator[StoredObject]:
    """All objects of the folder, or those that the pattern finds where there is no such folder."""
    pattern = names(uri)
    first = next((at for at, name in enumerate(pattern) if _SPECIAL & set(name)), None)
    if missing is None or first is None:
        return store.list(uri)
    scheme, _, path = uri.partition("://")
    folder = f"{scheme}://" + ("/".join(path.split("/")[:first]) or "/")
    listed = store.list(folder)
    return (found for found in listed if matches(names(found.uri)[first:], pattern[first:]))


def _checked(listed: Iterator[StoredObject], uri: str) -> Iterator[StoredObject]:
    count, last = 0, ""
    for found in listed:
        if found.uri <= last:
            raise InvalidInput(
                "DUPLICATE_INPUT",
                f"{found.uri} is listed twice, or out of order, below {uri}",
                "check the storage; every file counts once",
            )
        last = found.uri
        if found.size:
            count += 1
            if count > MAX_OBJECTS:
                raise InvalidInput(
                    "TOO_MANY_OBJECTS",
                    f"{uri} has over {MAX_OBJECTS:,} files",
                    "join small files, or run several jobs with a pattern each",
                )
            yield found
