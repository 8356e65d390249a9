//! Discovery: machines stream in pages from vCenter, and the whole is kept in the project when the last one has come.

use crate::{
    App, Sink,
    connections::SecretName,
    wire::{InventoryMessage, UiError},
};
use futures::{StreamExt, pin_mut};
use plan::{Inventory, Vm, design::VCenterConnection, exchange::NoTrace};
use secrets::Secret;
use std::{path::Path, sync::Arc, time::Instant};
use vsphere::VCenter;

/// Machines in one page. Small enough that the first is on screen at once.
const PAGE: u32 = 200;

/// Returns what the last discovery found.
///
/// # Errors
/// Fails when the project isn't open or its file can't be read.
pub async fn inventory_get(app: &Arc<App>, project: String) -> Result<Option<Inventory>, UiError> {
    app.opened(&project)?.inventory()
}

/// Reads the inventory from vCenter. Failures are messages, so that the page shows them where the rows would be.
///
/// # Errors
/// Fails when the project isn't open.
pub async fn inventory_read(app: &Arc<App>, project: String, sink: Sink<InventoryMessage>) -> Result<(), UiError> {
    let open = app.opened(&project)?;
    let begun = Instant::now();
    let connection = open.project().connections.vcenter;
    let read = async {
        let password = app.secret(&open, SecretName::Vcenter).await?.ok_or_else(no_password)?;
        let pages = |found: &Inventory, page: Option<Vec<Vm>>| match page {
            None => sink(InventoryMessage::Connected {
                vcenter_name: found.vcenter_name.clone(),
                api_version: found.api_version.clone(),
            }),
            Some(vms) => sink(InventoryMessage::Page { vms }),
        };
        read(&connection, &password, pages).await
    };
    let message = match read.await {
        // Nobody listens any more: what was read is incomplete, and is not kept.
        Ok(None) => return Ok(()),
        Ok(Some(found)) => {
            let vms = u32::try_from(found.vms.len()).unwrap_or(u32::MAX);
            match open.keep_inventory(&found) {
                Ok(()) => InventoryMessage::Done {
                    vms,
                    millis: u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX),
                },
                Err(error) => InventoryMessage::Failed { error },
            }
        }
        Err(error) => InventoryMessage::Failed { error },
    };
    sink(message);
    Ok(())
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
    let found = read(&connection, &password, |found, _| {
        progress(found.vms.len());
        true
    })
    .await?
    .unwrap_or_default();
    if let Some(open) = open {
        open.keep_inventory(&found)?;
        app.close().await;
    }
    Ok(found)
}

/// Reads all machines. `page` is called once connected (none) and for each page; when it returns false the reading
/// stops and gives nothing.
pub(crate) async fn read(
    connection: &VCenterConnection,
    password: &Secret<String>,
    page: impl Fn(&Inventory, Option<Vec<Vm>>) -> bool,
) -> Result<Option<Inventory>, UiError> {
    let vcenter = VCenter::connect(connection, password, Arc::new(NoTrace)).await?;
    let about = vcenter.about();
    let mut found = Inventory {
        vcenter_uuid: about.instance_uuid.clone(),
        vcenter_name: about.full_name.clone(),
        api_version: about.api_version.clone(),
        read_at: Some(jiff::Timestamp::now()),
        ..Inventory::default()
    };
    let listens = page(&found, None) && {
        let pages = vcenter.vms(PAGE);
        pin_mut!(pages);
        let mut listens = true;
        while listens && let Some(next) = pages.next().await {
            let vms = next?;
            found.vms.extend_from_slice(&vms);
            listens = page(&found, Some(vms));
        }
        listens
    };
    vcenter.logout().await;
    Ok(listens.then_some(found))
}

fn no_password() -> UiError {
    UiError::invalid(
        "There is no vCenter password",
        "None is stored for this project.",
        "Open Connect, enter the password of the vCenter account, and choose Save.",
    )
}
