"""Reads all machines with VMware's own client for Python, for `cargo xtask bench vsphere`.

Reads from the standard input, as JSON, where the server is and which properties are wanted; prints JSON: how many machines,
and how many seconds from the first call until the last value is there. Pages are as large as a server allows.
"""

import json
import ssl
import sys
import time
from urllib.parse import urlsplit

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

Collector = vmodl.query.PropertyCollector

asked = json.load(sys.stdin)
at = urlsplit(asked["url"])
trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
trusting.check_hostname = False
trusting.verify_mode = ssl.CERT_NONE
service = SmartConnect(
    host=at.hostname, port=at.port, user=asked["user"], pwd=asked["password"], sslContext=trusting
)
content = service.RetrieveContent()

begun = time.monotonic()
view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
traversal = Collector.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
spec = Collector.FilterSpec(
    objectSet=[Collector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
    propSet=[Collector.PropertySpec(type=vim.VirtualMachine, all=False, pathSet=asked["paths"])],
)
machines = {}
result = content.propertyCollector.RetrievePropertiesEx([spec], Collector.RetrieveOptions(maxObjects=100))
while result:
    for found in result.objects:
        machines[found.obj._moId] = {p.name: p.val for p in found.propSet}
    result = result.token and content.propertyCollector.ContinueRetrievePropertiesEx(result.token)
print(json.dumps({"machines": len(machines), "seconds": time.monotonic() - begun}))
Disconnect(service)
