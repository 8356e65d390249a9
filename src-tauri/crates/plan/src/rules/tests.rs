use super::table::RULES;
use super::*;
use crate::{
    design::{
        Design,
        ReplicationMethod::{self, InMageRcm, VMwareCbt},
    },
    guest::GuestState,
    inventory::{Disk, GuestAddress, GuestVolume, Host, Inventory, Snapshot, Vm, VmDetails},
    smarthotel,
    task::{Finding, Severity},
};
use std::collections::BTreeSet;

#[test]
fn sample_design_has_no_findings() {
    assert_eq!(CURRENT.judge_design(&smarthotel::design()), vec![]);
}

#[test]
fn each_design_rule_finds_its_fault() {
    type Fault = fn(&mut Design);
    let cases: [(&str, Fault); 8] = [
        ("mi-subnet-size", |d| {
            d.mi.subnet_space = "10.235.0.0/28".parse().unwrap()
        }),
        ("subnet-outside", |d| {
            d.mi.subnet_space = "10.99.0.0/25".parse().unwrap()
        }),
        ("subnet-overlap", |d| {
            d.mi.workstation_space = "10.235.0.0/26".parse().unwrap()
        }),
        ("space-overlap", |d| {
            d.known_spaces.push("10.235.0.128/25".parse().unwrap())
        }),
        ("mi-dns", |d| d.dns.retain(|a| *a != AZURE_RESOLVER)),
        ("mi-vcores", |d| d.mi.vcores = 5),
        ("mi-storage", |d| d.mi.storage_gib = 33),
        ("storage-name", |d| d.cache_account = "Contoso_1".into()),
    ];
    for (rule, fault) in cases {
        let mut d = smarthotel::design();
        fault(&mut d);
        let found = CURRENT.judge_design(&d);
        assert!(
            found.iter().any(|f| f.rule == rule),
            "{rule} must be found, got {found:?}"
        );
    }
}

#[test]
fn agentless_needs_a_project_and_says_what_else() {
    let mut d = smarthotel::design();
    d.replication = VMwareCbt;
    d.cache_account = "Not used".into();
    let rules = |d: &Design| CURRENT.judge_design(d).into_iter().map(|f| f.rule).collect::<Vec<_>>();
    assert_eq!(rules(&d), ["agentless-vddk"]);
    (d.migrate_project, d.migrate_location) = Default::default();
    assert_eq!(rules(&d), ["migrate-project", "migrate-location", "agentless-vddk"]);
}

#[test]
fn tutorial_pack_accepts_what_today_refuses() {
    let mut d = smarthotel::design();
    d.mi.subnet_space = "10.235.0.0/28".parse().unwrap();
    assert!(TUTORIAL_2018.judge_design(&d).is_empty());
    assert!(!CURRENT.judge_design(&d).is_empty());
}

/// A machine with what stands around it.
#[derive(Clone)]
struct Fixture {
    vm: Vm,
    inventory: Inventory,
    size: String,
}

/// Nothing to be said by any rule but for what must always be said of a running machine (`vm-churn`).
fn good() -> Fixture {
    let disk = |n: i32, gib: u64| Disk {
        key: 2000 + n,
        label: format!("Hard disk {}", n + 1),
        capacity_bytes: gib * GIB,
        controller: "ParaVirtualSCSIController".into(),
        unit: n,
        file: Some(format!("[ds1] WEBVM/WEBVM_{n}.vmdk")),
        mode: Some("persistent".into()),
        sharing: Some("sharingNone".into()),
        bus_sharing: Some("noSharing".into()),
        ..Disk::default()
    };
    let vm = Vm {
        moref: "vm-1".into(),
        name: "WEBVM".into(),
        power_state: "poweredOn".into(),
        connection_state: Some("connected".into()),
        guest_id: Some("windows2019srv_64Guest".into()),
        guest_full_name: Some("Microsoft Windows Server 2019 (64-bit)".into()),
        host_name: Some("webvm.contoso.com".into()),
        ip_address: Some("10.0.0.4".into()),
        cpus: 4,
        memory_mib: 8192,
        disk_count: 2,
        nic_count: 1,
        firmware: Some("bios".into()),
        secure_boot: Some(false),
        tools_status: Some("guestToolsRunning".into()),
        host: Some("esx1".into()),
        readiness: Some("script=1;rdp=1;firewall=domain,private,public;san=OnlineAll;updates=0;reboot=0".into()),
        details: Some(VmDetails {
            disks: vec![disk(0, 60), disk(1, 200)],
            addresses: vec![
                GuestAddress {
                    ip: "10.0.0.4".into(),
                    origin: Some("dhcp".into()),
                    ..GuestAddress::default()
                },
                GuestAddress {
                    ip: "fe80::250:56ff:feb1:1".into(),
                    ..GuestAddress::default()
                },
            ],
            volumes: vec![volume("C:\\", 30 * GIB)],
            consolidation_needed: Some(false),
            hardware: Some("vmx-19".into()),
            cbt_supported: Some(true),
            tools_version: Some("12352".into()),
            ..VmDetails::default()
        }),
        ..Vm::default()
    };
    Fixture {
        vm,
        inventory: Inventory {
            api_version: "8.0.3.0".into(),
            hosts: vec![Host {
                name: "esx1".into(),
                version: "8.0.2".into(),
                ..Host::default()
            }],
            ..Inventory::default()
        },
        size: "Standard_D4s_v5".into(),
    }
}

fn volume(path: &str, free: u64) -> GuestVolume {
    GuestVolume {
        path: path.into(),
        capacity_bytes: 60 * GIB,
        free_bytes: free,
    }
}

impl Fixture {
    fn details(&mut self) -> &mut VmDetails {
        self.vm.details.as_mut().unwrap()
    }

    fn disk(&mut self) -> &mut Disk {
        &mut self.details().disks[1]
    }

    fn guest(&mut self, id: &str) {
        self.vm.guest_id = Some(id.into());
        self.vm.guest_full_name = None;
    }

    fn ready(&mut self, was: &str, is: &str) {
        self.vm.readiness = self.vm.readiness.as_ref().map(|r| r.replace(was, is));
    }

    /// The guest was read, and these lines came out of it.
    fn read(&mut self, lines: &str) {
        let output = format!("readiness=1\nos=windows\n{lines}\nend=1\n");
        self.vm.guest = Some(GuestState {
            facts: Some(crate::guest::read(&output).unwrap()),
            ..GuestState::default()
        });
    }

    fn linux(&mut self, lines: &str) {
        self.guest("rhel8_64Guest");
        self.read(&format!("os=linux\n{lines}"));
    }

    fn judged(&self, method: ReplicationMethod) -> Vec<Finding> {
        CURRENT.judge_vm(&Case {
            vm: &self.vm,
            inventory: &self.inventory,
            method,
            size: &self.size,
            pack: &CURRENT,
        })
    }

    fn finding(&self, method: ReplicationMethod, rule: &str) -> Option<Finding> {
        self.judged(method).into_iter().find(|f| f.rule == rule)
    }
}

const SITE_RECOVERY: &[ReplicationMethod] = &[InMageRcm];
const MIGRATE: &[ReplicationMethod] = &[VMwareCbt];
const BOTH: &[ReplicationMethod] = &[InMageRcm, VMwareCbt];

type Change = fn(&mut Fixture);

/// A rule, the methods that have it, how the good machine is changed so that it still passes, and so that it fails.
type Row = (&'static str, &'static [ReplicationMethod], Change, Change);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("vm-vcenter-old", BOTH, |f| f.inventory.api_version = "6.5".into(), |f| f.inventory.api_version = "6.0.0".into()),
    ("vm-vcenter-new", BOTH, |f| f.inventory.api_version = "8.0.9.9".into(), |f| f.inventory.api_version = "9.0.0.0".into()),
    ("vm-esxi-old", BOTH, |f| f.inventory.hosts[0].version = "6.7.0".into(), |f| f.inventory.hosts[0].version = "5.5.0".into()),
    ("vm-esxi-new", BOTH, |f| f.inventory.hosts.clear(), |f| f.inventory.hosts[0].version = "8.1.0".into()),
    ("vm-template", BOTH, |_| {}, |f| f.vm.template = true),
    ("vm-connection", BOTH, |f| f.vm.connection_state = None, |f| f.vm.connection_state = Some("orphaned".into())),
    ("vm-suspended", BOTH, |f| f.vm.power_state = "poweredOff".into(), |f| f.vm.power_state = "suspended".into()),
    ("vm-power", BOTH, |f| f.vm.power_state = "suspended".into(), |f| f.vm.power_state = "poweredOff".into()),
    ("vm-details", BOTH, |_| {}, |f| f.vm.details = None),
    ("vm-guest", SITE_RECOVERY, |f| f.guest("rhel9_64Guest"), |f| f.guest("winNetEnterprise64Guest")),
    ("vm-guest", MIGRATE, |f| f.guest("winNetEnterprise64Guest"), |f| f.guest("freebsd12_64Guest")),
    ("vm-guest-unsaid", SITE_RECOVERY, |f| f.guest("rockylinux_64Guest"), |f| f.guest("other5xLinux64Guest")),
    ("vm-guest-unsaid", MIGRATE, |f| f.guest("centos9_64Guest"), |f| f.guest("rockylinux_64Guest")),
    ("vm-guest-unknown", BOTH, |f| (f.vm.guest_id, f.vm.guest_full_name) = (None, None), |f| f.guest("plan9Guest")),
    ("vm-support-ended", BOTH, |f| f.guest("windows2019srv_64Guest"), |f| f.guest("windows8Server64Guest")),
    ("vm-support-ends", BOTH, |f| f.guest("windows8Server64Guest"), |f| f.guest("windows9Server64Guest")),
    ("vm-64-bit", SITE_RECOVERY, |f| f.guest("winLonghornGuest"), |f| f.guest("rhel6Guest")),
    ("vm-64-bit", MIGRATE, |f| f.guest("rhel6_64Guest"), |f| f.guest("winLonghornGuest")),
    ("vm-sha2", BOTH, |f| f.guest("windows8Server64Guest"), |f| f.guest("windows7Server64Guest")),
    ("vm-2008", SITE_RECOVERY, |f| f.guest("windows7Server64Guest"), |f| f.guest("winLonghorn64Guest")),
    ("vm-2003", MIGRATE, |f| f.guest("winLonghorn64Guest"), |f| f.guest("winNetWebGuest")),
    ("vm-agent", MIGRATE, |f| f.guest("windows7Server64Guest"), |f| f.guest("winLonghorn64Guest")),
    ("vm-linux", SITE_RECOVERY, |f| f.guest("fedora64Guest"), |f| f.guest("ubuntu64Guest")),
    ("vm-firmware", BOTH, |f| f.vm.firmware = Some("efi".into()),
        |f| { f.guest("windows7Server64Guest"); f.vm.firmware = Some("efi".into()) }),
    ("vm-secure-boot", BOTH, |f| f.vm.secure_boot = None, |f| f.vm.secure_boot = Some(true)),
    ("vm-vtpm", BOTH, |f| f.vm.details = None, |f| f.details().vtpm = true),
    ("vm-encrypted", BOTH, |f| f.details().vtpm = true, |f| f.details().encrypted = true),
    ("vm-disk-encrypted", BOTH, |_| {}, |f| f.disk().encrypted = true),
    ("vm-os-disk", SITE_RECOVERY, |f| { f.vm.firmware = Some("efi".into()); f.details().disks[0].capacity_bytes = 4095 * GIB },
        |f| f.details().disks[0].capacity_bytes = 2049 * GIB),
    ("vm-os-disk", MIGRATE, |f| f.details().disks[0].capacity_bytes = 2048 * GIB,
        |f| { f.vm.firmware = Some("efi".into()); f.details().disks[0].capacity_bytes = 2049 * GIB }),
    ("vm-disks", SITE_RECOVERY, |f| f.vm.disk_count = 65, |f| f.vm.disk_count = 66),
    ("vm-disks", MIGRATE, |f| f.vm.disk_count = 60, |f| f.vm.disk_count = 61),
    ("vm-size-disks", BOTH, |f| f.vm.disk_count = 9, |f| f.vm.disk_count = 10),
    ("vm-data-disk", BOTH, |f| f.disk().capacity_bytes = 32_767 * GIB, |f| f.disk().capacity_bytes = 32_768 * GIB),
    ("vm-small-disk", SITE_RECOVERY, |f| f.disk().capacity_bytes = GIB + 1, |f| f.disk().capacity_bytes = GIB),
    ("vm-shared-bus", BOTH, |f| f.disk().bus_sharing = None, |f| f.disk().bus_sharing = Some("physicalSharing".into())),
    ("vm-multi-writer", BOTH, |f| f.disk().sharing = None, |f| f.disk().sharing = Some("sharingMultiWriter".into())),
    ("vm-shared-file", BOTH, |f| f.inventory.vms = vec![f.vm.clone()], |f| {
        f.inventory.vms = vec![Vm { moref: "vm-2".into(), name: "OTHER".into(), ..f.vm.clone() }]
    }),
    ("vm-independent", MIGRATE, |f| f.disk().mode = Some("append".into()), |f| f.disk().mode = Some("independent_persistent".into())),
    ("vm-rdm", MIGRATE, |_| {}, |f| f.disk().raw = Some("physicalMode".into())),
    ("vm-passthrough", BOTH, |_| {}, |f| f.details().passthrough = 1),
    ("vm-nvme", SITE_RECOVERY, |f| f.disk().controller = "VirtualNVMEController".into(),
        |f| { f.guest("rhel8_64Guest"); f.disk().controller = "VirtualNVMEController".into() }),
    ("vm-nvme", MIGRATE, |_| {}, |f| f.disk().controller = "VirtualNVMEController".into()),
    ("vm-snapshots", BOTH, |_| {}, |f| f.details().snapshots = vec![Snapshot { name: "before".into(), ..Snapshot::default() }]),
    ("vm-consolidation", BOTH, |f| f.details().consolidation_needed = None, |f| f.details().consolidation_needed = Some(true)),
    ("vm-cbt", MIGRATE, |f| f.details().cbt_supported = None, |f| f.details().cbt_supported = Some(false)),
    ("vm-size-nics", BOTH, |f| f.vm.nic_count = 2, |f| f.vm.nic_count = 3),
    ("vm-ipv6", BOTH, |_| {}, |f| f.details().addresses[1].ip = "fd00::4".into()),
    ("vm-static-ip", BOTH, |_| {}, |f| f.details().addresses[0].origin = Some("manual".into())),
    ("vm-name", BOTH, |f| f.vm.name = "web-01".into(), |f| f.vm.name = "web_01".into()),
    ("vm-reserved-name", BOTH, |f| f.vm.name = "exchange01".into(), |f| f.vm.name = "My-Windows-10".into()),
    ("vm-ascii", MIGRATE, |f| f.vm.name = "web_vm".into(), |f| f.vm.name = "WÄBVM".into()),
    ("vm-computer-name", BOTH, |f| { f.guest("rhel8_64Guest"); f.vm.host_name = Some("a-longer-name-of-linux".into()) },
        |f| f.vm.host_name = Some("sixteen-letters-.contoso.com".into())),
    ("vm-memory", BOTH, |f| f.vm.memory_mib = 16_384, |f| f.vm.memory_mib = 16_385),
    ("vm-driver-memory", SITE_RECOVERY, |f| f.vm.memory_mib = 4096, |f| f.vm.memory_mib = 2048),
    ("vm-size-unknown", BOTH, |f| f.size.clear(), |f| f.size = "Standard_X1".into()),
    ("vm-space", SITE_RECOVERY, |f| { f.guest("rhel8_64Guest"); f.details().volumes = vec![volume("/", 2 * GIB)] },
        |f| f.details().volumes[0].free_bytes = GIB / 4),
    ("vm-mount-names", SITE_RECOVERY, |f| f.details().volumes = vec![volume("/a", GIB), volume("/b", GIB)],
        |f| f.details().volumes = vec![volume("/Data", GIB), volume("/data", GIB)]),
    ("vm-churn", SITE_RECOVERY, |f| f.vm.power_state = "poweredOff".into(), |_| {}),
    ("vm-tools", BOTH, |f| f.vm.tools_status = None, |f| f.vm.tools_status = Some("guestToolsNotRunning".into())),
    ("vm-tools-version", MIGRATE, |f| f.details().tools_version = Some("10305".into()), |f| f.details().tools_version = Some("10304".into())),
    ("guest-rdp", BOTH, |f| f.vm.readiness = None, |f| f.ready("rdp=1", "rdp=0")),
    ("guest-firewall", BOTH, |f| f.ready("firewall=domain,private,public;", ""), |f| f.ready("domain,private,public", "domain")),
    ("guest-san", BOTH, |_| {}, |f| f.ready("OnlineAll", "policy2")),
    ("guest-updates", BOTH, |_| {}, |f| f.ready("updates=0", "updates=3")),
    ("guest-reboot", BOTH, |_| {}, |f| f.ready("reboot=0", "reboot=1")),
    ("guest-bitlocker", BOTH, |f| f.read("bitlocker=C:,0,0\nbitlocker.read=1"), |f| f.read("bitlocker=C:,1,100\nbitlocker.read=1")),
    ("guest-dynamic", BOTH, |f| f.read("disk.boot=0\ndisk.dynamic=1"), |f| f.read("disk.boot=0\ndisk.dynamic=0,1")),
    ("guest-services", BOTH, |f| f.read("service.Dhcp=2\nservice.Netlogon=2"), |f| f.read("service.Dhcp=4")),
    ("guest-space", SITE_RECOVERY, |f| f.read("space=C:,524288000"), |f| f.read("space=C:,524287999")),
    ("guest-ssh", BOTH, |f| f.linux("ssh.unit=ssh\nssh.running=1\nssh.boot=1"), |f| f.linux("ssh.unit=ssh\nssh.running=1\nssh.boot=0")),
    ("guest-ssh-firewall", BOTH, |f| f.linux("firewall=ufw\nfirewall.ssh=1"), |f| f.linux("firewall=ufw\nfirewall.ssh=0")),
    ("guest-drivers", BOTH, |f| f.linux("driver.hv_vmbus=builtin\ndriver.hv_storvsc=module\nimage.read=0"),
        |f| f.linux("driver.hv_storvsc=module\nimage.read=1")),
];

#[test]
fn every_rule_passes_and_fails_where_it_should() {
    for (rule, methods, pass, fail) in ROWS {
        for method in *methods {
            let (mut passing, mut failing) = (good(), good());
            pass(&mut passing);
            fail(&mut failing);
            assert_eq!(passing.finding(*method, rule), None, "{rule} must let this pass");
            assert!(failing.finding(*method, rule).is_some(), "{rule} must find this");
        }
    }
}

#[test]
fn every_rule_has_a_row_for_each_of_its_methods() {
    let pairs = |all: Vec<(&'static str, &'static [ReplicationMethod])>| -> BTreeSet<(&'static str, String)> {
        all.into_iter()
            .flat_map(|(id, methods)| methods.iter().map(move |m| (id, format!("{m:?}"))))
            .collect()
    };
    let rules = pairs(RULES.iter().map(|r| (r.id, r.methods)).collect());
    let rows = pairs(ROWS.iter().map(|(id, methods, ..)| (*id, *methods)).collect());
    assert_eq!(rows, rules);
}

#[test]
fn no_method_has_a_rule_twice_and_every_rule_says_what_to_do() {
    for method in ReplicationMethod::ALL {
        let ids: Vec<_> = RULES
            .iter()
            .filter(|r| r.methods.contains(&method))
            .map(|r| r.id)
            .collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    }
    for rule in RULES {
        assert!(!rule.methods.is_empty(), "{}", rule.id);
        assert!(rule.title.contains("{vm}"), "{} says of which machine", rule.id);
        for text in [rule.cause, rule.who, rule.command, rule.source.page, rule.source.date] {
            assert!(!text.is_empty(), "{} lacks a text", rule.id);
        }
        let date: jiff::civil::Date = match rule.source.date.len() {
            7 => format!("{}-01", rule.source.date).parse().unwrap(),
            _ => rule.source.date.parse().unwrap(),
        };
        assert!(date.year() >= 2017, "{}", rule.id);
    }
}

#[test]
fn a_good_machine_passes_and_every_text_is_filled() {
    let ids = |method| good().judged(method).into_iter().map(|f| f.rule).collect::<Vec<_>>();
    assert_eq!(ids(InMageRcm), ["vm-churn"]);
    assert_eq!(ids(VMwareCbt), Vec::<String>::new());
    for (rule, methods, _, fail) in ROWS {
        let mut f = good();
        f.vm.name = "it's".into();
        fail(&mut f);
        let found = f.finding(methods[0], rule).unwrap();
        for text in [&found.title, &found.detail, &found.command, &found.source] {
            assert!(!text.contains('{') && !text.starts_with(['.', ';']), "{rule}: {text}");
        }
        assert!(
            !found.command.contains("'it's'"),
            "{rule} quotes for PowerShell: {}",
            found.command
        );
        assert_eq!(found.about, f.vm.name);
    }
}

#[test]
fn where_the_methods_disagree_the_other_one_is_named() {
    // What blocks the first, and what it is to the other.
    type Disagree = (&'static str, ReplicationMethod, Change, Option<Severity>);
    let cases: &[Disagree] = &[
        (
            "vm-secure-boot",
            InMageRcm,
            |f| f.vm.secure_boot = Some(true),
            Some(Severity::Warning),
        ),
        (
            "vm-os-disk",
            VMwareCbt,
            |f| {
                f.vm.firmware = Some("efi".into());
                f.details().disks[0].capacity_bytes = 3000 * GIB;
            },
            None,
        ),
        (
            "vm-independent",
            VMwareCbt,
            |f| f.disk().mode = Some("independent_persistent".into()),
            None,
        ),
        ("vm-guest", InMageRcm, |f| f.guest("winNetEnterprise64Guest"), None),
        ("vm-disks", VMwareCbt, |f| f.vm.disk_count = 62, None),
    ];
    for (rule, method, change, others) in cases {
        let mut f = good();
        change(&mut f);
        let found = f.finding(*method, rule).unwrap();
        assert_eq!(found.severity, Severity::Blocking, "{rule}");
        let instead = format!("{} would do.", method.other().service());
        assert!(found.detail.ends_with(&instead), "{rule}: {}", found.detail);
        assert_eq!(f.finding(method.other(), rule).map(|f| f.severity), *others, "{rule}");
    }
    let mut both = good();
    both.details().encrypted = true;
    let found = both.finding(InMageRcm, "vm-encrypted").unwrap();
    assert!(!found.detail.contains("would do"), "{}", found.detail);
}

#[test]
fn too_many_machines_at_once_block() {
    assert_eq!(CURRENT.judge_wave(InMageRcm, 200), None);
    assert_eq!(CURRENT.judge_wave(VMwareCbt, 300), None);
    for (method, machines) in [(InMageRcm, 201), (VMwareCbt, 301)] {
        let found = CURRENT.judge_wave(method, machines).unwrap();
        assert_eq!(found.severity, Severity::Blocking);
    }
}

#[test]
fn what_was_read_in_the_guest_counts_more_than_what_it_published() {
    let mut f = good();
    f.ready("rdp=1", "rdp=0");
    f.ready("san=OnlineAll", "san=policy2");
    f.read("rdp.deny=0\nrdp.port=3389\nsan=OfflineShared\nspace=C:,600000000");
    f.details().volumes[0].free_bytes = 1;
    let ids: Vec<_> = f.judged(InMageRcm).into_iter().map(|f| f.rule).collect();
    assert_eq!(ids, ["vm-churn", "guest-san"]);
}

#[test]
fn versions_compare_by_number() {
    assert!(version_at_least("7.0.3", "6.5"));
    assert!(version_at_least("6.5", "6.5.0"));
    assert!(!version_at_least("6.0", "6.5"));
    assert!(version_at_least("10.0", "8.0"));
}
