//! What a machine that Site Recovery protects and one that Azure Migrate migrates have in common: what was asked for it,
//! its jobs, what is allowed now, and the virtual machines that come of it. Unverified: codes and words of refusals.

use jiff::Timestamp;
use serde_json::Value;
use std::{collections::BTreeMap, ops::DerefMut};

use super::{
    Refusal, compute, last, offazure,
    recovery::{Appliance, MAPPINGS, plain, start},
};
use crate::{onprem::LabVm, world::World};

/// A machine on its way to Azure, by either method.
#[derive(Debug, Clone)]
pub(crate) struct Replicated {
    pub id: String,
    pub vault: String,
    pub machine: String,
    /// The machine's reference in vCenter.
    pub moref: String,
    pub vm_name: String,
    pub policy: String,
    /// `providerSpecificDetails` of the request.
    pub input: Value,
    /// The job under way: scenario, name and start.
    pub job: Option<(&'static str, String, Timestamp)>,
    pub last_test: Option<Timestamp>,
    /// The virtual machine of the test.
    pub test_vm: Option<String>,
}

impl Replicated {
    pub fn target(&self, key: &str) -> &str {
        self.input[key].as_str().unwrap_or("")
    }

    pub fn target_name(&self) -> &str {
        match self.target("targetVmName") {
            "" => &self.vm_name,
            n => n,
        }
    }

    pub fn source<'a>(&self, world: &'a World) -> Option<&'a LabVm> {
        world.onprem.vm(&self.moref)
    }

    /// Makes the virtual machine that was asked for, under another name where it is a test's.
    pub fn make_vm(&self, world: &mut World, region: &str, name: &str, subnet: &str) -> Option<String> {
        let source = self.source(world)?.clone();
        let size = match self.target("targetVmSize") {
            "" => "Standard_D4s_v5",
            s => s,
        };
        let group = self.target("targetResourceGroupId").trim_end_matches('/');
        let group = world
            .cloud
            .get(group)
            .and_then(|g| g["id"].as_str())
            .unwrap_or(group)
            .to_owned();
        Some(compute::create(world, &group, name, size, subnet, region, &source))
    }
}

/// One method's kind of it.
pub(crate) trait Item: DerefMut<Target = Replicated> + Clone + Send + 'static {
    /// As jobs name what they work on.
    const OBJECT: &'static str;
    /// The code with which a request is refused that isn't allowed now.
    const NOT_NOW: &'static str;
    fn all(world: &World) -> &BTreeMap<String, Self>;
    fn all_mut(world: &mut World) -> &mut BTreeMap<String, Self>;
    /// What is allowed now.
    fn operations(&self, now: Timestamp) -> Vec<&'static str>;
}

pub(super) fn allowed<I: Item>(world: &World, id: &str, operation: &str) -> Result<I, Refusal> {
    let Some(i) = I::all(world).get(&id.to_lowercase()) else {
        return Err(Refusal::new(
            404,
            "ResourceNotFound",
            format!("The {} '{}' was not found.", I::OBJECT, last(id)),
        ));
    };
    let now = i.operations(world.now());
    if now.contains(&operation) {
        return Ok(i.clone());
    }
    let why = match &i.job {
        Some((scenario, ..)) => format!("the job {scenario} is running"),
        None => format!("allowed are {}", now.join(", ")),
    };
    Err(Refusal::bad(
        I::NOT_NOW,
        format!(
            "The operation {operation} can't be performed on '{}' now: {why}.",
            i.vm_name
        ),
    ))
}

/// Starts a job on an item; while it runs it is the item's current one.
pub(super) fn on_item<I: Item>(
    world: &mut World,
    key: &str,
    scenario: &'static str,
    friendly: &str,
    secs: i64,
    tasks: &[(&'static str, &'static str)],
    finish: impl FnOnce(&mut World, &str) -> Result<(), Refusal> + Send + 'static,
) -> String {
    let (vault, id, name) = I::all(world)
        .get(key)
        .map(|i| (i.vault.clone(), i.id.clone(), i.vm_name.clone()))
        .unwrap_or_default();
    let k = key.to_owned();
    let op = start(
        world,
        &vault,
        (scenario, friendly),
        (&id, &name, I::OBJECT),
        secs,
        tasks,
        move |w| {
            if let Some(i) = I::all_mut(w).get_mut(&k) {
                i.job = None;
            }
            finish(w, &k)
        },
    );
    let now = world.now();
    if let Some(i) = I::all_mut(world).get_mut(key) {
        i.job = Some((scenario, op.clone(), now));
    }
    op
}

/// Starts the job that deletes a test's virtual machine; `cleaned` says on the item that it is gone.
pub(super) fn clean_up<I: Item>(
    world: &mut World,
    key: &str,
    scenario: &'static str,
    friendly: &str,
    secs: i64,
    cleaned: fn(&mut I),
) -> String {
    let tasks = [
        ("CleanupTestVirtualMachineTask", "Cleaning up the test virtual machine"),
        ("CleanupTestEnvironmentTask", "Cleaning up the test environment"),
    ];
    on_item::<I>(world, key, scenario, friendly, secs, &tasks, move |w, key| {
        let vm = I::all_mut(w).get_mut(key).and_then(|i| {
            cleaned(i);
            i.test_vm.take()
        });
        if let Some(vm) = vm {
            compute::remove(w, &vm);
        }
        Ok(())
    })
}

/// The machine of a request to replicate it, as far as both methods ask the same of it; `machine` is what it is called
/// in the input.
pub(super) fn wanted(
    world: &World,
    a: &Appliance,
    vault: &str,
    id: &str,
    properties: &Value,
    machine: &str,
) -> Result<(Replicated, LabVm), Refusal> {
    let bad = |code: &str, message: String| Err(Refusal::bad(code, message));
    let input = properties["providerSpecificDetails"].clone();
    let policy = plain(properties["policyId"].as_str().unwrap_or(""));
    let mapped = world.cloud.of_type(vault, MAPPINGS).any(|m| {
        m["properties"]["policyId"]
            .as_str()
            .is_some_and(|x| x.eq_ignore_ascii_case(&policy))
    });
    if !mapped {
        return bad(
            "PolicyNotAssociated",
            format!(
                "The replication policy '{}' isn't associated with the container.",
                last(&policy)
            ),
        );
    }
    let machine = input[machine].as_str().unwrap_or("").to_owned();
    let Some(vm) = offazure::machine(world, a, &machine).cloned() else {
        return bad(
            "MachineNotFound",
            format!("The machine '{machine}' wasn't discovered by the appliance."),
        );
    };
    let (protected, migrated) = (world.cloud.items.values(), world.cloud.migrations.values());
    if protected
        .map(|i| &i.moref)
        .chain(migrated.map(|i| &i.moref))
        .any(|m| *m == vm.moref)
    {
        return Err(Refusal::conflict(
            "ProtectedItemAlreadyExists",
            format!("The machine '{}' is replicated already.", vm.name),
        ));
    }
    let wanted = Replicated {
        id: id.to_owned(),
        vault: vault.to_owned(),
        machine,
        moref: vm.moref.clone(),
        vm_name: vm.name.clone(),
        policy,
        input,
        job: None,
        last_test: None,
        test_vm: None,
    };
    let group = wanted.target("targetResourceGroupId");
    if world.cloud.get(group).is_none() {
        return bad(
            "TargetResourceGroupNotFound",
            format!("The target resource group '{group}' doesn't exist."),
        );
    }
    let network =
        |key: &str, subnet: &str, what: &str| check_network(world, wanted.target(key), wanted.target(subnet), what);
    network("targetNetworkId", "targetSubnetName", "target")?;
    if !wanted.target("testNetworkId").is_empty() {
        network("testNetworkId", "testSubnetName", "test")?;
    }
    let size = wanted.target("targetVmSize");
    if !size.is_empty() && !compute::is_size(size) {
        return bad(
            "TargetVmSizeInvalid",
            format!("The size '{size}' isn't offered in this region."),
        );
    }
    Ok((wanted, vm))
}

/// Whether a network of the design exists, with its subnet.
pub(super) fn check_network(world: &World, id: &str, subnet: &str, what: &str) -> Result<(), Refusal> {
    let Some(net) = world
        .cloud
        .get(id)
        .filter(|v| v["type"] == "Microsoft.Network/virtualNetworks")
    else {
        return Err(Refusal::bad(
            "TargetNetworkNotFound",
            format!("The {what} network '{id}' doesn't exist."),
        ));
    };
    let there = net["properties"]["subnets"].as_array().is_some_and(|s| {
        s.iter()
            .any(|s| s["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(subnet)))
    });
    if !subnet.is_empty() && !there {
        return Err(Refusal::bad(
            "TargetSubnetNotFound",
            format!("The {what} network '{}' has no subnet '{subnet}'.", last(id)),
        ));
    }
    Ok(())
}

/// The id of a network's subnet by name, or of its first one.
pub(super) fn subnet_or_first(world: &World, network: &str, wanted: &str) -> String {
    let net = world.cloud.get(network);
    let subnets = net.and_then(|n| n["properties"]["subnets"].as_array());
    let all = subnets.map(Vec::as_slice).unwrap_or_default();
    let named = |s: &&Value| s["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(wanted));
    let found = all.iter().find(named).or(all.first());
    found.and_then(|s| s["id"].as_str()).unwrap_or_default().to_owned()
}
