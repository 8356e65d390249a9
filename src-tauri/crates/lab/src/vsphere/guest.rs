//! Guest operations: accounts, files and programs inside machines. What happens in them is in [`crate::guests`].
//!
//! As strict as the real managers about rights, power, VMware Tools and the guest's account, in this order. Files come and go
//! over addresses with a ticket for one use. A real vCenter names the ESXi host there; here stands `*`, which a stand-alone
//! host says of itself, since there is no second server.

use super::{
    Context, Outcome, Service,
    wire::{Element, Fault, Val, data, reference},
};
use crate::{
    guests::Transfer,
    onprem::{LabVm, Power},
    world::World,
};
use axum::{
    body::Bytes,
    extract::{Query, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use std::{collections::BTreeMap, sync::Arc};

pub(super) const MANAGERS: &[(&str, &str)] = &[
    ("GuestOperationsManager", "guestOperationsManager"),
    ("GuestAuthManager", "guestOperationsAuthManager"),
    ("GuestFileManager", "guestOperationsFileManager"),
    ("GuestProcessManager", "guestOperationsProcessManager"),
];

pub(super) fn manager() -> Vec<(&'static str, Val)> {
    ["authManager", "fileManager", "processManager"]
        .into_iter()
        .zip(&MANAGERS[1..])
        .map(|(property, (kind, id))| (property, reference(kind, id)))
        .collect()
}

/// Methods of the managers and the privilege that each needs on the machine.
const METHODS: &[(&str, &str, &str)] = &[
    ("GuestAuthManager", "ValidateCredentialsInGuest", "Query"),
    ("GuestFileManager", "CreateTemporaryFileInGuest", "Modify"),
    ("GuestFileManager", "CreateTemporaryDirectoryInGuest", "Modify"),
    ("GuestFileManager", "DeleteFileInGuest", "Modify"),
    ("GuestFileManager", "DeleteDirectoryInGuest", "Modify"),
    ("GuestFileManager", "InitiateFileTransferToGuest", "Modify"),
    ("GuestFileManager", "InitiateFileTransferFromGuest", "Query"),
    ("GuestProcessManager", "StartProgramInGuest", "Execute"),
    ("GuestProcessManager", "ListProcessesInGuest", "Query"),
];

pub(super) fn privilege(manager: &str, method: &str) -> Option<String> {
    let found = METHODS.iter().find(|(m, name, _)| (*m, *name) == (manager, method));
    found.map(|(.., privilege)| format!("VirtualMachine.GuestOperations.{privilege}"))
}

fn no_file(path: &str) -> Fault {
    let words = format!("File {path} was not found");
    Fault::new("FileNotFound", &words).with("file", Val::text(path))
}

impl Context<'_> {
    pub(super) fn guest_operation(&mut self, request: &Element, privilege: &str) -> Outcome {
        let vm = request.object("vm").ok_or_else(|| Fault::argument("vm"))?;
        if vm.0 != "VirtualMachine" || !self.exists(&vm) {
            return Err(Fault::not_found(&vm));
        }
        self.need(privilege, &vm)?;
        let user = self.guest_account(request, &vm.1)?;
        let path = |name: &str| request.text(name).unwrap_or_default().to_owned();
        match request.name.as_str() {
            "ValidateCredentialsInGuest" => Ok(String::new()),
            "CreateTemporaryFileInGuest" | "CreateTemporaryDirectoryInGuest" => {
                let n = self.w.number();
                let v = machine(self.w, &vm.1)?;
                let root = Some(path("directoryPath")).filter(|p| !p.is_empty());
                let root = root.unwrap_or_else(|| v.guest.temporary_root().to_owned());
                let made = format!("{root}{}{}{n}{}", v.guest.separator(), path("prefix"), path("suffix"));
                match request.name.as_str() {
                    "CreateTemporaryFileInGuest" => drop(v.guest.files.insert(made.clone(), vec![])),
                    _ => drop(v.guest.directories.insert(made.clone())),
                }
                Ok(Val::text(made).element("returnval"))
            }
            "DeleteFileInGuest" => {
                let path = path("filePath");
                let gone = machine(self.w, &vm.1)?.guest.files.remove(&path);
                gone.map(|_| String::new()).ok_or_else(|| no_file(&path))
            }
            "DeleteDirectoryInGuest" => {
                let path = path("directoryPath");
                let guest = &mut machine(self.w, &vm.1)?.guest;
                let inside = format!("{path}{}", guest.separator());
                if !guest.directories.contains(&path) {
                    return Err(no_file(&path));
                }
                let full = guest.files.keys().any(|f| f.starts_with(&inside));
                if full && !request.flag("recursive") {
                    return Err(
                        Fault::new("DirectoryNotEmpty", "The directory is not empty.").with("file", Val::text(path))
                    );
                }
                guest.directories.remove(&path);
                guest.files.retain(|f, _| !f.starts_with(&inside));
                Ok(String::new())
            }
            "InitiateFileTransferToGuest" => {
                let path = path("guestFilePath");
                let size = request.text("fileSize").and_then(|s| s.parse().ok());
                let size: u64 = size.ok_or_else(|| Fault::argument("fileSize"))?;
                let guest = &machine(self.w, &vm.1)?.guest;
                let folder = path
                    .rsplit_once(guest.separator())
                    .map(|(folder, _)| folder)
                    .unwrap_or_default();
                let known = folder == guest.temporary_root() || guest.directories.contains(folder);
                if !known {
                    return Err(no_file(&path));
                }
                if guest.files.contains_key(&path) && !request.flag("overwrite") {
                    return Err(
                        Fault::new("FileAlreadyExists", "The file already exists.").with("file", Val::text(path))
                    );
                }
                let to = Transfer {
                    vm: vm.1,
                    path,
                    size: Some(size),
                };
                Ok(Val::text(self.w.transfer(to)).element("returnval"))
            }
            "InitiateFileTransferFromGuest" => {
                let path = path("guestFilePath");
                let file = machine(self.w, &vm.1)?.guest.files.get(&path);
                let size = file.map(Vec::len).ok_or_else(|| no_file(&path))?;
                let from = Transfer {
                    vm: vm.1,
                    path,
                    size: None,
                };
                let url = self.w.transfer(from);
                let told = data(
                    "FileTransferInformation",
                    [
                        ("attributes", data("GuestFileAttributes", [])),
                        ("size", Val::long(i64::try_from(size).unwrap_or_default())),
                        ("url", Val::text(url)),
                    ],
                );
                Ok(told.element("returnval"))
            }
            "StartProgramInGuest" => {
                let spec = request.child("spec").ok_or_else(|| Fault::argument("spec"))?;
                let program = spec.text("programPath").unwrap_or_default();
                let known = ["powershell.exe", "cmd.exe", "/bin/sh"];
                if !known.iter().any(|k| program.to_ascii_lowercase().ends_with(k)) {
                    return Err(no_file(program));
                }
                let arguments = spec.text("arguments").unwrap_or_default();
                let pid = self.w.start_program(&vm.1, program, arguments, &user);
                Ok(Val::long(pid.ok_or_else(|| Fault::not_found(&vm))?).element("returnval"))
            }
            _ => {
                let wanted = request.texts("pids");
                let (now, patience) = (self.w.now(), self.patience);
                let all = machine(self.w, &vm.1)?.processes(now, patience).filter(|p| {
                    let pid = p.pid.to_string();
                    wanted.is_empty() || wanted.contains(&pid)
                });
                let told = all.map(|p| {
                    let mut fields = vec![
                        ("name", Val::text(p.name.as_str())),
                        ("pid", Val::long(p.pid)),
                        ("owner", Val::text(p.owner.as_str())),
                        ("cmdLine", Val::text(p.command.as_str())),
                        ("startTime", Val::time(p.started)),
                    ];
                    if let Some((at, code)) = p.ended {
                        fields.extend([("endTime", Val::time(at)), ("exitCode", Val::int(code))]);
                    }
                    Val::Data("GuestProcessInfo".into(), fields).element("returnval")
                });
                Ok(told.collect())
            }
        }
    }

    /// Signs in to the guest; the account's name.
    fn guest_account(&mut self, request: &Element, moref: &str) -> Result<String, Fault> {
        let replaying = self.w.replaying;
        let v = machine(self.w, moref)?;
        if v.power == Power::Off {
            let words = "The attempted operation cannot be performed in the current state (Powered off).";
            return Err(Fault::new("InvalidPowerState", words)
                .with("requestedState", Val::of("VirtualMachinePowerState", Power::On.vim()))
                .with("existingState", Val::of("VirtualMachinePowerState", Power::Off.vim())));
        }
        if !v.tools_running {
            let words = "The guest operations agent could not be contacted.";
            return Err(Fault::new("GuestOperationsUnavailable", words));
        }
        let auth = request.child("auth").ok_or_else(|| Fault::argument("auth"))?;
        let (user, password) = (auth.text("username"), auth.text("password"));
        let user = user.unwrap_or_default().to_owned();
        // The diary keeps no passwords; what it repeats was let in before.
        if !replaying && !v.guest.accepts(&user, password.unwrap_or_default(), &v.name) {
            let words = "Failed to authenticate with the guest operating system using the supplied credentials.";
            return Err(Fault::new("InvalidGuestLogin", words));
        }
        Ok(user)
    }
}

fn machine<'a>(w: &'a mut World, moref: &str) -> Result<&'a mut LabVm, Fault> {
    let gone = Fault::not_found(&("VirtualMachine".into(), moref.into()));
    w.onprem.vm_mut(moref).ok_or(gone)
}

/// Takes or gives a file at an address with a ticket. The session has no part in it.
pub(super) async fn file(
    State(service): State<Arc<Service>>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
    body: Bytes,
) -> Response {
    let mut world = service.world.lock();
    world.advance(service.clock.now());
    let token = query.get("token").map(String::as_str).unwrap_or_default();
    let Some(ticket) = world.onprem.transfers.remove(token) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(v) = world.onprem.vm_mut(&ticket.vm) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match (method, ticket.size) {
        (Method::PUT, Some(size)) if size == body.len() as u64 => {
            v.guest.files.insert(ticket.path, body.to_vec());
            StatusCode::OK.into_response()
        }
        (Method::GET, None) => match v.guest.files.get(&ticket.path) {
            Some(bytes) => bytes.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}
