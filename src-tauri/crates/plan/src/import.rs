//! From the sheets of a file to an inventory: exports of RVTools 3.x and 4.x (sheets vInfo, vDisk, vNetwork, vPartition,
//! vSnapshot, vTools, vHost, as one workbook or as CSV files, with people's or with `-DBColumnNames` column names), and any
//! other table that has a column for the machine's name.
//!
//! Nothing is guessed. A row that can't be read whole is refused, with its line and the reason; disks of which one was
//! refused are not known at all, because half of a machine's disks would pass the rules. Columns whose numbers can only be
//! of another unit refuse the file. RVTools writes `MB` up to 4.0 and `MiB` since, and means 2^20 bytes by both.
//!
//! Source: the column names of exports of RVTools, as public tools that read them list them (2026-11).

use crate::{
    changes::IMPORTED,
    inventory::{Disk, GuestAddress, GuestVolume, Host, Inventory, Nic, Snapshot, Vm, VmDetails},
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use thiserror::Error;

/// Most machines of one file.
pub const MAX_MACHINES: usize = 50_000;

/// One sheet of a workbook, or one CSV file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    pub name: String,
    pub rows: Vec<Row>,
    /// Numbers have a comma before their fraction, as in files that are separated by semicolons.
    pub decimal_comma: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// As a person counts it, from 1.
    pub line: u32,
    pub cells: Vec<String>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub inventory: Inventory,
    pub rvtools: bool,
    pub refused: Vec<RefusedRow>,
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct RefusedRow {
    pub sheet: String,
    pub line: u32,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum ImportError {
    #[error(
        "No sheet has a column for the machine's name. RVTools calls it `VM`; `Name` and `Virtual machine` are read too."
    )]
    NoMachines,
    #[error(
        "The numbers in the column `{column}` of {sheet} can't be {unit}: the largest is {largest}. Name the column `{better}`, or write the unit behind each number."
    )]
    Unit {
        sheet: String,
        column: String,
        unit: &'static str,
        largest: String,
        better: String,
    },
    #[error("The file has {0} machines; {MAX_MACHINES} are read at most. Export a datacenter at a time.")]
    TooMany(usize),
}

/// Fields of a sheet, with what their columns are called: without case, spaces, signs, unit, and the sheet's own prefix.
type Columns = &'static [(&'static str, &'static [&'static str])];

/// What every sheet of RVTools has, to say whose row it is.
const NAME: (&str, &[&str]) = (
    "name",
    &[
        "vm",
        "vmname",
        "name",
        "machine",
        "machinename",
        "server",
        "servername",
        "virtualmachine",
    ],
);
const MOREF: (&str, &[&str]) = ("moref", &["vmid", "moref", "objectid"]);
const UUID: (&str, &[&str]) = ("uuid", &["vmuuid", "instanceuuid", "uuid"]);

const INFO: Columns = &[
    NAME,
    MOREF,
    UUID,
    ("power", &["powerstate", "power", "state"]),
    ("connection", &["connectionstate"]),
    ("template", &["template"]),
    ("placeholder", &["srmplaceholder"]),
    ("dns", &["dnsname", "guesthostname", "hostname", "fqdn", "computername"]),
    ("guest state", &["gueststate"]),
    ("cpus", &["cpus", "cpu", "vcpus", "vcpu", "numcpu", "cores"]),
    ("memory", &["memory", "ram", "memorysize"]),
    ("nics", &["nics", "nic", "numnics"]),
    ("disks", &["disks", "numvirtualdisks", "diskcount"]),
    (
        "ip",
        &["primaryipaddress", "primaryip", "ipaddress", "ipv4address", "ip"],
    ),
    ("used", &["inuse", "used", "usedspace", "storage", "disk"]),
    ("firmware", &["firmware"]),
    ("secure boot", &["efisecureboot", "secureboot"]),
    ("consolidation", &["consolidationneeded"]),
    ("cbt", &["cbt"]),
    ("hardware", &["hwversion"]),
    ("annotation", &["annotation", "notes"]),
    ("cluster", &["cluster"]),
    ("host", &["host", "esxihost", "esxhost"]),
    ("datacenter", &["datacenter", "datacentre"]),
    ("tools os", &["osaccordingtothevmwaretools", "ostools"]),
    (
        "os",
        &[
            "osaccordingtotheconfigurationfile",
            "osconfig",
            "os",
            "operatingsystem",
            "guestos",
        ],
    ),
    ("api", &["visdkapiversion"]),
    ("vcenter", &["visdkserver"]),
    ("vcenter uuid", &["visdkuuid"]),
];

const DISK: Columns = &[
    NAME,
    MOREF,
    UUID,
    ("label", &["disk", "hardwaredevice"]),
    ("key", &["diskkey"]),
    ("path", &["path"]),
    ("disk path", &["diskpath"]),
    ("capacity", &["capacity"]),
    ("mode", &["diskmode", "mode"]),
    ("sharing", &["sharingmode"]),
    ("bus sharing", &["sharedbus"]),
    ("raw", &["raw"]),
    ("raw mode", &["rawcompmode", "rawcompatibilitymode"]),
    ("thin", &["thin"]),
    ("controller", &["controller"]),
    ("controller label", &["label"]),
    ("unit", &["unit#", "unit", "scsiunit#", "scsiunit"]),
];

const NETWORK: Columns = &[
    NAME,
    MOREF,
    UUID,
    ("label", &["niclabel"]),
    ("adapter", &["adapter"]),
    ("network", &["network"]),
    ("connected", &["connected"]),
    ("mac", &["macaddress", "mac"]),
    ("ipv4", &["ipv4address", "ipaddress"]),
    ("ipv6", &["ipv6address"]),
];

const PARTITION: Columns = &[
    NAME,
    MOREF,
    UUID,
    ("path", &["disk"]),
    ("capacity", &["capacity"]),
    ("free", &["free", "freespace"]),
];

const SNAPSHOT: Columns = &[
    ("name", &["vm", "vmname"]),
    MOREF,
    UUID,
    ("label", &["name", "snapshotname"]),
];

const TOOLS: Columns = &[
    NAME,
    MOREF,
    UUID,
    ("tools", &["tools", "toolsstatus"]),
    ("version", &["toolsversion", "version"]),
];

const HOST: Columns = &[
    ("name", &["host", "name"]),
    ("product", &["esxversion", "version"]),
    ("cluster", &["cluster"]),
    ("datacenter", &["datacenter"]),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Bytes,
    Kib,
    Mib,
    Gib,
    Tib,
}

use Unit::{Bytes, Gib, Kib, Mib, Tib};

impl Unit {
    const NAMES: [(&str, Unit); 10] = [
        ("kib", Kib),
        ("mib", Mib),
        ("gib", Gib),
        ("tib", Tib),
        ("kb", Kib),
        ("mb", Mib),
        ("gb", Gib),
        ("tb", Tib),
        ("bytes", Bytes),
        ("b", Bytes),
    ];

    fn bytes(self) -> f64 {
        match self {
            Bytes => 1.0,
            Kib => 1024.0,
            Mib => 1_048_576.0,
            Gib => 1_073_741_824.0,
            Tib => 1_099_511_627_776.0,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Bytes => "bytes",
            Kib => "KiB",
            Mib => "MiB",
            Gib => "GiB",
            Tib => "TiB",
        }
    }
}

/// A sheet whose columns have been found.
struct Table<'a> {
    sheet: &'a Sheet,
    rows: &'a [Row],
    columns: HashMap<&'static str, (usize, Option<Unit>)>,
    header: &'a [String],
}

/// One row of it.
#[derive(Clone, Copy)]
struct Cells<'a> {
    table: &'a Table<'a>,
    row: &'a Row,
}

impl<'a> Table<'a> {
    /// Finds the header among the first rows: the first that has a column for the name.
    fn of(sheet: &'a Sheet, prefix: &str, fields: Columns) -> Option<Table<'a>> {
        let at = sheet.rows.iter().take(10).position(|r| {
            let columns = columns(&r.cells, prefix, fields);
            columns.contains_key("name") && columns.len() > 1
        })?;
        let header = &sheet.rows[at].cells;
        Some(Table {
            sheet,
            rows: &sheet.rows[at + 1..],
            columns: columns(header, prefix, fields),
            header,
        })
    }

    fn cells(&'a self) -> impl Iterator<Item = Cells<'a>> {
        let empty = |r: &&Row| r.cells.iter().all(|c| c.trim().is_empty());
        self.rows
            .iter()
            .filter(move |r| !empty(r))
            .map(move |row| Cells { table: self, row })
    }

    /// Refuses a column of sizes whose largest is smaller than any machine has.
    fn check_unit(&self, field: &'static str, default: Unit, least: f64, better: &str) -> Result<(), ImportError> {
        let Some((at, unit)) = self.columns.get(field) else {
            return Ok(());
        };
        let bytes = |c: Cells| c.size(field, default).ok().flatten();
        let largest = self.cells().filter_map(bytes).max().unwrap_or_default();
        if largest == 0 || largest as f64 >= least {
            return Ok(());
        }
        let unit = unit.unwrap_or(default);
        Err(ImportError::Unit {
            sheet: self.sheet.name.clone(),
            column: self.header[*at].clone(),
            unit: unit.word(),
            largest: format!("{} {}", largest as f64 / unit.bytes(), unit.word()),
            better: better.into(),
        })
    }

    fn refused(&self, cells: Cells, reason: impl Into<String>) -> RefusedRow {
        RefusedRow {
            sheet: self.sheet.name.clone(),
            line: cells.row.line,
            reason: reason.into(),
        }
    }
}

impl<'a> Cells<'a> {
    fn text(self, field: &str) -> Option<&'a str> {
        let (at, _) = self.table.columns.get(field)?;
        self.row.cells.get(*at).map(|c| c.trim()).filter(|c| !c.is_empty())
    }

    fn owned(self, field: &str) -> Option<String> {
        self.text(field).map(str::to_owned)
    }

    fn flag(self, field: &str) -> Option<bool> {
        match self.text(field)?.to_lowercase().as_str() {
            "true" | "yes" | "1" | "wahr" | "ja" | "vrai" | "oui" => Some(true),
            "false" | "no" | "0" | "falsch" | "nein" | "faux" | "non" => Some(false),
            _ => None,
        }
    }

    fn wrong(self, field: &str, text: &str, what: &str) -> String {
        let column = self
            .table
            .columns
            .get(field)
            .map_or(field, |(at, _)| &self.table.header[*at]);
        format!("{column}: `{text}` is not {what}.")
    }

    fn count(self, field: &str) -> Result<u32, String> {
        let Some(text) = self.text(field) else {
            return Ok(0);
        };
        match number(text, self.table.sheet.decimal_comma) {
            Some(n) if n >= 0.0 && n.fract() == 0.0 && n <= f64::from(u32::MAX) => Ok(n as u32),
            _ => Err(self.wrong(field, text, "a number")),
        }
    }

    /// Bytes. The unit is the cell's, else the column's, else `default`.
    fn size(self, field: &str, default: Unit) -> Result<Option<u64>, String> {
        let Some(text) = self.text(field) else {
            return Ok(None);
        };
        let column = self.table.columns.get(field).and_then(|(_, unit)| *unit);
        let (digits, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
            Some(at) => {
                let word = text[at..].trim().to_ascii_lowercase();
                let unit = Unit::NAMES
                    .iter()
                    .find(|(name, _)| *name == word)
                    .map(|(_, unit)| *unit);
                (&text[..at], unit)
            }
            None => (text, Some(column.unwrap_or(default))),
        };
        let bytes = number(digits, self.table.sheet.decimal_comma)
            .zip(unit)
            .map(|(n, unit)| n * unit.bytes());
        match bytes {
            // 2^53 bytes is more than any disk, and where whole numbers end.
            Some(b) if (0.0..9_007_199_254_740_992.0).contains(&b) => Ok(Some(b as u64)),
            _ => Err(self.wrong(field, text, "a size")),
        }
    }
}

/// Which of the fields stand in which column.
fn columns(header: &[String], prefix: &str, fields: Columns) -> HashMap<&'static str, (usize, Option<Unit>)> {
    let names: Vec<(String, Option<Unit>)> = header.iter().map(|h| plain(h, prefix)).collect();
    fields
        .iter()
        .filter_map(|(field, called)| {
            // The first of the names that is there, not the first column: `Path` goes before `Disk Path`.
            let at = called
                .iter()
                .find_map(|name| names.iter().position(|(n, _)| n == name))?;
            Some((*field, (at, names[at].1)))
        })
        .collect()
}

/// `Provisioned MiB`, `Memory (GB)` and `vInfoMemory` as `provisioned` in MiB, `memory` in GiB, `memory`.
fn plain(header: &str, prefix: &str) -> (String, Option<Unit>) {
    let name: String = header
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == '#')
        .collect();
    let name = name
        .strip_prefix(prefix)
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&name);
    for (word, unit) in Unit::NAMES.iter().take(9) {
        if let Some(rest) = name.strip_suffix(word)
            && !rest.is_empty()
        {
            return (rest.to_owned(), Some(*unit));
        }
    }
    (name.to_owned(), None)
}

/// Reads `8192`, `8,192`, `8.192,5` and `8 192`. A single sign before three digits is of thousands, unless it is the
/// sign of fractions in this file.
fn number(text: &str, decimal_comma: bool) -> Option<f64> {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '\'').collect();
    let (comma, point) = (text.rfind(','), text.rfind('.'));
    let fraction = match (comma, point) {
        (Some(c), Some(p)) => Some(c.max(p)),
        (None, None) => None,
        (Some(at), None) | (None, Some(at)) => {
            let sign = &text[at..=at];
            let thousands = text.len() == at + 4 || text.matches(sign).count() > 1;
            let usual = if decimal_comma { "," } else { "." };
            (sign == usual && text.matches(sign).count() == 1 || !thousands).then_some(at)
        }
    };
    let digits: String = text
        .char_indices()
        .filter_map(|(at, c)| match c {
            ',' | '.' => (Some(at) == fraction).then_some('.'),
            c => Some(c),
        })
        .collect();
    digits.parse().ok().filter(|n: &f64| n.is_finite())
}

/// Where a machine is in the list, by everything that may name it.
#[derive(Default)]
struct Index {
    by: HashMap<String, Option<usize>>,
}

impl Index {
    fn keys(cells: Cells) -> [Option<String>; 3] {
        [
            moref(cells).map(|m| format!("moref {m}")),
            cells.text("uuid").map(|u| format!("uuid {}", u.to_lowercase())),
            cells.text("name").map(|n| format!("name {}", n.to_lowercase())),
        ]
    }

    fn add(&mut self, cells: Cells, at: usize) {
        for key in Self::keys(cells).into_iter().flatten() {
            self.by.entry(key).and_modify(|a| *a = None).or_insert(Some(at));
        }
    }

    fn find(&self, cells: Cells) -> Option<usize> {
        let key = Self::keys(cells).into_iter().flatten();
        key.filter_map(|k| self.by.get(&k)).find_map(|at| *at)
    }
}

/// `vm-42`; anything else in the column isn't a reference.
fn moref(cells: Cells<'_>) -> Option<&str> {
    cells
        .text("moref")
        .filter(|m| m.starts_with("vm-") || m.parse::<u32>().is_ok())
}

/// Reads the sheets of one file.
///
/// # Errors
/// Fails when there are no machines, too many, or sizes of another unit.
pub fn read(sheets: &[Sheet]) -> Result<Imported, ImportError> {
    let named = |tab: &str| {
        sheets.iter().find(|s| {
            let name: String = s.name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
            name == tab || name.ends_with(&format!("tab{tab}"))
        })
    };
    let tab = |tab: &str, fields| named(tab).and_then(|s| Table::of(s, tab, fields));
    let info = tab("vinfo", INFO);
    let rvtools = info.is_some();
    let info = info
        .or_else(|| sheets.iter().find_map(|s| Table::of(s, "vinfo", INFO)))
        .ok_or(ImportError::NoMachines)?;
    info.check_unit("memory", Mib, 64.0 * Mib.bytes(), "Memory GiB")?;
    let mut out = Reading::default();
    out.machines(&info)?;
    if rvtools {
        if let Some(t) = tab("vdisk", DISK) {
            t.check_unit("capacity", Mib, Gib.bytes(), "Capacity GiB")?;
            out.disks(&t);
        }
        out.rest(tab("vnetwork", NETWORK), network);
        out.rest(tab("vpartition", PARTITION), volume);
        out.rest(tab("vsnapshot", SNAPSHOT), |d, c| {
            d.snapshots.push(Snapshot {
                name: c.owned("label").unwrap_or_default(),
                ..Snapshot::default()
            });
            Ok(())
        });
        out.tools(tab("vtools", TOOLS));
        out.hosts(tab("vhost", HOST));
    }
    Ok(out.done(rvtools))
}

#[derive(Default)]
struct Reading {
    inventory: Inventory,
    index: Index,
    /// Details of each machine, kept in the end for those whose disks were read.
    details: Vec<VmDetails>,
    /// Machines of which a disk was refused.
    spoilt: HashSet<usize>,
    refused: Vec<RefusedRow>,
}

impl Reading {
    fn machines(&mut self, info: &Table) -> Result<(), ImportError> {
        let rows = info.cells().count();
        if rows > MAX_MACHINES {
            return Err(ImportError::TooMany(rows));
        }
        let mut seen = HashMap::new();
        for cells in info.cells() {
            // A placeholder stands for a machine of another site.
            if cells.flag("placeholder") == Some(true) {
                continue;
            }
            match self.machine(cells, &mut seen) {
                Ok((vm, details)) => {
                    self.index.add(cells, self.inventory.vms.len());
                    self.inventory.vms.push(vm);
                    self.details.push(details);
                }
                Err(reason) => self.refused.push(info.refused(cells, reason)),
            }
        }
        Ok(())
    }

    fn machine(&mut self, cells: Cells, seen: &mut HashMap<String, u32>) -> Result<(Vm, VmDetails), String> {
        let name = cells.owned("name").ok_or("There is no name.")?;
        let vcenter = cells.text("vcenter uuid").unwrap_or_default();
        let of = &mut self.inventory;
        if !vcenter.is_empty() && of.vcenter_uuid.is_empty() {
            of.vcenter_uuid = vcenter.into();
        }
        if !vcenter.is_empty() && of.vcenter_uuid != vcenter {
            let server = cells.text("vcenter").unwrap_or(vcenter);
            return Err(format!(
                "It belongs to another vCenter, {server}. Export one vCenter at a time."
            ));
        }
        if of.vcenter_name.is_empty() {
            of.vcenter_name = cells.owned("vcenter").unwrap_or_default();
            of.api_version = cells.owned("api").unwrap_or_default();
        }
        let moref = moref(cells).map_or_else(|| format!("{IMPORTED}{}", name.to_lowercase()), str::to_owned);
        if let Some(first) = seen.insert(moref.clone(), cells.row.line) {
            return Err(format!("{name} stands in line {first} already."));
        }
        let memory = cells.size("memory", Mib)?.unwrap_or_default();
        if memory > 0 && (memory as f64) < 4.0 * Mib.bytes() {
            let text = cells.text("memory").unwrap_or_default();
            return Err(cells.wrong("memory", text, "the memory of a machine; look at its unit"));
        }
        let system = cells.text("tools os").or(cells.text("os"));
        // Some exports hold vSphere's ids in place of names.
        let (guest_id, guest_full_name) = match system {
            Some(id) if id.ends_with("Guest") && !id.contains(' ') => (Some(id.to_owned()), None),
            name => (None, name.map(str::to_owned)),
        };
        let power = cells.text("power").unwrap_or_default();
        let vm = Vm {
            moref,
            instance_uuid: cells.owned("uuid"),
            power_state: match power.to_lowercase().replace([' ', '-', '_'], "").as_str() {
                "poweredon" | "on" | "running" => "poweredOn".into(),
                "poweredoff" | "off" | "stopped" => "poweredOff".into(),
                _ => power.into(),
            },
            connection_state: cells.owned("connection"),
            guest_id,
            guest_full_name,
            host_name: cells.owned("dns"),
            ip_address: cells.text("ip").and_then(first).map(str::to_owned),
            cpus: cells.count("cpus")?,
            memory_mib: memory >> 20,
            disk_count: cells.count("disks")?,
            nic_count: cells.count("nics")?,
            storage_bytes: cells.size("used", Mib)?.unwrap_or_default(),
            firmware: cells.text("firmware").map(|f| f.to_lowercase().replace("uefi", "efi")),
            secure_boot: cells.flag("secure boot"),
            tools_status: match cells.text("guest state") {
                Some("running") => Some("guestToolsRunning".into()),
                Some("notRunning") => Some("guestToolsNotRunning".into()),
                _ => None,
            },
            template: cells.flag("template").unwrap_or_default(),
            host: cells.owned("host"),
            cluster: cells.owned("cluster"),
            datacenter: cells.owned("datacenter"),
            name,
            ..Vm::default()
        };
        let details = VmDetails {
            consolidation_needed: cells.flag("consolidation"),
            cbt_enabled: cells.flag("cbt"),
            hardware: cells.text("hardware").map(|h| match h.parse::<u32>() {
                Ok(n) => format!("vmx-{n:02}"),
                Err(_) => h.to_owned(),
            }),
            annotation: cells.owned("annotation"),
            ..VmDetails::default()
        };
        Ok((vm, details))
    }

    /// Gives each row to its machine; rows of machines that were refused are left out without a word.
    fn rest(&mut self, table: Option<Table>, mut take: impl FnMut(&mut VmDetails, Cells) -> Result<(), String>) {
        let Some(table) = table else { return };
        for cells in table.cells() {
            if let Some(at) = self.index.find(cells)
                && let Err(reason) = take(&mut self.details[at], cells)
            {
                self.refused.push(table.refused(cells, reason));
            }
        }
    }

    fn disks(&mut self, table: &Table) {
        for cells in table.cells() {
            let Some(at) = self.index.find(cells) else { continue };
            match disk(cells) {
                Ok(disk) => self.details[at].disks.push(disk),
                Err(reason) => {
                    self.spoilt.insert(at);
                    self.refused.push(table.refused(cells, reason));
                }
            }
        }
        for d in &mut self.details {
            d.disks.sort_by_key(|d| (boots(&d.controller), d.bus, d.unit));
        }
    }

    fn tools(&mut self, table: Option<Table>) {
        let Some(table) = table else { return };
        for cells in table.cells() {
            let Some(at) = self.index.find(cells) else { continue };
            self.details[at].tools_version = cells.owned("version");
            let status = match cells.text("tools").unwrap_or_default() {
                "toolsOk" | "toolsOld" => "guestToolsRunning",
                "toolsNotRunning" | "toolsNotInstalled" => "guestToolsNotRunning",
                _ => continue,
            };
            self.inventory.vms[at].tools_status = Some(status.into());
        }
    }

    fn hosts(&mut self, table: Option<Table>) {
        let Some(table) = table else { return };
        self.inventory.hosts = table
            .cells()
            .filter_map(|cells| {
                let product = cells.owned("product").unwrap_or_default();
                let version = product
                    .split_whitespace()
                    .find(|w| w.starts_with(|c: char| c.is_ascii_digit()));
                Some(Host {
                    name: cells.owned("name")?,
                    version: version.unwrap_or_default().into(),
                    product,
                    cluster: cells.owned("cluster"),
                    datacenter: cells.owned("datacenter"),
                    ..Host::default()
                })
            })
            .collect();
    }

    fn done(mut self, rvtools: bool) -> Imported {
        for (at, (vm, details)) in self.inventory.vms.iter_mut().zip(self.details).enumerate() {
            let all = vm.disk_count == 0 || details.disks.len() == vm.disk_count as usize;
            if all && !details.disks.is_empty() && !self.spoilt.contains(&at) {
                vm.disk_count = u32::try_from(details.disks.len()).unwrap_or(u32::MAX);
                vm.details = Some(details);
            }
        }
        Imported {
            inventory: self.inventory,
            rvtools,
            refused: self.refused,
        }
    }
}

/// The first of several addresses.
fn first(list: &str) -> Option<&str> {
    addresses(list).next()
}

fn addresses(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ';', ' ']).map(str::trim).filter(|a| !a.is_empty())
}

fn disk(cells: Cells) -> Result<Disk, String> {
    let label = cells.owned("label").unwrap_or_default();
    let capacity = cells.size("capacity", Mib)?;
    let file = [cells.text("path"), cells.text("disk path")];
    let raw = cells.flag("raw") == Some(true) || cells.text("raw mode").is_some();
    Ok(Disk {
        key: cells
            .count("key")
            .ok()
            .and_then(|k| i32::try_from(k).ok())
            .unwrap_or_default(),
        capacity_bytes: capacity.ok_or_else(|| format!("{label} has no capacity."))?,
        controller: controller(cells.text("controller").unwrap_or_default()),
        // `SCSI controller 1`
        bus: cells
            .text("controller label")
            .and_then(|l| l.rsplit(' ').next()?.parse().ok())
            .unwrap_or_default(),
        unit: i32::try_from(cells.count("unit")?).unwrap_or_default(),
        file: file
            .into_iter()
            .flatten()
            .find(|p| p.starts_with('['))
            .map(str::to_owned),
        mode: cells.owned("mode"),
        sharing: cells.owned("sharing"),
        bus_sharing: cells.owned("bus sharing"),
        raw: raw.then(|| cells.owned("raw mode").unwrap_or_else(|| "physicalMode".into())),
        thin: cells.flag("thin"),
        label,
        ..Disk::default()
    })
}

/// vSphere's type for what RVTools writes, `VMware paravirtual SCSI`.
fn controller(text: &str) -> String {
    const TYPES: [(&str, &str); 6] = [
        ("nvme", "VirtualNVMEController"),
        ("paravirtual", "ParaVirtualSCSIController"),
        ("sas", "VirtualLsiLogicSASController"),
        ("lsi", "VirtualLsiLogicController"),
        ("ahci", "VirtualAHCIController"),
        ("ide", "VirtualIDEController"),
    ];
    let lower = text.to_lowercase();
    let known = TYPES.iter().find(|(word, _)| lower.contains(word));
    known.map_or(text, |(_, kind)| kind).to_owned()
}

/// The order in which a machine looks for a disk to start from.
fn boots(controller: &str) -> u8 {
    match controller {
        "VirtualIDEController" => 0,
        "VirtualAHCIController" => 2,
        "VirtualNVMEController" => 3,
        _ => 1,
    }
}

fn network(d: &mut VmDetails, cells: Cells) -> Result<(), String> {
    let adapter = cells.text("adapter").unwrap_or_default();
    let mac = cells.owned("mac");
    let told = [cells.text("ipv4"), cells.text("ipv6")].into_iter().flatten();
    for ip in told.flat_map(addresses) {
        d.addresses.push(GuestAddress {
            ip: ip.into(),
            mac: mac.clone(),
            ..GuestAddress::default()
        });
    }
    d.nics.push(Nic {
        label: cells.owned("label").unwrap_or_default(),
        kind: match adapter.to_lowercase().as_str() {
            "vmxnet3" => "VirtualVmxnet3".into(),
            "e1000" => "VirtualE1000".into(),
            "e1000e" => "VirtualE1000e".into(),
            _ => adapter.into(),
        },
        mac,
        network: cells.owned("network"),
        connected: cells.flag("connected"),
        ..Nic::default()
    });
    Ok(())
}

fn volume(d: &mut VmDetails, cells: Cells) -> Result<(), String> {
    d.volumes.push(GuestVolume {
        path: cells.owned("path").unwrap_or_default(),
        capacity_bytes: cells.size("capacity", Mib)?.unwrap_or_default(),
        free_bytes: cells.size("free", Mib)?.unwrap_or_default(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A sheet from lines with `|` between cells.
    fn sheet(name: &str, lines: &[&str]) -> Sheet {
        Sheet {
            name: name.into(),
            rows: (1..)
                .zip(lines)
                .map(|(line, text)| Row {
                    line,
                    cells: text.split('|').map(str::to_owned).collect(),
                })
                .collect(),
            decimal_comma: false,
        }
    }

    /// RVTools 4.6.
    fn workbook() -> Vec<Sheet> {
        vec![
            sheet(
                "vInfo",
                &[
                    "VM|Powerstate|Template|SRM Placeholder|DNS Name|Connection state|Guest state|Consolidation Needed|CPUs|Memory|NICs|Disks|CBT|Primary IP Address|In Use MiB|EFI Secure boot|Firmware|HW version|Datacenter|Cluster|Host|OS according to the configuration file|OS according to the VMware Tools|VM ID|VM UUID|VI SDK API Version|VI SDK Server|VI SDK UUID",
                    "WEBVM|poweredOn|False|False|webvm.contoso.com|connected|running|False|4|8192|1|2|True|10.0.0.4|30720|False|bios|vmx-13|DC|C1|esx1|Microsoft Windows Server 2016 (64-bit)|Microsoft Windows Server 2019 (64-bit)|vm-21|5012-A|7.0.3.0|vcenter.contoso.com|VC-1",
                    "COPY|poweredOff|False|True||connected|||2|4096|1|1||||||||||||vm-22|5012-B|7.0.3.0|vcenter.contoso.com|VC-1",
                    "OTHER|poweredOn|False|False||connected|||2|4096|1|1||||||||||||vm-21|5012-C|7.0.3.0|east.contoso.com|VC-2",
                ],
            ),
            sheet(
                "vDisk",
                &[
                    "VM|Disk|Disk Key|Disk Path|Capacity MiB|Raw|Disk Mode|Sharing mode|Thin|Controller|Label|Unit #|Shared Bus|Path|Raw Comp. Mode|VM ID",
                    "WEBVM|Hard disk 2|2001|x|204800|True|independent_persistent|sharingNone|False|LSI Logic SAS|SCSI controller 1|0|noSharing|[ds1] WEBVM/WEBVM_1.vmdk|virtualMode|vm-21",
                    "WEBVM|Hard disk 1|2000|x|61440|False|persistent|sharingNone|True|VMware paravirtual SCSI|SCSI controller 0|0|noSharing|[ds1] WEBVM/WEBVM.vmdk||vm-21",
                ],
            ),
            sheet(
                "vNetwork",
                &[
                    "VM|NIC label|Adapter|Network|Connected|Mac Address|IPv4 Address|IPv6 Address|VM ID",
                    "WEBVM|Network adapter 1|Vmxnet3|VM Network|True|00:50:56:01:02:03|10.0.0.4, 10.0.0.5|fe80::1|vm-21",
                ],
            ),
            sheet(
                "vPartition",
                &[
                    "VM|Disk|Capacity MiB|Consumed MiB|Free MiB|VM ID",
                    "WEBVM|C:\\|60000|40000|20000|vm-21",
                ],
            ),
            sheet("vSnapshot", &["VM|Name|Description|VM ID", "WEBVM|before patch||vm-21"]),
            sheet(
                "vTools",
                &["VM|Tools|Tools Version|VM ID", "WEBVM|toolsOld|10304|vm-21"],
            ),
            sheet(
                "vHost",
                &[
                    "Host|Datacenter|Cluster|ESX Version",
                    "esx1|DC|C1|VMware ESXi 7.0.3 build-21313628",
                ],
            ),
        ]
    }

    #[test]
    fn a_workbook_of_rvtools_gives_machines_with_details() {
        let found = read(&workbook()).unwrap();
        assert!(found.rvtools);
        let [vm] = &found.inventory.vms[..] else {
            panic!("{:?}", found.inventory.vms)
        };
        assert_eq!((vm.moref.as_str(), vm.cpus, vm.memory_mib), ("vm-21", 4, 8192));
        assert_eq!(vm.storage_bytes, 30 * GIB);
        assert_eq!(
            vm.guest_full_name.as_deref(),
            Some("Microsoft Windows Server 2019 (64-bit)")
        );
        assert_eq!(vm.tools_status.as_deref(), Some("guestToolsRunning"));
        let d = vm.details.as_ref().unwrap();
        let labels: Vec<_> = d
            .disks
            .iter()
            .map(|d| (d.label.as_str(), d.capacity_bytes / GIB))
            .collect();
        assert_eq!(
            labels,
            [("Hard disk 1", 60), ("Hard disk 2", 200)],
            "the one that boots is first"
        );
        assert_eq!(d.disks[1].raw.as_deref(), Some("virtualMode"));
        assert_eq!(d.disks[1].mode.as_deref(), Some("independent_persistent"));
        assert_eq!(d.disks[0].file.as_deref(), Some("[ds1] WEBVM/WEBVM.vmdk"));
        assert_eq!(
            d.addresses.iter().map(|a| a.ip.as_str()).collect::<Vec<_>>(),
            ["10.0.0.4", "10.0.0.5", "fe80::1"]
        );
        assert_eq!(d.volumes[0].free_bytes, 20_000 << 20);
        assert_eq!(d.snapshots[0].name, "before patch");
        assert_eq!(d.tools_version.as_deref(), Some("10304"));
        assert_eq!(found.inventory.hosts[0].version, "7.0.3");
        assert_eq!(found.inventory.vcenter_uuid, "VC-1");
        let [other] = &found.refused[..] else {
            panic!("{:?}", found.refused)
        };
        assert_eq!(other.line, 4);
        assert!(other.reason.contains("east.contoso.com"), "{}", other.reason);
    }

    #[test]
    fn older_and_technical_column_names_are_read() {
        for (header, row) in [
            (
                "VM|Powerstate|CPUs|Memory|In Use MB|VM ID",
                "WEBVM|poweredOn|4|8192|30720|vm-21",
            ),
            (
                "vInfoVMName|vInfoPowerstate|vInfoCPUs|vInfoMemory|vInfoInUse|vInfoUUID",
                "WEBVM|poweredOn|4|8192|30720|5012-A",
            ),
            ("Name|State|vCPU|RAM (GB)|Used GB", "WEBVM|Powered On|4|8|30"),
            ("Virtual machine|Power|Cores|Memory|Storage", "WEBVM|on|4|8 GB|0.03 TB"),
        ] {
            let found = read(&[sheet("RVTools_tabvInfo", &[header, row])]).unwrap();
            let vm = &found.inventory.vms[0];
            assert_eq!(
                (vm.power_state.as_str(), vm.cpus, vm.memory_mib),
                ("poweredOn", 4, 8192),
                "{header}"
            );
            assert_eq!(vm.storage_bytes / GIB, 30, "{header}");
        }
    }

    #[test]
    fn a_table_of_another_program_names_its_machines() {
        let found = read(&[sheet(
            "servers",
            &["Made by hand", "", "Server|CPU|IP", "web|2|10.0.0.4", "", "sql|4|"],
        )])
        .unwrap();
        assert!(!found.rvtools);
        let names: Vec<_> = found.inventory.vms.iter().map(|v| v.moref.as_str()).collect();
        assert_eq!(names, ["import/web", "import/sql"]);
    }

    #[test]
    fn rows_that_cannot_be_read_are_named_with_line_and_reason() {
        let found = read(&[sheet(
            "vInfo",
            &[
                "VM|CPUs|Memory MiB|VM ID",
                "a|two|4096|vm-1",
                "b|2|lots|vm-2",
                "|2|4096|vm-3",
                "c|2|4096|vm-4",
                "c2|2|4096|vm-4",
                "d|2|2|vm-5",
                "e|1.5|4096|vm-6",
            ],
        )])
        .unwrap();
        let refused: Vec<_> = found.refused.iter().map(|r| (r.line, r.reason.as_str())).collect();
        assert_eq!(
            refused,
            [
                (2, "CPUs: `two` is not a number."),
                (3, "Memory MiB: `lots` is not a size."),
                (4, "There is no name."),
                (6, "c2 stands in line 5 already."),
                (7, "Memory MiB: `2` is not the memory of a machine; look at its unit."),
                (8, "CPUs: `1.5` is not a number."),
            ]
        );
        assert_eq!(found.inventory.vms.len(), 1);
    }

    #[test]
    fn a_disk_that_cannot_be_read_leaves_no_half_of_the_disks() {
        let mut sheets = workbook();
        sheets[1].rows[1].cells[4] = "much".into();
        let found = read(&sheets).unwrap();
        assert_eq!(found.inventory.vms[0].details, None);
        assert!(found.refused.iter().any(|r| r.sheet == "vDisk" && r.line == 2));
        let mut sheets = workbook();
        sheets[1].rows.remove(1);
        assert_eq!(
            read(&sheets).unwrap().inventory.vms[0].details,
            None,
            "one of two is missing"
        );
    }

    #[test]
    fn a_column_in_another_unit_refuses_the_file() {
        let error = read(&[sheet("list", &["Name|Memory", "a|8", "b|32"])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The numbers in the column `Memory` of list can't be MiB: the largest is 32 MiB. Name the column `Memory GiB`, or write the unit behind each number."
        );
        let mut sheets = workbook();
        for row in &mut sheets[1].rows[1..] {
            row.cells[4] = "60".into();
        }
        assert!(matches!(read(&sheets), Err(ImportError::Unit { column, .. }) if column == "Capacity MiB"));
        assert_eq!(read(&[sheet("x", &["a|b", "1|2"])]), Err(ImportError::NoMachines));
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, comma, want) in [
            ("8192", false, 8192.0),
            ("8,192", false, 8192.0),
            ("8.192", true, 8192.0),
            ("8.192", false, 8.192),
            ("8,5", true, 8.5),
            ("8,5", false, 8.5),
            ("1.234.567", false, 1_234_567.0),
            ("1.234,5", true, 1234.5),
            ("1,234.5", false, 1234.5),
            ("8\u{a0}192", true, 8192.0),
            ("1'234", false, 1234.0),
        ] {
            assert_eq!(number(text, comma), Some(want), "{text}");
        }
        for text in ["", "x", "1-2", "--", "inf", "NaN"] {
            assert_eq!(number(text, false), None, "{text}");
        }
    }

    #[test]
    fn too_many_machines_are_refused() {
        let mut all = sheet("vInfo", &["VM|CPUs"]);
        all.rows.extend((0..=MAX_MACHINES).map(|n| Row {
            line: n as u32 + 2,
            cells: vec![format!("vm{n}"), "1".into()],
        }));
        assert_eq!(read(&[all]), Err(ImportError::TooMany(MAX_MACHINES + 1)));
    }
}
