//! Where Azure is. The only module that holds host names; every other address comes from the connection.
//!
//! The three clouds are those that Microsoft's tools know by name (Azure CLI, `azure/cli/core/cloud.py`). A custom cloud
//! (Azure Stack Hub, a sovereign cloud) describes itself: its resource manager tells anybody where the rest is
//! ([`discover`]). The price list is the public cloud's alone: Microsoft says that it knows the commercial cloud's prices
//! only. A custom cloud may have one of the same shape.

use crate::{
    AzureError, Network,
    redact::Known,
    transport::{self, Call},
};
use plan::{
    Trace,
    design::{AzureConnection, Cloud},
};
use reqwest::Method;
use serde_json::Value;
use url::{Host, Url};

/// The addresses of a cloud.
struct Addresses {
    name: &'static str,
    arm: &'static str,
    authority: &'static str,
    blob: &'static str,
    sql: &'static str,
    portal: &'static str,
    prices: &'static str,
}

const PUBLIC: Addresses = Addresses {
    name: "Azure",
    arm: "https://management.azure.com",
    authority: "https://login.microsoftonline.com",
    blob: "https://{account}.blob.core.windows.net",
    sql: "database.windows.net",
    portal: "https://portal.azure.com",
    prices: "https://prices.azure.com",
};

const US_GOVERNMENT: Addresses = Addresses {
    name: "Azure US Government",
    arm: "https://management.usgovcloudapi.net",
    authority: "https://login.microsoftonline.us",
    blob: "https://{account}.blob.core.usgovcloudapi.net",
    sql: "database.usgovcloudapi.net",
    portal: "https://portal.azure.us",
    prices: "",
};

const CHINA: Addresses = Addresses {
    name: "Azure in China (21Vianet)",
    arm: "https://management.chinacloudapi.cn",
    authority: "https://login.chinacloudapi.cn",
    blob: "https://{account}.blob.core.chinacloudapi.cn",
    sql: "database.chinacloudapi.cn",
    portal: "https://portal.azure.cn",
    prices: "",
};

/// Nothing is known of a custom cloud beforehand.
const CUSTOM: Addresses = Addresses {
    name: "Another cloud",
    arm: "",
    authority: "",
    blob: "",
    sql: "",
    portal: "",
    prices: "",
};

/// The clouds to choose from.
pub const ALL: [Cloud; 4] = [Cloud::Public, Cloud::UsGovernment, Cloud::China, Cloud::Custom];

/// Version of the description that a cloud gives of itself.
const METADATA: &str = "/metadata/endpoints?api-version=2022-09-01";

fn addresses(cloud: Cloud) -> &'static Addresses {
    match cloud {
        Cloud::Public => &PUBLIC,
        Cloud::UsGovernment => &US_GOVERNMENT,
        Cloud::China => &CHINA,
        Cloud::Custom => &CUSTOM,
    }
}

/// The cloud's name for people.
pub fn name(cloud: Cloud) -> &'static str {
    addresses(cloud).name
}

/// Returns a connection to a cloud, without tenant, application and subscription. Of a custom cloud, nothing is known.
pub fn of(cloud: Cloud) -> AzureConnection {
    complete(&AzureConnection {
        cloud,
        ..AzureConnection::default()
    })
}

/// Returns a connection to the public cloud, without tenant, application and subscription.
pub fn public() -> AzureConnection {
    of(Cloud::Public)
}

/// Fills empty addresses with those of the connection's cloud, and takes slashes off their ends.
pub fn complete(c: &AzureConnection) -> AzureConnection {
    let own = addresses(c.cloud);
    let or = |given: &str, default: &str| {
        let given = given.trim().trim_end_matches('/');
        if given.is_empty() { default } else { given }.to_owned()
    };
    AzureConnection {
        arm_url: or(&c.arm_url, own.arm),
        authority_url: or(&c.authority_url, own.authority),
        blob_url: or(&c.blob_url, own.blob),
        sql_suffix: or(&c.sql_suffix, own.sql),
        portal_url: or(&c.portal_url, own.portal),
        price_url: or(&c.price_url, own.prices),
        ..c.clone()
    }
}

/// Makes cloud and addresses agree before a connection is saved. A resource manager that is none of the three clouds'
/// makes it a custom one; a known cloud gets its own addresses, whatever was in the fields.
#[must_use]
pub fn settled(c: AzureConnection) -> AzureConnection {
    let known = |arm: &str| ALL.into_iter().find(|k| addresses(*k).arm == arm);
    let given = c.arm_url.trim().trim_end_matches('/');
    let cloud = match known(given) {
        // An address that was filled in for another choice of cloud does not count.
        Some(_) => c.cloud,
        None => Cloud::Custom,
    };
    if cloud == Cloud::Custom {
        return complete(&AzureConnection { cloud, ..c });
    }
    let own = of(cloud);
    AzureConnection {
        tenant_id: c.tenant_id,
        client_id: c.client_id,
        subscription_id: c.subscription_id,
        sign_in: c.sign_in,
        proxy: c.proxy,
        ca_pem: c.ca_pem,
        ..own
    }
}

/// Asks a custom cloud's resource manager where the rest of it is, and fills what is empty.
///
/// # Errors
/// Fails when it can't be reached, or when what it says is no description of a cloud.
pub async fn discover(
    c: &AzureConnection,
    network: &Network,
    trace: Option<&dyn Trace>,
) -> Result<AzureConnection, AzureError> {
    let base = address("resource manager address", c.arm_url.trim())?;
    let url = metadata_url(&base)?;
    let known = Known::default();
    let call = Call::new("azure", Method::GET, url.clone()).header("accept", "application/json");
    let answer = transport::send(&network.client(&base)?, call, &known, trace).await?;
    let wrong = |path: String, message: String| AzureError::Parse {
        method: "GET".into(),
        url: known.url(&url),
        path,
        message,
    };
    let body: Value = crate::error::read(&answer.body).map_err(|(path, message)| wrong(path, message))?;
    // An array since 2022-09-01, one object before; a cloud may describe its neighbours too.
    let arm = base.as_str().trim_end_matches('/');
    let own = match &body {
        Value::Array(clouds) => clouds
            .iter()
            .find(|k| text(k, "/resourceManager").is_some_and(|a| a.trim_end_matches('/') == arm))
            .or(clouds.first()),
        Value::Object(_) => Some(&body),
        _ => None,
    };
    let own = own.filter(|_| answer.is_success()).ok_or_else(|| {
        wrong(
            String::new(),
            format!("the answer ({}) does not describe a cloud", answer.status),
        )
    })?;
    let missing = |path: &str| wrong(path.to_owned(), "it is not there".into());
    let login = text(own, "/authentication/loginEndpoint").ok_or_else(|| missing("authentication.loginEndpoint"))?;
    let storage = text(own, "/suffixes/storage").ok_or_else(|| missing("suffixes.storage"))?;
    let audience = text(own, "/authentication/audiences/0")
        .map(|a| a.trim_end_matches('/'))
        .filter(|a| *a != arm);
    let or = |given: &str, found: Option<String>| match given.trim() {
        "" => found.unwrap_or_default(),
        given => given.to_owned(),
    };
    Ok(complete(&AzureConnection {
        cloud: Cloud::Custom,
        arm_url: arm.into(),
        audience: or(&c.audience, audience.map(str::to_owned)),
        authority_url: or(&c.authority_url, Some(login.to_owned())),
        blob_url: or(
            &c.blob_url,
            Some(format!("https://{{account}}.blob.{}", storage.trim_start_matches('.'))),
        ),
        sql_suffix: or(
            &c.sql_suffix,
            text(own, "/suffixes/sqlServerHostname").map(|s| s.trim_start_matches('.').to_owned()),
        ),
        portal_url: or(&c.portal_url, text(own, "/portal").map(str::to_owned)),
        ..c.clone()
    }))
}

fn text<'a>(json: &'a Value, pointer: &str) -> Option<&'a str> {
    json.pointer(pointer)?.as_str().filter(|s| !s.is_empty())
}

/// The address at which a cloud describes itself to anybody.
pub(crate) fn metadata_url(base: &Url) -> Result<Url, AzureError> {
    base.join(METADATA).map_err(|e| AzureError::Config {
        field: "resource manager address".into(),
        message: e.to_string(),
    })
}

/// Returns the scope that a token for this resource manager needs.
pub fn scope(c: &AzureConnection) -> String {
    match c.audience.trim().trim_end_matches('/') {
        "" => format!("{}/.default", complete(c).arm_url),
        audience => format!("{audience}/.default"),
    }
}

/// What a token for the cloud's SQL servers is asked for.
pub(crate) fn sql_scope(c: &AzureConnection) -> String {
    format!("https://{}/.default", complete(c).sql_suffix)
}

/// Reads one of the connection's addresses.
///
/// # Errors
/// Fails when it is no URL, or not HTTPS: a token or a key would travel in clear text. Only this computer itself may be
/// addressed without encryption.
pub(crate) fn address(field: &'static str, value: &str) -> Result<Url, AzureError> {
    let wrong = |message: String| AzureError::Config {
        field: field.into(),
        message,
    };
    if value.is_empty() {
        return Err(wrong("it is empty".into()));
    }
    let url = Url::parse(value).map_err(|e| wrong(format!("`{value}` is not a web address: {e}")))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(wrong(format!("`{value}` must start with https://"))),
    }
    if url.host().is_none() || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong(format!(
            "`{value}` must be an address without user name, `?` and `#`"
        )));
    }
    Ok(url)
}

/// Returns the address of a storage account's blob service, without a slash at the end.
pub(crate) fn blob_service(c: &AzureConnection, account: &str) -> Result<Url, AzureError> {
    if account.is_empty() || !account.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(AzureError::Config {
            field: "account".into(),
            message: format!("`{account}` is not the name of a storage account"),
        });
    }
    address("blob address", &complete(c).blob_url.replace("{account}", account))
}

/// Tells whether the address is on this computer.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_addresses_are_the_public_cloud() {
        let c = complete(&AzureConnection {
            arm_url: " https://arm.local/ ".into(),
            ..AzureConnection::default()
        });
        assert_eq!(c.arm_url, "https://arm.local");
        assert_eq!(scope(&c), "https://arm.local/.default");
        assert_eq!(
            blob_service(&c, "contosovmsacc1").unwrap().as_str(),
            "https://contosovmsacc1.blob.core.windows.net/"
        );
        assert!(blob_service(&c, "evil.example/").is_err());
    }

    #[test]
    fn every_known_cloud_is_whole_and_of_one_piece() {
        for cloud in [Cloud::Public, Cloud::UsGovernment, Cloud::China] {
            let c = of(cloud);
            for url in [&c.arm_url, &c.authority_url, &c.portal_url] {
                assert!(address("x", url).is_ok() && !url.ends_with('/'), "{url}");
            }
            // Microsoft's SDKs ask for the resource manager's address as the audience, in each of the three.
            assert_eq!(scope(&c), format!("{}/.default", c.arm_url));
            let suffix = c.sql_suffix.strip_prefix("database.").unwrap();
            let blob = blob_service(&c, "a").unwrap();
            assert_eq!(blob.host_str(), Some(format!("a.blob.core.{suffix}").as_str()));
            assert_eq!(settled(c.clone()), c);
            assert_eq!(c.price_url.is_empty(), cloud != Cloud::Public);
        }
        assert_eq!(of(Cloud::Custom).arm_url, "");
    }

    #[test]
    fn cloud_and_addresses_are_made_to_agree() {
        let filled = AzureConnection {
            cloud: Cloud::China,
            tenant_id: "t".into(),
            ..public()
        };
        let settled_c = settled(filled);
        assert_eq!(
            (settled_c.arm_url.as_str(), settled_c.tenant_id.as_str()),
            (CHINA.arm, "t")
        );
        let foreign = settled(AzureConnection {
            arm_url: "https://arm.local/".into(),
            authority_url: "https://login.local".into(),
            ..AzureConnection::default()
        });
        assert_eq!(
            (foreign.cloud, foreign.arm_url.as_str()),
            (Cloud::Custom, "https://arm.local")
        );
        assert_eq!(foreign.blob_url, "", "a custom cloud borrows nothing");
        // As an older project file has it: nothing but the addresses.
        assert_eq!(settled(AzureConnection::default()), public());
    }

    #[test]
    fn clear_text_is_for_this_computer_only() {
        for good in [
            "https://a",
            "http://127.0.0.1:1",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(address("x", good).is_ok(), "{good}");
        }
        for bad in [
            "http://a",
            "http://127.0.0.1.evil.example",
            "ftp://a",
            "a",
            "",
            "https://u@a",
            "https://a?b",
        ] {
            assert!(address("x", bad).is_err(), "{bad}");
        }
    }
}
