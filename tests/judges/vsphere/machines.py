"""VMware's own client works on the lab's machines: power, the guest's shutdown, snapshots, names, folders, notes and removal;
tasks with their progress, errors and cancellation; the history that all of it leaves.

Called as `python machines.py URL USER PASSWORD`. Prints `ok NAME` for each check.
"""

import sys

from inventory import ok, refused, sign_in
from pyVim.connect import Disconnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl


def ended(task):
    """How a task ended, and every progress that was told before."""
    told = []
    while (info := task.info).state not in ("success", "error"):
        assert info.completeTime is None and info.error is None, info
        if info.progress is not None:
            told.append(info.progress)
    assert info.completeTime >= info.startTime >= info.queueTime, info
    assert told == sorted(told) and all(0 <= p < 100 for p in told), told
    return info


def fails(task, kind):
    info = ended(task)
    assert info.state == "error" and isinstance(info.error, kind), info
    return info.error


def power(vm, user) -> None:
    fails(vm.PowerOnVM_Task(), vim.fault.InvalidPowerState)
    task = vm.PowerOffVM_Task()
    info = ended(task)
    assert (info.descriptionId, info.name.info.name) == ("VirtualMachine.powerOff", "PowerOff"), info
    assert info.entity._moId == vm._moId and info.entityName == vm.name and info.result is None, info
    assert isinstance(info.reason, vim.TaskReasonUser) and info.reason.userName == user, info.reason
    assert vm.runtime.powerState == "poweredOff" and vm.guest.toolsRunningStatus == "guestToolsNotRunning"
    e = refused(vm.ShutdownGuest, vim.fault.InvalidPowerState)
    assert (e.requestedState, e.existingState) == ("poweredOn", "poweredOff"), e
    assert ended(vm.PowerOnVM_Task()).state == "success" and vm.runtime.powerState == "poweredOn"
    ok("power off and on")

    # It returns before the guest is down: whoever waits looks at the power state.
    assert vm.ShutdownGuest() is None
    while vm.runtime.powerState == "poweredOn":
        pass
    assert ended(vm.PowerOnVM_Task()).state == "success"
    ok("the guest shuts down by itself")


def snapshots(vm) -> None:
    def tree(nodes):
        return [(n.name, tree(n.childSnapshotList)) for n in nodes]

    def now():
        return tree(vm.snapshot.rootSnapshotList) if vm.snapshot else []

    refused(lambda: vm.CreateSnapshot_Task("", "", False, False), vim.fault.InvalidName)
    first = ended(vm.CreateSnapshot_Task("50% of <it> / one", "Before & after", False, True)).result
    second = ended(vm.CreateSnapshot_Task("two", "", False, False)).result
    assert vm.snapshot.currentSnapshot._moId == second._moId
    # Names are told as vCenter writes them.
    assert now() == [("50%25 of <it> %2f one", [("two", [])])], now()
    root = vm.snapshot.rootSnapshotList[0]
    assert root.description == "Before & after" and root.quiesced and root.vm._moId == vm._moId, root
    assert first.childSnapshot[0]._moId == second._moId
    assert ended(first.RevertToSnapshot_Task()).state == "success"
    assert vm.snapshot.currentSnapshot._moId == first._moId
    # It was taken without memory, so it brings back a machine that is off.
    assert vm.runtime.powerState == "poweredOff"
    third = ended(vm.CreateSnapshot_Task("three", "", False, False)).result
    assert ended(second.RemoveSnapshot_Task(False)).state == "success"
    refused(second.RevertToSnapshot_Task, vmodl.fault.ManagedObjectNotFound)
    assert ended(first.RemoveSnapshot_Task(False)).state == "success"
    assert now() == [("three", [])] and vm.snapshot.currentSnapshot._moId == third._moId, now()
    ended(vm.CreateSnapshot_Task("four", "", False, False))
    assert ended(third.RemoveSnapshot_Task(True)).state == "success" and vm.snapshot is None
    ended(vm.CreateSnapshot_Task("five", "", False, False))
    assert ended(vm.RemoveAllSnapshots_Task()).state == "success" and vm.snapshot is None
    assert ended(vm.PowerOnVM_Task()).state == "success"
    ok("snapshots form a tree")

    memory = vm.CreateSnapshot_Task("whole", "", True, False)
    busy = fails(vm.PowerOffVM_Task(), vim.fault.TaskInProgress)
    assert busy.msg, busy
    assert memory.info.cancelable
    memory.CancelTask()
    fails(memory, vmodl.fault.RequestCanceled)
    assert memory.info.cancelled and vm.snapshot is None
    refused(memory.CancelTask, vim.fault.InvalidState)
    fixed = vm.PowerOffVM_Task()
    refused(fixed.CancelTask, vmodl.fault.NotSupported)
    assert ended(fixed).state == "success" and ended(vm.PowerOnVM_Task()).state == "success"
    ok("one task at a time, and some are cancelled")


def names(content, vm) -> None:
    before = vm.name
    for odd, told in [("R&D / 50% <\\> 'é£\"", "R&D %2f 50%25 <%5c> 'é£\""), ("日本語 Ünïcode", "日本語 Ünïcode")]:
        assert ended(vm.Rename_Task(odd)).state == "success"
        assert vm.name == told, vm.name
        (datacenter,) = content.rootFolder.childEntity
        found = content.searchIndex.FindByInventoryPath(f"{datacenter.name}/vm/{told}")
        assert found._moId == vm._moId, told
    refused(lambda: vm.Rename_Task(""), vim.fault.InvalidName)
    refused(lambda: vm.Rename_Task("x" * 81), vim.fault.InvalidName)
    assert fails(vm.Rename_Task("SQLVM"), vim.fault.DuplicateName).msg
    assert ended(vm.Rename_Task(before)).state == "success" and vm.name == before
    ok("names are encoded, unique and not too long")

    spec = vim.vm.ConfigSpec(annotation="Migrated to Azure:\n<WEBVM> & Co.")
    spec.extraConfig = [vim.option.OptionValue(key="guestinfo.judge", value="1")]
    assert ended(vm.ReconfigVM_Task(spec)).state == "success"
    assert vm.config.annotation == spec.annotation == vm.summary.config.annotation
    assert {o.key: o.value for o in vm.config.extraConfig}["guestinfo.judge"] == "1"
    ended(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[vim.option.OptionValue(key="guestinfo.judge", value="")])))
    assert "guestinfo.judge" not in {o.key for o in vm.config.extraConfig} and vm.config.annotation
    ok("notes and settings")


def folders(content, vm) -> None:
    (datacenter,) = content.rootFolder.childEntity
    top = datacenter.vmFolder
    assert vm.parent._moId == top._moId
    retired = top.CreateFolder("Retired / 2026")
    assert retired.name == "Retired %2f 2026" and retired.parent._moId == top._moId
    e = refused(lambda: top.CreateFolder("Retired / 2026"), vim.fault.DuplicateName)
    assert e.object._moId == retired._moId, e
    assert set(retired.childType) >= {"VirtualMachine", "Folder"}, retired.childType
    assert ended(retired.MoveIntoFolder_Task([vm])).state == "success"
    assert vm.parent._moId == retired._moId and [c._moId for c in retired.childEntity] == [vm._moId]
    fails(datacenter.hostFolder.MoveIntoFolder_Task([vm]), vmodl.fault.NotSupported)
    assert ended(top.MoveIntoFolder_Task([vm])).state == "success" and not retired.childEntity
    assert ended(retired.Destroy_Task()).state == "success"
    refused(lambda: retired.name, vmodl.fault.ManagedObjectNotFound)
    ok("folders take machines in")


def tasks(content, vm) -> None:
    task = vm.PowerOffVM_Task()
    recent = content.taskManager.recentTask
    assert task._moId in {t._moId for t in recent} and task._moId in {t._moId for t in vm.recentTask}
    assert all(t.info.entity._moId == vm._moId for t in vm.recentTask)
    WaitForTask(task)
    gone = vim.Task("task-99999", vm._stub)
    refused(lambda: gone.info, vmodl.fault.ManagedObjectNotFound)
    ok("tasks are listed")


def events(content, vm, user) -> None:
    history = content.eventManager
    by = vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")
    whole = history.QueryEvents(vim.event.EventFilterSpec(entity=by))
    assert [e.key for e in whole] == sorted(e.key for e in whole) and len(whole) > 10, whole
    assert all(e.vm.vm._moId == vm._moId and e.host.host and e.datacenter.name for e in whole)
    kinds = {type(e) for e in whole}
    for kind in (
        vim.event.VmPoweredOffEvent,
        vim.event.VmPoweredOnEvent,
        vim.event.VmGuestShutdownEvent,
        vim.event.VmRenamedEvent,
        vim.event.VmReconfiguredEvent,
    ):
        assert kind in kinds, (kind, kinds)
    off = [e for e in whole if isinstance(e, vim.event.VmPoweredOffEvent)]
    assert off[0].userName == user and vm.name in off[0].fullFormattedMessage, off[0]
    only = vim.event.EventFilterSpec(entity=by, eventTypeId=["VmPoweredOffEvent"])
    assert [e.key for e in history.QueryEvents(only)] == [e.key for e in off]
    collector = history.CreateCollectorForEvents(vim.event.EventFilterSpec(entity=by))
    collector.SetCollectorPageSize(5)
    latest = [e.key for e in collector.latestPage]
    assert latest == [e.key for e in reversed(whole)][:5], latest
    collector.RewindCollector()
    read = []
    while page := collector.ReadNextEvents(4):
        assert len(page) <= 4
        read += [e.key for e in page]
    assert read == [e.key for e in whole]
    refused(lambda: collector.ReadNextEvents(0), vmodl.fault.InvalidArgument)
    collector.DestroyCollector()
    refused(lambda: collector.ReadNextEvents(1), vmodl.fault.ManagedObjectNotFound)
    ok("the history is read in pages")


def removal(content, vm, view) -> None:
    assert ended(vm.PowerOnVM_Task()).state == "success"
    fails(vm.Destroy_Task(), vim.fault.InvalidPowerState)
    assert ended(vm.PowerOffVM_Task()).state == "success"
    late = vim.VirtualMachine(vm._moId, vm._stub)
    assert ended(vm.Destroy_Task()).state == "success"
    for call in (lambda: late.name, lambda: late.runtime.powerState, late.PowerOnVM_Task, late.ShutdownGuest):
        e = refused(call, vmodl.fault.ManagedObjectNotFound)
        assert e.obj._moId == vm._moId, e
    assert vm._moId not in {v._moId for v in view.view}
    history = content.eventManager.QueryEvents(vim.event.EventFilterSpec(eventTypeId=["VmRemovedEvent"]))
    assert [e.vm.vm._moId for e in history] == [vm._moId], history
    ok("what is removed is gone, and its history stays")


def main(url: str, user: str, password: str) -> None:
    service = sign_in(url, user, password)
    content = service.RetrieveContent()
    user = content.sessionManager.currentSession.userName
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    vm = next(v for v in view.view if v.name == "WEBVM")
    power(vm, user)
    snapshots(vm)
    names(content, vm)
    folders(content, vm)
    tasks(content, vm)
    events(content, vm, user)
    removal(content, vm, view)
    view.Destroy()
    Disconnect(service)


if __name__ == "__main__":
    main(*sys.argv[1:])
