//! From a command's name and JSON arguments to its function and back. Made from the table in `table.rs`.

use crate::{
    App, Typed, appliance, connections, costs, guest, import, inventory, projects, rehearsal, rights, run, saved,
    screenshot, settings, sign_in, sql, support, wire::*,
};
use plan::{
    Address, Connections, DatabaseMethod, DmsDesign, Placement, ReplicationMethod,
    around::{AroundDesign, ProveDesign},
    backup::BackupDesign,
    design::AzureConnection,
    guest::Item,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Takes messages of a stream; false when nobody listens any more.
pub type Sink<T> = Arc<dyn Fn(T) -> bool + Send + Sync>;

macro_rules! names {
    ($($kind:ident $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        /// The names of all commands and streams.
        pub const COMMANDS: &[&str] = &[$(stringify!($name)),*];

        /// Tells whether a name is one of a stream; none when it is no command at all.
        pub fn is_stream(command: &str) -> Option<bool> {
            match command {
                $(stringify!($name) => Some(stringify!($kind) == "stream"),)*
                _ => None,
            }
        }
    };
}

macro_rules! route {
    (@run command $name:ident $app:ident $sink:ident ($($arg:ident),*)) => {
        json(&Box::pin(functions::$name($app, $($arg),*)).await?)
    };
    (@run stream $name:ident $app:ident $sink:ident ($($arg:ident),*)) => {{
        Box::pin(functions::$name($app, $($arg,)* typed($sink))).await?;
        Ok("null".to_owned())
    }};
    ($($kind:ident $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        /// Runs a command or stream; returns the answer as JSON text. A stream's messages go to `sink` as JSON texts,
        /// and it returns when it has ended.
        ///
        /// # Errors
        /// Returns the command's error, or [`ErrorCode::Invalid`] for an unknown name or wrong arguments.
        pub async fn dispatch(app: &Arc<App>, command: &str, arguments: Value, sink: Sink<String>) -> Result<String, UiError> {
            match command {
                $(stringify!($name) => {
                    #[derive(serde::Deserialize)]
                    #[serde(rename_all = "camelCase")]
                    struct Arguments { $($arg: $ty),* }
                    let Arguments { $($arg),* } = arguments_of(command, arguments)?;
                    let _ = &sink;
                    route!(@run $kind $name app sink ($($arg),*))
                })*
                _ => Err(UiError::invalid(
                    format!("There is no command `{command}`"),
                    "The window and the program are of different versions.",
                    "Reinstall Rehost.",
                )),
            }
        }
    };
}

/// Where the table's names are functions.
mod functions {
    pub(super) use super::{
        appliance::{
            appliance_abort, appliance_check, appliance_deploy, appliance_get, appliance_places, appliance_power_on,
            appliance_progress, appliance_read, appliance_settle,
        },
        connections::{certificate_trust, connection_save, connection_test},
        costs::plan_costs,
        guest::{guest_check, guest_fix, guest_fix_preview, guest_get, guest_paste, guest_undo},
        import::{inventory_import, inventory_import_preview},
        inventory::{inventory_details, inventory_get, inventory_read, inventory_watch, vm_events},
        projects::{
            application_save, around_save, backups_save, databases_save, dms_save, methods_set, project_close,
            project_forget, project_get, project_new, project_open, projects_list,
        },
        rehearsal::{fault_scripts, rehearse_sample, set_speed},
        rights::{vcenter_rights, vcenter_roles_apply, vcenter_script_save},
        run::{
            azure_quota, close_question, close_window, gate_decide, plan_get, run_cancel, run_continue, run_pause,
            run_resume, run_start, run_subscribe, task_exchanges, task_retry, task_script,
        },
        saved::report_save,
        screenshot::vm_screenshot,
        settings::{app_info, set_theme},
        sign_in::{account_scope, client_certificate_choose, cloud_read, clouds_list, sign_in, sign_in_page, sign_out},
        sql::{around_look, sql_get, sql_read},
        support::inventory_findings,
    };
}

crate::commands!(names);
crate::commands!(route);

fn arguments_of<T: DeserializeOwned>(command: &str, arguments: Value) -> Result<T, UiError> {
    let arguments = if arguments.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        arguments
    };
    serde_json::from_value(arguments).map_err(|e| {
        // The message names fields and types, never values: a value might be a secret.
        tracing::warn!(command, category = ?e.classify(), "arguments refused");
        UiError::invalid(
            format!("The arguments of `{command}` can't be read"),
            "An argument is missing or has the wrong type.",
            "Reload the window; when it stays, report it with the log file.",
        )
    })
}

fn json<T: Serialize>(value: &T) -> Result<String, UiError> {
    serde_json::to_string(value).map_err(UiError::internal)
}

fn typed<T: Serialize + 'static>(sink: Sink<String>) -> Sink<T> {
    Arc::new(move |message| match serde_json::to_string(&message) {
        Ok(text) => sink(text),
        Err(e) => {
            tracing::error!(error = %e, "a message can't be serialized");
            true
        }
    })
}
