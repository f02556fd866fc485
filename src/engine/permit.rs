//! The permit: proof that one plan may run. This module holds nothing else, so that nothing else can
//! make one.

use crate::domain::ids::Digest;
use crate::domain::plan::Plan;
use crate::domain::record::{ApprovalRecord, ApprovalState, Subject, Verdict};
use crate::policy::Decision;

/// Proof that the plan with this digest may run, once. Made only from an allowed judgement or from a
/// granted approval of the very same plan.
#[derive(Debug)]
pub struct Permit(Digest);

impl Permit {
    /// The permit of a plan that the policy allows; `None` when it does not.
    pub fn of_judgement(decision: &Decision, plan: &Plan) -> Option<Self> {
        (decision.verdict == Verdict::Allow).then(|| Self(plan.digest()))
    }

    /// The permit of a plan that a person granted; `None` when the approval is not granted, is about
    /// another plan, or the policy meanwhile denies.
    pub fn of_approval(approval: &ApprovalRecord, decision: &Decision, plan: &Plan) -> Option<Self> {
        let digest = plan.digest();
        let granted = matches!(approval.state, ApprovalState::Granted { .. });
        let same = approval.subject == Subject::Plan { digest };
        (granted && same && decision.verdict <= Verdict::Ask).then_some(Self(digest))
    }

    /// The launch of the permitted plan; `None` when the plan is another one.
    pub fn launch(self, plan: Plan) -> Option<Launch> {
        (plan.digest() == self.0).then_some(Launch { plan, digest: self.0 })
    }
}

/// A plan with its permit: the only thing that can be handed to the runner.
#[derive(Debug)]
pub struct Launch {
    plan: Plan,
    digest: Digest,
}

impl Launch {
    /// The plan and its digest, as the runner takes them.
    pub fn into_parts(self) -> (Plan, Digest) {
        (self.plan, self.digest)
    }
}
