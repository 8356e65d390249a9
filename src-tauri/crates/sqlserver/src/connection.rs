//! Connection strings: read in every style that applications use, written so that every value survives.
//!
//! No Azure API returns the portal's "Connection strings" page, so [`managed_instance`] builds it.

use secrets::Secret;

/// A connection string, taken apart. Order and spelling of the keys stay as they were.
#[derive(Clone, Debug)]
pub struct ConnectionString {
    pairs: Vec<(String, Secret<String>)>,
    /// What stands around it in Entity Framework's style, in which it is a value itself.
    outer: Option<Vec<(String, Secret<String>)>>,
}

/// Why a text is no connection string. Says where, never what stands there: it may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadConnectionString {
    #[error("At character {0} a key has no = behind it.")]
    NoValue(usize),
    #[error("At character {0} there is no key before the =.")]
    NoKey(usize),
    #[error("The quotation mark at character {0} is never closed.")]
    Open(usize),
    #[error("After the quoted value that ends at character {0} there must be a semicolon.")]
    Behind(usize),
}

/// Keys that mean the same.
pub mod keys {
    pub const SERVER: &[&str] = &["data source", "server", "address", "addr", "network address"];
    pub const DATABASE: &[&str] = &["initial catalog", "database"];
    pub const USER: &[&str] = &["user id", "uid", "user"];
    pub const PASSWORD: &[&str] = &["password", "pwd"];
    pub const INTEGRATED: &[&str] = &["integrated security", "trusted_connection"];
    pub const ENCRYPT: &[&str] = &["encrypt"];
    pub const TRUST: &[&str] = &["trustservercertificate", "trust server certificate"];
    pub const AUTHENTICATION: &[&str] = &["authentication"];
    /// Who has it speaks ODBC: values in braces, `yes` and `no`.
    pub const DRIVER: &[&str] = &["driver", "dsn", "filedsn"];
    /// Who has it speaks OLE DB.
    pub const PROVIDER: &[&str] = &["provider"];
    pub const ENCRYPT_OLE_DB: &[&str] = &["use encryption for data"];
    pub const SECRET: &[&str] = &["password", "pwd", "access token", "accesstoken"];
    /// What leads to another server, file, network or account than the keys above say.
    pub const ELSEWHERE: &[&str] = &[
        "integrated security",
        "trusted_connection",
        "attachdbfilename",
        "extended properties",
        "initial file name",
        "user instance",
        "failover partner",
        "failover_partner",
        "failoverpartner",
        "failover partner spn",
        "failoverpartnerspn",
        "server spn",
        "serverspn",
        "network library",
        "network",
        "net",
    ];
}

const INNER: &str = "provider connection string";

impl ConnectionString {
    /// Reads `key=value;…` with values plain, in `"…"`, in `'…'` (a doubled mark stands for one), or in ODBC's `{…}`; and
    /// Entity Framework's style, whose `provider connection string` is the one that counts.
    ///
    /// # Errors
    /// When it is malformed; the error holds no part of the text.
    pub fn parse(text: &str) -> Result<ConnectionString, BadConnectionString> {
        let pairs = pairs(text)?;
        let inner = pairs.iter().find(|(k, _)| k.eq_ignore_ascii_case(INNER));
        match inner {
            Some((_, inner)) => Ok(ConnectionString {
                pairs: self::pairs(inner.expose())?,
                outer: Some(pairs),
            }),
            None => Ok(ConnectionString { pairs, outer: None }),
        }
    }

    /// The value of a key under any of its names; when it stands there twice, the last one counts.
    pub fn get(&self, keys: &[&str]) -> Option<&Secret<String>> {
        let has = |k: &str| keys.iter().any(|n| n.eq_ignore_ascii_case(k));
        self.pairs.iter().rev().find(|(k, _)| has(k)).map(|(_, v)| v)
    }

    /// Whether a key is `true`, `yes` or `sspi`.
    pub fn is_on(&self, keys: &[&str]) -> bool {
        self.get(keys).is_some_and(|v| {
            ["true", "yes", "sspi", "mandatory", "strict"]
                .iter()
                .any(|t| v.expose().eq_ignore_ascii_case(t))
        })
    }

    /// Changes a value where it stands; what isn't there is added under its first name.
    pub fn set(&mut self, keys: &[&str], value: Secret<String>) {
        let has = |k: &str| keys.iter().any(|n| n.eq_ignore_ascii_case(k));
        match self.pairs.iter_mut().rev().find(|(k, _)| has(k)) {
            Some((_, old)) => *old = value,
            None => self.pairs.push(((*keys.first().unwrap_or(&"")).to_owned(), value)),
        }
    }

    /// Removes a key under all its names.
    pub fn remove(&mut self, keys: &[&str]) {
        self.pairs
            .retain(|(k, _)| !keys.iter().any(|n| n.eq_ignore_ascii_case(k)));
    }

    /// Points it at another server: address, database, sign-in and encryption become those of `to`, where they stand and
    /// in the words of its driver; what would lead elsewhere is removed; everything else stays.
    pub fn redirect(&mut self, to: &ConnectionString) {
        self.remove(keys::ELSEWHERE);
        let odbc = self.get(keys::DRIVER).is_some();
        let ole_db = self.get(keys::PROVIDER).is_some();
        let encrypt = if ole_db { keys::ENCRYPT_OLE_DB } else { keys::ENCRYPT };
        let all = [
            (keys::SERVER, keys::SERVER, "Data Source", "Server"),
            (keys::DATABASE, keys::DATABASE, "Initial Catalog", "Database"),
            (keys::USER, keys::USER, "User ID", "UID"),
            (keys::PASSWORD, keys::PASSWORD, "Password", "PWD"),
            (
                encrypt,
                keys::ENCRYPT,
                if ole_db { "Use Encryption for Data" } else { "Encrypt" },
                "Encrypt",
            ),
            (
                keys::TRUST,
                keys::TRUST,
                "TrustServerCertificate",
                "TrustServerCertificate",
            ),
            (
                keys::AUTHENTICATION,
                keys::AUTHENTICATION,
                "Authentication",
                "Authentication",
            ),
        ];
        for (here, there, name, odbc_name) in all {
            let is = |k: &str| here.iter().any(|n| n.eq_ignore_ascii_case(k));
            let Some(value) = to.get(there) else {
                self.remove(here);
                continue;
            };
            let value = match value.expose().to_ascii_lowercase().as_str() {
                "true" if odbc => Secret::from("yes"),
                "false" if odbc => Secret::from("no"),
                _ => value.clone(),
            };
            // Of several the last one counts; it stays.
            let last = self.pairs.iter().rposition(|(k, _)| is(k));
            let mut at = 0;
            self.pairs.retain(|(k, _)| {
                at += 1;
                !is(k) || Some(at - 1) == last
            });
            match self.pairs.iter_mut().find(|(k, _)| is(k)) {
                Some((_, old)) => *old = value,
                None => self.pairs.push((if odbc { odbc_name } else { name }.to_owned(), value)),
            }
        }
    }

    /// As a text for people: passwords are hidden.
    pub fn shown(&self) -> String {
        let hide = |pairs: &mut Vec<(String, Secret<String>)>| {
            for (k, v) in pairs {
                if keys::SECRET.iter().any(|n| n.eq_ignore_ascii_case(k)) {
                    *v = Secret::from("****");
                }
            }
        };
        let mut shown = self.clone();
        hide(&mut shown.pairs);
        if let Some(outer) = &mut shown.outer {
            hide(outer);
        }
        shown.write().expose().clone()
    }

    /// As a text again.
    pub fn write(&self) -> Secret<String> {
        let odbc = self.get(keys::DRIVER).is_some();
        let join = |pairs: &[(String, Secret<String>)], odbc: bool| {
            let quote = if odbc { quote_odbc } else { quote };
            let one = |(k, v): &(String, Secret<String>)| format!("{}={}", k.replace('=', "=="), quote(v.expose()));
            pairs.iter().map(one).collect::<Vec<_>>().join(";")
        };
        let inner = join(&self.pairs, odbc);
        Secret::new(match &self.outer {
            None => inner,
            Some(outer) => {
                let mut outer = outer.clone();
                for (key, value) in &mut outer {
                    if key.eq_ignore_ascii_case(INNER) {
                        *value = Secret::new(inner.clone());
                    }
                }
                join(&outer, false)
            }
        })
    }
}

fn pairs(text: &str) -> Result<Vec<(String, Secret<String>)>, BadConnectionString> {
    use BadConnectionString::*;
    let chars: Vec<char> = text.chars().collect();
    let mut found = vec![];
    let mut at = 0;
    loop {
        while chars.get(at).is_some_and(|c| *c == ';' || c.is_whitespace()) {
            at += 1;
        }
        if at >= chars.len() {
            return Ok(found);
        }
        let start = at;
        let mut key = String::new();
        loop {
            match (chars.get(at), chars.get(at + 1)) {
                (Some('='), Some('=')) => {
                    key.push('=');
                    at += 2;
                }
                (Some('='), _) => break,
                (None | Some(';'), _) => return Err(NoValue(start + 1)),
                (Some(c), _) => {
                    key.push(*c);
                    at += 1;
                }
            }
        }
        at += 1;
        let key = key.trim().to_owned();
        if key.is_empty() {
            return Err(NoKey(start + 1));
        }
        while chars.get(at).is_some_and(|c| c.is_whitespace()) {
            at += 1;
        }
        let mut value = String::new();
        match chars.get(at) {
            Some(mark @ ('"' | '\'' | '{')) => {
                let close = if *mark == '{' { '}' } else { *mark };
                let opened = at + 1;
                at += 1;
                loop {
                    match (chars.get(at), chars.get(at + 1)) {
                        (None, _) => return Err(Open(opened)),
                        (Some(c), next) if *c == close => {
                            at += 1;
                            if next != Some(&close) {
                                break;
                            }
                            value.push(close);
                            at += 1;
                        }
                        (Some(c), _) => {
                            value.push(*c);
                            at += 1;
                        }
                    }
                }
                let ended = at;
                while chars.get(at).is_some_and(|c| c.is_whitespace()) {
                    at += 1;
                }
                if chars.get(at).is_some_and(|c| *c != ';') {
                    return Err(Behind(ended));
                }
            }
            _ => {
                while chars.get(at).is_some_and(|c| *c != ';') {
                    value.push(chars[at]);
                    at += 1;
                }
                value.truncate(value.trim_end().len());
            }
        }
        found.push((key, Secret::new(value)));
    }
}

/// Builds the connection string of a database on a managed instance, with SQL authentication over TLS, port 1433.
///
/// Values are quoted by ADO.NET's rules, so any character may stand in them.
pub fn managed_instance(host: &str, database: &str, user: &str, password: &Secret<String>) -> Secret<String> {
    Secret::new(format!(
        "Server=tcp:{host},1433;Persist Security Info=False;Initial Catalog={};User ID={};Password={};\
         MultipleActiveResultSets=False;Encrypt=True;TrustServerCertificate=False;Connection Timeout=30;",
        quote(database),
        quote(user),
        quote(password.expose())
    ))
}

/// Quotes a value when it holds a character with a meaning of its own.
fn quote(value: &str) -> String {
    let plain = !value.is_empty()
        && !value.starts_with(char::is_whitespace)
        && !value.ends_with(char::is_whitespace)
        && !value.contains([';', '\'', '"', '=', '{', '}', '\0']);
    if plain {
        value.to_owned()
    } else if value.contains('"') && !value.contains('\'') {
        format!("'{value}'")
    } else {
        format!("\"{}\"", value.replace('"', "\"\""))
    }
}

/// ODBC's rules: braces, in which `}` is doubled. What starts with `{` must stand in them.
fn quote_odbc(value: &str) -> String {
    let plain = !value.starts_with(char::is_whitespace)
        && !value.ends_with(char::is_whitespace)
        && !value.contains([
            '[', ']', '{', '}', '(', ')', ',', ';', '?', '*', '=', '!', '@', '\'', '"', '\0',
        ]);
    // A server is `tcp:host,1433`; the comma is its own and needs no braces.
    let server = value
        .strip_prefix("tcp:")
        .is_some_and(|v| !v.contains([';', '{', '}', '=', '@', '!']));
    if plain || server {
        value.to_owned()
    } else {
        format!("{{{}}}", value.replace('}', "}}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_values_stay_plain() {
        let s = managed_instance(
            "mi.zone.database.windows.net",
            "SmartHotelDB",
            "contosoadmin",
            &Secret::new("Abc123".into()),
        );
        assert!(s.expose().starts_with("Server=tcp:mi.zone.database.windows.net,1433;"));
        assert!(
            s.expose()
                .contains("Initial Catalog=SmartHotelDB;User ID=contosoadmin;Password=Abc123;")
        );
    }

    #[test]
    fn odd_values_are_quoted() {
        for (value, want) in [
            ("a;b", "\"a;b\""),
            ("a\"b", "'a\"b'"),
            ("a\"'b", "\"a\"\"'b\""),
            (" a", "\" a\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote(value), want);
        }
    }

    const PASSWORDS: &[&str] = &[
        "p;w", "p\"w", "p'w", "p'\"w;=", "{p}w}", " pw ", "=pw", "pä客", "", "p&amp;w",
    ];

    #[test]
    fn every_style_is_read() {
        for (text, server, database, password) in [
            (
                "Server=SQLVM;Database=SmartHotelDB;Trusted_Connection=True",
                "SQLVM",
                "SmartHotelDB",
                None,
            ),
            (
                "Data Source=tcp:sqlvm,1433; Initial Catalog = SmartHotelDB ;User ID=u;Password=p",
                "tcp:sqlvm,1433",
                "SmartHotelDB",
                Some("p"),
            ),
            (
                "data source=\"SQLVM\\X\";initial catalog='Smart''Hotel';uid=u;pwd=\"a\"\"b;c\";",
                "SQLVM\\X",
                "Smart'Hotel",
                Some("a\"b;c"),
            ),
            (
                "DRIVER={ODBC Driver 18 for SQL Server};SERVER=SQLVM;DATABASE=SmartHotelDB;UID=u;PWD={a}}b;c}",
                "SQLVM",
                "SmartHotelDB",
                Some("a}b;c"),
            ),
            (
                "metadata=res://*/M.csdl|res://*/M.ssdl;provider=System.Data.SqlClient;provider connection string=\"data source=SQLVM;initial catalog=SmartHotelDB;password='x;y'\"",
                "SQLVM",
                "SmartHotelDB",
                Some("x;y"),
            ),
            ("Addr=old;Server=new;Database=a;Database=b", "new", "b", None),
            ("a==b=c;;Server=SQLVM;Database=", "SQLVM", "", None),
        ] {
            let read = ConnectionString::parse(text).unwrap();
            let value = |k| read.get(k).map(|v| v.expose().clone());
            assert_eq!(value(keys::SERVER).as_deref(), Some(server), "{text}");
            assert_eq!(value(keys::DATABASE).as_deref(), Some(database), "{text}");
            assert_eq!(value(keys::PASSWORD).as_deref(), password, "{text}");
            let again = ConnectionString::parse(read.write().expose()).unwrap();
            assert_eq!(again.get(keys::PASSWORD), read.get(keys::PASSWORD), "{text}");
        }
        assert!(
            ConnectionString::parse("Integrated Security=SSPI")
                .unwrap()
                .is_on(keys::INTEGRATED)
        );
    }

    #[test]
    fn malformed_ones_are_refused_without_showing_them() {
        for text in [
            "Server",
            "=x",
            "Password=\"secret",
            "Password='secret'x;Server=a",
            "PWD={secret",
        ] {
            let error = ConnectionString::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let shown = format!("{:?}", ConnectionString::parse("Password=secret").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_value_is_changed_where_it_stands() {
        for password in PASSWORDS {
            let mut s = ConnectionString::parse("Server=SQLVM;User ID=u;Password=old;App=x").unwrap();
            s.set(keys::PASSWORD, Secret::from(*password));
            s.set(keys::SERVER, Secret::from("tcp:mi,1433"));
            s.remove(&["app"]);
            s.set(keys::ENCRYPT, Secret::from("True"));
            let written = s.write();
            assert!(
                written.expose().starts_with("Server=tcp:mi,1433;User ID=u;Password="),
                "{password}"
            );
            let read = ConnectionString::parse(written.expose()).unwrap();
            assert_eq!(read.get(keys::PASSWORD).unwrap().expose(), password);
            assert!(read.is_on(keys::ENCRYPT) && read.get(&["app"]).is_none());
        }
    }

    #[test]
    fn another_server_takes_the_place_of_the_old_one_and_nothing_else_changes() {
        let to = managed_instance("mi.example", "New;DB", "admin", &Secret::from("p}w;\"x'"));
        let to = ConnectionString::parse(to.expose()).unwrap();
        let shown = |text: &str| {
            let mut s = ConnectionString::parse(text).unwrap();
            s.redirect(&to);
            let again = ConnectionString::parse(s.write().expose()).unwrap();
            for k in [keys::SERVER, keys::DATABASE, keys::USER, keys::PASSWORD] {
                assert_eq!(again.get(k), to.get(k), "{text}");
            }
            s.shown()
        };
        assert_eq!(
            shown("Addr=old;Max Pool Size=7;Data Source=SQLVM;Integrated Security=SSPI;Database=a"),
            "Max Pool Size=7;Data Source=tcp:mi.example,1433;Database=\"New;DB\";User ID=admin;Password=****;Encrypt=True;TrustServerCertificate=False"
        );
        assert_eq!(
            shown("Driver={ODBC Driver 18 for SQL Server};Server=SQLVM;Database=a;Trusted_Connection=yes"),
            "Driver=ODBC Driver 18 for SQL Server;Server=tcp:mi.example,1433;Database={New;DB};UID=admin;PWD={****};Encrypt=yes;TrustServerCertificate=no"
        );
        assert!(shown("Provider=MSOLEDBSQL;Server=SQLVM").contains("Use Encryption for Data=True"));
    }

    proptest! {
        #[test]
        fn any_value_survives(user in any::<String>(), password in any::<String>()) {
            let built = managed_instance("mi", "db", &user, &Secret::new(password.clone()));
            let read = ConnectionString::parse(built.expose()).unwrap();
            prop_assert_eq!(read.get(keys::USER).unwrap().expose(), &user);
            prop_assert_eq!(read.get(keys::PASSWORD).unwrap().expose(), &password);
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = ConnectionString::parse(&text);
        }
    }
}
