//! Shared access signatures for a container, made here: the account key never leaves the process.
//!
//! Version 2021-12-02. The string to sign has 16 lines for a service SAS since 2020-12-06; that order and the encoding
//! were tried against Azurite and against Microsoft's Python library.

use crate::AzureError;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use secrets::Secret;
use sha2::Sha256;
use zeroize::Zeroizing;

pub(crate) const VERSION: &str = "2021-12-02";
/// The order in which Azure wants the permissions.
const ORDER: &str = "racwdxyltfmeopi";

/// Returns a service SAS for a container, without the leading `?`, for HTTPS only. `permissions` are the letters of
/// the right, `rl` for read and list; their order does not matter.
///
/// # Errors
/// Fails when the key is not base64, a permission is unknown, or the expiry is not after the start.
pub fn service_sas(
    account: &str,
    container: &str,
    key: &Secret<String>,
    permissions: &str,
    start: Timestamp,
    expiry: Timestamp,
) -> Result<Secret<String>, AzureError> {
    let wrong = |field: &str, message: &str| AzureError::Config {
        field: field.into(),
        message: message.into(),
    };
    if permissions.is_empty() || permissions.chars().any(|p| !ORDER.contains(p)) {
        return Err(wrong("SAS permissions", "there are none, or unknown ones"));
    }
    if expiry <= start {
        return Err(wrong("SAS expiry", "it is not after the start"));
    }
    let permissions: String = ORDER.chars().filter(|p| permissions.contains(*p)).collect();
    let time = |t: Timestamp| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (start, expiry) = (time(start), time(expiry));
    let to_sign = string_to_sign(account, container, &permissions, &start, &expiry);

    let key = STANDARD.decode(key.expose().trim()).map(Zeroizing::new);
    let key = key.map_err(|_| wrong("storage account key", "it is not base64"))?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key).map_err(|_| wrong("storage account key", "it has an unusable length"))?;
    mac.update(to_sign.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());

    let mut token = url::form_urlencoded::Serializer::new(String::new());
    token
        .append_pair("sv", VERSION)
        .append_pair("spr", "https")
        .append_pair("st", &start)
        .append_pair("se", &expiry)
        .append_pair("sr", "c")
        .append_pair("sp", &permissions)
        .append_pair("sig", &signature);
    Ok(Secret::new(token.finish()))
}

fn string_to_sign(account: &str, container: &str, permissions: &str, start: &str, expiry: &str) -> String {
    // A folder has no SAS of its own without a hierarchical namespace.
    let container = container.split('/').next().unwrap_or(container);
    let resource = format!("/blob/{account}/{container}");
    [
        permissions,
        start,
        expiry,
        &resource, // what, when, where
        "",
        "",
        "https",
        VERSION,
        "c", // stored policy, addresses, protocol, version, kind of resource
        "",
        "", // snapshot, encryption scope
        "",
        "",
        "",
        "",
        "", // headers of the answer: cache control, disposition, encoding, language, type
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(t: &str) -> Timestamp {
        t.parse().unwrap()
    }

    fn made(permissions: &str) -> Result<Secret<String>, AzureError> {
        let key = Secret::from("cmVob3N0LXRlc3Qta2V5LTAxMjM0NTY3ODkwMTIzNDU2Nzg5");
        let (start, expiry) = (at("2026-11-21T18:45:00Z"), at("2026-11-28T19:00:00.9Z"));
        service_sas("contosobackup", "smarthotel", &key, permissions, start, expiry)
    }

    /// The signature was computed by Python's `hmac`.
    #[test]
    fn golden() {
        assert_eq!(
            string_to_sign(
                "contosobackup",
                "smarthotel",
                "rl",
                "2026-11-21T18:45:00Z",
                "2026-11-28T19:00:00Z"
            ),
            "rl\n2026-11-21T18:45:00Z\n2026-11-28T19:00:00Z\n/blob/contosobackup/smarthotel\n\n\nhttps\n2021-12-02\nc\n\n\n\n\n\n\n"
        );
        let sas = made("lr").unwrap();
        assert_eq!(
            sas.expose(),
            "sv=2021-12-02&spr=https&st=2026-11-21T18%3A45%3A00Z&se=2026-11-28T19%3A00%3A00Z&sr=c&sp=rl&sig=iGRO5Ps6zeq8zLOdhXXndBMpZbXlyPSjBAOi%2BLZJllw%3D"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(made("").is_err());
        assert!(made("rz").is_err());
        let bad_key = Secret::from("not base64!");
        let (start, expiry) = (at("2026-11-21T18:45:00Z"), at("2026-11-28T19:00:00Z"));
        let error = service_sas("a", "b", &bad_key, "rl", start, expiry).unwrap_err();
        assert!(!error.to_string().contains("not base64!"));
        assert!(service_sas("a", "b", &Secret::from("AAAA"), "rl", expiry, start).is_err());
    }
}
