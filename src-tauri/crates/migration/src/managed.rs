//! The managed instance as Rehost itself reaches it: the same for a run and for the test of the connection.
//!
//! Azure is asked first, every time: only it knows the instance's name on the network, and a clear sentence that the
//! instance is not there yet is worth more than the silence of an address. Who answers must be a managed instance: a typed
//! address that leads back to the source would change the source.

use engine::{Failure, FailureClass};
use plan::{
    ResourceId,
    design::{ManagedConnection, ManagedReach},
    sql::SqlInstance,
};
use serde_json::{Value, json};
use sqlserver::{Login, Options, SqlError};

/// Port of a managed instance's public endpoint.
const PUBLIC_PORT: u16 = 3342;

/// Where the instance is reached; `now` is what Azure says of it.
///
/// # Errors
/// Fails when it is to be reached by a public endpoint that is not enabled.
pub fn address(connection: &ManagedConnection, id: &ResourceId, now: &Value) -> Result<String, Failure> {
    let own = connection.address.trim();
    if !own.is_empty() {
        return Ok(own.to_owned());
    }
    let fqdn = now.pointer("/properties/fullyQualifiedDomainName");
    let fqdn = fqdn.and_then(Value::as_str).unwrap_or_default();
    match connection.reach {
        ManagedReach::Private => Ok(format!("{fqdn},1433")),
        ManagedReach::Public if now.pointer("/properties/publicDataEndpointEnabled") == Some(&json!(true)) => {
            Ok(match fqdn.split_once('.') {
                Some((name, zone)) => format!("{name}.public.{zone},{PUBLIC_PORT}"),
                None => format!("{fqdn},{PUBLIC_PORT}"),
            })
        }
        ManagedReach::Public => Err(Failure::of(
            FailureClass::NeedsPerson,
            "PublicEndpointOff",
            format!("{} has no public endpoint", id.name()),
            "Connections say that Rehost reaches it by its public endpoint, which is not enabled.",
            format!(
                "The Azure administrator enables it: az sql mi update --name {0} --resource-group {1} --public-data-endpoint-enabled true, and lets this computer's address in on port {PUBLIC_PORT} of the subnet's network security group; or choose the private address in Connections and run Rehost in a connected network. Then choose Retry.",
                id.name(),
                id.part("resourceGroups").unwrap_or_default()
            ),
        )),
    }
}

/// How to connect to it.
///
/// # Errors
/// [`SqlError::Config`] when the address or the pinned certificate can't be understood.
pub fn options(connection: &ManagedConnection, address: String, login: Login) -> Result<Options, SqlError> {
    let target = sqlserver::Target::parse(&address).map_err(|e| SqlError::Config(e.to_string()))?;
    Options::new(target, login).pinned(&connection.thumbprint)
}

/// Lets only a managed instance pass.
///
/// # Errors
/// Fails for every other SQL Server: nothing may be made there.
pub fn must_be_managed(about: &SqlInstance, id: &ResourceId) -> Result<(), Failure> {
    if about.is_managed() {
        return Ok(());
    }
    Err(Failure::of(
        FailureClass::NeedsPerson,
        "NotManaged",
        format!("This is not {}", id.name()),
        format!(
            "{} answers there, {}, and is no managed instance. Nothing was changed on it.",
            about.name, about.edition
        ),
        "Open Connections and correct the address of the managed instance, or leave it empty: then Azure is asked for it. Then choose Retry.",
    ))
}
