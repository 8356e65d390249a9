//! What may be seen of an exchange. Everything that this crate hands out, traces, logs and errors, passes here.
//!
//! Headers and query parameters are shown only when they are on a list of harmless ones. Bodies lose the values of keys
//! that hold secrets. And whatever was once seen as a secret (a token, a password in a request, a key in an answer) is
//! remembered and removed wherever else it turns up.

use secrets::Secret;
use serde_json::Value;
use std::{
    borrow::Cow,
    sync::{PoisonError, RwLock},
};
use url::Url;

/// Stands where a secret was.
pub const REDACTED: &str = "<redacted>";
/// Longest body that is kept, in bytes.
const BODY_LIMIT: usize = 16 * 1024;
/// A shorter value is no secret worth removing everywhere: it would black out ordinary words.
const SHORTEST: usize = 8;

const HEADERS: &[&str] = &[
    "accept",
    "azure-asyncoperation",
    "content-length",
    "content-type",
    "date",
    "etag",
    "if-match",
    "if-none-match",
    "last-modified",
    "location",
    "retry-after",
    "user-agent",
    "x-ms-blob-type",
    "x-ms-client-request-id",
    "x-ms-correlation-request-id",
    "x-ms-error-code",
    "x-ms-request-id",
    "x-ms-routing-request-id",
    "x-ms-version",
];

const PARAMETERS: &[&str] = &[
    "$expand",
    "$filter",
    "$skip",
    "$skiptoken",
    "$top",
    "%24expand",
    "%24filter",
    "%24skip",
    "%24skiptoken",
    "%24top",
    "api-version",
    "asyncinfo",
    "comp",
    "deleteoption",
    "force",
    "include",
    "ipaddress",
    "marker",
    "maxresults",
    "migrationoperationid",
    "monitor",
    "operationid",
    "prefix",
    "restype",
    "se",
    "skiptoken",
    "sp",
    "spr",
    "sr",
    "st",
    "sv",
    "syncremoteaddressspace",
    "taketoken",
];

/// Keys of JSON objects and of forms whose values are secrets, lower case.
const KEYS: &[&str] = &[
    "access_token",
    "accesskey",
    "accesstoken",
    "appkey",
    "assertion",
    "authkey1",
    "authkey2",
    "claims",
    "client_assertion",
    "code_verifier",
    "consolescreenshotbloburi",
    "customdata",
    "device_code",
    "id_token",
    "key",
    "key1",
    "key2",
    "passphrase",
    "primarykey",
    "privateblob",
    "privatekey",
    "protectedparameters",
    "protectedsettings",
    "refresh_token",
    "refreshtoken",
    "sasuri",
    "secondarykey",
    "serialconsolelogbloburi",
    "sig",
    "signature",
    "token",
    "user_code",
];

/// Endings of such keys: `administratorLoginPassword`, `storageContainerSasToken`, `client_secret` …
const ENDINGS: &[&str] = &[
    "password",
    "secret",
    "sastoken",
    "accountkey",
    "connectionstring",
    "passwd",
    "pwd",
];

/// What a secret follows in free text: URLs, connection strings, headers. Lower case.
const MARKERS: &[&str] = &[
    "sig=",
    "sig%3d",
    "bearer ",
    "password=",
    "pwd=",
    "accountkey=",
    "sharedaccesskey=",
    "client_secret=",
    "access_token=",
    "refresh_token=",
    "client_assertion=",
    "code_verifier=",
    "device_code=",
];

/// Secrets that were seen.
#[derive(Default)]
pub struct Known(RwLock<Vec<Secret<String>>>);

impl Known {
    /// Remembers a secret: from now on it is removed wherever it appears, also percent-encoded or escaped for JSON.
    pub fn learn(&self, value: &str) {
        if value.len() < SHORTEST || value == REDACTED {
            return;
        }
        // Each request brings its token along, nearly always the same.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|k| k.expose() == value) {
            return;
        }
        drop(known);
        let encoded = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string();
        let lower = url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
        let json = Value::from(value).to_string();
        let forms = [value, &encoded, &lower, json.trim_matches('"')];
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for form in forms {
            if !known.iter().any(|k| k.expose() == form) {
                known.push(Secret::from(form));
            }
        }
        // The longest first, so that a part of a secret never hides the rest from the search.
        known.sort_by_key(|k| std::cmp::Reverse(k.expose().len()));
    }

    /// Returns free text without known secrets and without what looks like one.
    pub fn text(&self, text: &str) -> String {
        self.harmless(text).into_owned()
    }

    /// The same; most texts stay as they are.
    fn harmless<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for secret in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if out.contains(secret.expose().as_str()) {
                out = out.replace(secret.expose().as_str(), REDACTED).into();
            }
        }
        without_tokens(without_marked(out))
    }

    /// Returns a URL whose query shows harmless parameters only.
    pub fn url(&self, url: &Url) -> String {
        let mut shown = url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        // Both fail only for addresses that can't hold a user, which is what we want.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        let mut out = self.text(shown.as_str());
        if let Some(query) = url.query() {
            out.push('?');
            out.push_str(&self.query(query));
        }
        out
    }

    fn query(&self, query: &str) -> String {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => self.text(pair),
            Some((name, _)) => format!("{}={REDACTED}", self.text(name)),
            None => self.text(pair),
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Returns the harmless headers as `name: value`.
    pub fn headers<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
        let mut lines: Vec<String> = headers
            .filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                HEADERS.contains(&name.as_str()) || name.starts_with("x-ms-ratelimit-remaining-")
            })
            .map(|(name, value)| {
                // Azure-AsyncOperation and Location hold URLs, with signatures in their queries.
                let shown = match value.split_once('?') {
                    Some((path, query)) => format!("{}?{}", self.text(path), self.query(query)),
                    None => self.text(value),
                };
                format!("{name}: {shown}")
            })
            .collect();
        lines.sort();
        lines
    }

    /// Returns a body without secrets, cut at 16 KiB, and remembers the secrets that it held. None for an empty body.
    pub fn body(&self, bytes: &[u8], content_type: &str) -> Option<String> {
        if bytes.is_empty() {
            return None;
        }
        // People's data, such as a block of a backup, is nobody's business.
        if content_type.contains("octet-stream") {
            return Some(format!("({} bytes)", bytes.len()));
        }
        if content_type.contains("x-www-form-urlencoded") {
            let pairs = url::form_urlencoded::parse(bytes).map(|(name, value)| {
                // In a form, and there alone, a `code` is what a token is given for; in JSON it names errors.
                let shown = if name == "code" || is_secret(&name, false) {
                    self.learn(&value);
                    REDACTED.into()
                } else {
                    self.text(&value)
                };
                format!("{name}={shown}")
            });
            return Some(pairs.collect::<Vec<_>>().join("&"));
        }
        if let Ok(mut json) = serde_json::from_slice::<Value>(bytes) {
            // Two passes: a secret may be repeated before the key that gives it away.
            self.learn_from(&json);
            self.clean(&mut json);
            return Some(cut(json.to_string()));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(cut(self.text(text))),
            Err(_) => Some(format!("({} bytes)", bytes.len())),
        }
    }

    /// Remembers the secrets in a JSON document.
    pub fn learn_from(&self, json: &Value) {
        match json {
            Value::Object(object) => {
                let named = object.contains_key("keyName");
                for (key, value) in object {
                    if is_secret(key, named) {
                        // A bare `key` is too often the name of something to be hunted everywhere.
                        if !key.eq_ignore_ascii_case("key") {
                            strings(value, &mut |s| self.learn(s));
                        }
                    } else {
                        self.learn_from(value);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn_from(item)),
            _ => {}
        }
    }

    fn clean(&self, json: &mut Value) {
        match json {
            Value::Object(object) => {
                let named = object.contains_key("keyName");
                for (key, value) in object.iter_mut() {
                    if is_secret(key, named) && !value.is_null() {
                        *value = REDACTED.into();
                    } else {
                        self.clean(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean(item)),
            Value::String(text) => {
                if let Cow::Owned(harmless) = self.harmless(text) {
                    *text = harmless;
                }
            }
            _ => {}
        }
    }
}

/// `beside_key_name`: the object also has `keyName`, as in the answer to `listKeys`; then `value` is a secret too.
fn is_secret(key: &str, beside_key_name: bool) -> bool {
    let key = key.to_ascii_lowercase();
    KEYS.contains(&key.as_str())
        || ENDINGS.iter().any(|ending| key.ends_with(ending))
        || (key == "value" && beside_key_name)
}

fn strings(json: &Value, found: &mut impl FnMut(&str)) {
    match json {
        Value::String(s) => found(s),
        Value::Array(items) => items.iter().for_each(|v| strings(v, found)),
        // Parameters have names beside their values; only the values are secret.
        Value::Object(object) => {
            object
                .iter()
                .filter(|(k, _)| !k.eq_ignore_ascii_case("name"))
                .for_each(|(_, v)| strings(v, found));
        }
        _ => {}
    }
}

/// Replaces what follows a marker, up to the next delimiter.
fn without_marked(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some(mut next) = marked(&text) else { return text };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    loop {
        let start = at + next;
        let rest = &text[start..];
        let mut end = start
            + rest
                .find(|c: char| c.is_whitespace() || "&;\"'<>,\\)".contains(c))
                .unwrap_or(rest.len());
        end = rest.find("%26").map_or(end, |i| end.min(start + i));
        out.push_str(&text[at..start]);
        if end > start {
            out.push_str(REDACTED);
        } else if rest.starts_with(REDACTED) {
            // Removed before, as a known secret.
            end = start + REDACTED.len();
            out.push_str(REDACTED);
        }
        at = end;
        match marked(&text[at..]) {
            Some(again) => next = again,
            None => return (out + &text[at..]).into(),
        }
    }
}

/// Where the first marker ends. Each of them ends with one of few bytes, so most texts are passed over once.
fn marked(text: &str) -> Option<usize> {
    let ends = |(i, byte): (usize, &u8)| {
        let before = &text.as_bytes()[..=i];
        let is =
            |m: &&str| before.len() >= m.len() && before[before.len() - m.len()..].eq_ignore_ascii_case(m.as_bytes());
        (matches!(byte, b'=' | b' ' | b'd' | b'D') && MARKERS.iter().any(is)).then_some(i + 1)
    };
    text.as_bytes().iter().enumerate().find_map(ends)
}

/// Replaces what looks like a JSON web token.
fn without_tokens(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains("eyJ") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(i) = rest.find("eyJ") {
        let (before, candidate) = rest.split_at(i);
        out.push_str(before);
        let end = candidate
            .find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .unwrap_or(candidate.len());
        out.push_str(if end >= 40 { REDACTED } else { &candidate[..end] });
        rest = &candidate[end..];
    }
    (out + rest).into()
}

fn cut(mut text: String) -> String {
    let whole = text.len();
    if whole > BODY_LIMIT {
        let end = (0..=BODY_LIMIT).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push_str(&format!("… (cut; {whole} bytes in all)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CANARY: &str = "cAnArY+/=&7f3a\"x";

    #[test]
    fn every_marker_is_found_by_its_end() {
        for marker in MARKERS {
            for text in [marker.to_string(), marker.to_uppercase(), format!("{marker}{marker}")] {
                assert_eq!(marked(&text), Some(marker.len()), "{marker}");
            }
        }
        assert_eq!(marked("https://h/d = D=x?a=b"), None);
    }

    #[test]
    fn no_key_of_the_list_lets_its_value_through() {
        let known = Known::default();
        let mut object = serde_json::Map::new();
        for key in KEYS.iter().chain(ENDINGS).chain(&[
            "administratorLoginPassword",
            "storageContainerSasToken",
            "serviceSasToken",
            "authKey1",
            "accountKey",
            "adminPassword",
            "client_secret",
            "clientSecret",
        ]) {
            object.insert((*key).into(), CANARY.into());
        }
        object.insert(
            "keys".into(),
            json!([{"keyName": "key1", "value": CANARY, "permissions": "FULL"}]),
        );
        object.insert(
            "protectedParameters".into(),
            json!([{"name": "password", "value": CANARY}]),
        );
        object.insert("message".into(), format!("echo: {CANARY}").into());
        object.insert("name".into(), "WEBVM".into());
        let body = json!({"properties": object});
        for (bytes, kind) in [(body.to_string(), "application/json"), (body.to_string(), "text/html")] {
            let shown = known.body(bytes.as_bytes(), kind).unwrap();
            assert!(!shown.contains("cAnArY"), "{shown}");
            assert!(shown.contains("WEBVM") && shown.contains("FULL"));
        }
        let encoded = url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect::<String>();
        for secret in [
            "client_secret",
            "code",
            "code_verifier",
            "refresh_token",
            "device_code",
            "client_assertion",
        ] {
            let form = format!("client_id=c&{secret}={encoded}&scope=s");
            let shown = Known::default().body(form.as_bytes(), "application/x-www-form-urlencoded");
            assert_eq!(shown, Some(format!("client_id=c&{secret}={REDACTED}&scope=s")));
        }
        // Learnt once, it is gone from everything, in any spelling.
        let escaped = Value::from(CANARY).to_string();
        for text in [
            CANARY,
            &encoded,
            &escaped,
            &percent_encoding::utf8_percent_encode(CANARY, percent_encoding::NON_ALPHANUMERIC).to_string(),
        ] {
            assert!(
                !known.text(&format!("a {text} b")).to_lowercase().contains("canary"),
                "{text}"
            );
        }
    }

    #[test]
    fn harmless_values_stay() {
        let known = Known::default();
        let body = json!({"value": [{"name": "k", "value": "v"}], "keyToSign": "key1", "parameters": [{"name": "a", "value": "b"}]});
        assert_eq!(
            known.body(body.to_string().as_bytes(), "application/json"),
            Some(body.to_string())
        );
        assert_eq!(known.body(b"", "application/json"), None);
        assert_eq!(
            known.body(&[0xff, 0xfe], "application/octet-stream").as_deref(),
            Some("(2 bytes)")
        );
    }

    #[test]
    fn text_loses_signatures_passwords_and_tokens() {
        let known = Known::default();
        for text in [
            "https://a.blob/c?sv=1&sig=CANARY%2B&sp=rl",
            "u%3Fsig%3DCANARY%26sp",
            "Server=x;Password=CANARY;Database=y",
            "Authorization: Bearer CANARY",
            "AccountKey=CANARY==;x",
            "token eyJCANARYCANARYCANARYCANARYCANARYCANARYCANARY.a.b end",
        ] {
            let shown = known.text(text);
            assert!(!shown.contains("CANARY") && shown.contains(REDACTED), "{shown}");
        }
        assert_eq!(known.text("password= x sig="), "password= x sig=");
        assert_eq!(known.text(&known.text("Password=abc;x")), "Password=<redacted>;x");
    }

    #[test]
    fn urls_and_headers_show_only_what_is_listed() {
        let known = Known::default();
        let url = Url::parse("https://u:p@h/a?api-version=1&sig=CANARY&h=CANARY&sp=rl&flag").unwrap();
        assert_eq!(
            known.url(&url),
            "https://h/a?api-version=1&sig=<redacted>&h=<redacted>&sp=rl&flag"
        );
        let headers = [
            ("Authorization", "Bearer CANARY"),
            ("Location", "https://h/o?api-version=1&c=CANARY"),
            ("Cookie", "CANARY"),
            ("x-ms-ratelimit-remaining-subscription-reads", "249"),
        ];
        assert_eq!(
            known.headers(headers.into_iter()),
            [
                "Location: https://h/o?api-version=1&c=<redacted>",
                "x-ms-ratelimit-remaining-subscription-reads: 249"
            ]
        );
    }

    #[test]
    fn bodies_are_cut_between_characters() {
        let shown = Known::default()
            .body("ü".repeat(BODY_LIMIT).as_bytes(), "text/plain")
            .unwrap();
        assert!(shown.len() < BODY_LIMIT + 100 && shown.contains("32768 bytes in all"));
    }
}
