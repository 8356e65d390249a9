//! Retail prices: the one interface that needs no sign-in. Its address is the caller's business (the connection's cloud
//! has one or none), so that no token can ever get there.
//!
//! Microsoft's own page on it was not at hand; the shape is that of several third parties who agree. Filter values are
//! compared with case; a page has up to 1,000 prices.

use super::{Flag, Number, When, model};
use crate::{
    Arm, AzureError, clouds,
    error::Origin,
    operation::relative,
    transport::{self, Call},
};
use reqwest::Method;
use std::collections::HashSet;

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

/// Reads the prices that a filter names, such as `serviceName eq 'SQL Managed Instance' and armRegionName eq 'eastus2'`.
/// `address` is that of the price list, `currency` as in `USD`.
///
/// # Errors
/// Fails when no whole answer comes, when it is refused or has another shape, and when a page leads to another host or
/// back to one that was read.
pub async fn search(arm: &Arm, address: &str, currency: &str, filter: &str) -> Result<Vec<Price>, AzureError> {
    let base = clouds::address("price list address", address)?;
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
        let answer = transport::send(arm.http(), call, arm.known(), arm.trace()).await?;
        let shown = arm.known().url(&url);
        let origin = Origin {
            method: "GET",
            url: &shown,
            known: arm.known(),
        };
        if !answer.is_success() {
            return Err(origin.refusal(&answer));
        }
        let page: PricePage = origin.json(&answer)?;
        all.extend(page.items);
        let Some(next) = page.next_page_link.filter(|l| !l.is_empty()) else {
            return Ok(all);
        };
        url = base.join(&relative(&next, &base, &origin)?).map_err(wrong)?;
        if seen.contains(url.as_str()) {
            return Err(origin.parse_error(
                "NextPageLink".into(),
                "the list's pages lead back to one that was read already",
            ));
        }
    }
}
