//! Readiness inside machines: read, put right, taken back, or read by a person who pastes what the script printed.
//!
//! What was read and what was changed stands with the machine in the project. A change is written down before it is made, with
//! the facts before it, so that the way back survives a crash, a restart, and a new discovery. After each change the machine
//! is read again: what the window shows is what is so, not what should be.
//! The account of a guest is none of vCenter's: it is kept for this start, or in the keyring when the person says so.

use crate::{
    App, Open, Typed,
    app::lock,
    inventory::session,
    wire::{GuestFixPreview, GuestItemState, GuestItemView, GuestPersonView, GuestView, UiError},
};
use jiff::Timestamp;
use plan::{
    GuestFacts, GuestState, Script, Vm,
    guest::{self, GuestChange, Item, System},
};
use secrets::Secret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use vsphere::{GuestAccount, GuestRun, Shell};

/// Of a script's output in an error.
const SHOWN: usize = 600;

/// What the keyring holds for one machine.
#[derive(Serialize, Deserialize)]
struct Stored {
    user: String,
    password: String,
}

/// The account's key in the store of secrets.
pub(crate) fn account_key(project_id: &str, moref: &str) -> String {
    format!("{project_id}/guest/{moref}")
}

/// An account as the store holds it.
pub(crate) fn stored(user: &str, password: &str) -> Result<Secret<String>, UiError> {
    let stored = Stored {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    serde_json::to_string(&stored)
        .map(Secret::new)
        .map_err(UiError::internal)
}

/// What is known of a machine's readiness.
///
/// # Errors
/// Fails when the project isn't open or does not hold the machine.
pub async fn guest_get(app: &Arc<App>, project: String, moref: String) -> Result<GuestView, UiError> {
    let open = app.opened(&project)?;
    view(app, &open, &moref).await
}

/// Reads a machine's readiness through vCenter. `user` and `password`: none = as stored. `remember` puts them into the keyring.
///
/// # Errors
/// Fails without an account, when vCenter or the guest refuses, and when the output can't be read.
pub async fn guest_check(
    app: &Arc<App>,
    project: String,
    moref: String,
    user: Option<String>,
    password: Option<Typed>,
    remember: bool,
) -> Result<GuestView, UiError> {
    let open = app.opened(&project)?;
    let vm = machine(&open, &moref)?;
    let system = system(&vm)?;
    let account = match (user, password) {
        (Some(user), Some(Typed(password))) => GuestAccount {
            user: user.trim().to_owned(),
            password,
        },
        _ => account(app, &open, &vm).await?,
    };
    look(app, &open, &vm, system, &account).await?;
    // Remembered is only what has worked.
    lock(&open.guests).insert(moref.clone(), account.clone());
    if remember {
        let key = account_key(&open.project().id, &moref);
        let secret = stored(&account.user, account.password.expose())?;
        app.store_of(&open).await.set(&key, &secret).await?;
    }
    view(app, &open, &moref).await
}

/// What a fix would change, by which script, and how it would be taken back.
///
/// # Errors
/// Fails when nothing is known to be wrong, or no script can put it right.
pub async fn guest_fix_preview(
    app: &Arc<App>,
    project: String,
    moref: String,
    item: Item,
) -> Result<GuestFixPreview, UiError> {
    let open = app.opened(&project)?;
    let vm = machine(&open, &moref)?;
    let [script, undo] = scripts(item, &vm)?;
    let facts = facts(&vm)?;
    let changes = guest::changes(item, facts);
    Ok(GuestFixPreview {
        item,
        changes: changes.iter().map(guest::Change::words).collect(),
        script,
        undo,
        notes: guest::by_person(item, facts).map(|p| p.steps).unwrap_or_default(),
    })
}

/// Puts an item right through vCenter, then reads the machine again.
///
/// # Errors
/// Fails when the machine is not as the preview said any more, and like [`guest_check`].
pub async fn guest_fix(app: &Arc<App>, project: String, moref: String, item: Item) -> Result<GuestView, UiError> {
    let open = app.opened(&project)?;
    let vm = machine(&open, &moref)?;
    let system = facts(&vm)?.system;
    let shown = scripts(item, &vm)?;
    let account = account(app, &open, &vm).await?;
    // What was read may be old, or pasted: the way back must lead to what is there now. What would refuse the script refuses
    // this look as well, before anything is written down.
    look(app, &open, &vm, system, &account).await?;
    let vm = machine(&open, &moref)?;
    if scripts(item, &vm).ok().as_ref() != Some(&shown) {
        return Err(UiError::state(
            format!("{} is not as it was shown", vm.name),
            "Somebody has changed this in the machine since it was read. Nothing was changed by Rehost.",
            "Close the preview and look at the item again: it was read a moment ago.",
        ));
    }
    let before = facts(&vm)?.clone();
    open.change_guest(&moref, |state| {
        state.changes.push(GuestChange {
            item,
            at: Timestamp::now(),
            before,
        });
    })?;
    let vcenter = session(app, &open).await?;
    let run = vcenter
        .run_in_guest(&moref, &account, shell(system), &shown[0].text)
        .await?;
    ended(&vm, &run)?;
    look(app, &open, &vm, system, &account).await?;
    view(app, &open, &moref).await
}

/// Takes the newest fix of an item back, then reads the machine again.
///
/// # Errors
/// Fails when nothing of it is on record, and like [`guest_check`].
pub async fn guest_undo(app: &Arc<App>, project: String, moref: String, item: Item) -> Result<GuestView, UiError> {
    let open = app.opened(&project)?;
    let vm = machine(&open, &moref)?;
    let change = vm.guest.as_ref().and_then(|g| g.last(item)).cloned();
    let script = change.as_ref().and_then(|c| guest::undo(item, &c.before));
    let (Some(change), Some(script)) = (change, script) else {
        return Err(UiError::state(
            format!("There is nothing to take back in {}", vm.name),
            "Rehost has no change of this on record.",
            "Check readiness again to see how it is now.",
        ));
    };
    let account = account(app, &open, &vm).await?;
    let vcenter = session(app, &open).await?;
    let system = change.before.system;
    // Run twice it does the same: it is taken off the record only when it has ended well.
    let run = vcenter
        .run_in_guest(&moref, &account, shell(system), &script.text)
        .await?;
    ended(&vm, &run)?;
    open.change_guest(&moref, |state| state.forget(item))?;
    look(app, &open, &vm, system, &account).await?;
    view(app, &open, &moref).await
}

/// Takes the output of the script that a person has run in the machine.
///
/// # Errors
/// Fails when it is none, is cut off, or comes out of another system.
pub async fn guest_paste(app: &Arc<App>, project: String, moref: String, output: String) -> Result<GuestView, UiError> {
    let open = app.opened(&project)?;
    let vm = machine(&open, &moref)?;
    let facts = guest::read(&output).map_err(|e| {
        UiError::invalid(
            "This is not the whole output of the script",
            e.to_string(),
            "Run the script again, select everything that it prints, from readiness=1 to end=1, copy it and paste it here.",
        )
    })?;
    if system(&vm).is_ok_and(|s| s != facts.system) {
        return Err(UiError::invalid(
            format!("This output is of another system than {} has", vm.name),
            format!(
                "vCenter says that {} runs {}.",
                vm.name,
                vm.guest_full_name.clone().unwrap_or_default()
            ),
            "Look in which machine the script was run, and paste the output of this one.",
        ));
    }
    open.change_guest(&moref, |state| keep(state, facts, true))?;
    view(app, &open, &moref).await
}

fn keep(state: &mut GuestState, facts: GuestFacts, pasted: bool) {
    state.facts = Some(facts);
    state.read_at = Some(Timestamp::now());
    state.pasted = pasted;
}

/// Reads a machine and keeps what was found.
async fn look(app: &Arc<App>, open: &Open, vm: &Vm, system: System, account: &GuestAccount) -> Result<(), UiError> {
    let vcenter = session(app, open).await?;
    let script = guest::script(system).text;
    let run = vcenter.run_in_guest(&vm.moref, account, shell(system), &script).await?;
    let facts = guest::read(&run.output).map_err(|e| {
        let said = shown(&run.output);
        UiError::refused(
            format!("The readiness script did not end well in {}", vm.name),
            format!("{e} It ended with {}. It printed: {said}", run.exit_code),
            "Run the script yourself in the machine and paste its output; what it prints there says more.",
        )
    })?;
    open.change_guest(&vm.moref, |state| keep(state, facts, false))
}

fn ended(vm: &Vm, run: &GuestRun) -> Result<(), UiError> {
    if run.exit_code == 0 && run.output.contains("done=1") {
        return Ok(());
    }
    Err(UiError::refused(
        format!("The script failed in {}", vm.name),
        format!("It ended with {}. It printed: {}", run.exit_code, shown(&run.output)),
        "A part of it may have been carried out. Check readiness again to see how it is, then try again, take it back with Undo, or run the script yourself as an administrator.",
    ))
}

fn shown(output: &str) -> String {
    match output.trim() {
        "" => "nothing".into(),
        said => said.chars().take(SHOWN).collect(),
    }
}

fn shell(system: System) -> Shell {
    match system {
        System::Windows => Shell::PowerShell,
        System::Linux => Shell::Sh,
    }
}

fn machine(open: &Open, moref: &str) -> Result<Vm, UiError> {
    let found = open.inventory()?;
    let found = found.iter().flat_map(|i| &i.vms).find(|v| v.moref == moref);
    found.cloned().ok_or_else(|| {
        UiError::not_found(
            "The machine is not in the inventory",
            format!("{moref} is not, or no longer, known in this project."),
            "Choose Read in Inventory.",
        )
    })
}

fn system(vm: &Vm) -> Result<System, UiError> {
    System::of(vm).ok_or_else(|| {
        let told = vm.guest_full_name.clone().unwrap_or_else(|| "no system".into());
        UiError::state(
            format!("Readiness of {} can't be read", vm.name),
            format!("vCenter reports {told}; there are scripts for Windows and Linux only."),
            "If vCenter is wrong, correct it in Edit Settings, VM Options, General Options, and choose Read in Inventory.",
        )
    })
}

fn facts(vm: &Vm) -> Result<&GuestFacts, UiError> {
    vm.guest.as_ref().and_then(|g| g.facts.as_ref()).ok_or_else(|| {
        UiError::state(
            format!("Readiness of {} has not been checked yet", vm.name),
            "What is wrong is not known, and so neither what to change nor the way back.",
            "Choose Check now under Readiness.",
        )
    })
}

/// The fix of an item and its way back.
fn scripts(item: Item, vm: &Vm) -> Result<[Script; 2], UiError> {
    let facts = facts(vm)?;
    match (guest::fix(item, facts), guest::undo(item, facts)) {
        (Some(fix), Some(undo)) => Ok([fix, undo]),
        _ => Err(UiError::state(
            format!("Nothing is there for a script to change in {}", vm.name),
            "It is right, or a person has to do it.",
            "Check readiness again to see how it is now.",
        )),
    }
}

/// The account that was used last, or that of the keyring.
async fn account(app: &Arc<App>, open: &Open, vm: &Vm) -> Result<GuestAccount, UiError> {
    if let Some(known) = lock(&open.guests).get(&vm.moref) {
        return Ok(known.clone());
    }
    remembered(app, open, &vm.moref).await?.ok_or_else(|| {
        UiError::invalid(
            format!("There is no account for {}", vm.name),
            "Rehost needs an administrator of the machine's own system, which is not the account of vCenter.",
            "Enter user name and password under Readiness, Check now.",
        )
    })
}

async fn remembered(app: &Arc<App>, open: &Open, moref: &str) -> Result<Option<GuestAccount>, UiError> {
    let key = account_key(&open.project().id, moref);
    let Some(secret) = app.store_of(open).await.get(&key).await? else {
        return Ok(None);
    };
    // What can't be read is entered again.
    let account = serde_json::from_str::<Stored>(secret.expose()).ok();
    Ok(account.map(|s| GuestAccount {
        user: s.user,
        password: Secret::new(s.password),
    }))
}

async fn view(app: &Arc<App>, open: &Open, moref: &str) -> Result<GuestView, UiError> {
    let vm = machine(open, moref)?;
    let system = System::of(&vm);
    // A keyring that doesn't answer counts as nothing remembered.
    let remembered = remembered(app, open, moref).await.ok().flatten();
    let used = lock(&open.guests).get(moref).map(|a| a.user.clone());
    let state = vm.guest.clone().unwrap_or_default();
    let items = system.map(System::items).unwrap_or_default();
    Ok(GuestView {
        moref: moref.to_owned(),
        system,
        read_at: state.read_at.filter(|_| state.facts.is_some()).map(|t| t.to_string()),
        pasted: state.pasted,
        version: state.facts.as_ref().map(|f| f.version.clone()).unwrap_or_default(),
        admin: state.facts.as_ref().and_then(|f| f.admin),
        account_ready: used.is_some() || remembered.is_some(),
        remembered: remembered.is_some(),
        account: used.or_else(|| remembered.map(|a| a.user)),
        tools_running: vm.power_state == "poweredOn" && vm.tools_status.as_deref() != Some("guestToolsNotRunning"),
        script: system.map(guest::script),
        items: items.iter().map(|item| item_view(*item, &state)).collect(),
    })
}

fn item_view(item: Item, state: &GuestState) -> GuestItemView {
    let facts = state.facts.as_ref();
    let problem = facts.and_then(|f| item.problem(f));
    let found = facts.and_then(|f| item.found(f));
    GuestItemView {
        item,
        rule: item.rule().into(),
        state: match (&problem, &found) {
            (Some(_), _) => GuestItemState::Wrong,
            (None, Some(_)) => GuestItemState::Right,
            (None, None) => GuestItemState::Unknown,
        },
        found,
        fixable: facts.is_some_and(|f| guest::fix(item, f).is_some()),
        person: facts.and_then(|f| guest::by_person(item, f)).map(|p| GuestPersonView {
            who: p.who.into(),
            steps: p.steps,
        }),
        undoable_since: state.last(item).map(|c| c.at.to_string()),
    }
}
