//! The VMware site that an appliance registers: its vCenter, accounts and the machines it has discovered. Unverified: how
//! the service names sites, vCenters and machines; Rehost takes the names from the answers.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Answer, Refusal, Req, Resp, last, lro, parent,
    recovery::{Appliance, Method as Replication},
};
use crate::{
    onprem::{LabVm, Power},
    world::World,
};

const KIND: &str = "Microsoft.OffAzure/VMwareSites";
const VCENTER: &str = "vcenter-contoso-com";
/// Lab seconds that reading vCenter again takes.
const REFRESH: i64 = 10 * 60;

/// The site of an appliance, below the vault's resource group.
pub(crate) fn create_site(world: &mut World, group: &str, appliance: &str) -> String {
    let name = format!("{}site", appliance.to_lowercase().replace('-', ""));
    let id = format!("{group}/providers/{KIND}/{name}");
    let location = world.cloud.get(group).map_or(Value::Null, |g| g["location"].clone());
    world.cloud.store(json!({
        "id": id, "name": name, "type": KIND, "location": location, "eTag": "\"1\"", "tags": {},
        "properties": {"applianceName": appliance, "serviceEndpoint": "https://discovery.lab.invalid"},
    }));
    id
}

pub(crate) fn remove_site(world: &mut World, id: &str) {
    world.cloud.remove(id);
}

fn appliance<'a>(world: &'a World, site: &str) -> Option<&'a Appliance> {
    world
        .cloud
        .appliances
        .values()
        .find(|a| a.site.eq_ignore_ascii_case(site))
}

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let start = low.iter().rposition(|s| *s == "microsoft.offazure")? + 1;
    let rest = &low[start..];
    let here = req.id(req.segs.len());
    if let ["vmwaresites", _] = rest
        && req.method == Method::DELETE
        && world.cloud.get(&here).is_none()
    {
        return Some(Ok(Resp::empty(204)));
    }
    if rest == ["vmwaresites"] && req.method == Method::GET {
        return Some(Ok(Resp::list(
            world
                .cloud
                .of_type(&parent(&here, 3), KIND)
                .cloned()
                .collect::<Vec<_>>(),
        )));
    }
    let ["vmwaresites", _, inner @ ..] = rest else {
        return None;
    };
    let id = req.id(start + 2);
    let Some(site) = world.cloud.get(&id).cloned() else {
        return Some(Err(Refusal::not_found(req)));
    };
    let site_id = site["id"].as_str().unwrap_or("").to_owned();
    if req.method == Method::DELETE && inner.is_empty() {
        remove_site(world, &site_id);
        return Some(Ok(Resp::empty(200)));
    }
    if req.method == Method::POST && inner == ["refresh"] {
        let op = lro::start(
            world,
            lro::Style::Site(site_id.clone()),
            "",
            None,
            REFRESH,
            &site_id,
            |_| Ok(()),
        );
        return Some(Ok(Resp::empty(202).with(lro::headers(world, req, &op))));
    }
    let world = &*world;
    let a = appliance(world, &site_id);
    let one = |list: Vec<Value>| {
        list.into_iter()
            .find(|v| v["name"].as_str().is_some_and(|n| n.eq_ignore_ascii_case(last(&here))))
            .map(Resp::ok)
            .ok_or_else(|| Refusal::not_found(req))
    };
    Some(match (&req.method, inner) {
        (&Method::GET, []) => Ok(Resp::ok(site)),
        (&Method::GET, ["machines"]) => Ok(Resp::list(machines(world, &site_id, a))),
        (&Method::GET, ["machines", _]) => one(machines(world, &site_id, a)),
        (&Method::GET, ["runasaccounts"]) => Ok(Resp::list(accounts(world, &site_id, a))),
        (&Method::GET, ["runasaccounts", _]) => one(accounts(world, &site_id, a)),
        (&Method::GET, ["vcenters"]) => Ok(Resp::list(vcenters(world, &site_id))),
        (&Method::GET, ["vcenters", _]) => one(vcenters(world, &site_id)),
        _ => return None,
    })
}

fn vcenters(world: &World, site: &str) -> Vec<Value> {
    let now = world.now().to_string();
    vec![json!({
        "id": format!("{site}/vcenters/{VCENTER}"), "name": VCENTER, "type": format!("{KIND}/vcenters"),
        "properties": {
            "fqdn": "vcenter.contoso.com", "port": "443", "runAsAccountId": account_id(world, site, "svc-asr"), "version": world.onprem.about.version,
            "instanceUuid": world.onprem.about.instance_uuid.to_string(), "perfStatisticsLevel": "1", "createdTimestamp": now, "updatedTimestamp": now, "errors": [],
        },
    })]
}

const ACCOUNTS: [(&str, &str); 2] = [("svc-asr", "VMwareFabric"), ("svc-mobility", "WindowsServer")];

fn account_id(world: &World, site: &str, name: &str) -> String {
    format!("{site}/runasaccounts/{}", world.guid(&format!("account {name}")))
}

fn accounts(world: &World, site: &str, a: Option<&Appliance>) -> Vec<Value> {
    let now = world.now().to_string();
    // Without an agent no account of machines is entered.
    let agentless = a.is_some_and(|a| a.method == Replication::Cbt);
    ACCOUNTS
        .iter()
        .filter(|(_, kind)| !agentless || *kind == "VMwareFabric")
        .map(|(name, kind)| {
            let id = account_id(world, site, name);
            json!({
                "id": id, "name": last(&id), "type": format!("{KIND}/runasaccounts"),
                "properties": {"displayName": name, "credentialType": kind, "createdTimestamp": now, "updatedTimestamp": now},
            })
        })
        .collect()
}

/// Whether an account is one of the site's for machines.
pub(crate) fn is_account(world: &World, a: &Appliance, id: &str) -> bool {
    account_id(world, &a.site, "svc-mobility").eq_ignore_ascii_case(id)
}

/// Whether an account is the site's for vCenter.
pub(crate) fn is_fabric_account(world: &World, a: &Appliance, id: &str) -> bool {
    account_id(world, &a.site, "svc-asr").eq_ignore_ascii_case(id)
}

fn machine_name(world: &World, vm: &LabVm) -> String {
    format!(
        "{VCENTER}-{}_{}",
        &world.onprem.about.instance_uuid.simple().to_string()[..8],
        vm.instance_uuid
    )
}

fn machine_id(world: &World, site: &str, vm: &LabVm) -> String {
    format!("{site}/machines/{}", machine_name(world, vm))
}

/// The discovered machine with this id.
pub(crate) fn machine<'a>(world: &'a World, a: &Appliance, id: &str) -> Option<&'a LabVm> {
    a.discovered?;
    world
        .onprem
        .vms
        .iter()
        .find(|vm| machine_id(world, &a.site, vm).eq_ignore_ascii_case(id))
}

fn machines(world: &World, site: &str, a: Option<&Appliance>) -> Vec<Value> {
    let Some(at) = a.and_then(|a| a.discovered) else {
        return vec![];
    };
    world
        .onprem
        .vms
        .iter()
        .map(|vm| {
            let disks: Vec<Value> = vm
                .disks
                .iter()
                .enumerate()
                .map(|(n, d)| {
                    json!({
                        "uuid": d.uuid.to_string(), "label": d.label, "diskProvisioningPolicy": "", "diskScrubbingPolicy": "", "diskMode": "persistent",
                        "maxSizeInBytes": d.bytes, "name": format!("scsi0:{n}"), "diskType": "VirtualDiskFlatVer2BackingInfo", "lun": n, "path": d.file_name,
                    })
                })
                .collect();
            let id = machine_id(world, site, vm);
            let windows = vm.guest_id.contains("windows");
            json!({
                "id": id, "name": last(&id), "type": format!("{KIND}/machines"),
                "properties": {
                    "displayName": vm.name, "dataCenterScope": "contoso-datacenter", "firmware": vm.firmware, "description": "",
                    "vCenterFQDN": "vcenter.contoso.com", "vCenterId": format!("{site}/vcenters/{VCENTER}"),
                    "vMwareToolsStatus": if vm.tools_running { "OK" } else { "NotRunning" }, "changeTrackingSupported": true, "changeTrackingEnabled": false, "maxSnapshots": -1,
                    "disks": disks, "hostInMaintenanceMode": false, "hostName": "contosohost1.contoso.com", "hostPowerState": "ON", "hostVersion": "7.0.3",
                    "networkAdapters": [{"label": "Network adapter 1", "nicId": "4000", "macAddress": vm.mac, "ipAddressList": [vm.ip], "networkName": "VM Network", "ipAddressType": "Static"}],
                    "numberOfProcessorCore": vm.cpus, "allocatedMemoryInMB": vm.memory_mib as f64,
                    "vmConfigurationFileLocation": format!("[contoso-ds1] {0}/{0}.vmx", vm.name),
                    "operatingSystemDetails": {"osType": if windows { "windowsguest" } else { "linuxguest" }, "osName": vm.guest_full_name, "osVersion": ""},
                    "createdTimestamp": at.to_string(), "updatedTimestamp": world.now().to_string(), "instanceUuid": vm.instance_uuid.to_string(),
                    "powerStatus": if vm.power == Power::On { "ON" } else { "OFF" }, "biosSerialNumber": "", "biosGuid": vm.bios_uuid.to_string(),
                    "vmFqdn": vm.host_name, "isDeleted": false, "errors": [],
                },
            })
        })
        .collect()
}
