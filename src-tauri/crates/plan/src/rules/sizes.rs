//! What the sizes of Azure VMs hold that Rehost offers as targets: the `Dsv5` series, because it has no temporary disk that
//! would shift drive letters, and takes both generations. Source: learn.microsoft.com, Dv5 and Dsv5-series (2021-10-20).

/// Where the numbers are from, and of when.
pub const SOURCE: super::vm::Source = super::vm::Source {
    page: "learn.microsoft.com: Dv5 and Dsv5-series",
    date: "2021-10-20",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub name: &'static str,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub data_disks: u32,
    pub nics: u32,
}

const fn size(name: &'static str, vcpus: u32, data_disks: u32, nics: u32) -> Size {
    Size {
        name,
        vcpus,
        // Four GiB for each core.
        memory_mib: vcpus as u64 * 4096,
        data_disks,
        nics,
    }
}

pub const SIZES: &[Size] = &[
    size("Standard_D2s_v5", 2, 4, 2),
    size("Standard_D4s_v5", 4, 8, 2),
    size("Standard_D8s_v5", 8, 16, 4),
    size("Standard_D16s_v5", 16, 32, 8),
    size("Standard_D32s_v5", 32, 32, 8),
    size("Standard_D48s_v5", 48, 32, 8),
    size("Standard_D64s_v5", 64, 32, 8),
    size("Standard_D96s_v5", 96, 32, 8),
];

/// Finds a size by name, ignoring case.
pub fn find(name: &str) -> Option<&'static Size> {
    SIZES.iter().find(|s| s.name.eq_ignore_ascii_case(name))
}
