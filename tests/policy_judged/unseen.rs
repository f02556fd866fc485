//! Programs that would start unseen: behind names, variables, words and options that turn into others. Each table has
//! look-alikes that stay allowed.

use castoff::domain::record::Verdict::{Allow, Ask, Deny};

use super::{each, none_allowed, policy, preset};

#[test]
fn a_function_excuses_only_what_surely_runs_it() {
    let strict = preset("strict", &[]);
    none_allowed(
        &strict,
        &[
            "./p; ./p() { :; }",
            "./p() { :; }; ./p",
            "./p() { :; }; env ./p",
            "f; f() { :; }",
            "f() { :; }; env f",
            "f() { :; }; command f",
            "f() { :; }; bash -c f",
            "f() { :; }; unset -f f; f",
            "f() { :; }; unset f; f",
            "f() { :; }; unset \"$x\"; f",
            "f() { :; }; eval 'unset -f f'; f",
            "(f() { :; }); f",
            "$(f() { :; }); f",
            "cat <(f() { :; }); f",
            "cat a > >(f() { :; }); f",
            "bash -c 'f() { :; }'; f",
            "f() { :; } | cat; f",
            "f() { :; } & f",
            "false && f() { :; }; f",
            "if false; then f() { :; }; fi; f",
            "g() { f() { :; }; }; f",
            "g() { f; }; g; f() { :; }",
            "g() { f; }; h() { g; }; h; f() { :; }",
        ],
    );
    each(
        &strict,
        Allow,
        &[
            "f() { cat a; }; f; x=$(f); f | sort; (f); if true; then f; fi",
            "function f { cat a; }\ntrap f EXIT\neval f",
            "main() { f; }; f() { cat a; }; main",
            "f() { cat a; }; unset x; f",
            "bash -c 'f() { cat a; }; f'",
        ],
    );
}

#[test]
fn a_variable_that_executes_is_set_by_other_means() {
    let strict = preset("strict", &["awk"]);
    none_allowed(
        &strict,
        &[
            "unset PATH; ls",
            "unset -v PATH; ls",
            "unset $x; ls",
            "export \"PATH=.\"; ls",
            "export 'PATH'=.; ls",
            "command export PATH=.; ls",
            "builtin declare -x PATH=.; ls",
            "typeset PATH=.; ls",
            "readonly 'PATH=.'; ls",
            "x=PATH=.; export $x; ls",
            "x=PATH=.; export \"$x\"; ls",
            "printf -vPATH .; ls",
            "printf -v 'PATH[0]' .; ls",
            "printf -v \"$x\" .; ls",
            "x=-vPATH; printf \"$x\" .; ls",
            "declare -n r=PATH; r=.; ls",
            "unset PATH; : ${PATH:=.}; ls",
            ": ${PATH:=.}; ls",
            ": ${!x:=.}; ls",
            "((PATH=1)); ls",
            "((PATH++)); ls",
            "((--PATH)); ls",
            "echo $((PATH += 1)); ls",
            "echo ${x:PATH=1}; ls",
            "x[PATH=1]=2; ls",
            "let PATH=1; ls",
            "x=PATH; let $x=1; ls",
            "x=PATH; (($x = 1)); ls",
            "x=PATH; echo $((${x} += 1)); ls",
            "echo $(($(cat a)=1)); ls",
            "x='PATH=1'; ((x)); ls",
            "read x <<< 'PATH=1'; ((x)); ls",
            "declare -i x='PATH=1'; ls",
            "declare -i x; x='PATH=1'; ls",
            "[[ PATH=1 -eq 1 ]]; ls",
            "set -k; ls LD_PRELOAD=./p",
            "set -ek; ls LD_PRELOAD=./p",
            "set -o keyword; ls LD_PRELOAD=./p",
            "set $x; ls LD_PRELOAD=./p",
            "EXECIGNORE='/usr/bin/*'; ls",
            "read -a PATH < a; ls",
            "read -aPATH < a; ls",
            "read -p x PATH < a; ls",
            "mapfile PATH < a; ls",
            "readarray -t 'PATH' < a; ls",
            "getopts ab PATH; ls",
            "wait -n -p PATH; ls",
            "for PATH in .; do ls; done",
            "for ((PATH = 1; PATH < 2; x++)); do ls; done",
            "select PATH in .; do ls; done",
            "exec {PATH}< a; ls",
            "RIPGREP_CONFIG_PATH=./p rg x a",
        ],
    );
    each(
        &strict,
        Allow,
        &[
            "unset x; export LANG=C; f() { local y=$x z=\"$y\"; }; f",
            "read -r -p 'path: ' x < a",
            "read -r -d \"$y\" x < a",
            "printf '%s\\n' \"$x\"; printf \"$x: %s\\n\" y; printf -v x y",
            "i=1; ((i++)); echo $((i + 1)) ${x:1:2}; let i=i+1 \"j=$i\"",
            "x=1; (($x == 1)); echo $(($x <= 2 && ${x} >= 1)); awk '{ $1=2 }' a",
            "[[ $x -eq 1 && $y == a ]]",
            "set -euo pipefail; set -- a \"$b\"",
            ": \"${x:=1}\"",
            "exec {x}< a; cat <&$x",
            "mapfile -t x < a; getopts ab y",
        ],
    );
    each(&preset("default", &[]), Ask, &["export SYSTEMD_PAGER=./x", "SUDO_EDITOR=./x git status"]);
}

#[test]
fn a_word_that_is_not_known_may_be_an_option_that_executes() {
    let names = ["find", "git", "tar", "sed", "xargs", "zip", "split"];
    let strict = preset("strict", &names);
    none_allowed(
        &strict,
        &[
            "x=--pre=./p; rg $x a",
            "x=--pre=./p; rg \"$x\" a",
            "x=--compress-program=./p; sort $x a",
            "x='a --compress-program=./p'; sort a$x",
            "x=--compress-program=./p; sort -k 2 \"$x\" a",
            "x='2 --compress-program=./p'; sort -k $x a",
            "sort \"$@\"",
            "sort -- a; sort ${x[@]}",
            "sort *",
            "tar -czf a-$(date '+1 --rm=./p').tgz b",
            "sort ?-compress-program=*",
            "sort -*",
            "rg x [-a]*",
            "cat a | xargs sort",
            "cat a | xargs -I{} sort {}",
            "cat a | xargs -I% rg % a",
            "sort --co=./p a",
            "sort --c=./p a",
            "tar --rm=./p -xf a",
            "tar --us=./p -xf a",
            "split --f=./p a",
            "x=-exec; find . $x ./p \\;",
            "x=-exec; find . \"$x\" ./p \\;",
            "find \"$x\" \"$y\" -exec ls {} \\;",
            "find . -name $x -exec ls {} \\;",
            "find . -exec ls $x \\;",
            "find * -exec ls {} \\;",
            "find -files0-from a -exec sort {} \\;",
            "find . -name * -exec ls {} \\;",
            "find . -exec ls \"$x\" -exec ./p \\;",
            "find . -exec ls \"$x\" \"$y\" ./p \\;",
            "git fetch $x .",
            "git grep \"$x\"",
            "git $x status",
            "sed -n p \"$x\"",
        ],
    );
    each(
        &strict,
        Allow,
        &[
            "sort ./* src/* a*",
            "sort -- \"$x\"",
            "sort -k \"$x\" a",
            "sort \"./$x\"",
            "rg -e \"$x\" a",
            "rg -- $x",
            "cat * \"$x\" $y",
            "grep x * $y",
            "cat a | xargs grep x",
            "cat a | xargs -I{} sort ./{}",
            "find . -type f -exec sort {} \\;",
            "find . -type f -exec rg x {} +",
            "find \"$x\" -name '*.o' -exec ls {} \\;",
            "find \"$x\" \"$y\" -type f",
            "find . -name \"$x\" -exec ls {} +; find . -name *.o",
            "tar -czf \"$x\" a; tar -czf a-$(date +%F).tgz b",
            "git log \"$x\" $y",
        ],
    );
}

#[test]
fn words_that_split_do_not_move_the_command_of_a_wrapper() {
    none_allowed(
        &preset("strict", &[]),
        &[
            "n='5 ./p'; nice -n $n ls",
            "x='1 ./p'; env TZ=$x ls",
            "x='a ./p'; env -u $x ls",
            "timeout $x ls",
            "timeout 5* ls",
            "env -u [a]* ls",
            "x='1 ./p'; cat a | xargs -n $x ls",
            "ls | xargs -rI{} sh -c 'echo {}'",
            "ls | xargs -0rI % sh -c 'echo %'",
            "ls | xargs -ri sh -c 'echo {}'",
            "ls | xargs --replace=ls ls",
            "ls | xargs --replace ls {} | {}",
            "ls | xargs -rIls ls",
        ],
    );
    let more = policy("exec:\n  allow: [ls, date, strace, chrt, faketime, poetry]\n");
    each(&more, Deny, &["faketime 1 ./p", "chrt 1 ./p", "strace -f ./p", "poetry run ./p"]);
    each(
        &more,
        Ask,
        &["faketime date ./p", "chrt -i ls ./p", "strace -o '|./p' ls", "strace -E A=./p ls", "poetry -q run ./p"],
    );
    each(&more, Allow, &["strace -f -o a ls", "chrt -f 1 ls", "poetry run ls"]);
    each(
        &preset("strict", &[]),
        Allow,
        &[
            "nice -n \"$n\" ls",
            "nice -n 5 ls",
            "env TZ=\"$x\" ls",
            "timeout 5 ls $x",
            "ls | xargs -rI{} cat {}",
            "ls | xargs -n 1 cat",
            "ls | xargs --replace cat {}",
        ],
    );
}

#[test]
fn what_a_test_of_find_compares_with_hides_no_command() {
    let strict = preset("strict", &["find"]);
    let valued =
        ["-printf", "-maxdepth", "-mindepth", "-perm", "-type", "-size", "-user", "-iname", "-newermt", "-mtime"];
    for option in valued {
        none_allowed(
            &strict,
            &[&format!("find . {option} -name -exec ./p \\;"), &format!("find . {option} -exec -exec ./p \\;")],
        );
        each(
            &strict,
            Allow,
            &[&format!("find . {option} -exec -name a"), &format!("find . {option} a -exec ls {{}} \\;")],
        );
    }
    none_allowed(&strict, &["find . -fprintf a -name -exec ./p \\;"]);
}

#[test]
fn a_sed_script_by_other_means() {
    let names = ["sed"];
    none_allowed(
        &preset("default", &names),
        &[
            "sed -l 5 'e ./p' a",
            "sed --line-length 5 'e ./p' a",
            "sed -b 'e ./p' a",
            "sed --expr='e ./p' p",
            "sed --exp 'e ./p' p",
            "sed --fi a p",
            "sed -- 'e ./p' a",
            "sed -Z 'e ./p' a",
            "sed \"$x\" a",
            "sed -e \"$x\" a",
            "sed -e\"$x\" a",
            "sed --expression=\"$x\" a",
            "sed \"${x}p\" a",
            "sed '#a\\\ne ./p' a",
            "sed 'r x\\\ne ./p' a",
            "sed 'w x\\\ne ./p' a",
            "sed 's/a/b/w x\\\ne ./p' a",
            "sed 'a x\\\\\ne ./p' a",
            "sed ':a e ./p' a",
        ],
    );
    each(
        &preset("default", &names),
        Allow,
        &[
            "sed -n -l 5 p a",
            "sed --expr='s/a/b/' p",
            "sed -- 's/a/b/' a",
            "sed '# a comment\ns/a/b/' a",
            "sed '1a a\\\ne is text' a",
            "sed ':a;N;$!ba;s/\\n/ /g' a",
            "sed \"s/a/$x/\" a",
            "sed -i.bak -E -e \"s/a/$x/\" -e p a",
        ],
    );
}

#[test]
fn a_setting_of_git_by_other_means() {
    none_allowed(
        &preset("strict", &["git"]),
        &[
            "git config -f user.x/../.git/config core.fsmonitor ./p; git status",
            "git config --file user.x core.fsmonitor ./p",
            "git config -f.git/l/../config core.fsmonitor ./p",
            "git config set core.fsmonitor ./p",
            "git config --add core.fsmonitor ./p",
            "git config --rename-section user.x core",
            "git config rename-section user.x core",
            "git config --edit",
            "git clone -c core.fsmonitor=./p ./a b",
            "git clone ./a b --config=core.fsmonitor=./p",
            "git clone --template=./t ./a b",
            "git init --template ./t b",
            "git --attr-source status config core.fsmonitor ./p",
            "git fetch --upl=./p .",
            "git push --exe=./p .",
            "git bisect visualize git-p",
        ],
    );
    each(&preset("default", &["git"]), Ask, &["git init --template=./t a", "git config --rename-section user.x core"]);
    each(
        &preset("strict", &["git"]),
        Allow,
        &[
            "git config -f a user.name x",
            "git config --global user.email a@b",
            "git config set user.name x",
            "git config --get core.pager",
            "git config -l",
            "git --no-pager -c color.ui=never log",
            "git init -b main a",
        ],
    );
}

#[test]
fn the_languages_of_sqlite_awk_zip_and_tar() {
    let policy = preset("default", &["sqlite3", "awk", "gawk", "mawk", "zip", "tar", "echo"]);
    each(
        &policy,
        Ask,
        &[
            "sqlite3 a.db",
            "sqlite3 a.db < a.sql",
            "echo .shell ./p | sqlite3 a.db",
            "sqlite3 a.db <<< '.shell ./p'",
            "sqlite3 a.db <<'E'\nselect 1;\n  .system ./p\nE",
            "sqlite3 a.db <<E\n$x\nE",
            "sqlite3 -init a a.db 'select 1'",
            "sqlite3 --init a a.db 'select 1'",
            "sqlite3 -cmd '.shell ./p' a.db 'select 1'",
            "sqlite3 a.db \"select load_extension('./p')\"",
            "sqlite3 a.db \"select edit('a', './p')\"",
            "awk -W exec a",
            "awk -Wexec=a",
            "gawk -E a",
            "gawk -bf a",
            "gawk --fil=a",
            "gawk --inc=a 1",
            "gawk '@include \"a\"; { print }'",
            "gawk 'BEGIN { f = \"sys\" \"tem\"; @f(\"./p\") }'",
            "awk -v a=$x '{ print }' b",
            "zip -TTcmd a b",
            "zip -rTT ./p a b",
            "tar -T a -cf b",
            "tar --files-from=a -cf b",
            "tar cTf a b",
            "tar -xf a --to-command=./p",
            "tar -cf a b --checkpoint=1 --checkpoint-action=exec=./p",
        ],
    );
    each(
        &policy,
        Allow,
        &[
            "sqlite3 a.db 'select edited from a'",
            "sqlite3 -header -separator , a.db .tables",
            "sqlite3 a.db <<'E'\n.mode csv\nselect 1;\nE",
            "sqlite3 -cmd '.mode csv' a.db 'select 1'",
            "awk -F, -v x=\"$y\" '{ print $1 }' \"$z\"",
            "awk '/@example/ { print }' a",
            "gawk --field-separator=, '{ print }' a",
            "zip -rT a b",
            "tar -czf a.tgz -C b c",
        ],
    );
}

#[test]
fn code_in_clusters_of_options_and_on_standard_input() {
    let names = ["python3", "perl", "ruby", "php", "julia", "npm", "go", "cargo"];
    each(
        &preset("default", &names),
        Ask,
        &[
            "python3 -Ic 1",
            "python3 -Ec1",
            "python3 /dev/stdin <<'E'\n1\nE",
            "python3 /dev/fd/0 < a",
            "python3 /proc/self/fd/0 < a",
            "perl -CSe 1",
            "perl -0777ne 1 a",
            "perl '-Mstrict;system(1)' a",
            "ruby -W0e 1",
            "ruby -Kue 1",
            "php -nr 1",
            "julia -qe 1",
        ],
    );
    each(
        &preset("default", &names),
        Allow,
        &[
            "python3 -I a.py",
            "python3 -Wce a.py",
            "perl -CS a.pl",
            "perl -Mstrict -Ilib a.pl",
            "perl -i.else a",
            "php -n a",
        ],
    );
    none_allowed(
        &preset("strict", &names),
        &[
            "npm --prefix d run x",
            "npm --silent --prefix d run x",
            "go -C d run x",
            "cargo +nightly run",
            "npm exec ./p",
        ],
    );
    each(&preset("strict", &names), Allow, &["npm --prefix d ls", "npm ls run", "go -C d list"]);
}

#[test]
fn a_wrapper_that_is_not_looked_into_asks() {
    let names = [
        "prlimit",
        "choom",
        "sg",
        "linux64",
        "ssh-agent",
        "sem",
        "cpulimit",
        "setarch",
        "unshare",
        "nsenter",
        "runuser",
        "su",
        "setpriv",
        "systemd-run",
        "gdb",
        "valgrind",
        "perf",
        "vipe",
        "pee",
        "entr",
        "m4",
        "dotenv",
        "socat",
        "tmux",
    ];
    let listed = policy(&format!("exec:\n  allow: [ls, {}]\n", names.join(", ")));
    for name in names {
        each(&listed, Ask, &[&format!("{name} ls"), &format!("{name} ./p")]);
    }
    each(&policy("exec:\n  allow: [ls, ifne, distcc]\n"), Deny, &["ifne ./p", "ifne -n ./p", "distcc ./p"]);
}

#[test]
fn a_file_of_an_environment_needs_its_interpreter_on_the_list() {
    let files = ["venv/bin/cat a", ".venv/bin/cat a", "node_modules/.bin/cat a"];
    each(&policy("exec:\n  allow: [cat]\n"), Deny, &files);
    each(&policy("exec:\n  allow: [cat, python3, node]\n"), Allow, &files);
    each(&policy("exec:\n  allow: [cat, python3]\n"), Deny, &["node_modules/.bin/cat a"]);
}

#[test]
fn a_glob_that_may_be_a_denied_path() {
    let policy = policy(
        "exec:\n  allow: [cat, ls]\nfiles:\n  allowed_paths: [\"~/projects\"]\n  denied_paths: [\"~/.ssh\", \"~/projects/key\"]\n",
    );
    each(
        &policy,
        Ask,
        &[
            "cat ~/.ss?/id",
            "cat ~/.s*/id",
            "cat ~/.[a-z]sh/id",
            "cat .ss?/id",
            "cat ~/projects/k*",
            "cat ~/projects/*/a",
        ],
    );
    each(&policy, Allow, &["cat ~/*/id", "cat ~/.sshx*/id", "cat ~/projects/a*", "ls projects/*.rs", "cat *.ssh"]);
}

#[test]
fn code_by_other_names_of_a_module_a_file_or_a_setting() {
    let policy =
        policy("exec:\n  allow: [echo, env, gzip, node, npm, python3, printf, sort, tar, xargs, zip, zgrep]\n");
    each(
        &policy,
        Ask,
        &[
            "tar cMf a.tar -L 20 big",
            "tar --multi-volume -cf a.tar big",
            "tar -cf a.tar --tape-length=20 big",
            "ZIP='-T -TT ./evil' zip x.zip f",
            "GREP=./evil zgrep x f.gz",
            "NPM_config_script_shell=./evil npm run x",
            "npm run -script-shell=./evil x",
            "npm run x ---script-shell=./evil",
            "npm run x -script-shell ./evil",
            "npm pkg set scripts.x='touch pwned'",
            "python3 -m imaplib -s './evil #' <<< pw",
            "python3 -m runpy imaplib -s './evil #'",
            "python3 -m cProfile -m imaplib -s './evil #'",
            "python3 -m asyncio.__main__ <<< 'import os'",
            "python3 -m pickle p",
            "MAILCAPS=mc python3 f.py",
            "python3 //dev/stdin <<< 'import os'",
            "python3 /dev/./stdin <<< 'import os'",
            "python3 -i f.py <<< 'import os'",
            "echo 'import os' | python3 -qi f.py",
            "python3 /usr/lib/python3.11/timeit.py -n1 'import os'",
            "node --test --test-reporter 'data:text/javascript,1' f.mjs",
            "TEXTDOMAIN=x; TEXTDOMAINDIR=.; echo $\"hi\"",
            "xargs -I X -L1 sort -S 1k --parallel=1 <<< '--compress-program=./evil big'",
            "xargs -i -n 1 env < f",
            "sort ['-']-compress-program=./evil big",
            "env -u [\"ab\"]/evil cat",
        ],
    );
    each(
        &policy,
        Allow,
        &[
            "tar -czf Many.tar.gz Large",
            "npm run build -- --port=1",
            "npm pkg get name",
            "python3 -i f.py",
            "python3 f.py <<< text",
            "python3 -m json.tool f.json",
            "node --test a.js",
            "xargs -n 1 -I X echo X < f",
            "[ -f a ] && echo a",
        ],
    );
}
