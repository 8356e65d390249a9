//! Where Azure is. The only module that holds host names; every other address comes from the connection.

use crate::AzureError;
use plan::design::AzureConnection;
use url::{Host, Url};

const ARM: &str = "https://management.azure.com";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const BLOB: &str = "https://{account}.blob.core.windows.net";

/// Returns a connection to the public cloud, without tenant, application and subscription.
pub fn public() -> AzureConnection {
    AzureConnection {
        arm_url: ARM.into(),
        authority_url: AUTHORITY.into(),
        blob_url: BLOB.into(),
        ..AzureConnection::default()
    }
}

/// Fills empty addresses with those of the public cloud.
pub fn complete(c: &AzureConnection) -> AzureConnection {
    let or = |given: &str, default: &str| {
        let given = given.trim();
        if given.is_empty() {
            default.to_owned()
        } else {
            given.trim_end_matches('/').to_owned()
        }
    };
    AzureConnection {
        arm_url: or(&c.arm_url, ARM),
        authority_url: or(&c.authority_url, AUTHORITY),
        blob_url: or(&c.blob_url, BLOB),
        ..c.clone()
    }
}

/// Returns the scope that a token for this resource manager needs.
pub fn scope(c: &AzureConnection) -> String {
    format!("{}/.default", complete(c).arm_url)
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
