//! Discovery: machines stream in pages from vCenter, and the whole is kept in the project when the last one has come. Then
//! chosen machines are read whole, and changes are told as they happen.
//!
//! Details that were read once follow the machine: a change that may concern them lets them be read anew, any other leaves
//! them. What changes is written to the project machine by machine. A machine's reference means something in its vCenter
//! only: details of another vCenter's machines are not kept, and only the vCenter that was read is watched.

use crate::{
    App, Open, Sink,
    app::lock,
    connections::SecretName,
    wire::{InventoryChange, InventoryMessage, UiError, VmEventView},
};
use futures::StreamExt;
use plan::{Inventory, Vm, changes::changes, design::VCenterConnection, exchange::NoTrace};
use secrets::Secret;
use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};
use vsphere::{Change, Credentials, Part, VCenter};

/// Machines in one page. Small enough that the first is on screen at once.
const PAGE: u32 = 200;
/// Events of one machine.
const EVENTS: u32 = 50;

/// Returns what the last discovery found.
///
/// # Errors
/// Fails when the project isn't open or its file can't be read.
pub async fn inventory_get(app: &Arc<App>, project: String) -> Result<Option<Arc<Inventory>>, UiError> {
    app.opened(&project)?.inventory()
}

/// Reads the inventory from vCenter. Failures are messages, so that the page shows them where the rows would be.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn inventory_read(app: &Arc<App>, project: String, sink: Sink<InventoryMessage>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let begun = Instant::now();
    let pages = |found: &Inventory, page: Option<Vec<Vm>>| match page {
        None => sink(InventoryMessage::Connected {
            vcenter_name: found.vcenter_name.clone(),
            api_version: found.api_version.clone(),
        }),
        Some(vms) => sink(InventoryMessage::Page { vms }),
    };
    let before = open.inventory()?;
    let all = async {
        let vcenter = session(app, &open).await?;
        let mut found = read(&vcenter, pages).await?;
        if let Some(found) = &mut found {
            complete(&vcenter, &open, before.as_deref(), found).await;
        }
        Ok(found)
    };
    let message = match all.await {
        // Nobody listens any more: what was read is incomplete, and is not kept.
        Ok(None) => return Ok(()),
        Ok(Some(found)) => {
            let vms = u32::try_from(found.vms.len()).unwrap_or(u32::MAX);
            let changes = before.map(|before| changes(&before, &found));
            match open.keep_inventory(found) {
                Ok(()) => InventoryMessage::Done {
                    vms,
                    millis: u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX),
                    changes,
                },
                Err(error) => InventoryMessage::Failed { error },
            }
        }
        Err(error) => InventoryMessage::Failed { error },
    };
    sink(message);
    Ok(())
}

/// Adds what the first pass doesn't read: of the plan's machines, which are judged before approval, anew; of others as it was
/// known, where nothing has changed that may concern it.
async fn complete(vcenter: &VCenter, open: &Open, before: Option<&Inventory>, found: &mut Inventory) {
    let design = open.project().design;
    let planned = |vm: &Vm| {
        [&design.web_vm, &design.sql_vm]
            .iter()
            .any(|name| vm.name.eq_ignore_ascii_case(name))
    };
    let morefs: Vec<String> = found
        .vms
        .iter()
        .filter(|v| planned(v))
        .map(|v| v.moref.clone())
        .collect();
    if let Some(before) = before.filter(|b| b.vcenter_uuid == found.vcenter_uuid) {
        let old: HashMap<&str, &Vm> = before.vms.iter().map(|v| (v.moref.as_str(), v)).collect();
        for vm in &mut found.vms {
            if let Some(old) = old.get(vm.moref.as_str()).filter(|old| !may_concern_details(old, vm)) {
                (vm.details, vm.readiness) = (old.details.clone(), old.readiness.clone());
            }
        }
    }
    match vcenter.details(&morefs).await {
        Ok(read) => found.change(&read, &[]),
        // They are read again when they are looked at, and by the run.
        Err(e) => tracing::debug!(error = %e, "details could not be read"),
    }
}

/// Reads these machines whole, and keeps them in the project. Those that are gone from vCenter are left out.
///
/// # Errors
/// Fails when the project isn't open, or vCenter refuses.
pub async fn inventory_details(app: &Arc<App>, project: String, morefs: Vec<String>) -> Result<Vec<Vm>, UiError> {
    let open = app.opened(&project)?;
    let vcenter = session(app, &open).await?;
    let vms = vcenter.details(&morefs).await?;
    if is_of(&open, &vcenter).await? {
        open.change_machines(&vms, &[])?;
    }
    Ok(vms)
}

/// The last events of a machine in vCenter, newest first.
///
/// # Errors
/// Fails when the project isn't open, or vCenter refuses.
pub async fn vm_events(app: &Arc<App>, project: String, moref: String) -> Result<Vec<VmEventView>, UiError> {
    let open = app.opened(&project)?;
    let events = session(app, &open).await?.vm_events(&moref, EVENTS).await?;
    let view = |e: vsphere::VmEvent| VmEventView {
        key: e.key,
        at: e.at.to_string(),
        kind: e.kind,
        user: e.user,
        message: e.message,
    };
    Ok(events.into_iter().map(view).collect())
}

/// Tells what changes in the inventory that was read, beginning with what has changed since, and keeps it in the project.
/// Goes on until the project is closed or nobody listens.
///
/// # Errors
/// Fails when the project isn't open, no inventory of this vCenter was read yet, or vCenter refuses the sign-in.
pub async fn inventory_watch(app: &Arc<App>, project: String, sink: Sink<InventoryChange>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let watching = Watching::begin(app, &open).await?;
    if !is_of(&open, &watching.vcenter).await? {
        return Err(UiError::state(
            "There is no inventory of this vCenter yet",
            "Changes are told against what was read.",
            "Choose Read in Inventory.",
        ));
    }
    let known = open.inventory()?.map(|i| i.vms.clone()).unwrap_or_default();
    let mut changes = watching.vcenter.watch(known);
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            () = open.closed.cancelled() => None,
        };
        let message = match change {
            None => return Ok(()),
            Some(Change::Upserted(vms)) => {
                let vms = with_details(&open, &watching.vcenter, vms).await?;
                open.change_machines(&vms, &[])?;
                InventoryChange::Upserted { vms }
            }
            Some(Change::Removed(morefs)) => {
                open.change_machines(&[], &morefs)?;
                InventoryChange::Removed { morefs }
            }
            Some(Change::Lost(error)) => InventoryChange::Lost { error: error.into() },
            Some(Change::Back) => InventoryChange::Back,
            Some(Change::Quiet) => InventoryChange::Quiet,
        };
        if !sink(message) {
            return Ok(());
        }
    }
}

/// The session of a watch, which others use meanwhile. The last who has it logs out.
struct Watching {
    open: Arc<Open>,
    vcenter: VCenter,
}

impl Watching {
    async fn begin(app: &Arc<App>, open: &Arc<Open>) -> Result<Watching, UiError> {
        let vcenter = connect(app, open).await?;
        *lock(&open.vcenter) = Some(vcenter.clone());
        Ok(Watching {
            open: open.clone(),
            vcenter,
        })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        lock(&self.open.vcenter).take_if(|shared| shared.is(&self.vcenter));
    }
}

/// Adds the stored details to machines that changed; those that the change may concern are read anew.
async fn with_details(open: &Open, vcenter: &VCenter, mut vms: Vec<Vm>) -> Result<Vec<Vm>, UiError> {
    let mut old = vec![];
    for vm in &mut vms {
        let Some(stored) = open.file.machine(&vm.moref)? else {
            continue;
        };
        if stored.details.is_some() && may_concern_details(&stored, vm) {
            old.push(vm.moref.clone());
        }
        (vm.details, vm.readiness) = (stored.details, stored.readiness);
    }
    if !old.is_empty() {
        match vcenter.details(&old).await {
            Ok(read) => {
                for vm in read {
                    if let Some(at) = vms.iter_mut().find(|v| v.moref == vm.moref) {
                        *at = vm;
                    }
                }
            }
            // The watch hears of it, too, and says it.
            Err(e) => tracing::debug!(error = %e, "details could not be read anew"),
        }
    }
    Ok(vms)
}

fn may_concern_details(before: &Vm, now: &Vm) -> bool {
    let parts = |v: &Vm| {
        (
            (v.disk_count, v.nic_count, v.storage_bytes),
            (v.ip_address.clone(), v.host_name.clone(), v.tools_status.clone()),
        )
    };
    parts(before) != parts(now)
}

/// Whether the stored inventory is of this vCenter.
async fn is_of(open: &Open, vcenter: &VCenter) -> Result<bool, UiError> {
    match open.file.places()? {
        Some(stored) => Ok(stored.vcenter_uuid == vcenter.identity().await?),
        None => Ok(false),
    }
}

/// The session of whoever watches, or else one of its own, which ends with the last that has it.
pub(crate) async fn session(app: &Arc<App>, open: &Open) -> Result<VCenter, UiError> {
    let shared = lock(&open.vcenter).clone();
    match shared {
        Some(vcenter) => Ok(vcenter),
        None => connect(app, open).await,
    }
}

async fn connect(app: &Arc<App>, open: &Open) -> Result<VCenter, UiError> {
    let credentials = Credentials {
        password: app.secret(open, SecretName::Vcenter).await?.ok_or_else(no_password)?,
        proxy_password: app.secret(open, SecretName::VcenterProxy).await?,
    };
    let connection = open.project().connections.vcenter;
    Ok(VCenter::connect(&connection, credentials, Arc::new(NoTrace)).await?)
}

/// Reads the inventory of a vCenter without a window. The password is `typed`, or that of the project; with a project
/// the result is kept there. `progress` hears how many machines have come.
///
/// # Errors
/// Fails when the project or vCenter does.
pub async fn discover(
    app: &Arc<App>,
    connection: VCenterConnection,
    typed: Option<Secret<String>>,
    project: Option<&Path>,
    progress: impl Fn(usize),
) -> Result<Inventory, UiError> {
    let open = match project {
        Some(path) => Some(app.open(path).await?),
        None => None,
    };
    let password = match (typed, &open) {
        (Some(typed), _) => typed,
        (None, Some(open)) => app.secret(open, SecretName::Vcenter).await?.ok_or_else(no_password)?,
        (None, None) => return Err(no_password()),
    };
    let connection = crate::connections::checked(connection)?;
    let vcenter = VCenter::connect(&connection, &password, Arc::new(NoTrace)).await?;
    let heard = |found: &Inventory, _| {
        progress(found.vms.len());
        true
    };
    let found = read(&vcenter, heard).await;
    vcenter.logout().await;
    let found = found?.unwrap_or_default();
    if let Some(open) = open {
        open.keep_inventory(found.clone())?;
        app.close().await;
    }
    Ok(found)
}

/// Reads all there is. `page` is called when the first answer is there (none) and for each page; when it returns false
/// the reading stops and gives nothing.
async fn read(
    vcenter: &VCenter,
    page: impl Fn(&Inventory, Option<Vec<Vm>>) -> bool,
) -> Result<Option<Inventory>, UiError> {
    let mut found = Inventory::default();
    let mut parts = vcenter.discover(PAGE);
    while let Some(part) = parts.next().await {
        let listens = match part? {
            Part::Places(places) => {
                found = *places;
                page(&found, None)
            }
            Part::Machines(vms) => {
                found.vms.extend_from_slice(&vms);
                page(&found, Some(vms))
            }
        };
        if !listens {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

fn no_password() -> UiError {
    UiError::invalid(
        "There is no vCenter password",
        "None is stored for this project.",
        "Open Connect, enter the password of the vCenter account, and choose Save.",
    )
}
