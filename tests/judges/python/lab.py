"""Where the lab is, and Microsoft's clients pointed at it.

Nothing of Microsoft's client library is replaced but its sleep: waiting happens in the lab's time. A poller that was told
`Retry-After: 30` moves the lab's clock 30 seconds on, and so an instance that takes half an hour is there at once.
"""

import datetime
import json
import ssl
import urllib.request

from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential


class Lab:
    """A running lab, found by its control address."""

    def __init__(self, control: str, ca: str):
        self.control, self.ca = control, ca
        self.tls = ssl.create_default_context(cafile=ca)
        # As Python does by itself since 3.13.
        self.tls.verify_flags |= ssl.VERIFY_X509_STRICT
        self.where = self.get("addresses")
        self.subscription = self.where["subscriptionId"]
        # The lab's Entra is not in the list of authorities that Microsoft's library asks its own servers about.
        self.credential = ClientSecretCredential(
            self.where["tenantId"],
            self.where["clientId"],
            self.where["clientSecret"],
            authority=self.where["authority"],
            disable_instance_discovery=True,
            connection_verify=ca,
        )
        self.requests = 0

    def get(self, path: str):
        with urllib.request.urlopen(f"{self.control}/{path}", context=self.tls) as answer:
            return json.load(answer)

    def post(self, path: str, body):
        request = urllib.request.Request(
            f"{self.control}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, context=self.tls) as answer:
            return json.load(answer)

    def now(self) -> datetime.datetime:
        """The lab's time, in whole seconds."""
        text = self.get("clock")["lab"]
        return datetime.datetime.fromisoformat(text.split(".")[0].rstrip("Z") + "+00:00")

    def wait(self, seconds: float) -> None:
        """Lets lab time pass."""
        to = self.now() + datetime.timedelta(seconds=seconds + 1)
        self.post("clock", {"advanceTo": to.isoformat()})

    def until(self, what: str, look):
        """Looks once a lab minute, for at most two lab days, until `look` returns something."""
        for _ in range(2 * 24 * 60):
            if found := look():
                return found
            self.wait(60)
        raise AssertionError(f"waited in vain until {what}")

    def arm(self, path: str):
        """Reads from the resource manager without a client of Microsoft's."""
        token = self.credential.get_token(self.where["arm"] + "/.default").token
        request = urllib.request.Request(self.where["arm"] + path, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, context=self.tls) as answer:
            return json.load(answer)

    def client(self, kind, *arguments, **more):
        """One of Microsoft's clients, as its documentation says for a cloud of one's own."""
        return kind(
            self.credential,
            *arguments,
            base_url=self.where["arm"],
            credential_scopes=[self.where["arm"] + "/.default"],
            connection_verify=self.ca,
            transport=LabTransport(self, connection_verify=self.ca),
            **more,
        )


class LabTransport(RequestsTransport):
    """Microsoft's transport, which sleeps in lab time and counts."""

    def __init__(self, lab: Lab, **more):
        super().__init__(**more)
        self.lab = lab

    def send(self, request, **more):
        self.lab.requests += 1
        return super().send(request, **more)

    def sleep(self, duration: float) -> None:
        self.lab.wait(duration)
