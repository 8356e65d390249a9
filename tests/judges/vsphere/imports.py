"""VMware's own client deploys a template to the lab: specification, lease, upload, what is refused, and what ends early.

Called as `python imports.py URL USER PASSWORD`. Prints `ok NAME` for each check.
"""

import http.client
import ssl
import struct
import sys
import time
from urllib.parse import urlsplit

from inventory import ok, refused, sign_in
from pyVim.connect import Disconnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

CAPACITY = 8 << 30
DESCRIPTOR = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
 <References><File ovf:href="disk1.vmdk" ovf:id="f1" ovf:size="{size}"/></References>
 <DiskSection><Info/><Disk ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="d1" ovf:fileRef="f1"/></DiskSection>
 <NetworkSection><Info/><Network ovf:name="Lan"><Description>The network</Description></Network></NetworkSection>
 <VirtualSystem ovf:id="small"><Info/><Name>small</Name>
  <EulaSection><Info/><License>Terms</License></EulaSection>
  <VirtualHardwareSection><Info/>
   <System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>{hardware}</vssd:VirtualSystemType></System>
   <Item><rasd:ElementName>c</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
   <Item><rasd:ElementName>m</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
   <Item><rasd:Address>0</rasd:Address><rasd:ElementName>s</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
   <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>d</rasd:ElementName><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
   <Item><rasd:Connection>Lan</rasd:Connection><rasd:ElementName>n</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
  </VirtualHardwareSection>
 </VirtualSystem>
</Envelope>"""


def vmdk(size: int) -> bytes:
    """A stream-optimized VMDK as far as its outside goes."""
    head = struct.pack("<4sIIQ", b"KDMV", 3, 0x30001, CAPACITY // 512).ljust(512, b"\0")
    return head + b"\x5a" * (size - 3 * 512) + head + bytes(512)


def send(url: str, own: str, body: bytes, length: int | None = None, method: str = "POST") -> int:
    """Uploads without a session: the address alone gives the right."""
    at, vcenter = urlsplit(url), urlsplit(own)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    host = vcenter.netloc if at.netloc == "*" else at.netloc
    connection = http.client.HTTPSConnection(host, context=trusting)
    connection.putrequest(method, at.path)
    connection.putheader("Content-Type", "application/x-vnd.vmware-streamVmdk")
    connection.putheader("Content-Length", str(length or len(body)))
    connection.endheaders()
    connection.send(body)
    if length:
        connection.close()
        return 0
    status = connection.getresponse().status
    connection.close()
    return status


def ready(lease):
    while lease.state == vim.HttpNfcLease.State.initializing:
        time.sleep(0.05)
    return lease.state


def main(url: str, user: str, password: str) -> None:
    service = sign_in(url, user, password)
    content = service.RetrieveContent()
    (datacenter,) = content.rootFolder.childEntity
    (compute,) = datacenter.hostFolder.childEntity
    store, network, folder, pool = datacenter.datastore[0], datacenter.network[0], datacenter.vmFolder, compute.resourcePool
    size = 64 * 512
    good = DESCRIPTOR.format(size=size, hardware="vmx-13")

    parsed = content.ovfManager.ParseDescriptor(good, vim.OvfManager.ParseDescriptorParams(locale="", deploymentOption=""))
    assert not parsed.error and parsed.eula == ["Terms"] and parsed.network[0].name == "Lan", parsed
    assert parsed.defaultEntityName == "small" and not parsed.virtualApp
    ok("a descriptor is parsed")

    def spec_of(name, descriptor=good, provisioning="thin"):
        mapping = vim.OvfManager.NetworkMapping(name="Lan", network=network)
        params = vim.OvfManager.CreateImportSpecParams(
            locale="", deploymentOption="", entityName=name, networkMapping=[mapping], diskProvisioning=provisioning
        )
        return content.ovfManager.CreateImportSpec(descriptor, pool, store, params)

    result = spec_of("imported")
    assert not result.error and not result.warning, result
    (item,) = result.fileItem
    assert (item.path, item.size, item.create) == ("disk1.vmdk", size, False), item
    config = result.importSpec.configSpec
    assert (config.name, config.numCPUs, config.memoryMB) == ("imported", 2, 2048), config
    newer = spec_of("imported", DESCRIPTOR.format(size=size, hardware="vmx-99"))
    assert isinstance(newer.error[0].fault, vim.fault.OvfNoSupportedHardwareFamily), newer
    broken = spec_of("imported", good[:200])
    assert isinstance(broken.error[0].fault, vim.fault.OvfXmlFormat), broken
    ok("a specification is made, and what is wrong with it is told")

    lease = pool.ImportVApp(result.importSpec, folder, None)
    assert ready(lease) == vim.HttpNfcLease.State.ready
    machine, (device,) = lease.info.entity, lease.info.deviceUrl
    assert device.importKey == item.deviceId and lease.info.leaseTimeout >= 300, lease.info
    refused(lambda: WaitForTask(machine.PowerOnVM_Task()), vim.fault.TaskInProgress)
    refused(lambda: lease.HttpNfcLeaseComplete(), vim.fault.InvalidState)
    disk = vmdk(size)
    assert send(device.url.replace("disk-0", "disk-9"), url, disk) == 404
    assert send(device.url, url, disk[:-512]) == 500
    assert send(device.url, url, bytes(size)) == 500
    assert send(device.url, url, disk, method="DELETE") == 405
    refused(lambda: lease.HttpNfcLeaseComplete(), vim.fault.InvalidState)
    send(device.url, url, disk[:1024], length=size)
    lease.HttpNfcLeaseProgress(50)
    assert lease.transferProgress == 50
    refused(lambda: lease.HttpNfcLeaseProgress(101), vmodl.fault.InvalidArgument)
    assert send(device.url, url, disk) == 200
    lease.HttpNfcLeaseComplete()
    assert lease.state == vim.HttpNfcLease.State.done
    WaitForTask(machine.PowerOnVM_Task())
    assert machine.name == "imported" and machine.runtime.powerState == "poweredOn"
    (own,) = [d for d in machine.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
    assert own.capacityInBytes == CAPACITY and own.backing.thinProvisioned, own
    ok("uploaded, counted, completed, powered on")

    refused(lambda: pool.ImportVApp(result.importSpec, folder, None), vim.fault.DuplicateName)
    ended = pool.ImportVApp(spec_of("stopped").importSpec, folder, None)
    ready(ended)
    left = ended.info.entity
    ended.HttpNfcLeaseAbort()
    assert ended.state == vim.HttpNfcLease.State.error
    WaitForTask(left.Destroy_Task())
    assert "stopped" not in [vm.name for vm in folder.childEntity]
    ok("a lease is aborted, and the machine removed")

    WaitForTask(machine.PowerOffVM_Task())
    WaitForTask(machine.Destroy_Task())
    Disconnect(service)


if __name__ == "__main__":
    main(*sys.argv[1:])
