"""What S3 complains of, in words for people, and whether asking again may help."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004
    CredentialRetrievalError,
    HTTPClientError,
    ParamValidationError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from millrace.errors import Conflict, InvalidInput, MillraceError, NotFound, Unavailable

_BUSY = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "RequestTimeout",
        "RequestTimeoutException",
        "BadDigest",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
        "IncompleteBody",
        "OperationAborted",
        "ConditionalRequestConflict",
        "InternalError",
        "ServiceUnavailable",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull"})
_FORBIDDEN = frozenset(
    {
        *_EXPIRED,
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
    }
)
_CONNECTION = (ConnectionError, HTTPClientError, CredentialRetrievalError, ResponseParserError)
_ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


BOTO_ERRORS = (BotoCoreError, ClientError, ResponseParserError)
"""All that boto3 raises for what happens outside this process."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of S3, for the words about its failure."""

    action: str
    """As policies name it: ``s3:GetObject``."""
    uri: str


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    match error:
        case ClientError():
            status = _status(error)
            broken = status >= 500 and status != 501
            return broken or status == 429 or _code(error) in _BUSY
        case SSLError():
            return False
        case _:
            return isinstance(error, _CONNECTION)


def is_expired(error: BaseException) -> bool:
    """Whether other credentials may have been laid ready meanwhile."""
    return isinstance(error, ClientError) and _code(error) in _EXPIRED


def translate(error: Exception, asked: Request) -> MillraceError:
    """Our own error for what botocore raised.

    `NotFound`; `Conflict` CONDITION_FAILED for a condition that does not hold; `Unavailable` where
    trying again may help; `InvalidInput` where it will not.
    """
    if isinstance(error, ClientError):
        return _refused(error, asked)
    reason = f"{_said(asked)}: {error}"
    match error:
        case ParamValidationError():
            return InvalidInput("URI_NOT_ALLOWED", reason, "rename the object")
        case SSLError():
            hint = "check the certificate; AWS_CA_BUNDLE names one of your own"
            return Unavailable("STORAGE_UNREACHABLE", reason, hint)
        case _ if is_transient(error):
            hint = "check that the S3 server runs and that the endpoint is right"
            return Unavailable("STORAGE_UNREACHABLE", reason, hint)
        case _:
            hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            return InvalidInput("STORAGE_FORBIDDEN", reason, hint)


def _refused(error: ClientError, asked: Request) -> MillraceError:
    code, status = _code(error), _status(error)
    reason = f"{_said(asked)}: {_reason(error)}"
    match code:
        case "NoSuchBucket":
            return NotFound("BUCKET_NOT_FOUND", reason, "check the bucket's name and the endpoint")
        case "InvalidObjectState":
            return InvalidInput(
                "INPUT_ARCHIVED", f"{asked.uri} is archived: {_reason(error)}", "restore it first"
            )
        case "RequestTimeTooSkewed":
            return InvalidInput("CLOCK_SKEWED", reason, "set this machine's clock")
        case _ if code in _FULL or status == 507:
            return Unavailable("BUCKET_FULL", reason, "raise the quota or free some space")
        case _ if code in _ELSEWHERE or status in (301, 307):
            return InvalidInput(
                "STORAGE_REGION", reason, "name the bucket's region: MILLRACE_S3_REGION"
            )
    return _by_status(error, asked, reason)


def _by_status(error: ClientError, asked: Request, reason: str) -> MillraceError:
    code, status = _code(error), _status(error)
    if is_transient(error):
        return Unavailable("STORAGE_BUSY", reason, "the server is busy or broken; try again later")
    if status == 404:
        return NotFound("NOT_FOUND", f"there is no {asked.uri}", "check the name")
    if status == 412:
        return Conflict("CONDITION_FAILED", reason)
    if status == 416:
        return InvalidInput("RANGE_NOT_SATISFIABLE", reason)
    if status in (401, 403) or code in _FORBIDDEN:
        hint = "check the credentials and that the bucket's policy allows " + asked.action
        return InvalidInput("STORAGE_FORBIDDEN", reason, hint)
    return InvalidInput("STORAGE_REFUSED", reason, "check the endpoint and the name")


def _said(asked: Request) -> str:
    return f"{asked.action} failed for {asked.uri}"


def _reason(error: ClientError) -> str:
    code, text = _code(error), error.response.get("Error", {}).get("Message") or ""
    return f"{code}, {text}" if text and text != code else code


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
