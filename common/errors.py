"""The root of every error that a person is meant to read."""


class TidegateError(Exception):
    """Something a person can mend. The message is one sentence that names the thing and the remedy."""


class InvalidEvent(TidegateError):
    """A message is not a CloudEvent, or its data is not what its content type says."""


class BrokerUnreachable(TidegateError):
    """No Kafka broker answers at the given address."""


class InvalidSetting(TidegateError):
    """An environment variable is missing, or has a value that cannot be used."""
