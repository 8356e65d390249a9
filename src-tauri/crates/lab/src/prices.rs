//! The retail price list, for anybody to read. **All figures are invented**: of a plausible order, and true of nothing. Only
//! the shape is that of the real list, with the rows beside the right one that a client must not take: Spot, Low
//! Priority, reservations, DevTest, Cloud Services, shared disks, a licence that is listed for the region `Global` alone.
//!
//! A filter is `field eq 'value'`, joined by `and`; values are compared with case. Stricter than the real list where that
//! finds mistakes of a client: a page is short, so that a few prices make several, and a token is refused, because who
//! sends one gives it away.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

use crate::{arm::compute, gate::Gate};

/// Prices on a page; the real list has up to 1,000.
const PAGE: usize = 5;

/// Currencies with what a dollar is in them: invented.
const CURRENCIES: [(&str, f64); 17] = [
    ("USD", 1.0),
    ("AUD", 1.5),
    ("BRL", 5.0),
    ("CAD", 1.4),
    ("CHF", 0.8),
    ("CNY", 7.0),
    ("DKK", 6.5),
    ("EUR", 0.875),
    ("GBP", 0.75),
    ("INR", 85.0),
    ("JPY", 150.0),
    ("KRW", 1400.0),
    ("NOK", 10.0),
    ("NZD", 1.7),
    ("RUB", 80.0),
    ("SEK", 9.5),
    ("TWD", 32.0),
];

/// What a region's prices are to those of the first: invented.
const REGIONS: [(&str, f64); 6] = [
    ("eastus2", 1.0),
    ("eastus", 1.0),
    ("centralus", 1.05),
    ("westus2", 1.0),
    ("westeurope", 1.2),
    ("northeurope", 1.1),
];

/// Sizes of Premium SSDs, GiB.
const DISKS: [(&str, u32); 14] = [
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

/// `GET /api/retail/prices`.
pub(crate) async fn list(State(gate): State<Arc<Gate>>, uri: Uri, headers: HeaderMap) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return refuse("The price list takes no token, and whoever sends one gives it away.");
    }
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
        .into_owned()
        .collect();
    let asked = |name: &str| query.get(name).map_or("", String::as_str);
    let currency = asked("currencyCode").trim_matches('\'');
    let Some((currency, rate)) = CURRENCIES.iter().find(|(c, _)| *c == currency || currency.is_empty()) else {
        return refuse(&format!("The currency '{currency}' is not supported."));
    };
    let Some(conditions) = conditions(asked("$filter")) else {
        return refuse("The query specified in the URI is not valid: $filter.");
    };
    let skip: usize = asked("$skip").parse().unwrap_or_default();
    let mut found: Vec<Value> = all()
        .into_iter()
        .filter(|row| {
            conditions
                .iter()
                .all(|(field, value)| row[field].as_str() == Some(value))
        })
        .skip(skip)
        .take(PAGE + 1)
        .collect();
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    for row in &mut found {
        row["currencyCode"] = (*currency).into();
        for price in ["retailPrice", "unitPrice"] {
            // Six places, as the real list has them.
            row[price] = ((row[price].as_f64().unwrap_or_default() * rate * 1e6).round() / 1e6).into();
        }
    }
    let next = more.then(|| {
        let mut kept = url::form_urlencoded::Serializer::new(String::new());
        kept.extend_pairs(query.iter().filter(|(name, _)| *name != "$skip"));
        kept.append_pair("$skip", &(skip + PAGE).to_string());
        format!("{}/api/retail/prices?{}", gate.world().cloud.arm_url, kept.finish())
    });
    Json(json!({
        "BillingCurrency": currency, "CustomerEntityId": "Retail", "CustomerEntityType": "Retail",
        "Count": found.len(), "Items": found, "NextPageLink": next,
    }))
    .into_response()
}

fn refuse(message: &str) -> Response {
    let body = json!({"error": {"code": "BadRequest", "message": message}});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// The conditions of a filter, by the names that the fields have in a row.
fn conditions(filter: &str) -> Option<Vec<(&str, String)>> {
    const FIELDS: [&str; 7] = [
        "armRegionName",
        "armSkuName",
        "meterName",
        "productName",
        "serviceName",
        "skuName",
        "priceType",
    ];
    let (mut found, mut rest) = (vec![], filter.trim());
    while !rest.is_empty() {
        let (field, after) = rest.split_once(" eq '")?;
        let field = FIELDS.contains(&field).then_some(field)?;
        let mut value = String::new();
        let mut chars = after.char_indices().peekable();
        // A quote in a value is written twice.
        let end = loop {
            match chars.next()? {
                (_, '\'') if chars.next_if(|(_, c)| *c == '\'').is_some() => value.push('\''),
                (end, '\'') => break end,
                (_, c) => value.push(c),
            }
        };
        found.push((if field == "priceType" { "type" } else { field }, value));
        rest = &after[end + 1..];
        rest = match rest.strip_prefix(" and ") {
            Some(rest) => rest,
            None => rest.is_empty().then_some(rest)?,
        };
    }
    Some(found)
}

/// The whole list, in dollars.
fn all() -> Vec<Value> {
    let mut rows = vec![];
    for (tier, licence) in [("General Purpose", 0.11), ("Business Critical", 0.4)] {
        let product = format!("SQL Managed Instance {tier} - SQL License");
        rows.push(row(
            "Global",
            "SQL Managed Instance",
            &product,
            ["vCore", "vCore", ""],
            "1 Hour",
            licence,
        ));
    }
    for (region, factor) in REGIONS {
        let mut add = |service: &str, product: &str, names: [&str; 3], unit: &str, price: f64| {
            rows.push(row(region, service, product, names, unit, price * factor));
        };
        let sql = "SQL Managed Instance";
        for (tier, vcore, gb) in [("General Purpose", 0.13, 0.12), ("Business Critical", 0.35, 0.28)] {
            let compute = format!("SQL Managed Instance {tier} - Compute Gen5");
            for n in [4_u32, 8, 16, 24, 32, 40, 64, 80] {
                let (size, zones) = (format!("{n} vCore"), format!("{n} vCore Zone Redundancy"));
                add(sql, &compute, [&size, "vCore", ""], "1 Hour", vcore * f64::from(n));
                let more = vcore * 0.6 * f64::from(n);
                add(sql, &compute, [&zones, "Zone Redundancy vCore", ""], "1 Hour", more);
            }
            let storage = format!("SQL Managed Instance {tier} - Storage");
            let meter = format!("{tier} Data Stored");
            add(sql, &storage, [tier, &meter, ""], "1 GB/Month", gb);
            add(
                sql,
                &storage,
                ["Additional IOPS", "Additional IOPS", ""],
                "1/Month",
                0.02,
            );
        }
        for (arm, vcpus) in compute::sizes() {
            let name = arm.trim_start_matches("Standard_").replace('_', " ");
            let series: String = name.chars().filter(|c| !c.is_whitespace()).collect();
            let (letters, version) = series.rsplit_once('v').unwrap_or((&series, ""));
            let letters: String = letters.chars().filter(|c| !c.is_ascii_digit()).collect();
            let version = if version.is_empty() {
                String::new()
            } else {
                format!("v{version}")
            };
            let hour = 0.05 * f64::from(vcpus);
            for (system, price) in [("", hour), (" Windows", hour * 1.9)] {
                let product = format!("Virtual Machines {letters}{version} Series{system}");
                for (kind, part) in [("", 1.0), (" Spot", 0.15), (" Low Priority", 0.2)] {
                    let sku = format!("{name}{kind}");
                    add("Virtual Machines", &product, [&sku, &sku, arm], "1 Hour", price * part);
                }
            }
            let product = format!("{letters}{version} Series Cloud Services");
            add("Virtual Machines", &product, [&name, &name, arm], "1 Hour", hour * 2.5);
        }
        for (name, gib) in DISKS {
            let sku = format!("{name} LRS");
            let month = 0.16 * f64::from(gib);
            for (meter, price) in [("Disk", month), ("Disk Mount", month / 20.0)] {
                let meter = format!("{sku} {meter}");
                add(
                    "Storage",
                    "Premium SSD Managed Disks",
                    [&sku, &meter, ""],
                    "1/Month",
                    price,
                );
            }
        }
        for (sku, price) in [("Azure", 24.0), ("System Center", 15.0)] {
            let meter = format!("VM Replicated to {sku}");
            add(
                "Azure Site Recovery",
                "Azure Site Recovery",
                [sku, &meter, ""],
                "1/Month",
                price,
            );
        }
    }
    let lesser = |row: &Value, kind: &str, part: f64| {
        let mut row = row.clone();
        row["type"] = kind.into();
        for price in ["retailPrice", "unitPrice"] {
            row[price] = (row[price].as_f64().unwrap_or_default() * part).into();
        }
        row
    };
    let more: Vec<Value> = rows
        .iter()
        .filter(|r| r["unitOfMeasure"] == "1 Hour")
        .flat_map(|r| [lesser(r, "DevTestConsumption", 0.6), lesser(r, "Reservation", 5000.0)])
        .collect();
    rows.extend(more);
    rows
}

/// `names`: SKU, meter, and what the resource manager calls the SKU.
fn row(region: &str, service: &str, product: &str, names: [&str; 3], unit: &str, price: f64) -> Value {
    let [sku, meter, arm_sku] = names;
    json!({
        "tierMinimumUnits": 0.0, "retailPrice": price, "unitPrice": price, "armRegionName": region, "location": region,
        "effectiveStartDate": "2026-01-01T00:00:00Z", "meterName": meter, "productName": product, "skuName": sku,
        "serviceName": service, "unitOfMeasure": unit, "type": "Consumption", "isPrimaryMeterRegion": true,
        "armSkuName": arm_sku,
    })
}
