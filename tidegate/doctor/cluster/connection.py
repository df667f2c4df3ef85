"""Whether the API server answers, and if not, why not."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError, SSLError

from common.redaction import HIDDEN, redact, redact_url
from tidegate.doctor.accessors import text
from tidegate.doctor.cluster import versions
from tidegate.doctor.cluster.client import Answer, Api
from tidegate.doctor.finding import Finding, error, note, ok

SUBJECT = "API server"
_REASONS = {
    401: (
        "does not accept the credentials: they have expired, or are another cluster's.",
        "log in again, so that the kubeconfig has new ones",
    ),
    403: ("knows this user, who may not even ask for its version.", "ask the cluster's administrator for rights"),
}
# A call that needs no right but to be somebody; anonymous callers may ask for the version.
_WHO = "/apis"


def check(api: Api) -> Iterator[Finding]:
    """Unless SUBJECT is found to be ok there is nothing more to ask."""
    url = without_login(api.url)
    try:
        version = api.call("GET", "/version")
        who = api.call("GET", _WHO)
        local = api.call("GET", "/tidegate/status")
    except (HTTPError, OSError, ValueError) as problem:
        yield unreachable(problem, url)
        return
    refused = next((found for answer in (version, who) if (found := refusal(answer, url))), None)
    if refused:
        yield refused
        return
    if local.status == 200:
        yield error(
            SUBJECT,
            f"{url} is a `tidegate up`, which is no cluster.",
            "name a cluster's kubeconfig: --kubeconfig FILE, --context NAME",
        )
        return
    yield ok(SUBJECT, f"{text(version.body, 'gitVersion') or 'of an unknown version'} at {url}")
    if too_old := versions.kubernetes_for(text(version.body, "gitVersion"), versions.OLDEST_KNATIVE):
        yield error("Kubernetes", f"is {text(version.body, 'gitVersion')}; {too_old}", "upgrade the cluster")


def without_login(url: str) -> str:
    """A name and a password may stand in an address, and are nobody's to read."""
    return redact_url(url).replace(f"{HIDDEN}@", "")


def unreachable(problem: Exception, url: str) -> Finding:
    """In the words of someone who looks at the network, not at the client."""
    cause = _cause(problem)
    if isinstance(problem, SSLError) or isinstance(cause, ssl.SSLError):
        return _tls(cause, url)
    if isinstance(cause, ConnectionRefusedError):
        return error(
            SUBJECT,
            f"refuses connections at {url}: nothing listens there.",
            "start the cluster, or choose another: kubectl config get-contexts",
        )
    if isinstance(problem, NameResolutionError):
        return error(
            SUBJECT, f"the name in {url} is not known here.", "mend the address in the kubeconfig, or join the network that knows it (VPN)"
        )
    if isinstance(problem, (ConnectTimeoutError, ReadTimeoutError)):
        return error(SUBJECT, f"does not answer at {url} in time.", "look whether a firewall or a VPN stands between, then try again")
    if isinstance(problem, NewConnectionError) and cause is not problem:
        return error(SUBJECT, f"cannot be reached at {url}: {cause}.", "look at the address in the kubeconfig and at the network")
    return error(
        SUBJECT, f"cannot be asked at {url}: {redact(' '.join(str(problem).split())) or type(problem).__name__}.", "kubectl cluster-info"
    )


def refusal(answer: Answer, url: str) -> Finding | None:
    if answer.status in _REASONS and "system:anonymous" in answer.sentence:
        return error(
            SUBJECT,
            f"{url} was given no credentials: the kubeconfig has none, or the program that it runs for them gave none.",
            "log in, and try what the kubeconfig runs: kubectl auth whoami",
        )
    if answer.status in _REASONS:
        reason, remedy = _REASONS[answer.status]
        return error(SUBJECT, f"{url} {reason} It says: {answer.sentence}", remedy)
    if answer.status != 200:
        return error(SUBJECT, f"{url} answers {answer.status}, not as an API server does.", "look at the address in the kubeconfig")
    return None


def not_looked_at() -> Finding:
    return note("cluster", "is not looked at; `tidegate doctor --cluster` looks at the one of the current context")


def _tls(cause: BaseException, url: str) -> Finding:
    reason = str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or cause).rstrip(".")
    remedies = {
        "expired": "have the cluster's certificates renewed (kubeadm certs renew all), or look at this machine's clock",
        "issuer": "put the cluster's CA into the kubeconfig (certificate-authority-data)",
        "self-signed": "put the cluster's CA into the kubeconfig (certificate-authority-data)",
        "mismatch": "use the host name that is in the certificate, or name it by tls-server-name in the kubeconfig",
        "not valid for": "use the host name that is in the certificate, or name it by tls-server-name in the kubeconfig",
        "WRONG_VERSION_NUMBER": "write http instead of https into the kubeconfig, if this really is the API server",
    }
    remedy = next((found for words, found in remedies.items() if words in reason), "look at certificate-authority-data in the kubeconfig")
    return error(SUBJECT, f"the certificate of {url} is not accepted: {reason}.", remedy)


def _cause(problem: BaseException) -> BaseException:
    """The first error, which libraries wrap."""
    seen: list[BaseException] = []
    while problem not in seen:
        seen.append(problem)
        wrapped = problem.__cause__ or problem.__context__
        argument = next((item for item in problem.args if isinstance(item, BaseException)), None)
        problem = wrapped or argument or problem
    return problem
