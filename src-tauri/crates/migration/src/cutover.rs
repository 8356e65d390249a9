//! Whether anybody can still write to the source when the database is to be cut over, see [`plan::cutover`].

use crate::{Links, words};
use engine::{Ctx, Failure};
use plan::cutover::Application;
use sqlserver::backup;

/// Looks at the application's machine in vCenter, and when that is not off, at the source database. A source that can't be
/// asked proves nothing. `vm` is empty in plans of earlier versions, which trusted the task before.
pub(crate) async fn application<'a>(
    links: &Links,
    ctx: &Ctx,
    vm: &'a str,
    database: &str,
) -> Result<Application<'a>, Failure> {
    if vm.is_empty() {
        return Ok(Application::Stopped);
    }
    let vcenter = links.vcenter(ctx).await?;
    let found = vcenter.find_vm(vm).await.map_err(words::vsphere)?;
    if found.is_some_and(|v| v.power_state.eq_ignore_ascii_case("poweredOff")) {
        return Ok(Application::Stopped);
    }
    if links.has_sql()
        && let Ok(mut source) = links.sql().await
        && let Ok(Some(state)) = backup::state(&mut source, database).await
        && state.closed()
    {
        return Ok(Application::ReadOnly);
    }
    Ok(Application::Runs(vm))
}
