# SPDX-License-Identifier: GPL-3.0-or-later
"""One tree of errors, so that a caller catches as much or as little of this room as it wants.

AnchorError
├── FormatError          bytes that are not what their format says; names the line
│   ├── IJsonError       JSON that two parsers could read differently
│   ├── Base64Error      base64 or base64url that is not canonical
│   ├── CodeError        a trace code or Digital Link that is not well formed
│   ├── RecordError      a record's presentation; names the field
│   ├── BatchError       a batch note or body; names the record and the field
│   ├── NoteError        a signed note
│   │   └── NotSignedError    its signature is missing or does not verify
│   ├── ReceiptError     a receipt's text
│   ├── CheckpointError  a checkpoint's text
│   ├── ProofError       a tlog-proof
│   ├── ShapeError       a JSON value of another shape (anchor.shape)
│   ├── EvidenceError    an evidence file: malformed, too large, newer (anchor.evidence)
│   └── TrustError       a trust file, or one that may not replace another (anchor.trust)
├── KeyFileError         a key file that is unsafe, missing or no key
└── LogError             the log on disk
    ├── LogCorruptError  bytes on disk are not what the checkpoint says; names the file
    └── LogLockedError   another process writes this log
"""


class AnchorError(Exception):
    """Root of everything this room raises on purpose."""


class FormatError(AnchorError, ValueError):
    """Bytes that are not what their format says.

    `line` counts from 1 within the text that was parsed, or is None where lines mean nothing.
    """

    def __init__(self, message: str, *, line: int | None = None) -> None:
        self.line = line
        super().__init__(message if line is None else f"line {line}: {message}")


class IJsonError(FormatError):
    """JSON that is malformed, too large, too deep, or that two parsers could read differently."""


class Base64Error(FormatError):
    """Text that is not canonical base64 or base64url of the expected length."""


class CodeError(FormatError):
    """A trace code or GS1 Digital Link that is not well formed.

    `vi` and `en` say the same to a person; the message is both.
    """

    def __init__(self, vi: str, en: str) -> None:
        self.vi = vi
        self.en = en
        super().__init__(f"{vi} · {en}")


class RecordError(FormatError):
    """A record's presentation that is not well formed.

    `field` names the field at fault, where there is one; `reason` is the message without it.
    """

    def __init__(self, message: str, *, line: int | None = None, field: str | None = None) -> None:
        self.field = field
        self.reason = message
        super().__init__(message if field is None else f"field {field}: {message}", line=line)


class BatchError(FormatError):
    """A batch note or body that is not well formed or does not agree with its records.

    `record` is the index of the record at fault, from 0, and `field` its field, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        record: int | None = None,
        field: str | None = None,
    ) -> None:
        self.record = record
        self.field = field
        super().__init__(message if record is None else f"record {record}: {message}", line=line)


class NoteError(FormatError):
    """A signed note that is not well formed."""


class NotSignedError(NoteError):
    """A note without a valid signature by the expected key."""


class ReceiptError(FormatError):
    """A receipt's text that is not well formed."""


class CheckpointError(FormatError):
    """A checkpoint's text that is not well formed or not of the expected log."""


class ProofError(FormatError):
    """A tlog-proof that is not well formed."""


class KeyFileError(AnchorError):
    """A key file that is missing, readable by others, already there, or not a key of the expected kind."""


class LogError(AnchorError):
    """The log on disk cannot do what was asked."""


class LogCorruptError(LogError):
    """Bytes on disk are not what the checkpoint says; `file` is the path within the log's folder."""

    def __init__(self, file: str, message: str) -> None:
        self.file = file
        super().__init__(f"nhật ký trên đĩa không đúng ở tệp này · {file}: {message}")


class LogLockedError(LogError):
    """Another process is writing this log."""
