//! Microsoft's Azure CLI, registered on the lab as a cloud of its own, signs in, creates a resource group, and lists what
//! Rehost made. Only with `cargo xtask test --with az`: it takes minutes to install.

use crate::support::{Ended, Home, LabProcess, judge, together};
use serde_json::Value;
use std::{ffi::OsStr, path::PathBuf};
use tokio::process::Command;

struct Az {
    program: PathBuf,
    home: Home,
    ca: String,
}

impl Az {
    async fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Value {
        let mut az = Command::new(&self.program);
        az.args(arguments)
            .args(["--output", "json", "--only-show-errors"])
            .env("AZURE_CONFIG_DIR", self.home.path("azure"))
            .env("REQUESTS_CA_BUNDLE", &self.ca)
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            // Otherwise it asks Microsoft's own servers whether the lab's sign-in may be trusted.
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false");
        Ended::of(&mut az).await.must_end_with(0).json.clone()
    }
}

#[tokio::test]
async fn the_azure_cli_signs_in_and_sees_what_rehost_made() {
    let _machine = together().await;
    let home = Home::new();
    let lab = LabProcess::start(&home, &[]).await;
    Ended::of(&mut lab.run(&home, &home.path("p.rehost"), &[]))
        .await
        .must_end_with(0);

    let az = Az {
        program: judge(
            "az",
            "REHOST_AZ",
            "azure-cli from PyPI, with `cargo xtask test --with az`",
        ),
        home: Home::new(),
        ca: lab.ca_file.clone(),
    };
    let (arm, tenant) = (lab.text("arm"), lab.text("tenantId"));
    az.run(&["cloud", "register", "--name", "lab", "--endpoint-resource-manager", arm])
        .await;
    az.run(&["cloud", "set", "--name", "lab"]).await;
    let signed_in = ["login", "--service-principal", "--tenant", tenant, "--username"];
    let who = [lab.text("clientId"), "--password", lab.text("clientSecret")];
    let accounts = az.run(&[&signed_in[..], &who[..]].concat()).await;
    assert_eq!(accounts[0]["id"], lab.text("subscriptionId"));

    let made = az
        .run(&["group", "create", "--name", "FromAzRG", "--location", "eastus2"])
        .await;
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    let names = |list: &Value| -> Vec<String> {
        let name = |v: &Value| v["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    };
    let groups = names(&az.run(&["group", "list"]).await);
    for expected in ["FromAzRG", "ContosoRG", "ContosoNetworkingRG"] {
        assert!(groups.iter().any(|g| g == expected), "{expected} is not in {groups:?}");
    }
    let resources = names(&az.run(&["resource", "list", "--resource-group", "ContosoRG"]).await);
    for expected in ["contoso-sqlmi", "WEBVM"] {
        assert!(
            resources.iter().any(|r| r == expected),
            "{expected} is not in {resources:?}"
        );
    }
    let network = [
        "network",
        "vnet",
        "show",
        "--resource-group",
        "ContosoNetworkingRG",
        "--name",
    ];
    let network = az.run(&[&network[..], &["VNET-SQLMI-EUS2"]].concat()).await;
    assert_eq!(names(&network["subnets"]), ["SQLMI-DS-EUS2", "SQLMI-SAW-EUS2"]);
    let database = [
        "sql",
        "midb",
        "show",
        "--resource-group",
        "ContosoRG",
        "--managed-instance",
        "contoso-sqlmi",
    ];
    let database = az.run(&[&database[..], &["--name", "SmartHotelDB"]].concat()).await;
    assert_eq!(database["status"], "Online");
}
