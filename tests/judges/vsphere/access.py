"""VMware's own client makes roles and gives permissions in the lab, and then signs in as somebody who may not do everything:
what vCenter refuses, to whom, and in which words; and sessions, from sign-in to their end by time.

Called as `python access.py URL USER PASSWORD`, with `{"account", "password", "control", "ca"}` as standard input: a second
account that nobody has given a right yet, and the lab's own address, whose clock ends a session. Prints `ok NAME` for each
check.
"""

import json
import ssl
import sys
import urllib.request
from datetime import datetime, timedelta

from inventory import ok, read, refused, sign_in, spec_of
from pyVim.connect import Disconnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

POWER_OFF, BROWSE = "VirtualMachine.Interact.PowerOff", "Datastore.Browse"
GROUP = "CONTOSO\\Domain Users"
NO_ACCESS, READ_ONLY, VIEW, ADMIN = -5, -2, -3, -1


def permission(principal, role, propagate=True, group=False):
    return vim.AuthorizationManager.Permission(
        principal=principal, group=group, roleId=role, propagate=propagate
    )


def denied(call, privilege, entity):
    e = refused(call, vim.fault.NoPermission)
    assert e.privilegeId == privilege and e.object._moId == entity._moId, e


def roles(content) -> int:
    rights = content.authorizationManager
    known = {p.privId for p in rights.privilegeList}
    assert {POWER_OFF, BROWSE, "System.Read"} <= known and len(known) > 200, len(known)
    groups = {p.privGroupName for p in rights.privilegeList}
    assert {"Datastore", "VirtualMachine.Interact"} <= groups, groups
    system = {r.roleId: r for r in rights.roleList if r.system}
    assert system[ADMIN].name == "Admin" and set(system[ADMIN].privilege) == known
    role = rights.AddAuthorizationRole("Judge", [BROWSE])
    assert role > 0
    e = refused(lambda: rights.AddAuthorizationRole("Judge", [BROWSE]), vim.fault.AlreadyExists)
    assert e.name == "Judge", e
    unknown = ["Datastore.LowLevelFileOperations"]
    refused(lambda: rights.AddAuthorizationRole("Other", unknown), vmodl.fault.InvalidArgument)
    refused(lambda: rights.AddAuthorizationRole("", []), vim.fault.InvalidName)

    def made():
        return next(r for r in rights.roleList if r.roleId == role)

    # The server adds what everybody has.
    assert set(made().privilege) == {BROWSE, "System.Anonymous", "System.Read", "System.View"}, made()
    rights.UpdateAuthorizationRole(role, "Judge's own", [BROWSE, "Network.Assign"])
    assert made().name == "Judge's own" and "Network.Assign" in made().privilege and not made().system
    refused(lambda: rights.UpdateAuthorizationRole(role, "Admin", []), vim.fault.AlreadyExists)
    refused(lambda: rights.UpdateAuthorizationRole(READ_ONLY, "ReadOnly", []), vmodl.fault.InvalidArgument)
    refused(lambda: rights.UpdateAuthorizationRole(4711, "None", []), vim.fault.NotFound)
    refused(lambda: rights.RemoveAuthorizationRole(ADMIN, False), vmodl.fault.InvalidArgument)
    rights.UpdateAuthorizationRole(role, "Judge's own", [BROWSE])
    ok("roles are made, changed and told apart")
    return role


def permissions(content, account, role) -> None:
    rights = content.authorizationManager
    (datacenter,) = content.rootFolder.childEntity

    def there():
        found = rights.RetrieveEntityPermissions(datacenter, False)
        return {(p.principal, p.group): (p.roleId, p.propagate) for p in found}

    nobody = permission("CONTOSO\\nobody", role)
    e = refused(lambda: rights.SetEntityPermissions(datacenter, [nobody]), vim.fault.UserNotFound)
    assert e.principal == "CONTOSO\\nobody", e
    for wrong in (VIEW, -4):
        view = permission(account, wrong)
        refused(lambda: rights.SetEntityPermissions(datacenter, [view]), vmodl.fault.InvalidArgument)
    refused(lambda: rights.SetEntityPermissions(datacenter, [permission(account, 4711)]), vim.fault.NotFound)
    own = permission(account, role)
    refused(lambda: rights.SetEntityPermissions(datacenter.vmFolder, [own]), vmodl.fault.InvalidArgument)
    assert there() == {}
    ok("what can't be given is refused")

    rights.SetEntityPermissions(datacenter, [own])
    rights.SetEntityPermissions(datacenter, [permission(GROUP, READ_ONLY, group=True)])
    # One principal's permission is added; the other's stays.
    assert there() == {(account, False): (role, True), (GROUP, True): (READ_ONLY, True)}, there()
    rights.SetEntityPermissions(datacenter, [permission(account, READ_ONLY, propagate=False)])
    assert there()[(account, False)] == (READ_ONLY, False) and len(there()) == 2, there()
    rights.SetEntityPermissions(datacenter, [own])
    both = rights.RetrieveEntityPermissions(datacenter, True)
    assert {p.entity._moId for p in both} == {datacenter._moId, content.rootFolder._moId}, both
    assert [p.principal for p in rights.RetrieveRolePermissions(role)] == [account]
    assert {p.roleId for p in rights.RetrieveAllPermissions()} == {ADMIN, role, READ_ONLY}
    (held,) = rights.FetchUserPrivilegeOnEntities([datacenter], account)
    assert BROWSE in held.privileges and POWER_OFF not in held.privileges, held
    (answer,) = rights.HasUserPrivilegeOnEntities([datacenter], account, [BROWSE, POWER_OFF])
    assert [a.isGranted for a in answer.privAvailability] == [True, False], answer
    refused(lambda: rights.RemoveAuthorizationRole(role, True), vim.fault.RemoveFailed)
    rights.RemoveEntityPermission(datacenter, GROUP, True)
    refused(lambda: rights.RemoveEntityPermission(datacenter, GROUP, True), vim.fault.NotFound)
    assert there() == {(account, False): (role, True)}
    (admin,) = rights.RetrieveEntityPermissions(content.rootFolder, False)
    last = vim.fault.AuthMinimumAdminPermission
    refused(lambda: rights.RemoveEntityPermission(content.rootFolder, admin.principal, False), last)
    ok("permissions are merged by principal")


def machines(content):
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    try:
        found, pages = read(content.propertyCollector, spec_of(view, vim.VirtualMachine, ["name"]), 1)
        assert pages == len(found), (pages, found)
        return {properties["name"]: moref for moref, properties in found.items()}
    finally:
        view.Destroy()


def somebody(url, account, password, admin, role) -> None:
    """What an account that may little sees and may do."""
    rights = admin.authorizationManager
    (datacenter,) = admin.rootFolder.childEntity
    service = sign_in(url, account, password)
    content = service.RetrieveContent()
    session = content.sessionManager.currentSession
    assert session.userName == account, session
    mine = content.authorizationManager
    all_of_them = machines(admin)
    assert machines(content) == all_of_them
    web, sql = (vim.VirtualMachine(all_of_them[name], service._stub) for name in ("WEBVM", "SQLVM"))
    denied(web.PowerOffVM_Task, POWER_OFF, web)
    denied(lambda: web.Rename_Task("Mine"), "VirtualMachine.Config.Rename", web)
    denied(lambda: web.Destroy_Task(), "VirtualMachine.Inventory.Delete", web)
    root = content.rootFolder
    denied(lambda: mine.AddAuthorizationRole("Mine", []), "Authorization.ModifyRoles", root)
    own = permission(account, ADMIN)
    denied(
        lambda: mine.SetEntityPermissions(vim.Datacenter(datacenter._moId, service._stub), [own]),
        "Authorization.ModifyPermissions",
        datacenter,
    )
    ok("who lacks a right is told which and where")

    def may(entity, *privileges):
        (answer,) = mine.HasPrivilegeOnEntities([entity], session.key, list(privileges))
        return [a.isGranted for a in answer.privAvailability]

    assert may(web, BROWSE, POWER_OFF) == [True, False]
    rights.UpdateAuthorizationRole(role, "Judge's own", [BROWSE, POWER_OFF])
    assert may(web, BROWSE, POWER_OFF) == [True, True]
    WaitForTask(sql.PowerOffVM_Task())
    assert sql.runtime.powerState == "poweredOff"
    denied(sql.PowerOnVM_Task, "VirtualMachine.Interact.PowerOn", sql)
    shut = vim.VirtualMachine(sql._moId, admin.rootFolder._stub)
    WaitForTask(shut.PowerOnVM_Task())
    ok("what is put into a role counts at once")

    # Nobody gives more than they have.
    rights.UpdateAuthorizationRole(role, "Judge's own", ["Authorization.ModifyPermissions", BROWSE])
    here = vim.Datacenter(datacenter._moId, service._stub)
    e = refused(lambda: mine.SetEntityPermissions(here, [own]), vim.fault.NoPermission)
    assert e.privilegeId not in (BROWSE, "Authorization.ModifyPermissions"), e
    mine.SetEntityPermissions(here, [permission(GROUP, role, group=True)])
    rights.RemoveEntityPermission(datacenter, GROUP, True)
    ok("nobody gives what they don't have")

    # On one object an account's own permission counts and not its groups'; without one they do.
    rights.SetEntityPermissions(datacenter, [permission(GROUP, ADMIN, group=True)])
    assert may(web, BROWSE, POWER_OFF) == [True, False]
    rights.RemoveEntityPermission(datacenter, account, False)
    assert may(web, BROWSE, POWER_OFF) == [True, True]
    rights.SetEntityPermissions(datacenter, [permission(account, role)])
    rights.RemoveEntityPermission(datacenter, GROUP, True)
    # The nearest permission decides.
    closed = vim.VirtualMachine(web._moId, admin.rootFolder._stub)
    rights.SetEntityPermissions(closed, [permission(account, NO_ACCESS)])
    assert machines(content).keys() == all_of_them.keys() - {"WEBVM"}
    refused(lambda: web.name, vim.fault.NoPermission)
    rights.RemoveEntityPermission(closed, account, False)
    rights.SetEntityPermissions(datacenter, [permission(account, role, propagate=False)])
    assert machines(content) == {}, "without propagation nothing below is seen"
    assert here.name == datacenter.name
    rights.SetEntityPermissions(datacenter, [permission(account, role)])
    ok("the nearest permission decides, one's own before a group's")
    Disconnect(service)


def sessions(url, user, password, control, trust) -> None:
    one, two = (sign_in(url, user, password) for _ in range(2))
    content, other = one.RetrieveContent(), two.RetrieveContent()
    key, second = (c.sessionManager.currentSession.key for c in (content, other))
    assert key != second
    refused(lambda: content.sessionManager.Login(user, password), vim.fault.InvalidLogin)
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    foreign = vim.view.ContainerView(view._moId, two._stub)
    refused(foreign.Destroy, vmodl.fault.ManagedObjectNotFound)
    other.sessionManager.Logout()
    refused(two.CurrentTime, vim.fault.NotAuthenticated)
    assert one.CurrentTime() and len(view.view) > 0
    other.sessionManager.Login(user, password)
    assert other.sessionManager.currentSession.key != second
    ok("sessions stand beside each other")

    def wait(minutes):
        """Lets the lab's time pass."""
        now = one.CurrentTime() + timedelta(minutes=minutes)
        body = json.dumps({"advanceTo": now.isoformat().replace("+00:00", "Z")}).encode()
        asked = urllib.request.Request(f"{control}/clock", body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, context=trust) as answer:
            assert answer.status == 200

    wait(20)
    assert isinstance(one.CurrentTime(), datetime), "used in time, it lives on"
    wait(20)
    one.CurrentTime()
    # The other one was not used for forty minutes.
    refused(two.CurrentTime, vim.fault.NotAuthenticated)
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=other.rootFolder)],
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.Folder, pathSet=["name"])],
    )
    options = vmodl.query.PropertyCollector.RetrieveOptions()
    (missing,) = other.propertyCollector.RetrievePropertiesEx([spec], options).objects
    assert isinstance(missing.missingSet[0].fault, vim.fault.NotAuthenticated) and not missing.propSet, missing
    other.sessionManager.Login(user, password)
    assert two.CurrentTime()
    ok("a session ends when nobody uses it")
    Disconnect(one)
    Disconnect(two)


def main(url: str, user: str, password: str) -> None:
    given = json.load(sys.stdin)
    account, secret = given["account"], given["password"]
    trust = ssl.create_default_context(cadata=given["ca"])
    service = sign_in(url, user, password)
    content = service.RetrieveContent()
    domain, name = account.split("\\")
    (found,) = content.userDirectory.RetrieveUserGroups(domain, name, None, None, True, True, False)
    assert found.principal == name and not found.group, found
    # Known, but with no right anywhere.
    e = refused(lambda: sign_in(url, account, secret), vim.fault.NoPermission)
    assert e.privilegeId == "System.View", e
    refused(lambda: sign_in(url, account, secret[:-1]), vim.fault.InvalidLogin)
    ok("an account without rights is not let in")

    role = roles(content)
    permissions(content, account, role)
    somebody(url, account, secret, content, role)
    content.authorizationManager.RemoveAuthorizationRole(role, False)
    assert not content.authorizationManager.RetrieveEntityPermissions(content.rootFolder.childEntity[0], False)
    ok("a role takes its permissions with it")
    sessions(url, user, password, given["control"], trust)
    Disconnect(service)


if __name__ == "__main__":
    main(*sys.argv[1:])
