//! vCenter's history: queries, and collectors that read it page by page.

use super::{
    Context, Open, Outcome, objects,
    wire::{Element, Fault, Val, data, reference},
};
use crate::{onprem::LabEvent, world::World};

/// Events in the latest page unless it is asked for, and at most.
const PAGE: usize = 10;
const MAX_PAGE: usize = 1000;
/// Collectors of one session.
pub(super) const MAX_COLLECTORS: usize = 32;

/// An `EventHistoryCollector`.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    pub session: String,
    filter: Filter,
    page: usize,
    /// How many of the oldest are behind the scrollable view.
    position: usize,
}

#[derive(Debug, Clone, Default)]
struct Filter {
    /// Type and moref with how far below; none: everything.
    entity: Option<((String, String), String)>,
    kinds: Vec<String>,
    without_message: bool,
}

fn size(text: Option<&str>) -> Result<usize, Fault> {
    match text.map(str::parse::<usize>) {
        None => Ok(PAGE),
        Some(Ok(n @ 1..=MAX_PAGE)) => Ok(n),
        Some(_) => Err(Fault::argument("maxCount")),
    }
}

impl Filter {
    fn read(request: &Element) -> Result<(Filter, usize), Fault> {
        let spec = request.child("filter").ok_or_else(|| Fault::argument("filter"))?;
        let entity = match spec.child("entity") {
            None => None,
            Some(by) => {
                let entity = by.object("entity").ok_or_else(|| Fault::argument("filter.entity"))?;
                Some((entity, by.text("recursion").unwrap_or_default().to_owned()))
            }
        };
        let filter = Filter {
            entity,
            kinds: spec.texts("eventTypeId"),
            without_message: spec.flag("disableFullMessage"),
        };
        Ok((filter, size(spec.text("maxCount"))?))
    }

    /// Oldest first.
    fn of<'w>(&self, w: &'w World) -> Vec<&'w LabEvent> {
        let about = |e: &&LabEvent| match &self.entity {
            None => true,
            Some((entity, far)) => {
                let machine = entity.1 == e.vm.0;
                match far.as_str() {
                    "self" => machine,
                    // In this datacenter every machine is below everything else.
                    "children" => entity.0 != "VirtualMachine",
                    _ => machine || entity.0 != "VirtualMachine",
                }
            }
        };
        let kind = |e: &&LabEvent| {
            self.kinds.is_empty()
                || self
                    .kinds
                    .iter()
                    .any(|k| k == e.kind || k == "Event" || k == "VmEvent" && e.kind.starts_with("Vm"))
        };
        w.onprem.events.iter().filter(about).filter(kind).collect()
    }

    fn write(&self, e: &LabEvent, w: &World) -> Val {
        let argument = |kind: &'static str, name: &str, field: &'static str, to: Val| {
            data(kind, [("name", Val::text(objects::encoded(name))), (field, to)])
        };
        let mut fields = vec![
            ("key", Val::int(e.key)),
            ("chainId", Val::int(e.key)),
            ("createdTime", Val::time(e.at)),
            ("userName", Val::text(e.user.as_str())),
        ];
        for (name, kind, of, field) in [
            ("datacenter", "DatacenterEventArgument", "Datacenter", "datacenter"),
            ("host", "HostEventArgument", "HostSystem", "host"),
        ] {
            if let Some(found) = w.onprem.entities.iter().find(|x| x.kind == of) {
                fields.push((name, argument(kind, &found.name, field, reference(of, &found.moref))));
            }
        }
        fields.push((
            "vm",
            argument("VmEventArgument", &e.vm.1, "vm", reference("VirtualMachine", &e.vm.0)),
        ));
        if !self.without_message {
            fields.push(("fullFormattedMessage", Val::text(e.message.as_str())));
        }
        match e.kind {
            "TaskEvent" => fields.extend(objects::task_info(w, e.task.as_deref()).map(|info| ("info", info))),
            _ => fields.push(("template", Val::flag(false))),
        }
        match e.kind {
            "VmRenamedEvent" => fields.extend([
                ("oldName", Val::text(objects::encoded(&e.vm.1))),
                (
                    "newName",
                    Val::text(e.message.rsplit(" to ").next().unwrap_or_default()),
                ),
            ]),
            "VmReconfiguredEvent" => fields.push(("configSpec", data("VirtualMachineConfigSpec", []))),
            _ => {}
        }
        Val::Data(e.kind.into(), fields)
    }
}

/// Properties of a collector; none when it is not this session's.
pub(super) fn collector(
    w: &World,
    open: &Open,
    session: Option<&str>,
    moref: &str,
) -> Option<Vec<(&'static str, Val)>> {
    let c = open
        .collectors
        .get(moref)
        .filter(|c| Some(c.session.as_str()) == session)?;
    let events = c.filter.of(w);
    let page = events.iter().rev().take(c.page).map(|e| c.filter.write(e, w));
    Some(vec![
        ("filter", data("EventFilterSpec", [])),
        ("latestPage", Val::List("Event", page.collect())),
    ])
}

impl Context<'_> {
    fn readable(&self, filter: &Filter) -> Result<(), Fault> {
        let everything = ("Folder".to_owned(), objects::root(self.w).to_owned());
        let entity = filter.entity.as_ref().map_or(&everything, |(entity, _)| entity);
        if !self.exists(entity) {
            return Err(Fault::not_found(entity));
        }
        self.need("System.View", entity)
    }

    pub(super) fn query_events(&mut self, request: &Element) -> Outcome {
        let (filter, _) = Filter::read(request)?;
        self.readable(&filter)?;
        let all = filter.of(self.w);
        Ok(all
            .iter()
            .map(|e| filter.write(e, self.w).element("returnval"))
            .collect())
    }

    pub(super) fn collect_events(&mut self, request: &Element) -> Outcome {
        let (filter, page) = Filter::read(request)?;
        self.readable(&filter)?;
        let session = self.session.clone().unwrap_or_default();
        if self.open.collectors.values().filter(|c| c.session == session).count() >= MAX_COLLECTORS {
            return Err(Fault::new("InvalidState", "The session has too many event collectors."));
        }
        let id = format!("session[{session}]{}", self.open.number());
        self.open.collectors.insert(
            id.clone(),
            Collector {
                session,
                filter,
                page,
                position: 0,
            },
        );
        Ok(reference("EventHistoryCollector", &id).element("returnval"))
    }

    pub(super) fn event_collector(&mut self, request: &Element, moref: &str) -> Outcome {
        let this = ("EventHistoryCollector".to_owned(), moref.to_owned());
        let Some(c) = self.open.collectors.get_mut(moref) else {
            return Err(Fault::not_found(&this));
        };
        let all = c.filter.of(self.w);
        let range = match request.name.as_str() {
            "SetCollectorPageSize" => {
                c.page = size(request.text("maxCount"))?;
                0..0
            }
            "RewindCollector" => {
                c.position = 0;
                0..0
            }
            "ResetCollector" => {
                c.position = all.len().saturating_sub(c.page);
                0..0
            }
            "ReadNextEvents" => {
                let from = c.position;
                c.position = (from + size(request.text("maxCount"))?).min(all.len());
                from..c.position
            }
            "ReadPreviousEvents" => {
                let to = c.position;
                c.position = to.saturating_sub(size(request.text("maxCount"))?);
                c.position..to
            }
            _ => {
                self.open.collectors.remove(moref);
                return Ok(String::new());
            }
        };
        let events = all.get(range).unwrap_or_default();
        Ok(events
            .iter()
            .map(|e| c.filter.write(e, self.w).element("returnval"))
            .collect())
    }
}
