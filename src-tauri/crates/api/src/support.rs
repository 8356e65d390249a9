//! Whether machines can be replicated: the findings of the rule pack for both methods, so that they can be compared.

use crate::{
    App,
    wire::{MethodFindings, UiError, VmFindings},
};
use plan::{
    ReplicationMethod,
    rules::{self, Case},
};
use std::{collections::HashSet, sync::Arc};

/// Judges machines of the kept inventory. Those that aren't in it are left out.
///
/// # Errors
/// Fails when the project isn't open or its file can't be read.
pub async fn inventory_findings(
    app: &Arc<App>,
    project: String,
    morefs: Vec<String>,
) -> Result<Vec<VmFindings>, UiError> {
    let open = app.opened(&project)?;
    let Some(inventory) = open.inventory()? else {
        return Ok(vec![]);
    };
    let design = open.project().design;
    let pack = rules::pack(&design.rule_pack).unwrap_or(&rules::CURRENT);
    let wanted: HashSet<&str> = morefs.iter().map(String::as_str).collect();
    let judged = inventory
        .vms
        .iter()
        .filter(|vm| wanted.contains(vm.moref.as_str()))
        .map(|vm| {
            // Only of the machine in the design is the size known.
            let size = match vm.name.eq_ignore_ascii_case(&design.web_vm) {
                true => design.web_vm_size.as_str(),
                false => "",
            };
            let of = |method| MethodFindings {
                method,
                findings: pack.judge_vm(&Case {
                    vm,
                    inventory: &inventory,
                    method,
                    size,
                    pack,
                }),
            };
            VmFindings {
                moref: vm.moref.clone(),
                methods: ReplicationMethod::ALL.map(of).into(),
            }
        });
    Ok(judged.collect())
}
