//! Where a SQL Server is, in all the ways that people write it.

use std::fmt;

/// Where a SQL Server listens, read from `Data Source`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    pub host: String,
    /// `SQLVM\INSTANCE`; the default instance has none.
    pub instance: Option<String>,
    /// A written port wins over the instance's.
    pub port: Option<u16>,
}

/// Why a data source can't be used, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTarget(pub String);

impl Target {
    /// Reads `SQLVM`, `tcp:sqlvm.contoso.com,1433`, `SQLVM\INSTANCE`, `.`, `(local)`, `[::1],1433`.
    ///
    /// # Errors
    /// When it names a protocol other than TCP, a LocalDB, no host, or a port that is none.
    pub fn parse(text: &str) -> Result<Target, BadTarget> {
        let bad = |why: &str| BadTarget(format!("The server name {text} can't be used: {why}"));
        let mut rest = text.trim();
        if let Some((protocol, after)) = rest.split_once(':')
            && protocol.len() > 1
            && protocol.bytes().all(|b| b.is_ascii_alphabetic())
            && !after.starts_with(':')
        {
            match protocol.to_ascii_lowercase().as_str() {
                "tcp" => rest = after.trim(),
                "np" => {
                    return Err(bad(
                        "named pipes are not supported; write tcp: and turn TCP/IP on in SQL Server Configuration Manager.",
                    ));
                }
                "lpc" => {
                    return Err(bad(
                        "shared memory works on the same computer only; write tcp: and turn TCP/IP on.",
                    ));
                }
                "admin" => return Err(bad("the dedicated administrator connection is not supported.")),
                _ => return Err(bad("its protocol is not known; write tcp:.")),
            }
        }
        if rest.starts_with(r"\\") {
            return Err(bad("named pipes are not supported; write the computer's name."));
        }
        if rest.to_ascii_lowercase().starts_with("(localdb)") {
            return Err(bad(
                "LocalDB belongs to one user on one computer. Attach the database to an instance first.",
            ));
        }
        let (place, port) = match rest.rsplit_once(',') {
            Some((place, port)) => {
                let port = port.trim().parse::<u16>().ok().filter(|p| *p > 0);
                (
                    place.trim(),
                    Some(port.ok_or_else(|| bad("the port after the comma must be a number from 1 to 65535."))?),
                )
            }
            None => (rest, None),
        };
        let (host, instance) = match place.split_once('\\') {
            Some((host, name)) => (host.trim(), Some(name.trim())),
            None => (place, None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let host = match host.to_ascii_lowercase().as_str() {
            "." | "(local)" | "localhost" => "localhost",
            _ => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(bad("a computer's name is missing."));
        }
        if instance.is_some_and(str::is_empty) {
            return Err(bad(r"an instance's name is missing after \."));
        }
        // The default instance's own name is no name for SQL Browser.
        let instance = instance.filter(|i| !i.eq_ignore_ascii_case("MSSQLSERVER"));
        Ok(Target {
            host: host.to_owned(),
            instance: instance.map(str::to_owned),
            port,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        if let Some(instance) = &self.instance {
            write!(f, r"\{instance}")?;
        }
        match self.port {
            Some(port) => write!(f, ",{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_write_it() {
        for (text, host, instance, port) in [
            ("SQLVM", "SQLVM", None, None),
            (" tcp:sqlvm.contoso.com , 1433 ", "sqlvm.contoso.com", None, Some(1433)),
            (r"SQLVM\SMARTHOTEL", "SQLVM", Some("SMARTHOTEL"), None),
            (r"TCP:SQLVM\SMARTHOTEL,50123", "SQLVM", Some("SMARTHOTEL"), Some(50123)),
            (r"SQLVM\MSSQLSERVER", "SQLVM", None, None),
            (".", "localhost", None, None),
            (r".\SQLEXPRESS", "localhost", Some("SQLEXPRESS"), None),
            ("(local)", "localhost", None, None),
            ("[::1],1433", "::1", None, Some(1433)),
            ("::1", "::1", None, None),
            ("10.0.0.5,1433", "10.0.0.5", None, Some(1433)),
        ] {
            let read = Target::parse(text).unwrap();
            assert_eq!(
                (read.host.as_str(), read.instance.as_deref(), read.port),
                (host, instance, port),
                "{text}"
            );
        }
        for text in [
            "",
            "np:SQLVM",
            r"\\SQLVM\pipe\sql\query",
            "SQLVM,x",
            "SQLVM,0",
            "SQLVM,70000",
            r"SQLVM\",
            r"(LocalDB)\v11.0",
            "a b",
            "lpc:x",
            "admin:x",
            "http:x",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(host in "[a-z][a-z0-9.-]{0,30}", instance in proptest::option::of("[A-LN-Z][A-Z0-9_$]{0,15}"), port in proptest::option::of(1_u16..)) {
            let host = if host == "localhost" { "host".to_owned() } else { host };
            let target = Target { host, instance, port };
            prop_assert_eq!(Target::parse(&target.to_string()).unwrap(), target);
        }
    }
}
