//! What a plan's resources cost: the billable lines of a plan, and how each finds its price in the retail price list.
//! Pure: whoever has a network reads the rows that [`Line::filter`] names and hands them to [`sum`].
//!
//! The lines come from the bodies that the plan will send, so that what is priced is what is made. Names of products,
//! SKUs and meters are those on which several third parties agree (2026-10, not verified against the list itself), so
//! one may have changed. That must never give a wrong figure: a price is taken only from pay-as-you-go rows (no
//! reservation, DevTest, Spot, Low Priority or Cloud Services) of the right meter and unit, and only when all such rows
//! agree. A line without such a price says so, and the sum names it.
//!
//! * A month has 730 hours, as in Microsoft's calculator. Amounts of a month are rounded to hundredths before they are
//!   added, so that the sum is that of the figures shown.
//! * The sum holds what stays after the migration. What ends with it (Site Recovery) has its price, and is not added.
//! * A managed instance's vCores are listed each (`vCore`) or by the size (`8 vCore`): either is taken. Its SQL licence is
//!   a meter of its own, listed for the region `Global`. The first 32 GB of its storage are included (from memory, and as
//!   third parties count; the list does not say so).
//! * Premium SSDs are charged by the next larger size of the ladder, whatever the disk holds.
//! * Azure Migrate's replication has no line: which meter it uses, and when, could not be established.

use crate::{
    address::Address,
    design::Design,
    inventory::Inventory,
    task::{Action, Plan},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Hours of a month.
pub const HOURS: f64 = 730.0;
/// GB of a managed instance's storage that are included.
const INCLUDED_GB: u32 = 32;
/// The region of prices that hold everywhere.
const GLOBAL: &str = "Global";
const HOUR: &str = "1 Hour";
const MONTH: &str = "1/Month";

/// Sizes of Premium SSDs: name and GiB. Source: learn.microsoft.com, `KnownAzureDiskSize` (names); PSRule for Azure,
/// `Azure.VM.DiskSizeAlignment` (sizes).
const PREMIUM: [(&str, u64); 14] = [
    ("P1", 4),
    ("P2", 8),
    ("P3", 16),
    ("P4", 32),
    ("P6", 64),
    ("P10", 128),
    ("P15", 256),
    ("P20", 512),
    ("P30", 1024),
    ("P40", 2048),
    ("P50", 4096),
    ("P60", 8192),
    ("P70", 16_384),
    ("P80", 32_767),
];

/// A row of the retail price list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub service: String,
    pub product: String,
    pub sku: String,
    pub arm_sku: String,
    pub meter: String,
    pub region: String,
    /// `1 Hour`, `1 GB/Month`, `1/Month`.
    pub unit: String,
    /// `Consumption`, `Reservation`, `DevTestConsumption`.
    pub kind: String,
    /// A row of the meter's primary region goes before others.
    pub primary: bool,
    pub price: f64,
}

/// Something that Azure charges, and its price once the list was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "CostLine")]
pub struct Line {
    /// `contoso-sqlmi: 8 vCores, General Purpose, Gen5`.
    pub what: String,
    /// What the price does not say; empty = nothing.
    pub note: String,
    /// The tasks whose words on cost this is a figure for.
    pub tasks: Vec<Address>,
    /// It stays after the migration, and is part of the sum.
    pub lasts: bool,
    pub price: Option<Price>,
    /// Why there is no price.
    pub missing: Option<String>,
    #[serde(skip)]
    #[ts(skip)]
    meter: Option<Meter>,
}

/// A price that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export, rename = "CostPrice")]
pub struct Price {
    pub quantity: f64,
    /// Of one unit.
    pub unit_price: f64,
    /// As the list has it: `1 Hour`, `1 GB/Month`.
    pub unit: String,
    /// Of what is charged by the hour.
    pub per_hour: Option<f64>,
    /// In hundredths.
    pub per_month: f64,
    /// Product, SKU and meter as the list has them.
    pub meter: String,
}

/// The lines of a plan with their sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ts_rs::TS)]
#[serde(rename_all = "camelCase")]
#[ts(export)]
pub struct Costs {
    pub lines: Vec<Line>,
    /// Of the lines that last and have a price; none when there is no such line.
    pub per_month: Option<f64>,
    /// Lines that last and have no price: the sum lacks them.
    pub missing: Vec<String>,
    /// What the plan says of costs that depend on use; no line holds them.
    pub by_use: Vec<String>,
}

/// How a line is found in the list.
#[derive(Debug, Clone, PartialEq)]
struct Meter {
    service: &'static str,
    product: Product,
    /// The meter has one of these names; empty = any.
    names: Vec<String>,
    /// SKU and how many of it are charged, the best first; an empty SKU is any.
    skus: Vec<(String, f64)>,
    /// The best first.
    regions: Vec<String>,
    unit: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
enum Product {
    Named(String),
    /// A virtual machine of this size, with or without the Windows licence in its price.
    Machine {
        size: String,
        windows: bool,
    },
}

impl Line {
    fn new(what: String, tasks: Vec<Address>, meter: Result<Meter, String>) -> Self {
        let (meter, missing) = match meter {
            Ok(meter) => (Some(meter), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            what,
            note: String::new(),
            tasks,
            lasts: true,
            price: None,
            missing,
            meter,
        }
    }

    fn note(mut self, note: &str) -> Self {
        self.note = note.into();
        self
    }

    /// The rows of the price list among which the line's price is; none when no meter is known for it.
    pub fn filter(&self) -> Option<String> {
        self.meter.as_ref().map(Meter::filter)
    }
}

impl Meter {
    fn filter(&self) -> String {
        let mut of = vec![("serviceName", self.service)];
        of.push(match &self.product {
            Product::Named(name) => ("productName", name),
            Product::Machine { size, .. } => ("armSkuName", size),
        });
        if let [region] = self.regions.as_slice() {
            of.push(("armRegionName", region));
        }
        of.push(("priceType", "Consumption"));
        let all: Vec<_> = of
            .into_iter()
            .map(|(field, value)| format!("{field} eq '{}'", value.replace('\'', "''")))
            .collect();
        all.join(" and ")
    }

    fn fits(&self, row: &Row) -> bool {
        let product = match &self.product {
            Product::Named(name) => row.product == *name,
            Product::Machine { size, windows } => {
                row.arm_sku.eq_ignore_ascii_case(size)
                    && row.product.starts_with("Virtual Machines ")
                    && !row.product.contains("Cloud")
                    && row.product.ends_with(" Windows") == *windows
            }
        };
        let lesser = ["Spot", "Low Priority"]
            .iter()
            .any(|word| row.sku.contains(word) || row.meter.contains(word));
        product
            && !lesser
            && row.kind == "Consumption"
            && row.service == self.service
            && row.unit == self.unit
            && (self.names.is_empty() || self.names.contains(&row.meter))
    }

    /// Chooses the one price of this meter, or says why there is none.
    fn choose(&self, rows: &[Row]) -> Result<Price, String> {
        for ((sku, quantity), region) in self.skus.iter().flat_map(|s| self.regions.iter().map(move |r| (s, r))) {
            let found: Vec<&Row> = rows
                .iter()
                .filter(|r| self.fits(r) && r.region.eq_ignore_ascii_case(region) && (sku.is_empty() || r.sku == *sku))
                .collect();
            let Some(row) = found.iter().find(|r| r.primary).or(found.first()) else {
                continue;
            };
            let mut rivals = found.iter().filter(|r| r.primary == row.primary);
            if rivals.any(|r| r.price.total_cmp(&row.price).is_ne()) {
                return Err("The price list has several prices for it, and none is certain.".into());
            }
            let per_unit = row.price * quantity;
            let hourly = self.unit == HOUR;
            return Ok(Price {
                quantity: *quantity,
                unit_price: row.price,
                unit: row.unit.clone(),
                per_hour: hourly.then_some(per_unit),
                per_month: hundredths(if hourly { per_unit * HOURS } else { per_unit }),
                meter: [&row.product, &row.sku, &row.meter].map(String::as_str).join(" · "),
            });
        }
        Err("It was not found in the price list.".into())
    }
}

fn hundredths(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

/// The lines of a plan, in the order of the steps, without prices. The sizes of disks come from the inventory.
pub fn lines(plan: &Plan, design: &Design, inventory: &Inventory) -> Vec<Line> {
    let mut lines = vec![];
    if let Some(body) = put(plan, "managed-instance") {
        lines.extend(instance(plan, design, body));
    }
    if let Some(body) = put(plan, "protect") {
        lines.extend(machine(plan, design, inventory, body));
    }
    lines
}

/// Gives each line its price, and adds. `rows` of all the lines' filters; none = there is no price list.
pub fn sum(plan: &Plan, mut lines: Vec<Line>, rows: Option<&[Row]>) -> Costs {
    for line in &mut lines {
        let Some(meter) = &line.meter else { continue };
        let chosen = match rows {
            Some(rows) => meter.choose(rows),
            None => Err("There is no price list for this cloud.".into()),
        };
        (line.price, line.missing) = match chosen {
            Ok(price) => (Some(price), None),
            Err(why) => (None, Some(why)),
        };
    }
    let lasting = || lines.iter().filter(|l| l.lasts);
    let amounts: Vec<f64> = lasting()
        .filter_map(|l| l.price.as_ref())
        .map(|p| p.per_month)
        .collect();
    let mut by_use: Vec<String> = vec![];
    for task in plan.tasks() {
        if let Some(words) = &task.cost
            && !by_use.contains(words)
            && !lines.iter().any(|l| l.tasks.contains(&task.address))
        {
            by_use.push(words.clone());
        }
    }
    Costs {
        per_month: (!amounts.is_empty()).then(|| hundredths(amounts.iter().sum())),
        missing: lasting()
            .filter(|l| l.price.is_none())
            .map(|l| l.what.clone())
            .collect(),
        by_use,
        lines,
    }
}

/// The body of the request of the first task of this kind.
fn put<'a>(plan: &'a Plan, kind: &str) -> Option<&'a Value> {
    plan.tasks()
        .filter(|t| t.address.kind() == kind)
        .find_map(|t| match &t.action {
            Action::Put { body, .. } => Some(body),
            _ => None,
        })
}

/// The tasks of these kinds that have something to say about cost.
fn tasks(plan: &Plan, kinds: &[&str]) -> Vec<Address> {
    plan.tasks()
        .filter(|t| t.cost.is_some() && kinds.contains(&t.address.kind()))
        .map(|t| t.address.clone())
        .collect()
}

fn instance(plan: &Plan, design: &Design, body: &Value) -> Vec<Line> {
    let name = &design.mi.name;
    let of = tasks(plan, &["managed-instance"]);
    let sku = text(body, "/sku/name");
    let (Some(tier), Some(family)) = (
        match sku.split('_').next() {
            Some("GP") => Some("General Purpose"),
            Some("BC") => Some("Business Critical"),
            _ => None,
        },
        sku.split('_').nth(1).filter(|f| *f == "Gen5"),
    ) else {
        let why = format!("No meter is known for the hardware {sku}.");
        return vec![Line::new(format!("{name}: compute, licence and storage"), of, Err(why))];
    };
    let (vcores, gb) = (
        number(body, "/properties/vCores"),
        number(body, "/properties/storageSizeInGB"),
    );
    let meter = |part: &str, names: &[&str], skus: Vec<(String, f64)>, unit| Meter {
        service: "SQL Managed Instance",
        product: Product::Named(format!("SQL Managed Instance {tier} - {part}")),
        names: names.iter().map(|n| (*n).to_owned()).collect(),
        skus,
        regions: vec![design.location.clone()],
        unit,
    };
    let whole = format!("{vcores} vCore");
    let each = ("vCore".to_owned(), f64::from(vcores));
    let mut lines = vec![Line::new(
        format!("{name}: {vcores} vCores, {tier}, {family}"),
        of.clone(),
        Ok(meter(
            &format!("Compute {family}"),
            &["vCore", &whole],
            vec![(whole.clone(), 1.0), each.clone()],
            HOUR,
        )),
    )];
    if text(body, "/properties/licenseType") == "LicenseIncluded" {
        let mut licence = meter("SQL License", &["vCore"], vec![each], HOUR);
        licence.regions.push(GLOBAL.into());
        lines.push(
            Line::new(
                format!("{name}: SQL Server licence for {vcores} vCores"),
                of.clone(),
                Ok(licence),
            )
            .note("With licences of your own (Azure Hybrid Benefit) it is not charged."),
        );
    }
    let charged = f64::from(gb.saturating_sub(INCLUDED_GB));
    lines.push(
        Line::new(
            format!("{name}: {gb} GB of storage"),
            of,
            Ok(meter(
                "Storage",
                &[&format!("{tier} Data Stored"), "Data Stored"],
                vec![(String::new(), charged)],
                "1 GB/Month",
            )),
        )
        .note("The first 32 GB are included, as far as is known; the price list does not say so."),
    );
    lines
}

fn machine(plan: &Plan, design: &Design, inventory: &Inventory, body: &Value) -> Vec<Line> {
    let details = |part: &str| format!("/properties/providerSpecificDetails/{part}");
    let name = &design.web_vm;
    let size = text(body, &details("targetVmSize"));
    let vm = inventory.vm(name);
    // Until vCenter was asked, the scenario's system.
    let windows = vm
        .and_then(|v| v.guest_id.as_deref())
        .is_none_or(|g| g.to_ascii_lowercase().starts_with("win"));
    let brought = text(body, &details("licenseType")) == "WindowsServer";
    let system = match (windows, brought) {
        (true, false) => "with Windows",
        (true, true) => "with a Windows licence of your own",
        (false, _) => "without an operating system's licence",
    };
    let region = vec![design.location.clone()];
    let mut lines = vec![
        Line::new(
            format!("{name}: {size}, {system}"),
            tasks(plan, &["test-failover", "failover", "test-migrate", "migrate"]),
            Ok(Meter {
                service: "Virtual Machines",
                product: Product::Machine {
                    size: size.to_owned(),
                    windows: windows && !brought,
                },
                names: vec![],
                skus: vec![(String::new(), 1.0)],
                regions: region.clone(),
                unit: HOUR,
            }),
        )
        .note("The copy of a test costs as much by the hour while it runs."),
    ];
    let disk_type = [details("disksDefault/diskType"), details("disksToInclude/0/diskType")]
        .iter()
        .map(|p| text(body, p))
        .find(|t| !t.is_empty())
        .unwrap_or_default();
    let of_disks = tasks(plan, &["protect", "project"]);
    let sizes: Vec<u64> = vm.iter().flat_map(|v| v.disk_bytes()).collect();
    let unknown = |why: String| Line::new(format!("{name}: disks"), of_disks.clone(), Err(why));
    if disk_type != "Premium_LRS" {
        lines.push(unknown(format!("No meter is known for disks of type {disk_type}.")));
    } else if sizes.is_empty() {
        lines.push(unknown(
            "The sizes of its disks are not known. Test vCenter in Connect and read the inventory, then read the prices again.".into(),
        ));
    } else {
        let mut ladder: BTreeMap<(u64, &str), u32> = BTreeMap::new();
        for bytes in sizes {
            let gib = bytes.div_ceil(1 << 30);
            // A larger disk than the largest has a finding of its own.
            let (step, gib) = PREMIUM.into_iter().find(|(_, g)| *g >= gib).unwrap_or(PREMIUM[13]);
            *ladder.entry((gib, step)).or_default() += 1;
        }
        for ((gib, step), count) in ladder {
            let sku = format!("{step} LRS");
            let disks = if count == 1 { "disk" } else { "disks" };
            lines.push(
                Line::new(
                    format!("{name}: {count} {disks} {step}, Premium SSD of {gib} GiB"),
                    of_disks.clone(),
                    Ok(Meter {
                        service: "Storage",
                        product: Product::Named("Premium SSD Managed Disks".into()),
                        names: vec![format!("{sku} Disk")],
                        skus: vec![(sku, count.into())],
                        regions: region.clone(),
                        unit: MONTH,
                    }),
                )
                .note("Charged from the first replication on."),
            );
        }
    }
    if text(body, &details("instanceType")) == "InMageRcm" {
        lines.push(Line {
            lasts: false,
            ..Line::new(
                format!("{name}: Site Recovery while it replicates"),
                tasks(plan, &["vault", "protect"]),
                Ok(Meter {
                    service: "Azure Site Recovery",
                    product: Product::Named("Azure Site Recovery".into()),
                    names: vec!["VM Replicated to Azure".into()],
                    skus: vec![("Azure".into(), 1.0)],
                    regions: region,
                    unit: MONTH,
                }),
            )
            .note("The first 31 days of a machine are free; the replication ends in step 8.")
        });
    }
    lines
}

fn text<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(body: &Value, pointer: &str) -> u32 {
    body.pointer(pointer)
        .and_then(Value::as_u64)
        .and_then(|n| u32::try_from(n).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        design::ReplicationMethod,
        graph,
        inventory::{Disk, Vm, VmDetails},
        smarthotel,
    };

    const GIB: u64 = 1 << 30;

    fn inventory(guest: &str, disks: &[u64]) -> Inventory {
        let vm = |name: &str| Vm {
            name: name.into(),
            guest_id: Some(guest.into()),
            details: Some(VmDetails {
                disks: disks
                    .iter()
                    .map(|&capacity_bytes| Disk {
                        capacity_bytes,
                        ..Disk::default()
                    })
                    .collect(),
                ..VmDetails::default()
            }),
            ..Vm::default()
        };
        Inventory {
            vms: vec![vm("WEBVM"), vm("SQLVM")],
            ..Inventory::default()
        }
    }

    fn planned(design: &Design, inventory: &Inventory) -> (Plan, Vec<Line>) {
        let plan = graph::plan(design, "11111111-2222-3333-4444-555555555555", inventory).unwrap();
        let lines = lines(&plan, design, inventory);
        (plan, lines)
    }

    fn sample() -> (Plan, Vec<Line>) {
        planned(
            &smarthotel::design(),
            &inventory("windows9Server64Guest", &[60 * GIB, 60 * GIB, 200 * GIB]),
        )
    }

    fn row(service: &str, product: &str, sku: &str, meter: &str, unit: &str, price: f64) -> Row {
        Row {
            service: service.into(),
            product: product.into(),
            sku: sku.into(),
            meter: meter.into(),
            region: "eastus2".into(),
            unit: unit.into(),
            kind: "Consumption".into(),
            primary: true,
            price,
            ..Row::default()
        }
    }

    fn sql(part: &str, sku: &str, meter: &str, unit: &str, price: f64) -> Row {
        let product = format!("SQL Managed Instance General Purpose - {part}");
        row("SQL Managed Instance", &product, sku, meter, unit, price)
    }

    fn vm(product: &str, sku: &str, price: f64) -> Row {
        Row {
            arm_sku: "Standard_D4s_v5".into(),
            ..row("Virtual Machines", product, sku, sku, HOUR, price)
        }
    }

    fn disk(meter: &str, price: f64) -> Row {
        let sku = meter.split(" Disk").next().unwrap();
        row("Storage", "Premium SSD Managed Disks", sku, meter, MONTH, price)
    }

    /// A list that has everything, beside much that must not be taken.
    fn list() -> Vec<Row> {
        let dsv5 = "Virtual Machines Dsv5 Series Windows";
        let mut list = vec![
            sql("Compute Gen5", "vCore", "vCore", HOUR, 0.1),
            sql("Compute Gen5", "16 vCore", "vCore", HOUR, 1.6),
            sql(
                "Compute Gen5",
                "8 vCore Zone Redundancy",
                "Zone Redundancy vCore",
                HOUR,
                0.5,
            ),
            Row {
                region: GLOBAL.into(),
                ..sql("SQL License", "vCore", "vCore", HOUR, 0.125)
            },
            Row {
                region: "US Gov".into(),
                ..sql("SQL License", "vCore", "vCore", HOUR, 0.2)
            },
            sql(
                "Storage",
                "General Purpose",
                "General Purpose Data Stored",
                "1 GB/Month",
                0.115,
            ),
            sql("Storage", "Additional IOPS", "Additional IOPS", "1/Month", 0.02),
            vm(dsv5, "D4s v5", 0.376),
            vm("Virtual Machines Dsv5 Series", "D4s v5", 0.192),
            vm(dsv5, "D4s v5 Spot", 0.07),
            vm(dsv5, "D4s v5 Low Priority", 0.075),
            vm("Dsv5 Series Cloud Services", "D4s v5", 0.9),
            disk("P6 LRS Disk", 10.21),
            disk("P6 LRS Disk Mount", 0.7),
            disk("P10 LRS Disk", 19.71),
            row(
                "Azure Site Recovery",
                "Azure Site Recovery",
                "Azure",
                "VM Replicated to Azure",
                MONTH,
                25.0,
            ),
            row(
                "Azure Site Recovery",
                "Azure Site Recovery",
                "System Center",
                "VM Replicated to System Center",
                MONTH,
                16.0,
            ),
        ];
        for kind in ["Reservation", "DevTestConsumption"] {
            let lesser: Vec<Row> = list
                .iter()
                .map(|r| Row {
                    kind: kind.into(),
                    price: r.price / 2.0,
                    ..r.clone()
                })
                .collect();
            list.extend(lesser);
        }
        list.push(Row {
            region: "westeurope".into(),
            ..vm(dsv5, "D4s v5", 0.5)
        });
        // Of another region's meter: it counts only where the meter's own region has no row.
        for row in [vm(dsv5, "D4s v5", 0.6), disk("P15 LRS Disk", 38.015)] {
            list.push(Row { primary: false, ..row });
        }
        list
    }

    fn amounts(costs: &Costs) -> Vec<Option<f64>> {
        costs
            .lines
            .iter()
            .map(|l| l.price.as_ref().map(|p| p.per_month))
            .collect()
    }

    #[test]
    fn the_sample_costs_what_the_list_says_to_the_cent() {
        let (plan, lines) = sample();
        let costs = sum(&plan, lines, Some(&list()));
        let each: Vec<_> = costs.lines.iter().map(|l| l.what.as_str()).collect();
        assert_eq!(
            each,
            [
                "contoso-sqlmi: 8 vCores, General Purpose, Gen5",
                "contoso-sqlmi: SQL Server licence for 8 vCores",
                "contoso-sqlmi: 128 GB of storage",
                "WEBVM: Standard_D4s_v5, with Windows",
                "WEBVM: 2 disks P6, Premium SSD of 64 GiB",
                "WEBVM: 1 disk P15, Premium SSD of 256 GiB",
                "WEBVM: Site Recovery while it replicates",
            ]
        );
        let paid = [584.0, 730.0, 11.04, 274.48, 20.42, 38.02, 25.0];
        assert_eq!(amounts(&costs), paid.map(Some));
        assert_eq!((costs.per_month, costs.missing.as_slice()), (Some(1657.96), &[][..]));
        let compute = costs.lines[0].price.as_ref().unwrap();
        assert_eq!((compute.quantity, compute.per_hour), (8.0, Some(0.8)));
        assert_eq!(costs.lines[2].price.as_ref().unwrap().per_hour, None);
    }

    #[test]
    fn each_line_asks_for_its_own_rows_only() {
        let (_, lines) = sample();
        let filters: Vec<_> = lines.iter().filter_map(Line::filter).collect();
        assert_eq!(
            filters[0],
            "serviceName eq 'SQL Managed Instance' and productName eq 'SQL Managed Instance General Purpose - Compute Gen5' and armRegionName eq 'eastus2' and priceType eq 'Consumption'"
        );
        assert_eq!(
            filters[1],
            "serviceName eq 'SQL Managed Instance' and productName eq 'SQL Managed Instance General Purpose - SQL License' and priceType eq 'Consumption'"
        );
        assert_eq!(
            filters[3],
            "serviceName eq 'Virtual Machines' and armSkuName eq 'Standard_D4s_v5' and armRegionName eq 'eastus2' and priceType eq 'Consumption'"
        );
    }

    #[test]
    fn vcores_are_listed_each_or_by_the_size() {
        let (plan, lines) = sample();
        for (sku, meter, price, quantity, hour) in [
            ("8 vCore", "vCore", 0.72, 1.0, 0.72),
            ("8 vCore", "8 vCore", 0.72, 1.0, 0.72),
            ("vCore", "vCore", 0.1, 8.0, 0.8),
        ] {
            let costs = sum(
                &plan,
                lines.clone(),
                Some(&[sql("Compute Gen5", sku, meter, HOUR, price)]),
            );
            let found = costs.lines[0].price.as_ref().unwrap();
            assert_eq!((found.quantity, found.per_hour), (quantity, Some(hour)), "{sku}");
        }
        let both = [
            sql("Compute Gen5", "vCore", "vCore", HOUR, 0.1),
            sql("Compute Gen5", "8 vCore", "vCore", HOUR, 0.72),
        ];
        let costs = sum(&plan, lines, Some(&both));
        assert_eq!(
            costs.lines[0].price.as_ref().unwrap().per_hour,
            Some(0.72),
            "the size as a whole"
        );
    }

    #[test]
    fn a_price_that_is_not_certain_is_not_taken() {
        let (plan, lines) = sample();
        let mut list = list();
        list.push(vm("Virtual Machines Dsv5 Series Windows", "D4s v5", 0.38));
        list.retain(|r| !r.meter.contains("Data Stored"));
        let costs = sum(&plan, lines, Some(&list));
        let why: Vec<_> = costs.lines.iter().filter_map(|l| l.missing.as_deref()).collect();
        assert_eq!(
            why,
            [
                "It was not found in the price list.",
                "The price list has several prices for it, and none is certain."
            ]
        );
        assert_eq!(
            costs.missing,
            [
                "contoso-sqlmi: 128 GB of storage",
                "WEBVM: Standard_D4s_v5, with Windows"
            ]
        );
        assert_eq!(costs.per_month, Some(1372.44));
    }

    #[test]
    fn without_a_list_everything_is_named_and_nothing_is_added() {
        let (plan, lines) = sample();
        let costs = sum(&plan, lines, None);
        assert_eq!((costs.per_month, costs.missing.len()), (None, 6));
        assert!(
            costs
                .lines
                .iter()
                .all(|l| l.price.is_none() && l.missing.as_deref() == Some("There is no price list for this cloud."))
        );
        assert_eq!(sum(&plan, costs.lines, Some(&[])).per_month, None);
    }

    #[test]
    fn what_is_sent_decides_what_is_charged() {
        let (mut plan, _) = sample();
        let change = |plan: &mut Plan, kind: &str, pointer: &str, value: &str| {
            for task in plan.steps.iter_mut().flat_map(|s| &mut s.tasks) {
                if let Action::Put { body, .. } = &mut task.action
                    && task.address.kind() == kind
                {
                    *body.pointer_mut(pointer).unwrap() = value.into();
                }
            }
        };
        change(&mut plan, "managed-instance", "/properties/licenseType", "BasePrice");
        let details = "/properties/providerSpecificDetails";
        change(&mut plan, "protect", &format!("{details}/licenseType"), "WindowsServer");
        change(
            &mut plan,
            "protect",
            &format!("{details}/disksDefault/diskType"),
            "StandardSSD_LRS",
        );
        let design = smarthotel::design();
        let lines_of = |plan: &Plan| lines(plan, &design, &inventory("windows9Server64Guest", &[60 * GIB]));
        let costs = sum(&plan, lines_of(&plan), Some(&list()));
        assert_eq!(
            amounts(&costs),
            [Some(584.0), Some(11.04), Some(140.16), None, Some(25.0)],
            "{costs:#?}"
        );
        assert_eq!(
            costs.lines[3].missing.as_deref(),
            Some("No meter is known for disks of type StandardSSD_LRS.")
        );
        change(&mut plan, "managed-instance", "/sku/name", "GP_G8IM");
        let first = &sum(&plan, lines_of(&plan), Some(&list())).lines[0];
        assert_eq!(
            first.missing.as_deref(),
            Some("No meter is known for the hardware GP_G8IM.")
        );
    }

    #[test]
    fn each_word_on_cost_has_a_figure_or_is_named() {
        let design = Design {
            replication: ReplicationMethod::VMwareCbt,
            ..smarthotel::design()
        };
        let agentless = planned(&design, &inventory("rhel8_64Guest", &[60 * GIB]));
        assert!(
            agentless
                .1
                .iter()
                .any(|l| l.what.ends_with("without an operating system's licence"))
        );
        for (plan, lines) in [sample(), agentless] {
            let costs = sum(&plan, lines, Some(&list()));
            for task in plan.tasks() {
                let Some(words) = &task.cost else { continue };
                let figured = costs.lines.iter().any(|l| l.tasks.contains(&task.address));
                assert!(figured != costs.by_use.contains(words), "{}: {words}", task.address);
            }
            assert!(costs.lines.iter().all(|l| !l.tasks.is_empty()), "{costs:#?}");
            assert!(costs.by_use.iter().any(|w| w.contains("peering")), "{:?}", costs.by_use);
        }
    }

    #[test]
    fn disks_of_unknown_size_are_said_to_be() {
        let (plan, lines) = planned(&smarthotel::design(), &inventory("windows9Server64Guest", &[]));
        let costs = sum(&plan, lines, Some(&list()));
        assert_eq!(costs.missing, ["WEBVM: disks"]);
        assert!(
            costs.lines[4]
                .missing
                .as_deref()
                .unwrap()
                .contains("read the inventory")
        );
    }
}
