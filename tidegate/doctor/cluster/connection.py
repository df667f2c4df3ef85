"""The connection to the API server, and the reason if there is none."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError, SSLError

from common.redaction import HIDDEN, redact, redact_url
from tidegate.doctor.accessors import text
from tidegate.doctor.cluster import versions
from tidegate.doctor.cluster.client import Answer, Api
from tidegate.doctor.finding import Finding, Findings, error, note, ok

SUBJECT = "API server"
_REASONS = {
    401: (
        "does not accept the credentials: they have expired, or are for another cluster.",
        "log in again, so that the kubeconfig has new ones",
    ),
    403: ("authenticates this user, who may not even read its version.", "ask the cluster's administrator for permissions"),
}
# A call that any authenticated user may make; anonymous callers may read the version.
_AUTHENTICATED = "/apis"


def check(api: Api) -> Findings[bool]:
    """Check the connection. Returns whether the cluster can be inspected."""
    url = without_login(api.url)
    try:
        version = api.call("GET", "/version")
        groups = api.call("GET", _AUTHENTICATED)
        local = api.call("GET", "/tidegate/status")
    except (HTTPError, OSError, ValueError) as problem:
        yield unreachable(problem, url)
        return False
    refused = next((found for answer in (version, groups) if (found := refusal(answer, url))), None)
    if refused:
        yield refused
        return False
    if local.status == 200:
        yield error(
            SUBJECT,
            f"{url} is a `tidegate up`, not a cluster.",
            "name a cluster's kubeconfig: --kubeconfig FILE, --context NAME",
        )
        return False
    yield from _version(text(version.body, "gitVersion"), url)
    return True


def _version(version: str, url: str) -> Iterator[Finding]:
    yield ok(SUBJECT, f"{version or 'of an unknown version'} at {url}")
    if too_old := versions.kubernetes_problem(version, versions.OLDEST_KNATIVE):
        yield error("Kubernetes", f"is {version}; {too_old}", "upgrade the cluster")


def without_login(url: str) -> str:
    """The URL without the user name and the password that it may have."""
    return redact_url(url).replace(f"{HIDDEN}@", "")


def unreachable(problem: Exception, url: str) -> Finding:
    """The finding of a failed connection, in terms of the network rather than of the HTTP client."""
    cause = _cause(problem)
    if isinstance(problem, SSLError) or isinstance(cause, ssl.SSLError):
        return _tls(cause, url)
    if isinstance(cause, ConnectionRefusedError):
        return error(
            SUBJECT,
            f"refuses connections at {url}: no process listens there.",
            "start the cluster, or choose another: kubectl config get-contexts",
        )
    if isinstance(problem, NameResolutionError):
        return error(
            SUBJECT, f"the host name in {url} is unknown.", "fix the address in the kubeconfig, or join the network that knows it (VPN)"
        )
    if isinstance(problem, (ConnectTimeoutError, ReadTimeoutError)):
        return error(SUBJECT, f"does not respond at {url} in time.", "check for a firewall or a VPN in between, then try again")
    if isinstance(problem, NewConnectionError) and cause is not problem:
        return error(SUBJECT, f"cannot be reached at {url}: {cause}.", "check the address in the kubeconfig and the network")
    return error(
        SUBJECT,
        f"the request to {url} failed: {redact(' '.join(str(problem).split())) or type(problem).__name__}.",
        "kubectl cluster-info",
    )


def refusal(answer: Answer, url: str) -> Finding | None:
    """The finding of a response that refuses the request; None for one that does not."""
    if answer.status in _REASONS and "system:anonymous" in answer.sentence:
        return error(
            SUBJECT,
            f"{url} received no credentials: the kubeconfig has none, or the program that it runs for them returned none.",
            "log in, and try what the kubeconfig runs: kubectl auth whoami",
        )
    if answer.status in _REASONS:
        reason, remedy = _REASONS[answer.status]
        return error(SUBJECT, f"{url} {reason} Its message: {answer.sentence}", remedy)
    if answer.status != 200:
        return error(SUBJECT, f"{url} answers {answer.status}, unlike an API server.", "check the address in the kubeconfig")
    return None


def not_inspected() -> Finding:
    return note("cluster", "not inspected; `tidegate doctor --cluster` inspects the one of the current context")


def _tls(cause: BaseException, url: str) -> Finding:
    reason = str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or cause).rstrip(".")
    remedies = {
        "expired": "have the cluster's certificates renewed (kubeadm certs renew all), or check this machine's clock",
        "issuer": "put the cluster's CA into the kubeconfig (certificate-authority-data)",
        "self-signed": "put the cluster's CA into the kubeconfig (certificate-authority-data)",
        "mismatch": "use the host name that is in the certificate, or name it by tls-server-name in the kubeconfig",
        "not valid for": "use the host name that is in the certificate, or name it by tls-server-name in the kubeconfig",
        "WRONG_VERSION_NUMBER": "write http instead of https into the kubeconfig, if this really is the API server",
    }
    remedy = next((found for words, found in remedies.items() if words in reason), "check certificate-authority-data in the kubeconfig")
    return error(SUBJECT, f"the certificate of {url} is not accepted: {reason}.", remedy)


def _cause(problem: BaseException) -> BaseException:
    """The original error, which libraries wrap."""
    seen: list[BaseException] = []
    while problem not in seen:
        seen.append(problem)
        wrapped = problem.__cause__ or problem.__context__
        argument = next((item for item in problem.args if isinstance(item, BaseException)), None)
        problem = wrapped or argument or problem
    return problem
