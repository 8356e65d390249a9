//! Virtual machines as a failover leaves them, and managed run commands on them. A script isn't run: the lab knows what
//! Rehost's commands do by their names, and does it to what it keeps of the machine's inside: the application's files.

use axum::http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::app_config::{self, Given};
use super::{Answer, Refusal, Req, Resp, last, location, lro, network, parent, sql};
use crate::{
    cloud::Guest,
    onprem::LabVm,
    world::{World, plus},
};

const KIND: &str = "Microsoft.Compute/virtualMachines";
const COMMANDS: &str = "Microsoft.Compute/virtualMachines/runCommands";
const COMMAND_SECS: i64 = 30;
/// The VM agent reports this long after the start.
const AGENT_SECS: i64 = 120;

/// Sizes on offer: name, vCPUs, GiB, data disks, interfaces.
const SIZES: [(&str, u32, u32, u32, u32); 12] = [
    ("Standard_B2ms", 2, 8, 4, 3),
    ("Standard_B4ms", 4, 16, 8, 4),
    ("Standard_D2s_v3", 2, 8, 4, 2),
    ("Standard_D4s_v3", 4, 16, 8, 2),
    ("Standard_D2s_v5", 2, 8, 4, 2),
    ("Standard_D4s_v5", 4, 16, 8, 2),
    ("Standard_D8s_v5", 8, 32, 16, 4),
    ("Standard_D4as_v5", 4, 16, 8, 2),
    ("Standard_E4s_v5", 4, 32, 8, 2),
    ("Standard_F4s_v2", 4, 8, 8, 2),
    ("Standard_F8s_v2", 8, 16, 16, 4),
    ("Standard_DS3_v2", 4, 14, 16, 4),
];

/// Sizes with their vCPUs.
pub(crate) fn sizes() -> impl Iterator<Item = (&'static str, u32)> {
    SIZES.iter().map(|s| (s.0, s.1))
}

pub(crate) fn is_size(name: &str) -> bool {
    SIZES.iter().any(|s| s.0.eq_ignore_ascii_case(name))
}

pub(crate) fn handle(world: &mut World, req: &Req, low: &[&str]) -> Option<Answer> {
    let rest = &low[low.iter().rposition(|s| *s == "microsoft.compute")? + 1..];
    let here = req.id(req.segs.len());
    let get = req.method == Method::GET;
    let expand = req
        .query
        .get("$expand")
        .is_some_and(|e| e.to_lowercase().contains("instanceview"));
    Some(match rest {
        ["locations", _, "usages"] if get => Ok(Resp::list(usages(world))),
        ["locations", _, "vmsizes"] if get => Ok(Resp::list(SIZES.iter().map(|(n, c, m, d, _)| {
            json!({"name": n, "numberOfCores": c, "memoryInMB": m * 1024, "maxDataDiskCount": d, "osDiskSizeInMB": 1_047_552, "resourceDiskSizeInMB": 0})
        }))),
        ["skus"] if get => Ok(Resp::list(skus(req))),
        ["virtualmachines"] if get => Ok(Resp::list(world.cloud.of_type(&parent(&here, 3), KIND).cloned().collect::<Vec<_>>())),
        ["virtualmachines", _] if get => match world.cloud.get(&here).cloned() {
            Some(mut vm) => {
                if expand {
                    vm["properties"]["instanceView"] = instance_view(world, &here);
                }
                Ok(Resp::ok(vm))
            }
            None => Err(Refusal::not_found(req)),
        },
        ["virtualmachines", _, "instanceview"] if get => {
            let id = parent(&here, 1);
            if world.cloud.get(&id).is_some() { Ok(Resp::ok(instance_view(world, &id))) } else { Err(Refusal::not_found(req)) }
        }
        ["disks"] if get => Ok(Resp::list(
            world.cloud.of_type(&parent(&here, 3), "Microsoft.Compute/disks").cloned().collect::<Vec<_>>(),
        )),
        ["disks", _] if get => world.cloud.get(&here).cloned().map(Resp::ok).ok_or_else(|| Refusal::not_found(req)),
        ["virtualmachines", _] if req.method == Method::PATCH => patch(world, req, &here),
        ["virtualmachines", _] if req.method == Method::DELETE => {
            if world.cloud.get(&here).is_none() {
                return Some(Ok(Resp::empty(204)));
            }
            let target = here.clone();
            let op = lro::start(world, lro::Style::Compute, &location_of(world, &here), Some(here.clone()), 60, &here, move |w| {
                remove(w, &target);
                Ok(())
            });
            Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
        }
        ["virtualmachines", _, "retrievebootdiagnosticsdata"] if req.method == Method::POST => {
            let id = parent(&here, 1);
            match world.cloud.get(&id) {
                Some(vm) if vm["properties"]["diagnosticsProfile"]["bootDiagnostics"]["enabled"] != true => Err(Refusal::conflict(
                    "OperationNotAllowed",
                    format!("Boot diagnostics is not enabled for the VM '{}'.", last(&id)),
                )),
                Some(_) => {
                    let base = format!("{}/bootdiagnostics/{}", world.cloud.blob_url, last(&id).to_lowercase());
                    Ok(Resp::ok(json!({"consoleScreenshotBlobUri": format!("{base}.screenshot.bmp?sig=lab"), "serialConsoleLogBlobUri": format!("{base}.serialconsole.log?sig=lab")})))
                }
                None => Err(Refusal::not_found(req)),
            }
        }
        ["virtualmachines", _, "runcommands"] if get => {
            let vm = parent(&here, 1);
            Ok(Resp::list(world.cloud.of_type(&vm, COMMANDS).map(|c| hide_view(c.clone())).collect::<Vec<_>>()))
        }
        ["virtualmachines", _, "runcommands", _] if get => match world.cloud.get(&here).cloned() {
            Some(c) => Ok(Resp::ok(if expand { c } else { hide_view(c) })),
            None => Err(Refusal::not_found(req)),
        },
        ["virtualmachines", _, "runcommands", name] if req.method == Method::PUT => put_command(world, req, &here, name),
        ["virtualmachines", _, "runcommands", _] if req.method == Method::DELETE => {
            if world.cloud.get(&here).is_none() {
                return Some(Ok(Resp::empty(204)));
            }
            let target = here.clone();
            let op = lro::start(world, lro::Style::Compute, &location_of(world, &here), Some(here.clone()), 10, &here, move |w| {
                w.cloud.remove(&target);
                Ok(())
            });
            Ok(Resp::empty(202).with(lro::headers(world, req, &op)))
        }
        _ => return None,
    })
}

fn location_of(world: &World, id: &str) -> String {
    world
        .cloud
        .get(id)
        .and_then(|v| v["location"].as_str())
        .unwrap_or("")
        .to_owned()
}

fn usages(world: &World) -> Vec<Value> {
    let scope = format!("/subscriptions/{}", world.cloud.subscription);
    let vms: Vec<&Value> = world.cloud.of_type(&scope, KIND).collect();
    let cores: u32 = vms
        .iter()
        .filter_map(|v| v["properties"]["hardwareProfile"]["vmSize"].as_str())
        .filter_map(|s| SIZES.iter().find(|k| k.0.eq_ignore_ascii_case(s)))
        .map(|k| k.1)
        .sum();
    [("cores", "Total Regional vCPUs", cores as usize, 350), ("virtualMachines", "Virtual Machines", vms.len(), 25000)]
        .into_iter()
        .chain(["standardDSv5Family", "standardDSv3Family", "standardBSFamily", "standardFSv2Family", "standardESv5Family"].map(|f| (f, f, cores as usize, 100)))
        .map(|(value, shown, now, limit)| json!({"unit": "Count", "currentValue": now, "limit": limit, "name": {"value": value, "localizedValue": shown}}))
        .collect()
}

fn skus(req: &Req) -> Vec<Value> {
    let wanted = req
        .query
        .get("$filter")
        .and_then(|f| f.split('\'').nth(1))
        .map(str::to_lowercase);
    crate::cloud::LOCATIONS
        .iter()
        .filter(|(l, ..)| wanted.as_ref().is_none_or(|w| w == l))
        .flat_map(|(l, ..)| {
            SIZES.iter().map(move |(name, cores, memory, disks, nics)| {
                let size = name.trim_start_matches("Standard_");
                json!({
                    "resourceType": "virtualMachines", "name": name, "tier": "Standard", "size": size,
                    "family": format!("standard{}Family", size.chars().filter(|c| !c.is_ascii_digit()).collect::<String>().replace("s_v", "Sv")),
                    "locations": [l], "locationInfo": [{"location": l, "zones": ["1", "2", "3"], "zoneDetails": []}],
                    "capabilities": [
                        {"name": "vCPUs", "value": cores.to_string()}, {"name": "MemoryGB", "value": memory.to_string()},
                        {"name": "MaxDataDiskCount", "value": disks.to_string()}, {"name": "MaxNetworkInterfaces", "value": nics.to_string()},
                        {"name": "PremiumIO", "value": "True"}, {"name": "HyperVGenerations", "value": "V1,V2"},
                    ],
                    "restrictions": [],
                })
            })
        })
        .collect()
}

/// Changes a machine: of what can be changed the lab knows the boot diagnostics.
fn patch(world: &mut World, req: &Req, id: &str) -> Answer {
    let region = location_of(world, id);
    let Some(vm) = world.cloud.get_mut(id) else {
        return Err(Refusal::not_found(req));
    };
    let asked = req.body["properties"]["diagnosticsProfile"].clone();
    if asked.is_null() {
        return Err(Refusal::bad(
            "InvalidParameter",
            "The lab changes diagnosticsProfile only.",
        ));
    }
    vm["properties"]["provisioningState"] = "Updating".into();
    let body = vm.clone();
    let target = id.to_owned();
    let op = lro::start(
        world,
        lro::Style::Compute,
        &region,
        Some(id.to_owned()),
        20,
        id,
        move |w| {
            if let Some(vm) = w.cloud.get_mut(&target) {
                vm["properties"]["diagnosticsProfile"] = asked;
                vm["properties"]["provisioningState"] = "Succeeded".into();
            }
            Ok(())
        },
    );
    Ok(lro::accepted(world, req, &op, Some(body), 200))
}

/// Makes a running machine from a replicated one; returns its id.
pub(crate) fn create(
    world: &mut World,
    group: &str,
    name: &str,
    size: &str,
    subnet: &str,
    region: &str,
    source: &LabVm,
) -> String {
    let id = format!("{group}/providers/{KIND}/{name}");
    let nic = network::make_interface(world, group, &id, &format!("{name}-nic-0"), subnet, region);
    let disk = |n: usize, os: bool| {
        let disk_name = if os {
            format!("{name}-OSdisk-00")
        } else {
            format!("{name}-datadisk-{:02}", n - 1)
        };
        let mut v = json!({
            "name": disk_name, "createOption": "Attach", "caching": "ReadWrite", "deleteOption": "Detach",
            "diskSizeGB": source.disks.get(n).map_or(0, |d| d.bytes >> 30),
            "managedDisk": {"storageAccountType": "StandardSSD_LRS", "id": format!("{group}/providers/Microsoft.Compute/disks/{disk_name}")},
        });
        if os {
            v["osType"] = "Windows".into();
        } else {
            v["lun"] = (n - 1).into();
            v["toBeDetached"] = false.into();
        }
        v
    };
    let now = world.now();
    world.cloud.store(json!({
        "id": id, "name": name, "type": KIND, "location": region,
        "properties": {
            "vmId": world.guid(&id).to_string(), "provisioningState": "Succeeded", "timeCreated": now.to_string(),
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {"osDisk": disk(0, true), "dataDisks": (1..source.disks.len()).map(|n| disk(n, false)).collect::<Vec<_>>()},
            "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": true}}]},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": true}},
        },
    }));
    let guest = Guest {
        ready_at: plus(now, SignedDuration::from_secs(AGENT_SECS)),
        files: app_config::smarthotel(),
        ..Guest::default()
    };
    world.cloud.guests.insert(id.to_lowercase(), guest);
    id
}

/// Removes a machine with its interface and commands.
pub(crate) fn remove(world: &mut World, id: &str) {
    let nics: Vec<String> = world
        .cloud
        .get(id)
        .and_then(|v| v["properties"]["networkProfile"]["networkInterfaces"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|n| n["id"].as_str().map(str::to_owned))
        .collect();
    let commands: Vec<String> = world
        .cloud
        .of_type(id, COMMANDS)
        .filter_map(|c| c["id"].as_str().map(str::to_owned))
        .collect();
    for gone in nics.iter().chain(&commands) {
        world.cloud.remove(gone);
    }
    super::forget(world, id);
}

fn agent_ready(world: &World, vm: &str) -> bool {
    world
        .cloud
        .guests
        .get(&vm.to_lowercase())
        .is_some_and(|g| g.ready_at <= world.now())
}

fn instance_view(world: &World, vm: &str) -> Value {
    let ready = agent_ready(world, vm);
    let now = world.now().to_string();
    let status = |code: &str, shown: &str| json!({"code": code, "level": "Info", "displayStatus": shown, "time": now});
    let agent = if ready {
        json!({"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready", "message": "GuestAgent is running and processing the extensions.", "time": now})
    } else {
        json!({"code": "ProvisioningState/Unavailable", "level": "Warning", "displayStatus": "Not Ready", "message": "VM status blob is found but not yet populated.", "time": now})
    };
    json!({
        "computerName": last(vm).trim_end_matches("-test").trim_end_matches("-Test"), "osName": "Windows Server 2016 Standard", "osVersion": "10.0.14393.7426", "hyperVGeneration": "V1",
        "vmAgent": {"vmAgentVersion": if ready { "2.7.41491.1172" } else { "Unknown" }, "statuses": [agent], "extensionHandlers": []},
        "disks": [], "bootDiagnostics": {},
        "statuses": [status("ProvisioningState/succeeded", "Provisioning succeeded"), json!({"code": "PowerState/running", "level": "Info", "displayStatus": "VM running"})],
    })
}

fn hide_view(mut command: Value) -> Value {
    if let Some(p) = command["properties"].as_object_mut() {
        p.remove("instanceView");
    }
    command
}

fn put_command(world: &mut World, req: &Req, id: &str, name: &str) -> Answer {
    let vm = parent(id, 2);
    let region = location(&req.body)?;
    if world.cloud.get(&vm).is_none() {
        return Err(Refusal::new(
            404,
            "ParentResourceNotFound",
            format!(
                "Failed to perform 'write' on resource(s) of type 'virtualMachines/runCommands', because the parent resource '{vm}' could not be found."
            ),
        ));
    }
    if !agent_ready(world, &vm) {
        return Err(Refusal::conflict(
            "OperationNotAllowed",
            format!("The VM agent of '{}' isn't ready.", last(&vm)),
        ));
    }
    lro::not_busy(world, id)?;
    let p = &req.body["properties"];
    let new = world.cloud.get(id).is_none();
    let started = world.now();
    // Protected parameters are never shown again.
    let mut props = json!({
        "source": p["source"], "parameters": p["parameters"].as_array().cloned().unwrap_or_default(),
        "asyncExecution": p["asyncExecution"].as_bool().unwrap_or(false),
        "treatFailureAsDeploymentFailure": p["treatFailureAsDeploymentFailure"].as_bool().unwrap_or(false),
        "timeoutInSeconds": p["timeoutInSeconds"].as_i64().unwrap_or(3600), "provisioningState": "Creating",
    });
    props["instanceView"] = json!({"executionState": "Running", "executionMessage": "", "exitCode": 0, "output": "", "error": "", "startTime": started.to_string()});
    let body = json!({"id": id, "name": last(id), "type": COMMANDS, "location": region, "properties": props});
    world.cloud.store(body.clone());
    let text = |p: &Value, key: &str| p[key].as_str().unwrap_or_default().to_owned();
    let given: Given = ["parameters", "protectedParameters"]
        .iter()
        .flat_map(|list| p[list].as_array().into_iter().flatten())
        .map(|p| (text(p, "name"), text(p, "value")))
        .collect();
    let blind = world.replaying;
    let (target, command) = (id.to_owned(), name.to_lowercase());
    let op = lro::start(
        world,
        lro::Style::Compute,
        &region,
        Some(id.to_owned()),
        COMMAND_SECS,
        id,
        move |w| {
            let (code, output, error) = execute(w, &vm, &command, &given, blind);
            let now = w.now().to_string();
            let Some(v) = w.cloud.get_mut(&target) else {
                return Ok(());
            };
            let p = &mut v["properties"];
            let strict = p["treatFailureAsDeploymentFailure"] == true;
            p["provisioningState"] = if code != 0 && strict { "Failed" } else { "Succeeded" }.into();
            let view = &mut p["instanceView"];
            view["executionState"] = if code == 0 { "Succeeded" } else { "Failed" }.into();
            view["executionMessage"] = "RunCommand script execution completed".into();
            view["exitCode"] = code.into();
            view["output"] = output.into();
            view["error"] = error.into();
            view["endTime"] = now.into();
            if code != 0 && strict {
                return Err(Refusal::conflict(
                    "VMExtensionProvisioningError",
                    "VM has reported a failure when processing the run command. The script ended with a non-zero exit code.",
                ));
            }
            Ok(())
        },
    );
    Ok(lro::accepted(
        world,
        req,
        &op,
        Some(hide_view(body)),
        if new { 201 } else { 200 },
    ))
}

/// What Rehost's commands do: exit code, output, error.
fn execute(world: &mut World, vm: &str, name: &str, given: &Given, blind: bool) -> (i32, String, String) {
    let key = vm.to_lowercase();
    let ok = |text: &str| (0, text.to_owned(), String::new());
    let text = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    let config = [
        "rehost-read-config",
        "rehost-switch-connection",
        "rehost-restore-connection",
    ];
    if config.iter().any(|c| name.starts_with(c)) {
        let Some(guest) = world.cloud.guests.get_mut(&key) else {
            return ok("");
        };
        // Another program's script for the same: it brings the whole connection string.
        if !text("ConnectionString").is_empty() {
            return match app_config::put_connection(&mut guest.files, "DefaultConnection", text("ConnectionString")) {
                Some(changed) => ok(&format!("backup=ok\nchanged={}\n", u8::from(changed))),
                None => (1, String::new(), "web.config has no such connection string.".into()),
            };
        }
        let (code, output) = app_config::run(&mut guest.files, given, blind);
        guest.iis_resets += u32::from(code == 0 && text("Does") == "restore");
        return (code, output, String::new());
    }
    if name.starts_with("rehost-iisreset") {
        if let Some(guest) = world.cloud.guests.get_mut(&key) {
            guest.iis_resets += 1;
        }
        return ok("iisreset=ok\n");
    }
    if name.starts_with("rehost-readiness") {
        return ok("rdp=1;firewall=domain,private,public;san=OnlineAll;updates=0;reboot=0\n");
    }
    if name.starts_with("rehost-probe") {
        let files = world.cloud.guests.get(&key).map(|g| &g.files);
        let connection = files
            .map(|f| app_config::connection(f, "DefaultConnection"))
            .unwrap_or_default();
        let works = reaches(world, vm, &connection);
        let shows = works && "smarthotel".contains(&text("Text").to_lowercase());
        let state = |ok: bool| if ok { "ok" } else { "no answer" };
        return ok(&format!(
            "tcp={}\nsql={}\nhttp={}\ntext={}\n",
            state(works),
            state(works),
            if works { 200 } else { 500 },
            if shows { "ok" } else { "not found" }
        ));
    }
    ok("")
}

/// Whether the application in `vm` reaches its database with this connection string.
fn reaches(world: &World, vm: &str, connection: &str) -> bool {
    let field = |names: &[&str]| {
        connection
            .split(';')
            .filter_map(|p| p.split_once('='))
            .find(|(k, _)| names.iter().any(|n| k.trim().eq_ignore_ascii_case(n)))
            .map(|(_, v)| v.trim().to_owned())
    };
    let (Some(server), Some(database)) = (
        field(&["server", "data source", "addr", "address"]),
        field(&["initial catalog", "database"]),
    ) else {
        return false;
    };
    let host = server
        .trim_start_matches("tcp:")
        .split(',')
        .next()
        .unwrap_or("")
        .to_lowercase();
    if !sql::online(world, &host, &database) {
        return false;
    }
    let network_of = |subnet: &str| parent(subnet, 2).to_lowercase();
    let nic = world
        .cloud
        .get(vm)
        .and_then(|v| v["properties"]["networkProfile"]["networkInterfaces"][0]["id"].as_str())
        .and_then(|n| world.cloud.get(n));
    let mine = nic
        .and_then(|n| n["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].as_str())
        .map(network_of);
    let theirs = world
        .cloud
        .resources
        .values()
        .find(|v| {
            v["properties"]["fullyQualifiedDomainName"]
                .as_str()
                .is_some_and(|f| f.eq_ignore_ascii_case(&host))
        })
        .and_then(|v| v["properties"]["subnetId"].as_str())
        .map(network_of);
    match (mine, theirs) {
        (Some(a), Some(b)) => a == b || network::connected(world, &a, &b),
        _ => false,
    }
}
