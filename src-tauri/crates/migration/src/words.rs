//! Puts the clients' errors into the engine's words, keeping what the client advises.

use azure::AzureError;
use engine::{Failure, FailureClass};
use sqlserver::SqlError;
use vsphere::VsphereError;

/// A failure of a request to Azure.
pub(crate) fn azure(e: AzureError) -> Failure {
    let advice = e.advice();
    let class = match e.class() {
        // Rehost registers, grants and unlocks nothing that it was not asked to.
        _ if e.needs_person() => FailureClass::NeedsPerson,
        azure::ErrorClass::Throttled(after_secs) => FailureClass::Throttled { after_secs },
        azure::ErrorClass::Transient => FailureClass::Transient,
        azure::ErrorClass::Auth => FailureClass::Auth,
        azure::ErrorClass::Conflict => FailureClass::Conflict,
        azure::ErrorClass::Permanent => FailureClass::Permanent,
    };
    let mut f = Failure::of(class, e.code(), advice.title, advice.detail, advice.hint);
    f.correlation_id = e.correlation_id().map(str::to_owned);
    f
}

/// A look at an operation that failed. What is no word of Azure's (no answer, a proxy's page, half a document) ends
/// nothing: the operation goes on, and is looked at again.
pub(crate) fn look(e: AzureError) -> Failure {
    let nothing = e.says_nothing();
    let mut f = azure(e);
    if nothing {
        f.class = FailureClass::Transient;
    }
    f
}

/// An operation that Azure accepted and that ended badly: looking again does not change it, so a class that means
/// "the look failed" becomes one that starts the task anew.
pub(crate) fn ended(e: AzureError) -> Failure {
    let mut f = azure(e);
    if matches!(f.class, FailureClass::Transient | FailureClass::Throttled { .. }) {
        f.class = FailureClass::Conflict;
    }
    f
}

/// A failure of a call to vCenter.
pub(crate) fn vsphere(e: VsphereError) -> Failure {
    let advice = e.advice();
    let class = match e.class() {
        vsphere::ErrorClass::Transient => FailureClass::Transient,
        vsphere::ErrorClass::Auth => FailureClass::Auth,
        vsphere::ErrorClass::Conflict => FailureClass::Conflict,
        vsphere::ErrorClass::Permanent => FailureClass::Permanent,
    };
    Failure::of(class, e.code(), advice.title, advice.detail, advice.hint)
}

/// A task of vCenter that ended badly: looking again does not change it, as with [`ended`].
pub(crate) fn vcenter_task(e: VsphereError) -> Failure {
    let mut f = vsphere(e);
    if f.class == FailureClass::Transient {
        f.class = FailureClass::Conflict;
    }
    f
}

/// A failure of a call to SQL Server.
pub(crate) fn sql(e: &SqlError) -> Failure {
    let advice = e.advice();
    let class = match e.class() {
        sqlserver::ErrorClass::Transient => FailureClass::Transient,
        sqlserver::ErrorClass::Auth => FailureClass::Auth,
        sqlserver::ErrorClass::Conflict => FailureClass::Conflict,
        sqlserver::ErrorClass::Permanent | sqlserver::ErrorClass::Cancelled => FailureClass::Permanent,
    };
    Failure::of(class, &e.code(), advice.title, advice.detail, advice.hint)
}

/// The kind was asked for an action it does not know; a fault of ours.
pub(crate) fn misplaced(task: &plan::Task) -> Failure {
    Failure::permanent(
        "Internal",
        format!("{} can't be carried out", task.address),
        "The task and its kind don't belong together.",
        "Report this to the makers of Rehost; nothing was changed.",
    )
}
