//! Loops, conditions, groups and tests. A part of `walk`.

use brush_parser::ast::{BinaryPredicate, CompoundCommand, ExtendedTestExpr, ForClauseCommand, UnaryPredicate};

use super::walk::{Walk, excerpt, span_of};
use super::{environment, evaluated, misread};

impl Walk {
    pub(super) fn test(&mut self, test: &ExtendedTestExpr) {
        match test {
            ExtendedTestExpr::And(left, right) | ExtendedTestExpr::Or(left, right) => {
                self.test(left);
                self.test(right);
            }
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => self.test(inner),
            ExtendedTestExpr::UnaryTest(test, word) => {
                self.facts.evaluates |= matches!(
                    test,
                    UnaryPredicate::ShellVariableIsSetAndAssigned | UnaryPredicate::ShellVariableIsSetAndNameRef
                );
                self.tested(&word.value);
            }
            ExtendedTestExpr::BinaryTest(test, left, right) => {
                self.facts.evaluates |= matches!(
                    test,
                    BinaryPredicate::ArithmeticEqualTo
                        | BinaryPredicate::ArithmeticNotEqualTo
                        | BinaryPredicate::ArithmeticLessThan
                        | BinaryPredicate::ArithmeticLessThanOrEqualTo
                        | BinaryPredicate::ArithmeticGreaterThan
                        | BinaryPredicate::ArithmeticGreaterThanOrEqualTo
                );
                self.tested(&left.value);
                self.tested(&right.value);
            }
        }
    }

    /// A word of `[[ … ]]`, which may be evaluated as arithmetic, subscripts with commands included.
    fn tested(&mut self, raw: &str) {
        // `=~` puts the text into a variable.
        self.hold(raw);
        let subscripts = raw.contains('[') && (raw.contains("$(") || raw.contains('`'));
        if subscripts || environment::is_set_in(raw) {
            self.unknown(format!("what `{}` runs as a subscript", excerpt(raw)));
        }
        // The parser takes what stands in the parentheses of `=~` for text.
        if misread::starts_process(raw) {
            self.unknown(format!("what `{}` runs in a test", excerpt(raw)));
        }
        self.word(raw);
    }

    pub(super) fn compound(&mut self, compound: &CompoundCommand) {
        let (written, repeats) = (&mut self.written, is_repeated(compound));
        written.repeats += usize::from(repeats);
        written.branches += usize::from(!repeats);
        self.compound_here(compound);
        self.written.repeats -= usize::from(repeats);
        self.written.branches -= usize::from(!repeats);
    }

    fn each(&mut self, clause: &ForClauseCommand) {
        for word in clause.values.iter().flatten() {
            self.stand(span_of(word));
            self.word(&word.value);
            self.hold(&word.value);
            if word.value.contains("$(") || word.value.contains('`') {
                self.unread("how often a loop over the output of a command runs");
            }
        }
        self.facts.evaluates |= evaluated::is_number(&clause.variable_name);
        self.assign(&clause.variable_name, None, String::new(), false);
        self.list(&clause.body.list);
    }

    fn compound_here(&mut self, compound: &CompoundCommand) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => {
                // brush-parser 0.4.0 calls `( ( cmd ) )` and `((cmd) )` arithmetic; bash runs them.
                let text = self.text_at(&(arithmetic.loc.start.index..arithmetic.loc.end.index));
                if !(text.starts_with("((") && text.ends_with("))")) || misread::has_comment(&text) {
                    self.unknown(format!("`{}` may be arithmetic or commands", excerpt(&text)));
                    // What it runs if they are commands: two parentheses less, one at a time.
                    let inner = text.strip_prefix('(').and_then(|text| text.trim_end().strip_suffix(')'));
                    if let Some(inner) = inner.map(str::to_owned) {
                        self.source(&inner);
                    }
                }
                self.arithmetic(&arithmetic.expr.value);
            }
            CompoundCommand::ArithmeticForClause(clause) => {
                let head = self.text_at(&(clause.loc.start.index..clause.body.loc.start.index));
                if misread::has_comment(&head) {
                    self.unknown(format!("what `{}` evaluates", excerpt(&head)));
                }
                for part in [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten() {
                    self.arithmetic(&part.value);
                }
                self.list(&clause.body.list);
            }
            CompoundCommand::BraceGroup(group) => self.list(&group.list),
            CompoundCommand::Subshell(subshell) => {
                let text = self.text_at(&(subshell.loc.start.index..subshell.loc.end.index));
                if text.starts_with("((") {
                    self.unknown(format!("`{}` may be arithmetic or commands", excerpt(&text)));
                }
                self.list(&subshell.list);
            }
            CompoundCommand::ForClause(clause) => self.each(clause),
            CompoundCommand::CaseClause(clause) => {
                self.word(&clause.value.value);
                for case in &clause.cases {
                    case.patterns.iter().for_each(|pattern| self.word(&pattern.value));
                    case.cmd.iter().for_each(|list| self.list(list));
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.list(&clause.condition);
                self.list(&clause.then);
                for part in clause.elses.iter().flatten() {
                    part.condition.iter().for_each(|list| self.list(list));
                    self.list(&part.body);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                let before = self.facts.commands.len();
                self.list(&clause.0);
                let tests = self.facts.commands.get(before..).unwrap_or_default();
                if tests.iter().all(|test| matches!(test.name(), Some("true" | ":" | "false"))) {
                    self.unread("when a loop without a condition ends");
                }
                self.list(&clause.1.list);
            }
            CompoundCommand::Coprocess(coprocess) => {
                self.unknown("`coproc` talks to a command in the background");
                self.command(&coprocess.body);
            }
        }
    }
}

fn is_repeated(compound: &CompoundCommand) -> bool {
    matches!(
        compound,
        CompoundCommand::ArithmeticForClause(_)
            | CompoundCommand::ForClause(_)
            | CompoundCommand::WhileClause(_)
            | CompoundCommand::UntilClause(_)
            | CompoundCommand::Coprocess(_)
    )
}
