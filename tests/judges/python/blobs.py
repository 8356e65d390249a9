"""Microsoft's blob library, for what Rehost doesn't do, or as the other reader. One JSON document comes on standard input:

* `{"make": {address, account, key, container, blobs: {name: text}}, "ca": …}` makes a container with blobs,
* `{"read": "container's address with a SAS", "ca": …}` prints what is in it: `{name: text}`.
"""

import json
import sys

from azure.storage.blob import ContainerClient

asked = json.load(sys.stdin)
trust = {"connection_verify": asked["ca"]}
if make := asked.get("make"):
    container = ContainerClient(
        make["address"],
        make["container"],
        credential={"account_name": make["account"], "account_key": make["key"]},
        **trust,
    )
    container.create_container()
    for name, text in make["blobs"].items():
        container.upload_blob(name, text.encode())
    print(json.dumps({"made": len(make["blobs"])}))
else:
    container = ContainerClient.from_container_url(asked["read"], **trust)
    names = [b.name for b in container.list_blobs()]
    print(json.dumps({name: container.download_blob(name).readall().decode() for name in names}))
