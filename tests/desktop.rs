//! The real window, driven from outside: the whole rehearsal by clicks, the report, the reopened project, the question
//! when the window is closed during a run. Leaves screenshots in target/screens.

use crate::{
    discovery::{PASSWORD, USER, Vcsim},
    support::{Home, alone, top, until},
    webdriver::{Display, Window},
};
use plan::{design::VCenterConnection, exchange::NoTrace};
use report::{Outcome, Report};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

fn picture(name: &str, theme: &str) -> PathBuf {
    top().join("target/screens").join(format!("{name}-{theme}.png"))
}

async fn theme(window: &Window) -> String {
    window
        .script("return document.documentElement.dataset.theme ?? ''")
        .await
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The same screen in light and dark; ends in light.
async fn photograph(window: &Window, name: &str) {
    for wanted in ["dark", "light"] {
        change_theme(window, wanted).await;
        window.screenshot(&picture(name, wanted)).await;
    }
}

async fn change_theme(window: &Window, wanted: &str) {
    until(wanted, async || {
        if theme(window).await == wanted {
            return Some(());
        }
        // Without the pointer, whose tooltip would be in the picture.
        window
            .script("document.querySelector('[data-testid=theme-toggle]').click()")
            .await;
        None
    })
    .await;
}

/// A gate covers the button that changes the theme: it is put off and opened again.
async fn photograph_gate(window: &Window) {
    photograph(window, "run-gate-banner").await;
    for wanted in ["dark", "light"] {
        change_theme(window, wanted).await;
        window.click("gate-review").await;
        window.wait_for("gate-accept").await;
        window.screenshot(&picture("run-gate", wanted)).await;
        window.click("gate-later").await;
        until("the question is put off", async || {
            window.find("gate-accept").await.is_none().then_some(())
        })
        .await;
    }
}

async fn phase(window: &Window) -> String {
    window.attribute("run-screen", "data-phase").await.unwrap_or_default()
}

/// Rehearses the sample at a speed that is not the usual one.
async fn rehearse_at(window: &Window, speed: u32) {
    window.click("rehearse-options").await;
    window.click(&format!("speed-{speed}")).await;
    window.click("rehearse-start").await;
}

async fn change_speed(window: &Window, speed: u32) {
    window.click("speed-menu").await;
    window.click(&format!("speed-{speed}")).await;
}

/// Collects what the page complains about from now on.
async fn listen_for_complaints(window: &Window) {
    let script = "window.complaints = [];
        for (const level of ['error', 'warn']) {
            const usual = console[level];
            console[level] = (...all) => { window.complaints.push(level + ': ' + all.join(' ')); usual(...all); };
        }
        addEventListener('error', (e) => window.complaints.push('error: ' + e.message));
        addEventListener('unhandledrejection', (e) => window.complaints.push('rejection: ' + e.reason));";
    window.script(script).await;
}

async fn must_not_have_complained(window: &Window) {
    assert_eq!(
        window.script("return window.complaints").await,
        serde_json::json!([]),
        "the page must not complain"
    );
}

#[tokio::test]
async fn the_sample_is_rehearsed_by_clicks_reported_and_reopened() {
    let _machine = alone().await;
    let home = Home::new();
    std::fs::create_dir_all(home.path("dialogs")).unwrap();
    let display = Display::start().await;
    let begun = Instant::now();
    let window = Window::open(&display, &home, &[]).await;
    window.wait_for("rehearse-sample").await;
    println!(
        "the window can be used {:.2} s after the start of its driver (debug build)",
        begun.elapsed().as_secs_f64()
    );
    listen_for_complaints(&window).await;
    photograph(&window, "home").await;

    // Slow enough at first that start and middle can be looked at.
    rehearse_at(&window, 60).await;
    window.wait_for("steps").await;
    photograph(&window, "run-start").await;
    window.click("nav-connect").await;
    window.wait_for("vcenter-url").await;
    window.click("vcenter-test").await;
    // The simulator has no WEBVM, whose rights the test also tells: that it lets us in is what counts.
    let let_in = "return [...document.querySelectorAll('[data-testid=test-result] li[data-ok=true]')]\
        .some((e) => e.textContent.includes('Sign in'))";
    until("vCenter lets us in", async || {
        (window.script(let_in).await == true).then_some(())
    })
    .await;
    photograph(&window, "connections").await;
    window.click("nav-inventory").await;
    window.wait_for("vm-row").await;
    photograph(&window, "inventory").await;
    window.click("nav-plan").await;
    until("the plan is shown", async || {
        window.text().await.contains("VNET-SQLMI-EUS2").then_some(())
    })
    .await;
    photograph(&window, "plan").await;
    window.click("nav-run").await;
    window.wait_for("steps").await;

    change_speed(&window, 5000).await;
    until("step 1 is done", async || {
        (window.attribute("step-1", "data-status").await? == "done").then_some(())
    })
    .await;
    window.click("pause").await;
    window.wait_for("continue").await;
    photograph(&window, "run-middle").await;
    window.click("continue").await;

    let mut decided = 0;
    until("the run is done", async || {
        match phase(&window).await.as_str() {
            "done" => return Some(()),
            "stopped" | "cancelled" => panic!("the run did not get to its end:\n{}", window.text().await),
            _ => {}
        }
        if window.find("gate-review").await.is_some() {
            if decided == 0 {
                photograph_gate(&window).await;
            }
            window.click("gate-review").await;
            window
                .write("gate-note", "Looked at it in the test of the window.")
                .await;
            window.click("gate-accept").await;
            window.wait_until_gone("gate-accept").await;
            decided += 1;
        }
        None
    })
    .await;
    assert!(
        decided >= 2,
        "test failover and cutover are decisions, {decided} were asked for"
    );
    for step in 1..=8 {
        let name = format!("step-{step}");
        until(&name, async || {
            (window.attribute(&name, "data-status").await? == "done").then_some(())
        })
        .await;
    }
    photograph(&window, "run-end").await;

    window.click("save-report").await;
    window.wait_for("report-saved").await;
    let saved: Vec<PathBuf> = std::fs::read_dir(home.path("dialogs"))
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    let json = saved
        .iter()
        .find(|p| p.extension().is_some_and(|e| e == "json"))
        .expect("a JSON report");
    let report = Report::verify(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report.run.outcome, Outcome::Done);
    assert!(
        report
            .tasks()
            .any(|t| t.decision.as_ref().is_some_and(|d| d.note.starts_with("Looked at it")))
    );
    assert!(saved.iter().any(|p| p.extension().is_some_and(|e| e == "html")));
    must_not_have_complained(&window).await;
    window.close().await;

    let window = Window::open(&display, &home, &[]).await;
    window.click("[data-testid='project-card'] button").await;
    window.wait_for("steps").await;
    assert_eq!(
        phase(&window).await,
        "done",
        "the reopened project shows the finished run"
    );
    photograph(&window, "reopened").await;
    window.close().await;
}

/// From a change in vCenter to the row that shows it.
const LIVE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_certificate_is_trusted_and_a_change_appears_while_one_looks() {
    let _machine = alone().await;
    let home = Home::new();
    std::fs::create_dir_all(home.path("dialogs")).unwrap();
    let vcsim = Vcsim::start(&home, &["-dc", "1", "-cluster", "1", "-vm", "200"]).await;
    let display = Display::start().await;
    let window = Window::open(&display, &home, &[]).await;
    window.wait_for("rehearse-sample").await;
    listen_for_complaints(&window).await;
    window.click("project-new").await;
    window.write("project-name", "Certificates").await;
    window.click("project-create").await;
    window.click("nav-connect").await;
    window.write("vcenter-url", &vcsim.url).await;
    window.write("vcenter-user", USER).await;
    window.write("vcenter-password", PASSWORD).await;

    // Unknown: shown with both fingerprints, and the safe choice has the focus.
    window.click("vcenter-test").await;
    window.wait_for("certificate").await;
    let focused = "return document.activeElement?.dataset.testid";
    until("the safe choice has the focus", async || {
        (window.script(focused).await == "certificate-refuse").then_some(())
    })
    .await;
    let shown = window
        .script("return document.querySelector('[data-testid=certificate]').textContent")
        .await;
    let shown = shown.as_str().unwrap().to_owned();
    assert!(shown.contains(&vcsim.thumbprint) && shown.contains("SHA-1"), "{shown}");
    photograph_covered(&window, "certificate-unknown").await;
    window.click("certificate-refuse").await;
    window.wait_until_gone("certificate").await;
    assert_eq!(
        window.attribute("test-result", "data-ok").await.as_deref(),
        Some("false")
    );
    window.click("vcenter-test").await;
    window.click("certificate-trust").await;
    // The simulator has no WEBVM, whose rights the test also tells: that it lets us in is what counts.
    let let_in = "return [...document.querySelectorAll('[data-testid=test-result] li[data-ok=true]')]\
        .some((e) => e.textContent.includes('Sign in'))";
    until("vCenter lets us in", async || {
        (window.script(let_in).await == true).then_some(())
    })
    .await;

    window.click("nav-inventory").await;
    window.click("inventory-read").await;
    until("all machines are there", async || {
        (window.attribute("inventory-count", "data-count").await? == "200").then_some(())
    })
    .await;
    let name = window.attribute("vm-row", "data-name").await.unwrap();
    let connection = VCenterConnection {
        url: vcsim.url.clone(),
        user: USER.into(),
        thumbprint: vcsim.thumbprint.clone(),
        ..VCenterConnection::default()
    };
    let secret = secrets::Secret::from(PASSWORD);
    let vcenter = vsphere::VCenter::connect(&connection, &secret, Arc::new(NoTrace)).await;
    let vcenter = vcenter.unwrap();
    until("the window watches", async || {
        (window.attribute("inventory-live", "data-watch").await? == "live").then_some(())
    })
    .await;
    let moref = vcenter.find_vm(&name).await.unwrap().unwrap().moref;
    let row = format!("[data-name='{name}']");
    assert_eq!(window.attribute(&row, "data-power").await.as_deref(), Some("poweredOn"));
    vcenter.power_off(&moref).await.unwrap();
    let begun = Instant::now();
    until("the change is on screen", async || {
        (window.attribute(&row, "data-power").await? == "poweredOff").then_some(())
    })
    .await;
    let took = begun.elapsed();
    println!("a change in vCenter was on screen after {took:?}");
    assert!(took < LIVE, "{took:?}");
    photograph(&window, "inventory-live").await;
    vcenter.logout().await;

    // The same address, another certificate.
    let port = vcsim
        .url
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches("/sdk")
        .to_owned();
    let before = vcsim.thumbprint.clone();
    drop(vcsim);
    let listen = format!("127.0.0.1:{port}");
    let renewed = Vcsim::start(&home, &["-l", &listen]).await;
    window.click("nav-connect").await;
    window.click("vcenter-test").await;
    window.wait_for("certificate-changed").await;
    let shown = window
        .script("return [...document.querySelectorAll('[data-part=sha256] td')].map((e) => e.textContent)")
        .await;
    assert_eq!(shown, serde_json::json!([before, renewed.thumbprint]));
    photograph_covered(&window, "certificate-changed").await;
    window.click("certificate-trust").await;
    until("vCenter lets us in again", async || {
        (window.script(let_in).await == true).then_some(())
    })
    .await;
    must_not_have_complained(&window).await;
    window.close().await;
}

/// Chooses in a list, as a person does.
async fn choose(window: &Window, what: &str, at: usize) {
    window.wait_for(what).await;
    let script = format!(
        "const list = document.querySelector('[data-testid=\"{what}\"]');
        list.selectedIndex = {at};
        list.dispatchEvent(new Event('change', {{ bubbles: true }}));"
    );
    window.script(&script).await;
}

#[tokio::test]
async fn the_appliance_is_deployed_and_what_is_wrong_in_a_machine_is_put_right() {
    let _machine = alone().await;
    let home = Home::new();
    let display = Display::start().await;
    let window = Window::open(&display, &home, &[]).await;
    window.wait_for("rehearse-sample").await;
    listen_for_complaints(&window).await;
    // In real time nobody else deploys it meanwhile.
    rehearse_at(&window, 1).await;
    window.wait_for("steps").await;

    // The template to the running appliance.
    window.click("step-5").await;
    window.click("[data-address='step-5/person/deploy-appliance']").await;
    window.click("deploy-here").await;
    window.click("appliance-sample").await;
    // Each page begins with its heading, which takes the focus.
    let next = async || {
        window.click("[data-testid=appliance-next]:not([disabled])").await;
        until("the next page has the focus", async || {
            let id = window.script("return document.activeElement?.id").await;
            (id == "appliance-heading").then_some(())
        })
        .await;
    };
    next().await;
    window.click("appliance-accept").await;
    next().await;
    window.wait_for("appliance-datastore").await;
    photograph_covered(&window, "appliance-where").await;
    next().await;
    choose(&window, "appliance-network-Management", 1).await;
    next().await;
    window
        .write("appliance-value-vami.password.App", "Correct-horse-1")
        .await;
    next().await;
    window.click("[data-testid=appliance-deploy-now]:not([disabled])").await;
    window.wait_for("appliance-registration").await;
    photograph_covered(&window, "appliance-runs").await;
    let close = "[...document.querySelectorAll('[data-testid=appliance-dialog] button')].at(-1).click()";
    window.script(close).await;
    window.wait_until_gone("appliance-dialog").await;

    change_speed(&window, 60).await;

    // What is wrong inside WEBVM is seen, put right, and taken back.
    window.click("nav-inventory").await;
    window.wait_for("vm-row").await;
    until("vCenter tells that the appliance runs", async || {
        let power = window.attribute("[data-name='ASR-APPLIANCE']", "data-power").await?;
        (power == "poweredOn").then_some(())
    })
    .await;
    window.click("[data-name='WEBVM']").await;
    window.click("readiness-check").await;
    window.click("preview-rdp").await;
    window.wait_for("fix-script").await;
    photograph_covered(&window, "readiness-fix").await;
    window.click("[data-testid=fix]:not([disabled])").await;
    window.wait_until_gone("fix-preview").await;
    window.wait_for("[data-item=rdp][data-state=right]").await;
    photograph(&window, "readiness-fixed").await;
    window.click("undo-rdp").await;
    window.wait_for("[data-item=rdp][data-state=wrong]").await;
    must_not_have_complained(&window).await;

    // The databases, by the rehearsal's own connection.
    window.click("inventory-databases").await;
    window.click("databases-begin").await;
    window.click("[data-name='SmartHotelDB']").await;
    until("the database is judged", async || {
        let text = window.text().await;
        text.contains("Windows accounts can't sign in").then_some(())
    })
    .await;
    photograph(&window, "databases").await;
    window.close().await;
}

#[tokio::test]
async fn closing_the_window_during_a_run_asks_and_reopening_goes_on() {
    let _machine = alone().await;
    let home = Home::new();
    let display = Display::start().await;
    let window = Window::open(&display, &home, &["--rehearse-sample", "--speed", "60"]).await;
    window.wait_for("steps").await;
    until("the run is live", async || {
        (phase(&window).await == "running").then_some(())
    })
    .await;

    display.ask_to_close("Rehost");
    window.wait_for("close-keep").await;
    photograph_covered(&window, "close-question").await;
    window.click("close-keep").await;
    window.wait_until_gone("close-keep").await;
    assert!(
        window.is_open().await && phase(&window).await == "running",
        "the run must go on"
    );

    display.ask_to_close("Rehost");
    window.click_and_leave("close-now").await;
    let closed = until("the window is closed", async || (!window.is_open().await).then_some(()));
    tokio::time::timeout(Duration::from_secs(30), closed)
        .await
        .expect("the window should close");
    window.close().await;

    // Opened again, the run waits where it was, and goes on when it is asked to.
    let window = Window::open(&display, &home, &[]).await;
    window.click("[data-testid='project-card'] button").await;
    window.wait_for("banner-resume").await;
    photograph(&window, "run-left").await;
    window.click("banner-resume").await;
    window.wait_for("pause").await;
    change_speed(&window, 5000).await;
    until("step 1 is done", async || {
        (window.attribute("step-1", "data-status").await? == "done").then_some(())
    })
    .await;
    window.close().await;
}

/// A dialog covers the button that changes the theme: one picture is enough.
async fn photograph_covered(window: &Window, name: &str) {
    window.screenshot(&picture(name, &theme(window).await)).await;
}
