//! Options and small languages of ordinary programs that run others.

use castoff::domain::record::Verdict::{Allow, Ask, Deny};

use super::{each, none_allowed, policy, preset};

#[test]
fn an_option_that_runs_a_program() {
    each(&preset("default", &["vim", "man", "rg", "fd", "gcc"]), Deny, &["nmap localhost"]);
    let names =
        ["vim", "man", "rg", "fd", "gcc", "git", "sort", "tar", "sed", "awk", "find", "less", "zip", "split", "rsync"];
    none_allowed(
        &preset("default", &names),
        &[
            "sort --compress-program=./x a",
            "sort --compress-prog ./x a",
            "sort --comp=./x a",
            "tar --checkpoint=1 --checkpoint-action=exec=./x -cf a.tar b",
            "tar --to-command=./x -xf a.tar",
            "tar -I ./x -xf a.tar",
            "tar --use-compress-program ./x -xf a.tar",
            "tar xIf ./x a.tar",
            "git -c core.pager=./x log",
            "git -c core.fsmonitor=./x status",
            "git -c core.sshCommand=./x fetch",
            "git -c alias.a='!./x' a",
            "git --exec-path=./x status",
            "git clone 'ext::./x' a",
            "git clone --upload-pack ./x a b",
            "git config core.hooksPath ./x",
            "git config alias.a '!./x'",
            "git rebase --exec ./x HEAD~2",
            "git grep -O./x a",
            "git submodule foreach ./x",
            "git difftool --extcmd=./x",
            "git something",
            "rg --pre ./x a",
            "fd -x ./x",
            "fd --exec-batch ./x",
            "split --filter=./x a",
            "zip a b -TT ./x",
            "rsync -e ./x a b",
            "awk 'BEGIN { system(\"x\") }'",
            "awk '{ print | \"x\" }' a",
            "awk '{ \"x\" | getline }' a",
            "awk -f a.awk b",
            "sed '1e x' a",
            "sed 's/a/b/e' a",
            "sed -n 's/a/b/;e x' a",
            "sed --expression='1e x' a",
            "sed -f a.sed b",
            "vim -c ':!x' a",
            "vim +':!x' a",
            "vim -S a.vim b",
            "man -P ./x ls",
            "find . -fprintf ~/.bashrc x",
            "gcc -wrapper ./x a.c",
        ],
    );
}

#[test]
fn the_same_programs_without_such_options() {
    let names = ["git", "sort", "tar", "sed", "awk", "find", "rg", "zip", "split", "rsync", "man"];
    each(
        &preset("default", &names),
        Allow,
        &[
            "sort -t, -k2,2n -u a",
            "tar -czf a.tgz b",
            "tar xzf a.tgz -C b",
            "git -c user.name=a commit -m 'exec'",
            "git log --format='%h %s' --since=yesterday",
            "git config user.email a@b",
            "rg -n --glob '!target' a",
            "awk -F, 'NR > 1 { s += $3 } END { print s }' a",
            "sed -i.bak -e 's/a/b/g' -e '/^$/d' a",
            "rsync -a a/ b/",
            "find . -name '*.o' -newer a -print0",
        ],
    );
}

#[test]
fn code_on_the_command_line_asks_and_a_file_does_not() {
    let names = ["python3", "node", "perl", "ruby", "php", "lua", "deno", "printf", "cat", "echo", "Rscript", "julia"];
    let policy = preset("default", &names);
    each(
        &policy,
        Ask,
        &[
            "python3 -c 'print(1)'",
            "python3 -Bc 'print(1)'",
            "python3 -W ignore -c 'print(1)'",
            "python3 - < a.py",
            "python3",
            "echo 'print(1)' | python3",
            "python3 <<'E'\nprint(1)\nE",
            "node -e 1",
            "node --eval=1",
            "node -pe 1",
            "perl -e 1",
            "perl -lane 'print' a",
            "perl -pi -e 's/a/b/' a",
            "ruby -rjson -e 1",
            "php -r 'echo 1;'",
            "lua -e 'print(1)'",
            "deno eval 1",
            "Rscript -e 1",
            "julia -e 1",
        ],
    );
    each(
        &policy,
        Allow,
        &[
            "python3 a.py -c x",
            "python3 -u a.py",
            "python3 -m json.tool a",
            "python3 --version",
            "node a.js -e",
            "perl a.pl",
            "ruby a.rb",
            "php a.php",
            "cat > a.py <<'E'\nprint(1)\nE\npython3 a.py",
        ],
    );
    // A rule that names the option and never asks says so itself.
    let own = "exec:\n  allow: [{ run: \"python3 -c\", approval: never }, python3]\n";
    each(&super::policy(own), Allow, &["python3 -c 'print(1)'"]);
    let strict = preset("strict", &names);
    none_allowed(&strict, &["python3 a.py", "python3 -m http.server", "node a.js", "perl a.pl", "python3 -c 1"]);
}

#[test]
fn a_pattern_holds_for_every_spelling_of_flags() {
    let rules = policy("exec:\n  allow: [rm, git]\n  deny: [rm -rf, git push --force]\n");
    each(
        &rules,
        Deny,
        &[
            "rm -rf a",
            "rm -fr a",
            "rm -r -f a",
            "rm a -rf",
            "rm -Rf a",
            "rm --recursive --force a",
            "rm --rec --fo a",
            "rm -r --force a",
            "rm -vrf a",
            "git push -f",
            "git push --force",
            "git push origin main --force",
            "git -C a push -f origin",
            "git push --forc",
        ],
    );
    each(&rules, Allow, &["rm a", "rm -r a", "rm -f a", "rm -- -rf"]);
}

#[test]
fn code_behind_options_that_take_a_word_and_modules_that_take_code() {
    let names = ["python3", "node", "ruby", "perl", "php", "echo", "cat"];
    let policy = preset("default", &names);
    none_allowed(
        &policy,
        &[
            "python3 -m timeit 'import os; os.system(\"x\")'",
            "python3 -mtimeit 'import os'",
            "python3 -Bm timeit 'f()'",
            "python3 -m timeit -s 'import a' 1",
            "python3 -m pdb -c '!x' a.py",
            "python3 -m code",
            "python3 -m cProfile -m timeit 1",
            "python3 -m trace --trace --module timeit 1",
            "python3 -m \"$x\" a",
            "python3 --check-hash-based-pycs always -c 1",
            "python3 -bW ignore -c 1",
            "node --input-type module -e 1",
            "node --title x -e 1",
            "node --title x --input-type module --print 1",
            "node --experimental_loader='data:text/javascript,1' a.js",
            "echo 1 | node --title x",
            "ruby --encoding utf-8 -e 1",
        ],
    );
    each(
        &policy,
        Allow,
        &[
            "python3 -m cProfile -s time a.py",
            "python3 -m json.tool code",
            "python3 -m timeit -n 10 pass",
            "python3 -m unittest -v",
            "python3 -W ignore a.py -c x",
            "python3 -bb a.py -c x",
            "node --inspect a.js -p 3000",
            "node --max-old-space-size=4096 a.js -e x",
            "node --test-reporter spec a.js",
            "node --title x a.js",
            "ruby -I lib a.rb -e",
            "perl -w a.pl -e",
        ],
    );
}

#[test]
fn npm_and_pip_run_what_an_option_or_a_short_name_says() {
    let policy = preset("default", &["npm", "pip", "python3"]);
    none_allowed(
        &policy,
        &[
            "npm exe -c x",
            "npm explore a -- x",
            "npm edit a --editor x",
            "npm config edit --editor=x",
            "npm config set script-shell x",
            "npm set editor x",
            "npm run t --script-shell=x",
            "npm run t --script-s x",
            "npm --script-shell x run t",
            "npm --a install exe -c x",
            "npm \"$x\" t",
            "npm run t --userconfig a",
            "pip config --editor x edit",
            "pip --python ./x list",
            "python3 -m pip --python ./x list",
            "pip config set global.index-url x",
        ],
    );
    each(
        &policy,
        Allow,
        &[
            "npm run build -- --editor x",
            "npm --prefix web run build",
            "npm test --silent",
            "npm -w a run lint --if-present",
            "npm ls --depth=0",
            "npm config get registry",
            "npm --version",
            "npm run build --workspace=a",
            "pip list --outdated",
            "pip config list",
            "pip show requests",
        ],
    );
}

#[test]
fn what_stands_behind_an_option_of_sqlite3() {
    let policy = preset("default", &["sqlite3"]);
    none_allowed(
        &policy,
        &["sqlite3 x.db -zip '.shell x' 'select 1'", "sqlite3 -separator '.shell x' x.db 'select 1'"],
    );
    each(&policy, Allow, &["sqlite3 -zip a.zip 'select 1'", "sqlite3 -separator ',' -nullvalue x a.db 'select 1'"]);
}
