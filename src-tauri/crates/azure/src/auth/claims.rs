//! What Azure demands of a token beyond being valid: continuous access evaluation.
//!
//! A session was revoked, or a policy wants a second factor or another place: then the resource manager answers 401 with
//! `WWW-Authenticate: Bearer …, claims="BASE64"`, and a new token has to be asked for with these claims. Source: Microsoft,
//! "Claims challenges, claims requests and client capabilities".
//!
//! Decisions. The mark is the parameter `claims`, whatever `error` says: it is `insufficient_claims` in the documentation,
//! and `invalid_token` in challenges of the resource manager. Every request to Entra announces the capability `CP1`, in the
//! parameter `claims` as Microsoft's own library does; so tokens can live longer than an hour, and are revoked at once. A
//! request is repeated once; what the new token does not meet needs a person. Claims go to Entra and nowhere else, except
//! to the person who has to repeat them to the Azure CLI. Managed identities have no such protocol in the versions of their
//! endpoints that `azure_identity` speaks, and continuous access evaluation does not know them: they are asked again, and
//! the same token ends the request.

use super::token_error;
use crate::{AzureError, clouds};
use base64::{
    Engine, alphabet,
    engine::DecodePaddingMode,
    engine::general_purpose::STANDARD,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig},
};
use plan::design::{AzureConnection, SignIn};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use secrets::Secret;
use serde_json::{Value, json};

/// Base64 with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The code of a demand that only a person can meet with the Azure CLI.
pub(crate) const OF_CLI: &str = "ClaimsAzureCli";

/// What an answer demands of the next token: a JSON object.
pub(crate) fn demanded(headers: &HeaderMap) -> Option<Secret<String>> {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
    challenges.filter_map(|c| parameter(c, "claims")).find_map(|encoded| {
        let engine = if encoded.contains(['-', '_']) {
            alphabet::URL_SAFE
        } else {
            alphabet::STANDARD
        };
        let decoded = GeneralPurpose::new(&engine, LENIENT).decode(encoded).ok()?;
        let claims: Value = serde_json::from_slice(&decoded).ok()?;
        claims.is_object().then(|| Secret::new(claims.to_string()))
    })
}

/// The quoted value of a challenge's parameter.
fn parameter(challenge: &str, wanted: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some((before, quoted)) = rest.split_once('"') {
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(chars.next()?),
                c => value.push(c),
            }
        }
        let name = before.trim_end().strip_suffix('=').map(str::trim_end);
        let name = name.and_then(|n| n.rsplit([' ', ',']).next());
        if name.is_some_and(|n| n.eq_ignore_ascii_case(wanted)) {
            return Some(value);
        }
        rest = chars.as_str();
    }
    None
}

/// The parameter `claims` of a request to Entra: what is demanded, and what this client is capable of.
pub(super) fn asked(demanded: Option<&Secret<String>>) -> String {
    let mut claims = demanded
        .and_then(|d| serde_json::from_str(d.expose()).ok())
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({}));
    if !claims["access_token"].is_object() {
        claims["access_token"] = json!({});
    }
    claims["access_token"]["xms_cc"] = json!({"values": ["CP1"]});
    claims.to_string()
}

/// The failure of a request whose demand the sign-in can't meet by itself.
pub(crate) fn unmet(c: &AzureConnection, demanded: &Secret<String>) -> AzureError {
    if c.sign_in != SignIn::AzureCli {
        return token_error("ClaimsNotMet", "the new token does not meet what Azure demands");
    }
    let tenant = match c.tenant_id.trim() {
        "" => String::new(),
        tenant => format!(" --tenant \"{tenant}\""),
    };
    // For the scope that the CLI is then asked for: its tokens are kept by scope.
    let (scope, claims) = (clouds::scope(c), STANDARD.encode(demanded.expose()));
    token_error(
        OF_CLI,
        format!("az login{tenant} --scope \"{scope}\" --claims-challenge \"{claims}\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn read(values: &[&str]) -> Option<String> {
        let headers = values.iter().map(|v| (WWW_AUTHENTICATE, v.parse().unwrap()));
        demanded(&headers.collect()).map(|s| s.expose().clone())
    }

    /// The first two are Microsoft's: of the documentation, and of the resource manager.
    #[test]
    fn demands_are_found_in_challenges_of_any_shape() {
        let documented = r#"Bearer realm="", authorization_uri="https://login.example/common/oauth2/authorize", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiY3AxIn19fQ==""#;
        let revoked = r#"Bearer authorization_uri="https://login.example/", error="invalid_token", error_description="User session has been revoked", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwgInZhbHVlIjoiMTYwMzc0MjgwMCJ9fX0=""#;
        let acrs = r#"{"access_token":{"acrs":{"essential":true,"value":"cp1"}}}"#;
        let nbf = r#"{"access_token":{"nbf":{"essential":true,"value":"1603742800"}}}"#;
        assert_eq!(read(&[documented]).as_deref(), Some(acrs));
        assert_eq!(read(&[revoked]).as_deref(), Some(nbf));
        let text = r#"{"id_token":{"x":{"value":"??>>"}}}"#;
        let url_safe = format!(
            r#"bearer error_description="say \"claims=\"", CLAIMS = "{}""#,
            URL_SAFE_NO_PAD.encode(text)
        );
        assert_eq!(read(&["PoP nonce=\"n\"", &url_safe]).as_deref(), Some(text));
        for none in [
            "",
            "Bearer",
            r#"Bearer error="invalid_token""#,
            r#"Bearer no_claims="e30=""#,
            r#"Bearer claims="#,
            r#"Bearer claims="e30="#,
            r#"Bearer claims="!!""#,
            r#"Bearer claims="W10=""#,
            r#"Bearer claims="bm8=""#,
        ] {
            assert_eq!(read(&[none]), None, "{none}");
        }
    }

    #[test]
    fn the_capability_is_added_to_whatever_is_demanded() {
        let cc = json!({"values": ["CP1"]});
        for (demand, wanted) in [
            (None, json!({"access_token": {"xms_cc": cc}})),
            (
                Some(r#"{"access_token":{"nbf":{"value":"1"}}}"#),
                json!({"access_token": {"nbf": {"value": "1"}, "xms_cc": cc}}),
            ),
            (
                Some(r#"{"access_token":null,"id_token":{"a":1}}"#),
                json!({"access_token": {"xms_cc": cc}, "id_token": {"a": 1}}),
            ),
        ] {
            let asked: Value = serde_json::from_str(&asked(demand.map(Secret::from).as_ref())).unwrap();
            assert_eq!(asked, wanted);
        }
    }

    #[test]
    fn the_azure_cli_needs_a_person_and_the_whole_command() {
        let mut c = AzureConnection {
            sign_in: SignIn::AzureCli,
            tenant_id: "contoso.com".into(),
            ..clouds::public()
        };
        let demand = Secret::from(r#"{"access_token":{"acrs":{"essential":true,"value":"p1"}}}"#);
        let command = "az login --tenant \"contoso.com\" --scope \"https://management.azure.com/.default\" --claims-challenge \"eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoicDEifX19\"";
        let advice = unmet(&c, &demand).advice();
        assert!(advice.hint.ends_with(command), "{advice:?}");
        c.tenant_id.clear();
        assert!(unmet(&c, &demand).advice().hint.contains("az login --scope"));
        c.sign_in = SignIn::Browser;
        let e = unmet(&c, &demand);
        assert_eq!((e.code(), e.class()), ("ClaimsNotMet", crate::ErrorClass::Auth));
        assert!(!format!("{e:?}").contains("acrs"));
    }
}
