//! ADO.NET connection strings. No Azure API returns the portal's "Connection strings" page, so it is built here.

use secrets::Secret;

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
        && !value.contains([';', '\'', '"', '=', '{', '}']);
    if plain {
        value.to_owned()
    } else if value.contains('"') && !value.contains('\'') {
        format!("'{value}'")
    } else {
        format!("\"{}\"", value.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
