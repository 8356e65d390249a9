//! A small client for the lab's own tests; deliberately not the product's.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use jiff::SignedDuration;
use lab::{Addresses, Lab, Options};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

pub struct Azure {
    pub lab: Lab,
    pub a: Addresses,
    pub http: Client,
    token: String,
}

pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Got {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

pub fn client(a: &Addresses) -> Client {
    let ca = reqwest::Certificate::from_pem(a.ca_pem.as_bytes()).unwrap();
    Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap()
}

/// Fields of a form, for the token endpoint.
pub async fn token(http: &Client, a: &Addresses, tenant: &str, id: &str, secret: &str) -> Response {
    http.post(format!("{}/{tenant}/oauth2/v2.0/token", a.authority))
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", &format!("{}/.default", a.arm)),
        ])
        .send()
        .await
        .unwrap()
}

impl Azure {
    pub async fn start(options: Options) -> Azure {
        let lab = Lab::start(options).await.unwrap();
        let a = lab.addresses();
        let http = client(&a);
        let answer: Value = token(&http, &a, &a.tenant_id, &a.client_id, &a.client_secret)
            .await
            .json()
            .await
            .unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        Azure { lab, a, http, token }
    }

    /// `{S}` in a path is the subscription.
    pub fn path(&self, path: &str) -> String {
        path.replace("{S}", &format!("/subscriptions/{}", self.a.subscription_id))
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Got {
        let path = self.path(path);
        let url = if path.starts_with("https://") {
            path
        } else {
            format!("{}{path}", self.a.arm)
        };
        let url = if url.contains("api-version=") {
            url
        } else {
            format!(
                "{url}{}api-version={}",
                if url.contains('?') { '&' } else { '?' },
                version(&url)
            )
        };
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&serde_json::from_str::<Value>(&self.path(&body.to_string())).unwrap());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Got {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        let got = self.call(Method::GET, path, None).await;
        assert_eq!(got.status, 200, "GET {path}: {}", got.body);
        got.body
    }

    pub async fn put(&self, path: &str, body: Value) -> Got {
        self.call(Method::PUT, path, Some(&body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Got {
        self.call(Method::POST, path, Some(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Got {
        self.call(Method::DELETE, path, None).await
    }

    /// Lab time goes on.
    pub fn pass(&self, minutes: i64) {
        self.pass_secs(minutes * 60);
    }

    pub fn pass_secs(&self, secs: i64) {
        let clock = self.lab.clock();
        clock.advance_to(clock.now() + SignedDuration::from_secs(secs));
    }

    /// Follows an accepted request to its end, as Retry-After says, and returns the last answer of the status URL.
    pub async fn settle(&self, got: Got) -> Value {
        assert!(got.status < 300, "{}", got.body);
        let Some(url) = got
            .header("azure-asyncoperation")
            .or(got.header("location"))
            .map(str::to_owned)
        else {
            return got.body;
        };
        let location_only = got.header("azure-asyncoperation").is_none();
        for _ in 0..2000 {
            let poll = self.call(Method::GET, &url, None).await;
            assert!(poll.status < 300, "{url}: {} {}", poll.status, poll.body);
            let done = if location_only {
                poll.status != 202
            } else {
                poll.body["status"] != "InProgress"
            };
            if done {
                return poll.body;
            }
            let wait = poll
                .header("retry-after")
                .or(got.header("retry-after"))
                .unwrap()
                .parse()
                .unwrap();
            self.pass_secs(wait);
        }
        panic!("never ends: {url}");
    }

    pub async fn done(&self, got: Got) {
        let end = self.settle(got).await;
        assert!(end["status"] != "Failed", "{end}");
    }
}

pub fn version(url: &str) -> &'static str {
    let u = url.to_lowercase();
    match () {
        () if u.ends_with("/register") => "2024-07-01",
        () if u.contains("microsoft.datamigration/") => "2025-06-30",
        () if u.contains("microsoft.authorization/locks") => "2020-05-01",
        () if u.contains("microsoft.authorization") => "2022-04-01",
        () if u.contains("microsoft.compute/skus") => "2021-07-01",
        () if u.contains("microsoft.compute/") => "2024-07-01",
        () if u.contains("/solutions/") => "2018-09-01-preview",
        () if u.contains("microsoft.migrate/") => "2020-05-01",
        () if u.contains("microsoft.offazure/") => "2020-01-01",
        () if u.contains("microsoft.recoveryservices/") => "2024-04-01",
        () if u.contains("microsoft.sql/") => "2021-11-01",
        () if u.contains("microsoft.storage/") => "2023-05-01",
        () if u.contains("microsoft.network/") => "2024-03-01",
        () if u.contains("/providers") || u.contains("/resourcegroups") => "2024-07-01",
        () => "2022-12-01",
    }
}

pub fn nsg() -> Value {
    json!({"location": "eastus2", "properties": {"securityRules": []}})
}

pub const NET: &str = "{S}/resourceGroups/ContosoNetworkingRG/providers/Microsoft.Network";
pub const RG: &str = "{S}/resourceGroups/ContosoRG";

impl Azure {
    /// Network and groups as the scenario's first step makes them; returns the managed instance's subnet.
    pub async fn network(&self) -> String {
        for g in ["ContosoRG", "ContosoFailoverRG"] {
            let got = self
                .put(&format!("{{S}}/resourceGroups/{g}"), json!({"location": "eastus2"}))
                .await;
            assert_eq!(got.status, 201, "{}", got.body);
        }
        self.done(
            self.put(&format!("{NET}/networkSecurityGroups/NSG-SQLMI-EUS2"), nsg())
                .await,
        )
        .await;
        let table = json!({"location": "eastus2", "properties": {"disableBgpRoutePropagation": false, "routes": []}});
        self.done(self.put(&format!("{NET}/routeTables/MIRouteTable"), table).await)
            .await;
        let vnet = json!({"location": "eastus2", "properties": {
            "addressSpace": {"addressPrefixes": ["10.235.0.0/24"]},
            "dhcpOptions": {"dnsServers": ["10.245.42.4", "10.245.42.5", "168.63.129.16"]},
            "subnets": [
                {"name": "SQLMI-DS-EUS2", "properties": {
                    "addressPrefix": "10.235.0.0/25",
                    "networkSecurityGroup": {"id": format!("{NET}/networkSecurityGroups/NSG-SQLMI-EUS2")},
                    "routeTable": {"id": format!("{NET}/routeTables/MIRouteTable")},
                    "delegations": [{"name": "mi", "properties": {"serviceName": "Microsoft.Sql/managedInstances"}}],
                }},
                {"name": "SQLMI-SAW-EUS2", "properties": {"addressPrefix": "10.235.0.128/29"}},
            ],
        }});
        self.done(self.put(&format!("{NET}/virtualNetworks/VNET-SQLMI-EUS2"), vnet).await)
            .await;
        for (a, b, transit, remote) in [
            ("VNET-HUB-EUS2", "VNET-SQLMI-EUS2", true, false),
            ("VNET-SQLMI-EUS2", "VNET-HUB-EUS2", false, true),
            ("VNET-PROD-EUS2", "VNET-SQLMI-EUS2", false, false),
            ("VNET-SQLMI-EUS2", "VNET-PROD-EUS2", false, false),
        ] {
            let peering = json!({"properties": {
                "remoteVirtualNetwork": {"id": format!("{NET}/virtualNetworks/{b}")}, "allowVirtualNetworkAccess": true,
                "allowForwardedTraffic": true, "allowGatewayTransit": transit, "useRemoteGateways": remote,
            }});
            self.done(
                self.put(
                    &format!("{NET}/virtualNetworks/{a}/virtualNetworkPeerings/{a}-{b}"),
                    peering,
                )
                .await,
            )
            .await;
        }
        let test = json!({"location": "eastus2", "properties": {
            "addressSpace": {"addressPrefixes": ["10.246.0.0/24"]},
            "subnets": [{"name": "TEST-FE", "properties": {"addressPrefix": "10.246.0.0/25"}}],
        }});
        self.done(self.put(&format!("{NET}/virtualNetworks/VNET-TEST-EUS2"), test).await)
            .await;
        self.path(&format!("{NET}/virtualNetworks/VNET-SQLMI-EUS2/subnets/SQLMI-DS-EUS2"))
    }

    pub async fn register(&self, namespace: &str) {
        let got = self
            .post(&format!("{{S}}/providers/{namespace}/register"), Value::Null)
            .await;
        assert_eq!(got.status, 200);
        self.pass_secs(60);
        assert_eq!(
            self.get(&format!("{{S}}/providers/{namespace}")).await["registrationState"],
            "Registered"
        );
    }

    pub fn instance(&self, subnet: &str) -> Value {
        json!({
            "location": "eastus2", "sku": {"name": "GP_Gen5", "tier": "GeneralPurpose"},
            "properties": {
                "subnetId": subnet, "vCores": 8, "storageSizeInGB": 256, "licenseType": "LicenseIncluded",
                "administratorLogin": "contosoadmin", "administratorLoginPassword": "Lab-Passw0rd-For-Tests!",
            },
        })
    }
}
