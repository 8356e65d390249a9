//! Retail prices: the one interface that needs no sign-in. Its address is the caller's business (the connection's cloud
//! has one or none), so that no token can ever get there: it is asked through a [`Network`], not through a client that
//! has tokens.
//!
//! Source: learn.microsoft.com, Azure Retail Prices overview (2021-09-27); that the case of filter values counts and that
//! a page has up to 1,000 prices, since the preview version, is from third parties. Dollars are the price; amounts in
//! other currencies are for orientation.

use super::{Flag, Number, When, model};
use crate::{
    AzureError, Network, clouds,
    error::Origin,
    operation::resolved,
    redact::Known,
    transport::{self, Call},
};
use plan::cost::Row;
use reqwest::Method;
use std::collections::HashSet;

/// The currencies that the list knows.
pub const CURRENCIES: [&str; 17] = [
    "USD", "AUD", "BRL", "CAD", "CHF", "CNY", "DKK", "EUR", "GBP", "INR", "JPY", "KRW", "NOK", "NZD", "RUB", "SEK",
    "TWD",
];

model! {
    pub struct PricePage {
        pub billing_currency: Option<String>,
        #[serde(rename = "Items", alias = "items")]
        pub items: Vec<Price>,
        #[serde(rename = "NextPageLink", alias = "nextPageLink")]
        pub next_page_link: Option<String>,
    }

    pub struct Price {
        pub currency_code: Option<String>,
        pub retail_price: Option<Number>,
        pub unit_price: Option<Number>,
        /// `1 Hour`, `1 GB/Month` …
        pub unit_of_measure: Option<String>,
        pub arm_region_name: Option<String>,
        pub arm_sku_name: Option<String>,
        pub product_name: Option<String>,
        /// Of a managed instance `vCore`, or the size as a whole: `8 vCore`.
        pub sku_name: Option<String>,
        pub meter_name: Option<String>,
        pub service_name: Option<String>,
        /// `Consumption`, `Reservation`, `DevTestConsumption`.
        #[serde(rename = "type")]
        pub kind: Option<String>,
        pub effective_start_date: When,
        pub tier_minimum_units: Option<Number>,
        pub is_primary_meter_region: Option<Flag>,
    }
}

impl Price {
    /// The price as a row to choose from; none when the list names no figure.
    pub fn row(self) -> Option<Row> {
        Some(Row {
            price: self.retail_price?.0,
            service: self.service_name.unwrap_or_default(),
            product: self.product_name.unwrap_or_default(),
            sku: self.sku_name.unwrap_or_default(),
            arm_sku: self.arm_sku_name.unwrap_or_default(),
            meter: self.meter_name.unwrap_or_default(),
            region: self.arm_region_name.unwrap_or_default(),
            unit: self.unit_of_measure.unwrap_or_default(),
            kind: self.kind.unwrap_or_default(),
            primary: self.is_primary_meter_region.is_some_and(|f| f.0),
        })
    }
}

/// Reads the prices that a filter names, such as `serviceName eq 'SQL Managed Instance' and armRegionName eq 'eastus2'`.
/// `address` is that of the price list, `currency` as in `USD`.
///
/// # Errors
/// Fails when no whole answer comes, when it is refused or has another shape, and when a page leads to another host or
/// back to one that was read.
pub async fn search(network: &Network, address: &str, currency: &str, filter: &str) -> Result<Vec<Price>, AzureError> {
    let base = clouds::address("price list address", address)?;
    let (client, known) = (network.client(&base)?, Known::default());
    let wrong = |e: url::ParseError| AzureError::Config {
        field: "price list address".into(),
        message: e.to_string(),
    };
    let mut url = base.join("/api/retail/prices").map_err(wrong)?;
    url.query_pairs_mut()
        .append_pair("api-version", "2023-01-01-preview")
        .append_pair("currencyCode", &format!("'{currency}'"))
        .append_pair("$filter", filter);
    let (mut seen, mut all) = (HashSet::new(), vec![]);
    loop {
        seen.insert(url.to_string());
        let call = Call::new("prices", Method::GET, url.clone()).header("accept", "application/json");
        let answer = transport::send(&client, call, &known, None).await?;
        let origin = Origin {
            method: "GET",
            url: &url,
            known: &known,
        };
        if !answer.is_success() {
            return Err(origin.refusal(&answer));
        }
        let page: PricePage = origin.json(&answer)?;
        all.extend(page.items);
        let Some(next) = page.next_page_link.filter(|l| !l.is_empty()) else {
            return Ok(all);
        };
        let next = resolved(&next, &base, &origin)?;
        if seen.contains(next.as_str()) {
            return Err(origin.parse_error(
                "NextPageLink".into(),
                "the list's pages lead back to one that was read already",
            ));
        }
        url = next;
    }
}
