"""VMware's own client works inside a machine of the lab: accounts, files, programs, and what scripts read and change.

Called as `python guest.py URL USER PASSWORD`, with an account of WEBVM as JSON on standard input (`guest`). Prints
`ok NAME` for each check.
"""

import json
import ssl
import sys
import time
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

from inventory import ok, refused, sign_in
from pyVim.connect import Disconnect
from pyVmomi import vim

POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"


class Guest:
    """One machine, with the account of its system."""

    def __init__(self, url, service, vm, user, password):
        managers = service.RetrieveContent().guestOperationsManager
        self.auths, self.files, self.processes = managers.authManager, managers.fileManager, managers.processManager
        self.at, self.vm = urlsplit(url), vm
        self.auth = vim.vm.guest.NamePasswordAuthentication(
            interactiveSession=False, username=user, password=password
        )

    def transfer(self, address, content=None):
        """Moves a file at an address with a ticket; `*` is the server that gave it."""
        at = urlsplit(address)
        if at.hostname == "*":
            at = at._replace(netloc=self.at.netloc)
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        request = Request(urlunsplit(at), data=content, method="GET" if content is None else "PUT")
        with urlopen(request, context=trusting) as answer:
            assert answer.status == 200, answer.status
            return answer.read()

    def put(self, path, content):
        address = self.files.InitiateFileTransferToGuest(
            self.vm, self.auth, path, vim.vm.guest.FileManager.FileAttributes(), len(content), True
        )
        self.transfer(address, content)
        return address

    def get(self, path):
        return self.transfer(self.files.InitiateFileTransferFromGuest(self.vm, self.auth, path).url)

    def run(self, script):
        """Runs a script that lies in a temporary directory; its exit code and what it printed."""
        folder = self.files.CreateTemporaryDirectoryInGuest(self.vm, self.auth, "judge", "")
        try:
            file, out = folder + r"\script.ps1", folder + r"\out.txt"
            self.put(file, script.encode())
            spec = vim.vm.guest.ProcessManager.ProgramSpec(
                programPath=POWERSHELL, arguments=f"-NoProfile -Command \"& '{file}' | Out-File '{out}'\""
            )
            pid = self.processes.StartProgramInGuest(self.vm, self.auth, spec)
            while True:
                (process,) = self.processes.ListProcessesInGuest(self.vm, self.auth, [pid])
                assert process.pid == pid and process.owner and process.startTime, process
                if process.endTime:
                    return process.exitCode, self.get(out).decode()
                time.sleep(0.05)
        finally:
            self.files.DeleteDirectoryInGuest(self.vm, self.auth, folder, True)


def main(url, user, password):
    given = json.load(sys.stdin)["guest"]
    guest_user, guest_password = given["user"], given["password"]
    service = sign_in(url, user, password)
    index = service.RetrieveContent().searchIndex
    vm = index.FindByInventoryPath("contoso-datacenter/vm/WEBVM")
    assert vm.guest.guestOperationsReady
    guest = Guest(url, service, vm, guest_user, guest_password)

    guest.auths.ValidateCredentialsInGuest(vm, guest.auth)
    wrong = Guest(url, service, vm, guest_user, "wrong")
    refused(lambda: wrong.auths.ValidateCredentialsInGuest(vm, wrong.auth), vim.fault.InvalidGuestLogin)
    refused(lambda: wrong.run("'x'"), vim.fault.InvalidGuestLogin)
    ok("an account of the guest is checked")

    file = guest.files.CreateTemporaryFileInGuest(vm, guest.auth, "judge", ".txt")
    content = "R&D <é>".encode()
    address = guest.put(file, content)
    assert guest.get(file) == content
    try:
        guest.transfer(address, content)
        raise AssertionError("a ticket was good twice")
    except OSError:
        pass
    guest.files.DeleteFileInGuest(vm, guest.auth, file)
    gone = refused(lambda: guest.get(file), vim.fault.FileNotFound)
    assert gone.file == file
    ok("files go in and out by tickets")

    code, printed = guest.run("# rehost-readiness 1 windows")
    assert code == 0 and printed.startswith("readiness=1") and printed.rstrip().endswith("end=1"), printed
    assert "rdp.deny=1" in printed
    key = r"'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server'"
    code, printed = guest.run(f"Set-ItemProperty -Path {key} -Name fDenyTSConnections -Value 0\n'done'\n")
    assert (code, printed.strip()) == (0, "done"), printed
    code, printed = guest.run("# rehost-readiness 1 windows")
    assert "rdp.deny=0" in printed
    code, printed = guest.run("Get-Nothing")
    assert code == 1 and "Get-Nothing" in printed, printed
    ok("scripts read and change what is inside")

    missing = vim.vm.guest.ProcessManager.ProgramSpec(programPath=r"C:\none.exe", arguments="")
    refused(lambda: guest.processes.StartProgramInGuest(vm, guest.auth, missing), vim.fault.FileNotFound)
    other = index.FindByInventoryPath("contoso-datacenter/vm/SQLVM")
    refused(lambda: guest.auths.ValidateCredentialsInGuest(other, guest.auth), vim.fault.InvalidGuestLogin)
    ok("what is not there, and another machine, are refused")

    Disconnect(service)


if __name__ == "__main__":
    main(*sys.argv[1:])
