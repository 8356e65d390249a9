//! Rule packs: facts about Azure, Site Recovery and vSphere that age. Each has a date and a source, and a plan says by
//! which pack it was judged. `tutorial-2018` judges a design as the 2018 tutorial would, for comparison; it never runs.
//!
//! [`design`] judges what shall stand in Azure, [`vm`] one machine by the rules of `table.rs`, [`guests`] and [`sizes`], [`sql`] a
//! SQL Server and its databases.

pub mod design;
pub mod guests;
pub mod sizes;
pub mod sql;
mod table;
pub mod vm;

pub use vm::Case;

use std::net::Ipv4Addr;

/// Azure's virtual resolver, which must stay in the DNS list of a managed instance's network.
pub const AZURE_RESOLVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// A dated set of limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pack {
    pub id: &'static str,
    /// Year and month for which it was checked.
    pub date: &'static str,
    /// Smallest subnet for a managed instance, as prefix length.
    pub mi_subnet_prefix: u8,
    /// The subnet must be delegated, with network security group and route table; in 2018 a group was forbidden.
    pub mi_delegation: bool,
    /// Cores that General Purpose offers.
    pub mi_vcores: &'static [u16],
    /// GiB; storage comes in steps of this.
    pub mi_storage_step: u32,
    /// Oldest and newest vCenter and ESXi that both methods support.
    pub vcenter: &'static str,
    pub vcenter_newest: &'static str,
    /// Bytes: largest operating system disk of Site Recovery by firmware.
    pub os_disk_bios: u64,
    pub os_disk_efi: u64,
    pub data_disks: u32,
    /// Bytes: largest managed disk.
    pub data_disk: u64,
    /// How many machines one replication appliance takes.
    pub machines: u32,
    /// What is different when Azure Migrate replicates without an agent.
    pub agentless: Agentless,
    pub source: &'static str,
}

/// Limits of Azure Migrate's agentless replication.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agentless {
    /// Bytes: largest operating system disk, whatever the firmware.
    pub os_disk: u64,
    pub data_disks: u32,
    /// How many machines replicate at once from one vCenter through one appliance.
    pub machines: u32,
    pub source: &'static str,
}

/// A generation of replication that Microsoft has retired: recognised and explained, never started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    pub name: &'static str,
    /// What ended when, in words.
    pub dates: &'static str,
    /// What to do with what is still there.
    pub advice: &'static str,
    pub source: &'static str,
}

/// Site Recovery with a configuration server, `InMageAzureV2`.
pub const CLASSIC_SITE_RECOVERY: Retired = Retired {
    name: "Site Recovery classic (configuration server, InMageAzureV2)",
    dates: "Enabling replication has been blocked since 31 January 2026, Microsoft has not supported it since 15 March 2026, and machines can't stay on it after 30 March 2026 (Microsoft's page names both 15 and 30 March).",
    advice: "Move these machines to the modernized experience (vault, Replicated items, Upgrade), or disable their replication and remove the configuration server from the vault.",
    source: "learn.microsoft.com: vmware-physical-azure-classic-deprecation (2026-08-26)",
};

/// Azure Migrate's agent-based replication by the same configuration server.
pub const CLASSIC_AGENT_BASED: Retired = Retired {
    name: "Azure Migrate agent-based classic (InMageAzureV2)",
    dates: "Enabling replication was blocked on 31 March 2026, replication ended on 31 May 2026, and it was fully retired on 30 September 2026.",
    advice: "Nothing is replicated any more. Stop the replication of these machines in the Azure Migrate project and replicate them anew, without an agent or with the simplified agent-based experience.",
    source: "learn.microsoft.com: simplified-experience-for-azure-migrate (2025-11-11)",
};

const GIB: u64 = 1 << 30;

/// The rules of today.
pub const CURRENT: Pack = Pack {
    id: "current",
    date: "2026-11",
    mi_subnet_prefix: 27,
    mi_delegation: true,
    mi_vcores: &[4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 128],
    mi_storage_step: 32,
    vcenter: "6.5",
    vcenter_newest: "8.0",
    os_disk_bios: 2048 * GIB,
    os_disk_efi: 4095 * GIB,
    data_disks: 64,
    data_disk: 32_767 * GIB,
    machines: 200,
    agentless: Agentless {
        os_disk: 2048 * GIB,
        data_disks: 59,
        machines: 300,
        source: "learn.microsoft.com: support matrix for VMware migration (2024-10-16; disks per VM 2022-11)",
    },
    source: "learn.microsoft.com: SQL MI connectivity architecture (2023-08), VMware to Azure support matrix (2025-08-29), replication appliance (2026-04-21)",
};

/// The rules as the tutorial of May 2018 states them.
pub const TUTORIAL_2018: Pack = Pack {
    id: "tutorial-2018",
    date: "2018-05",
    mi_subnet_prefix: 28,
    mi_delegation: false,
    mi_vcores: &[8, 16, 24],
    vcenter: "5.5",
    source: "Contoso rehost tutorial, 2018-05-28",
    ..CURRENT
};

/// Finds a pack by id.
pub fn pack(id: &str) -> Option<&'static Pack> {
    [&CURRENT, &TUTORIAL_2018].into_iter().find(|p| p.id == id)
}

/// Compares dotted versions, `6.7` with `7.0.3`; missing parts count as 0, other text as 0.
pub fn version_at_least(have: &str, want: &str) -> bool {
    let parts = |s: &str| -> Vec<u32> { s.split('.').map(|p| p.parse().unwrap_or(0)).collect() };
    let (mut h, mut w) = (parts(have), parts(want));
    let len = h.len().max(w.len());
    h.resize(len, 0);
    w.resize(len, 0);
    h >= w
}

#[cfg(test)]
mod tests;
