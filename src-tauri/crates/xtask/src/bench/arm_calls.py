"""What one call to the resource manager costs Microsoft's own client for Python, for `cargo xtask bench arm`.

Reads where the simulated Azure is from the standard input; prints how long each call took, in microseconds.
"""

import json
import sys
import time

from azure.core.credentials import AccessToken, AccessTokenInfo

try:
    from azure.mgmt.resource import ResourceManagementClient
except ImportError:
    from azure.mgmt.resource.resources import ResourceManagementClient

lab = json.load(sys.stdin)


class Fixed:
    def get_token(self, *scopes, **options):
        return AccessToken(lab["token"], int(time.time()) + 3600)

    def get_token_info(self, *scopes, options=None):
        return AccessTokenInfo(lab["token"], int(time.time()) + 3600)


client = ResourceManagementClient(
    Fixed(),
    lab["subscriptionId"],
    base_url=lab["arm"],
    credential_scopes=[lab["arm"] + "/.default"],
    connection_verify=sys.argv[2],
    api_version="2024-07-01",
)
for _ in range(int(sys.argv[1])):
    started = time.perf_counter()
    group = client.resource_groups.get("bench")
    took = time.perf_counter() - started
    if group.location != "eastus2":
        sys.exit("the answer is not the group that was asked for")
    print(took * 1e6)
