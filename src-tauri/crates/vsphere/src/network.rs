//! The way to the server: direct or through a proxy, and the secrets that open it.
//!
//! A vCenter stands in the company's own network, so what this computer's settings say about proxies is not meant for names
//! without a dot, as in Windows' "bypass proxy server for local addresses". An explicit proxy is asked for every server.

use crate::error::VsphereError;
use hyper_util::client::proxy::matcher::Matcher;
use plan::design::Proxy;
use reqwest::header::HeaderValue;
use secrets::Secret;
use url::{Host, Url};

/// Secrets of a connection.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account's.
    pub password: Secret<String>,
    /// Of an explicit proxy with a user name.
    pub proxy_password: Option<Secret<String>>,
}

impl From<&Secret<String>> for Credentials {
    fn from(password: &Secret<String>) -> Self {
        Self {
            password: password.clone(),
            proxy_password: None,
        }
    }
}

impl From<Secret<String>> for Credentials {
    fn from(password: Secret<String>) -> Self {
        Self {
            password,
            proxy_password: None,
        }
    }
}

impl From<&Credentials> for Credentials {
    fn from(all: &Credentials) -> Self {
        all.clone()
    }
}

/// A proxy on the way.
#[derive(Debug, Clone)]
pub(crate) struct Via {
    url: Url,
    user: Option<(String, Option<Secret<String>>)>,
    /// `Proxy-Authorization` that this computer's settings hold.
    ready: Option<HeaderValue>,
}

impl Via {
    /// The proxy between this computer and `server`, if any.
    ///
    /// # Errors
    /// When the explicit proxy's address is none.
    pub fn of(proxy: &Proxy, password: Option<&Secret<String>>, server: &Url) -> Result<Option<Via>, VsphereError> {
        match proxy {
            Proxy::Direct => Ok(None),
            Proxy::System if is_local(server) => Ok(None),
            Proxy::System => Ok(system(server)),
            Proxy::Explicit { url, user } => Ok(Some(Via {
                url: address(url)?,
                user: (!user.is_empty()).then(|| (user.clone(), password.cloned())),
                ready: None,
            })),
        }
    }

    /// `host:port`, for messages.
    pub fn name(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url
            .port_or_known_default()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub fn host(&self) -> Option<&str> {
        self.url.host_str()
    }

    pub fn proxy(&self) -> Result<reqwest::Proxy, VsphereError> {
        let proxy = reqwest::Proxy::all(self.url.clone()).map_err(|e| wrong(&e.to_string()))?;
        Ok(match (&self.user, &self.ready) {
            (Some((user, password)), _) => proxy.basic_auth(user, password.as_ref().map_or("", |p| p.expose())),
            (None, Some(ready)) => proxy.custom_http_auth(ready.clone()),
            (None, None) => proxy,
        })
    }
}

fn system(server: &Url) -> Option<Via> {
    let found = Matcher::from_system().intercept(&server.as_str().parse().ok()?)?;
    Some(Via {
        url: Url::parse(&found.uri().to_string()).ok()?,
        user: None,
        ready: found.basic_auth().cloned(),
    })
}

fn is_local(server: &Url) -> bool {
    match server.host() {
        Some(Host::Domain(name)) => !name.contains('.'),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Reads a proxy's address. A password may stand in a wrong one: it is not repeated.
fn address(typed: &str) -> Result<Url, VsphereError> {
    Url::parse(typed.trim())
        .ok()
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.host().is_some())
        .filter(|u| u.username().is_empty() && u.password().is_none())
        .ok_or_else(|| {
            wrong("it must be like http://proxy.contoso.com:8080; user and password have fields of their own")
        })
}

fn wrong(why: &str) -> VsphereError {
    VsphereError::Config(format!("The proxy's address can't be used: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(proxy: &Proxy, server: &str) -> Option<String> {
        let server = Url::parse(server).unwrap();
        Via::of(proxy, Some(&"CANARY".into()), &server)
            .unwrap()
            .map(|v| v.name())
    }

    #[test]
    fn the_proxy_is_the_one_that_was_chosen() {
        let explicit = |url: &str| Proxy::Explicit {
            url: url.into(),
            user: "u".into(),
        };
        for local in [
            "https://vcenter/sdk",
            "https://localhost/sdk",
            "https://127.0.0.1:8443/sdk",
            "https://[::1]/sdk",
        ] {
            assert_eq!(through(&Proxy::System, local), None, "{local}");
            assert_eq!(through(&Proxy::Direct, local), None, "{local}");
            assert_eq!(
                through(&explicit(" http://proxy:8080 "), local).as_deref(),
                Some("proxy:8080")
            );
        }
        let server = Url::parse("https://vcenter.contoso.com/sdk").unwrap();
        for bad in ["proxy:8080", "socks5://proxy", "", "http://u:CANARY@proxy"] {
            let e = Via::of(&explicit(bad), None, &server).unwrap_err();
            assert!(e.code() == "Config" && !e.to_string().contains("CANARY"), "{e}");
        }
        let via = Via::of(&explicit("http://proxy"), Some(&"CANARY".into()), &server).unwrap();
        assert!(!format!("{via:?}").contains("CANARY"));
    }
}
