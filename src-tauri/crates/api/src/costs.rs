//! What the plan costs, by the retail price list of the connection's cloud.
//!
//! The list is asked without a sign-in, through the connection's proxy and authorities. It is read whenever it is asked
//! for; the front end keeps what it has. The currency is remembered for this computer, because it is a habit of a house and
//! not of a project. A cloud without a list is no failure: the lines are there, and say so.
//!
//! The sizes of disks are not part of a discovery's first pass. When nobody has read them yet, vCenter is asked for those
//! of the one machine; what it says is not kept, because looking at a plan's costs must not change the plan that is shown.

use crate::{
    App, Open,
    connections::SecretName,
    rehearsal, run,
    wire::{CostsView, UiError},
};
use azure::{Network, clouds, prices};
use plan::{
    Inventory, Vm,
    cost::{self, Line, Row},
    exchange::NoTrace,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use vsphere::VCenter;

/// How long prices wait for vCenter.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the prices of the plan as [`run::plan_get`] gives it. `currency`, such as `EUR`, is remembered; none = as
/// remembered, dollars at first.
///
/// # Errors
/// Fails for an unknown currency, when no plan can be computed, and when the price list can't be read.
pub async fn plan_costs(app: &Arc<App>, project: String, currency: Option<String>) -> Result<CostsView, UiError> {
    let open = app.opened(&project)?;
    let currency = match currency {
        None => app.settings(|s| s.currency.clone()),
        Some(chosen) if prices::CURRENCIES.contains(&chosen.as_str()) => {
            app.change_settings(|s| s.currency.clone_from(&chosen));
            chosen
        }
        Some(unknown) => {
            return Err(UiError::invalid(
                format!("There are no prices in `{unknown}`"),
                format!("The price list knows {}.", prices::CURRENCIES.join(", ")),
                "Choose one of them.",
            ));
        }
    };
    let plan = run::plan_get(app, project).await?.plan;
    let inventory = with_disks(app, &open).await?;
    let lines = cost::lines(&plan, &open.project().design, &inventory);
    let world = rehearsal::world_of(app, &open)?;
    let connection = clouds::complete(&open.project().connections.azure);
    let rows = if connection.price_url.is_empty() {
        None
    } else {
        let network = Network::of(&connection, app.secret(&open, SecretName::AzureProxy).await?)?;
        Some(read(&network, &connection.price_url, &currency, &lines).await?)
    };
    Ok(CostsView {
        currencies: prices::CURRENCIES.map(str::to_owned).to_vec(),
        read_at: rows
            .as_ref()
            .map(|_| jiff::Timestamp::now().strftime("%FT%TZ").to_string()),
        source: rows.as_ref().map(|_| match world {
            Some(_) => "the rehearsal's price list, whose figures are invented".into(),
            None => connection.price_url.trim_start_matches("https://").to_owned(),
        }),
        cloud: clouds::name(connection.cloud).into(),
        costs: cost::sum(&plan, lines, rows.as_deref()),
        currency,
    })
}

/// The inventory with the disks of the machine that moves; without them when vCenter doesn't tell in time.
async fn with_disks(app: &App, open: &Open) -> Result<Inventory, UiError> {
    let project = open.project();
    let mut inventory = Arc::unwrap_or_clone(open.inventory()?.unwrap_or_default());
    let unread = |vm: &&mut Vm| vm.name.eq_ignore_ascii_case(&project.design.web_vm) && vm.details.is_none();
    let Some(vm) = inventory.vms.iter_mut().find(unread) else {
        return Ok(inventory);
    };
    let read = async {
        let Some(password) = app.secret(open, SecretName::Vcenter).await? else {
            return Ok(None);
        };
        let vcenter = VCenter::connect(&project.connections.vcenter, &password, Arc::new(NoTrace)).await?;
        let found = vcenter.find_vm(&vm.name).await;
        vcenter.logout().await;
        Ok::<_, UiError>(found?.and_then(|f| f.details))
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(details)) => vm.details = details,
        Ok(Err(e)) => tracing::warn!(error = %e.detail, "the disks can't be read"),
        Err(_) => tracing::warn!("vCenter took too long to tell the disks"),
    }
    Ok(inventory)
}

/// Reads what the lines ask for, at the same time.
async fn read(network: &Network, list: &str, currency: &str, lines: &[Line]) -> Result<Vec<Row>, UiError> {
    let filters: BTreeSet<String> = lines.iter().filter_map(Line::filter).collect();
    let searches = filters.iter().map(|f| prices::search(network, list, currency, f));
    let pages = futures::future::try_join_all(searches).await?;
    Ok(pages.into_iter().flatten().filter_map(prices::Price::row).collect())
}
