//! The table of rules for one machine. Texts: `{vm}` is the machine, `{found}` what the judge found, `{ps}` the machine's
//! name quoted for PowerShell.

use super::{
    GIB,
    guests::{Family, Takes, is_64_bit},
    sizes,
    vm::{Case, Rule, Source},
};
use crate::{
    design::ReplicationMethod::{self, InMageRcm, VMwareCbt},
    guest::Item,
    task::Severity::{Blocking, Information, Warning},
};

const SITE_RECOVERY: &[ReplicationMethod] = &[InMageRcm];
const MIGRATE: &[ReplicationMethod] = &[VMwareCbt];
const BOTH: &[ReplicationMethod] = &[InMageRcm, VMwareCbt];

const SR: Source = Source {
    page: "learn.microsoft.com: VMware to Azure support matrix",
    date: "2025-08-29",
};
const AM: Source = Source {
    page: "learn.microsoft.com: Azure Migrate, support matrix for VMware migration",
    date: "2024-10-16",
};
/// What both lists say, of the older one's day.
const LISTS: Source = Source {
    page: "learn.microsoft.com: VMware to Azure support matrix; Azure Migrate, support matrix for VMware migration",
    date: "2024-10-16",
};
const SR_2008: Source = Source {
    page: "learn.microsoft.com: Migrate Windows Server 2008 to Azure",
    date: "2026-02-27",
};
const SR_PREPARE: Source = Source {
    page: "learn.microsoft.com: Prepare on-premises VMware servers for disaster recovery",
    date: "2019-05-30",
};
const AM_DISKS: Source = Source {
    page: "learn.microsoft.com: Azure Migrate, support matrix for VMware migration",
    date: "2022-11-01",
};
const AM_DISCOVERY: Source = Source {
    page: "learn.microsoft.com: Azure Migrate, support matrix for VMware discovery",
    date: "2025-02",
};
const AM_2003: Source = Source {
    page: "learn.microsoft.com: Azure Migrate, prepare Windows Server 2003 machines",
    date: "2023-07",
};
const VHD: Source = Source {
    page: "learn.microsoft.com: Prepare a Windows VHD to upload to Azure",
    date: "2022-08-04",
};
const RESERVED: Source = Source {
    page: "learn.microsoft.com: Resolve reserved resource name errors",
    date: "2017-11-08",
};
const COMPUTER_NAME: Source = Source {
    page: "learn.microsoft.com: Virtual Machines, OSProfile.computerName",
    date: "2026-11",
};
const LIFE_CYCLE: Source = Source {
    page: "The maker's life-cycle page",
    date: "2026-11",
};
const VSPHERE: Source = Source {
    page: "VMware: how snapshots work; no list of Microsoft's names it",
    date: "2026-11",
};
const OURS: Source = Source {
    page: "Rehost's own caution; no list of Microsoft's names it",
    date: "2026-11",
};

const VCENTER_ADMIN: &str = "vCenter administrator";
const WINDOWS_ADMIN: &str = "Windows administrator";
const LINUX_ADMIN: &str = "Linux administrator";
const MACHINE_ADMIN: &str = "administrator of the machine";
/// What Rehost can do itself.
const READINESS: &str =
    "Open Inventory, choose the machine, and under Readiness choose Check now, then Preview the fix.";
const STORAGE_ADMIN: &str = "storage administrator";
pub(super) const DESIGNER: &str = "whoever designs the target";

/// Words that Azure keeps for itself, whole.
const RESERVED_WORDS: &[&str] = &[
    "access",
    "azure",
    "bing",
    "bizspark",
    "biztalk",
    "cortana",
    "directx",
    "dotnet",
    "dynamics",
    "excel",
    "exchange",
    "forefront",
    "groove",
    "hololens",
    "hyperv",
    "kinect",
    "lync",
    "msdn",
    "o365",
    "office",
    "office365",
    "onedrive",
    "onenote",
    "outlook",
    "powerpoint",
    "sharepoint",
    "skype",
    "visio",
    "visualstudio",
];
/// And those that may not be a part either.
const RESERVED_PARTS: &[&str] = &["login", "microsoft", "windows", "xbox"];

/// VMware Tools 10.2.1 as `guest.toolsVersion` counts: major × 1024 + minor × 32 + patch.
const TOOLS_10_2_1: u32 = 10 * 1024 + 2 * 32 + 1;

const MIB: u64 = 1 << 20;

pub(super) fn gib(bytes: u64) -> String {
    match bytes % GIB {
        0 => format!("{} GiB", bytes / GIB),
        _ => format!("{} MiB", bytes / MIB),
    }
}

fn said(yes: bool) -> Option<String> {
    yes.then(String::new)
}

/// A name that Azure takes for a VM.
fn is_azure_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn reserved_word(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let whole = RESERVED_WORDS.iter().find(|w| **w == name);
    let part = || RESERVED_PARTS.iter().find(|w| name.contains(**w));
    whole.or_else(part).map(|w| w.to_ascii_uppercase())
}

/// Every rule for one machine: those of vSphere, the system, its start, disks, network, names, memory, tools, readiness.
pub const RULES: &[Rule] = &[
    // ---- vSphere
    Rule {
        id: "vm-vcenter-old",
        methods: BOTH,
        severity: Blocking,
        title: "The vCenter of {vm} is too old",
        cause: "It has version {found}.",
        who: VCENTER_ADMIN,
        command: "Update vCenter Server, then read the inventory again.",
        source: LISTS,
        judge: |c| c.too_old(Some(&c.inventory.api_version)),
    },
    Rule {
        id: "vm-vcenter-new",
        methods: BOTH,
        severity: Warning,
        title: "The vCenter of {vm} is newer than Microsoft's lists",
        cause: "It has version {found}.",
        who: VCENTER_ADMIN,
        command: "Look whether Microsoft's support matrix names this version by now, and replicate one unimportant machine first.",
        source: LISTS,
        judge: |c| c.too_new(Some(&c.inventory.api_version)),
    },
    Rule {
        id: "vm-esxi-old",
        methods: BOTH,
        severity: Blocking,
        title: "The ESXi host of {vm} is too old",
        cause: "It has version {found}.",
        who: VCENTER_ADMIN,
        command: "Update the host, or move the machine to a newer one: Migrate, Change compute resource only.",
        source: LISTS,
        judge: |c| c.too_old(c.host_version()),
    },
    Rule {
        id: "vm-esxi-new",
        methods: BOTH,
        severity: Warning,
        title: "The ESXi host of {vm} is newer than Microsoft's lists",
        cause: "It has version {found}.",
        who: VCENTER_ADMIN,
        command: "Look whether Microsoft's support matrix names this version by now, or move the machine to a host with 8.0.",
        source: LISTS,
        judge: |c| c.too_new(c.host_version()),
    },
    Rule {
        id: "vm-template",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} is a template",
        cause: "Templates can't be switched on, and so can't be replicated.",
        who: VCENTER_ADMIN,
        command: "Template, Convert to Virtual Machine; or Set-Template -Template {ps} -ToVM",
        source: VSPHERE,
        judge: |c| said(c.vm.template),
    },
    Rule {
        id: "vm-connection",
        methods: BOTH,
        severity: Blocking,
        title: "vCenter has no connection to {vm}",
        cause: "Its state is {found}: the host is away, or the machine's files can't be reached.",
        who: VCENTER_ADMIN,
        command: "Reconnect the host, or remove the machine from the inventory and register its .vmx file again.",
        source: VSPHERE,
        judge: |c| c.vm.connection_state.clone().filter(|s| s != "connected"),
    },
    Rule {
        id: "vm-suspended",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} is suspended",
        cause: "A machine that sleeps runs no agent, and what its memory holds would not come along.",
        who: VCENTER_ADMIN,
        command: "Power, Power On; or Start-VM -VM {ps}",
        source: VSPHERE,
        judge: |c| said(c.vm.power_state == "suspended"),
    },
    Rule {
        id: "vm-power",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "{vm} is powered off",
        cause: "The Mobility service inside the machine replicates it, so the machine must run.",
        who: VCENTER_ADMIN,
        command: "Power, Power On; or Start-VM -VM {ps}",
        source: SR,
        judge: |c| said(c.vm.power_state == "poweredOff" && !c.vm.template),
    },
    Rule {
        id: "vm-power",
        methods: MIGRATE,
        severity: Warning,
        title: "{vm} is powered off",
        cause: "Its disks can be copied, but system, addresses and readiness can't be read.",
        who: VCENTER_ADMIN,
        command: "Power, Power On; or Start-VM -VM {ps}",
        source: OURS,
        judge: |c| said(c.vm.power_state == "poweredOff" && !c.vm.template),
    },
    Rule {
        id: "vm-details",
        methods: BOTH,
        severity: Information,
        title: "Disks, cards and snapshots of {vm} have not been read yet",
        cause: "What depends on them is not judged: sizes, sharing, encryption, addresses.",
        who: "you",
        command: "Open Inventory and choose the machine.",
        source: OURS,
        judge: |c| said(c.vm.details.is_none()),
    },
    // ---- operating system
    Rule {
        id: "vm-guest",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "{vm} runs an operating system that Site Recovery doesn't replicate",
        cause: "vCenter reports {found}, which is not in the list.",
        who: MACHINE_ADMIN,
        command: "Upgrade the system, or correct it in Edit Settings, VM Options, General Options if vCenter is wrong.",
        source: SR,
        judge: |c| (c.takes() == Some(Takes::No)).then(|| c.system()),
    },
    Rule {
        id: "vm-guest",
        methods: MIGRATE,
        severity: Blocking,
        title: "{vm} runs an operating system that Azure Migrate doesn't replicate",
        cause: "vCenter reports {found}; only Windows Server 2003 and later and the Linux systems that Azure supports are.",
        who: MACHINE_ADMIN,
        command: "Upgrade the system, or correct it in Edit Settings, VM Options, General Options if vCenter is wrong.",
        source: AM,
        judge: |c| (c.takes() == Some(Takes::No)).then(|| c.system()),
    },
    Rule {
        id: "vm-guest-unsaid",
        methods: SITE_RECOVERY,
        severity: Warning,
        title: "Whether Site Recovery replicates the system of {vm} is not said",
        cause: "vCenter reports {found}, which the newest list doesn't name.",
        who: MACHINE_ADMIN,
        command: "Compare the output of uname -r or winver with Microsoft's support matrix before the run.",
        source: SR,
        judge: |c| (c.takes() == Some(Takes::Unsaid)).then(|| c.system()),
    },
    Rule {
        id: "vm-guest-unsaid",
        methods: MIGRATE,
        severity: Warning,
        title: "Azure Migrate doesn't prepare the system of {vm} by itself",
        cause: "vCenter reports {found}. It can be migrated if Azure supports it, but drivers, the network and the Azure agent are up to you.",
        who: MACHINE_ADMIN,
        command: "Install the Hyper-V drivers into the boot image (Linux: dracut -f --add-drivers \"hv_vmbus hv_storvsc hv_netvsc\"), set the network to DHCP, and migrate a test copy first.",
        source: AM,
        judge: |c| (c.takes() == Some(Takes::Unsaid)).then(|| c.system()),
    },
    Rule {
        id: "vm-guest-unknown",
        methods: BOTH,
        severity: Warning,
        title: "Rehost doesn't know the operating system of {vm}",
        cause: "vCenter reports {found}, which no rule of this pack names.",
        who: MACHINE_ADMIN,
        command: "Look it up in Microsoft's support matrix, or correct it in Edit Settings, VM Options, General Options.",
        source: OURS,
        judge: |c| {
            let told = c.system();
            (c.guest().is_none() && !told.is_empty()).then_some(told)
        },
    },
    Rule {
        id: "vm-support-ended",
        methods: BOTH,
        severity: Warning,
        title: "The system of {vm} is out of its maker's support",
        cause: "{found}. It moves as it is; without a contract for extended updates it gets no more of them in Azure.",
        who: MACHINE_ADMIN,
        command: "Decide before the move: upgrade, order extended updates, or accept it in the approval's note.",
        source: LIFE_CYCLE,
        judge: |c| {
            let ended = c.guest()?.ends.filter(|day| day[..7] <= *c.pack.date)?;
            Some(format!("Support of {} ended on {ended}", c.system()))
        },
    },
    Rule {
        id: "vm-support-ends",
        methods: BOTH,
        severity: Information,
        title: "The system of {vm} will soon be out of its maker's support",
        cause: "{found}.",
        who: MACHINE_ADMIN,
        command: "Plan its upgrade for after the move.",
        source: LIFE_CYCLE,
        judge: |c| {
            let ends = c.guest()?.ends.filter(|day| day[..7] > *c.pack.date)?;
            Some(format!("Support of {} ends on {ends}", c.system()))
        },
    },
    Rule {
        id: "vm-64-bit",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "{vm} runs a 32-bit system",
        cause: "vCenter reports {found}; apart from Windows Server 2008 only 64-bit systems are replicated.",
        who: MACHINE_ADMIN,
        command: "Install a 64-bit system, or move the application to another machine.",
        source: SR,
        judge: |c| {
            c.guest()
                .filter(|g| g.family != Family::Other && !g.is("winLonghorn"))?;
            (is_64_bit(c.vm) == Some(false)).then(|| c.system())
        },
    },
    Rule {
        id: "vm-64-bit",
        methods: MIGRATE,
        severity: Warning,
        title: "{vm} runs a 32-bit system",
        cause: "vCenter reports {found}. It may start in Azure, without support.",
        who: MACHINE_ADMIN,
        command: "Plan an upgrade to 64 bits, and migrate a test copy first.",
        source: OURS,
        judge: |c| {
            c.guest().filter(|g| g.family != Family::Other)?;
            (is_64_bit(c.vm) == Some(false)).then(|| c.system())
        },
    },
    Rule {
        id: "vm-sha2",
        methods: BOTH,
        severity: Warning,
        title: "{vm} needs two updates before drivers are trusted",
        cause: "{found} trusts SHA-2 signatures only with KB4490628 and KB4474419; without them agents are refused.",
        who: WINDOWS_ADMIN,
        command: "Get-HotFix KB4490628, KB4474419; install what is missing from the Microsoft Update Catalog, then restart.",
        source: SR_2008,
        judge: |c| {
            let guest = c.guest()?;
            (guest.is("windows7Server") || guest.is("windows7")).then(|| c.system())
        },
    },
    Rule {
        id: "vm-2008",
        methods: SITE_RECOVERY,
        severity: Warning,
        title: "{vm} needs care because of Windows Server 2008",
        cause: "Only crash-consistent recovery points are made, .NET Framework 3.5 SP1 and the driver vmstorfl.sys must be there, and Server Core is not supported.",
        who: WINDOWS_ADMIN,
        command: "dir %windir%\\system32\\drivers\\vmstorfl.sys; where it is missing: copy nul %windir%\\system32\\drivers\\vmstorfl.sys",
        source: SR_2008,
        judge: |c| said(c.guest()?.is("winLonghorn")),
    },
    Rule {
        id: "vm-2003",
        methods: MIGRATE,
        severity: Warning,
        title: "{vm} needs care because of Windows Server 2003",
        cause: "It starts in Azure only with Hyper-V's integration services.",
        who: WINDOWS_ADMIN,
        command: "Install the Hyper-V integration services before the migration, and test-migrate first.",
        source: AM_2003,
        judge: |c| said(c.guest()?.is("winNetEnterprise")),
    },
    Rule {
        id: "vm-agent",
        methods: MIGRATE,
        severity: Warning,
        title: "Azure Migrate installs no Azure agent into {vm}",
        cause: "It does so from Windows Server 2008 R2 on; vCenter reports {found}. Without the agent no command runs in the Azure VM.",
        who: WINDOWS_ADMIN,
        command: "Do by hand in the Azure VM what later steps would run there.",
        source: AM,
        judge: |c| {
            let guest = c.guest()?;
            (guest.is("winLonghorn") || guest.is("winNetEnterprise")).then(|| c.system())
        },
    },
    Rule {
        id: "vm-linux",
        methods: SITE_RECOVERY,
        severity: Information,
        title: "The kernel of {vm} must be one of Site Recovery's list",
        cause: "{found}: only the distribution's own kernels of the minor versions in the list are replicated, and no inventory tells the kernel.",
        who: LINUX_ADMIN,
        command: "uname -r; cat /etc/os-release",
        source: SR,
        judge: |c| (c.family() == Some(Family::Linux) && c.takes() == Some(Takes::Yes)).then(|| c.system()),
    },
    // ---- start and security
    Rule {
        id: "vm-firmware",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} starts by UEFI, which Azure can't do with its system",
        cause: "{found} with UEFI would become a generation 2 VM; those begin with Windows Server 2012.",
        who: WINDOWS_ADMIN,
        command: "Upgrade to Windows Server 2012 or later, or convert the disk to MBR and the machine to BIOS.",
        source: LISTS,
        judge: |c| {
            let guest = c.guest()?;
            let old = guest.is("windows7Server") || guest.is("winLonghorn");
            (old && c.vm.firmware.as_deref() == Some("efi")).then(|| c.system())
        },
    },
    Rule {
        id: "vm-secure-boot",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "{vm} has Secure Boot enabled",
        cause: "Site Recovery supports UEFI only with Secure Boot off.",
        who: VCENTER_ADMIN,
        command: "Shut it down, then Edit Settings, VM Options, Boot Options: clear Secure Boot.",
        source: SR,
        judge: |c| said(c.vm.secure_boot == Some(true)),
    },
    Rule {
        id: "vm-secure-boot",
        methods: MIGRATE,
        severity: Warning,
        title: "{vm} has Secure Boot enabled",
        cause: "It comes up in Azure without it.",
        who: DESIGNER,
        command: "After the migration turn on Trusted Launch: stop the VM, Configuration, Security type, Trusted launch.",
        source: AM,
        judge: |c| said(c.vm.secure_boot == Some(true)),
    },
    Rule {
        id: "vm-vtpm",
        methods: BOTH,
        severity: Warning,
        title: "{vm} has a virtual TPM",
        cause: "It stays behind: what is sealed with it, such as BitLocker's keys, can't be opened in Azure.",
        who: WINDOWS_ADMIN,
        command: "manage-bde -status; save the recovery keys and decrypt with manage-bde -off before the replication.",
        source: OURS,
        judge: |c| said(c.details()?.vtpm),
    },
    Rule {
        id: "vm-encrypted",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} is encrypted by vSphere",
        cause: "Machines with encrypted disks are not supported.",
        who: VCENTER_ADMIN,
        command: "Shut it down, remove a virtual TPM, then VM Policies, Edit VM Storage Policies: Datastore Default.",
        source: LISTS,
        judge: |c| said(c.details()?.encrypted),
    },
    Rule {
        id: "vm-disk-encrypted",
        methods: BOTH,
        severity: Blocking,
        title: "Disks of {vm} are encrypted by vSphere",
        cause: "{found}: encrypted disks are not supported.",
        who: VCENTER_ADMIN,
        command: "Shut it down, then VM Policies, Edit VM Storage Policies: Datastore Default for these disks.",
        source: LISTS,
        judge: |c| c.disks(|d| d.encrypted),
    },
    // ---- disks
    Rule {
        id: "vm-os-disk",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "The OS disk of {vm} is too large",
        cause: "{found} for this firmware.",
        who: STORAGE_ADMIN,
        command: "Move data to a disk of its own and shrink the OS disk, or convert BIOS to UEFI (mbr2gpt) for more.",
        source: SR,
        judge: os_disk,
    },
    Rule {
        id: "vm-os-disk",
        methods: MIGRATE,
        severity: Blocking,
        title: "The OS disk of {vm} is too large",
        cause: "{found}, whatever the firmware.",
        who: STORAGE_ADMIN,
        command: "Move data to a disk of its own and shrink the OS disk.",
        source: AM,
        judge: os_disk,
    },
    Rule {
        id: "vm-disks",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "{vm} has too many disks",
        cause: "{found} are replicated.",
        who: STORAGE_ADMIN,
        command: "Put volumes together on fewer disks, or leave out disks that are not needed.",
        source: SR,
        judge: |c| too_many_disks(c, c.pack.data_disks),
    },
    Rule {
        id: "vm-disks",
        methods: MIGRATE,
        severity: Blocking,
        title: "{vm} has too many disks",
        cause: "{found} are replicated.",
        who: STORAGE_ADMIN,
        command: "Put volumes together on fewer disks, or leave out disks that are not needed.",
        source: AM_DISKS,
        judge: |c| too_many_disks(c, c.pack.agentless.data_disks),
    },
    Rule {
        id: "vm-size-disks",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} has more disks than the Azure VM can hold",
        cause: "{found}.",
        who: DESIGNER,
        command: "Choose a larger size in Design.",
        source: sizes::SOURCE,
        judge: |c| {
            let (size, data) = (c.size()?, c.vm.disk_count.saturating_sub(1));
            (data > size.data_disks)
                .then(|| format!("It has {data} data disks; {} holds {}", size.name, size.data_disks))
        },
    },
    Rule {
        id: "vm-data-disk",
        methods: BOTH,
        severity: Blocking,
        title: "A data disk of {vm} is too large",
        cause: "{found}; a managed disk has at most 32,767 GiB.",
        who: STORAGE_ADMIN,
        command: "Split the volume over several disks.",
        source: LISTS,
        judge: |c| c.data_disks(|b| b > c.pack.data_disk),
    },
    Rule {
        id: "vm-small-disk",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "A disk of {vm} is too small",
        cause: "{found}; a disk must be larger than 1,024 MB.",
        who: STORAGE_ADMIN,
        command: "Enlarge it in Edit Settings, or remove it.",
        source: SR,
        judge: |c| c.data_disks(|b| b <= 1024 * MIB),
    },
    Rule {
        id: "vm-shared-bus",
        methods: BOTH,
        severity: Blocking,
        title: "Disks of {vm} are on a shared bus",
        cause: "{found}: disks of a cluster are not supported.",
        who: VCENTER_ADMIN,
        command: "Leave the cluster, then Edit Settings, SCSI controller, SCSI Bus Sharing: None.",
        source: LISTS,
        judge: |c| c.disks(|d| d.bus_sharing.as_deref().is_some_and(|s| s != "noSharing")),
    },
    Rule {
        id: "vm-multi-writer",
        methods: BOTH,
        severity: Blocking,
        title: "Disks of {vm} may be written by several machines",
        cause: "{found}: shared disks are not supported, and can't be part of a snapshot.",
        who: VCENTER_ADMIN,
        command: "Edit Settings, Hard disk, Sharing: No sharing, when no other machine needs the disk.",
        source: LISTS,
        judge: |c| c.disks(|d| d.sharing.as_deref() == Some("sharingMultiWriter")),
    },
    Rule {
        id: "vm-shared-file",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} has a disk in common with another machine",
        cause: "The same file is a disk of {found}: shared disks are not supported.",
        who: VCENTER_ADMIN,
        command: "Remove the disk from one of them: Edit Settings, Hard disk, Remove (keep the files).",
        source: LISTS,
        judge: |c| c.sharing(),
    },
    Rule {
        id: "vm-independent",
        methods: MIGRATE,
        severity: Blocking,
        title: "{vm} has independent disks",
        cause: "{found}: a snapshot leaves them out, so they are not supported.",
        who: VCENTER_ADMIN,
        command: "Shut it down, then Edit Settings, Hard disk, Disk Mode: Dependent.",
        source: AM,
        judge: |c| c.disks(|d| d.mode.as_deref().is_some_and(|m| m.starts_with("independent"))),
    },
    Rule {
        id: "vm-rdm",
        methods: MIGRATE,
        severity: Blocking,
        title: "{vm} has raw device mappings",
        cause: "{found}: these disks are left out, and their data would be missing in Azure.",
        who: STORAGE_ADMIN,
        command: "Copy them into virtual disks: Migrate, Change storage only, with another disk format (virtual mode).",
        source: AM,
        judge: |c| c.disks(|d| d.raw.is_some()),
    },
    Rule {
        id: "vm-passthrough",
        methods: SITE_RECOVERY,
        severity: Warning,
        title: "{vm} has passed-through PCI devices",
        cause: "{found}; no such device is in the Azure VM, and a disk behind one is replicated only if Windows or Linux shows it as a disk.",
        who: MACHINE_ADMIN,
        command: "Find out what uses it, and choose a size with such a device or do without.",
        source: OURS,
        judge: passthrough,
    },
    Rule {
        id: "vm-passthrough",
        methods: MIGRATE,
        severity: Blocking,
        title: "{vm} has passed-through PCI devices",
        cause: "{found}: a machine with such a device can't have snapshots, by which it would be replicated.",
        who: VCENTER_ADMIN,
        command: "Shut it down, then Edit Settings, PCI device, Remove.",
        source: VSPHERE,
        judge: passthrough,
    },
    Rule {
        id: "vm-nvme",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "Disks of {vm} are on an NVMe controller",
        cause: "{found}: Site Recovery replicates them for Windows only.",
        who: VCENTER_ADMIN,
        command: "Shut it down, add a VMware Paravirtual controller, and choose it as Virtual Device Node of these disks.",
        source: SR,
        judge: |c| match c.family()? {
            Family::Windows => None,
            Family::Linux | Family::Other => nvme(c),
        },
    },
    Rule {
        id: "vm-nvme",
        methods: MIGRATE,
        severity: Blocking,
        title: "Disks of {vm} are on an NVMe controller",
        cause: "{found}: NVMe disks are not supported.",
        who: VCENTER_ADMIN,
        command: "Shut it down, add a VMware Paravirtual controller, and choose it as Virtual Device Node of these disks.",
        source: AM,
        judge: nvme,
    },
    Rule {
        id: "vm-snapshots",
        methods: SITE_RECOVERY,
        severity: Information,
        title: "{vm} has snapshots",
        cause: "{found}. They stay behind, and cost speed while the machine is copied.",
        who: VCENTER_ADMIN,
        command: "Get-Snapshot -VM {ps} | Remove-Snapshot",
        source: OURS,
        judge: snapshots,
    },
    Rule {
        id: "vm-snapshots",
        methods: MIGRATE,
        severity: Warning,
        title: "{vm} has snapshots",
        cause: "{found}. Azure Migrate takes its own on top, each cycle gets slower, and vSphere allows 32 in a chain.",
        who: VCENTER_ADMIN,
        command: "Get-Snapshot -VM {ps} | Remove-Snapshot",
        source: VSPHERE,
        judge: snapshots,
    },
    Rule {
        id: "vm-consolidation",
        methods: BOTH,
        severity: Warning,
        title: "The disks of {vm} need consolidation",
        cause: "Files of deleted snapshots are still in use; new snapshots may fail, and the datastore fills.",
        who: VCENTER_ADMIN,
        command: "Snapshots, Consolidate; or (Get-VM {ps}).ExtensionData.ConsolidateVMDisks()",
        source: VSPHERE,
        judge: |c| said(c.details()?.consolidation_needed == Some(true)),
    },
    Rule {
        id: "vm-cbt",
        methods: MIGRATE,
        severity: Blocking,
        title: "{vm} can't track changed blocks",
        cause: "{found}: without that only whole disks could be copied again and again.",
        who: VCENTER_ADMIN,
        command: "Shut it down, then Compatibility, Upgrade VM Compatibility (version 7 or later).",
        source: AM,
        judge: |c| {
            let d = c.details()?;
            let hardware = d.hardware.as_deref().unwrap_or("its virtual hardware");
            (d.cbt_supported == Some(false)).then(|| format!("vSphere says that {hardware} doesn't support it"))
        },
    },
    // ---- network
    Rule {
        id: "vm-size-nics",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} has more network cards than the Azure VM can hold",
        cause: "{found}.",
        who: DESIGNER,
        command: "Choose a larger size in Design, or remove cards that nothing uses.",
        source: sizes::SOURCE,
        judge: |c| {
            let (size, nics) = (c.size()?, c.vm.nic_count);
            (nics > size.nics).then(|| format!("It has {nics}; {} holds {}", size.name, size.nics))
        },
    },
    Rule {
        id: "vm-ipv6",
        methods: BOTH,
        severity: Warning,
        title: "{vm} uses IPv6",
        cause: "{found}: IPv6 addresses are not carried over.",
        who: MACHINE_ADMIN,
        command: "Make sure that the machine is reached by IPv4, and that DNS has an A record of it.",
        source: LISTS,
        judge: ipv6,
    },
    Rule {
        id: "vm-static-ip",
        methods: BOTH,
        severity: Information,
        title: "{vm} has a fixed address",
        cause: "{found}. In Azure the network card gives the address, and the guest asks for it by DHCP.",
        who: MACHINE_ADMIN,
        command: "Lower the DNS record's time to live now; in Windows remove persistent routes: route print, route delete.",
        source: VHD,
        judge: |c| {
            let fixed = c
                .details()?
                .addresses
                .iter()
                .filter(|a| a.origin.as_deref() == Some("manual"));
            let all: Vec<&str> = fixed.map(|a| a.ip.as_str()).filter(|ip| !ip.contains(':')).collect();
            (!all.is_empty()).then(|| all.join(", "))
        },
    },
    // ---- names
    Rule {
        id: "vm-name",
        methods: BOTH,
        severity: Warning,
        title: "`{vm}` can't be the name of an Azure VM",
        cause: "Names have 1 to 63 letters, digits and hyphens, with a letter or digit at both ends.",
        who: DESIGNER,
        command: "Give the Azure VM another name in Design.",
        source: LISTS,
        judge: |c| said(!is_azure_name(&c.vm.name)),
    },
    Rule {
        id: "vm-reserved-name",
        methods: BOTH,
        severity: Warning,
        title: "`{vm}` has a word that Azure keeps for itself",
        cause: "{found} is reserved.",
        who: DESIGNER,
        command: "Give the Azure VM another name in Design.",
        source: RESERVED,
        judge: |c| reserved_word(&c.vm.name),
    },
    Rule {
        id: "vm-ascii",
        methods: MIGRATE,
        severity: Warning,
        title: "`{vm}` has characters outside ASCII",
        cause: "Azure Migrate doesn't replicate disks whose files have such names, and files usually bear the machine's.",
        who: VCENTER_ADMIN,
        command: "Rename the machine, then Migrate, Change storage only: the files get the new name.",
        source: AM,
        judge: |c| said(!c.vm.name.is_ascii()),
    },
    Rule {
        id: "vm-computer-name",
        methods: BOTH,
        severity: Warning,
        title: "The computer name of {vm} is too long for Azure",
        cause: "{found}.",
        who: MACHINE_ADMIN,
        command: "Rename the computer: Rename-Computer in Windows, hostnamectl set-hostname in Linux.",
        source: COMPUTER_NAME,
        judge: |c| {
            let name = c.vm.host_name.as_deref()?.split('.').next()?;
            let limit = match c.family()? {
                Family::Windows => 15,
                Family::Linux | Family::Other => 64,
            };
            (name.len() > limit).then(|| format!("{name} has {} characters; {limit} are allowed", name.len()))
        },
    },
    // ---- memory and space
    Rule {
        id: "vm-memory",
        methods: BOTH,
        severity: Warning,
        title: "{vm} has more memory than the Azure VM",
        cause: "{found}.",
        who: DESIGNER,
        command: "Choose a larger size in Design, or make sure that less is enough.",
        source: sizes::SOURCE,
        judge: |c| {
            let (size, mib) = (c.size()?, c.vm.memory_mib);
            (mib > size.memory_mib).then(|| format!("It has {mib} MiB; {} has {}", size.name, size.memory_mib))
        },
    },
    Rule {
        id: "vm-driver-memory",
        methods: SITE_RECOVERY,
        severity: Information,
        title: "Site Recovery's driver takes memory that {vm} has little of",
        cause: "{found}.",
        who: VCENTER_ADMIN,
        command: "Give it more memory while it replicates: Edit Settings, Memory.",
        source: SR,
        judge: |c| {
            let mib = c.vm.memory_mib;
            (mib > 0 && mib < 4096).then(|| format!("6 % of {mib} MiB are {} MiB", mib * 6 / 100))
        },
    },
    Rule {
        id: "vm-size-unknown",
        methods: BOTH,
        severity: Information,
        title: "How many disks and cards the Azure VM of {vm} can hold is not known",
        cause: "The pack doesn't have the size {found}.",
        who: DESIGNER,
        command: "az vm list-skus --size {found} --output table",
        source: sizes::SOURCE,
        judge: |c| (!c.size.is_empty() && c.size().is_none()).then(|| c.size.to_owned()),
    },
    Rule {
        id: "vm-space",
        methods: SITE_RECOVERY,
        severity: Warning,
        title: "{vm} has too little free space for the Mobility service",
        cause: "{found}.",
        who: MACHINE_ADMIN,
        command: "Free space on this volume, or enlarge it.",
        source: SR,
        // The guest's own word counts more than that of VMware Tools.
        judge: |c| {
            if c.guest_facts().is_some_and(|f| f.space.is_some()) {
                return None;
            }
            let (path, need) = match c.family()? {
                Family::Windows => ("C:\\", 500 * MIB),
                Family::Linux | Family::Other => ("/", 2 * GIB),
            };
            let volume = c
                .details()?
                .volumes
                .iter()
                .find(|v| v.path.eq_ignore_ascii_case(path))?;
            (volume.free_bytes < need).then(|| {
                format!(
                    "{path} has {} MiB free; it needs {}",
                    volume.free_bytes / MIB,
                    need / MIB
                )
            })
        },
    },
    Rule {
        id: "vm-mount-names",
        methods: SITE_RECOVERY,
        severity: Blocking,
        title: "{vm} has mount points that differ only in case",
        cause: "{found}: names of mount points must be unique without regard to case.",
        who: LINUX_ADMIN,
        command: "Rename one of them in /etc/fstab, then umount and mount -a.",
        source: SR,
        judge: |c| {
            let volumes = &c.details()?.volumes;
            let twin = |path: &str| {
                volumes
                    .iter()
                    .find(|v| v.path != path && v.path.eq_ignore_ascii_case(path))
            };
            let (a, b) = volumes.iter().find_map(|v| Some((&v.path, &twin(&v.path)?.path)))?;
            Some(format!("{a} and {b}"))
        },
    },
    Rule {
        id: "vm-churn",
        methods: SITE_RECOVERY,
        severity: Information,
        title: "How much {vm} writes is not known",
        cause: "Site Recovery follows at most 54 MB/s over all disks of a machine and, by kind of disk, 2 to 20 MB/s on each.",
        who: VCENTER_ADMIN,
        command: "Get-Stat -Entity {ps} -Stat virtualDisk.write.average -Start (Get-Date).AddDays(-7) | Measure-Object Value -Maximum",
        source: SR,
        judge: |c| said(c.running()),
    },
    // ---- VMware Tools
    Rule {
        id: "vm-tools",
        methods: BOTH,
        severity: Warning,
        title: "VMware Tools are not running in {vm}",
        cause: "Readiness can't be read and the guest can't be shut down cleanly.",
        who: MACHINE_ADMIN,
        command: "Install or start them: Guest OS, Install VMware Tools; in Linux: systemctl enable --now vmtoolsd.",
        source: OURS,
        judge: |c| said(c.running() && c.vm.tools_status.as_deref() == Some("guestToolsNotRunning")),
    },
    Rule {
        id: "vm-tools-version",
        methods: MIGRATE,
        severity: Warning,
        title: "VMware Tools in {vm} are too old",
        cause: "{found}; Azure Migrate reads software and dependencies from 10.2.1 on.",
        who: MACHINE_ADMIN,
        command: "Guest OS, Upgrade VMware Tools; or Update-Tools -VM {ps}",
        source: AM_DISCOVERY,
        judge: |c| {
            let version: u32 = c.details()?.tools_version.as_deref()?.parse().ok()?;
            (version > 0 && version < TOOLS_10_2_1).then(|| {
                let (major, minor, patch) = (version >> 10, version >> 5 & 31, version & 31);
                format!("They have version {major}.{minor}.{patch}")
            })
        },
    },
    // ---- what was read in the guest
    Rule {
        id: "guest-rdp",
        methods: BOTH,
        severity: Warning,
        title: "Remote Desktop leads into {vm} no more after the move",
        cause: "{found}. Nobody would get into the Azure VM.",
        who: WINDOWS_ADMIN,
        command: READINESS,
        source: SR_PREPARE,
        judge: |c| c.not_ready(Item::Rdp, "rdp", "1"),
    },
    Rule {
        id: "guest-firewall",
        methods: BOTH,
        severity: Warning,
        title: "The firewall of {vm} lets no Remote Desktop through",
        cause: "{found}. In Azure the network may be of another profile than here.",
        who: WINDOWS_ADMIN,
        command: READINESS,
        source: SR_PREPARE,
        judge: |c| c.not_ready(Item::Firewall, "firewall", "domain,private,public"),
    },
    Rule {
        id: "guest-san",
        methods: BOTH,
        severity: Warning,
        title: "{vm} would leave its data disks offline in Azure",
        cause: "{found}.",
        who: WINDOWS_ADMIN,
        command: "'san policy=onlineall' | diskpart",
        source: SR_PREPARE,
        judge: |c| c.not_ready(Item::San, "san", "OnlineAll"),
    },
    Rule {
        id: "guest-updates",
        methods: BOTH,
        severity: Warning,
        title: "Windows updates are pending in {vm}",
        cause: "{found}. After the failover nobody can sign in until they are installed.",
        who: WINDOWS_ADMIN,
        command: "Install them, restart, then check readiness again.",
        source: SR_PREPARE,
        judge: |c| c.not_ready(Item::Updates, "updates", "0"),
    },
    Rule {
        id: "guest-reboot",
        methods: BOTH,
        severity: Warning,
        title: "{vm} waits for a restart",
        cause: "{found}. The restart would run during the failover.",
        who: WINDOWS_ADMIN,
        command: "shutdown /r /t 0, then check readiness again.",
        source: SR_PREPARE,
        judge: |c| c.not_ready(Item::Reboot, "reboot", "0"),
    },
    Rule {
        id: "guest-bitlocker",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} has volumes that BitLocker encrypts",
        cause: "{found}. Encrypted volumes are not replicated.",
        who: WINDOWS_ADMIN,
        command: "manage-bde -off C: for each of them; wait until manage-bde -status says that it is decrypted.",
        source: LISTS,
        judge: |c| c.guest_problem(Item::Bitlocker),
    },
    Rule {
        id: "guest-dynamic",
        methods: BOTH,
        severity: Blocking,
        title: "{vm} boots from a dynamic disk",
        cause: "{found}. The disk of the system must be a basic one.",
        who: WINDOWS_ADMIN,
        command: "Restore a backup of the machine onto a basic disk, or move the application to a new machine.",
        source: LISTS,
        judge: |c| c.guest_problem(Item::DynamicDisk),
    },
    Rule {
        id: "guest-services",
        methods: BOTH,
        severity: Warning,
        title: "Services that {vm} needs in Azure don't start as they should",
        cause: "{found}.",
        who: WINDOWS_ADMIN,
        command: READINESS,
        source: VHD,
        judge: |c| c.guest_problem(Item::Services),
    },
    Rule {
        id: "guest-space",
        methods: SITE_RECOVERY,
        severity: Warning,
        title: "{vm} has too little free space for the Mobility service",
        cause: "{found}.",
        who: MACHINE_ADMIN,
        command: "Free space on this volume, or enlarge it.",
        source: SR,
        judge: |c| c.guest_problem(Item::Space),
    },
    Rule {
        id: "guest-ssh",
        methods: BOTH,
        severity: Warning,
        title: "SSH leads into {vm} no more after the move",
        cause: "{found}. Nobody would get into the Azure VM.",
        who: LINUX_ADMIN,
        command: "systemctl enable --now sshd (Debian, Ubuntu: ssh)",
        source: SR_PREPARE,
        judge: |c| c.guest_problem(Item::Ssh),
    },
    Rule {
        id: "guest-ssh-firewall",
        methods: BOTH,
        severity: Warning,
        title: "The firewall of {vm} lets no SSH through",
        cause: "{found}.",
        who: LINUX_ADMIN,
        command: "ufw allow 22/tcp, or firewall-cmd --permanent --add-service=ssh && firewall-cmd --reload",
        source: SR_PREPARE,
        judge: |c| c.guest_problem(Item::SshFirewall),
    },
    Rule {
        id: "guest-drivers",
        methods: BOTH,
        severity: Warning,
        title: "{vm} lacks drivers that it starts with in Azure",
        cause: "{found}. Without them it finds neither its disks nor its network there.",
        who: LINUX_ADMIN,
        command: "dracut -f --add-drivers \"hv_vmbus hv_storvsc hv_netvsc\", or the same modules in /etc/initramfs-tools/modules and update-initramfs -u",
        source: LISTS,
        judge: |c| c.guest_problem(Item::Drivers),
    },
];

fn os_disk(c: &Case) -> Option<String> {
    let (os, limit) = (c.vm.disk_bytes().next()?, c.os_disk_limit());
    (os > limit).then(|| format!("It has {}; the limit is {}", gib(os), gib(limit)))
}

fn too_many_disks(c: &Case, limit: u32) -> Option<String> {
    (c.vm.disk_count > limit + 1).then(|| {
        let count = c.vm.disk_count;
        format!("It has {count}; the OS disk and {limit} data disks")
    })
}

fn passthrough(c: &Case) -> Option<String> {
    let count = c.details()?.passthrough;
    (count > 0).then(|| format!("It has {count}"))
}

fn nvme(c: &Case) -> Option<String> {
    c.disks(|d| d.controller == "VirtualNVMEController")
}

fn snapshots(c: &Case) -> Option<String> {
    let all = &c.details()?.snapshots;
    let first = all.first()?;
    Some(match all.len() {
        1 => format!("It has one, {}", first.name),
        n => format!("It has {n}, the first is {}", first.name),
    })
}

fn ipv6(c: &Case) -> Option<String> {
    let all: Vec<&str> = c.addresses().filter(|a| a.contains(':')).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
