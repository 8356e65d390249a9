//! The property collector: which objects, which of their properties, in pages.

use super::{
    Context, Outcome, objects,
    wire::{Element, Fault, Val, reference},
};
use quick_xml::escape::escape;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

/// Objects in one answer at most, as observed on real vCenters.
pub(super) const PAGE: usize = 100;

/// The rest of a truncated read.
pub(super) struct Reading {
    pub session: String,
    objects: VecDeque<String>,
    max: usize,
}

impl Context<'_> {
    pub(super) fn retrieve(&mut self, request: &Element) -> Outcome {
        let asked = request
            .child("options")
            .and_then(|o| o.text("maxObjects"))
            .map(str::parse::<usize>);
        let max = match asked {
            None => PAGE,
            Some(Ok(n)) if n > 0 => n.min(PAGE),
            Some(_) => return Err(Fault::argument("options.maxObjects")),
        };
        let objects = self.collect(request)?.into();
        Ok(self.page(Reading {
            session: self.session.clone().unwrap_or_default(),
            objects,
            max,
        }))
    }

    /// The method of API 2.0: everything in one answer.
    pub(super) fn retrieve_whole(&mut self, request: &Element) -> Outcome {
        Ok(self
            .collect(request)?
            .concat()
            .replace("<objects>", "<returnval>")
            .replace("</objects>", "</returnval>"))
    }

    pub(super) fn continue_retrieve(&mut self, request: &Element) -> Outcome {
        let reading = self.take(request)?;
        Ok(self.page(reading))
    }

    pub(super) fn cancel_retrieve(&mut self, request: &Element) -> Outcome {
        self.take(request).map(|_| String::new())
    }

    fn take(&mut self, request: &Element) -> Result<Reading, Fault> {
        let token = request.text("token").unwrap_or_default();
        let own = self
            .open
            .reads
            .get(token)
            .is_some_and(|r| Some(&r.session) == self.session.as_ref());
        if own {
            self.open.reads.remove(token).ok_or_else(|| Fault::argument("token"))
        } else {
            Err(Fault::argument("token"))
        }
    }

    fn page(&mut self, mut reading: Reading) -> String {
        let now: String = reading
            .objects
            .drain(..reading.max.min(reading.objects.len()))
            .collect();
        if now.is_empty() {
            return String::new();
        }
        let mut token = String::new();
        if !reading.objects.is_empty() {
            // Tokens of real servers are small numbers, "0" among them.
            let id = (self.open.number() - 1).to_string();
            token = format!("<token>{id}</token>");
            self.open.reads.insert(id, reading);
        }
        format!("<returnval>{token}{now}</returnval>")
    }

    /// Reads one property of one object; what pyvmomi does for attributes.
    pub(super) fn fetch(&mut self, request: &Element, this: &(String, String)) -> Outcome {
        let path = request.text("prop").unwrap_or_default();
        let open = matches!(this.0.as_str(), "ServiceInstance" | "SessionManager");
        if !open {
            self.need("System.View", this)?;
        }
        let all = objects::properties(self.w, self.open, self.session.as_deref(), this)
            .ok_or_else(|| Fault::not_found(this))?;
        Ok(all.at(path).map(|v| v.property("returnval")).unwrap_or_default())
    }

    fn collect(&mut self, request: &Element) -> Result<Vec<String>, Fault> {
        let mut written = Vec::new();
        for spec in request.all("specSet") {
            for (object, fitting) in self.select(spec)? {
                written.push(self.object(&object, &fitting)?);
            }
        }
        Ok(written)
    }

    /// Objects that a filter's specification is about, each with the property sets that fit its type.
    pub(super) fn select<'s>(&self, spec: &'s Element) -> Result<Vec<(Reference, Vec<&'s Element>)>, Fault> {
        let properties: Vec<&Element> = spec.all("propSet").collect();
        let mut found = Vec::new();
        for set in spec.all("objectSet") {
            let start = set
                .object("obj")
                .ok_or_else(|| Fault::argument("specSet.objectSet.obj"))?;
            if !self.exists(&start) {
                if spec.flag("reportMissingObjectsInResults") {
                    continue;
                }
                return Err(if self.session.is_none() && start.0 == "ContainerView" {
                    Fault::not_authenticated(&start)
                } else {
                    Fault::not_found(&start)
                });
            }
            let mut named = BTreeMap::new();
            name_all(set, &mut named);
            let mut walk = Walk {
                context: self,
                named,
                seen: BTreeSet::new(),
                found: &mut found,
            };
            if !set.flag("skip") {
                walk.found.push(start.clone());
            }
            walk.follow(&start, set);
        }
        let mut once = BTreeSet::new();
        found.retain(|o| once.insert(o.clone()));
        let fitting = |object: &Reference| {
            let fit = |p: &&Element| objects::is_a(&object.0, p.text("type").unwrap_or_default());
            properties.iter().copied().filter(fit).collect::<Vec<_>>()
        };
        let all = found.into_iter().map(|o| (fitting(&o), o));
        Ok(all.filter(|(f, _)| !f.is_empty()).map(|(f, o)| (o, f)).collect())
    }

    fn object(&self, object: &Reference, specs: &[&Element]) -> Result<String, Fault> {
        let (set, missing) = self.values(object, specs)?;
        let mut out = reference(&object.0, &object.1).element("obj");
        for (path, value) in set {
            let _ = write!(out, "<propSet><name>{}</name>{value}</propSet>", escape(path.as_str()));
        }
        for (path, fault) in missing {
            let fault = fault.localized().element("fault");
            let _ = write!(
                out,
                "<missingSet><path>{}</path>{fault}</missingSet>",
                escape(path.as_str())
            );
        }
        Ok(format!("<objects>{out}</objects>"))
    }

    /// The properties of an object that are set, written as `<val>`, and those that this caller may not see.
    pub(super) fn values(&self, object: &Reference, specs: &[&Element]) -> Result<Values, Fault> {
        let all = objects::properties(self.w, self.open, self.session.as_deref(), object)
            .ok_or_else(|| Fault::not_found(object))?;
        let Val::Data(_, fields) = &all else {
            return Ok(Values::default());
        };
        let mut paths: Vec<String> = Vec::new();
        for spec in specs {
            match spec.flag("all") {
                true => paths.extend(fields.iter().map(|(name, _)| (*name).to_owned())),
                false => paths.extend(spec.texts("pathSet")),
            }
        }
        let open = matches!(
            object.0.as_str(),
            "ServiceInstance" | "SessionManager" | "PropertyCollector"
        );
        let mut values = Values::default();
        let mut once = BTreeSet::new();
        for path in paths.into_iter().filter(|p| once.insert(p.clone())) {
            if self.session.is_none() && !open {
                values.1.push((path, Fault::not_authenticated(object)));
            } else if self.session.is_some() && !open && !self.may("System.Read", object) {
                values.1.push((path, self.no_permission(object, "System.Read")));
            } else if !objects::knows(&object.0, path.split('.').next().unwrap_or_default(), fields) {
                return Err(Fault::new("InvalidProperty", "").with("name", Val::text(path.as_str())));
            } else if let Some(value) = all.at(&path) {
                values.0.push((path, value.property("val")));
            }
        }
        Ok(values)
    }
}

/// Type and id.
type Reference = (String, String);

/// Paths with what is set, and paths with why they can't be read.
pub(super) type Values = (Vec<(String, String)>, Vec<(String, Fault)>);

/// Selection sets by their names; a set may refer to itself.
fn name_all<'a>(set: &'a Element, named: &mut BTreeMap<&'a str, &'a Element>) {
    for select in set.all("selectSet") {
        if let (Some(name), Some(_)) = (select.text("name"), select.child("path")) {
            named.insert(name, select);
        }
        name_all(select, named);
    }
}

struct Walk<'a, 'w, 'c> {
    context: &'a Context<'c>,
    named: BTreeMap<&'w str, &'w Element>,
    seen: BTreeSet<(String, String)>,
    found: &'a mut Vec<(String, String)>,
}

impl Walk<'_, '_, '_> {
    fn follow(&mut self, from: &(String, String), set: &Element) {
        for select in set.all("selectSet") {
            let traversal = match select.child("path") {
                Some(_) => select,
                None => match select.text("name").and_then(|n| self.named.get(n)) {
                    Some(t) => t,
                    None => continue,
                },
            };
            let path = traversal.text("path").unwrap_or_default();
            if !objects::is_a(&from.0, traversal.text("type").unwrap_or_default())
                || !self.seen.insert((from.1.clone(), path.to_owned()))
            {
                continue;
            }
            let context = self.context;
            let all = objects::properties(context.w, context.open, context.session.as_deref(), from);
            let next = all
                .as_ref()
                .and_then(|a| a.at(path))
                .map(Val::references)
                .unwrap_or_default();
            for object in next {
                // What the caller may not see is not there for him.
                if !context.may("System.View", &object) {
                    continue;
                }
                if !traversal.flag("skip") {
                    self.found.push(object.clone());
                }
                self.follow(&object, traversal);
            }
        }
    }
}
