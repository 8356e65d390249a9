//! What stands in the datacenter, as managed objects with their properties.

use super::{
    Open, View, access, devices, events, guest, imports, updates,
    wire::{Fault, Val, data, reference},
};
use crate::{
    onprem::{Entity, LabSnapshot, LabTask, LabVm, Power, TaskState},
    world::World,
};

/// The service's own objects: type and id.
const SERVICES: &[(&str, &str)] = &[
    ("ServiceInstance", "ServiceInstance"),
    ("PropertyCollector", "propertyCollector"),
    ("ViewManager", "ViewManager"),
    ("SessionManager", "SessionManager"),
    ("AuthorizationManager", "AuthorizationManager"),
    ("UserDirectory", "UserDirectory"),
    ("SearchIndex", "SearchIndex"),
    ("TaskManager", "TaskManager"),
    ("EventManager", "EventManager"),
    guest::MANAGERS[0],
    guest::MANAGERS[1],
    guest::MANAGERS[2],
    guest::MANAGERS[3],
    ("OvfManager", "OvfManager"),
];

/// Optional properties that exist though they may be unset here; everything else unknown is an `InvalidProperty`.
const OPTIONAL: &[(&str, &[&str])] = &[
    (
        "VirtualMachine",
        &[
            "snapshot",
            "rootSnapshot",
            "parentVApp",
            "customValue",
            "tag",
            "availableField",
            "environmentBrowser",
            "layoutEx",
            "resourceConfig",
            "storage",
            "permission",
            "effectiveRole",
            "configIssue",
            "configStatus",
            "guestHeartbeatStatus",
        ],
    ),
    (
        "HostSystem",
        &[
            "hardware",
            "config",
            "capability",
            "tag",
            "customValue",
            "permission",
            "effectiveRole",
        ],
    ),
    (
        "Folder",
        &[
            "customValue",
            "tag",
            "permission",
            "effectiveRole",
            "parent",
            "namespace",
        ],
    ),
    (
        "Datacenter",
        &["customValue", "tag", "permission", "effectiveRole", "configuration"],
    ),
    (
        "SessionManager",
        &["currentSession", "sessionList", "message", "defaultLocale"],
    ),
    ("ContainerView", &["view"]),
    ("HttpNfcLease", &["error", "info", "mode", "capabilities"]),
    ("EventManager", &["description", "latestEvent"]),
    (
        "GuestOperationsManager",
        &["guestWindowsRegistryManager", "aliasManager"],
    ),
];

/// vSphere writes `/`, `\` and `%` in names as `%2f`, `%5c` and `%25`.
pub(super) fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c")
}

pub(super) fn decoded(name: &str) -> String {
    name.replace("%2f", "/")
        .replace("%2F", "/")
        .replace("%5c", "\\")
        .replace("%5C", "\\")
        .replace("%25", "%")
}

/// True when `kind` is the type `wanted` or a descendant of it.
pub(super) fn is_a(kind: &str, wanted: &str) -> bool {
    let entity = [
        "Folder",
        "Datacenter",
        "ComputeResource",
        "HostSystem",
        "ResourcePool",
        "Datastore",
        "Network",
        "VirtualMachine",
    ];
    let parent = match kind {
        "ClusterComputeResource" => "ComputeResource",
        "DistributedVirtualPortgroup" => "Network",
        _ => kind,
    };
    kind == wanted
        || parent == wanted
        || wanted == "ManagedObject"
        || wanted == "ManagedEntity" && entity.contains(&parent)
        || wanted == "View" && kind == "ContainerView"
}

pub(super) fn knows(kind: &str, property: &str, fields: &[(&'static str, Val)]) -> bool {
    fields.iter().any(|(name, _)| *name == property)
        || OPTIONAL
            .iter()
            .any(|(k, names)| *k == kind && names.contains(&property))
}

pub(super) fn exists(w: &World, open: &Open, session: Option<&str>, object: &(String, String)) -> bool {
    let (kind, moref) = (object.0.as_str(), object.1.as_str());
    match kind {
        "VirtualMachine" => w.onprem.vm(moref).is_some(),
        "VirtualMachineSnapshot" => w.onprem.snapshot(moref).is_some(),
        "Task" => w.onprem.tasks.iter().any(|t| t.moref == moref && t.is_known(w.now())),
        "HttpNfcLease" => w.onprem.lease(moref).is_some(),
        "EventHistoryCollector" => open
            .collectors
            .get(moref)
            .is_some_and(|c| Some(c.session.as_str()) == session),
        "ContainerView" => open
            .views
            .get(moref)
            .is_some_and(|v| Some(v.session.as_str()) == session),
        "PropertyCollector" | "PropertyFilter" if !SERVICES.contains(&(kind, moref)) => {
            updates::exists(open, session, kind, moref)
        }
        _ => SERVICES.contains(&(kind, moref)) || w.onprem.entities.iter().any(|e| e.kind == kind && e.moref == moref),
    }
}

/// All properties of an object; none when there is no such object.
pub(super) fn properties(w: &World, open: &Open, session: Option<&str>, object: &(String, String)) -> Option<Val> {
    let (kind, moref) = (object.0.as_str(), object.1.as_str());
    let fields = match kind {
        "VirtualMachine" => machine(w, w.onprem.vm(moref)?),
        "VirtualMachineSnapshot" => {
            let (vm, snapshot) = w.onprem.snapshot(moref)?;
            let below = vm.snapshots.iter().filter(|s| s.parent.as_deref() == Some(moref));
            vec![
                ("vm", reference("VirtualMachine", &vm.moref)),
                (
                    "config",
                    data(
                        "VirtualMachineConfigInfo",
                        [("annotation", Val::text(snapshot.annotation.as_str()))],
                    ),
                ),
                (
                    "childSnapshot",
                    Val::refs(below.map(|s| (kind.to_owned(), s.moref.clone()))),
                ),
            ]
        }
        "HttpNfcLease" => imports::properties(w, moref)?,
        "EventHistoryCollector" => events::collector(w, open, session, moref)?,
        "Task" => vec![("info", task_info(w, Some(moref))?)],
        "ContainerView" => {
            let view = open.views.get(moref).filter(|v| Some(v.session.as_str()) == session)?;
            vec![
                ("container", reference(&view.container.0, &view.container.1)),
                (
                    "type",
                    Val::List("xsd:string", view.types.iter().map(Val::text).collect()),
                ),
                ("recursive", Val::flag(view.recursive)),
                ("view", Val::refs(inside(w, view))),
            ]
        }
        "PropertyCollector" if moref != "propertyCollector" => vec![("filter", updates::filters(open, session, moref))],
        "PropertyFilter" => vec![],
        _ if SERVICES.contains(&(kind, moref)) => match kind {
            "ServiceInstance" => vec![
                ("content", service_content(w)),
                ("serverClock", Val::time(w.now())),
                (
                    "capability",
                    data(
                        "Capability",
                        [
                            ("provisioningSupported", Val::flag(true)),
                            ("multiHostSupported", Val::flag(true)),
                        ],
                    ),
                ),
            ],
            "SessionManager" => session
                .and_then(|s| self::session(w, s))
                .map(|s| ("currentSession", s))
                .into_iter()
                .collect(),
            "AuthorizationManager" => access::manager(w),
            "UserDirectory" => vec![(
                "domainList",
                Val::List("xsd:string", access::domains(w).into_iter().map(Val::text).collect()),
            )],
            "TaskManager" => vec![("recentTask", recent_tasks(w, None)), ("maxCollector", Val::int(32))],
            "EventManager" => vec![("maxCollector", Val::int(events::MAX_COLLECTORS as i64))],
            "GuestOperationsManager" => guest::manager(),
            "PropertyCollector" => vec![("filter", updates::filters(open, session, moref))],
            "ViewManager" => {
                let own = open.views.iter().filter(|(_, v)| Some(v.session.as_str()) == session);
                vec![(
                    "viewList",
                    Val::refs(own.map(|(id, _)| ("ContainerView".to_owned(), id.clone()))),
                )]
            }
            _ => vec![],
        },
        _ => entity(
            w,
            w.onprem.entities.iter().find(|e| e.kind == kind && e.moref == moref)?,
        ),
    };
    Some(Val::Data(kind.to_owned(), fields))
}

/// The datacenter's own folder (`vm`, `host`, `datastore`, `network`) that a folder is or is in; none above a datacenter.
pub(super) fn below_datacenter<'w>(w: &'w World, moref: &str) -> Option<&'w str> {
    let folder = w.onprem.entity(moref).filter(|e| e.kind == "Folder")?;
    let parent = w.onprem.entity(folder.parent.as_deref()?)?;
    match parent.kind {
        "Datacenter" => Some(&folder.name),
        _ => below_datacenter(w, &parent.moref),
    }
}

pub(super) fn service_content(w: &World) -> Val {
    let about = &w.onprem.about;
    let service = |kind: &str| {
        SERVICES
            .iter()
            .find(|(k, _)| *k == kind)
            .map(|(k, m)| reference(k, m))
            .unwrap_or(Val::text(""))
    };
    data(
        "ServiceContent",
        [
            ("rootFolder", reference("Folder", root(w))),
            ("propertyCollector", service("PropertyCollector")),
            ("viewManager", service("ViewManager")),
            (
                "about",
                data(
                    "AboutInfo",
                    [
                        ("name", Val::text("VMware vCenter Server")),
                        ("fullName", Val::text(about.full_name.as_str())),
                        ("vendor", Val::text("VMware, Inc.")),
                        ("version", Val::text(about.version.as_str())),
                        ("build", Val::text(about.build.as_str())),
                        ("localeVersion", Val::text("INTL")),
                        ("localeBuild", Val::text("000")),
                        ("osType", Val::text("linux-x64")),
                        ("productLineId", Val::text("vpx")),
                        ("apiType", Val::text("VirtualCenter")),
                        ("apiVersion", Val::text(about.api_version.as_str())),
                        ("instanceUuid", Val::text(about.instance_uuid.to_string())),
                        ("licenseProductName", Val::text("VMware VirtualCenter Server")),
                        ("licenseProductVersion", Val::text("7.0")),
                    ],
                ),
            ),
            ("userDirectory", service("UserDirectory")),
            ("sessionManager", service("SessionManager")),
            ("authorizationManager", service("AuthorizationManager")),
            ("eventManager", service("EventManager")),
            ("ovfManager", service("OvfManager")),
            ("taskManager", service("TaskManager")),
            ("searchIndex", service("SearchIndex")),
            ("guestOperationsManager", service("GuestOperationsManager")),
        ],
    )
}

pub(super) fn session(w: &World, key: &str) -> Option<Val> {
    let s = w.onprem.sessions.get(key)?;
    Some(data(
        "UserSession",
        [
            ("key", Val::text(shown_key(w, key))),
            ("userName", Val::text(s.user.as_str())),
            ("fullName", Val::text(s.user.as_str())),
            ("loginTime", Val::time(s.login)),
            ("lastActiveTime", Val::time(s.last_active)),
            ("locale", Val::text("en")),
            ("messageLocale", Val::text("en")),
            ("extensionSession", Val::flag(false)),
        ],
    ))
}

/// The key that a client sees is not the cookie's value.
pub(super) fn shown_key(w: &World, key: &str) -> String {
    w.guid(&format!("shown {key}")).to_string()
}

pub(super) fn root(w: &World) -> &str {
    let root = w.onprem.entities.iter().find(|e| e.parent.is_none());
    root.map(|e| e.moref.as_str()).unwrap_or_default()
}

pub(super) fn of_kind<'a>(w: &'a World, kind: &'a str) -> impl Iterator<Item = &'a Entity> {
    w.onprem.entities.iter().filter(move |e| e.kind == kind)
}

fn first(w: &World, kind: &str) -> (String, String) {
    of_kind(w, kind)
        .next()
        .map(|e| (e.kind.to_owned(), e.moref.to_owned()))
        .unwrap_or_default()
}

/// Type and moref of an entity.
pub(super) fn entity_of(w: &World, moref: &str) -> Option<(String, String)> {
    let e = w.onprem.entities.iter().find(|e| *e.moref == *moref)?;
    Some((e.kind.to_owned(), moref.to_owned()))
}

fn all_of(w: &World, kind: &str) -> Val {
    let fitting = w.onprem.entities.iter().filter(|e| is_a(e.kind, kind));
    Val::refs(fitting.map(|e| (e.kind.to_owned(), e.moref.to_string())))
}

fn named_folder(w: &World, name: &str) -> (String, String) {
    of_kind(w, "Folder")
        .find(|e| e.name == name)
        .map(|e| (e.kind.to_owned(), e.moref.to_owned()))
        .unwrap_or_default()
}

/// Tasks that vCenter still knows: of one object, or all.
fn recent_tasks(w: &World, of: Option<&str>) -> Val {
    let known = w.onprem.tasks.iter().filter(|t| t.is_known(w.now()));
    let fitting = known.filter(|t| of.is_none_or(|moref| t.entity.1 == moref));
    Val::refs(fitting.map(|t| ("Task".to_owned(), t.moref.clone())))
}

fn machines(w: &World) -> impl Iterator<Item = (String, String)> {
    w.onprem
        .vms
        .iter()
        .map(|v| ("VirtualMachine".to_owned(), v.moref.clone()))
}

fn children(w: &World, moref: &str) -> Vec<(String, String)> {
    let mut all: Vec<_> = w
        .onprem
        .entities
        .iter()
        .filter(|e| e.parent.as_deref() == Some(moref))
        .map(|e| (e.kind.to_owned(), e.moref.clone()))
        .collect();
    let machines = w.onprem.vms.iter().filter(|v| v.folder == moref);
    all.extend(machines.map(|v| ("VirtualMachine".to_owned(), v.moref.clone())));
    all
}

/// What a view contains.
fn inside(w: &World, view: &View) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut next = children(w, &view.container.1);
    if view.container.0 == "ResourcePool" {
        next.extend(machines(w));
    }
    while let Some(object) = next.pop() {
        if view.recursive {
            next.extend(children(w, &object.1));
        }
        if view.types.is_empty() || view.types.iter().any(|t| is_a(&object.0, t)) {
            all.push(object);
        }
    }
    all.sort();
    all
}

/// Of the datastore.
const CAPACITY: i64 = 4 << 40;

pub(super) fn free_space(w: &World) -> i64 {
    CAPACITY - w.onprem.vms.iter().map(|v| v.committed_bytes).sum::<i64>()
}

/// Of each host.
const CORES: i32 = 24;
const MEMORY: i64 = 256 << 30;

fn entity(w: &World, e: &Entity) -> Vec<(&'static str, Val)> {
    let one = |(kind, moref): (String, String)| Val::Ref(kind, moref);
    let mut fields = vec![
        ("name", Val::text(encoded(&e.name))),
        ("overallStatus", Val::of("ManagedEntityStatus", "green")),
        ("recentTask", recent_tasks(w, Some(&e.moref))),
    ];
    if let Some(parent) = e.parent.as_deref().and_then(|p| w.onprem.entity(p)) {
        fields.push(("parent", reference(parent.kind, &parent.moref)));
    }
    fields.extend(match e.kind {
        "Folder" => {
            let types: &[&str] = match below_datacenter(w, &e.moref).unwrap_or_default() {
                "vm" => &["Folder", "VirtualMachine", "VirtualApp"],
                "host" => &["Folder", "ComputeResource"],
                "datastore" => &["Folder", "Datastore", "StoragePod"],
                "network" => &["Folder", "Network", "DistributedVirtualSwitch"],
                _ => &["Folder", "Datacenter"],
            };
            vec![
                (
                    "childType",
                    Val::List("xsd:string", types.iter().map(|t| Val::text(*t)).collect()),
                ),
                ("childEntity", Val::refs(children(w, &e.moref))),
            ]
        }
        "Datacenter" => vec![
            ("vmFolder", one(named_folder(w, "vm"))),
            ("hostFolder", one(named_folder(w, "host"))),
            ("datastoreFolder", one(named_folder(w, "datastore"))),
            ("networkFolder", one(named_folder(w, "network"))),
            ("datastore", all_of(w, "Datastore")),
            ("network", all_of(w, "Network")),
        ],
        "ComputeResource" | "ClusterComputeResource" => {
            let hosts = of_kind(w, "HostSystem").filter(|h| h.parent.as_deref() == Some(&*e.moref));
            let hosts: Vec<_> = hosts.map(|h| (h.kind.to_owned(), h.moref.to_string())).collect();
            let (n, cores) = (hosts.len() as i64, i64::from(CORES));
            let summary = data(
                &format!("{}Summary", e.kind),
                [
                    ("totalCpu", Val::int(n * cores * 2_600)),
                    ("totalMemory", Val::long(n * MEMORY)),
                    ("numCpuCores", Val::int(n * cores)),
                    ("numCpuThreads", Val::int(n * cores * 2)),
                    ("numHosts", Val::int(n)),
                    ("numEffectiveHosts", Val::int(n)),
                    ("overallStatus", Val::of("ManagedEntityStatus", "green")),
                ],
            );
            vec![
                ("host", Val::refs(hosts)),
                ("summary", summary),
                ("resourcePool", one(first(w, "ResourcePool"))),
                ("datastore", all_of(w, "Datastore")),
                ("network", all_of(w, "Network")),
            ]
        }
        "Network" | "DistributedVirtualPortgroup" => {
            let summary = data(
                "NetworkSummary",
                [
                    ("network", reference(e.kind, &e.moref)),
                    ("name", Val::text(encoded(&e.name))),
                    ("accessible", Val::flag(true)),
                ],
            );
            let inside = w
                .onprem
                .vms
                .iter()
                .filter(|v| devices::networks(w, v).iter().any(|n| n.1 == *e.moref));
            vec![
                ("summary", summary),
                ("host", all_of(w, "HostSystem")),
                (
                    "vm",
                    Val::refs(inside.map(|v| ("VirtualMachine".to_owned(), v.moref.clone()))),
                ),
            ]
        }
        "HostSystem" => {
            let product = data(
                "AboutInfo",
                [
                    ("name", Val::text("VMware ESXi")),
                    ("fullName", Val::text("VMware ESXi 7.0.3 build-19482537")),
                    ("vendor", Val::text("VMware, Inc.")),
                    ("version", Val::text("7.0.3")),
                    ("build", Val::text("19482537")),
                    ("osType", Val::text("vmnix-x86")),
                    ("productLineId", Val::text("embeddedEsx")),
                    ("apiType", Val::text("HostAgent")),
                    ("apiVersion", Val::text("7.0.3.0")),
                ],
            );
            let runtime = data(
                "HostRuntimeInfo",
                [
                    ("connectionState", Val::of("HostSystemConnectionState", "connected")),
                    ("powerState", Val::of("HostSystemPowerState", "poweredOn")),
                    ("inMaintenanceMode", Val::flag(false)),
                ],
            );
            let config = data(
                "HostConfigSummary",
                [
                    ("name", Val::text(e.name.as_str())),
                    ("port", Val::int(902)),
                    ("product", product),
                    ("vmotionEnabled", Val::flag(false)),
                ],
            );
            let hardware = data(
                "HostHardwareSummary",
                [
                    ("vendor", Val::text("Contoso")),
                    ("model", Val::text("Rack 740")),
                    ("uuid", Val::text(w.guid(&format!("host {}", e.moref)).to_string())),
                    ("memorySize", Val::long(MEMORY)),
                    ("cpuModel", Val::text("Contoso CPU")),
                    ("cpuMhz", Val::int(2_600)),
                    ("numCpuPkgs", Val::int(2)),
                    ("numCpuCores", Val::int(CORES)),
                    ("numCpuThreads", Val::int(CORES * 2)),
                    ("numNics", Val::int(4)),
                    ("numHBAs", Val::int(2)),
                ],
            );
            let summary = data(
                "HostListSummary",
                [
                    ("host", reference(e.kind, &e.moref)),
                    ("runtime", runtime.clone()),
                    ("config", config),
                    ("hardware", hardware),
                    ("rebootRequired", Val::flag(false)),
                    ("overallStatus", Val::of("ManagedEntityStatus", "green")),
                ],
            );
            let here = w.onprem.vms.iter().filter(|v| devices::host(w, v).1 == *e.moref);
            vec![
                (
                    "vm",
                    Val::refs(here.map(|v| ("VirtualMachine".to_owned(), v.moref.clone()))),
                ),
                ("runtime", runtime),
                ("summary", summary),
                ("datastore", all_of(w, "Datastore")),
                ("network", all_of(w, "Network")),
            ]
        }
        "ResourcePool" => vec![
            ("owner", one(first(w, "ComputeResource"))),
            ("vm", Val::refs(machines(w))),
        ],
        "Datastore" => {
            vec![
                ("vm", Val::refs(machines(w))),
                (
                    "summary",
                    data(
                        "DatastoreSummary",
                        [
                            ("datastore", reference(e.kind, &e.moref)),
                            ("name", Val::text(e.name.as_str())),
                            ("url", Val::text("ds:///vmfs/volumes/contoso-ds1/")),
                            ("capacity", Val::long(CAPACITY)),
                            ("freeSpace", Val::long(free_space(w))),
                            ("accessible", Val::flag(true)),
                            ("multipleHostAccess", Val::flag(false)),
                            ("type", Val::text("VMFS")),
                        ],
                    ),
                ),
            ]
        }
        _ => vec![("vm", Val::refs(machines(w)))],
    });
    fields
}

/// What a task says of itself; none for one that vCenter has forgotten.
pub(super) fn task_info(w: &World, moref: Option<&str>) -> Option<Val> {
    let t = w.onprem.tasks.iter().find(|t| Some(t.moref.as_str()) == moref)?;
    t.is_known(w.now()).then(|| task(t, w))
}

/// The method that made a task: `PowerOnVM_Task` for `VirtualMachine.powerOn`.
fn method(description: &str) -> String {
    let (_, word) = description.rsplit_once('.').unwrap_or(("", description));
    let machine = match word {
        "powerOn" | "powerOff" | "clone" => "VM",
        _ => "",
    };
    let word = if word == "reconfigure" { "reconfigVM" } else { word };
    let (first, rest) = word.split_at(word.len().min(1));
    format!("{}{rest}{machine}_Task", first.to_uppercase())
}

fn task(t: &LabTask, w: &World) -> Val {
    let (state, ended) = match &t.state {
        TaskState::Running => ("running", false),
        TaskState::Success => ("success", true),
        TaskState::Error { .. } => ("error", true),
    };
    let mut fields = vec![
        ("key", Val::text(t.moref.as_str())),
        ("task", reference("Task", &t.moref)),
        ("name", Val::text(method(&t.description))),
        ("descriptionId", Val::text(t.description.as_str())),
        ("entity", reference(t.entity.0, &t.entity.1)),
        ("entityName", Val::text(encoded(&t.entity_name))),
        ("state", Val::of("TaskInfoState", state)),
        ("cancelled", Val::flag(t.cancelled)),
        ("cancelable", Val::flag(t.cancelable && !ended)),
    ];
    if let TaskState::Error { fault, message } = &t.state {
        fields.push(("error", Fault::new(fault, message).localized()));
    }
    if let (TaskState::Success, Some((kind, moref))) = (&t.state, &t.result) {
        fields.push(("result", Val::Any(Box::new(reference(kind, moref)))));
    }
    if !ended {
        let part = |d: jiff::SignedDuration| d.as_millis().max(1);
        let percent = part(w.now().duration_since(t.started)) * 100 / part(t.ends.duration_since(t.started));
        fields.push(("progress", Val::int(percent.clamp(0, 99) as i32)));
    }
    fields.push((
        "reason",
        data("TaskReasonUser", [("userName", Val::text(t.user.as_str()))]),
    ));
    fields.push(("queueTime", Val::time(t.started)));
    fields.push(("startTime", Val::time(t.started)));
    if ended {
        fields.push(("completeTime", Val::time(t.ends)));
    }
    fields.push((
        "eventChainId",
        Val::int(t.moref.trim_start_matches("task-").parse::<i32>().unwrap_or_default()),
    ));
    Val::Data("TaskInfo".into(), fields)
}

fn machine(w: &World, v: &LabVm) -> Vec<(&'static str, Val)> {
    let (datastore, h) = (first(w, "Datastore"), &v.hardware);
    let path = Val::text(format!("[contoso-ds1] {0}/{0}.vmx", v.name));
    let on = v.power == Power::On;
    let name = Val::text(encoded(&v.name));
    let runtime = data(
        "VirtualMachineRuntimeInfo",
        [
            ("host", {
                let (kind, moref) = devices::host(w, v);
                reference(&kind, &moref)
            }),
            ("connectionState", Val::of("VirtualMachineConnectionState", "connected")),
            ("powerState", Val::of("VirtualMachinePowerState", v.power.vim())),
            ("toolsInstallerMounted", Val::flag(false)),
            ("numMksConnections", Val::int(0)),
            ("consolidationNeeded", Val::flag(h.consolidation_needed)),
        ],
    );
    let running = if v.tools_running {
        "guestToolsRunning"
    } else {
        "guestToolsNotRunning"
    };
    let mut guest = vec![
        (
            "toolsStatus",
            Val::of(
                "VirtualMachineToolsStatus",
                if v.tools_running { "toolsOk" } else { "toolsNotRunning" },
            ),
        ),
        ("toolsVersionStatus2", Val::text("guestToolsCurrent")),
        ("toolsRunningStatus", Val::text(running)),
        ("toolsVersion", Val::text("12325")),
    ];
    if v.tools_running {
        guest.extend([
            ("guestId", Val::text(v.guest_id.as_str())),
            (
                "guestFamily",
                Val::text(if v.guest_id.starts_with("win") {
                    "windowsGuest"
                } else {
                    "linuxGuest"
                }),
            ),
            ("guestFullName", Val::text(v.guest_full_name.as_str())),
            ("hostName", Val::text(v.host_name.as_str())),
            ("ipAddress", Val::text(v.ip.as_str())),
        ]);
        guest.extend(devices::inside(v));
    }
    guest.extend([
        (
            "guestState",
            Val::text(if v.tools_running { "running" } else { "notRunning" }),
        ),
        ("guestOperationsReady", Val::flag(v.tools_running)),
    ]);
    let guest_summary = guest.iter().filter(|(n, _)| {
        [
            "guestId",
            "guestFullName",
            "toolsStatus",
            "toolsVersionStatus2",
            "toolsRunningStatus",
            "hostName",
            "ipAddress",
        ]
        .contains(n)
    });
    let guest_summary = Val::Data("VirtualMachineGuestSummary".into(), guest_summary.cloned().collect());
    let summary_config = data(
        "VirtualMachineConfigSummary",
        [
            ("name", name.clone()),
            ("template", Val::flag(false)),
            ("vmPathName", path.clone()),
            ("memorySizeMB", Val::int(v.memory_mib)),
            ("numCpu", Val::int(v.cpus)),
            ("numEthernetCards", Val::int(1 + h.cards.len() as i64)),
            ("numVirtualDisks", Val::int(v.disks.len() as i64)),
            ("uuid", Val::text(v.bios_uuid.to_string())),
            ("instanceUuid", Val::text(v.instance_uuid.to_string())),
            ("guestId", Val::text(v.guest_id.as_str())),
            ("guestFullName", Val::text(v.guest_full_name.as_str())),
            ("annotation", Val::text(v.annotation.as_str())),
        ],
    );
    let whole: i64 = v.disks.iter().map(|d| d.bytes).sum();
    let summary = data(
        "VirtualMachineSummary",
        [
            ("vm", reference("VirtualMachine", &v.moref)),
            ("runtime", runtime.clone()),
            ("guest", guest_summary),
            ("config", summary_config),
            (
                "storage",
                data(
                    "VirtualMachineStorageSummary",
                    [
                        ("committed", Val::long(v.committed_bytes)),
                        ("uncommitted", Val::long((whole - v.committed_bytes).max(0))),
                        ("unshared", Val::long(v.committed_bytes)),
                        ("timestamp", Val::time(w.now())),
                    ],
                ),
            ),
            ("overallStatus", Val::of("ManagedEntityStatus", "green")),
        ],
    );
    let extra = v.extra_config.iter().map(|(k, x)| {
        data(
            "OptionValue",
            [
                ("key", Val::text(k.as_str())),
                ("value", Val::Any(Box::new(Val::text(x.as_str())))),
            ],
        )
    });
    let config = data(
        "VirtualMachineConfigInfo",
        [
            ("changeVersion", Val::text(v.changed.to_string())),
            ("modified", Val::time(v.changed)),
            ("name", name.clone()),
            ("guestFullName", Val::text(v.guest_full_name.as_str())),
            ("version", Val::text("vmx-19")),
            ("uuid", Val::text(v.bios_uuid.to_string())),
            ("instanceUuid", Val::text(v.instance_uuid.to_string())),
            ("template", Val::flag(false)),
            ("guestId", Val::text(v.guest_id.as_str())),
            ("alternateGuestName", Val::text("")),
            ("annotation", Val::text(v.annotation.as_str())),
            ("files", data("VirtualMachineFileInfo", [("vmPathName", path)])),
            (
                "hardware",
                data(
                    "VirtualHardware",
                    [
                        ("numCPU", Val::int(v.cpus)),
                        ("numCoresPerSocket", Val::int(1)),
                        ("memoryMB", Val::int(v.memory_mib)),
                        ("device", Val::List("VirtualDevice", devices::devices(w, v))),
                    ],
                ),
            ),
            ("extraConfig", Val::List("OptionValue", extra.collect())),
            (
                "bootOptions",
                data(
                    "VirtualMachineBootOptions",
                    [("efiSecureBootEnabled", Val::flag(h.secure_boot))],
                ),
            ),
            ("changeTrackingEnabled", Val::flag(h.change_tracking)),
            ("firmware", Val::text(v.firmware)),
        ],
    );
    let config = match (config, &h.key_id) {
        (Val::Data(kind, mut fields), Some(id)) => {
            fields.push(("keyId", devices::key(id)));
            Val::Data(kind, fields)
        }
        (config, _) => config,
    };
    vec![
        ("name", name),
        ("parent", reference("Folder", &v.folder)),
        ("overallStatus", Val::of("ManagedEntityStatus", "green")),
        ("config", config),
        ("runtime", runtime),
        ("guest", Val::Data("GuestInfo".into(), guest)),
        ("recentTask", recent_tasks(w, Some(&v.moref))),
        ("summary", summary),
        ("datastore", Val::refs([datastore])),
        ("network", Val::refs(devices::networks(w, v))),
        ("capability", devices::capability()),
        ("resourcePool", {
            let (kind, moref) = first(w, "ResourcePool");
            reference(&kind, &moref)
        }),
    ]
    .into_iter()
    .chain(snapshots(v))
    .chain(on.then_some(("guestHeartbeatStatus", Val::of("ManagedEntityStatus", "green"))))
    .collect()
}

/// The tree of snapshots, when there are any.
fn snapshots(v: &LabVm) -> Option<(&'static str, Val)> {
    let snapshot = |moref: &str| reference("VirtualMachineSnapshot", moref);
    let mut fields: Vec<(&'static str, Val)> = vec![];
    fields.extend(v.current_snapshot.as_deref().map(|m| ("currentSnapshot", snapshot(m))));
    fields.push((
        "rootSnapshotList",
        Val::List("VirtualMachineSnapshotTree", tree(v, None)),
    ));
    (!v.snapshots.is_empty()).then(|| ("snapshot", Val::Data("VirtualMachineSnapshotInfo".into(), fields)))
}

fn tree(v: &LabVm, parent: Option<&str>) -> Vec<Val> {
    let below = v
        .snapshots
        .iter()
        .enumerate()
        .filter(|(_, s)| s.parent.as_deref() == parent);
    let one = |(i, s): (usize, &LabSnapshot)| {
        data(
            "VirtualMachineSnapshotTree",
            [
                ("snapshot", reference("VirtualMachineSnapshot", &s.moref)),
                ("vm", reference("VirtualMachine", &v.moref)),
                ("name", Val::text(encoded(&s.name))),
                ("description", Val::text(s.description.as_str())),
                ("id", Val::int(i as i64 + 1)),
                ("createTime", Val::time(s.created)),
                ("state", Val::of("VirtualMachinePowerState", s.power.vim())),
                ("quiesced", Val::flag(s.quiesced)),
                (
                    "childSnapshotList",
                    Val::List("VirtualMachineSnapshotTree", tree(v, Some(&s.moref))),
                ),
                ("replaySupported", Val::flag(false)),
            ],
        )
    };
    below.map(one).collect()
}
