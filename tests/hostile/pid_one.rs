//! Process 1 of a run, castoff-init, which times the script and ends it: nothing in the run gets a hold on it.

use castoff::domain::plan::Image;
use castoff::domain::run::{Ending, StopCause};

use crate::house::{House, run};

const STRANGLER: &str = include_str!("strangler.c");

/// What a hold would change: nice value and scheduling of each thread, limits, processors.
const FACTS: &str = "cut -d ' ' -f 1,18,19,41 /proc/1/task/*/stat; cat /proc/1/limits; grep allowed /proc/1/status";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_run_gets_a_hold_on_process_1() {
    let mut house = House::new().await;
    house.start();
    let mut core = house.connect().await;
    while !core.images.iter().any(|image| image.name == "workbench") {
        core = house.connect().await;
    }
    let script = format!(
        "facts() {{ {FACTS}; }}; cat > /tmp/s.c <<'END'\n{STRANGLER}\nEND\n\
         gcc -no-pie -o /tmp/s /tmp/s.c || exit 9\nbefore=$(facts)\n/tmp/s\n\
         [ \"$before\" = \"$(facts)\" ] && echo 'it is as it was'\n\
         trap '' TERM; for i in $(seq 64); do while :; do :; done & done; wait"
    );
    let mut plan = house.plan(&core, &script);
    let workbench = |image: &&Image| image.name == "workbench";
    plan.image = core.images.iter().find(workbench).unwrap().clone();
    (plan.covers, _) = core.survey(&run(1), plan.mounts.clone()).await;
    let (text, end) = core.run(&run(1), &plan).await;
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert!(last[1].starts_with("0 of ") && last[0] == "it is as it was", "{text}");
    let tried: u32 = last[1].split(' ').nth(2).unwrap().parse().unwrap();
    assert!(tried > 150, "{text}");
    // It still ends a script that spins and does not listen, in its time.
    assert_eq!(end.ending, Ending::Stopped { cause: StopCause::Timeout });
    let took_ms = end.ended.ms_since(end.started);
    assert!(took_ms < plan.limits.wall_time_ms + 2000 + 4000, "{took_ms} ms");
    let mut plan = house.plan(&core, "true");
    (plan.covers, _) = core.survey(&run(2), plan.mounts.clone()).await;
    assert_eq!(core.run(&run(2), &plan).await.1.ending, Ending::Exited { code: 0 });
    house.end().await;
}
