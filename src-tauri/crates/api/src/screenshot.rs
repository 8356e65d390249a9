//! What a migrated machine shows on its console, so that whoever decides sees it: nobody can say from a program's side
//! whether a picture is the sign-in screen. It is read when it is looked at, and not kept.

use crate::{
    App,
    wire::{Screenshot, UiError},
};
use azure::{Blobs, model::compute};
use base64::{Engine, engine::general_purpose::STANDARD};
use plan::{Action, Address, exchange::NoTrace};
use std::sync::Arc;

/// Reads the picture of the machine that a task looks at, through the run that is followed.
///
/// # Errors
/// Fails when no run is followed, when the task looks at no machine, and when Azure keeps no picture.
pub async fn vm_screenshot(app: &Arc<App>, project: String, address: Address) -> Result<Screenshot, UiError> {
    let open = app.opened(&project)?;
    let live = open.followed().ok_or_else(|| {
        UiError::not_found(
            "The screenshot can be read while a run is followed",
            "Rehost is not signed in to Azure outside a run.",
            "Look in the portal: the virtual machine, Boot diagnostics.",
        )
    })?;
    let vm = live.plan.plan.task(&address).and_then(|t| match &t.action {
        Action::CheckBoot { vm } => Some(vm),
        _ => None,
    });
    let vm = vm.ok_or_else(|| {
        UiError::not_found(
            "This task looks at no screen",
            "Only the tasks that check a start do.",
            "",
        )
        .about(&address)
    })?;
    let arm = live.arm.traced(Arc::new(NoTrace));
    let kept = compute::boot_diagnostics(&arm, vm).await?;
    let none = |why: &str| {
        UiError::not_found(
            "Azure keeps no screenshot of this machine",
            why,
            "Wait a minute and look again, or look in the portal: the virtual machine, Boot diagnostics.",
        )
        .about(&address)
    };
    let picture = kept
        .console_screenshot_blob_uri
        .ok_or_else(|| none("Boot diagnostics name none."))?;
    let bytes = Blobs::new(&arm).read(&picture).await?;
    let kind = match &*bytes {
        [b'B', b'M', ..] => "bmp",
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, ..] => "jpeg",
        _ => return Err(none("What is kept is no picture.")),
    };
    Ok(Screenshot {
        vm: vm.name().to_owned(),
        data_url: format!("data:image/{kind};base64,{}", STANDARD.encode(&bytes)),
    })
}
