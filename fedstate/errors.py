"""The roots of every error FedState raises on purpose. Imports nothing, so that everything may import it."""


class FedstateError(Exception):
    """Something FedState understands well enough to say in a sentence to whoever runs it.

    `retry_after` is how many seconds to wait before trying again, where somebody asked for a certain time; `routine` marks what
    belongs to normal life with several writers, and is not worth a warning.
    """

    retry_after: float | None = None
    routine: bool = False


class TerminalError(FedstateError):
    """Trying again is useless until the object changes: the controller counts it, and does not requeue the key.

    `reason` is a CamelCase word for a condition, `message` a sentence naming the field and the fix.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
