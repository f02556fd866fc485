//! Words that are one only as things usually are: `$PWD`, `$HOME`, and the output of `date`.

use castoff::domain::record::Verdict::{Allow, Ask, Deny};

use super::{each, none_allowed, preset};

#[test]
fn places_that_are_several_words_or_none() {
    let strict = [
        "unset PWD; sort $PWD big",
        "PWD='--compress-program=./evil'; sort -S 1k $PWD big",
        "PWD='--compress-program=./evil'; sort -S 1k \"$PWD\" big",
        "unset HOME; sort $HOME big",
        "cd 'd --compress-program=.'; sort -S 1k $PWD big",
    ];
    each(&preset("strict", &[]), Deny, &strict);
    each(
        &preset("strict", &["env", "find", "id"]),
        Deny,
        &["cd 'a b'; env -u $PWD cat", "unset PWD; env -u $PWD cat id", "cd 'd -exec touch pwned ;'; find $PWD"],
    );
    each(
        &preset("default", &[]),
        Ask,
        &[
            "unset PWD; env -u $PWD cat id",
            "PWD='x touch'; env -u $PWD cat",
            "PWD='--compress-program=./evil'; sort -S 1k $PWD big",
            "PWD='--compress-program=./evil'; sort -S 1k \"$PWD\" big",
            "mkdir -p d 'd -maxdepth 0 -exec touch pwned ;'; cd 'd -maxdepth 0 -exec touch pwned ;'; find $PWD",
            "cd 'd -maxdepth 0 -exec touch pwned ;' && find ${PWD}",
            "cd d*; find $PWD",
            "unset HOME; env -u $HOME cat id",
            "unset -v OLDPWD",
            "read PWD < f; ls $PWD",
            "printf -v PWD '%s' 'x touch'; env -u $PWD cat",
            "((PWD=1))",
            "cd \"$x\"; env -u $PWD cat",
            "pushd 'x touch'; env -u $PWD cat",
            "env -C 'x touch' bash -c 'env -u $PWD cat'",
            "cd 'x touch'; bash -c 'env -u $PWD cat'",
            "cd -P x; env -u $PWD cat",
            "IFS=-; cd x-touch; env -u $PWD cat",
            "cd d; mv ../d '../x touch'; bash -c 'env -u $PWD cat'",
            "ln -s 'x touch' d; bash -P -c 'cd d; env -u $PWD cat'",
        ],
    );
}

#[test]
fn outputs_that_are_several_words() {
    let scripts = [
        "IFS=:; tar cMf a.tar -L 20 x$(date +:-F:sum) big",
        "IFS=5; tar cf a.tar x$(nproc) big",
        "export IFS=:; tar cMf a.tar -L 20 x$(date +:-F:sum) big",
        "f() { local IFS=:; tar cMf a.tar -L 20 x$(date +:-F:sum) big; }; f",
        "bash -c 'export IFS=:; read x; tar cMf a.tar -L 20 x$(date +:-F:sum) big'",
        "IFS=: eval 'tar cMf a.tar -L 20 x$(date +:-F:sum) big'",
        "env -u x$(date +%_H) cat",
        "env -u x$(date +%-_H) cat",
        "printf -v IFS :; tar cMf a.tar -L 20 x$(date +:-F:sum) big",
    ];
    none_allowed(&preset("strict", &["tar", "env"]), &scripts);
    none_allowed(&preset("default", &[]), &scripts);
}

#[test]
fn words_that_are_one_as_usual() {
    let scripts = [
        "cd \"$HOME\"; ls $HOME/x; echo $PWD; cat \"$PWD/a\"",
        "cd sub/dir && ls $PWD && cd - && echo \"$OLDPWD\"",
        "IFS= read -r x < f; echo \"$x\"; ls $PWD/a",
        "unset x; cd src; ls $PWD; ls a-$(date +%F)",
    ];
    each(&preset("strict", &["echo"]), Allow, &scripts[..2]);
    each(&preset("default", &[]), Allow, &scripts);
    each(
        &preset("default", &[]),
        Allow,
        &[
            "while IFS=: read -r a b; do echo \"$a\"; done < f; tar czf x-$(date +%F).tgz d; find $PWD -name '*.c'",
            "cd \"$(dirname \"$0\")\"; tar czf x-$(date +%F).tgz d; find \"$PWD\" -name '*.c'; cp a $PWD/b; ls $PWD",
            "cd \"$dir\" && tar czf \"$PWD/x.tgz\" . && mkdir -p $PWD/out && ls $PWD",
            "IFS=$'\\n'; for f in $(ls); do cp \"$f\" x-$(date +%s); done; ls $PWD",
            "IFS=,; set -- a b; echo \"$*\"; touch x$(date +%F)",
        ],
    );
}
