"""VMware's own client does in vCenter what the scenario asks of its administrator: a role, and a permission for the
account of the replication appliance."""

from urllib.parse import urlsplit

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

ROLE, PRINCIPAL = "Azure_Site_Recovery", "CONTOSO\\svc-asr"


class VCenter:
    def __init__(self, lab):
        at = urlsplit(lab.where["vcenter"])
        self.lab = lab
        self.session = SmartConnect(
            host=at.hostname,
            port=at.port,
            user=lab.where["vcenterUser"],
            pwd=lab.where["vcenterPassword"],
            sslContext=lab.tls,
        )
        self.content = self.session.RetrieveContent()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Disconnect(self.session)

    def let_the_appliance_in(self) -> None:
        rights = self.content.authorizationManager
        role = rights.AddAuthorizationRole(ROLE, ["Datastore.Browse", "VirtualMachine.Interact.PowerOff"])
        # The administrator makes the account when the role is there.
        self.lab.until("the account is in the directory", self.account)
        (datacenter,) = self.content.rootFolder.childEntity
        permission = vim.AuthorizationManager.Permission(
            principal=PRINCIPAL, group=False, roleId=role, propagate=True
        )
        rights.SetEntityPermissions(datacenter, [permission])
        (back,) = rights.RetrieveEntityPermissions(datacenter, False)
        assert back.roleId == role and back.propagate, back

    def account(self):
        domain, name = PRINCIPAL.split("\\")
        return self.content.userDirectory.RetrieveUserGroups(domain, name, None, None, True, True, False)

    def power(self, name: str) -> str:
        kinds = [vim.VirtualMachine]
        view = self.content.viewManager.CreateContainerView(self.content.rootFolder, kinds, True)
        try:
            return next(str(vm.runtime.powerState) for vm in view.view if vm.name == name)
        finally:
            view.Destroy()
