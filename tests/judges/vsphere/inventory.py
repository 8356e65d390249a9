"""VMware's own client reads and watches the lab's inventory: sign-in, views, pages, updates, the index, what machines
stand on, and the end of the session.

Called as `python inventory.py URL USER PASSWORD`. Prints `ok NAME` for each check.
"""

import ssl
import sys
import threading
from urllib.parse import urlsplit

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

PATHS = ["name", "runtime.powerState", "runtime.host", "config.instanceUuid", "summary.config.numVirtualDisks"]
WHOLE = [
    "name",
    "config.hardware.device",
    "config.changeTrackingEnabled",
    "capability.changeTrackingSupported",
    "runtime.consolidationNeeded",
    "guest.net",
    "guest.disk",
    "guest.toolsVersion",
    "guest.guestOperationsReady",
    "snapshot",
]


def ok(name: str) -> None:
    print("ok", name, flush=True)


def sign_in(url: str, user: str, password: str):
    at = urlsplit(url)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return SmartConnect(host=at.hostname, port=at.port, user=user, pwd=password, sslContext=trusting)


def spec_of(view, kind, paths):
    """All objects of a view, some of their properties."""
    traversal = vmodl.query.PropertyCollector.TraversalSpec(
        name="view", type=vim.view.ContainerView, path="view", skip=False
    )
    return vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=kind, all=False, pathSet=paths)],
    )


def read(collector, spec, page):
    """Reads all pages; the objects as dictionaries by their ids, and how many pages there were."""
    options = vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=page)
    result = collector.RetrievePropertiesEx([spec], options)
    found, pages = {}, 0
    while result:
        pages += 1
        for content in result.objects:
            assert not content.missingSet, content.missingSet
            found[content.obj._moId] = {p.name: p.val for p in content.propSet}
        if not result.token:
            break
        result = collector.ContinueRetrievePropertiesEx(result.token)
    return found, pages


def refused(call, *kinds):
    try:
        call()
    except kinds as e:
        return e
    raise AssertionError(f"not refused with {kinds}")


def main(url: str, user: str, password: str) -> None:
    refused(lambda: sign_in(url, user, "wrong " + password), vim.fault.InvalidLogin)
    ok("a wrong password is refused")

    service = sign_in(url, user, password)
    content = service.RetrieveContent()
    assert content.about.apiType == "VirtualCenter" and content.about.instanceUuid, content.about
    assert content.sessionManager.currentSession.userName
    assert service.CurrentTime().tzinfo is not None
    ok("content, session and time")

    collector = content.propertyCollector
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    everything = spec_of(view, vim.VirtualMachine, PATHS)
    whole, pages = read(collector, everything, None)
    assert pages == 1 and len(whole) == len(view.view) >= 4, (pages, whole.keys())
    again, pages = read(collector, everything, 3)
    assert again.keys() == whole.keys() and pages == -(-len(whole) // 3), (pages, again.keys())
    for machine in whole.values():
        assert machine["name"] and machine["config.instanceUuid"], machine
        assert isinstance(machine["runtime.host"], vim.HostSystem), machine
    ok("a view in pages")

    result = collector.RetrievePropertiesEx(
        [everything], vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=1)
    )
    collector.CancelRetrievePropertiesEx(result.token)
    refused(lambda: collector.ContinueRetrievePropertiesEx(result.token), vmodl.fault.InvalidArgument)
    none, all_pages = (vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=n) for n in (0, None))
    refused(lambda: collector.RetrievePropertiesEx([everything], none), vmodl.fault.InvalidArgument)
    unknown = spec_of(view, vim.VirtualMachine, ["noSuchProperty"])
    e = refused(lambda: collector.RetrievePropertiesEx([unknown], all_pages), vmodl.query.InvalidProperty)
    assert e.name == "noSuchProperty", e
    ok("given up, and refused")

    details, _ = read(collector, spec_of(view, vim.VirtualMachine, WHOLE), None)
    for machine in details.values():
        devices = {d.key: d for d in machine["config.hardware.device"]}
        disks = [d for d in devices.values() if isinstance(d, vim.vm.device.VirtualDisk)]
        cards = [d for d in devices.values() if isinstance(d, vim.vm.device.VirtualEthernetCard)]
        assert disks and cards, machine
        for disk in disks:
            assert isinstance(devices[disk.controllerKey], vim.vm.device.VirtualController), disk
            assert disk.capacityInBytes == disk.capacityInKB * 1024 > 0, disk
            assert disk.backing.diskMode and disk.backing.fileName.startswith("["), disk
        assert cards[0].macAddress and cards[0].connectable.connected, cards
        address = machine["guest.net"][0].ipConfig.ipAddress[0]
        assert address.origin == "manual" and address.prefixLength == 24, address
        assert machine["guest.disk"][0].capacity > machine["guest.disk"][0].freeSpace > 0
        assert machine["capability.changeTrackingSupported"] and machine["guest.toolsVersion"].isdigit()
    ok("devices, guest and abilities")

    gone = vim.VirtualMachine("vm-0", service._stub)
    one = next(iter(view.view))
    objects = [vmodl.query.PropertyCollector.ObjectSpec(obj=o) for o in (gone, one)]
    some = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=objects,
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    refused(lambda: collector.RetrievePropertiesEx([some], all_pages), vmodl.fault.ManagedObjectNotFound)
    some.reportMissingObjectsInResults = True
    assert [o.obj._moId for o in collector.RetrievePropertiesEx([some], all_pages).objects] == [one._moId]
    ok("what is gone is left out when asked so")

    watch(service, content, view, everything, whole)
    places(content, view)

    (datacenter,) = content.rootFolder.childEntity
    uuid = whole[one._moId]["config.instanceUuid"]
    assert content.searchIndex.FindByUuid(None, uuid, True, True)._moId == one._moId
    path = f"{datacenter.name}/vm/{whole[one._moId]['name']}"
    assert content.searchIndex.FindByInventoryPath(path)._moId == one._moId
    assert content.searchIndex.FindByUuid(None, "00000000-0000-0000-0000-000000000000", True, True) is None
    ok("the index")

    view.Destroy()
    refused(lambda: read(collector, everything, None), vmodl.fault.ManagedObjectNotFound)
    Disconnect(service)
    refused(lambda: service.CurrentTime(), vim.fault.NotAuthenticated)
    ok("the end of the session")


def wait(collector, version, seconds, most=None):
    options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds, maxObjectUpdates=most)
    return collector.WaitForUpdatesEx(version, options)


def told(updates):
    return {o.obj._moId: o for s in updates.filterSet for o in s.objectSet}


def watch(service, content, view, spec, whole) -> None:
    watcher = content.propertyCollector.CreatePropertyCollector()
    found = watcher.CreateFilter(spec, False)
    assert watcher.filter[0]._moId == found._moId
    first = wait(watcher, "", 30, 3)
    assert first.truncated and len(told(first)) == 3, first
    entered, updates = told(first), first
    while updates.truncated:
        updates = wait(watcher, updates.version, 30, 3)
        entered |= told(updates)
    assert entered.keys() == whole.keys() and all(o.kind == "enter" for o in entered.values())
    assert wait(watcher, updates.version, 0) is None
    refused(lambda: wait(watcher, "no such version", 0), vmodl.query.InvalidCollectorVersion)
    ok("a filter tells all there is, in parts")

    machine = next(vm for vm in view.view if whole[vm._moId]["name"] == "SQLVM")
    task = machine.PowerOffVM_Task()
    changed = wait(watcher, updates.version, 60)
    (change,) = [o for o in told(changed).values() if o.obj._moId == machine._moId]
    values = {c.name: c.val for c in change.changeSet}
    assert change.kind == "modify" and values["runtime.powerState"] == "poweredOff", change
    WaitForTask(task)
    WaitForTask(machine.PowerOnVM_Task())
    back = wait(watcher, changed.version, 60)
    assert {c.name: c.val for c in told(back)[machine._moId].changeSet}["runtime.powerState"] == "poweredOn"
    ok("a change is told while waiting")

    outcome = []

    def patient():
        try:
            outcome.append(wait(watcher, back.version, 600))
        except vmodl.fault.RequestCanceled as e:
            outcome.append(e)

    waiting = threading.Thread(target=patient, daemon=True)
    waiting.start()
    # The call has to be there before it can be cancelled.
    while waiting.is_alive():
        watcher.CancelWaitForUpdates()
        waiting.join(0.2)
    assert isinstance(outcome[0], vmodl.fault.RequestCanceled), outcome
    found.Destroy()
    assert not watcher.filter
    watcher.Destroy()
    refused(lambda: wait(watcher, "", 0), vmodl.fault.ManagedObjectNotFound)
    ok("waiting is cancelled, and all is taken away")


def places(content, machines) -> None:
    kinds = [vim.Datacenter, vim.HostSystem, vim.Datastore, vim.Network, vim.ComputeResource]
    view = content.viewManager.CreateContainerView(content.rootFolder, kinds, True)
    of = {kind: [o for o in view.view if isinstance(o, kind)] for kind in kinds}
    assert all(of.values()), of
    for host in of[vim.HostSystem]:
        assert host.summary.config.product.version.split(".")[0].isdigit(), host.summary
        assert host.summary.hardware.memorySize > 0 and host.summary.hardware.numCpuCores > 0
        assert host.runtime.connectionState == "connected" and not host.runtime.inMaintenanceMode
    for store in of[vim.Datastore]:
        assert store.summary.accessible and store.summary.capacity > store.summary.freeSpace > 0, store.summary
    for network in of[vim.Network]:
        assert network.summary.accessible and network.name == network.summary.name, network.summary
    for resource in of[vim.ComputeResource]:
        assert resource.summary.numHosts == len(resource.host) > 0, resource.summary
    (datacenter,) = of[vim.Datacenter]
    assert {h._moId for h in machines.view[0].runtime.host.parent.host} <= {h._moId for h in of[vim.HostSystem]}
    assert {d._moId for d in datacenter.datastore} == {d._moId for d in of[vim.Datastore]}
    view.Destroy()
    ok("datacenters, hosts, datastores, networks")


if __name__ == "__main__":
    main(*sys.argv[1:4])
