//! What all runs together may use.

use castoff::domain::ids::PersonId;
use castoff::domain::plan::Plan;
use castoff::domain::run::{Ending, StopCause};
use castoff::protocol::runner::{FromRunner, ToRunner};

use crate::house::{Core, House, run};

fn machine(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_fit_beside_the_others_is_refused_and_starts_after_them() {
    let mut house = House::new().await;
    let limits = "runs: { memory: 100TiB, pids: 4000000000 }\n";
    std::fs::write(house.home().join("config/limits.yaml"), limits).unwrap();
    house.start();
    let mut core = house.connect().await;
    let memory = machine("/proc/meminfo", "MemTotal:") * 1024 / 10 * 6;
    let kernel = |name| machine(&format!("/proc/sys/kernel/{name}"), "");
    let pids = u32::try_from(kernel("pid_max").min(kernel("threads-max")) / 2 / 10 * 6).unwrap();
    let mut long = house.plan(&core, "echo begun; sleep 600");
    (long.covers, _) = core.survey(&run(1), long.mounts.clone()).await;
    // Beside runs the machine has Castoff itself to carry, and whatever else it does.
    let mut alone = long.clone();
    let total = machine("/proc/meminfo", "MemTotal:") * 1024;
    alone.limits.memory_bytes = total - (total / 8).min(1 << 30) + 1;
    let (_, end) = core.run(&run(2), &alone).await;
    assert!(
        matches!(&end.ending, Ending::Failed { why } if why.contains("may use more memory than the machine has for runs")),
        "{end:?}"
    );
    type Widen = fn(&mut Plan, (u64, u32));
    let cases: [(&str, Widen); 2] = [
        ("may use more memory than the machine has for runs", |plan, (memory, _)| plan.limits.memory_bytes = memory),
        ("may use more processes than the machine has for runs", |plan, (_, pids)| plan.limits.pids = pids),
    ];
    for (number, (says, widen)) in (0..).zip(cases) {
        let id = |step: u8| run(10 * (number + 1) + step);
        let mut first = long.clone();
        widen(&mut first, (memory, pids));
        let mut second = Plan { person: PersonId::owner(), ..house.plan(&core, "true") };
        second.covers.clone_from(&long.covers);
        widen(&mut second, (memory, pids));
        core.send_run(&id(0), &first).await;
        while !matches!(core.hear().await, FromRunner::Output { .. }) {}
        let mut other = house.connect().await;
        let (_, end) = other.run(&id(1), &second).await;
        assert!(
            matches!(&end.ending, Ending::Failed { why } if why.contains(says) && why.contains("limits.yaml")),
            "{end:?}"
        );
        stop(&mut core, &id(0)).await;
        // A refused run did not begin: it may come again.
        let end = loop {
            let (_, end) = other.run(&id(1), &second).await;
            if !matches!(&end.ending, Ending::Failed { why } if why.contains(says)) {
                break end;
            }
        };
        assert_eq!(end.ending, Ending::Exited { code: 0 });
    }
    house.end().await;
}

async fn stop(core: &mut Core, run: &castoff::domain::ids::RunId) {
    core.tell(ToRunner::Stop { run: run.clone(), cause: StopCause::Asked }).await;
    let (_, end) = core.follow().await;
    assert_eq!(end.ending, Ending::Stopped { cause: StopCause::Asked });
}
