//! The part of the decision that is about commands: the lists, builtins, what reaches the network, and
//! what a script as a whole does.

use crate::domain::plan::Review;
use crate::domain::record::Verdict;

use super::evaluated::is_subscripted;
use super::facts::{Command, Facts, Span, Unknown, base_name};
use super::judge::{Draft, Network};
use super::pattern::{Manner, Match};
use super::policy::{Approval, Rule};
use super::word::Word;
use super::{environment, functions, outgoing, shipped, tables};

/// The rule of a program that nothing permits.
const UNLISTED: &str = "not on the list";

impl<'a> Draft<'a> {
    pub(super) fn command(&mut self, at: usize, command: &Command, facts: &Facts) {
        let Some(program) = command.program() else { return };
        let builtin = tables::BUILTINS.contains(program);
        self.refused_or_asked(command);
        if facts.functions.iter().any(|function| function.name == program) {
            if !functions::stands_for(facts, at) {
                self.cannot_tell(&format!("whether `{program}` is the function of that name or a program"));
            } else if builtin || tables::BASICS.contains(program) || super::image::has(program) {
                self.cannot_tell(&format!("function `{program}` stands in for the command of that name"));
            }
            return;
        }
        for effect in tables::effects(command) {
            self.effect(effect);
        }
        if builtin {
            return self.builtin(program, command);
        }
        if command.carrier {
            return;
        }
        let Some(rules) = self.allowing(command) else { return self.unlisted(at, command, facts) };
        if program.contains('/') && command.installed_name().is_none() {
            self.unread(&format!("what the file `{program}` does"));
        }
        self.permitted(command, program, &rules);
        let policy = self.policy;
        let allow = policy.spec.allow.as_deref().unwrap_or_default();
        for rule in policy.index.allow(command).into_iter().filter_map(|at| allow.get(at)) {
            let asks = rule.approval == Some(Approval::Always);
            if asks && rule.pattern.matches(command, Manner::Strict) == Match::Maybe {
                self.cannot_tell(&perhaps(rule));
            }
        }
    }

    fn permitted(&mut self, command: &Command, program: &str, rules: &[&Rule]) {
        self.outgoing(command, program, rules);
        for rule in rules {
            if rule.approval == Some(Approval::Always) {
                let why = rule.why.clone().unwrap_or_else(|| format!("`{program}` asks each time"));
                self.asked_by(rule, why);
            }
            if rule.image.as_deref() == Some("workbench") {
                self.image = "workbench";
            }
            self.review = self.review.max(rule.review.unwrap_or(Review::Never));
        }
    }

    /// Whether a rule names this code or option itself and never asks.
    pub(super) fn granted(&self, command: &Command) -> bool {
        let rules = self.allowing(command).unwrap_or_default();
        rules.iter().any(|rule| rule.approval == Some(Approval::Never) && rule.pattern.has_flags())
    }

    /// A program that no rule names: one of a virtual environment or of `node_modules` stands for
    /// itself, and what this very script builds is its own code.
    fn unlisted(&mut self, at: usize, command: &Command, facts: &Facts) {
        let Some(program) = command.program() else { return };
        let above = program.split('/').any(|part| part == "..");
        if let Some(name) = shipped::name(program) {
            let as_if = |name: &str| {
                let mut own = command.clone();
                own.words.splice(..1, [Word::of(name)]);
                own
            };
            // The file is a script of the directory, as any that such an interpreter is given.
            let of_node = program.contains("node_modules/");
            let interpreters: &[&str] = if of_node { &["node"] } else { &["python3", "python"] };
            let runs = interpreters.iter().any(|interpreter| self.allowing(&as_if(interpreter)).is_some());
            let own = as_if(name);
            if let Some(rules) = self.allowing(&own).filter(|_| runs) {
                self.unread(&format!("what the file `{program}` does"));
                return self.permitted(&own, name, &rules);
            }
        }
        let is_function = |name: &str| facts.functions.iter().any(|function| function.name == name);
        let runs = |earlier: &Command| !earlier.program().is_none_or(is_function) && self.allowing(earlier).is_some();
        let builds = |earlier: &Command| may_build(earlier, program) && runs(earlier);
        let relative = program.contains('/') && !program.starts_with(['/', '~']) || program.starts_with("/tmp/");
        if relative && !above && facts.commands.iter().take(at).any(builds) {
            return self.unread(&format!("what `{program}` does, which this script builds"));
        }
        self.not_on_the_list(command, program);
    }

    /// Rules that permit the command, none for one of the basics; `None` when nothing permits it.
    fn allowing(&self, command: &Command) -> Option<Vec<&'a Rule>> {
        let Some(rules) = &self.policy.spec.allow else {
            let basic = command.installed_name().is_some_and(|name| tables::BASICS.contains(name));
            return basic.then(Vec::new);
        };
        let fits = |rule: &&Rule| rule.pattern.matches(command, Manner::Strict) == Match::Yes;
        let named = self.policy.index.allow(command).into_iter().filter_map(|at| rules.get(at));
        let rules: Vec<&Rule> = named.filter(fits).collect();
        (!rules.is_empty()).then_some(rules)
    }

    fn refused_or_asked(&mut self, command: &Command) {
        let policy = self.policy;
        for (verdict, rule) in policy.index.others(command).into_iter().filter_map(|at| policy.spec.others.get(at)) {
            match rule.pattern.matches(command, Manner::Wide) {
                Match::No => {}
                Match::Maybe => self.cannot_tell(&perhaps(rule)),
                Match::Yes => {
                    let text = rule.why.clone().unwrap_or_else(|| match verdict {
                        Verdict::Deny => format!("`{}` is refused", rule.pattern.text()),
                        Verdict::Ask | Verdict::Allow => format!("`{}` asks first", rule.pattern.text()),
                    });
                    match verdict {
                        Verdict::Ask => self.asked_by(rule, text),
                        Verdict::Deny | Verdict::Allow => self.add(*verdict, &rule.label, text),
                    }
                    self.suggest(rule.pattern.program());
                }
            }
        }
        let name = command.name().unwrap_or_default();
        if !policy.index.names(name) && (tables::DESTRUCTIVE.contains(name) || name.starts_with("mkfs.")) {
            self.add(Verdict::Deny, "built in", format!("`{name}` changes the system, not files"));
            self.suggest(name);
        }
    }

    fn suggest(&mut self, name: &str) {
        if self.suggestion.is_none() {
            let mut all = tables::suggestions(name).iter();
            let fitting = all.find(|(programs, _)| programs.iter().all(|program| self.may_run(program)));
            self.suggestion = fitting.map(|(_, text)| (*text).to_owned());
        }
    }

    /// Whether a program is among those that may run, at least with some words.
    fn may_run(&self, program: &str) -> bool {
        let command = Command::of(program);
        let refused = |(verdict, rule): &(Verdict, Rule)| {
            *verdict == Verdict::Deny && rule.pattern.matches(&command, Manner::Wide) == Match::Yes
        };
        let policy = self.policy;
        let listed = match &policy.spec.allow {
            Some(_) => policy.index.names(program),
            None => tables::BASICS.contains(program),
        };
        listed && !policy.index.others(&command).into_iter().filter_map(|at| policy.spec.others.get(at)).any(refused)
    }

    fn not_on_the_list(&mut self, command: &Command, program: &str) {
        if self.has(UNLISTED, &format!("`{program}` is ")) {
            return;
        }
        let Some(rules) = &self.policy.spec.allow else { return self.not_basic(command, program) };
        let names: Vec<String> = rules.iter().take(20).map(|rule| format!("`{}`", rule.pattern.text())).collect();
        let more = if rules.len() > 20 { ", …" } else { "" };
        let person = &self.principal.name;
        // The list stands in the first of such reasons.
        let text = if self.has(UNLISTED, "") {
            format!("`{program}` is not on it either")
        } else {
            format!("`{program}` is not on the list for {person}; allowed: {}{more}", names.join(", "))
        };
        self.add(Verdict::Deny, UNLISTED, text);
        self.suggest(program);
        self.suggestion.get_or_insert_with(|| {
            format!("use what is allowed, or the owner adds `- {program}` below `allow:` in tools.yaml")
        });
    }

    fn not_basic(&mut self, command: &Command, program: &str) {
        let path = command.installed_name().is_none();
        let what = if path { "is a file, not an installed program" } else { "is not among the basic tools" };
        if self.has(UNLISTED, "") {
            return self.add(Verdict::Deny, UNLISTED, format!("`{program}` is none of them either"));
        }
        self.add(
            Verdict::Deny,
            UNLISTED,
            format!(
                "`{program}` {what}, which are the list as long as tools.yaml has no `exec: allow:` (coreutils, text tools, git, \
                 python3, node, npm, jq, rg …)"
            ),
        );
        self.suggest(program);
        self.suggestion.get_or_insert_with(|| {
            format!(
                "use the basic tools, or the owner writes a list of all that may run, with `- {program}`, below \
                 `exec: allow:` in tools.yaml"
            )
        });
    }

    fn builtin(&mut self, program: &str, command: &Command) {
        // A subscript, or the values of an array.
        let subscript = |word: &Word| {
            let text = word.fixed.as_str();
            (text.contains('[') || text.contains("=(")) && (text.contains("$(") || text.contains('`'))
        };
        let evaluates = environment::is_about_variables(program) || matches!(program, "test" | "[" | "let");
        let calls_back = matches!(program, "mapfile" | "readarray") && command.has_option('C', "");
        if evaluates && command.arguments().iter().any(subscript) || calls_back {
            self.cannot_tell(&format!("what `{program}` evaluates"));
        }
        if environment::is_set_by(program, command) {
            self.cannot_tell(&format!("what `{program}` puts into a variable that others obey"));
        }
        // What is a word, an assignment or a command afterwards: `-k`, `-H`, `+B`.
        let reads = |word: &Word| {
            let flags = word.fixed.strip_prefix(['-', '+']).is_some_and(|flags| flags.contains(['k', 'H', 'B']));
            flags || matches!(word.fixed.as_str(), "keyword" | "history" | "histexpand" | "braceexpand" | "posix")
        };
        let options = command.arguments().iter().take_while(|word| word.fixed != "--");
        if program == "set" && options.clone().any(|word| reads(word) || word.may_be_option()) {
            self.cannot_tell("how what follows `set` is read");
        }
        if program == "set" && options.clone().any(|word| word.fixed == "allexport" || word.fixed == "-a") {
            self.unread("what programs make of the variables that follow `set -a`");
        }
    }

    fn outgoing(&mut self, command: &Command, program: &str, rules: &[&Rule]) {
        if !outgoing::is_outgoing(command) {
            return;
        }
        self.effect("network");
        let hosts: Vec<String> = rules.iter().filter_map(|rule| rule.network.clone()).flatten().collect();
        if hosts.is_empty() {
            self.network = Network::Ask;
            self.add(
                Verdict::Ask,
                "outgoing",
                format!("`{program}` reaches the network, and no rule grants its hosts"),
            );
            return;
        }
        match &mut self.network {
            Network::Off => self.network = Network::Hosts(hosts),
            Network::Hosts(known) => known.extend(hosts),
            Network::Ask => {}
        }
    }

    pub(super) fn whole(&mut self, facts: &Facts) {
        for Unknown { what, span } in &facts.unknowns {
            self.span.clone_from(span);
            self.cannot_tell(what);
        }
        for Unknown { what, span } in &facts.unread {
            self.span.clone_from(span);
            self.unread(what);
        }
        let counts = |command: &Command| match command.name() {
            Some("declare" | "local" | "typeset") => command.has_option('i', ""),
            name => name == Some("let"),
        };
        let evaluates = facts.evaluates || facts.commands.iter().any(counts);
        let acts = |text: &str| is_subscripted(text) || environment::is_set_in(text);
        for command in facts.commands.iter().filter(|_| evaluates) {
            self.span.clone_from(&command.span);
            let words = command.arguments().iter().map(|word| word.fixed.as_str());
            if words.chain(command.input.as_deref()).any(acts) {
                self.cannot_tell("what a subscript runs, where that text is evaluated");
            }
        }
        for assignment in &facts.assignments {
            self.span.clone_from(&assignment.span);
            let value = assignment.value.as_deref().unwrap_or_default();
            if is_subscripted(value) || evaluates && environment::is_set_in(value) {
                self.cannot_tell(&format!("what `{}` runs as a subscript", assignment.name));
            }
            if environment::executes(&assignment.name, assignment.value.as_deref()) {
                self.cannot_tell(&format!("what setting `{}` makes other programs do", assignment.name));
            } else if assignment.exported && !environment::is_harmless(&assignment.name) {
                self.unread(&format!("what programs make of the variable `{}`", assignment.name));
            }
        }
        self.span = None;
        let policy = self.policy;
        for (verdict, rule) in policy.index.pipelines.iter().filter_map(|at| policy.spec.others.get(*at)) {
            if let Some((feed, surely)) = rule.pattern.feed(facts) {
                let spans = facts.commands.get(feed.from.start).into_iter().chain(facts.commands.get(feed.to.start));
                let spans: Vec<&Span> = spans.filter_map(|command| command.span.as_ref()).collect();
                let start = spans.iter().map(|span| span.start).min();
                self.span = start.zip(spans.iter().map(|span| span.end).max()).map(|(start, end)| start..end);
                if surely == Match::Maybe {
                    self.cannot_tell(&perhaps(rule));
                    continue;
                }
                let text = rule
                    .why
                    .clone()
                    .unwrap_or_else(|| format!("`{}`, also through a substitution", rule.pattern.text()));
                self.add(*verdict, &rule.label, text);
            }
        }
        self.span = None;
    }
}

/// Whether `command` builds programs, and names the file `program` where it is one that writes only what it names.
fn may_build(command: &Command, program: &str) -> bool {
    const NAMING: [&str; 13] =
        ["c++", "cc", "clang", "clang++", "fpc", "g++", "gcc", "gfortran", "ghc", "ld", "ocamlfind", "rustc", "swiftc"];
    let Some(name) = command.name().filter(|name| tables::BUILDERS.contains(name)) else { return false };
    let file = base_name(program);
    let names = |word: &Word| {
        let text = word.fixed.as_str();
        let given = base_name(text.strip_prefix("-o").unwrap_or(text));
        given == file || given.rsplit_once('.').is_some_and(|(stem, _)| stem == file)
    };
    let words = command.arguments();
    !NAMING.contains(&name) || words.iter().any(names) || file == "a.out" && !words.is_empty()
}

/// What cannot be told where a rule matches perhaps.
fn perhaps(rule: &Rule) -> String {
    format!("whether this is `{}`, since words are not known", rule.pattern.text())
}
